# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hand-made hostile and damaged archives: each is refused whole, by every module that opens it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import struct
import typing as t
import zipfile
import zlib

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import deflate, zip_writer
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive.reader import Archive
from ansible_collections.mobius.ops.plugins.module_utils._core import checksums
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError

KIND = {"dir": stat.S_IFDIR, "file": stat.S_IFREG, "symlink": stat.S_IFLNK}


def entry(path: str, kind: str = "file", content: bytes = b"content", **more: t.Any) -> dict[str, t.Any]:
    """A right entry of a manifest; *more* makes it wrong."""
    made = {
        "path": path,
        "type": kind,
        "size": 0 if kind == "dir" else len(content),
        "mode": "0755" if kind == "dir" else "0644",
        "uid": 0,
        "gid": 0,
        "owner": "",
        "group": "",
        "mtime_ns": 10**18,
    }
    if kind != "dir":
        made["sha256"] = hashlib.sha256(content).hexdigest()
    if kind == "symlink":
        made["target"] = content.decode()
    return {**made, **more}


@dataclasses.dataclass
class Forge:
    """Makes an archive from members and a manifest that need not fit each other."""

    path: str
    entries: list[dict[str, t.Any]] = dataclasses.field(
        default_factory=lambda: [entry("uploads", "dir"), entry("uploads/a.txt"), entry("uploads/ln", "symlink", b"a.txt")]
    )
    #: name -> (content, mode, level); ``None`` makes them from the entries
    members: list[tuple[str, bytes, int, int]] | None = None
    head: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    manifest: bytes | None = None
    manifest_level: int = 0

    def made_members(self) -> list[tuple[str, bytes, int, int]]:
        """What a right archive of the entries would hold."""
        made = []
        for item in self.entries:
            kind = item["type"]
            content = {"dir": b"", "symlink": item.get("target", "").encode()}.get(kind, b"content")
            name = item["path"] + ("/" if kind == "dir" else "")
            made.append((name, content, KIND.get(kind, stat.S_IFREG) | 0o644, 0))
        return made

    def write(self) -> str:
        """Write the archive with its sidecar."""
        head = {"schema": 1, "env": "production", "components": ["uploads"], "entries": self.entries, **self.head}
        manifest = json.dumps(head).encode() if self.manifest is None else self.manifest
        members = [("MANIFEST.json", manifest, stat.S_IFREG, self.manifest_level)]
        members += self.made_members() if self.members is None else self.members
        with open(self.path, "wb") as stream:
            writer = zip_writer.ZipWriter(stream)
            for name, content, mode, level in members:
                packed = deflate.Deflater(level).block(content, b"") + deflate.END if level else content
                method = zip_writer.DEFLATED if level else zip_writer.STORED
                member = zip_writer.Member(name, mode, 10**9, len(content), method)
                member.crc, member.size = zlib.crc32(content), len(content)
                writer.add(member, [packed])
            writer.close()
        return self.sign()

    def sign(self) -> str:
        """Write the sidecar anew."""
        with open(self.path, "rb") as stream:
            digest = hashlib.sha256(stream.read()).hexdigest()
        checksums.write(self.path, digest)
        return self.path

    def alter(self, change: t.Callable[[bytearray], bytes | bytearray]) -> None:
        """Change the archive's bytes, and sign it."""
        self.write()
        with open(self.path, "rb") as stream:
            content = bytearray(stream.read())
        with open(self.path, "wb") as stream:
            stream.write(change(content))
        self.sign()


def with_entry(**more: t.Any) -> t.Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        forge.entries[1] = entry(**{"path": "uploads/a.txt", **more})
        forge.write()

    return change


def with_path(path: str) -> t.Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        forge.entries.append(entry(path))
        forge.write()

    return change


def with_more(*more: dict[str, t.Any], **head: t.Any) -> t.Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        forge.entries += more
        forge.head = head
        forge.write()

    return change


def with_members(make: t.Callable[[list], list]) -> t.Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        forge.members = make(forge.made_members())
        forge.write()

    return change


def central(content: bytes | bytearray, name: bytes) -> int:
    """Where the directory's record of a member begins."""
    return content.rindex(name) - 46


def in_directory(name: bytes, offset: int, layout: str, *values: int, local: int | None = None) -> t.Callable[[Forge], None]:
    """Overwrite fields of a member's record in the directory, and in its local header."""

    def change(forge: Forge) -> None:
        def alter(content: bytearray) -> bytearray:
            struct.pack_into(layout, content, central(content, name) + offset, *values)
            if local is not None:
                at = struct.unpack_from("<L", content, central(content, name) + 42)[0]
                struct.pack_into(layout, content, at + local, *values)
            return content

        forge.alter(alter)

    return change


def overlap(forge: Forge) -> None:
    def alter(content: bytearray) -> bytearray:
        first = struct.unpack_from("<L", content, central(content, b"uploads/a.txt") + 42)[0]
        struct.pack_into("<L", content, central(content, b"uploads/ln") + 42, first)
        return content

    forge.alter(alter)


def bomb(forge: Forge) -> None:
    """A member of 2 MB that says that it is 7 bytes long."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"\0" * 2_000_000) + packer.flush()
    forge.members = forge.made_members()
    forge.members[1] = ("uploads/a.txt", packed, stat.S_IFREG, 0)

    def alter(content: bytearray) -> bytearray:
        record = central(content, b"uploads/a.txt")
        at = struct.unpack_from("<L", content, record + 42)[0]
        for where, size in ((record + 10, record + 24), (at + 8, at + 22)):
            struct.pack_into("<H", content, where, 8)
            struct.pack_into("<L", content, size, 7)
        return content

    forge.alter(alter)


def swollen(forge: Forge) -> None:
    """A member of a few bytes that says that it is 3 GB long."""
    forge.entries[1] = entry("uploads/a.txt", size=3_000_000_000)
    forge.members = forge.made_members()
    forge.members[1] = ("uploads/a.txt", b"content", stat.S_IFREG, 9)
    in_directory(b"uploads/a.txt", 24, "<L", 3_000_000_000, local=22)(forge)


def raw_manifest(content: bytes) -> t.Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        forge.manifest = content
        forge.write()

    return change


def whole_file(content: bytes) -> t.Callable[[Forge], None]:
    return lambda forge: forge.alter(lambda _content: content)


def plain_zip(forge: Forge) -> None:
    with zipfile.ZipFile(forge.path, "w") as archive:
        archive.writestr("uploads/a.txt", b"content")
    forge.sign()


def packed_manifest(forge: Forge) -> None:
    forge.manifest_level = 9
    forge.write()


HOSTILE = {
    "parent step": (with_path("uploads/../../../evil"), "'..'"),
    "absolute": (with_path("/etc/evil"), "an absolute path"),
    "drive": (with_path("C:/evil"), "known component"),
    "backslash": (with_path("uploads\\..\\evil"), "known component"),
    "backslash below": (with_path("uploads/..\\evil"), "a backslash"),
    "empty step": (with_path("uploads//evil"), "an empty"),
    "dot step": (with_path("uploads/./evil"), "an empty or '.'"),
    "NUL": (with_path("uploads/a\0b"), "a NUL"),
    "long name": (with_path("uploads/" + "x" * 300), "255 bytes"),
    "unknown component": (with_path("secrets/evil"), "known component"),
    "component not named": (with_more(entry("logs", "dir")), "does not name"),
    "component without folder": (with_more(components=["uploads", "logs"]), "no folder for component logs"),
    "component that is a file": (with_more(entry("logs"), components=["uploads", "logs"]), "does not name"),
    "unknown component named": (with_more(components=["uploads", "etc"]), "unknown component"),
    "nothing above": (with_path("uploads/none/evil"), "below nothing"),
    "below a link": (with_path("uploads/ln/evil"), "below symlink"),
    "below a file": (with_path("uploads/a.txt/evil"), "below file"),
    "duplicate entry": (with_path("uploads/a.txt"), "duplicate"),
    "case clash": (with_path("uploads/A.TXT"), "only in case"),
    "device": (with_entry(type="device"), "never restored"),
    "nested release": (with_more(release=[[[]]]), "release of a wrong kind"),
    "number as a truth value": (with_more(incomplete=1), "incomplete of a wrong kind"),
    "empty component": (with_more(empty=["secrets"]), "unknown component"),
    "security attribute": (with_entry(xattrs={"security.capability": "AA=="}), "never restored"),
    "attribute that is no base64": (with_entry(xattrs={"user.a": "?"}), "never restored"),
    "attributes as a list": (with_entry(xattrs=["user.a"]), "never restored"),
    "hard link of another content": (
        with_more(entry("uploads/b", content=b"b", hardlink=1), entry("uploads/c", content=b"c", hardlink=1)),
        "other names",
    ),
    "hard link 0": (with_entry(hardlink=0), "hard-link number"),
    "hard-linked folder": (with_more(entry("uploads/b", "dir", hardlink=1)), "other names"),
    "damaged database": (with_entry(sqlite=True), "damaged database"),
    "journal mode": (with_entry(journal_mode="off"), "journal mode"),
    "stored digest": (with_entry(packed_sha256="0"), "SHA-256 of its stored bytes"),
    "size": (with_entry(size=8), "8"),
    "negative size": (with_entry(size=-1), "no size"),
    "boolean size": (with_entry(size=True), "no size"),
    "endless time": (with_entry(mtime_ns=10**30), "no size or time"),
    "owner -1": (with_entry(uid=2**32 - 1), "no owner"),
    "owner name": (with_entry(owner=["root"]), "an owner"),
    "mode": (with_entry(mode="99"), "no mode"),
    "no digest": (with_entry(sha256=None), "no SHA-256"),
    "wrong digest": (with_entry(sha256="0" * 64), "checksum differs"),
    "empty target": (with_more(entry("uploads/l2", "symlink", b"")), "no link target"),
    "other target": (with_members(lambda made: [*made[:2], ("uploads/ln", b"b.txt", stat.S_IFLNK, 0)]), "checksum differs"),
    "device member": (with_members(lambda made: [*made[:1], ("uploads/a.txt", b"content", stat.S_IFCHR, 0), made[2]]), "another type"),
    "link for a file": (with_members(lambda made: [*made[:1], ("uploads/a.txt", b"content", stat.S_IFLNK, 0), made[2]]), "another type"),
    "member not listed": (with_members(lambda made: [*made, ("uploads/more", b"", stat.S_IFREG, 0)]), "does not list"),
    "member missing": (with_members(lambda made: made[:2]), "without its member"),
    "member twice": (with_members(lambda made: [*made, made[1]]), "duplicate member"),
    "folder and file": (with_members(lambda made: [*made, ("uploads/a.txt/", b"", stat.S_IFDIR, 0)]), "does not list"),
    "overlap": (overlap, "overlaps"),
    "bomb": (bomb, "more content than its size"),
    "swollen": (swollen, "compressed bytes cannot give"),
    "encrypted": (in_directory(b"uploads/a.txt", 8, "<H", 1, local=6), "encryption"),
    "method": (in_directory(b"uploads/a.txt", 10, "<H", 12, local=8), "encryption or a method"),
    "two headers": (in_directory(b"uploads/a.txt", 16, "<L", 1), "differs from the directory"),
    "crc": (in_directory(b"uploads/a.txt", 16, "<L", 1, local=14), "checksum differs"),
    "schema": (with_more(schema=2), "schema 2"),
    "env": (with_more(env="../x"), "no environment"),
    "entries": (with_more(entries={}), "no list"),
    "entry": (with_more(entries=["uploads"]), "without a path"),
    "manifest is a list": (raw_manifest(b"[]"), "schema"),
    "manifest is deep": (raw_manifest(b"[" * 200_000), "damage"),
    "manifest is not JSON": (raw_manifest(b"\xff{"), "damage"),
    "manifest compressed": (packed_manifest, "no stored MANIFEST.json"),
    "manifest missing": (plain_zip, "no stored MANIFEST.json"),
    "bytes before": (lambda forge: forge.alter(lambda content: b"#!/bin/sh\n" + content), "gap"),
    "bytes after": (lambda forge: forge.alter(lambda content: content + b"more"), "after its end"),
    "comment": (lambda forge: forge.alter(lambda content: content[:-2] + b"\4\0more"), "after its end"),
    "cut short": (lambda forge: forge.alter(lambda content: content[:-30]), "damage"),
    "empty file": (whole_file(b""), "damage"),
    "text": (whole_file(b"not a zip at all" * 10), "damage"),
    "only an end": (whole_file(b"PK\5\6" + b"\0" * 18), "no stored MANIFEST.json"),
}


@pytest.fixture
def forge(state_host):
    return Forge(os.path.join(state_host.layout.backups, "dhash_production_20260101_000000.zip"))


def test_the_forge_makes_right_archives(forge, state_host):
    forge.write()
    assert state_host.info(verify="deep")[0]["status"] == "verified"
    assert not state_host.restore(forge.path, safety_backup=False).get("failed")
    with open(state_host.path("uploads/ln")) as stream:
        assert stream.read() == "content"


def around(found: dict[str, tuple]) -> dict[str, tuple]:
    """All that there is; a restore keeps its journal in the folder ``state`` meanwhile, so its time may differ."""
    mode, _time, content = found["mobius/state"]
    return {**found, "mobius/state": (mode, None, content)}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_whole(forge, state_host, snapshot, tmp_path, case):
    change, words = HOSTILE[case]
    change(forge)
    before = around(snapshot(tmp_path))
    result = state_host.restore(forge.path)
    assert result["failed"] and words in result["msg"] and "\n" not in result["msg"], result["msg"]
    assert result["msg"].startswith(f"archive {forge.path}: ") and "exception" not in result
    assert around(snapshot(tmp_path)) == before
    listed = state_host.info(verify="deep")
    assert listed[0]["status"] == "corrupt" and words in listed[0]["reason"]
    assert state_host.info(verify="none")[0]["status"] in ("corrupt", "unverified")


def test_names_that_only_posix_has_need_the_writer_to_say_so(forge):
    forge.entries += [entry("uploads/A.TXT"), entry("uploads/b\\c")]
    forge.head = {"posix_names": True}
    with Archive(forge.write()) as archive:
        archive.verify()


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        Archive(str(tmp_path / "gone.zip"))
    with pytest.raises(InputError, match="found something else"):
        Archive(str(tmp_path))


def test_large_archives_use_zip64(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_writer, "_ZIP64_FROM", 3)
    path = Forge(str(tmp_path / "a.zip")).write()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and len(archive.infolist()) == 4
    with Archive(path) as archive:
        archive.verify()


def test_more_members_than_a_plain_zip_can_count(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_writer, "_MANY", 30)  # really 65,535
    forge = Forge(str(tmp_path / "a.zip"))
    forge.entries += [entry(f"uploads/{number}") for number in range(100)]
    with Archive(forge.write()) as archive:
        assert len(archive.entries) == 103


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (-(10**10), (33, 0)),
        (0, (33, 0)),
        (10**12, ((127 << 9) | (12 << 5) | 31, (23 << 11) | (59 << 5) | 29)),
        (1795446000, ((46 << 9) | (11 << 5) | 23, 15 << 11)),
    ],
)
def test_times_of_zip_headers_are_utc_and_held(seconds, expected):
    assert zip_writer.dos_time(seconds) == expected


def test_damage_anywhere_is_caught_or_harmless_without_a_sidecar(forge):
    """Every single flipped bit outside of times and attributes is found by structure and content alone."""
    with open(forge.write(), "rb") as stream:
        sound = stream.read()
    with Archive(forge.path) as archive:
        expected = {item["path"]: b"".join(archive.read(item)) for item in archive.entries}
    for offset in range(0, len(sound), 3):
        damaged = bytearray(sound)
        damaged[offset] ^= 1 << offset % 8
        with open(forge.path, "wb") as stream:
            stream.write(damaged)
        try:
            with Archive(forge.path) as archive:
                archive.verify()
                assert {item["path"]: b"".join(archive.read(item)) for item in archive.entries} == expected
        except IntegrityError:
            continue
