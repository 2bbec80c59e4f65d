# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The exception that ended a Node application, and its place in the application's own files, from what it printed.

Source: the output of Node 18 to 22 for errors that nothing catches, in CommonJS and ES modules (``test_readiness``). The service's
user wrote that text, so all that is taken from it is printable and of bounded length.
"""

from __future__ import annotations

import re
import typing as t

from .._core import wording

#: Characters of an exception's message, or of a line.
WIDTH = 300
#: Lines behind an exception's first line that may be its frames, and lines before it that may name its file.
_BEHIND, _BEFORE = 40, 6
_HEADER = re.compile(r"(?!\s)(?:.{0,200}?[\s\[(])??((?:[A-Z]\w{0,60})?(?:Error|Exception|Rejection)(?: \[\w+\])?: .+)")
_FRAME = re.compile(r"\s*at (?:.{0,300} \()?((?:file://)?[^\s():][^():]*):(\d+):(\d+)\)?(?: \{)?$")
_PLACE = re.compile(r"((?:file://)?/[^\s:][^:]*):(\d+)$")
_FOREIGN = re.compile(r"node:|internal/|<anonymous>|(?:.*/)?node_modules/")
_WORSE = re.compile(r"(?i)\b(?:error|fatal|panic|cannot|failed)\b")
_NOISE = re.compile(r"\W*$|Node\.js v\d|\s*at |\(Use `node")


class Place:
    """The folders in which the application's files are; texts name files relative to them."""

    def __init__(self, folders: t.Iterable[str]) -> None:
        known = sorted({folder.rstrip("/") for folder in folders if folder}, key=len, reverse=True)
        self._folders = re.compile("(?:file://)?(?:" + "|".join(map(re.escape, known)) + ")/") if known else None

    def relative(self, text: str) -> str:
        """The text without the application's folders at the beginning of paths."""
        return self._folders.sub("", text) if self._folders else text


def printable(text: str, limit: int = WIDTH) -> str:
    """The text in one line, without control characters, cut to a number of characters."""
    return wording.cut(wording.one_line(text), limit)


def last(text: str, place: Place) -> str:
    """The last exception in a text, ``TypeError: x is not a function (src/api/index.js:1:32)``; empty when there is none."""
    lines = _lines(text)
    found = [(at, match.group(1)) for at, match in ((at, _HEADER.match(line)) for at, line in enumerate(lines)) if match]
    if not found:
        return ""
    at, message = found[-1]
    where = _where(lines, at, message, place)
    return printable(place.relative(message.rstrip("] {"))) + (f" ({printable(where)})" if where else "")


def ending(text: str, place: Place) -> str:
    """Why a process ended that printed a text: the last exception, else the last line about an error, else the last line."""
    lines = [line for line in text.splitlines() if not _NOISE.match(line)][-200:]
    worst = next((line for line in reversed(lines) if _WORSE.search(line)), lines[-1] if lines else "")
    return last(text, place) or printable(place.relative(worst))


def _lines(text: str) -> list[str]:
    """The lines; a logger's line that has a whole stack in it is taken apart."""
    found: list[str] = []
    for line in (line[:4000] for line in text.splitlines()):
        found += re.split(r" \| (?=\s*at )|(?<=\)) \| ", line) if " | at " in line else [line]
    return found


def _where(lines: list[str], at: int, message: str, place: Place) -> str:
    """Where in the application's own files an exception came from."""
    frames = [_FRAME.match(line) for line in lines[at + 1 : at + 1 + _BEHIND]]
    before = [_PLACE.match(line) for line in reversed(lines[max(0, at - _BEFORE) : at])]
    matches = [*before, *frames] if message.startswith("SyntaxError") else [*frames, *before]
    own = (place.relative(":".join(match.groups())) for match in matches if match)
    return next((name for name in own if not name.startswith("/") and not _FOREIGN.match(name)), "")
