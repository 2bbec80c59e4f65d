# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files verified backups hold, by their manifests."""

from __future__ import annotations

import contextlib
import dataclasses
import os

from .._backup import catalog, ordering, purposes, signature
from .._backup.archive.reader import Archive
from .._core.errors import OpsError, StateError
from .._target import progress
from .._target.layout import Layout


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the backups are, and what makes one verified."""

    env: str
    dest: str
    #: ``checksum`` or ``deep``, as ``_backup.catalog`` has it.
    verify: str = "checksum"
    policy: signature.Policy | None = None


@dataclasses.dataclass(frozen=True)
class Member:
    """A file in a backup."""

    archive: str
    size: int
    sha256: str


class Backups:
    """The newest verified backup of each component, and older ones by name. Safety backups do not count: retention may drop them soon.

    :param components: what is asked for.
    """

    def __init__(self, layout: Layout, source: Source, components: list[str], meter: progress.Meter) -> None:
        self._layout, self._source, self._meter = layout, source, meter
        self._past = purposes.Past(layout)
        self._members: dict[str, dict[str, Member]] = {}
        #: Component -> path of the archive.
        self.newest: dict[str, str] = {}
        self.refused: list[str] = []
        for backup in catalog.find(source.dest, source.env, layout):
            lacking = [component for component in components if component not in self.newest]
            if not lacking:
                break
            self._consider(backup, lacking)

    def require(self, components: list[str]) -> None:
        """:raises StateError: when there is no verified backup of any of these components."""
        if not any(component in self.newest for component in components):
            found = self.refused[0] if self.refused else "none"
            raise StateError(
                f"backups of {', '.join(components)} in {self._source.dest}",
                "a verified one, because only what it holds is cleaned up",
                found,
                "Make one: mobius.ops.backup",
            )

    def member(self, component: str, path: str) -> Member | None:
        """A file in the newest verified backup of its component."""
        archive = self.newest.get(component)
        return self._members[archive].get(f"{component}/{path}") if archive else None

    def holds(self, component: str, path: str, sha256: str, archive: str) -> bool:
        """Whether the newest verified backup or a named one, which is verified then, holds this content under this path."""
        found = self.member(component, path)
        if found and found.sha256 == sha256:
            return True
        backup = catalog.parse(os.path.join(self._source.dest, archive)) if archive else None
        if backup and backup.archive not in self._members:
            self._members[backup.archive] = {}
            if os.path.exists(backup.archive) and self._verified(backup):
                self._members[backup.archive] = _members(backup.archive)
        found = self._members.get(backup.archive, {}).get(f"{component}/{path}") if backup else None
        return bool(found and found.sha256 == sha256)

    def _consider(self, backup: catalog.Backup, lacking: list[str]) -> None:
        """Take a backup for components that lack one, if it is verified and has them."""
        has = set(lacking)
        with contextlib.suppress(OpsError, OSError), Archive(backup.archive) as archive:
            has.intersection_update(archive.manifest["components"])
        if has and not ordering.is_ahead(backup.stamp) and self._verified(backup):
            self._members[backup.archive] = _members(backup.archive)
            self.newest.update(dict.fromkeys(has, backup.archive))

    def _verified(self, backup: catalog.Backup) -> bool:
        (facts,) = catalog.describe([backup], self._source.verify, self._source.policy, self._meter, self._past)
        if facts["purpose"] == purposes.SAFETY:
            return False
        if facts["status"] != "verified":
            self.refused.append(f"{backup.archive}, which is {facts['status']} ({facts['reason'].rstrip('.')})")
        return bool(facts["status"] == "verified")


def _members(path: str) -> dict[str, Member]:
    """Each file of an archive that was taken as one state of it, by component and path."""
    with Archive(path) as archive:
        return {
            entry["path"]: Member(os.path.basename(path), entry["size"], entry["sha256"])
            for entry in archive.entries
            if entry["type"] == "file" and not entry.get("changed")
        }
