# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups: zip files with bytes, headers and a manifest that lie, and a checksum that fits. Nothing is written outside of components."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import typing as t
import zipfile

from support import corruption, raw_zip, records
from support.decoyed import Decoyed

from ansible_collections.mobius.ops.plugins.module_utils._core import walk
from ansible_collections.mobius.ops.plugins.modules import backup, backup_drill, backup_info, backup_restore

PATHS = [
    "../../decoy",
    "/etc/passwd",
    "uploads/../../x",
    "uploads/a\0b",
    "uploads/" + "d/" * 300 + "f",
    "config/.env",
    "uploads",
    "data/\ud800",
    "uploads/\x1b[31m",
    "MANIFEST.json",
    "",
]
NUMBERS = [0, 1, 7, 8, 20, 255, 65535, 2**31, 2**32 - 1]
FOLDERS = ("config", "data", "uploads", "out", "logs")


class Target(Decoyed):
    """A root with a backup of a few files, and a decoy beside it."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._fill()
        self.archive = records.in_process(backup, {"root": self.layout.root, "env": "local"})["archive"]
        with open(self.archive, "rb") as stream:
            self.content = stream.read()
        with zipfile.ZipFile(self.archive) as opened:
            self.members = [(info, opened.read(info)) for info in opened.infolist()]
        self.beside = sorted(os.listdir(self.layout.root))

    def _fill(self) -> None:
        for folder in FOLDERS:
            walk.remove(os.path.join(self.layout.shared, folder))
            os.mkdir(os.path.join(self.layout.shared, folder), 0o755)
        self.write(self.layout.env_file, b"TOKEN=secret\n")
        os.makedirs(os.path.join(self.layout.shared, "uploads", "games"))
        self.write(os.path.join(self.layout.shared, "uploads", "games", "board.png"), bytes(range(256)) * 20)
        os.symlink("games/board.png", os.path.join(self.layout.shared, "uploads", "link"))
        with open(os.path.join(self.layout.shared, "uploads", "sparse"), "wb") as stream:
            stream.truncate(300_000)
        database = sqlite3.connect(os.path.join(self.layout.shared, "data", "app.db"))
        with database:
            database.execute("CREATE TABLE t (x)")
            database.executemany("INSERT INTO t VALUES (?)", [("row" * 50,)] * 100)
        database.close()

    def case(self, chance: random.Random) -> str:
        """Make an archive, and let a module do with it what it does with one."""
        content = chance.choice([self._bytes, self._fields, self._manifest, self._manifest, self._same])(chance)
        self.write(self.archive, content)
        self.write(self.archive + ".sha256", f"{hashlib.sha256(content).hexdigest()}  {os.path.basename(self.archive)}\n".encode())
        given = {"root": self.layout.root, "env": "local", "archive": self.archive}
        module, args, check = chance.choice(
            [
                (backup_info, {"root": self.layout.root, "env": "local", "deep": True}, False),
                (backup_restore, {**given, "service": None}, True),
                (backup_restore, {**given, "service": None, "safety_backup": False}, False),
                (backup_restore, {**given, "service": None, "safety_backup": False}, False),
                (backup_drill, {**given, "service": None}, False),
            ]
        )
        try:
            result = records.in_process(module, args, check)
            wrong = records.no_sentence(result)
            assert not wrong, wrong
            json.dumps(result).encode()
        finally:
            self.require_unharmed()
        if module is backup_restore and not check and not result.get("failed"):
            self._fill()
        name = module.__name__.rpartition(".")[2]
        return f"{name} refused" if result.get("failed") else f"{name} done"

    def require_unharmed(self) -> None:
        """Nor was anything made in the root beside components."""
        super().require_unharmed()
        assert set(os.listdir(self.layout.root)) <= {*self.beside, "reports", "incidents"}, os.listdir(self.layout.root)
        for name in os.listdir(self.layout.reports):
            os.unlink(os.path.join(self.layout.reports, name))

    def _bytes(self, chance: random.Random) -> bytes:
        """The archive with bytes changed, cut, added or repeated."""
        data = bytearray(self.content)
        for _number in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(data) + 1)
            how = chance.random()
            if how < 0.2:
                del data[at : at + chance.choice([1, 22, 500, 10**6])]
            elif how < 0.4:
                data[at:at] = data[: chance.choice([1, 30, 1000])]
            else:
                data[at : at + 1] = bytes([chance.randrange(256)])
        return bytes(data)

    def _same(self, _chance: random.Random) -> bytes:
        """The archive as it is, in which everything is done."""
        return raw_zip.Zip(self._made()).content()

    def _made(self) -> list[raw_zip.Member]:
        return [
            raw_zip.Member(info.filename.encode("utf-8", "surrogateescape"), content, info.external_attr >> 16, info.compress_type == 8)
            for info, content in self.members
        ]

    def _fields(self, chance: random.Random) -> bytes:
        """Headers of members and of the file that tell something else."""
        made = raw_zip.Zip(self._made())
        for _number in range(chance.choice([1, 1, 2, 4])):
            member = chance.choice(made.members)
            number = chance.choice([*NUMBERS, chance.randrange(2**16)])
            how = chance.randrange(5)
            if how == 0:
                member.local[chance.choice(raw_zip.LOCAL_FIELDS[1:])] = number
            elif how == 1:
                member.central[chance.choice(raw_zip.CENTRAL_FIELDS[1:])] = number
            elif how == 2:
                made.end[chance.choice(raw_zip.END_FIELDS[1:])] = number
            elif how == 3:
                made.end64 = {chance.choice(raw_zip.END64_FIELDS[1:]): number}
            else:
                member.name = chance.choice(PATHS).encode("utf-8", "surrogatepass")
        return made.content()

    def _manifest(self, chance: random.Random) -> bytes:
        """A manifest that tells something else, in an archive that is whole otherwise."""
        members = self._made()
        index = next(number for number, one in enumerate(members) if one.name == b"MANIFEST.json")
        manifest: t.Any = json.loads(members[index].content)
        for _number in range(chance.choice([1, 1, 2])):
            if chance.random() < 0.7:
                entry = chance.choice(manifest["entries"])
                name = chance.choice(sorted(entry))
                entry[name] = chance.choice([*PATHS, *NUMBERS, *corruption.VALUES])
            else:
                manifest[chance.choice(sorted(set(manifest) - {"entries"}))] = chance.choice(corruption.VALUES)
        members[index].content = json.dumps(manifest).encode()
        for member in members[1:]:
            if chance.random() < 0.05:
                member.name = chance.choice(PATHS).encode("utf-8", "surrogatepass")
        return raw_zip.Zip(members).content()

    def end(self) -> None:
        """Nothing runs."""
