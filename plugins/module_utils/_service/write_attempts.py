# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the application tried to write outside its shared folders, from what it printed, and the setting that helps.

Source of the formats: the errors of libuv in Node 18 to 22, and of sharp 0.33 (``recorded/writes``). The service's user wrote that
text: it is read as far as ``node_service.PRINTED`` bytes, and what is taken from it is printable, bounded, and only ever looked at
as a name in the release, which belongs to root.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t

from .._core import dotenv
from .._core.errors import InputError, OpsError
from .._observe import node_exceptions
from .._target import shared_folders
from .._target.record_types import SharedFolder
from .node_service import Service

#: Findings at most, paths that each names, and characters of a path.
FINDINGS, PATHS, LONGEST = 10, 3, 200
#: Findings that a message names.
TOLD = 3
_CALL = re.compile(
    r"\b(EACCES|EROFS|ENOENT): [a-z -]{1,60}, ([a-z]{1,20}) '([^'\n]{1,4096})'(?: -> '([^'\n]{1,4096})')?"
    r"(.*(?:\n[ \t]+at .*){0,8})"
)
_SHARP = re.compile(r": unable to open for write\s+(?:system|unix) error: ([A-Z][a-z -]{1,60})")
_UNIX = {"Permission denied": "EACCES", "Read-only file system": "EROFS", "No such file or directory": "ENOENT"}
#: Calls that may write, and functions in a stack that only read.
_WRITES = ("open", "mkdir", "mkdtemp", "copyfile", "rename", "link", "symlink", "unlink", "rmdir", "utime", "futime", "chmod", "truncate")
_READS = re.compile(r"\b(?:readFile|readFileSync|ReadStream|readdir)\b")
#: Words in a folder's name, and the component that such folders belong to; the others are generated.
_COMPONENTS = (
    ("uploads", re.compile("upload|media")),
    ("logs", re.compile(r"\blogs?\b")),
    ("database", re.compile(r"data|\bdb\b|store|session")),
)
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")


class Attempt(t.NamedTuple):
    """One failed call."""

    error: str
    call: str
    path: str


class _Finding(t.TypedDict):
    folder: str
    paths: list[str]
    error: str
    line: str


class Finding(_Finding, total=False):
    """Writing that failed in one folder: the entry of ``mobius_shared_folders`` that would allow it, empty when none would."""

    message: str


def of(service: Service) -> list[Finding]:
    """The findings about a service since it was started on purpose, by folder: ``folder, paths, error, line, message``."""
    shared = [service.layout.shared, os.path.join(service.live_root, "shared")]
    with contextlib.suppress(OSError, OpsError):  # no journal, or a list that cannot be read: a finding is a hint, and stops nothing
        printed = dotenv.Redactor(service.spec["env_file"]).text(service.printed())
        folders = shared_folders.load(service.layout)
        return findings(printed, service.place(), os.path.realpath(service.spec["working_dir"]), folders, shared)
    return []


def findings(
    text: str, place: node_exceptions.Place, release: str, entries: list[SharedFolder], shared: t.Iterable[str] = ()
) -> list[Finding]:
    """What a text tells of writing elsewhere, by folder, each path once.

    :param place: the folders in which the application sees its files.
    :param release: the folder of the release.
    :param entries: the folders that releases share.
    :param shared: the real folders behind them.
    """
    found: dict[str, Finding] = {}
    for attempt in attempts(text):
        path = _inside(place.relative(attempt.path), entries, shared)
        if not path or (attempt.error == "ENOENT" and not _was_to_be_made(path, attempt.call, release)):
            continue
        folder = _folder(path, attempt.call, release)
        one = found.setdefault(folder, {"folder": folder, "paths": [], "error": attempt.error, "line": _line(folder, release, entries)})
        if path not in one["paths"] and len(one["paths"]) < PATHS:
            one["paths"].append(path)
    return [{**one, "message": _message(one)} for one in list(found.values())[:FINDINGS]]


def joined(*groups: list[Finding] | None) -> list[Finding]:
    """Several lists of findings as one, each folder once."""
    found: dict[str, Finding] = {}
    for one in (one for group in groups for one in group or []):
        found.setdefault(one["folder"], one)
    return list(found.values())[:FINDINGS]


def told(found: list[Finding]) -> str:
    """The first findings in words, for the end of a message."""
    return " ".join(one["message"] + "." for one in found[:TOLD])


def attempts(text: str) -> list[Attempt]:
    """The failed calls in a text that may have been to write, each once, in the order of the text's formats."""
    found = []
    for error, call, path, to, stack in _CALL.findall(text):
        if (call in _WRITES or error == "EROFS") and not (error == "ENOENT" and (call not in _WRITES[:7] or _READS.search(stack))):
            found.append(Attempt(error, call, node_exceptions.printable(to or path, LONGEST)))
    for match in _SHARP.finditer(text):
        line = text[text.rfind("\n", max(0, match.start() - 4096), match.start()) + 1 : match.start()]
        if match.group(1) in _UNIX:
            found.append(Attempt(_UNIX[match.group(1)], "open", node_exceptions.printable(line.rpartition(": ")[2], LONGEST)))
    return list(dict.fromkeys(found))


def _inside(path: str, entries: list[SharedFolder], shared: t.Iterable[str]) -> str:
    """The path, relative to the application where it is below it; empty when it is in a shared folder."""
    plain = os.path.normpath(path)
    own = [entry["path"] for entry in entries] + [folder.rstrip("/") for folder in shared]
    return "" if plain == "." or any(plain == folder or plain.startswith(folder + "/") for folder in own) else plain


def _was_to_be_made(path: str, call: str, release: str) -> bool:
    """Whether what was not found was to be made: its folder is missing too. One that is only read is missing itself.

    On a read-only file system Node reports so of each folder that is made with ``recursive``.
    """
    return not os.path.isabs(path) and (call == "mkdir" or not os.path.lexists(os.path.join(release, os.path.dirname(path))))


def _folder(path: str, call: str, release: str) -> str:
    """The folder to share: the first missing one on the way to a file, else the one that it is in; empty for the application's own."""
    if os.path.isabs(path) or path.startswith("../"):
        return path
    parts = path.split("/")
    for depth in range(1, len(parts) + (call == "mkdir")):
        if not os.path.lexists(os.path.join(release, *parts[:depth])):
            return "/".join(parts[:depth])
    return path if call == "mkdir" else os.path.dirname(path)


def _line(folder: str, release: str, entries: list[SharedFolder]) -> str:
    """The entry of the setting that makes a folder a shared one; empty when it cannot be one, or would hide files of the source."""
    inside = os.path.join(release, folder)
    if not folder or os.path.isabs(folder) or (os.path.isdir(inside) and any(not name.startswith(".") for name in os.listdir(inside))):
        return ""
    component = next((name for name, words in _COMPONENTS if words.search(folder)), "generated")
    entry: SharedFolder = {"path": folder, "component": component}
    if any(one["component"] == component and not one.get("folder") for one in entries):
        entry["folder"] = "." + folder.lstrip(".").replace("/", "-")
    try:
        shared_folders.normalize([*entries, entry])
    except InputError:
        return ""
    words = {name: str(text) for name, text in entry.items()}
    return "- {" + ", ".join(f"{name}: {text if _PLAIN.fullmatch(text) else json.dumps(text)}" for name, text in words.items()) + "}"


def _message(one: Finding) -> str:
    """The finding for people."""
    paths = ", ".join(one["paths"])
    did = f"could not open {paths}: the folder does not exist" if one["error"] == "ENOENT" else f"could not write {paths} ({one['error']})"
    if one["line"]:
        return (
            f"The application {did}. Releases are read-only: add this line to mobius_shared_folders, beside those that are there, "
            f"then run setup and deploy: {one['line']}"
        )
    return f"The application {did}. Releases are read-only: let it write to one of the folders in mobius_shared_folders"
