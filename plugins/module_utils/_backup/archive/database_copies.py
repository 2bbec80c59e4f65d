# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SQLite databases that this process must not open itself: a helper with the rights of their user copies and checks them.

The helper works in a folder of its own. What it leaves there is a file of that user: it is opened by descriptor, and only its
bytes are taken. See ``_core.sqlite`` for what the helper does.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import threading
import typing as t

from ..._core import accounts, as_user, foreign, fs, scratch, sparse, sqlite, sqlite_check, wording
from ..._core.accounts import Account
from ..._core.errors import IntegrityError, StateError

PREFIX = ".mobius-ops-work-"
#: Bytes that a copy may have beyond twice the size of what is copied.
_MARGIN = 64 * 1024**2
#: Seconds beyond those that the helper gives itself.
GRACE = 5.0
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Copy(t.NamedTuple):
    """A database that was taken as a single file."""

    descriptor: int
    #: Whether its application keeps it in WAL mode, although the copy is not.
    wal: bool
    #: What could not be checked, and rows that break a rule of their table.
    remarks: list[str]


class Databases:
    """Copies and checks databases of one account.

    :param places: folders in which the helper's folder may be made, the best first.
    :param needed: bytes that the largest copy needs.
    """

    def __init__(self, account: Account, places: t.Sequence[str], needed: int = 0) -> None:
        self._account, self._places, self._needed = account, places, needed
        self._helper = as_user.Helper(account)
        self._stack = contextlib.ExitStack()
        self._path, self._outer, self._inner, self._numbers = "", -1, -1, itertools.count(1)
        self._opening = threading.Lock()

    def __enter__(self) -> Databases:
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self.close()

    def close(self) -> None:
        """End the helper and remove its folder."""
        self._helper.close()
        self._stack.close()

    def start(self) -> None:
        """Fork the helper now, before there are threads."""
        self._helper.start()

    @contextlib.contextmanager
    def copied(self, base: str, relative: str, size: int, own: bool = True) -> t.Iterator[Copy]:
        """A checked copy of a database that may be in use.

        :param base: the component's folder; *relative* is the path below it.
        :param own: whether only the application makes databases here; one that anybody may have made gets little time.
        :raises IntegrityError: when SQLite cannot read it, or not in time, or finds it damaged.
        :raises OSError: when it is no file that can be read.
        """
        self._open()
        source, size = os.path.join(base, relative), size + _size_of(base, relative + "-wal")
        try:
            try:
                said = self._copy(source, source, size, own)
            except PermissionError:  # its user does not reach it, so nobody uses it: its files can be taken as they are
                self._bring(base, relative)
                said = self._copy(os.path.join(self._path, "w", "brought"), source, size, own)
            wal, remarks = _said(said)
            with self._result(source, 2 * size + _MARGIN) as descriptor:
                yield Copy(descriptor, wal, remarks)
        finally:
            self._clear()

    def _copy(self, path: str, name: str, size: int, own: bool) -> t.Any:
        limit = sqlite.PATIENCE + (1 + own) * sqlite_check.seconds(size, not own) + GRACE
        target = os.path.join(self._path, "w", "copy")
        return self._ask(name, sqlite.copy_readable, path, target, own, not own, seconds=limit, written=2 * size + _MARGIN)

    @contextlib.contextmanager
    def at_rest(self, content: t.Iterable[bytes], name: str) -> t.Iterator[Copy]:
        """A database whose bytes are all of it, checked: a file that holds just these. :raises IntegrityError: when it is damaged."""
        self._open()
        with self._put(content) as (path, size, descriptor):
            said = self._ask(name, sqlite_check.check, path, name, True, seconds=2 * sqlite_check.seconds(size) + GRACE)
            yield Copy(descriptor, False, _said([False, said])[1])

    def check(self, content: t.Iterable[bytes | memoryview], name: str) -> None:
        """Check a database that is given as its bytes. :raises IntegrityError: when it is damaged."""
        self._open()
        with self._put(content) as (path, size, _descriptor):
            self._ask(name, sqlite_check.check, path, name, seconds=sqlite_check.seconds(size) + GRACE)

    def ask(self, base: str, relative: str, function: t.Callable[..., t.Any], *words: t.Any, seconds: float) -> t.Any:
        """What a function tells of a database that nobody uses: it gets its path first.

        :raises as_user.Failed: when it ends its process, needs too much memory or does not end in time.
        """
        try:
            return self._helper.call(function, os.path.join(base, relative), *words, seconds=seconds)
        except PermissionError:
            self._open()
            with _opened(base, relative) as descriptor:
                content = fs.blocks(descriptor, os.fstat(descriptor).st_size)
                with self._put(content) as (path, _size, _descriptor):
                    return self._helper.call(function, path, *words, seconds=seconds)

    def _ask(self, name: str, function: t.Callable[..., t.Any], *words: t.Any, seconds: float, written: int = 0) -> t.Any:
        try:
            with self._room():
                return self._helper.call(function, *words, seconds=seconds, written=written)
        except as_user.Failed as error:
            raise IntegrityError(
                name, "a database that SQLite can read", str(error), "Start the application so that it repairs it, or restore a backup"
            ) from error

    @contextlib.contextmanager
    def _room(self) -> t.Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StateError(
                    f"the file system of {self._path}", "room for a copy of a database", "none left", "Free some space"
                ) from error
            raise

    def _open(self) -> None:
        """Make the helper's folder, once: ``w`` belongs to its user, what is around it does not."""
        with self._opening:
            if self._path:
                return
            made = self._stack.enter_context(scratch.scratch(PREFIX, _place(self._account, self._places, self._needed)))
            self._outer = made.lock
            os.mkdir("w", 0o700, dir_fd=self._outer)
            self._inner = os.open("w", foreign.FOLDER, dir_fd=self._outer)
            self._stack.callback(os.close, self._inner)
            if self._account.drops:
                os.fchown(self._outer, -1, self._account.gid)
                os.fchmod(self._outer, 0o710)
                os.fchown(self._inner, self._account.uid, self._account.gid)
            self._path = made.path

    @contextlib.contextmanager
    def _result(self, name: str, most: int) -> t.Iterator[int]:
        try:
            descriptor = foreign.plain("copy", at=self._inner)
        except OSError as error:
            raise IntegrityError(name, "a copy of it", str(error.strerror), "Find out which program changes the helper's files") from error
        try:
            status = os.fstat(descriptor)
            own = not self._account.drops or status.st_uid == self._account.uid
            if status.st_nlink != 1 or not own or status.st_size > most:
                raise IntegrityError(name, "a copy of it", "another file", "Find out which program changes the helper's files")
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _put(self, content: t.Iterable[bytes | memoryview]) -> t.Iterator[tuple[str, int, int]]:
        """A file that the helper can read and nobody but this process can replace; its path, size and descriptor."""
        name, size = f"database{next(self._numbers)}", 0
        descriptor = os.open(name, _NEW, 0o600, dir_fd=self._outer)
        try:
            with self._room():
                for chunk in content:
                    sparse.write(descriptor, chunk)
                    size += len(chunk)
                os.ftruncate(descriptor, size)
            if self._account.drops:
                os.fchown(descriptor, self._account.uid, self._account.gid)
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield os.path.join(self._path, name), size, descriptor
        finally:
            os.close(descriptor)
            os.unlink(name, dir_fd=self._outer)

    def _bring(self, base: str, relative: str) -> None:
        """Take a database and what lies beside it into the helper's folder, byte by byte."""
        for suffix in ("", *sqlite.COMPANIONS):
            try:
                with _opened(base, relative + suffix) as source:
                    target = os.open("brought" + suffix, _NEW, 0o600, dir_fd=self._inner)
                    try:
                        for block in fs.blocks(source, os.fstat(source).st_size):
                            sparse.write(target, block)
                        os.ftruncate(target, os.lseek(target, 0, os.SEEK_CUR))
                        if self._account.drops:
                            os.fchown(target, self._account.uid, self._account.gid)
                    finally:
                        os.close(target)
            except FileNotFoundError:
                if not suffix:
                    raise

    def _clear(self) -> None:
        for name in ("copy", "brought"):
            for suffix in ("", *sqlite.COMPANIONS):
                with contextlib.suppress(OSError):  # its user may have put anything there; it goes with the folder
                    os.unlink(name + suffix, dir_fd=self._inner)


class PerOwner:
    """The databases of several folders, each with the rights of the folder's owner."""

    def __init__(self, places: t.Sequence[str], needed: int = 0) -> None:
        self._places, self._needed = places, needed
        self._made: dict[Account, Databases] = {}

    def of(self, folder: str) -> Databases:
        """Those of one folder; its helper is forked by now."""
        account = accounts.owner_of(folder)
        if account not in self._made:
            self._made[account] = Databases(account, self._places, self._needed)
            self._made[account].start()
        return self._made[account]

    def close(self) -> None:
        """End all helpers."""
        for databases in self._made.values():
            databases.close()


def _said(said: t.Any) -> tuple[bool, list[str]]:
    """What a helper says of a copy; it may say anything."""
    if isinstance(said, list) and len(said) == 2 and isinstance(said[1], list):
        texts = [str(one).encode("utf-8", "replace").decode() for one in said[1][:10]]
        return bool(said[0]), [wording.printable(text)[:500] for text in texts]
    return False, []


def _place(account: Account, places: t.Sequence[str], needed: int) -> str:
    """The first folder that the account reaches and that has room; without one that has room, the first that it reaches."""
    reached = [place for place in places if account.reaches(place)]
    if not reached:
        raise StateError(
            f"user {account.uid}",
            "to get into one of " + ", ".join(places),
            "that it may not",
            "Let it pass through (chmod o+x), for its databases are read with its rights",
        )
    return next((place for place in reached if shutil.disk_usage(place).free > needed), reached[0])


def _size_of(base: str, relative: str) -> int:
    with contextlib.suppress(OSError), _opened(base, relative) as descriptor:
        return os.fstat(descriptor).st_size
    return 0


@contextlib.contextmanager
def _opened(base: str, relative: str) -> t.Iterator[int]:
    """A regular file below a folder, reached through no link. :raises OSError: when it is none."""
    folder, _slash, name = relative.rpartition("/")
    with foreign.folder(base, folder) as parent:
        descriptor = foreign.plain(name, at=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
