# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every check of an archive before it is restored; nothing is written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import stat
import typing as t

from .._backup import catalog as backup_catalog
from .._backup import signature
from .._backup.archive import extract as archive_extract
from .._backup.archive import paths
from .._backup.archive.reader import Archive
from .._core import walk, wording
from .._core.errors import InputError, IntegrityError
from .._core.kinds import Entry
from .._target.layout import Layout, expand_components
from .._target.progress import Meter
from .restore_types import ArchiveFacts


@dataclasses.dataclass
class Request:
    """What to restore, and what is allowed."""

    archive: str
    env: str
    components: list[str]
    allow_env: str | None = None
    allow_unverified: bool = False
    safety_backup: bool = True
    #: Whose signature the archive must have; nobody's by default.
    policy: signature.Policy | None = None
    #: Private key that signs the safety backup; no signature without one.
    sign_key: str | None = None
    #: Goes into the history.
    why: str = ""


@dataclasses.dataclass
class Checked:
    """An archive that may be restored here."""

    archive: Archive
    digest: str
    status: str
    components: list[str]
    #: Members that were not read yet: who extracts them checks them.
    unread: frozenset[str]

    @property
    def entries(self) -> list[Entry]:
        """What the chosen components hold."""
        return [entry for entry in self.archive.entries if entry["path"].split("/")[0] in self.components]

    def facts(self) -> ArchiveFacts:
        """What a result says of it."""
        manifest = self.archive.manifest
        return {
            "archive": self.archive.path,
            "env": manifest["env"],
            "created": manifest.get("created"),
            "release": manifest.get("release"),
            "status": self.status,
            "restored": self.components,
        }


@contextlib.contextmanager
def checked(request: Request, meter: Meter | None = None, extracted: bool = False) -> t.Iterator[Checked]:
    """The archive after every check that there is; nothing was written so far.

    :param extracted: the caller extracts the archive and checks the files while it does: here they are left unread.
    :raises OpsError: when one fails.
    """
    with Archive(request.archive, hashing=True) as archive:
        if archive.manifest.get("incomplete"):
            raise IntegrityError(
                f"archive {request.archive}",
                "a backup of every file",
                "one that some files could not be taken into, kept aside to look at",
                "Restore another archive",
            )
        digest, status = backup_catalog.check_sidecar(archive, request.allow_unverified, request.policy)
        _guard_env(archive, request)
        components = _choose(archive, request.components)
        source = Checked(archive, digest, status, components, frozenset())
        if extracted:
            source.unread = archive_extract.read_once(source.entries)
        archive.verify(meter=meter, later=source.unread)
        yield source


def _guard_env(archive: Archive, request: Request) -> None:
    theirs = archive.manifest["env"]
    wanted = f"{theirs} onto {request.env}"
    if theirs != request.env and " ".join((request.allow_env or "").split()) != wanted:
        raise InputError(
            f"archive {request.archive}",
            f"a backup of env {request.env}",
            f"one of env {theirs}",
            f"To do this on purpose, set allow_env (mobius_restore_allow_env) to '{wanted}'",
        )


def refuse_env_link(layout: Layout, source: Checked) -> None:
    """Root follows a link in the place of ``.env``, for only root can put one there: so no archive may.

    :raises InputError: when it would, unless the very link is there now.
    """
    name = "config/" + os.path.basename(layout.env_file)
    for entry in source.entries:
        if entry["path"] == name and entry["type"] == "symlink":
            target = paths.to_disk(entry["target"])
            if not os.path.islink(layout.env_file) or os.readlink(layout.env_file) != target:
                make = wording.printable(f"ln -s {shlex.quote(target)} {shlex.quote(layout.env_file)}")
                raise InputError(
                    f"archive {source.archive.path}",
                    f"{name} as a file, or as the link that is there now",
                    f"a link to {wording.printable(target)}",
                    f"When that is right, make it first: {make}. Or leave out the component config",
                )


def _choose(archive: Archive, names: list[str]) -> list[str]:
    chosen, there = expand_components(names), archive.manifest["components"]
    if "all" in names:
        chosen = [name for name in chosen if name in there]
    missing = [name for name in chosen if name not in there]
    if missing or not chosen:
        raise InputError(
            f"archive {archive.path}",
            "components " + ", ".join(chosen or names),
            ", ".join(there) or "none at all",
            "Choose among those, or another archive",
        )
    return chosen


def summary(entries: t.Iterable[Entry], components: list[str]) -> dict[str, dict[str, int]]:
    """Files and bytes of each component in an archive."""
    found = {name: {"files": 0, "bytes": 0} for name in components}
    for entry in entries:
        if entry["type"] != "dir":
            count = found[entry["path"].split("/")[0]]
            count["files"] += 1
            count["bytes"] += entry["size"]
    return found


def present(layout: Layout, components: list[str]) -> dict[str, dict[str, int]]:
    """Files and bytes of each component as it is now; a component that is not there is left out.

    It only informs: what this user may not look at does not count, and is no error.
    """
    found = {}
    for component in components:
        base = layout.component(component)
        if os.path.isdir(base):
            files = [status.st_size for folder in walk.walk(base) for _name, status in folder.entries if not stat.S_ISDIR(status.st_mode)]
            found[component] = {"files": len(files), "bytes": sum(files)}
    return found
