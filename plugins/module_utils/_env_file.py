# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application's ``.env`` file, and keeping its values out of everything that people read."""
from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _files, _secrets
from ansible_collections.mobius.ops.plugins.module_utils._errors import StateError

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
#: Names whose values people need to read.
PUBLIC = frozenset({"NODE_ENV", "HOST", "PORT"})


def read(path: str) -> dict[str, str]:
    """Names and values of a ``.env`` file; none when there is no file. Quotes around a value are taken off.

    Bytes that are no UTF-8 are kept for the application's environment as they are.

    :raises StateError: when it is not a file.
    """
    values = {}
    try:
        # Its folder is root's, so a link there leads where root wants it to.
        with open(_files.plain(os.path.realpath(path)), encoding="utf-8-sig", errors="surrogateescape") as stream:
            for line in stream.read(_files.SMALL).split("\n"):
                match = _LINE.match(line)
                if match and not line.lstrip().startswith("#"):
                    name, value = match.groups()
                    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                        value = value[1:-1]
                    values[name] = value
    except FileNotFoundError:
        pass
    except _files.NotRegularError as error:
        if path != os.devnull:
            raise StateError(path, "a file with NAME=value lines", "something else", "Move it away") from error
    return values


class Redactor:
    """Hides what is secret of a ``.env`` file (``_secrets``) in texts and records."""

    def __init__(self, env_file: str) -> None:
        self.secrets: list[str] = []
        self.add(text for name, value in read(env_file).items() if name not in PUBLIC for text in _secrets.of_value(name, value))

    def add(self, secrets: t.Iterable[str]) -> None:
        """Hide more."""
        self.secrets = _secrets.ordered([*self.secrets, *secrets])

    def text(self, text: str) -> str:
        """The text with every secret replaced by asterisks."""
        return _secrets.hide(text, self.secrets)

    def value(self, value: t.Any) -> t.Any:
        """A copy of a record (dicts, lists, texts) with every secret replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value
