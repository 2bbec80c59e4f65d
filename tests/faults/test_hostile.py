# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Generated hostile archives: refused whole by a sentence; nothing is written outside, or inside before the refusal."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import typing as t
import unicodedata
import zlib

import hypothesis
import pytest
from hypothesis import strategies as st
from support import trees
from support.processes import Ended, Runner
from support.raw_zip import CENTRAL_FIELDS, END64_FIELDS, END_FIELDS, LOCAL_FIELDS, Forged, Member, entry, forged
from support.state import State
from support.waiting import HANG

NAME = "dhash_production_20260101_000000.zip"
#: Bytes of memory that no archive makes a process need.
MEMORY = 200 << 20
EVIL = "mobius-evil"

Draw = t.Callable[[st.SearchStrategy[t.Any]], t.Any]
Lie = t.Callable[[Draw, Forged, str], bool]

lies: dict[str, Lie] = {}


def lie(function: Lie) -> Lie:
    """Register a way to make an archive hostile. It tells whether the archive must be refused for it."""
    lies[function.__name__] = function
    return function


# Names

HOSTILE_STEPS = st.sampled_from(["..", ".", "", "...", "C:", "a\0b", "x" * 300, "é" * 200, "~", "con", "a\nb"])


@lie
def escaping_path(draw: Draw, made: Forged, outside: str) -> bool:
    up = "/".join([".."] * draw(st.integers(1, 12)))
    path = draw(
        st.sampled_from(
            [
                f"{up}/canary/{EVIL}",
                f"uploads/{up}/canary/{EVIL}",
                f"uploads/sub/{up}/{EVIL}",
                f"{outside}/{EVIL}",
                f"/{EVIL}",
                f"C:\\{EVIL}",
                f"C:/{EVIL}",
                f"\\\\host\\share\\{EVIL}",
                f"//host/{EVIL}",
                f"..\\..\\{EVIL}",
                f"./uploads/{EVIL}",
                f"uploads//{EVIL}",
                f"uploads/./{EVIL}",
                f"uploads/{EVIL}/..",
                f"uploads/a\0/{EVIL}",
                f"uploads/{EVIL}\0.txt",
                "..",
                ".",
                f"other/{EVIL}",
                f"uploads\0/{EVIL}",
                f"uploads/{'x' * 256}",
                f"uploads/{'é' * 128}",
                f"/uploads/{EVIL}",
                f" uploads/{EVIL}",
                f"uploads/sub/../{EVIL}",
                f"uploads/..\\..\\{EVIL}",
                f"Uploads/{EVIL}",
                f"config/{EVIL}",
                EVIL,
                f"current/{EVIL}",
            ]
        )
    )
    kind = draw(st.sampled_from(["file", "dir", "symlink"]))
    which = draw(st.sampled_from(["both", "entry", "member"]))
    if which == "both":
        made.add(path, kind, outside.encode())
    elif which == "entry":
        made.entries.append(entry(path, kind, outside.encode()))
    else:
        made.add_member(path + "/" * (kind == "dir"), kind)
    return True


@lie
def odd_steps(draw: Draw, made: Forged, outside: str) -> bool:
    steps = draw(st.lists(st.one_of(HOSTILE_STEPS, st.text(max_size=4)), min_size=1, max_size=6))
    with contextlib.suppress(UnicodeEncodeError):
        made.add("/".join(["uploads", *steps]))
    return any(step in ("..", ".", "") or "\0" in step or len(step.encode("utf-8", "replace")) > 255 for step in steps)


@lie
def renamed(draw: Draw, made: Forged, outside: str) -> bool:
    """A member's two names, or the manifest's, are not the same."""
    member = draw(st.sampled_from(made.zip.members))
    name = draw(
        st.sampled_from(
            [
                b"../" + member.name,
                b"/etc/" + member.name,
                member.name + b"\0",
                member.name.upper(),
                member.name + b"x",
                b"",
                b"\xff\xfe",
                member.name.replace(b"/", b"\\"),
            ]
        )
    )
    if name == member.name:
        return False
    for header in draw(st.sampled_from([[member.local], [member.central], [member.local, member.central]])):
        header["name"] = name
    return True


@lie
def twice(draw: Draw, made: Forged, outside: str) -> bool:
    index = draw(st.integers(0, len(made.entries) - 1))
    item, member = made.entries[index], made.zip.members[index + 1]
    which = draw(st.sampled_from(["both", "entry", "member", "other content"]))
    if which in ("both", "entry"):
        made.entries.append(dict(item))
    if which in ("both", "member"):
        made.zip.members.append(member)
    if which == "other content":
        made.zip.members.append(Member(member.name, b"other", member.mode))
    return True


@lie
def case_clash(draw: Draw, made: Forged, outside: str) -> bool:
    made.add(draw(st.sampled_from(["uploads/A.TXT", "uploads/Sub", "uploads/LN"])), draw(st.sampled_from(["file", "dir"])))
    return True


@lie
def normal_forms(draw: Draw, made: Forged, outside: str) -> bool:
    name = "uploads/" + draw(st.sampled_from(["é", "Å", "ﬁ", "각", "ñandú"]))
    for form in ("NFC", "NFD"):
        path = unicodedata.normalize(form, name)
        if path not in [item.get("path") for item in made.entries if isinstance(item, dict)]:
            made.add(path, content=form.encode())
    return False  # two names to Linux: both must come back


@lie
def below_a_link(draw: Draw, made: Forged, outside: str) -> bool:
    target = draw(st.sampled_from([outside, "..", "../../..", "/", ".", "sub", "/proc/self/cwd"]))
    link = draw(st.sampled_from(["uploads/out", "uploads/sub/out"]))
    made.add(link, "symlink", target.encode())
    if draw(st.booleans()):
        made.entries.append(entry(link, "dir"))
    made.add(f"{link}/{EVIL}", draw(st.sampled_from(["file", "dir", "symlink"])))
    return True


@lie
def component_that_is_a_link(draw: Draw, made: Forged, outside: str) -> bool:
    component = draw(st.sampled_from(["logs", "config", "database"]))
    if component not in made.head["components"]:
        made.head["components"] = [*made.head["components"], component]
    made.entries = [item for item in made.entries if not (isinstance(item, dict) and item.get("path") == component)]
    made.zip.members = [member for member in made.zip.members if member.name != component.encode() + b"/"]
    made.add(component, draw(st.sampled_from(["symlink", "file"])), outside.encode())
    return True


@lie
def below_a_file(draw: Draw, made: Forged, outside: str) -> bool:
    made.add(draw(st.sampled_from(["uploads/a.txt/b", "uploads/none/b", "logs/app.log/x/y", "uploads/z/../a"])))
    return True


@lie
def wrong_order(draw: Draw, made: Forged, outside: str) -> bool:
    before = list(made.entries)
    made.entries = draw(st.permutations(made.entries))
    seen: set[str] = set()
    for item in made.entries:
        parent = item["path"].rpartition("/")[0] if isinstance(item, dict) and isinstance(item.get("path"), str) else ""
        if parent and parent not in seen:
            return made.entries != before
        seen.add(item["path"] if isinstance(item, dict) and isinstance(item.get("path"), str) else "")
    return False


# Contents and sizes


@lie
def bomb(draw: Draw, made: Forged, outside: str) -> bool:
    """Megabytes out of a few bytes, with sizes that do not say so."""
    size = draw(st.sampled_from([1 << 20, 8 << 20, 64 << 20]))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(packer.compress(bytes(1 << 20)) for _time in range(size >> 20)) + packer.flush()
    said = draw(st.sampled_from([7, size - 1, size + 1, size * 2, 2**31, 2**32 - 1]))
    member = Member(b"uploads/bomb", mode=stat.S_IFREG | 0o644, deflated=True, body=body)
    for header in (member.local, member.central):
        header["size"] = said
    made.zip.members.append(member)
    made.entries.append(entry("uploads/bomb", size=said))
    return True


@lie
def swollen(draw: Draw, made: Forged, outside: str) -> bool:
    """Sizes of an honest member that its bytes cannot give."""
    member = made.add("uploads/swollen", content=b"0123456789" * 20, deflated=draw(st.booleans()))
    field = draw(st.sampled_from(["size", "packed"]))
    value = draw(st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 199, 201, 2**31, 2**32 - 1])))
    if value == 200 or (field == "packed" and member.deflated and value == len(zlib.compress(member.content, 9)) - 6):
        return False
    for header in draw(st.sampled_from([[member.local], [member.central], [member.local, member.central]])):
        header[field] = value
    if draw(st.booleans()) and field == "size":
        made.entries[-1]["size"] = value
    return True


@lie
def many_layers(draw: Draw, made: Forged, outside: str) -> bool:
    """Many members out of the same bytes: each points at the same place."""
    first = made.add("uploads/layer", content=bytes(100_000), deflated=True)
    start = sum(len(member.parts(0)[0]) for member in made.zip.members[:-1])
    for number in range(draw(st.integers(1, 50))):
        member = made.add(f"uploads/layer{number}", content=bytes(100_000), deflated=True)
        member.local, member.body = dict(first.local), b""
        member.central.update(offset=start, packed=len(first.parts(0)[0]) - 30 - len(first.name))
    made.alter.insert(0, lambda content: content)
    return True


@lie
def overlap(draw: Draw, made: Forged, outside: str) -> bool:
    member = draw(st.sampled_from(made.zip.members))
    member.central["offset"] = draw(st.one_of(st.integers(0, 3000), st.integers(2**31, 2**32 - 1)))
    place = sum(len(other.parts(0)[0]) for other in made.zip.members[: made.zip.members.index(member)])
    return member.central["offset"] != place and member is not made.zip.members[0]


@lie
def gaps(draw: Draw, made: Forged, outside: str) -> bool:
    filler = draw(st.one_of(st.binary(min_size=1, max_size=40), st.just(b"PK\3\4" + b"\0" * 26)))
    where = draw(st.sampled_from(["prefix", "before", "after", "before_directory", "suffix", "comment"]))
    if where in ("before", "after"):
        setattr(draw(st.sampled_from(made.zip.members)), where, filler)
    else:
        setattr(made.zip, where, filler)
    return True


@lie
def wrong_content(draw: Draw, made: Forged, outside: str) -> bool:
    member = draw(st.sampled_from(made.zip.members[1:]))
    if member.name.endswith(b"/"):
        return False
    member.content = (
        draw(st.binary(min_size=len(member.content), max_size=len(member.content)).filter(lambda content: content != member.content))
        if len(member.content) < 100
        else bytes(len(member.content))
    )
    return True


@lie
def folder_with_content(draw: Draw, made: Forged, outside: str) -> bool:
    made.member("uploads/sub").content = b"content"
    if draw(st.booleans()):
        made.entries[2] = entry("uploads/sub", "dir", size=7)
    return True


@lie
def other_target(draw: Draw, made: Forged, outside: str) -> bool:
    """The link says one thing in the manifest and another one in its member."""
    place = next((item for item in made.entries if isinstance(item, dict) and item.get("path") == "uploads/ln"), None)
    if place is None:
        return False
    place["target"] = outside
    if draw(st.booleans()):
        place["sha256"] = hashlib.sha256(outside.encode()).hexdigest()
    if draw(st.booleans()):
        place["size"] = len(outside)
    return True


# Kinds


@lie
def special_member(draw: Draw, made: Forged, outside: str) -> bool:
    member = draw(st.sampled_from(made.zip.members[1:]))
    kind = draw(
        st.sampled_from(
            [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, 0o160000, 0o030000]
        )
    )
    same = stat.S_IFMT(member.mode) == kind
    member.mode = kind | 0o6777
    return not same


@lie
def special_entry(draw: Draw, made: Forged, outside: str) -> bool:
    item = draw(st.sampled_from(made.entries))
    if isinstance(item, dict):
        item["type"] = draw(st.sampled_from(["fifo", "device", "char", "block", "socket", "hardlink", "File", "", 0, None, [], {}]))
    return True


@lie
def hard_links_that_disagree(draw: Draw, made: Forged, outside: str) -> bool:
    """A group of hard links is one file: with two contents, modes or owners it is a lie."""
    group = draw(st.integers(1, 5))
    made.add("uploads/one", content=b"first", hardlink=group)
    change = draw(st.sampled_from([{"content": b"other"}, {"mode": "0600"}, {"uid": 1, "owner": "daemon"}, {"mtime_ns": 5}]))
    made.add("uploads/two", **{"content": b"first", "hardlink": group, **change})
    return "content" in change


@lie
def odd_hard_link(draw: Draw, made: Forged, outside: str) -> bool:
    item = draw(st.sampled_from(made.entries))
    value = draw(st.one_of(st.sampled_from([0, -1, 2**70, "uploads/a.txt", None, True, [1], 1.5]), st.integers()))
    item["hardlink"] = value
    return not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**60 or item["type"] != "file"


@lie
def odd_xattrs(draw: Draw, made: Forged, outside: str) -> bool:
    item = draw(st.sampled_from(made.entries))
    name = draw(
        st.sampled_from(
            [
                "security.capability",
                "trusted.overlay.opaque",
                "system.posix_acl_access",
                "user.",
                "user.x",
                "",
                "user.\0",
                "security.selinux",
                "user." + "x" * 300,
                "system.nfs4_acl",
            ]
        )
    )
    value = draw(st.sampled_from(["AQAAAgAgAAAAAAAAAAAAAAAAAAA=", "", "no base64!", 7, None, ["eA=="], "eA==" * 40000]))
    found = item["xattrs"] = draw(st.sampled_from([{name: value}, [name], name, 1, {"user.a": "eA==", name: value}]))
    return not isinstance(found, dict) or "\0" in name or not name.startswith(("user.", "system.posix_acl_"))


# The manifest

NUMBERS = st.one_of(
    st.integers(), st.sampled_from([0, -1, 2**31, 2**32 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400]), st.floats(allow_nan=True)
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.just("\ud800"), st.just("../x"), st.just("\0")),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=8,
)
HEAD = [
    "schema",
    "name",
    "env",
    "created",
    "release",
    "components",
    "empty",
    "skipped",
    "problems",
    "posix_names",
    "full",
    "reused",
    "incomplete",
    "entries",
]
FIELDS = [
    "path",
    "type",
    "size",
    "mode",
    "uid",
    "gid",
    "owner",
    "group",
    "mtime_ns",
    "sha256",
    "target",
    "changed",
    "sqlite",
    "xattrs",
    "hardlink",
    "inode",
    "ctime_ns",
    "packed_sha256",
    "journal_mode",
]


@lie
def any_value(draw: Draw, made: Forged, outside: str) -> bool:
    for _time in range(draw(st.integers(1, 3))):
        items = [item for item in made.entries if isinstance(item, dict)] if isinstance(made.entries, list) else []
        if draw(st.booleans()) or not items:
            key = draw(st.sampled_from(HEAD))
            if key == "entries":
                made.entries = draw(JSON)
            else:
                made.head[key] = draw(JSON)
        else:
            draw(st.sampled_from(items))[draw(st.sampled_from(FIELDS))] = draw(JSON)
    return not isinstance(made.entries, list)


@lie
def missing_value(draw: Draw, made: Forged, outside: str) -> bool:
    if draw(st.booleans()):
        key = draw(st.sampled_from(["schema", "env", "components"]))
        made.head.pop(key, None)
    else:
        item = draw(st.sampled_from(made.entries))
        key = draw(st.sampled_from(["path", "type", "size", "mode", "uid", "gid", "mtime_ns"]))
        if isinstance(item, dict):
            item.pop(key, None)
    return True


@lie
def any_entry(draw: Draw, made: Forged, outside: str) -> bool:
    made.entries.insert(draw(st.integers(0, len(made.entries))), draw(JSON))
    return True


@lie
def any_text(draw: Draw, made: Forged, outside: str) -> bool:
    text = draw(
        st.one_of(
            st.binary(max_size=60),
            JSON.map(lambda value: json.dumps(value)),
            st.sampled_from(
                [
                    "",
                    "null",
                    "[]",
                    "{}",
                    "NaN",
                    "Infinity",
                    "1" * 5000,
                    "[" * 100_000,
                    '{"a":' * 100_000,
                    '"' + "x" * 10**6,
                    "\ufeff{}",
                    '{"schema": 1}',
                    '{"schema": 1, "entries": []}',
                    '{"schema": NaN}',
                    '{"schema": 1e400}',
                ]
            ),
        )
    )
    made.manifest = lambda _text: text
    return True


@lie
def deep(draw: Draw, made: Forged, outside: str) -> bool:
    """A value so deep that who walks it falls."""
    depth = draw(st.sampled_from([10, 200, 450, 900, 960, 985, 2000, 100_000]))
    key = draw(st.sampled_from(["release", "problems", "skipped", "name", "created", "empty", "x"]))
    opening, closing = draw(st.sampled_from([("[", "]"), ('{"a":', "}")]))
    nested = opening * depth + "1" + closing * depth
    made.manifest = lambda text: text[:-1] + f', "{key}": {nested}}}'
    return depth >= 100_000


@lie
def two_keys(draw: Draw, made: Forged, outside: str) -> bool:
    """The same key twice: one reader takes the first, another one the last."""
    more = draw(
        st.sampled_from(
            ['"env": "staging"', '"entries": []', '"components": []', '"schema": 1', '"schema": 2', '"components": ["uploads"]']
        )
    )
    front = draw(st.booleans())
    made.manifest = lambda text: "{" + more + ", " + text[1:] if front else text[:-1] + ", " + more + "}"
    return False


@lie
def manifest_elsewhere(draw: Draw, made: Forged, outside: str) -> bool:
    first = made.zip.members[0]
    change = draw(st.sampled_from(["deflated", "last", "gone", "twice", "lower", "folder"]))
    if change == "deflated":
        first.deflated = True
    elif change == "last":
        made.zip.order = [*range(1, len(made.zip.members)), 0]
    elif change == "gone":
        first.local["name"] = first.central["name"] = b"uploads/MANIFEST.json"
    elif change == "twice":
        made.zip.members.append(Member(b"MANIFEST.json", b"{}"))
    elif change == "lower":
        first.local["name"] = first.central["name"] = b"manifest.json"
    else:
        made.add_member("MANIFEST.json/", "dir")
    return True


@lie
def huge_count(draw: Draw, made: Forged, outside: str) -> bool:
    """More entries than members, or the reverse, by thousands."""
    number = draw(st.sampled_from([1000, 20_000]))
    if draw(st.booleans()):
        made.entries += [entry(f"uploads/{index}", content=b"") for index in range(number)]
    else:
        made.zip.members += [Member(b"uploads/%d" % index) for index in range(number)]
    return True


@lie
def other_type_of_entry(draw: Draw, made: Forged, outside: str) -> bool:
    """Manifest and member disagree on what it is."""
    items = [item for item in made.entries if isinstance(item, dict) and item.get("type") == "file"]
    if not items:
        return False
    item = draw(st.sampled_from(items))
    item.update(type="symlink", target=draw(st.sampled_from([outside, "content", "/etc/passwd"])))
    return True


# Fields of the zip file


@lie
def any_field(draw: Draw, made: Forged, outside: str) -> bool:
    member = draw(st.sampled_from(made.zip.members))
    for _time in range(draw(st.integers(1, 3))):
        header, fields = draw(st.sampled_from([(member.local, LOCAL_FIELDS), (member.central, CENTRAL_FIELDS)]))
        field = draw(st.sampled_from(fields[1:]))
        header[field] = draw(st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 255), st.sampled_from([0xFFFF, 0xFFFFFFFF])))
    return False


@lie
def encrypted(draw: Draw, made: Forged, outside: str) -> bool:
    member = draw(st.sampled_from(made.zip.members))
    flags = draw(st.sampled_from([1, 8, 0x20, 0x40, 0x41, 0x2000, 0x801]))
    for header in draw(st.sampled_from([[member.local], [member.central], [member.local, member.central]])):
        header["flags"] = flags
    return True


@lie
def other_method(draw: Draw, made: Forged, outside: str) -> bool:
    member = draw(st.sampled_from(made.zip.members))
    method = draw(st.sampled_from([1, 6, 9, 12, 14, 93, 95, 97, 99, 0xFFFF]))
    for header in draw(st.sampled_from([[member.local], [member.central], [member.local, member.central]])):
        header["method"] = method
    return True


@lie
def descriptor(draw: Draw, made: Forged, outside: str) -> bool:
    """Sizes behind the content instead of before it."""
    member = made.add("uploads/streamed", deflated=draw(st.booleans()))
    member.local.update(flags=8, crc=0, packed=0, size=0)
    member.central["flags"] = 8
    member.after = b"PK\7\x08" + zlib.crc32(b"content").to_bytes(4, "little") + b"\7\0\0\0" * 2
    return True


@lie
def extra_fields(draw: Draw, made: Forged, outside: str) -> bool:
    """Extra fields: rubbish, cut short, zip64 sizes that are not so, other names of the member."""
    member = draw(st.sampled_from(made.zip.members))
    sizes = draw(st.lists(st.sampled_from([0, 7, 2**31, 2**32, 2**63, 2**64 - 1]), max_size=4))
    zip64 = b"".join(size.to_bytes(8, "little") for size in sizes)
    extra = draw(
        st.one_of(
            st.binary(max_size=40),
            st.just(b"\1\0" + len(zip64).to_bytes(2, "little") + zip64),
            st.just(b"\1\0\xff\xff"),
            st.just(b"up" + (9 + len(EVIL)).to_bytes(2, "little") + b"\1" + zlib.crc32(member.name).to_bytes(4, "little") + EVIL.encode()),
        )
    )
    for header in draw(st.sampled_from([[member.local], [member.central], [member.local, member.central]])):
        header["extra"] = extra
        if draw(st.booleans()):
            header.update(draw(st.sampled_from([{"size": 0xFFFFFFFF}, {"packed": 0xFFFFFFFF}, {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}])))
    return False


@lie
def end_record(draw: Draw, made: Forged, outside: str) -> bool:
    for _time in range(draw(st.integers(1, 3))):
        made.zip.end[draw(st.sampled_from(END_FIELDS[1:]))] = draw(
            st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 300), st.sampled_from([0xFFFF, 0xFFFFFFFF]))
        )
    return False


@lie
def zip64_end(draw: Draw, made: Forged, outside: str) -> bool:
    fields = st.sampled_from([*END64_FIELDS[1:], "locator"])
    made.zip.end64 = draw(st.dictionaries(fields, st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 300)), max_size=3))
    if draw(st.booleans()):
        made.zip.end.update(here=0xFFFF, count=0xFFFF, length=0xFFFFFFFF, start=0xFFFFFFFF)
    return False


@lie
def directory_order(draw: Draw, made: Forged, outside: str) -> bool:
    order = draw(st.lists(st.integers(0, len(made.zip.members) - 1), min_size=1, max_size=len(made.zip.members) + 2))
    made.zip.order = order
    made.zip.end.update(here=len(order), count=len(order))
    return len(set(order)) != len(order) or len(order) < len(made.zip.members)


# The whole file


@lie
def overwritten(draw: Draw, made: Forged, outside: str) -> bool:
    places = draw(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=8))

    def change(content: bytes) -> bytes:
        altered = bytearray(content)
        for place, value in places:
            if altered:
                altered[place % len(altered)] = value
        return bytes(altered)

    made.alter.append(change)
    return False


@lie
def cut(draw: Draw, made: Forged, outside: str) -> bool:
    start, length = draw(st.integers(0, 2**16)), draw(st.integers(1, 2**16))
    made.alter.append(lambda content: content[: start % (len(content) + 1)] + content[start % (len(content) + 1) + length :])
    return False


@lie
def inserted(draw: Draw, made: Forged, outside: str) -> bool:
    place, more = draw(st.integers(0, 2**16)), draw(st.binary(min_size=1, max_size=30))
    made.alter.append(lambda content: content[: place % (len(content) + 1)] + more + content[place % (len(content) + 1) :])
    return True


@lie
def rubbish(draw: Draw, made: Forged, outside: str) -> bool:
    whole = draw(st.one_of(st.binary(max_size=200), st.sampled_from([b"", b"PK\5\6" + b"\0" * 18, b"PK\3\4", b"\x1f\x8b" * 30])))
    made.alter.append(lambda _content: whole)
    return True


@st.composite
def hostile(draw: t.Any, outside: str) -> Forged:
    """An archive with one to three lies."""
    made = forged()
    for name in draw(st.lists(st.sampled_from(sorted(lies)), min_size=1, max_size=3, unique=True)):
        with contextlib.suppress(AttributeError, KeyError, IndexError, TypeError, StopIteration, hypothesis.errors.InvalidArgument):
            made.must_refuse |= lies[name](draw, made, outside)  # an earlier lie may have taken away what it needs
            made.told.append(name)
    hypothesis.assume(made.told)
    return made


class Box:
    """A root with canaries around it, and one archive that is restored into it."""

    def __init__(self, folder: str, runner: Runner) -> None:
        self.folder, self.runner = folder, runner
        self.archive = os.path.join(folder, "archives", NAME)
        self.outside = os.path.join(folder, "canary")
        os.makedirs(os.path.dirname(self.archive))
        os.makedirs(self.outside)
        for name in ("passwd", "sub/b.bin"):
            os.makedirs(os.path.dirname(os.path.join(self.outside, name)), exist_ok=True)
            with open(os.path.join(self.outside, name), "w") as stream:
                stream.write("canary")
        self.renew()

    def renew(self) -> None:
        """Make the root anew."""
        shutil.rmtree(os.path.join(self.folder, "mobius"), ignore_errors=True)
        self.state = State(os.path.join(self.folder, "mobius"), self.runner)
        self.state.put("uploads/live.txt", b"live")
        self.state.put("logs/app.log", b"live")
        self.before = self.around()

    def around(self) -> dict[str, t.Any]:
        """All but the archive; a restore keeps its journal in the folder ``state`` meanwhile."""
        return trees.facts(self.folder, leave_out=("archives",), timeless=("mobius/state",))

    def write(self, content: bytes) -> None:
        """Put the archive there, with a sidecar that fits."""
        with open(self.archive, "wb") as stream:
            stream.write(content)
        with open(self.archive + ".sha256", "w") as stream:
            stream.write(f"{hashlib.sha256(content).hexdigest()}  {NAME}\n")

    def restore(self) -> Ended:
        """Restore it within bounds."""
        ended = self.runner.run("backup_restore", self.state.options(archive=self.archive, safety_backup=False))
        assert ended.peak < MEMORY, ended.peak
        return ended

    def listed(self) -> dict[str, t.Any]:
        """What backup_info says of it after it has read every member."""
        ended = self.runner.run("backup_info", {"dest": os.path.dirname(self.archive), "verify": "deep"})
        assert ended.peak < MEMORY, ended.peak
        return ended.good()["backups"][0]

    def check(self, made: Forged) -> str:
        """Offer the archive to the modules: "refused", or "equivalent" when it is accepted with reason."""
        self.write(made.content())
        listed, ended = self.listed(), self.restore()
        for place in ("/", os.getcwd(), os.path.dirname(self.folder), self.folder):
            assert not os.path.lexists(os.path.join(place, EVIL))
        if ended.status:
            message = ended.sentence()
            assert self.around() == self.before
            # Who reads deeper when fewer functions have called it may reach the end of what another one gives up.
            assert listed["status"] == "corrupt" or any(word in message for word in ("free for", "env", "components", "recursion"))
            return "refused"
        try:
            assert not made.must_refuse and listed["status"] == "verified", (made.told, listed)
            self.check_equivalent()
        finally:
            self.renew()
        return "equivalent"

    def check_equivalent(self) -> None:
        """What was restored is what the manifest says, nothing else, and nothing around it has changed."""
        now = self.around()
        names = {name for name in self.before if not name.startswith(("mobius/shared", "mobius/state"))}
        assert {name: now[name] for name in names} == {name: self.before[name] for name in names}
        assert {name for name in now if not name.startswith(("mobius/shared", "mobius/state"))} == names
        with open(self.archive, "rb") as stream:
            content = stream.read()
        start = 30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little")
        manifest = json.loads(content[start : start + int.from_bytes(content[22:26], "little")])
        expected = {item["path"]: item for item in manifest["entries"]}
        found = {}
        for component in manifest["components"]:
            top = self.state.path(component)
            found[component] = os.lstat(top)
            for path in trees.walk(top):
                found[os.path.join(component, os.path.relpath(path, top))] = os.lstat(path)
        assert {name.encode("utf-8", "surrogateescape") for name in expected} == {os.fsencode(name) for name in found}
        for name, status in found.items():
            item, path = expected[os.fsencode(name).decode("utf-8", "surrogateescape")], self.state.path(name)
            kind = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}[stat.S_IFMT(status.st_mode)]
            assert kind == item["type"] and not status.st_mode & stat.S_ISUID
            assert not [attribute for attribute in os.listxattr(path, follow_symlinks=False) if attribute.startswith(("sec", "tru"))]
            if kind == "file":
                assert trees.sha256(path) == item["sha256"] and status.st_size == item["size"]


@pytest.fixture
def box(tmp_path: t.Any, runner: Runner) -> Box:
    """A root with canaries around it."""
    return Box(str(tmp_path / "box"), runner)


def test_the_forger_makes_right_archives(box):
    assert box.check(forged()) == "equivalent"


@pytest.mark.parts(quick=2, long=8)
def test_hostile_archives(box, part, request, long, record_property):
    outcomes: collections.Counter[str] = collections.Counter()

    @hypothesis.seed(f"{request.config.getoption('--chance')} {part}")
    @hypothesis.settings(max_examples=80 if long else 40)
    @hypothesis.given(hostile(box.outside))
    def offer(made):
        outcomes[box.check(made)] += 1

    offer()
    record_property("outcomes", dict(outcomes))
    assert outcomes["refused"] > 4 * outcomes["equivalent"], outcomes
    assert outcomes.total() >= (80 if long else 40)


@pytest.mark.parametrize("name", sorted(lies))
def test_each_lie_alone(box, name, long, request):
    """Lies that only meet others may hide behind them."""

    @hypothesis.seed(f"{request.config.getoption('--chance')} {name}")
    @hypothesis.settings(max_examples=10 if long else 2)
    @hypothesis.given(st.data())
    def offer(data):
        made = forged()
        made.told.append(name)
        made.must_refuse = lies[name](data.draw, made, box.outside)
        box.check(made)

    offer()


@pytest.mark.parts(quick=1, long=2)
def test_hostile_archives_as_ansible_does(box, part, request, tmp_path):
    """The same in a new interpreter each."""
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": box.state.options(archive=box.archive)}))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "ansible_collections.mobius.ops.plugins.modules.backup_restore", str(arguments)]

    @hypothesis.seed(f"{request.config.getoption('--chance')} {part}")
    @hypothesis.settings(max_examples=10)
    @hypothesis.given(hostile(box.outside))
    def offer(made):
        hypothesis.assume(made.must_refuse)
        box.write(made.content())
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment, check=False)
        assert "Traceback" not in done.stdout + done.stderr
        result = json.loads(done.stdout)
        assert done.returncode == 1 and result["failed"] and result["msg"].startswith(f"archive {box.archive}: "), result
        assert box.around() == box.before

    offer()
