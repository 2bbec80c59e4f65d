# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Consistent copies of SQLite databases that may be in use.

What opens a database here runs in a helper process (``_databases``), never as root: SQLite follows links, and what a journal
tells it to do to other files, it does. What only looks at a file's first bytes follows no link and may run anywhere.
"""
from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import time
import typing as t
import urllib.parse

from ansible_collections.mobius.ops.plugins.module_utils import _files
from ansible_collections.mobius.ops.plugins.module_utils._errors import IntegrityError, StateError

HEADER = b"SQLite format 3\0"
#: Files that SQLite keeps beside a database; a copy by the backup API holds what they hold.
COMPANIONS = ("-wal", "-shm", "-journal")
_WAL_VERSIONS = b"\x02\x02"
#: Seconds to wait for a writer that keeps a database locked.
PATIENCE = 60.0
#: A check may take so many seconds, and one more for so many bytes: a slow disk's reads at random.
SECONDS, SPEED = 30.0, 1_000_000
#: Bytes of a text or value, at most; of the memory for pages (KiB, below zero as SQLite wants it); steps between two looks at the clock.
_LONGEST, _CACHE, _STEPS = 200_000_000, -16_000, 10_000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: How a rollback journal ends that names a super-journal, the file of a transaction of several databases (SQLite's file format).
_SUPER = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
#: What a damaged database makes SQLite and Python's part of it raise.
ERRORS = (sqlite3.Error, UnicodeError, OverflowError, ValueError)


def header(path: str, folder: int | None = None) -> bytes:
    """The first 20 bytes of a regular file, none when it cannot be read.

    :param folder: descriptor of the folder that a relative path is in.
    """
    try:
        descriptor = _files.plain(path, at=folder)
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


def seconds(size: int) -> float:
    """How long a check of so many bytes may take."""
    return SECONDS + size / SPEED


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


def copy_readable(source: str, target: str) -> bool:
    """:func:`copy` of a regular file that this user can read; whether it is in WAL mode.

    :raises OSError: when it is no such file.
    :raises IntegrityError: also when something else than files lies beside it: SQLite would wait for the other end of a pipe.
    """
    os.close(os.open(source, _READ))
    for suffix in ("",) + COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(source + suffix).st_mode):
                raise IntegrityError(source + suffix, "a file", "something else", "Move it away")
    wal = in_wal_mode(source)
    copy(source, target)
    return wal


def copy(source: str, target: str) -> None:
    """Copy a database, in use or not, to *target* (mode 0600): one moment of it, whole and checked.

    The copy is a single file: its journal mode is set to DELETE, because a database in WAL mode needs a ``-wal`` and
    a ``-shm`` beside it even to be read, and a restored file must not depend on what lies beside it. An application
    that wants WAL asks for it when it opens the file.

    :raises IntegrityError: when SQLite cannot read the source or finds it damaged, or its journal names a super-journal, a file
        that SQLite would remove; there is no *target* then.
    """
    try:
        _take(source, target)
        _seal(source, target)
    except BaseException as error:
        _remove(target)
        if "disk is full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target) from error
        if isinstance(error, ERRORS):
            raise IntegrityError(source, "a database that SQLite can read", str(error),
                                 "Start the application so that it repairs it, or restore a backup") from error
        raise


def mark_wal(descriptor: int) -> None:
    """Put a database that nobody uses into WAL mode, by the two numbers of its header that say so; it stays a single file.

    :raises ValueError: when it is no database.
    """
    if not os.pread(descriptor, 20, 0).startswith(HEADER):
        raise ValueError("file is not a database")
    os.pwrite(descriptor, _WAL_VERSIONS, 18)


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
    with open(target + "-journal", "rb") as journal:
        journal.seek(max(0, journal.seek(0, os.SEEK_END) - len(_SUPER)))
        if journal.read() == _SUPER:
            raise IntegrityError(source, "a journal of this database alone",
                                 "one that names a super-journal, a file that SQLite would remove",
                                 "Start the application so that it repairs the database, or restore a backup")


def _seal(source: str, target: str) -> None:
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as database:
        _check(database, source, os.path.getsize(target))
        database.execute("PRAGMA journal_mode=DELETE").fetchall()


def check(path: str, name: str) -> None:
    """Check a database that is a single file, without a change to it.

    :param name: what a message calls it.
    :raises IntegrityError: when it is damaged.
    """
    try:
        with opened(path) as database:
            _check(database, name, os.path.getsize(path))
    except ERRORS as error:
        raise IntegrityError(name, "a sound database", str(error), "Repair the database or restore a backup") from error


@contextlib.contextmanager
def opened(path: str) -> t.Iterator[sqlite3.Connection]:
    """A database that is a single file at rest, to read it."""
    uri = "file:" + urllib.parse.quote(os.fsencode(os.path.abspath(path))) + "?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
        yield database


def guard(database: sqlite3.Connection, limit: float) -> None:
    """Let a database that may be made to harm do little: it runs nothing of its own, and is interrupted after so many seconds."""
    deadline = time.monotonic() + limit
    database.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    if hasattr(database, "setlimit"):  # Python 3.11
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    if hasattr(database, "setconfig"):  # Python 3.12
        database.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    for setting in ("trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY", f"cache_size={_CACHE}"):
        database.execute("PRAGMA " + setting).fetchall()


def faults(database: sqlite3.Connection, most: int) -> list[str]:
    """What is wrong with a database, by SQLite's own check: so many faults at most."""
    said = [" ".join(str(row[0]).split()) for row in database.execute(f"PRAGMA integrity_check({most})")]
    return [] if said == ["ok"] else said


def examine(path: str, shown: str, limit: float) -> dict[str, int | None]:
    """Check a database that is a single file at rest; the number of rows of each of its tables.

    :param limit: seconds that it may take.
    :raises IntegrityError: when it is damaged. :raises StateError: when it takes longer.
    """
    os.close(os.open(path, _READ))
    try:
        with opened(path) as database:
            guard(database, limit)
            said = faults(database, 3)
            if said:
                raise IntegrityError(f"database {shown}", "integrity_check to say ok", " | ".join(said)[:300],
                                     "Use an older archive, and look for what damages the database")
            names = [row[0] for row in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")]
            return {name: _rows(database, name) for name in names}
    except ERRORS as error:
        if "interrupted" in str(error):
            raise StateError(f"database {shown}", "to be read within the time of the drill", "it takes longer",
                             "Give the drill more time (mobius_drill_timeout)") from error
        raise IntegrityError(f"database {shown}", "a database that SQLite can read", str(error),
                             "Use an older archive, and look for what damages the database") from error


def _rows(database: sqlite3.Connection, table: str) -> int | None:
    """How many rows a table has; ``None`` when it needs a module that only the application has, or its name is no text."""
    quoted = table.replace('"', '""')
    try:
        return database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]
    except sqlite3.OperationalError as error:
        if "no such module" in str(error) or "\ufffd" in table:
            return None
        raise


def _check(database: sqlite3.Connection, name: str, size: int) -> None:
    limit = seconds(size)
    guard(database, limit)
    try:
        found = faults(database, 1)
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise sqlite3.OperationalError(f"its check does not end within {limit:.0f} s") from error
        raise
    if found:
        raise IntegrityError(name, "a sound database", f"integrity_check: {found[0][:200]}", "Repair the database or restore a backup")


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
