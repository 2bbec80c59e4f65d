# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The variables of a ``.env`` file, by the rules of the npm package dotenv (version 16), as applications read it.

It imports nothing of this collection, because a copy of it lies on hosts (``env_start``). systemd runs that as the service's user::

    python3 -I -S dotenv.py FILE "NAME NAME" COMMAND ARGUMENT…

It becomes the command, under the same process id, with the variables of the file. Those that are named keep the value they have.
Before that, root lets the group of that user read the file, because it may have been replaced by one that only root can read::

    python3 -I -S dotenv.py --let-in GROUP FILE
"""

from __future__ import annotations

import os
import re
import signal
import stat
import sys
import typing as t

#: What JavaScript takes for white space, and which of it ends a line.
_WHITE = "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
_BLANK, _ENDS = re.escape(_WHITE), r"\n\u2028\u2029"
_BEGIN, _END = rf"(?:\A|(?<=[{_ENDS}]))", rf"(?=[{_ENDS}]|\Z)"
_QUOTED = "|".join(rf"[{_BLANK}]*{quote}(?:\\{quote}|[^{quote}])*{quote}" for quote in "'\"`")
#: NAME=value or NAME: value. A value in quotes may have several lines; any other ends at a # or with its line.
_ENTRY = re.compile(
    rf"{_BEGIN}(?:(?![{_ENDS}])[{_BLANK}])*(?:export[{_BLANK}]+)?([A-Za-z0-9_.-]+)"
    rf"(?:[{_BLANK}]*=[{_BLANK}]*?|:[{_BLANK}]+?)({_QUOTED}|[^#\n]+)?[{_BLANK}]*(?:#[^{_ENDS}]*)?{_END}"
)
_IN_QUOTES = re.compile(rf"{_BEGIN}(['\"`])(.*)\1{_END}", re.DOTALL)
#: Bytes at most of a ``.env`` file.
LIMIT = 4 * 1024 * 1024
#: Exit status when the application must not be started: EX_CONFIG of sysexits.h.
REFUSED = 78


class Unusable(Exception):
    """A file with which the application would be half configured: what was expected, what was found, what to do."""


def decoded(content: bytes) -> str:
    """The text of a file. Bytes that are no UTF-8 are kept for the application's environment as they are."""
    return content.decode("utf-8-sig", "surrogateescape")


def entries(text: str) -> t.Iterator[tuple[str, str]]:
    """Names and values of a text. Nothing is expanded. Of a name that is there twice, the last value counts."""
    for match in _ENTRY.finditer(_lines(text)):
        value = (match.group(2) or "").strip(_WHITE)
        unquoted = _IN_QUOTES.sub(r"\2", value)
        yield match.group(1), unquoted.replace("\\n", "\n").replace("\\r", "\r") if value.startswith('"') else unquoted


def _lines(text: str) -> str:
    return re.sub("\r\n?", "\n", text)


def variables(content: bytes) -> dict[str, str]:
    """Names and values of a file. :raises Unusable: when the application would not get all that it says."""
    if len(content) > LIMIT:
        raise Unusable(f"a file of {LIMIT} bytes at most", "a larger one", "Move large values into files of their own")
    if b"\0" in content:
        raise Unusable("text in UTF-8", "a NUL byte", "Save it in that encoding")
    text = decoded(content)
    line = _skipped(text)
    if line:
        raise Unusable(
            f"NAME=value in line {line}, with a name of letters, digits, '_', '.' and '-'",
            "something else",
            "Correct the name, or put a value of several lines in quotes",
        )
    return dict(entries(text))


def _skipped(text: str) -> int:
    """The number of the first line that sets something and that dotenv passes over; 0 when there is none."""
    rest = _ENTRY.sub(lambda match: "\n" * match.group().count("\n"), _lines(text))
    skipped = (number for number, line in enumerate(rest.split("\n"), 1) if "=" in line and not line.strip(_WHITE).startswith("#"))
    return next(skipped, 0)


def let_in(group: int, path: str) -> None:
    """Let a group read a file of root's. A link, and a file with another name or another owner, stay as they are."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # the start says so
        return
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    if own(status) and (status.st_gid, mode & stat.S_IRGRP) != (group, stat.S_IRGRP):
        os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, mode | stat.S_IRGRP)
    os.close(descriptor)


def own(status: os.stat_result) -> bool:
    """Whether a file is this process's user's own, has no other name, and nobody else can have written it."""
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1 and not status.st_mode & 0o022


def _read(path: str) -> bytes:
    """What a file has; nothing when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise Unusable("a file with NAME=value lines", "something else", "Move it away")
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(LIMIT + 1)


def _own() -> dict[bytes, bytes]:
    """The variables that this process was given; ``os.environ`` has one more, because Python sets LC_CTYPE where there is no locale."""
    with open("/proc/self/environ", "rb") as stream:
        pairs = (entry.partition(b"=") for entry in stream.read().split(b"\0"))
        return {name: value for name, sign, value in pairs if sign}


def _refuse(subject: str, expected: str, found: str, todo: str) -> int:
    os.write(2, os.fsencode(f"mobius.ops: {subject}: expected {expected}, found {found}. {todo}.\n"))
    return REFUSED


def main(words: list[str]) -> int:
    """Become the command; an exit status when that is not possible, and when there is none."""
    if words[1] == "--let-in":
        let_in(int(words[2]), words[3])
        return 0
    path, kept, command = words[1], set(words[2].split()), words[3:]
    try:
        found = variables(_read(path))
    except Unusable as error:
        return _refuse(path, *error.args)
    except OSError as error:
        return _refuse(
            path, "a file that the service's user may read", str(error.strerror), "Let the group of that user read it, or what it leads to"
        )
    environment = {**_own(), **{os.fsencode(name): os.fsencode(value) for name, value in found.items() if name not in kept}}
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and the command would inherit that
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        return _refuse(
            command[0], "a program that can be started", str(error.strerror), f"Correct mobius_command, or the size of the values in {path}"
        )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
