# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies a tree that an application writes to meanwhile: by descriptors, through no link, and to any depth.

Pipes, sockets and devices are left out, and what vanishes or may not be read. Databases are copied by SQLite, so this
runs with the rights of the tree's user (``_core.as_user``).
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
import typing as t

from .._core import foreign, fs, sparse, sqlite, torn_json, walk
from .._core.errors import StateError

#: Seconds within which a JSON store must be found whole.
PATIENCE = 5.0
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Bytes at the end of a large store that are looked at.
_END = 4096
#: What leaves a file out: it is gone, became a link or something else, or may not be read.
_LEFT_OUT = (FileNotFoundError, PermissionError, NotADirectoryError)


def copy(source: str, target: str) -> None:
    """Copy a component into a folder that is there: databases by SQLite, JSON stores when they are whole.

    :raises StateError: when a JSON store is never found whole.
    :raises IntegrityError: when SQLite cannot read a database, or finds it damaged.
    """
    closed: list[tuple[str, os.stat_result]] = []
    with contextlib.ExitStack() as stack:
        made = walk.Held(target, stack)
        for folder in walk.walk(source):
            status, into = os.fstat(folder.descriptor), made.enter(folder.relative)
            _Folder(folder, into, os.path.join(source, folder.relative), os.path.join(target, folder.relative)).copy()
            if status.st_mode & 0o300 == 0o300:
                _dress(into, status)
            else:  # its user could not fill it any more
                closed.append((folder.relative, status))
        for relative, status in reversed(closed):
            _dress(made.enter(relative), status)


class _Folder:
    """What lies in one folder."""

    def __init__(self, folder: walk.Folder, into: int, path: str, copy_path: str) -> None:
        self._folder, self._into, self._path, self._copy_path = folder, into, path, copy_path

    def copy(self) -> None:
        """Copy all files and links, and make its folders."""
        files = {name for name, status in self._folder.entries if stat.S_ISREG(status.st_mode)}
        databases = {name for name in files if sqlite.is_database(name, self._folder.descriptor)}
        beside = {name + suffix for name in databases for suffix in sqlite.COMPANIONS}  # the copy is a single file
        for name, status in self._folder.entries:
            if stat.S_ISDIR(status.st_mode):
                os.mkdir(name, 0o700, dir_fd=self._into)
            elif stat.S_ISLNK(status.st_mode):
                with contextlib.suppress(OSError):
                    os.symlink(os.readlink(name, dir_fd=self._folder.descriptor), name, dir_fd=self._into)
            elif name in files and name not in beside:
                self._file(name, name in databases)

    def _file(self, name: str, database: bool) -> None:
        try:
            descriptor = foreign.plain(name, at=self._folder.descriptor)
        except OSError:  # gone, something else by now, or not this user's to read
            return
        try:
            if database:
                self._database(name)
            elif name.lower().endswith(".json"):
                self._store(name)
            else:
                self._take(descriptor, name)
        finally:
            os.close(descriptor)

    def _database(self, name: str) -> None:
        try:
            sqlite.copy_readable(os.path.join(self._path, name), os.path.join(self._copy_path, name))
        except _LEFT_OUT:
            return
        with self._opened(name) as made, contextlib.suppress(OSError):
            _dress(made, os.stat(name, dir_fd=self._folder.descriptor, follow_symlinks=False))

    @contextlib.contextmanager
    def _opened(self, name: str) -> t.Iterator[int]:
        descriptor = foreign.plain(name, at=self._into)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _store(self, name: str) -> None:
        """The application may write it in place: it is read anew until it is whole."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                descriptor = foreign.plain(name, at=self._folder.descriptor)
            except OSError:
                return
            try:
                self._take(descriptor, name)
            finally:
                os.close(descriptor)
            with self._opened(name) as made:
                if not _torn(made):
                    return
            os.unlink(name, dir_fd=self._into)
            if time.monotonic() > deadline:
                raise StateError(
                    f"store {os.path.join(self._path, name)}",
                    "a JSON document",
                    "none, or a part of one",
                    "Repair it: no release can read it",
                )
            time.sleep(0.05)

    def _take(self, descriptor: int, name: str) -> None:
        """Copy one file up to the size that it has now."""
        status = os.fstat(descriptor)
        made = os.open(name, _NEW, 0o600, dir_fd=self._into)
        try:
            for block in fs.blocks(descriptor, status.st_size):
                sparse.write(made, block)
            os.ftruncate(made, os.lseek(made, 0, os.SEEK_CUR))
            _dress(made, status)
        finally:
            os.close(made)


def _torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, min(size, torn_json.PARSED), 0)
    return torn_json.is_torn(head, os.pread(descriptor, _END, max(0, size - _END)), size)


def _dress(descriptor: int, status: os.stat_result) -> None:
    """Give a copy the owner, as far as this user may, the mode but for set-uid and set-gid, and the time of what it is a copy of."""
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, status.st_uid if os.geteuid() == 0 else -1, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & 0o777)
    os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
