# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a backup: which files the components hold. It reads names and facts, and writes nothing."""
from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import stat
import time

from ansible_collections.mobius.ops.plugins.module_utils import _archive_paths, _sqlite, _walk
from ansible_collections.mobius.ops.plugins.module_utils._errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import KEPT, WORK, Layout

_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
_SPECIAL = {stat.S_IFSOCK: "socket", stat.S_IFIFO: "named pipe", stat.S_IFCHR: "character device",
            stat.S_IFBLK: "block device"}
#: Extended attributes that a backup keeps: those of users, and POSIX access control lists.
XATTR_PREFIX, XATTR_LISTS = "user.", ("system.posix_acl_access", "system.posix_acl_default")

#: So often one folder is listed in which names go before they are looked at.
_LOOKS = 50
#: Folders whose names change while they are listed are listed again, at least and, while that took no longer than a time in
#: seconds, at most so many times. A file that moves to and fro between two folders is missed by about every second listing.
ROUNDS, MOST_ROUNDS, ROUNDS_SECONDS = 5, 20, 1.0
#: Nanoseconds by which the clock of file systems may lag behind.
TICK = 20_000_000


@dataclasses.dataclass
class Source:
    """One thing to back up."""

    component: str
    #: The component's folder, and the path below it ("" for the folder itself).
    base: str
    relative: str
    type: str
    status: os.stat_result
    #: What a symbolic link points at.
    target: str = ""
    sqlite: bool = False
    #: Extended attributes that are kept, in base64.
    xattrs: dict[str, str] = dataclasses.field(default_factory=dict)
    #: The same number for all names of one file; 0 for a file with one name.
    hardlink: int = 0
    #: It may change without a trace in its times, so that it is read every time.
    reread: bool = False

    @property
    def path(self) -> str:
        """Where it is on disk."""
        return os.path.join(self.base, self.relative) if self.relative else self.base

    @property
    def name(self) -> str:
        """Its path in the archive."""
        return _archive_paths.to_text(f"{self.component}/{self.relative}".rstrip("/"))

    @property
    def append_only(self) -> bool:
        """A log is taken up to the size that was seen first: it may grow meanwhile."""
        return self.component == "logs"


@dataclasses.dataclass
class Plan:
    """What a backup will take."""

    sources: list[Source] = dataclasses.field(default_factory=list)
    components: list[str] = dataclasses.field(default_factory=list)
    #: Chosen components whose folder does not exist.
    empty: list[str] = dataclasses.field(default_factory=list)
    skipped: list[dict[str, str]] = dataclasses.field(default_factory=list)
    problems: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(source.status.st_size for source in self.sources if source.type == "file")

    @property
    def files(self) -> int:
        """Entries that are not folders."""
        return sum(source.type != "dir" for source in self.sources)

    @property
    def room(self) -> int:
        """Bytes that writing the archive may need, were nothing to shrink, with one database copied beside it."""
        spool = max((source.status.st_size for source in self.sources if source.sqlite), default=0)
        return self.size + spool + 2048 * len(self.sources) + 1024 * 1024


def is_draft(source: Source) -> bool:
    """Whether it is named after a JSON store beside it, as ``projects.json.tmp``: what a program writes there, it renames to the store's
    name as soon as it is whole. When such a file goes, nothing of the state goes with it.
    """
    store, found, rest = source.relative.lower().rpartition(".json")
    return bool(source.component == "database" and source.type == "file" and found and rest and os.sep not in rest
                and os.path.isfile(os.path.join(source.base, source.relative[:len(store + found)])))


def note(name: str, reason: str) -> dict[str, str]:
    """A file that was skipped or could not be taken, and why."""
    return {"path": _archive_paths.printable(name), "reason": reason}


def scan(layout: Layout, components: list[str]) -> Plan:
    """List what the components hold, folders before what is in them, in the order of names.

    :raises StateError: when the host was not set up, or a component is not a folder.
    """
    layout.require()
    plan, begun = Plan(), time.time_ns()
    for component in components:
        base = layout.component(component)
        try:
            status = os.lstat(base)
        except FileNotFoundError:
            plan.empty.append(component)
            continue
        if not stat.S_ISDIR(status.st_mode):
            found = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "another kind of file"
            raise StateError(f"component {component}", f"a folder at {base}", found,
                             "Mount or move the data there; a link is never followed")
        plan.components.append(component)
        _list(plan, Source(component, base, "", "dir", status, xattrs=_xattrs(base)))
    _look_again(plan, begun)
    _number_links(plan)
    return plan


def _list(plan: Plan, top: Source) -> None:
    waiting = [top]
    with contextlib.ExitStack() as stack:
        held = _walk.Held(top.base, stack)
        while waiting:
            source = waiting.pop()
            plan.sources.append(source)
            if source.type == "dir":
                waiting.extend(reversed(_children(plan, source, held)))


def _children(plan: Plan, folder: Source, held: _walk.Held) -> list[Source]:
    """What a folder holds. When a name goes between the listing and the look at it, it is listed again: it may have a new name."""
    found: dict[str, Source] = {}
    try:
        for _attempt in range(_LOOKS):
            descriptor = held.enter(folder.relative)
            names = sorted(os.listdir(descriptor))
            there = set(names)
            found = {name: source for name, source in found.items() if name in there}
            if _look(folder, names, found, descriptor):
                break
            held.leave()  # it may be another folder by now
        else:
            plan.problems.append(note(folder.name, "names in it changed whenever it was listed"))
    except OSError as error:
        plan.problems.append(note(folder.name, f"the folder cannot be read: {error.strerror}"))
        return []
    for name in [name for name, source in found.items() if source.type == "other"]:
        special = found.pop(name)
        kind = _SPECIAL.get(stat.S_IFMT(special.status.st_mode), "special file")
        plan.skipped.append(note(special.name, f"a {kind} has no content"))
    return [found[name] for name in sorted(found)]


def _look(folder: Source, names: list[str], found: dict[str, Source], descriptor: int) -> bool:
    """Add what is not *found* yet; whether all of it was still there. It looks below the folder's descriptor, through no link."""
    complete = True
    for name in names:
        hidden = not folder.relative and name.startswith((WORK, KEPT))  # of a restore that was killed: no part of the state
        if hidden or name in found:
            continue
        relative = os.path.join(folder.relative, name) if folder.relative else name
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
            target = _archive_paths.to_text(os.readlink(name, dir_fd=descriptor)) if kind == "symlink" else ""
        except OSError:
            complete = False
            continue
        found[name] = Source(folder.component, folder.base, relative, kind, status, target)
        found[name].sqlite = kind == "file" and _sqlite.is_database(name, descriptor)
        found[name].xattrs = _xattrs(f"/proc/self/fd/{descriptor}/{name}")
    return complete


def _look_again(plan: Plan, begun: int) -> None:
    """List anew the folders that changed meanwhile: nobody has seen what moved to where the listing had already been.

    Of folders that never rest, files that were seen once and are found nowhere in the end are a problem: they were moved or removed.
    """
    since, seen, until = begun, {}, time.monotonic() + ROUNDS_SECONDS
    for number in range(MOST_ROUNDS):
        if number >= ROUNDS and time.monotonic() > until:
            break
        changed = [source for source in plan.sources if source.type == "dir" and _has_changed(source, since)]
        if not changed:
            return
        since = time.time_ns()
        for folder in _outermost(changed):
            seen.update({source.name: source for source in _inside(plan, folder)})
            _list_anew(plan, folder)
        order = {component: number for number, component in enumerate(plan.components)}
        plan.sources.sort(key=lambda source: (order[source.component], source.relative.split(os.sep) if source.relative else []))
    names, files = {source.name for source in plan.sources}, {_file(source) for source in plan.sources}
    lost = {os.path.dirname(name) for name, source in seen.items()
            if name not in names and _file(source) not in files and not is_draft(source) and not _is_companion(name, names)}
    plan.problems += [note(folder, "names in it changed whenever it was listed") for folder in sorted(lost)]


def _is_companion(name: str, names: set[str]) -> bool:
    """Whether it lies beside a database, as files do that come and go with its transactions; see ``_archive_groups``."""
    return any(name.endswith(suffix) and name[:-len(suffix)] in names for suffix in _sqlite.COMPANIONS)


def _file(source: Source) -> tuple[int, int, int]:
    """What a file that was only renamed keeps; the number of one that was removed goes to the next one."""
    return source.status.st_dev, source.status.st_ino, source.status.st_mtime_ns


def _inside(plan: Plan, folder: Source) -> list[Source]:
    """A folder and all that is in it."""
    return [source for source in plan.sources if source is folder or source.name.startswith(folder.name + "/")]


def _outermost(folders: list[Source]) -> list[Source]:
    """Those that are in none of the others; folders come before what is in them."""
    found: list[Source] = []
    for folder in folders:
        if not found or not folder.name.startswith(found[-1].name + "/"):
            found.append(folder)
    return found


def _has_changed(folder: Source, since: int) -> bool:
    """Whether names in a folder, which was listed after *since*, may have changed since then."""
    try:
        status = os.lstat(folder.path)
    except OSError:
        return True
    return (status.st_ino, status.st_mtime_ns) != (folder.status.st_ino, folder.status.st_mtime_ns) or status.st_mtime_ns > since - TICK


def _list_anew(plan: Plan, folder: Source) -> None:
    """Put what a folder holds now into the plan."""
    part = Plan()
    gone = {source.name for source in _inside(plan, folder)}
    with contextlib.suppress(OSError):  # gone: then the folder that it was in has changed, too
        folder.status = os.lstat(folder.path)
        _list(part, folder)
    plan.sources = [source for source in plan.sources if source.name not in gone] + part.sources
    printed = _archive_paths.printable(folder.name), _archive_paths.printable(folder.name + "/")
    for notes, found in ((plan.skipped, part.skipped), (plan.problems, part.problems)):
        notes[:] = [one for one in notes if one["path"] != printed[0] and not one["path"].startswith(printed[1])] + found


def _xattrs(path: str) -> dict[str, str]:
    """User attributes and access lists. What the kernel or a security module keeps there belongs to the host."""
    found = {}
    with contextlib.suppress(OSError):  # a file system without them, or a file that went; the reading will tell
        for name in os.listxattr(path, follow_symlinks=False):
            if name.startswith(XATTR_PREFIX) or name in XATTR_LISTS:
                value = os.getxattr(path, name, follow_symlinks=False)
                found[_archive_paths.to_text(name)] = base64.b64encode(value).decode()
    return found


def _number_links(plan: Plan) -> None:
    """Number the files that have several names. A database is copied for each name, so its names do not count."""
    groups: dict[tuple[int, int], list[Source]] = {}
    for source in plan.sources:
        if source.type == "file" and source.status.st_nlink > 1 and not source.sqlite:
            groups.setdefault((source.status.st_dev, source.status.st_ino), []).append(source)
    for number, names in enumerate((names for names in groups.values() if len(names) > 1), 1):
        for source in names:
            source.hardlink = number
