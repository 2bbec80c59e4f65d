# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifest: how it is written, and the rules that it keeps, checked before anything in it is used."""

from __future__ import annotations

import base64
import contextlib
import functools
import grp
import json
import os
import re
import stat
import typing as t

from ..._core import accounts, file_metadata
from ..._core.kinds import Entry
from ..._target.layout import COMPONENTS
from . import paths, plan
from .paths import MANIFEST

SCHEMA = 1
TYPES = ("file", "dir", "symlink")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"[0-7]{4}")
_ENV = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: What is passed on of the general facts, and of which kinds it may be.
_HEAD = {
    "release": (str, type(None)),
    "problems": (int,),
    "empty": (list,),
    "name": (str,),
    "created": (str,),
    "full": (str,),
    "level": (int,),
    "reused": (int,),
    "incomplete": (bool,),
    "posix_names": (bool,),
    "purpose": (str,),
    "why": (str,),
    "shrunk": (dict,),
}
#: What the kernel can say: seconds in 64 bits. Some file systems keep any such time, so that the writer may meet it.
_MOST_TIME = 2**63 * 10**9 - 1
#: The highest user or group number; the one above it means "do not change" to the system.
_MOST_ID = 2**32 - 2

Wrong = t.Optional[tuple[str, str]]


class _Head(t.TypedDict):
    name: str
    env: str
    created: str
    full: str
    level: int
    release: str | None
    purpose: str
    why: str


class Head(_Head, total=False):
    """The general facts of a new manifest."""

    shrunk: dict[str, str]
    no_state: bool


class _Manifest(t.TypedDict):
    schema: int
    env: str
    components: list[str]
    entries: list[Entry]


class Manifest(_Manifest, total=False):
    """A manifest that breaks no rule; one of an older version may lack fields of the second part."""

    name: str
    created: str
    full: str
    level: int
    release: str | None
    purpose: str
    why: str
    shrunk: dict[str, str]
    no_state: bool
    empty: list[str]
    skipped: list[dict[str, str]]
    posix_names: bool
    incomplete: bool
    problems: int
    reused: int


def encode(manifest: Manifest) -> bytes:
    """One line of general facts, then one line an entry: a person can read it with ``unzip -p``."""
    head = json.dumps({key: value for key, value in manifest.items() if key != "entries"})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in manifest["entries"])
    return (head[:-1] + ', "entries": [\n' + lines + "\n]}\n").encode("ascii")


def entry(source: plan.Source, status: os.stat_result) -> Entry:
    """What the manifest says of a file, folder or link before its content is known."""
    made: Entry = {
        "path": source.name,
        "type": source.type,
        "size": 0,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "uid": status.st_uid,
        "gid": status.st_gid,
        "owner": accounts.name_of(status.st_uid),
        "group": _group(status.st_gid),
        "mtime_ns": status.st_mtime_ns,
    }
    if source.sqlite:
        made["sqlite"] = source.sqlite
    if source.xattrs:
        made["xattrs"] = source.xattrs
    if source.hardlink:
        made["hardlink"] = source.hardlink
    return made


@functools.cache
def _group(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return ""


def wrong_with(manifest: t.Any) -> Wrong:
    """Where a manifest breaks a rule, and how; ``None`` when it breaks none."""
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else "no object"
        return MANIFEST, f"schema {found!r} instead of {SCHEMA}"
    components, entries = manifest.get("components"), manifest.get("entries")
    if not isinstance(components, list) or any(name not in COMPONENTS for name in components):
        return MANIFEST, "an unknown component"
    if not isinstance(manifest.get("env"), str) or not _ENV.fullmatch(manifest["env"]):
        return MANIFEST, "no environment name"
    wrong = [key for key, kinds in _HEAD.items() if key in manifest and type(manifest[key]) not in kinds]
    if wrong:
        return MANIFEST, f"{wrong[0]} of a wrong kind"
    if any(name not in COMPONENTS for name in manifest.get("empty", [])):
        return MANIFEST, "an unknown component"
    if any(
        name not in COMPONENTS or not isinstance(archive, str) or os.path.basename(archive) != archive or not archive
        for name, archive in manifest.get("shrunk", {}).items()
    ):
        return MANIFEST, "an unknown component or archive"
    if not isinstance(entries, list):
        return MANIFEST, "no list of entries"
    for entry in entries:
        found = _wrong_with_entry(entry)
        if found:
            path = entry.get("path") if isinstance(entry, dict) else None
            return (path if isinstance(path, str) else MANIFEST), found
    return _wrong_with_tree(components, entries, bool(manifest.get("posix_names")))


def _wrong_with_entry(entry: t.Any) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return "an entry without a path"
    kind = entry.get("type")
    if kind not in TYPES:
        return f"the type {str(kind)[:40]!r}, which is never restored"
    if not _number(entry, "size", 0, 2**63) or not _number(entry, "mtime_ns", -_MOST_TIME, _MOST_TIME):
        return "no size or time"
    if not _number(entry, "uid", 0, _MOST_ID) or not _number(entry, "gid", 0, _MOST_ID):
        return "no owner"
    texts = [entry.get("owner", ""), entry.get("group", ""), entry.get("target", "")]
    if any(not isinstance(text, str) or "\0" in text for text in texts):
        return "an owner, group or target that is not a word"
    if not isinstance(entry.get("mode"), str) or not _MODE.fullmatch(entry["mode"]):
        return "no mode"
    if kind != "dir" and not _SHA256.fullmatch(str(entry.get("sha256"))):
        return "no SHA-256"
    if kind == "file" and (
        not _SHA256.fullmatch(str(entry.get("packed_sha256", entry["sha256"])))
        or not _links(entry)
        or not _number({"data": 0, **entry}, "data", 0, entry["size"])
    ):
        return "a broken SHA-256 of its stored bytes, hard-link number, journal mode or bytes of data"
    if not _xattrs(entry.get("xattrs", {})):
        return "extended attributes that are never restored"
    if kind == "dir" and entry["size"]:
        return "a folder with content"
    if kind == "symlink" and not 0 < len(entry.get("target", "").encode("utf-8", "surrogateescape")) <= 4096:
        return "no link target"
    return paths.wrong_with(entry["path"])


def _links(entry: t.Mapping[str, object]) -> bool:
    return _number({"hardlink": 1, **entry}, "hardlink", 1, 2**53) and entry.get("journal_mode", "wal") == "wal"


def _xattrs(found: t.Any) -> bool:
    if not isinstance(found, dict):
        return False
    for name, value in found.items():
        if "\0" in name or not (name.startswith(file_metadata.XATTR_PREFIX) or name in file_metadata.XATTR_LISTS):
            return False
        try:
            base64.b64decode(value, validate=True)
        except (TypeError, ValueError):
            return False
    return True


def _number(entry: t.Mapping[str, object], key: str, least: int, most: int) -> bool:
    value = entry.get(key)
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _wrong_with_tree(components: list[str], entries: list[Entry], posix_names: bool) -> Wrong:
    """Every entry lies in a folder that came before it: so nothing lies below a link, and nothing comes twice."""
    kinds: dict[str, str] = {}
    folded: set[str] = set()
    linked: dict[int, tuple[t.Any, ...]] = {}
    for entry in entries:
        path = entry["path"]
        parent, _slash, _name = path.rpartition("/")
        if path in kinds:
            return path, "a duplicate entry"
        if not posix_names and ("\\" in path or path.casefold() in folded):
            return path, "a backslash in its name" if "\\" in path else "a name that differs from another only in case"
        if parent and kinds.get(parent) != "dir":
            return path, f"a path below {kinds.get(parent, 'nothing')}, not below a folder that comes before it"
        if not parent and (entry["type"] != "dir" or path not in components):
            return path, "a component that the manifest does not name"
        if "hardlink" in entry:
            content = (entry["type"], entry.get("sha256"), entry["size"])
            if linked.setdefault(entry["hardlink"], content) != content or entry["type"] != "file":
                return path, "another content than the other names of the same file"
        kinds[path] = entry["type"]
        folded.add(path.casefold())
    missing = [name for name in components if name not in kinds]
    return (MANIFEST, f"no folder for component {missing[0]}") if missing else None
