# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files a clean-up is about: their kind by where they lie, and how old each kind has to be."""

from __future__ import annotations

import dataclasses
import fnmatch

from .._core.errors import InputError
from . import clocks

KINDS = ("uploads", "logs", "temporary", "renders")
#: Kinds that go only when the application's stores can be read. Logs may go without; where the stores are read, they count for logs too.
NAMED = ("uploads", "temporary", "renders")
#: The components that are walked for each kind.
COMPONENTS = {
    "uploads": ("uploads",),
    "logs": ("logs",),
    "temporary": ("uploads", "generated", "database"),
    "renders": ("uploads", "generated"),
}
DAY = 86400


@dataclasses.dataclass(frozen=True)
class Rules:
    """What is asked for. Passed to the process that looks, so it holds only what JSON can."""

    kinds: list[str]
    #: Kind -> age in days from which on a file is old.
    days: dict[str, float]
    clock: str = "mtime"
    #: Seconds that a file must have been left alone, whatever its clock says: a row that names it may not be committed yet.
    grace: float = 3600.0
    #: Patterns of component and path of files that stay.
    keep: list[str] = dataclasses.field(default_factory=list)
    #: Patterns of the names of temporary files, and of folders of such.
    temporary: list[str] = dataclasses.field(default_factory=list)
    #: Names of folders in which each job has a folder or file of its own.
    render_folders: list[str] = dataclasses.field(default_factory=list)
    #: Further names of folders that say nothing about a file, because many are in them.
    common_folders: list[str] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        """:raises InputError: when something is wrong."""
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise InputError("kinds", "some of " + ", ".join(KINDS), ", ".join(unknown) or "an empty list", "Correct it")
        if self.clock not in clocks.CLOCKS:
            raise InputError("clock", "one of " + ", ".join(clocks.CLOCKS), repr(self.clock), "Correct it")
        low = [kind for kind in self.kinds if self.days[kind] < 0]
        if low or self.grace < 0:
            raise InputError(
                f"days of {low[0]}" if low else "grace", "a number from 0", f"{self.days[low[0]] if low else self.grace:g}", "Correct it"
            )
        above = [pattern for pattern in self.temporary if pattern.strip("*?.") == ""]
        if above:
            raise InputError("temporary", "patterns of names of temporary files", f"{above[0]!r}, which fits every file", "Correct it")

    def components(self) -> list[str]:
        """The components to walk."""
        return list(dict.fromkeys(component for kind in self.kinds for component in COMPONENTS[kind]))

    def needs_stores(self) -> bool:
        """Whether the stores have to be read."""
        return any(kind in NAMED for kind in self.kinds)

    def kind_of(self, component: str, path: str) -> str:
        """The kind of a file; empty when a clean-up is not about it."""
        *above, name = path.split("/")
        names = above if component == "database" else [*above, name]  # a draft of a store is no temporary file
        if component in COMPONENTS["temporary"] and any(fnmatch.fnmatchcase(each, pattern) for each in names for pattern in self.temporary):
            return self._asked("temporary")
        if component == "uploads":
            return self._asked("renders" if any(folder in self.render_folders for folder in above) else "uploads")
        return self._asked({"generated": "renders", "logs": "logs"}.get(component, ""))

    def _asked(self, kind: str) -> str:
        return kind if kind in self.kinds else ""

    def keeps(self, component: str, path: str) -> bool:
        """Whether a pattern keeps a file, or all of a folder."""
        return any(fnmatch.fnmatchcase(f"{component}/{path}", pattern) for pattern in self.keep)

    def common(self) -> set[str]:
        """Names of folders that do not name a file."""
        return {*self.render_folders, *self.common_folders}

    def packed(self) -> dict[str, object]:
        """As JSON can hold it."""
        return dataclasses.asdict(self)
