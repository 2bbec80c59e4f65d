# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the files of logs, also rotated ones, and open them without trusting who writes them."""

from __future__ import annotations

import dataclasses
import errno
import fnmatch
import os
import re
import typing as t

from .._core import foreign, wording
from .._core.errors import InputError

#: Files of one run at most; the newest count.
MOST = 500
_DAY = r"\d{4}-?\d\d-?\d\d(?:[-_T.]?\d{2,6}){0,4}"
_ROTATION = re.compile(rf"(?:[.-]{_DAY})?(\.log|\.jsonl?|\.txt)?(?:[.-](?:\d{{1,4}}|{_DAY}|old|bak))?(?:\.gz)?\Z")
_PACKED = b"\x1f\x8b"


@dataclasses.dataclass(frozen=True)
class Found:
    """A file of a log."""

    folder: str
    name: str
    device: int
    inode: int
    size: int
    changed: float
    packed: bool

    @property
    def path(self) -> str:
        """Where it was."""
        return os.path.join(self.folder, self.name)

    @property
    def source(self) -> str:
        """The log that it belongs to, with its rotated files."""
        return os.path.join(self.folder, family(self.name))

    @property
    def rotated(self) -> bool:
        """Whether nothing is added to it any more, by its name."""
        return self.packed or family(self.name) != self.name


@dataclasses.dataclass(frozen=True)
class Passed:
    """A file or folder that is not read, and why."""

    path: str
    why: str


def family(name: str) -> str:
    """``app.log`` of app.log.1, app.log-20261127.gz and app-2026-11-27.log."""
    match = _ROTATION.search(name)
    return (name[: match.start()] + (match.group(1) or "")) if match and match.start() else name


def find(patterns: list[str]) -> tuple[list[Found], list[Passed]]:
    """The files that patterns mean, of each log the oldest first, and what is not read.

    :raises InputError: when a pattern is no absolute path, or has a wildcard in its folder.
    """
    found: dict[tuple[int, int], Found] = {}
    passed: list[Passed] = []
    for pattern in patterns:
        folder, name = os.path.split(pattern)
        if not os.path.isabs(pattern) or not name or re.search(r"[*?[]", folder):
            raise InputError(f"files: {pattern}", "an absolute path, with wildcards in its last part only", repr(pattern), "Correct it")
        for one in _below(os.path.normpath(folder), name, passed):
            found.setdefault((one.device, one.inode), one)
    kept = sorted(found.values(), key=lambda one: -one.changed)
    passed += [Passed(one.path, f"only the newest {MOST} files are read") for one in kept[MOST:]]
    return sorted(kept[:MOST], key=lambda one: (one.source, one.changed, one.path)), passed


def _below(folder: str, pattern: str, passed: list[Passed]) -> t.Iterator[Found]:
    try:
        with foreign.folder(folder) as at:
            names = sorted(name for name in os.listdir(at) if fnmatch.fnmatchcase(name, pattern))
            for name in names:
                try:
                    yield _look(folder, name, at)
                except FileNotFoundError:
                    continue  # rotated meanwhile
                except OSError as error:
                    passed.append(Passed(wording.printable(os.path.join(folder, name)), error.strerror or str(error)))
            if not names and not re.search(r"[*?[]", pattern):
                passed.append(Passed(os.path.join(folder, pattern), "not there"))
    except FileNotFoundError:
        passed.append(Passed(folder, "not there"))
    except OSError as error:
        passed.append(Passed(folder, "a link, or no folder" if error.errno in (errno.ELOOP, errno.ENOTDIR) else str(error.strerror)))


def _look(folder: str, name: str, at: int) -> Found:
    descriptor = _plain(name, at)
    try:
        status = os.fstat(descriptor)
        return Found(folder, name, status.st_dev, status.st_ino, status.st_size, status.st_mtime, os.pread(descriptor, 2, 0) == _PACKED)
    finally:
        os.close(descriptor)


def _plain(name: str, at: int) -> int:
    descriptor = foreign.plain(name, at=at)
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EMLINK, "has another name, which may be that of another's file", name)
    return descriptor


def opened(file: Found) -> int:
    """A descriptor of the very file that was found. :raises OSError: when another one has its name by now."""
    with foreign.folder(file.folder) as at:
        descriptor = _plain(file.name, at)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) != (file.device, file.inode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "rotated meanwhile", file.path)
    return descriptor
