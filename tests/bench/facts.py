"""Tells whether a run did what it was to do, by means that share nothing with the collection.

Usage: facts.py list ROOT > LIST | facts.py tree LIST ROOT TOLERANCE | facts.py zip LIST ARCHIVE | facts.py tar LIST < STREAM

Ends with exit status 1 and the differences when something is not as in LIST. TOLERANCE is how many nanoseconds times may differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import stat
import sys
import tarfile
import tempfile
import typing as t
import zipfile

#: Folders of an archive of this collection that are called otherwise on disk.
FOLDERS = {"database": "data", "generated": "out"}
MANIFEST = "MANIFEST.json"
SQLITE = b"SQLite format 3\0"
CHUNK = 1024 * 1024
Facts = dict[str, dict[str, t.Any]]


def digest(stream: t.Any) -> dict[str, t.Any]:
    """SHA-256 of a stream. Of a database, also that of what is in it: a copy by SQLite may differ in its pages."""
    hashed, first, spool = hashlib.sha256(), True, None
    for chunk in iter(lambda: stream.read(CHUNK), b""):
        if first and chunk.startswith(SQLITE):
            spool = tempfile.NamedTemporaryFile(suffix=".db")  # noqa: SIM115
        first = False
        hashed.update(chunk)
        if spool:
            spool.write(chunk)
    facts = {"sha256": hashed.hexdigest()}
    if spool:
        with spool:
            spool.flush()
            facts["dump"] = dump(spool.name)
    return facts


def dump(path: str) -> str:
    """SHA-256 of a database's tables and rows."""
    hashed = hashlib.sha256()
    with contextlib.closing(sqlite3.connect(path)) as database:
        for line in database.iterdump():
            hashed.update(line.encode())
    return hashed.hexdigest()


def tree(root: str) -> Facts:
    """What is below a folder."""
    found: Facts = {}
    for folder, dirs, names in os.walk(root):
        for name in dirs + names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            facts: dict[str, t.Any] = {"mode": stat.S_IMODE(status.st_mode), "mtime_ns": status.st_mtime_ns}
            if stat.S_ISLNK(status.st_mode):
                facts = {"target": os.readlink(path)}
            elif stat.S_ISDIR(status.st_mode):
                del facts["mtime_ns"]
            else:
                with open(path, "rb") as stream:
                    facts.update(digest(stream))
            found[os.path.relpath(path, root)] = facts
    return found


def in_zip(path: str) -> Facts:
    """What a zip archive holds, by Python's own reader; of one of this collection, by the names on disk."""
    found: Facts = {}
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        ours = infos[0].filename == MANIFEST
        for info in infos[1:] if ours else infos:
            name = info.filename.rstrip("/")
            if ours:
                top, slash, rest = name.partition("/")
                name = FOLDERS.get(top, top) + slash + rest
            mode = info.external_attr >> 16
            with archive.open(info) as stream:
                if stat.S_ISLNK(mode):
                    facts = {"target": stream.read().decode()}
                else:
                    facts = {"mode": stat.S_IMODE(mode), **({} if info.is_dir() else digest(stream))}
            found[name] = facts
    return found


def in_tar(stream: t.Any) -> Facts:
    """What a stream of a tar archive holds."""
    found: Facts = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            name = os.path.normpath(member.name.lstrip("/"))
            if member.issym():
                found[name] = {"target": member.linkname}
            elif name != ".":
                found[name] = {"mode": member.mode, **(digest(archive.extractfile(member)) if member.isfile() else {})}
    return found


def differences(expected: Facts, found: Facts, tolerance: int) -> list[str]:
    """One sentence each."""
    wrong = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    wrong += [f"{name} is too much" for name in sorted(found.keys() - expected.keys())]
    for name in sorted(expected.keys() & found.keys()):
        want, have = expected[name], found[name]
        content = "dump" if "dump" in want else "sha256"
        for key in (content, "mode", "target"):
            if want.get(key) != have.get(key):
                wrong.append(f"{name}: {key} is {have.get(key)} and not {want.get(key)}")
        if abs(want.get("mtime_ns", 0) - have.get("mtime_ns", want.get("mtime_ns", 0))) > tolerance:
            wrong.append(f"{name}: mtime_ns is {have['mtime_ns']} and not {want['mtime_ns']}")
    return wrong


def main() -> int:
    """Do what the command line says."""
    action, first, *rest = sys.argv[1:]
    if action == "list":
        json.dump(tree(first), sys.stdout)
        return 0
    with open(first, encoding="utf-8") as stream:
        expected = json.load(stream)
    tolerance = int(rest[1]) if action == "tree" else 0
    readers = {"tree": lambda: tree(rest[0]), "zip": lambda: in_zip(rest[0]), "tar": lambda: in_tar(sys.stdin.buffer)}
    wrong = differences(expected, readers[action](), tolerance)
    print("\n".join(wrong[:10]))
    return 1 if wrong or not expected else 0


if __name__ == "__main__":
    sys.exit(main())
