# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules that a manifest keeps; checked before anything in it is used."""
from __future__ import annotations

import re
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _archive_paths
from ansible_collections.mobius.ops.plugins.module_utils._archive_paths import MANIFEST
from ansible_collections.mobius.ops.plugins.module_utils._layout import COMPONENTS

SCHEMA = 1
TYPES = ("file", "dir", "symlink")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODE = re.compile(r"[0-7]{4}")
_ENV = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Files of the year 1677 to 2262: what a time in nanoseconds can say in 64 bits.
_MOST_TIME = 2 ** 63
#: The highest user or group number; the one above it means "do not change" to the system.
_MOST_ID = 2 ** 32 - 2

Wrong = t.Optional[tuple[str, str]]


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
    if not _number(entry, "size", 0, 2 ** 63) or not _number(entry, "mtime_ns", -_MOST_TIME, _MOST_TIME):
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
    if kind == "dir" and entry["size"]:
        return "a folder with content"
    if kind == "symlink" and not 0 < len(entry.get("target", "").encode("utf-8", "surrogateescape")) <= 4096:
        return "no link target"
    return _archive_paths.wrong_with(entry["path"])


def _number(entry: dict[str, t.Any], key: str, least: int, most: int) -> bool:
    value = entry.get(key)
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _wrong_with_tree(components: list[str], entries: list[dict[str, t.Any]], posix_names: bool) -> Wrong:
    """Every entry lies in a folder that came before it: so nothing lies below a link, and nothing comes twice."""
    kinds: dict[str, str] = {}
    folded: set[str] = set()
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
        kinds[path] = entry["type"]
        folded.add(path.casefold())
    missing = [name for name in components if name not in kinds]
    return (MANIFEST, f"no folder for component {missing[0]}") if missing else None
