# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Databases that SQLite alone cannot check, and a program that keeps one busy: ``python -m support.vault KIND PATH``.

An ``encrypted`` one (SQLCipher, in WAL mode) has no SQLite header, and its state is in two files. One with its own ``collation`` has an
index that nothing but its application can read. Each transaction moves amounts between accounts, so no moment breaks their sum.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import sys
import time
import typing as t

ACCOUNTS, TOTAL = 300, 300_000
#: Transactions of a burst, and seconds of rest after it.
_BURST, _REST = 12, 0.25
KINDS = ("encrypted", "collation")


def connect(kind: str, path: str) -> t.Any:
    """A connection as the application opens it."""
    if kind == "encrypted":
        import sqlcipher3

        connection = sqlcipher3.connect(path, isolation_level=None)
        connection.execute("PRAGMA key='secret'")
        connection.execute("PRAGMA kdf_iter=1000")
        return connection
    connection = sqlite3.connect(path, isolation_level=None)
    connection.create_collation("backwards", lambda one, other: (one < other) - (one > other))
    return connection


def create(kind: str, path: str) -> None:
    """A database whose sum is TOTAL."""
    collation = "COLLATE backwards" if kind == "collation" else ""
    with contextlib.closing(connect(kind, path)) as database:
        database.execute("PRAGMA journal_mode=wal")
        database.execute(f"CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, name TEXT {collation})")
        database.execute("CREATE INDEX by_name ON account (name)")
        database.executemany(
            "INSERT INTO account VALUES (?, ?, ?)", [(number, TOTAL // ACCOUNTS, os.urandom(600).hex()) for number in range(ACCOUNTS)]
        )


def check(kind: str, path: str) -> None:
    """What every sound copy has. :raises AssertionError: and errors of SQLite when it is none."""
    with contextlib.closing(connect(kind, path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT sum(amount), count(*) FROM account").fetchone() == (TOTAL, ACCOUNTS)


def write(kind: str, path: str) -> t.NoReturn:
    """Bursts of transfers with rests between them; what the WAL holds is taken into the database now and then."""
    chance, number = random.Random(kind), 0
    database = connect(kind, path)
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("PRAGMA synchronous=OFF")
    print("ready", flush=True)
    while True:
        number += 1
        database.execute("BEGIN IMMEDIATE")
        for change in (-3, 3):
            database.execute(
                "UPDATE account SET amount = amount + ?, name = hex(randomblob(600)) WHERE id = ?", (change, chance.randrange(ACCOUNTS))
            )
        database.execute("COMMIT")
        if number % 5 == 0:
            database.execute(f"PRAGMA wal_checkpoint({'RESTART' if number % 10 else 'TRUNCATE'})").fetchall()
        time.sleep(_REST if number % _BURST == 0 else 0.005)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
