# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists what the components hold while others write: by descriptors, to any depth, until nothing moves any more."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import os
import stat
import time
import typing as t

from ..._core import file_metadata, foreign, sqlite, walk
from ..._core.errors import StateError
from ..._target.layout import Layout, is_work
from . import file_reader, paths
from .plan import Plan, Source, is_draft, note

_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}
_SPECIAL = {stat.S_IFSOCK: "socket", stat.S_IFIFO: "named pipe", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device"}
#: So often one folder is listed in which names go before they are looked at.
_LOOKS = 50
#: Folders whose names change while they are listed are listed again, at least and, while that took no longer than a time in
#: seconds, at most so many times. A file that moves to and fro between two folders is missed by about every second listing.
ROUNDS, MOST_ROUNDS, ROUNDS_SECONDS = 5, 20, 1.0


def scan(layout: Layout, components: list[str]) -> Plan:
    """List what the components hold, folders before what is in them, in the order of names.

    :raises StateError: when the host was not set up, or a component is not a folder.
    """
    layout.require()
    plan, listings = Plan(), []
    for component in components:
        base = layout.component(component)
        try:
            status = os.lstat(base)
        except FileNotFoundError:
            plan.empty.append(component)
            continue
        if not stat.S_ISDIR(status.st_mode):
            found = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "another kind of file"
            raise StateError(
                f"component {component}", f"a folder at {base}", found, "Mount or move the data there; a link is never followed"
            )
        plan.components.append(component)
        listings.append(_Listing(Source(component, base, "", "dir", status, xattrs=_xattrs(base))))
    lost = _look_again(listings)
    for listing in listings:
        plan.sources += listing.sources()
        plan.skipped += listing.notes("skipped")
        plan.problems += listing.notes("problems")
    plan.problems += [note(folder, "names in it changed whenever it was listed") for folder in lost]
    _number_links(plan)
    return plan


@dataclasses.dataclass
class _Seen:
    """What a folder held when it was listed."""

    folder: Source
    #: The clock (nanoseconds) before it was listed.
    at: int
    children: list[Source] = dataclasses.field(default_factory=list)
    skipped: list[dict[str, str]] = dataclasses.field(default_factory=list)
    problems: list[dict[str, str]] = dataclasses.field(default_factory=list)


class _Listing:
    """The folders of one component, each as it was listed last."""

    def __init__(self, top: Source) -> None:
        self._top = top
        self._seen: dict[str, _Seen] = {}
        self._list([top])

    def sources(self) -> t.Iterator[Source]:
        """All that was found, folders before what is in them, in the order of names."""
        waiting = [self._top]
        while waiting:
            source = waiting.pop()
            yield source
            if source.relative in self._seen and source.type == "dir":
                waiting += reversed(self._seen[source.relative].children)

    def notes(self, kind: str) -> t.Iterator[dict[str, str]]:
        """The notes ``skipped`` or ``problems`` of all folders."""
        for source in self.sources():
            if source.type == "dir":
                yield from getattr(self._seen[source.relative], kind)

    def changed(self) -> list[Source]:
        """Folders whose names may have changed since they were listed."""
        return [seen.folder for seen in self._seen.values() if _has_changed(seen)]

    def again(self, folders: list[Source]) -> list[Source]:
        """List folders again, with new folders in them. Returns what they no longer hold."""
        gone: list[Source] = []
        for folder in folders:
            if folder.relative not in self._seen:  # it went with the one that it was in
                continue
            before = self._seen.pop(folder.relative).children
            with contextlib.ExitStack() as stack:
                self._seen[folder.relative] = seen = _children(folder, walk.Held(folder.base, stack))
            there = {child.relative: child for child in seen.children}
            for child in before:
                now = there.get(child.relative)
                if now and now.type == child.type == "dir" and _place(now.status) == _place(child.status):
                    self._seen[child.relative].folder = now
                elif now is None or child.type == "dir":
                    gone += self._forget(child)
            self._list([child for child in seen.children if child.type == "dir" and child.relative not in self._seen])
        return gone

    def _list(self, folders: list[Source]) -> None:
        waiting = folders[::-1]
        with contextlib.ExitStack() as stack:
            held = walk.Held(self._top.base, stack)
            while waiting:
                folder = waiting.pop()
                self._seen[folder.relative] = seen = _children(folder, held)
                waiting += [child for child in reversed(seen.children) if child.type == "dir"]

    def _forget(self, source: Source) -> list[Source]:
        """Leave out a file, or a folder with all that is in it; these."""
        gone, waiting = [], [source]
        while waiting:
            gone.append(waiting.pop())
            if gone[-1].type == "dir" and gone[-1].relative in self._seen:
                waiting += self._seen.pop(gone[-1].relative).children
        return gone


def _children(folder: Source, held: walk.Held) -> _Seen:
    """What a folder holds. When a name goes between the listing and the look at it, it is listed again: it may have a new name."""
    found: dict[str, Source] = {}
    seen = _Seen(folder, time.time_ns())
    try:
        for _attempt in range(_LOOKS):
            descriptor = held.enter(folder.relative)
            seen.at, folder.status = time.time_ns(), os.fstat(descriptor)
            names = sorted(os.listdir(descriptor))
            there = set(names)
            found = {name: source for name, source in found.items() if name in there}
            if _look(folder, names, found, descriptor):
                break
            held.leave()  # it may be another folder by now
        else:
            seen.problems.append(note(folder.name, "names in it changed whenever it was listed"))
    except OSError as error:
        seen.problems.append(note(folder.name, f"the folder cannot be read: {error.strerror}"))
        return seen
    for name in [name for name, source in found.items() if source.type == "other"]:
        special = found.pop(name)
        kind = _SPECIAL.get(stat.S_IFMT(special.status.st_mode), "special file")
        seen.skipped.append(note(special.name, f"a {kind} has no content"))
    seen.children = [found[name] for name in sorted(found)]
    return seen


def _look(folder: Source, names: list[str], found: dict[str, Source], descriptor: int) -> bool:
    """Add what is not *found* yet; whether all of it was still there. It looks below the folder's descriptor, through no link."""
    complete = True
    for name in names:
        if name in found:
            continue
        relative = os.path.join(folder.relative, name) if folder.relative else name
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if not folder.relative and is_work(name, status):  # of a restore that was killed: no part of the state
                continue
            kind = _TYPES.get(stat.S_IFMT(status.st_mode), "other")
            target = paths.to_text(os.readlink(name, dir_fd=descriptor)) if kind == "symlink" else ""
        except OSError:
            complete = False
            continue
        found[name] = Source(folder.component, folder.base, relative, kind, status, target)
        found[name].sqlite = kind == "file" and sqlite.is_database(name, descriptor)
        found[name].xattrs = _xattrs(f"/proc/self/fd/{descriptor}/{name}")
    return complete


def _look_again(listings: list[_Listing]) -> list[str]:
    """List anew the folders that changed meanwhile: nobody has seen what moved to where the listing had already been.

    :returns: folders that never rest, from which files went that were seen once and are found nowhere in the end.
    """
    seen: dict[str, Source] = {}
    until = time.monotonic() + ROUNDS_SECONDS
    for number in range(MOST_ROUNDS):
        if number >= ROUNDS and time.monotonic() > until:
            break
        changed = [(listing, folders) for listing in listings for folders in [listing.changed()] if folders]
        if not changed:
            return []
        # What changed before this pause is listed by its last name then, and a later change leaves another time.
        time.sleep(max(file_reader.tick(folder.status) for _listing, folders in changed for folder in folders) / 1e9)
        for listing, folders in changed:
            seen.update({source.name: source for source in listing.again(folders)})
    sources = [source for listing in listings for source in listing.sources()]
    names, files = {source.name for source in sources}, {_file(source) for source in sources}
    return sorted(
        {
            os.path.dirname(name)
            for name, source in seen.items()
            if name not in names and _file(source) not in files and not is_draft(source) and not _is_companion(name, names)
        }
    )


def _is_companion(name: str, names: set[str]) -> bool:
    """Whether it lies beside a database, as files do that come and go with its transactions; see ``_backup.archive.groups``."""
    return any(name.endswith(suffix) and name[: -len(suffix)] in names for suffix in sqlite.COMPANIONS)


def _file(source: Source) -> tuple[int, int, int]:
    """What a file that was only renamed keeps; the number of one that was removed goes to the next one."""
    return source.status.st_dev, source.status.st_ino, source.status.st_mtime_ns


def _place(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _has_changed(seen: _Seen) -> bool:
    """Whether names in a folder may have changed since it was listed: its times differ, or it was listed in the tick of its last change.

    That is told by its time of change, which is the kernel's own: anybody may date a folder in the future.
    """
    was = seen.folder.status
    try:
        now = _status(seen.folder)
    except OSError:
        return True
    if (*_place(now), now.st_mtime_ns, now.st_ctime_ns) != (*_place(was), was.st_mtime_ns, was.st_ctime_ns):
        return True
    return abs(seen.at - was.st_ctime_ns) < file_reader.tick(was)


def _status(folder: Source) -> os.stat_result:
    """What a folder is like now; by descriptors where its path is too long for the system. :raises OSError: when it is gone."""
    try:
        return os.lstat(folder.path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    with foreign.folder(folder.base, folder.relative) as descriptor:
        return os.fstat(descriptor)


def _xattrs(path: str) -> dict[str, str]:
    """User attributes and access lists. What the kernel or a security module keeps there belongs to the host."""
    found = {}
    with contextlib.suppress(OSError):  # a file system without them, or a file that went; the reading will tell
        for name in os.listxattr(path, follow_symlinks=False):
            if name.startswith(file_metadata.XATTR_PREFIX) or name in file_metadata.XATTR_LISTS:
                value = os.getxattr(path, name, follow_symlinks=False)
                found[paths.to_text(name)] = base64.b64encode(value).decode()
    return found


def _number_links(plan: Plan) -> None:
    """Number the files that have several names."""
    groups: dict[tuple[int, int], list[Source]] = {}
    for source in plan.sources:
        if source.type == "file" and source.status.st_nlink > 1:
            groups.setdefault((source.status.st_dev, source.status.st_ino), []).append(source)
    for number, names in enumerate((names for names in groups.values() if len(names) > 1), 1):
        log = any(source.append_only for source in names)
        for source in names:
            source.hardlink, source.further, source.log = number, source is not names[0], log
