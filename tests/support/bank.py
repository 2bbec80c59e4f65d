# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that keep a database busy, with a sum that no moment of it breaks: ``python -m support.bank WHAT DATABASE
ACKNOWLEDGED PAGES``.

A transfer takes from one table and gives to another, and raises the writer's counter, in one transaction. A writer notes
the counter in ``ACKNOWLEDGED.<number>`` after SQLite has said that the transaction is committed.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import sqlite3
import struct
import sys
import time

from support.waiting import HANG

ACCOUNTS, TOTAL, WRITERS = 2000, 2_000_000, 2
#: Seconds that a writer rests at most after a transaction; without WAL a reader gets in between only then.
_RESTS, _LONGER_REST = {"wal": 0.002}, 0.01


def create(path: str, journal: str) -> None:
    """A database whose sum is TOTAL."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode={journal}")
        for table in ("left", "right"):
            database.execute(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, filler BLOB)')
            database.executemany(
                f'INSERT INTO "{table}" VALUES (?, ?, ?)', [(number, TOTAL // ACCOUNTS // 2, os.urandom(600)) for number in range(ACCOUNTS)]
            )
        database.execute("CREATE TABLE counter (writer INTEGER PRIMARY KEY, committed INTEGER NOT NULL)")
        database.executemany("INSERT INTO counter VALUES (?, 0)", [(number,) for number in range(WRITERS)])


def acknowledged(path: str) -> list[int]:
    """The counter of each writer as it has noted it."""
    found = []
    for number in range(WRITERS):
        with open(f"{path}.{number}", "rb") as stream:
            found.append(struct.unpack("<Q", stream.read(8))[0])
    return found


def note(path: str, number: int, count: int) -> None:
    """Note a counter."""
    with open(f"{path}.{number}", "wb") as stream:
        stream.write(struct.pack("<Q", count))


def check(path: str) -> list[int]:
    """What a sound copy has; its counters."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        total = sum(database.execute(f'SELECT sum(amount) FROM "{table}"').fetchone()[0] for table in ("left", "right"))
        assert total == TOTAL, total
        return [row[0] for row in database.execute("SELECT committed FROM counter ORDER BY writer")]


def write(path: str, number: int, noted: str, pages: int) -> None:
    """Transfers with short rests between them, some of them rolled back; a WAL of so many pages is taken into the database, of 0 never."""
    chance = random.Random(number)
    database = sqlite3.connect(path, isolation_level=None, timeout=HANG)
    database.execute("PRAGMA synchronous=NORMAL")
    rest = _RESTS.get(database.execute("PRAGMA journal_mode").fetchone()[0], _LONGER_REST)
    database.execute(f"PRAGMA wal_autocheckpoint={pages}")
    with open(f"{noted}.{number}", "r+b") as stream, mmap.mmap(stream.fileno(), 8) as place:
        while True:
            amount, names = chance.randrange(50), chance.sample(["left", "right"], 2)
            database.execute("BEGIN IMMEDIATE")
            for name, change in zip(names, (-amount, amount)):
                database.execute(
                    f'UPDATE "{name}" SET amount = amount + ?, filler = randomblob(600) WHERE id = ?', (change, chance.randrange(ACCOUNTS))
                )
            database.execute("UPDATE counter SET committed = committed + 1 WHERE writer = ?", (number,))
            count = database.execute("SELECT committed FROM counter WHERE writer = ?", (number,)).fetchone()[0]
            if chance.random() < 0.1:
                database.execute("ROLLBACK")
                continue
            database.execute("COMMIT")
            place[:8] = struct.pack("<Q", count)
            time.sleep(chance.random() * rest)


def checkpoint(path: str) -> None:
    """Checkpoints of every kind, one after another."""
    database = sqlite3.connect(path, isolation_level=None, timeout=HANG)
    while True:
        for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
            database.execute(f"PRAGMA wal_checkpoint({kind})").fetchall()
            time.sleep(0.01)


if __name__ == "__main__":
    if sys.argv[1] == "checkpoint":
        checkpoint(sys.argv[2])
    write(sys.argv[2], int(sys.argv[1]), sys.argv[3], int(sys.argv[4]))
