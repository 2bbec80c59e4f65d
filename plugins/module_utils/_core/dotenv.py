# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application's ``.env`` file, and keeping its values out of everything that people read."""

from __future__ import annotations

import os
import typing as t

from . import dotenv_rules, foreign, redaction
from .errors import StateError

#: Names whose values people need to read.
PUBLIC = frozenset({"NODE_ENV", "HOST", "PORT"})


def read(path: str) -> dict[str, str]:
    """Names and values of a ``.env`` file; none when there is no file.

    :raises StateError: when it cannot be read, or an application would be half configured with it (``_core.dotenv_rules``).
    """
    try:
        return dotenv_rules.variables(_content(path))
    except dotenv_rules.Unusable as error:
        raise StateError(path, *error.args) from error


def _content(path: str) -> bytes:
    """What a ``.env`` file has, and a byte more than it may have at most; nothing when there is none.

    :raises StateError: when it is not a file, or may not be read.
    """
    try:
        # Its folder is root's, so a link there leads where root wants it to.
        with open(foreign.plain(os.path.realpath(path)), "rb") as stream:
            return stream.read(dotenv_rules.LIMIT + 1)
    except FileNotFoundError:
        return b""
    except foreign.NotRegularError as error:
        if path != os.devnull:
            raise StateError(path, "a file with NAME=value lines", "something else", "Move it away") from error
        return b""
    except OSError as error:
        raise StateError(path, "a file that can be read", error.strerror or str(error), "Correct its owner and its mode") from error


class Redactor:
    """Hides what is secret of a ``.env`` file (``_core.redaction``) in texts and records."""

    def __init__(self, env_file: str) -> None:
        self.secrets: list[str] = []
        # also a value that a later line replaces: somebody took it for a secret
        pairs = dotenv_rules.entries(dotenv_rules.decoded(_content(env_file)))
        self.add(text for name, value in pairs if name not in PUBLIC for text in redaction.of_value(name, value))

    def add(self, secrets: t.Iterable[str]) -> None:
        """Hide more."""
        self.secrets = redaction.ordered([*self.secrets, *secrets])

    def text(self, text: str) -> str:
        """The text with every secret replaced by asterisks."""
        return redaction.hide(text, self.secrets)

    def value(self, value: t.Any) -> t.Any:
        """A copy of a record (dicts, lists, texts) with every secret replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value


def text(value: t.Any) -> str:
    """A value of YAML as an environment has it: ``true``, and not Python's ``True``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def variables(values: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The environment variables that a setting asks for; one without a value (null) is left out."""
    return {str(name): text(value) for name, value in values.items() if value is not None}
