# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that are right only together: a store that keeps its state in several files.

A writer changes them one after another, so copies of two moments do not fit, although each file is whole. All of a group's
files are looked at before the first and after the last of them is read; only what did not change in between is one state.
"""

from __future__ import annotations

import os
import re
import stat
import typing as t

from ..._core import foreign, sqlite, walk
from . import file_reader
from .plan import Source

#: Suffixes of files that hold a part of a database's content: SQLite's, which SQLCipher uses too.
COMPANIONS = sqlite.COMPANIONS
#: Rebuilt by every first connection; it changes without a change of its times.
_SCRATCH = "-shm"


class Kind(t.NamedTuple):
    """A database that is a folder, and by which names in it it is known."""

    name: str
    marks: tuple[str, ...]
    #: Names that belong to it; everything below the folder without one.
    members: re.Pattern[str] | None = None
    #: It is written through memory, so that its times may say nothing.
    mapped: bool = False


KINDS = (
    Kind("LMDB", (r"data\.mdb",), re.compile(r"(data|lock)\.mdb"), True),
    Kind(
        "LevelDB or RocksDB", ("CURRENT", r"MANIFEST-\d+"), re.compile(r"CURRENT|IDENTITY|(MANIFEST|OPTIONS)-\d+|\d+\.(log|ldb|sst|blob)")
    ),
    Kind("PostgreSQL", ("PG_VERSION", "global")),
    Kind("MySQL", (r"ibdata\d+",)),
    Kind("MongoDB", (r"WiredTiger\.wt",)),
)
States = dict[str, os.stat_result]


class Group:
    """Sources that are taken together, the first one first."""

    def __init__(self, members: list[Source], kind: Kind | None = None, others: t.Collection[str] = ()) -> None:
        self.members, self.kind = members, kind
        #: Paths below its folder that belong to other groups.
        self._others = {name + suffix for name in others for suffix in ("",) + COMPANIONS}

    @property
    def main(self) -> Source:
        """The member that names the group in messages."""
        return self.members[0]

    def look(self) -> States:
        """What there is of the group now, by relative path."""
        if self.kind and not self.kind.members:
            return self._tree()
        folder, name = os.path.split(self.main.relative)
        found: States = {}
        try:
            with foreign.folder(self.main.base, folder) as descriptor:
                names = self._listed(descriptor) if self.kind else [name + suffix for suffix in ("",) + COMPANIONS if suffix != _SCRATCH]
                for each in names:
                    try:
                        status = os.stat(each, dir_fd=descriptor, follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISREG(status.st_mode):
                        found[os.path.join(folder, each)] = status
        except OSError:
            pass
        return found

    def _listed(self, descriptor: int) -> list[str]:
        pattern = t.cast(Kind, self.kind).members
        return [name for name in os.listdir(descriptor) if pattern and pattern.fullmatch(name)]

    def _tree(self) -> States:
        top, found = self.main.relative, {}
        for folder in walk.walk(os.path.join(self.main.base, top)):
            for name, status in folder.entries:
                path = os.path.join(top, folder.relative, name)
                if stat.S_ISREG(status.st_mode) and path not in self._others:
                    found[path] = status
        return found

    def settled(self) -> tuple[States, bool]:
        """The same once all of it rests, or after some tries; and whether it does."""
        return file_reader.all_settled(self.look)


def same(one: States, other: States) -> bool:
    """Whether nothing of a group changed between two looks."""
    return {name: file_reader.identity(status) for name, status in one.items()} == {
        name: file_reader.identity(status) for name, status in other.items()
    }


def gather(sources: list[Source]) -> list[Source | Group]:
    """Every source in its order, and in the place of a group's first one the group."""
    names = {(source.component, source.relative): source for source in sources}
    groups: dict[int, Group] = {}
    for source in sources:
        if source.type == "file" and id(source) not in groups:
            beside = [names.get((source.component, source.relative + suffix)) for suffix in COMPANIONS]
            members = [each for each in beside if each and each.type == "file" and not each.sqlite]
            if source.sqlite or members:
                _form(groups, Group([source, *members]))
    for kind, folder, inside in _folders(sources):
        members = [each for each in inside if id(each) not in groups]
        others = [each.relative for each in inside if id(each) in groups]
        if members:
            for member in members:
                member.reread = member.reread or kind.mapped
            _form(groups, Group(members if kind.members else [folder, *members], kind, others))
    made: list[Source | Group] = []
    for source in sources:
        group = groups.get(id(source))
        if group is None:
            made.append(source)
        elif group.main is source:
            made.append(group)
    return made


def _form(groups: dict[int, Group], group: Group) -> None:
    groups.update({id(member): group for member in group.members})


def _folders(sources: list[Source]) -> t.Iterator[tuple[Kind, Source, list[Source]]]:
    """Folders that are a database, each with what belongs to it, folders before what is in them."""
    below: dict[tuple[str, str], list[Source]] = {}
    for source in sources:
        if source.relative:
            below.setdefault((source.component, os.path.dirname(source.relative)), []).append(source)
    for folder in sources:
        if folder.type != "dir":
            continue
        inside = below.get((folder.component, folder.relative), [])
        names = [os.path.basename(source.relative) for source in inside]
        for kind in KINDS:
            if not all(any(re.fullmatch(mark, name) for name in names) for mark in kind.marks):
                continue
            if not kind.members:
                inside = [source for source in sources if source.name.startswith(folder.name + "/")]
            yield kind, folder, [source for source in inside if not kind.members or _is_member(kind, source)]
            break


def _is_member(kind: Kind, source: Source) -> bool:
    return source.type == "file" and bool(kind.members and kind.members.fullmatch(os.path.basename(source.relative)))
