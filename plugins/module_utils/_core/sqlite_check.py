# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks SQLite databases, and tells damage from what only their application can judge.

A check that cannot run says nothing about the data: the application may have collations, functions and modules that this
process lacks, or a newer SQLite. Such a database is checked as far as it goes, and the caller gets a remark. Rows that break a
rule of their table (NOT NULL, CHECK) are the application's matter: a remark as well.

The functions here run in a helper process (``_backup.archive.database_copies``): a database may be made to do harm.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
import typing as t
import urllib.parse

from . import foreign
from .errors import IntegrityError, StateError

#: A check may take so many seconds, and one more for so many bytes: a slow disk's reads at random.
SECONDS, SPEED = 30.0, 1_000_000
#: The same for a database that a stranger may have uploaded.
STRANGER_SECONDS, STRANGER_SPEED = 5.0, 10_000_000
#: Bytes of a text or value, at most; of the memory for pages (KiB, below zero as SQLite wants it); steps between two looks at the clock.
_LONGEST, _CACHE, _STEPS = 200_000_000, -16_000, 10_000
#: Lines of a check's answer that are read; names of the application that are stood in for.
_MOST_LINES, _MOST_NAMES = 1_000_000, 50
#: Bytes of a database's header that say that it keeps a write-ahead log, and where they are (SQLite's file format).
WAL_VERSIONS, VERSIONS_AT = b"\2\2", 18
#: What a damaged database makes SQLite and Python's part of it raise.
ERRORS = (sqlite3.Error, UnicodeError, OverflowError, ValueError)

#: Lines about rows that break a rule of their table, about entries of an index, and about pages of no table that could be read.
_RULE = re.compile(r"(NULL value in|CHECK constraint failed in|(?:non-)?(?:ANY|BLOB|INT|INTEGER|NUMERIC|REAL|TEXT) value in) ")
_INDEX = re.compile(r"(row \d+ missing from index|row \d+ values differ from index|non-unique entry in index|wrong # of entries in index) ")
_UNUSED = re.compile(r"Page \d+(:| is) never used")
#: Why a check does not run: what the application has and this process has not.
_COLLATION = re.compile(r"no such collation sequence: (.+)")
_FUNCTION = re.compile(r"(?:no such|unknown) function: ([^()]+)")
_SCHEMA = re.compile(r"malformed database schema \((.*)\) - ((?:near |no such |unknown |unrecognized |unsupported use).*)", re.DOTALL)
_OTHER = re.compile(r"no such |unknown |unsafe use |near |unrecognized |not authorized|too many |parser stack|Expression tree")


def seconds(size: int, stranger: bool = False) -> float:
    """How long a check of so many bytes may take."""
    return STRANGER_SECONDS + size / STRANGER_SPEED if stranger else SECONDS + size / SPEED


@contextlib.contextmanager
def _opened(path: str, rules: bool = False) -> t.Iterator[sqlite3.Connection]:
    """A database that is a single file at rest, to read it. SQLite looks at CHECK constraints only of one that it may write to."""
    mode = "rw" if rules else "ro&immutable=1"
    uri = "file:" + urllib.parse.quote(os.fsencode(os.path.abspath(path))) + "?mode=" + mode
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
        yield database


def check(path: str, name: str, rules: bool = False, stranger: bool = False) -> list[str]:
    """Check a database that is a single file, without a change to it.

    :param name: what a message calls it.
    :param rules: whether rows are held against the CHECK constraints of their tables, unless it is in WAL mode.
    :param stranger: whether anybody may have made it, so that it gets little time.
    :returns: remarks: what could not be checked, and rows that break a rule.
    :raises IntegrityError: when it is damaged, or cannot be checked in time.
    """
    try:
        rules = rules and not _in_wal_mode(path)  # only files beside it would let SQLite write to it
        with _opened(path, rules) as database:
            return _Check(database, seconds(os.path.getsize(path), stranger)).run(name, rules)
    except ERRORS as error:
        raise IntegrityError(name, "a sound database", f"integrity_check: {error}", "Repair the database or restore a backup") from error


def examine(path: str, shown: str, limit: float) -> dict[str, int | None]:
    """Check a database that is a single file at rest; the number of rows of each of its tables, where they can be counted.

    :param limit: seconds that it may take.
    :raises IntegrityError: when it is damaged. :raises StateError: when it takes longer.
    """
    os.close(foreign.plain(path))
    try:
        with _opened(path) as database:
            _Check(database, limit).run(f"database {shown}")
            names = [
                row[0]
                for row in database.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
                )
            ]
            return {name: _rows(database, name) for name in names}
    except ERRORS as error:
        raise (too_slow(shown) if "interrupted" in str(error) else unreadable(shown, str(error))) from error


def too_slow(shown: str) -> StateError:
    """The error that :func:`examine` raises for a database that takes longer than it may."""
    return StateError(
        f"database {shown}",
        "to be read within the time of the drill",
        "it takes longer",
        "Give the drill more time (mobius_drill_timeout)",
    )


def unreadable(shown: str, why: str) -> IntegrityError:
    """The error that :func:`examine` raises for a damaged database."""
    return IntegrityError(
        f"database {shown}",
        "a database that SQLite can read",
        why,
        "Use an older archive, and look for what damages the database",
    )


def _in_wal_mode(path: str) -> bool:
    with os.fdopen(foreign.plain(path), "rb") as stream:
        return stream.read(VERSIONS_AT + len(WAL_VERSIONS))[VERSIONS_AT:] == WAL_VERSIONS


def _rows(database: sqlite3.Connection, table: str) -> int | None:
    """How many rows a table has; ``None`` when that takes what only the application has, or its name is no text."""
    quoted = table.replace('"', '""')
    try:
        return database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]
    except sqlite3.OperationalError as error:
        if _OTHER.match(str(error)) or "\ufffd" in table:
            return None
        raise


class _Check:
    """One database's check. It begins strictly; each time SQLite says that it lacks something, it goes on without that."""

    def __init__(self, database: sqlite3.Connection, limit: float) -> None:
        self._database, self._limit = database, limit
        self._lacks: list[str] = []
        self._ignored: list[re.Pattern[str]] = []

    def run(self, name: str, rules: bool = False) -> list[str]:
        """:returns: remarks. :raises IntegrityError: when it is damaged. :raises sqlite3.Error: when it cannot be read."""
        self._guard()
        self._pragma("ignore_check_constraints", not rules)
        while True:
            try:
                return self._read(name) + self._remarks()
            except sqlite3.DatabaseError as error:
                if "interrupted" in str(error) and rules:  # these may be what takes so long
                    rules = False
                    self._pragma("ignore_check_constraints", True)
                    self._lacks.append("its CHECK constraints, in the time that there is")
                elif "interrupted" in str(error):
                    raise sqlite3.OperationalError(f"interrupted: its check does not end within {self._limit:.0f} s") from error
                elif not self._go_without(str(error)):
                    if not _OTHER.match(str(error)):
                        raise
                    self._lacks.append(str(error))
                    return self._remarks()

    def _read(self, name: str) -> list[str]:
        deadline = time.monotonic() + self._limit
        self._database.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        self._database.execute(f"PRAGMA cache_size={_CACHE}").fetchall()  # reads the schema
        broken, first = 0, ""
        for row in self._database.execute(f"PRAGMA integrity_check({_MOST_LINES})"):
            for line in filter(None, map(str.strip, str(row[0]).splitlines())):
                if line == "ok" or line.startswith("***") or any(pattern.match(line) for pattern in self._ignored):
                    continue
                if not _RULE.match(line):
                    raise IntegrityError(
                        name, "a sound database", f"integrity_check: {line[:200]}", "Repair the database or restore a backup"
                    )
                broken, first = broken + 1, first or line[:200]
        return [f"breaks a rule of its own tables in {broken} rows ({first})"] if broken else []

    def _remarks(self) -> list[str]:
        return [f"could not be checked in full: it needs {', '.join(self._lacks)}"[:500]] if self._lacks else []

    def _go_without(self, said: str) -> bool:
        """Stand in for what the application has; whether that is possible. What depends on it is not believed any more."""
        schema, collation, function = _SCHEMA.match(said), _COLLATION.match(said), _FUNCTION.match(said)
        lack = (
            f"a newer SQLite for {schema[1]} ({schema[2]})"
            if schema
            else f"the collation {collation[1]}"
            if collation
            else f"the function {function[1]}"
            if function
            else ""
        )
        if not lack or lack in self._lacks or len(self._lacks) >= _MOST_NAMES:
            return False
        self._lacks.append(lack)
        if schema:  # it reads what it can of the schema then; nothing can write to this database
            self._configure("SQLITE_DBCONFIG_DEFENSIVE", False)
            self._pragma("writable_schema", True)
            self._ignored += [_UNUSED]
        else:
            self._ignored += [_INDEX, _RULE]
        if collation:
            self._database.create_collation(collation[1], lambda one, other: (one > other) - (one < other))
        if function:  # SQLite takes a function from outside for one that may do harm; these return nothing
            self._pragma("trusted_schema", True)
            self._database.create_function(function[1], -1, _nothing, deterministic=True)
        return True

    def _guard(self) -> None:
        """Let a database that may be made to harm do little: it runs nothing of its own."""
        self._database.text_factory = lambda raw: raw.decode("utf-8", "replace")
        if hasattr(self._database, "setlimit"):  # Python 3.11
            self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)  # type: ignore[attr-defined]
            self._database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # type: ignore[attr-defined]
        self._configure("SQLITE_DBCONFIG_DEFENSIVE", True)
        for setting in ("trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY"):
            self._database.execute("PRAGMA " + setting).fetchall()

    def _configure(self, name: str, value: bool) -> None:
        if hasattr(self._database, "setconfig"):  # Python 3.12
            self._database.setconfig(getattr(sqlite3, name), value)

    def _pragma(self, name: str, value: bool) -> None:
        self._database.execute(f"PRAGMA {name}={int(value)}").fetchall()


def _nothing(*_values: t.Any) -> None:
    return None
