# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consistent copies of SQLite databases that may be in use.

What opens a database here runs in a helper process (``database_copies``), never as root: SQLite follows links, and what a journal
tells it to do to other files, it does. What only looks at a file's first bytes follows no link and may run anywhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sqlite3
import stat
import struct
import time
import typing as t
import urllib.parse

from . import foreign, fs, sqlite_check
from .errors import IntegrityError
from .sqlite_check import VERSIONS_AT, WAL_VERSIONS

HEADER = b"SQLite format 3\0"
#: Files that SQLite keeps beside a database; a copy by the backup API holds what they hold.
COMPANIONS = ("-wal", "-shm", "-journal")
#: What stands in place of ``WAL_VERSIONS`` in a database without a write-ahead log.
_NO_WAL = b"\x01\x01"
#: Seconds to wait for a writer that keeps a database locked.
PATIENCE = 60.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: How a rollback journal ends that names a super-journal, the file of a transaction of several databases (SQLite's file format).
_SUPER = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
#: How files that SQLite keeps beside a database begin: a WAL, a rollback journal that holds something, and, in either byte order, an index.
_MAGIC = {"-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"), "-journal": (_SUPER,), "-shm": (b"\x18\xe2\x2d\0", b"\0\x2d\xe2\x18")}
#: Bytes of a database that its writers lock (SQLite's file format).
_LOCKS, _LOCKED = 0x40000000, 512


def header(path: str, folder: int | None = None) -> bytes:
    """The first 20 bytes of a regular file, none when it cannot be read.

    :param folder: descriptor of the folder that a relative path is in.
    """
    try:
        descriptor = foreign.plain(path, at=folder)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 20)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def is_database(path: str, folder: int | None = None) -> bool:
    """Whether a file is a SQLite database, by its content: the name says nothing."""
    return header(path, folder).startswith(HEADER)


def in_wal_mode(path: str) -> bool:
    """Whether a database keeps a write-ahead log (bytes 18 and 19 of its header, by SQLite's file format)."""
    return header(path)[VERSIONS_AT:] == WAL_VERSIONS


def is_own(companion: str, suffix: str) -> bool:
    """Whether what lies beside a database begins as SQLite's file of that *suffix* does when it holds something."""
    return header(companion).startswith(_MAGIC[suffix])


def is_leftover(companion: str, suffix: str) -> bool:
    """Whether what lies beside a database in use is SQLite's, or empty: a file of a user with such a name is neither."""
    begins = header(companion)  # once: such a file comes and goes
    return begins[:1] in (b"", b"\0") or begins.startswith(_MAGIC[suffix])


def is_written(descriptor: int) -> bool:
    """Whether a process is about to write to a database, by SQLite's locks. Nothing is locked for it."""
    question = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, _LOCKS, _LOCKED, 0)
    with contextlib.suppress(OSError):  # a file system without locks
        return struct.unpack("hhqqi", fcntl.fcntl(descriptor, fcntl.F_GETLK, question))[0] != fcntl.F_UNLCK
    return False


def copy_readable(source: str, target: str, rules: bool = False, stranger: bool = False) -> tuple[bool, list[str]]:
    """:func:`copy` of a regular file that this user can read; whether it is in WAL mode, and remarks.

    :raises OSError: when it is no such file.
    :raises IntegrityError: also when something else than files lies beside it: SQLite would wait for the other end of a pipe.
    """
    os.close(os.open(source, _READ))
    for suffix in ("",) + COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(source + suffix).st_mode):
                raise IntegrityError(source + suffix, "a file", "something else", "Move it away")
    wal = in_wal_mode(source)
    return wal, copy(source, target, rules, stranger)


def copy(source: str, target: str, rules: bool = False, stranger: bool = False) -> list[str]:
    """Copy a database, in use or not, to *target* (mode 0600): one moment of it, whole and checked.

    The copy is a single file: its journal mode is set to DELETE, because a database in WAL mode needs a ``-wal`` and
    a ``-shm`` beside it even to be read, and a restored file must not depend on what lies beside it. An application
    that wants WAL asks for it when it opens the file.

    :param rules: and *stranger*: see :func:`_core.sqlite_check.check`.
    :returns: remarks: what could not be checked, and rows that break a rule.
    :raises IntegrityError: when SQLite cannot read the source or finds it damaged, or its journal names a super-journal, a file
        that SQLite would remove; there is no *target* then.
    """
    try:
        _take(source, target)
        _seal(target)
        return sqlite_check.check(target, source, rules, stranger)
    except BaseException as error:
        _remove(target)
        if "disk is full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target) from error
        if isinstance(error, sqlite_check.ERRORS):
            raise IntegrityError(
                source, "a database that SQLite can read", str(error), "Start the application so that it repairs it, or restore a backup"
            ) from error
        raise


def mark_wal(descriptor: int) -> None:
    """Put a database that nobody uses into WAL mode, by the two numbers of its header that say so; it stays a single file.

    :raises ValueError: when it is no database.
    """
    if not os.pread(descriptor, 20, 0).startswith(HEADER):
        raise ValueError("file is not a database")
    os.pwrite(descriptor, WAL_VERSIONS, VERSIONS_AT)


def _take(source: str, target: str) -> None:
    # Reading a WAL database that nobody has open would create -wal and -shm in the source folder. Without a -wal there
    # is no connection, so the file is read as immutable; that is believed only if nothing moved meanwhile.
    before = _state(source)
    if in_wal_mode(source) and not os.path.exists(source + "-wal"):
        with contextlib.suppress(sqlite3.Error):
            _backup(source, target, "&immutable=1")
            if _state(source) == before and not os.path.exists(source + "-wal"):
                return
    try:
        _backup(source, target)
    except sqlite3.OperationalError as error:
        beside = [suffix for suffix in ("-journal", "-wal") if os.path.exists(source + suffix)]
        if "locked" in str(error) or not beside:
            raise
        _copy_with(beside, source, target)


def _backup(source: str, target: str, more: str = "") -> None:
    _remove(target)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    deadline = time.monotonic() + PATIENCE

    def progress(status: int, remaining: int, total: int) -> None:
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError(f"database is locked for more than {PATIENCE:.0f} s")

    uri = "file:" + urllib.parse.quote(os.fsencode(os.path.abspath(source))) + "?mode=ro" + more
    # Without WAL a busy writer leaves gaps of a millisecond only: ask often, SQLite's own waiting grows to 0.1 s.
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as reading, contextlib.closing(sqlite3.connect(target)) as writing:
        reading.backup(writing, pages=-1, progress=progress, sleep=0.001)


def _copy_with(beside: list[str], source: str, target: str) -> None:
    """The application died, or SQLite cannot read the source without writing to its folder: the copy is recovered, not the source."""
    pairs = [(source + suffix, target + suffix) for suffix in ["", *beside]]
    before = [_state(path) for path, _copy in pairs]
    _remove(target)
    for path, other in pairs:
        with open(path, "rb") as reading, open(other, "xb") as writing:
            os.fchmod(writing.fileno(), 0o600)
            shutil.copyfileobj(reading, writing, fs.CHUNK)
    if [_state(path) for path, _copy in pairs] != before:
        raise sqlite3.OperationalError("it changed while it was read")
    if "-journal" in beside:
        _refuse_super_journal(source, target + "-journal")


def _refuse_super_journal(source: str, copy_path: str) -> None:
    with open(copy_path, "rb") as journal:
        journal.seek(max(0, journal.seek(0, os.SEEK_END) - len(_SUPER)))
        if journal.read() == _SUPER:
            raise IntegrityError(
                source,
                "a journal of this database alone",
                "one that names a super-journal, a file that SQLite would remove",
                "Start the application so that it repairs the database, or restore a backup",
            )


def _seal(target: str) -> None:
    """Make a copy the single file: what lies beside it is taken into it, and it is in WAL mode no more.

    By its header, because SQLite changes the mode only of a database whose schema it can read.
    """
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.execute("PRAGMA user_version").fetchall()  # rolls back or recovers; closing it ends its WAL
    if in_wal_mode(target):
        if os.path.exists(target + "-wal"):
            raise sqlite3.OperationalError("its WAL cannot be taken into the copy")
        descriptor = os.open(target, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.pwrite(descriptor, _NO_WAL, VERSIONS_AT)
        finally:
            os.close(descriptor)


def _state(path: str) -> tuple[t.Any, ...] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _remove(target: str) -> None:
    for suffix in ("",) + COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target + suffix)
