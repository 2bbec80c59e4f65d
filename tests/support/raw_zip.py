# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Zip files in which every field may lie, and archives of this collection made of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import stat
import struct
import typing as t
import zlib

LOCAL = struct.Struct("<4s5H3L2H")
CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
END64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR = struct.Struct("<4sLQL")

#: Names of the fields, for lies.
LOCAL_FIELDS = ("sign", "version", "flags", "method", "time", "date", "crc", "packed", "size", "name_length", "extra_length")
CENTRAL_FIELDS = (
    "sign",
    "made_by",
    "version",
    "flags",
    "method",
    "time",
    "date",
    "crc",
    "packed",
    "size",
    "name_length",
    "extra_length",
    "comment_length",
    "disk",
    "internal",
    "external",
    "offset",
)
END_FIELDS = ("sign", "disk", "directory_disk", "here", "count", "length", "start", "comment_length")
END64_FIELDS = ("sign", "record", "made_by", "version", "disk", "directory_disk", "here", "count", "length", "start")

Lies = dict[str, t.Any]


@dataclasses.dataclass
class Member:
    """One member; ``local`` and ``central`` overwrite fields of its two headers, ``name`` and ``extra`` too."""

    name: bytes
    content: bytes = b""
    mode: int = stat.S_IFREG | 0o644
    deflated: bool = False
    #: What is stored instead of the content, packed.
    body: bytes | None = None
    before: bytes = b""
    after: bytes = b""
    comment: bytes = b""
    local: Lies = dataclasses.field(default_factory=dict)
    central: Lies = dataclasses.field(default_factory=dict)

    def _packed(self) -> bytes:
        if self.body is not None:
            return self.body
        if not self.deflated:
            return self.content
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.content) + packer.flush()

    def _facts(self, packed: bytes) -> Lies:
        return {
            "version": 20,
            "made_by": 3 << 8 | 45,
            "flags": 0 if self.name.isascii() else 0x800,
            "method": 8 if self.deflated else 0,
            "time": 0,
            "date": 0x5C21,
            "crc": zlib.crc32(self.content),
            "packed": len(packed),
            "size": len(self.content),
            "disk": 0,
            "internal": 0,
            "external": (self.mode & 0xFFFF) << 16 | 0x10 * self.name.endswith(b"/"),
            "comment_length": len(self.comment),
        }

    def parts(self, offset: int) -> tuple[bytes, bytes]:
        """The member as it lies in the file at *offset*, and its record of the directory."""
        packed = self._packed()
        facts = self._facts(packed)
        made = []
        for layout, fields, lies, sign in (
            (LOCAL, LOCAL_FIELDS, self.local, b"PK\3\4"),
            (CENTRAL, CENTRAL_FIELDS, self.central, b"PK\1\2"),
        ):
            name, extra = lies.get("name", self.name), lies.get("extra", b"")
            true = {**facts, "sign": sign, "name_length": len(name), "extra_length": len(extra), "offset": offset + len(self.before)}
            values = [lies.get(field, true[field]) for field in fields]
            made.append(layout.pack(*_fitting(layout, values)) + name + extra)
        return self.before + made[0] + packed + self.after, made[1] + self.comment


@dataclasses.dataclass
class Zip:
    """A zip file of members that need not agree with anything."""

    members: list[Member]
    prefix: bytes = b""
    suffix: bytes = b""
    comment: bytes = b""
    before_directory: bytes = b""
    #: The order of the directory, by the members' numbers.
    order: list[int] | None = None
    end: Lies = dataclasses.field(default_factory=dict)
    #: A zip64 end record, with these lies.
    end64: Lies | None = None

    def content(self) -> bytes:
        """The bytes of the file."""
        made, records = bytearray(self.prefix), []
        for member in self.members:
            body, record = member.parts(len(made))
            made += body
            records.append(record)
        made += self.before_directory
        start = len(made)
        for number in range(len(records)) if self.order is None else self.order:
            made += records[number]
        true = {
            "sign": b"PK\5\6",
            "disk": 0,
            "directory_disk": 0,
            "here": len(records),
            "count": len(records),
            "length": len(made) - start,
            "start": start,
            "comment_length": len(self.comment),
            "record": 44,
            "made_by": 45,
            "version": 45,
        }
        if self.end64 is not None:
            at = len(made)
            lies = {"sign": b"PK\6\6", **self.end64}
            made += END64.pack(*_fitting(END64, [lies.get(field, true[field]) for field in END64_FIELDS]))
            made += LOCATOR.pack(b"PK\6\7", 0, self.end64.get("locator", at) % 2**64, 1)
        made += END.pack(*_fitting(END, [self.end.get(field, true[field]) for field in END_FIELDS]))
        return bytes(made + self.comment + self.suffix)


def _fitting(layout: struct.Struct, values: list[t.Any]) -> list[t.Any]:
    """Numbers cut to the width of their fields."""
    codes = [code for count, code in _codes(layout.format) for _time in range(count)]
    widths = {"H": 16, "L": 32, "Q": 64}
    return [value if isinstance(value, bytes) else value % 2 ** widths[code] for value, code in zip(values, ["s", *codes])]


def _codes(layout: str) -> list[tuple[int, str]]:
    found, number = [], ""
    for letter in layout[3:]:  # after "<4s"
        if letter.isdigit():
            number += letter
        else:
            found.append((int(number or 1), letter))
            number = ""
    return found


TYPES = {"dir": stat.S_IFDIR, "file": stat.S_IFREG, "symlink": stat.S_IFLNK}


def entry(path: str, kind: str = "file", content: bytes = b"content", **more: t.Any) -> dict[str, t.Any]:
    """A right entry of a manifest; *more* makes it wrong."""
    made = {
        "path": path,
        "type": kind,
        "size": 0 if kind == "dir" else len(content),
        "mode": "0755" if kind == "dir" else "0644",
        "uid": 0,
        "gid": 0,
        "owner": "root",
        "group": "root",
        "mtime_ns": 10**18,
    }
    if kind != "dir":
        made["sha256"] = hashlib.sha256(content).hexdigest()
    if kind == "symlink":
        made["target"] = content.decode("utf-8", "surrogateescape")
    return {**made, **more}


@dataclasses.dataclass(repr=False)
class Forged:
    """An archive of this collection: right as it is made, then made wrong."""

    zip: Zip
    entries: list[t.Any]
    head: dict[str, t.Any]
    #: The manifest's text, instead of what the entries give.
    manifest: t.Callable[[str], str | bytes] = lambda text: text
    #: What is done to the whole file at last.
    alter: list[t.Callable[[bytes], bytes]] = dataclasses.field(default_factory=list)
    #: Whether some lie is one that must be refused.
    must_refuse: bool = False
    told: list[str] = dataclasses.field(default_factory=list)

    def __repr__(self) -> str:
        return f"Forged({self.told}, must_refuse={self.must_refuse})"

    def add(self, path: str, kind: str = "file", content: bytes = b"content", deflated: bool = False, **more: t.Any) -> Member:
        """Add an entry and its member."""
        self.entries.append(entry(path, kind, content, **more))
        return self.add_member(path + "/" * (kind == "dir"), kind, content, deflated)

    def add_member(self, name: str, kind: str = "file", content: bytes = b"content", deflated: bool = False) -> Member:
        """Add a member only."""
        member = Member(name.encode("utf-8", "surrogateescape"), b"" if kind == "dir" else content, TYPES[kind] | 0o644, deflated)
        self.zip.members.append(member)
        return member

    def member(self, path: str) -> Member:
        """The member of a path."""
        return next(member for member in self.zip.members if member.name.rstrip(b"/") == path.encode())

    def content(self) -> bytes:
        """The bytes of the archive."""
        text = self.manifest(json.dumps({**self.head, "entries": self.entries}))
        self.zip.members[0].content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        made = self.zip.content()
        for change in self.alter:
            made = change(made)
        return made


def forged() -> Forged:
    """An archive without a fault, small."""
    made = Forged(
        Zip([Member(b"MANIFEST.json")]),
        [],
        {
            "schema": 1,
            "name": "dhash_production_20260101_000000.zip",
            "env": "production",
            "created": "2026-01-01T00:00:00Z",
            "release": None,
            "components": ["uploads", "logs"],
            "empty": [],
            "skipped": [],
            "problems": 0,
        },
    )
    made.add("uploads", "dir")
    made.add("uploads/a.txt")
    made.add("uploads/sub", "dir")
    made.add("uploads/sub/b.bin", content=bytes(range(256)) * 40, deflated=True)
    made.add("uploads/ln", "symlink", b"a.txt")
    made.add("uploads/sub/one", content=b"of two names", hardlink=7, xattrs={"user.kind": "eA=="})
    made.add("uploads/sub/two", content=b"of two names", hardlink=7, xattrs={"user.kind": "eA=="})
    made.add("logs", "dir")
    made.add("logs/app.log", content=b"INFO all is well\n" * 200, deflated=True)
    return made
