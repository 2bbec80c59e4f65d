# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application's ``.env`` file, and keeping its values out of everything that people read."""
from __future__ import annotations

import os
import re
import typing as t

from . import fs, redaction
from .errors import StateError

#: What JavaScript takes for white space, and which of it ends a line.
_WHITE = "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200b))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
_BLANK, _ENDS = re.escape(_WHITE), r"\n\u2028\u2029"
_BEGIN, _END = rf"(?:\A|(?<=[{_ENDS}]))", rf"(?=[{_ENDS}]|\Z)"
_QUOTED = "|".join(rf"[{_BLANK}]*{quote}(?:\\{quote}|[^{quote}])*{quote}" for quote in "'\"`")
#: NAME=value or NAME: value. A value in quotes may have several lines; any other ends at a # or with its line.
_ENTRY = re.compile(rf"{_BEGIN}(?:(?![{_ENDS}])[{_BLANK}])*(?:export[{_BLANK}]+)?([A-Za-z0-9_.-]+)"
                    rf"(?:[{_BLANK}]*=[{_BLANK}]*?|:[{_BLANK}]+?)({_QUOTED}|[^#\n]+)?[{_BLANK}]*(?:#[^{_ENDS}]*)?{_END}")
_IN_QUOTES = re.compile(rf"{_BEGIN}(['\"`])(.*)\1{_END}", re.DOTALL)
#: Names whose values people need to read.
PUBLIC = frozenset({"NODE_ENV", "HOST", "PORT"})


def entries(text: str) -> t.Iterator[tuple[str, str]]:
    """Names and values of the text of a ``.env`` file, by the rules of the npm package dotenv (version 16), as applications read it.

    Nothing is expanded. Of a name that is there twice, the last value counts.
    """
    for match in _ENTRY.finditer(re.sub("\r\n?", "\n", text)):
        value = (match.group(2) or "").strip(_WHITE)
        unquoted = _IN_QUOTES.sub(r"\2", value)
        yield match.group(1), unquoted.replace("\\n", "\n").replace("\\r", "\r") if value.startswith('"') else unquoted


def read(path: str) -> dict[str, str]:
    """Names and values of a ``.env`` file; none when there is no file. :raises StateError: when it is not a file."""
    return dict(entries(_text(path)))


def _text(path: str) -> str:
    """What a ``.env`` file says; nothing when there is none.

    Bytes that are no UTF-8 are kept for the application's environment as they are.

    :raises StateError: when it is not a file.
    """
    try:
        # Its folder is root's, so a link there leads where root wants it to.
        with open(fs.plain(os.path.realpath(path)), encoding="utf-8-sig", errors="surrogateescape") as stream:
            return stream.read(fs.SMALL)
    except FileNotFoundError:
        return ""
    except fs.NotRegularError as error:
        if path != os.devnull:
            raise StateError(path, "a file with NAME=value lines", "something else", "Move it away") from error
        return ""


class Redactor:
    """Hides what is secret of a ``.env`` file (``_core.redaction``) in texts and records."""

    def __init__(self, env_file: str) -> None:
        self.secrets: list[str] = []
        # also a value that a later line replaces: somebody took it for a secret
        self.add(text for name, value in entries(_text(env_file)) if name not in PUBLIC for text in redaction.of_value(name, value))

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
