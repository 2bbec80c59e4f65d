# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SQLite files of the service's user: pages, headers and schemas that lie, with journals and logs beside them. No other file is touched."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import struct

from support import corruption, records
from support.decoyed import Decoyed

from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, walk
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import rehearsal
from ansible_collections.mobius.ops.plugins.modules import backup, backup_restore

#: What a schema may say instead of what it says.
SCHEMAS = [
    "CREATE VIEW v AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x FROM c",
    "CREATE TABLE t (x CHECK (x > (WITH RECURSIVE c(y) AS (SELECT 1 UNION ALL SELECT y+1 FROM c) SELECT max(y) FROM c)))",
    "CREATE TABLE t (x, y AS (zeroblob(2000000000)))",
    "CREATE INDEX i ON t (zeroblob(1000000000))",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "CREATE VIRTUAL TABLE f USING nothing(x)",
    "",
    "CREATE TABLE",
    "x" * 5000,
    "CREATE TABLE t (\x00)",
    "CREATE TABLE sqlite_sequence (name, seq)",
]
#: Where the fields of a database's header are, and how many bytes they have (SQLite's file format).
FIELDS = [
    (0, 16),
    (16, 2),
    (18, 1),
    (19, 1),
    (20, 1),
    (21, 1),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (40, 4),
    (44, 4),
    (48, 4),
    (52, 4),
    (56, 4),
    (60, 4),
    (64, 4),
    (68, 4),
    (92, 4),
    (96, 4),
    (100, 1),
    (101, 2),
    (103, 2),
    (105, 2),
    (108, 4),
]
#: How a rollback journal begins, and how one ends that names a super-journal.
SUPER = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"


class Target(Decoyed):
    """A root with one database, and a decoy beside it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.data = self.layout.component("database")
        self.seeds = [self._seed(mode, rows) for mode in ("DELETE", "WAL") for rows in (3, 400)]
        self._clear()
        if not os.geteuid():
            os.chown(self.data, 65534, 65534)

    def _seed(self, mode: str, rows: int) -> dict[str, bytes]:
        """The files of a database, its write-ahead log too."""
        path = os.path.join(self.top, "seed.db")
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA journal_mode={mode}")
        with database:
            database.execute("CREATE TABLE t (x)")
            database.execute("CREATE INDEX i ON t (x)")
            database.executemany("INSERT INTO t VALUES (?)", [(f"{number} " * 40,) for number in range(rows)])
        made = {}
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(path + suffix):
                with open(path + suffix, "rb") as stream:
                    made[suffix] = stream.read()
        database.close()
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
        return made

    def _clear(self) -> None:
        for folder in (self.data, self.layout.backups):
            for name in os.listdir(folder):
                os.unlink(os.path.join(folder, name))

    def case(self, chance: random.Random) -> str:
        """Damage a database, then back it up and look at the backup, or copy it for a rehearsal."""
        for suffix, content in self._made(chance).items():
            path = os.path.join(self.data, "app.db" + suffix)
            self.write(path, content)
            if not os.geteuid():
                os.chown(path, 65534, 65534)
        try:
            return self._copied() if chance.random() < 0.2 else self._backed_up()
        finally:
            self.require_unharmed()
            self._clear()

    def _backed_up(self) -> str:
        given = {"root": self.layout.root, "env": "local", "components": ["database"]}
        result = records.in_process(backup, {**given, "allow_changed": True, "full_every": 0, "allow_shrunk": True})
        for one in (
            result,
            *(
                [records.in_process(backup_restore, {**given, "archive": result["archive"], "service": None}, True)]
                if result.get("archive")
                else []
            ),
        ):
            wrong = records.no_sentence(one)
            assert not wrong, wrong
            json.dumps(one).encode()
        return "refused" if result.get("failed") else "told" if result.get("problems") or result.get("warnings") else "taken"

    def _copied(self) -> str:
        copy = os.path.join(self.layout.root, "copy")
        try:
            rehearsal.copy(self.data, copy, accounts.owner_of(self.data))
            return "copied"
        except OpsError as error:
            assert "\n" not in str(error), error
            return "not copied"
        finally:
            walk.remove(copy)

    def _made(self, chance: random.Random) -> dict[str, bytes]:
        """The files of a database, one or some of them damaged."""
        made = dict(chance.choice(self.seeds))
        for suffix in chance.sample(sorted(made), chance.choice([1, 1, len(made)])):
            made[suffix] = damaged(chance, made[suffix], suffix)
        if chance.random() < 0.2:
            made[""] = self._with_schema(chance, chance.choice(SCHEMAS))
            made.pop("-wal", None)
        if chance.random() < 0.2:
            made["-journal"] = journal(chance, self.decoy)
        return made

    def _with_schema(self, chance: random.Random, text: str) -> bytes:
        path = os.path.join(self.top, "seed.db")
        self.write(path, self.seeds[chance.randrange(2)][""])
        database = sqlite3.connect(path)
        database.execute("PRAGMA writable_schema=ON")
        with database:
            database.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (text, chance.choice(["t", "i"])))
        database.close()
        with open(path, "rb") as stream:
            content = stream.read()
        os.unlink(path)
        return content

    def end(self) -> None:
        """Nothing runs."""
        shutil.rmtree(self.layout.root)


def damaged(chance: random.Random, content: bytes, suffix: str) -> bytes:
    """A file with fields of its header, or any bytes, changed, cut or repeated."""
    data = bytearray(content)
    for _number in range(chance.choice([1, 1, 2, 8, 40])):
        how = chance.random()
        if how < 0.4 and not suffix:
            at, size = chance.choice(FIELDS)
            number = chance.choice([0, 1, 2, 255, 2 ** (8 * size) - 1, chance.randrange(2 ** (8 * size))])
            data[at : at + size] = number.to_bytes(size + 1, "big")[1:]
        elif how < 0.5:
            at = chance.randrange(len(data) + 1)
            del data[at : at + chance.choice([1, 512, 4096, 10**6])]
        elif how < 0.6:
            data[:] = chance.choice([bytes(data) * 2, bytes(data[:-1]), bytes(data[:4096]), *corruption.CONTENTS.values()])
        elif data:
            at = chance.choice([chance.randrange(len(data)), chance.randrange(0, len(data), 4096) + chance.randrange(16)])
            data[at : at + 1] = bytes([chance.choice([0, 1, 2, 5, 10, 13, 127, 128, 255, chance.randrange(256)])])
    return bytes(data)


def journal(chance: random.Random, decoy: str) -> bytes:
    """A rollback journal that names a super-journal, or that lies otherwise."""
    name = chance.choice([decoy, "/etc/passwd", "x", ""]).encode()
    head = SUPER + struct.pack(">5I", chance.choice([0, 1, 2**32 - 1]), 7, chance.choice([1, 3, 10**6]), 512, 4096)
    end = struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), sum(name)) + SUPER
    return head.ljust(512, b"\0") + chance.choice([b"", bytes(4104), bytes(range(256)) * 16]) + chance.choice([b"", end])
