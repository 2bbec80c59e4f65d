# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consistent copies of SQLite databases that may be in use."""
from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
import typing as t
import urllib.parse

from ansible_collections.mobius.ops.plugins.module_utils import _files
from ansible_collections.mobius.ops.plugins.module_utils._errors import IntegrityError

HEADER = b"SQLite format 3\0"
#: Files that SQLite keeps beside a database; a copy by the backup API holds what they hold.
COMPANIONS = ("-wal", "-shm", "-journal")
_WAL_VERSIONS = b"\x02\x02"
#: Seconds to wait for a writer that keeps a database locked.
PATIENCE = 60.0


def header(path: str) -> bytes:
    """The first 20 bytes of a regular file, none when it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 20)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def is_database(path: str) -> bool:
    """Whether a file is a SQLite database, by its content: the name says nothing."""
    return header(path).startswith(HEADER)


def in_wal_mode(path: str) -> bool:
    """Whether a database keeps a write-ahead log (bytes 18 and 19 of its header, by SQLite's file format)."""
    return header(path)[18:20] == _WAL_VERSIONS


def in_use(path: str) -> bool:
    """Whether something beside a database may hold a part of it."""
    for suffix in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            if os.lstat(path + suffix).st_size:
                return True
    return False


def copy(source: str, target: str) -> None:
    """Copy a database, in use or not, to *target* (mode 0600): one moment of it, whole and checked.

    The copy is a single file: its journal mode is set to DELETE, because a database in WAL mode needs a ``-wal`` and
    a ``-shm`` beside it even to be read, and a restored file must not depend on what lies beside it. An application
    that wants WAL asks for it when it opens the file.

    :raises IntegrityError: when SQLite cannot read the source or finds it damaged; there is no *target* then.
    """
    try:
        _take(source, target)
        _seal(source, target)
    except BaseException as error:
        _remove(target)
        if "disk is full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target) from error
        if isinstance(error, sqlite3.Error):
            raise IntegrityError(source, "a database that SQLite can read", str(error),
                                 "Start the application so that it repairs it, or restore a backup") from error
        raise


def to_wal(path: str) -> None:
    """Put a database that nobody uses into WAL mode; it stays a single file. :raises sqlite3.Error: when it is damaged."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA trusted_schema=OFF")
        # The index of the log is then kept in memory: no -shm, which some file systems cannot have.
        database.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        database.execute("PRAGMA journal_mode=WAL").fetchall()
    for suffix in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + suffix)


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
        if "locked" in str(error) or not os.path.exists(source + "-journal"):
            raise
        _copy_with_journal(source, target)


def _backup(source: str, target: str, more: str = "") -> None:
    _remove(target)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    deadline = time.monotonic() + PATIENCE

    def progress(status: int, remaining: int, total: int) -> None:
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError(f"database is locked for more than {PATIENCE:.0f} s")

    uri = "file:" + urllib.parse.quote(os.fsencode(os.path.abspath(source))) + "?mode=ro" + more
    # Without WAL a busy writer leaves gaps of a millisecond only: ask often, SQLite's own waiting grows to 0.1 s.
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as reading, \
            contextlib.closing(sqlite3.connect(target)) as writing:
        reading.backup(writing, pages=-1, progress=progress, sleep=0.001)


def _copy_with_journal(source: str, target: str) -> None:
    """The application died in a transaction: roll it back in the copy, the source is not ours to change."""
    pairs = [(source, target), (source + "-journal", target + "-journal")]
    before = [_state(path) for path, _copy in pairs]
    _remove(target)
    for path, other in pairs:
        with open(path, "rb") as reading, open(other, "xb") as writing:
            os.fchmod(writing.fileno(), 0o600)
            for chunk in iter(lambda reading=reading: reading.read(_files.CHUNK), b""):
                writing.write(chunk)
    if [_state(path) for path, _copy in pairs] != before:
        raise sqlite3.OperationalError("it changed while it was read")


def _seal(source: str, target: str) -> None:
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as database:
        _check(database, source)
        database.execute("PRAGMA journal_mode=DELETE").fetchall()


def check(path: str, name: str) -> None:
    """Check a database that is a single file, without a change to it.

    :param name: what a message calls it.
    :raises IntegrityError: when it is damaged.
    """
    uri = "file:" + urllib.parse.quote(os.fsencode(os.path.abspath(path))) + "?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            _check(database, name)
    except sqlite3.Error as error:
        raise IntegrityError(name, "a sound database", str(error), "Repair the database or restore a backup") from error


def _check(database: sqlite3.Connection, name: str) -> None:
    database.execute("PRAGMA trusted_schema=OFF")
    found = [row[0] for row in database.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        said = " ".join(str(found[0]).split())[:200]
        raise IntegrityError(name, "a sound database", f"integrity_check: {said}", "Repair the database or restore a backup")


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
