# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Artifacts: tar files with names, kinds, headers and sizes that lie. Nothing is written outside, or inside before a refusal."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import shutil
import tarfile
import typing as t

from support import corruption

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts, dependency_bundle

STEPS = [
    "a",
    "b",
    "x",
    "src",
    "..",
    ".",
    "",
    "...",
    "é" * 130,
    "n" * 256,
    "n" * 255,
    "a\nb",
    "\x1b[31m",
    "a\0b",
    " ",
    "A",
    "~",
    "a\udcff",
    "MANIFEST.json",
    "package.json",
]
KINDS = (
    [tarfile.REGTYPE] * 6
    + [tarfile.DIRTYPE] * 3
    + [tarfile.SYMTYPE] * 3
    + [
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.AREGTYPE,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        b"V",
        b"M",
        b"Z",
    ]
)
PAX = [
    "size",
    "path",
    "linkpath",
    "mtime",
    "uid",
    "mode",
    "GNU.sparse.major",
    "GNU.sparse.minor",
    "GNU.sparse.map",
    "GNU.sparse.size",
    "GNU.sparse.realsize",
    "GNU.sparse.numblocks",
    "GNU.sparse.name",
    "hdrcharset",
    "comment",
    "SCHILY.xattr.user.a",
]
PAX_VALUES = ["", "-1", "0", "1", "99999999999999999999", "1e309", "nan", "../../x", "/x", "a\nb", "0,1,2", "1", "BINARY", "x" * 5000]


class Target:
    """A folder with decoys, and one beside it to unpack in."""

    def __init__(self, folder: str) -> None:
        self.folder, self.artifact = os.path.join(folder, "release"), os.path.join(folder, "a.tar.gz")
        self.decoy = os.path.join(folder, "decoy")
        with open(self.decoy, "w", encoding="ascii") as stream:
            stream.write("as it was")
        self.top = folder

    def case(self, chance: random.Random) -> str:
        """Make an artifact, and do with it what a deploy does."""
        data = made(chance)
        if chance.random() < 0.15:
            data = mutated(chance, data)
        content = gzip.compress(data, 1)
        if chance.random() < 0.1:
            content = mutated(chance, content)
        with open(self.artifact, "wb") as stream:
            stream.write(content)
        os.mkdir(self.folder)
        try:
            return self._taken()
        finally:
            shutil.rmtree(self.folder)
            assert sorted(os.listdir(self.top)) == ["a.tar.gz", "decoy"], os.listdir(self.top)
            with open(self.decoy, encoding="ascii") as stream:
                assert stream.read() == "as it was"

    def _taken(self) -> str:
        try:
            manifest = artifacts.read_manifest(self.artifact)
        except OpsError as error:
            assert str(error), error
            manifest = None
        with contextlib.suppress(OpsError):
            dependency_bundle._about(self.artifact)
        try:
            artifacts.unpack(self.artifact, self.folder)
        except OpsError as error:
            before = "members inside the release only" in str(error)
            assert not before or not os.listdir(self.folder), f"written before the refusal: {os.listdir(self.folder)}"
            return "refused"
        for place, dirs, names in os.walk(self.folder):
            for name in dirs + names:
                path = os.path.join(place, name)
                assert os.path.realpath(path).startswith(os.path.realpath(self.folder)), path
                assert os.path.islink(path) or os.lstat(path).st_mode & 0o7000 == 0, path
        if manifest:
            try:
                artifacts.compare(self.folder, manifest)
            except OpsError:
                return "unlike its manifest"
        return "unpacked"

    def end(self) -> None:
        """Nothing is left."""


def name(chance: random.Random) -> str:
    """A path, mostly a harmless one."""
    steps = [
        chance.choice(STEPS if chance.random() < 0.15 else STEPS[:4])
        for _step in range(chance.choice([1, 1, 2, 2, 3, 70 if chance.random() < 0.02 else 2]))
    ]
    return ("/" if chance.random() < 0.02 else "") + "/".join(steps) + ("/" if chance.random() < 0.05 else "")


def made(chance: random.Random) -> bytes:
    """The bytes of a tar file."""
    form = chance.choice([tarfile.PAX_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, errors="surrogateescape") as archive:
        if chance.random() < 0.5:
            add(archive, "MANIFEST.json", tarfile.REGTYPE, manifest(chance))
        for _number in range(chance.choice([0, 1, 2, 3, 5, 9])):
            info = tarfile.TarInfo(name(chance))
            info.type, info.linkname = chance.choice(KINDS), name(chance)
            info.mode = chance.choice([0o644, 0o755, 0o7777, 0, 0o4755])
            info.mtime = chance.choice([0, 1, 2**33, 2**62 if form != tarfile.USTAR_FORMAT else 5])
            content = bytes(chance.choice([0, 1, 511, 512, 513, 3000]))
            if form == tarfile.PAX_FORMAT and chance.random() < 0.3:
                info.pax_headers = {chance.choice(PAX): chance.choice(PAX_VALUES) for _one in range(chance.choice([1, 2, 5]))}
            put(archive, info, content if chance.random() < 0.7 or info.type in (tarfile.REGTYPE, tarfile.XHDTYPE) else b"")
    data = bytearray(stream.getvalue())
    for _number in range(chance.choice([0, 0, 0, 1, 2])):
        lie(chance, data)
    return bytes(data)


def put(archive: tarfile.TarFile, info: tarfile.TarInfo, content: bytes) -> None:
    """Add a member; what tarfile itself cannot write is left out."""
    info.size = len(content)
    try:
        archive.addfile(info, io.BytesIO(content))
    except (ValueError, OverflowError, UnicodeError):
        return


def add(archive: tarfile.TarFile, path: str, kind: bytes, content: bytes) -> None:
    """Add a plain member."""
    info = tarfile.TarInfo(path)
    info.type = kind
    put(archive, info, content)


def manifest(chance: random.Random) -> bytes:
    """A manifest, mostly one of the right shape."""
    if chance.random() < 0.2:
        return chance.choice(list(corruption.CONTENTS.values()))
    files: t.Any = {name(chance): {"type": "file", "sha256": "0" * 64, "size": 1, "mode": "0644"} for _one in range(3)}
    full = {"schema": 1, "name": "mobius", "version": "1", "digest": "d", "source": "test", "files": files}
    if chance.random() < 0.4:
        full[chance.choice(sorted(full))] = chance.choice(corruption.VALUES)
    return json.dumps(full).encode()


def lie(chance: random.Random, data: bytearray) -> None:
    """Give a header another field, with a checksum that fits."""
    at = 512 * chance.randrange(max(1, len(data) // 512))
    block = data[at : at + 512]
    if len(block) < 512:
        return
    field, length = chance.choice([(0, 100), (100, 8), (108, 8), (124, 12), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155)])
    noise = bytes(chance.randrange(256) for _byte in range(length))
    value = chance.choice(
        [
            b"",
            b"7" * length,
            b"\xff" * length,
            b"\x80" + bytes(length - 1),
            b"\x80" + b"\xff" * length,
            b"-1",
            b"x" * length,
            b"0" * (length - 1) + b"\0",
            b"g",
            b"x",
            b"L",
            b"K",
            b"S",
            b"5",
            b"2",
            noise,
        ]
    )
    block[field : field + length] = value[:length].ljust(length, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data[at : at + 512] = block


def mutated(chance: random.Random, content: bytes) -> bytes:
    """A content with bytes changed, cut or repeated."""
    data = bytearray(content)
    for _number in range(chance.choice([1, 2, 8])):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.3:
            del data[at : at + chance.choice([1, 100, 512, 10**6])]
        elif chance.random() < 0.3:
            data[at:at] = data[: chance.choice([1, 512, 1024])]
        else:
            data[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(data)
