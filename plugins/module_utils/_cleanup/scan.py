# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Walks the components for files that are old, with the rights of the service's user (``_core.as_user``).

It stays in the helper's process from one call to the next, so that names of files are handed over in parts, and stores are read once.
"""

from __future__ import annotations

import collections
import hashlib
import os
import stat
import time
import typing as t

from .._core import foreign, fs, mounts, walk
from .._core.errors import StateError
from .._target.layout import is_work
from . import clocks, words
from .rules import NAMED, Rules
from .stores import Stores

#: component, path, kind, its time by the clock, size, inode, times of modification and change, mode, user and group.
Row = list[t.Any]
COMPONENT, PATH, KIND, CLOCK, SIZE, INODE, MTIME, CTIME, MODE, UID, GID = range(11)
NOATIME = os.O_RDONLY | os.O_NOATIME


class Session:
    """One look.

    :param folders: component -> its folder.
    :param now: the time (ns) that ages are counted from.
    """

    def __init__(self, rules: Rules, folders: dict[str, str], now: int, limit: float) -> None:
        self.rules, self.folders, self.now = rules, folders, now
        self.stores = Stores(folders["database"], limit)
        self.left: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
        self._mounts = mounts.points()
        self._rows = self._found()

    def page(self, count: int) -> list[Row]:
        """The next files; none when there are no more."""
        if self.rules.needs_stores():
            self.stores.refresh()
        found = []
        for row in self._rows:
            found.append(row)
            if len(found) >= count:
                break
        return found

    def named(self, kind: str, path: str) -> str:
        """Why a file of this name stays: a store names it, or its name has nothing to look for. Empty when it may go."""
        if not self._is_named(kind):
            return ""
        handles = list(words.handles(path, self.rules.common(), kind == "renders"))
        if not handles[0]:
            return "unclear"
        return "named" if self.stores.name(handles) else ""

    def named_now(self, kind: str, path: str) -> str:
        """The same, after another look at the stores. :raises StateError: when one cannot be read."""
        if self._is_named(kind):
            self.stores.refresh()
        return self.named(kind, path)

    def _is_named(self, kind: str) -> bool:
        return kind in NAMED or self.rules.needs_stores()

    def _found(self) -> t.Iterator[Row]:
        for component in self.rules.components():
            base = self.folders[component]
            try:
                top = os.lstat(base)
            except FileNotFoundError:
                continue
            real = os.path.realpath(base)

            def into(relative: str, status: os.stat_result, device: int = top.st_dev, real: str = real, component: str = component) -> bool:
                if status.st_dev != device or os.path.join(real, relative) in self._mounts:
                    self._leave("mount", 0)
                    return False
                work = "/" not in relative and is_work(relative, status)
                return not work and not self.rules.keeps(component, relative)

            for folder in walk.walk(base, into):
                if os.fstat(folder.descriptor).st_dev == top.st_dev:
                    yield from self._rows_of(component, folder)

    def _rows_of(self, component: str, folder: walk.Folder) -> t.Iterator[Row]:
        for name, status in folder.entries:
            path = f"{folder.relative}/{name}".lstrip("/")
            kind = "" if stat.S_ISDIR(status.st_mode) else self.rules.kind_of(component, path)
            if not kind:
                continue
            when = clocks.nanoseconds(self.rules.clock, status, name, folder.descriptor)
            if when is not None and self.now - when < self.rules.days[kind] * 86400 * 10**9:
                continue
            reason = self._reason(component, path, kind, when, status)
            if reason:
                self._leave(reason, status.st_size if stat.S_ISREG(status.st_mode) else 0)
                continue
            yield [
                component,
                path,
                kind,
                when,
                status.st_size,
                status.st_ino,
                status.st_mtime_ns,
                status.st_ctime_ns,
                stat.S_IMODE(status.st_mode),
                status.st_uid,
                status.st_gid,
            ]

    def _reason(self, component: str, path: str, kind: str, when: int | None, status: os.stat_result) -> str:
        """Why an old file stays; empty when it may go."""
        if not stat.S_ISREG(status.st_mode):
            return "not_a_file"
        if self.rules.keeps(component, path):
            return "kept"
        if when is None:
            return "no_birth_time"
        if status.st_nlink > 1:
            return "hard_link"
        if status.st_uid != os.geteuid():
            return "other_owner"
        if self.now - status.st_ctime_ns < self.rules.grace * 10**9:
            return "recent"
        return self.named(kind, path)

    def _leave(self, reason: str, size: int) -> None:
        self.left[reason][0] += 1
        self.left[reason][1] += size


_sessions: list[Session] = []


def current() -> Session:
    """The session of this process. :raises StateError: when the process is a new one, because the one before was ended."""
    if not _sessions:
        raise StateError("clean-up", "the process that has looked at the files", "another one", "Run it again")
    return _sessions[-1]


def begin(rules: t.Mapping[str, t.Any], folders: dict[str, str], now: int, limit: float) -> None:
    """Begin to look, and read the stores. :raises StateError: when one cannot be read."""
    _sessions[:] = [Session(Rules(**rules), folders, now, limit)]
    if _sessions[-1].rules.needs_stores():
        _sessions[-1].stores.refresh()


def page(count: int) -> list[Row]:
    """:meth:`Session.page` of the session that was begun."""
    return current().page(count)


def left() -> dict[str, list[int]]:
    """Why old files stay -> how many, and their bytes."""
    return dict(current().left)


def same(row: Row, status: os.stat_result) -> bool:
    """Whether a file is as it was when it was looked at."""
    return (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink) == (*row[SIZE : CTIME + 1], 1)


def digests(rows: list[Row]) -> list[str]:
    """The SHA-256 of each file, without a change of its times; empty where it changed or cannot be read."""
    return [_digest(current().folders[row[COMPONENT]], row) for row in rows]


def _digest(base: str, row: Row) -> str:
    above, name = os.path.split(row[PATH])
    try:
        with foreign.folder(base, above) as folder:
            descriptor = foreign.plain(name, NOATIME, folder)
    except OSError:
        return ""
    try:
        if not same(row, os.fstat(descriptor)):
            return ""
        digest = hashlib.sha256()
        for block in fs.blocks(descriptor, row[SIZE]):
            digest.update(block)
        return digest.hexdigest() if same(row, os.fstat(descriptor)) else ""
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def now() -> int:
    """The time that ages are counted from."""
    return time.time_ns()
