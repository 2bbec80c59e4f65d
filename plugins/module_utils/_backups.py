# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The backups in a folder: their names, what state they are in, and which is the newest."""
from __future__ import annotations

import dataclasses
import functools
import os
import re
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _checksums, _clock
from ansible_collections.mobius.ops.plugins.module_utils._archive_reader import Archive
from ansible_collections.mobius.ops.plugins.module_utils._errors import IntegrityError, OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout

_NAME = re.compile(r"dhash_([A-Za-z0-9][A-Za-z0-9._-]{0,63})_(\d{8}_\d{6})\.zip")
#: How much :func:`describe` reads.
LEVELS = ("none", "checksum", "deep")


@dataclasses.dataclass(frozen=True)
class Backup:
    """An archive by its name."""

    archive: str
    env: str
    stamp: str

    @property
    def created(self) -> str:
        """ISO 8601 of the stamp."""
        return _clock.iso(_clock.from_stamp(self.stamp))


def file_name(env: str, stamp: str) -> str:
    """``dhash_<env>_<stamp>.zip``."""
    return f"dhash_{env}_{stamp}.zip"


def parse(path: str) -> Backup | None:
    """What an archive's name says; ``None`` when it is not the name of one."""
    match = _NAME.fullmatch(os.path.basename(path))
    if not match:
        return None
    try:
        _clock.from_stamp(match.group(2))
    except ValueError:
        return None
    return Backup(path, match.group(1), match.group(2))


def find(folder: str, env: str | None = None) -> list[Backup]:
    """The archives in a folder, newest first. :raises StateError: when there is no such folder."""
    if not os.path.isdir(folder):
        raise StateError(f"backup folder {folder}", "a folder", "none",
                         "Run the playbook mobius.ops.setup, or correct the path")
    found = [parse(os.path.join(folder, name)) for name in os.listdir(folder)]
    chosen = [backup for backup in found if backup and (env is None or backup.env == env)]
    return sorted(chosen, key=lambda backup: (backup.stamp, backup.env), reverse=True)


def latest(layout: Layout, env: str) -> str | None:
    """The newest archive of an environment that has a sidecar. It was verified when it was made, not now."""
    for backup in find(layout.backups, env):
        if os.path.exists(backup.archive + _checksums.SUFFIX):
            return backup.archive
    return None


def describe(backups: t.Sequence[Backup], verify: str = "none") -> list[dict[str, t.Any]]:
    """Facts and status of each backup, several at once."""
    return _checksums.in_threads(functools.partial(_describe, verify=verify), backups)


def _describe(backup: Backup, verify: str) -> dict[str, t.Any]:
    facts = {"archive": backup.archive, "env": backup.env, "created": backup.created, "size": None, "components": [],
             "release": None, "problems": 0}
    try:
        facts["size"] = os.stat(backup.archive).st_size
        with Archive(backup.archive) as archive:
            manifest = archive.manifest
            facts.update(components=manifest["components"], release=manifest.get("release"),
                         problems=manifest.get("problems", 0))
            if manifest["env"] != backup.env:
                raise IntegrityError(f"archive {backup.archive}", "the env of its manifest in its name",
                                     f"{backup.env} instead of {manifest['env']}",
                                     "Rename it and its sidecar to what they were")
            status, reason = _status(archive, verify)
    except OpsError as error:
        status, reason = "corrupt", str(error)
    except OSError as error:
        status, reason = "unverified", f"it cannot be read: {error.strerror}"
    return {**facts, "status": status, "reason": reason}


def _status(archive: Archive, verify: str) -> tuple[str, str]:
    said = _checksums.read(archive.path)
    if verify != "none" and said is not None:
        check_sidecar(archive, allow_missing=False)
    if verify == "deep":
        archive.verify()
    if said is None:
        return "unverified", "no sidecar" + ("; every member agrees with the manifest" if verify == "deep" else "")
    return ("unverified", "not checked") if verify == "none" else ("verified", "")


def check_sidecar(archive: Archive, allow_missing: bool) -> tuple[str, str]:
    """The archive's digest, and ``verified`` or (without a sidecar, when that is allowed) ``unverified``.

    :raises IntegrityError: when the sidecar does not fit, or is missing and must not be.
    """
    said = _checksums.read(archive.path)
    if said is None and not allow_missing:
        raise IntegrityError(f"archive {archive.path}", f"its checksum in {os.path.basename(archive.path)}.sha256",
                             "no such file", "Fetch the sidecar, or accept the archive without one: allow_unverified")
    digest = archive.sha256()
    if said is not None and said != digest:
        raise IntegrityError(f"archive {archive.path}", f"SHA-256 {said or 'in the form of sha256sum in its sidecar'}",
                             digest, "Use another archive, or fetch this one again from where it was copied to")
    return digest, "verified" if said else "unverified"
