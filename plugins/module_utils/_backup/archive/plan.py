# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a backup: which files the components hold. ``_backup.archive.listing`` makes it."""

from __future__ import annotations

import dataclasses
import functools
import os

from ..._core import sparse, wording
from . import paths


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
    #: Another name of the same file comes before it in the plan.
    further: bool = False
    #: Another name of the same file is a log.
    log: bool = False
    #: It may change without a trace in its times, so that it is read every time.
    reread: bool = False

    @property
    def path(self) -> str:
        """Where it is on disk."""
        return os.path.join(self.base, self.relative) if self.relative else self.base

    @functools.cached_property
    def name(self) -> str:
        """Its path in the archive."""
        return paths.to_text(f"{self.component}/{self.relative}".rstrip("/"))

    @property
    def append_only(self) -> bool:
        """A log is taken up to the size that was seen first: it may grow meanwhile."""
        return self.component == "logs" or self.log


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
        """Bytes that writing the archive may need, were nothing but holes to shrink, with one database copied beside it."""
        spool = max((sparse.allocated(source.status) for source in self.sources if source.sqlite), default=0)
        packed = sum(sparse.packed_size(source.status) for source in self.sources if source.type == "file")
        return packed + spool + 2048 * len(self.sources) + 1024 * 1024


def is_draft(source: Source) -> bool:
    """Whether it is named after a JSON store beside it, as ``projects.json.tmp``: what a program writes there, it renames to the store's
    name as soon as it is whole. When such a file goes, nothing of the state goes with it.
    """
    store, found, rest = source.relative.lower().rpartition(".json")
    return bool(
        source.component == "database"
        and source.type == "file"
        and found
        and rest
        and os.sep not in rest
        and os.path.isfile(os.path.join(source.base, source.relative[: len(store + found)]))
    )


def note(name: str, reason: str) -> dict[str, str]:
    """A file that was skipped or could not be taken, and why."""
    return {"path": wording.printable(name), "reason": reason}
