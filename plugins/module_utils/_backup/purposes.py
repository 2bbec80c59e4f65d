# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a backup is for: its manifest says so; for an older archive, what the history and the release records say."""

from __future__ import annotations

import functools
import os

from .._core import checksums
from .._target import history, records
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from .archive.manifest import Manifest

ORDINARY, DEPLOY, SAFETY = "ordinary", "deploy", "safety"
#: Neither the manifest nor this host's history says it.
UNKNOWN = "unknown"
#: What a manifest may say.
PURPOSES = (ORDINARY, DEPLOY, SAFETY)
#: How the reason of a safety backup begins in the history. Restores before manifests had a purpose wrote the same words.
BEFORE, REPLACED = "before the restore of ", "what the restore of "


class Past:
    """What a root's history and release records say of archives, by their file names.

    :param findings: takes damaged records, where archives are only listed.
    """

    def __init__(self, layout: Layout | None = None, findings: records.Findings | None = None) -> None:
        self._layout, self._findings = layout, findings

    def of(self, archive: str) -> tuple[str, str]:
        """Purpose and reason of an archive whose manifest says nothing; ``unknown`` for one that this host did not make."""
        purpose, why, digest = self._told.get(os.path.basename(archive), (UNKNOWN, "", None))
        said = checksums.read(archive) if digest else None
        return (UNKNOWN, "") if said and said != digest else (purpose, why)

    @functools.cached_property
    def _told(self) -> dict[str, tuple[str, str, str | None]]:
        """File name -> purpose, reason, and SHA-256 where it is known."""
        found: dict[str, tuple[str, str, str | None]] = {}
        if self._layout is None:
            return found
        for event in history.of_kinds(self._layout, ("backup", "restored", "restore_failed")):
            made = event["what"] == "backup"
            name = os.path.basename(str(event.get("archive" if made else "safety_backup") or ""))
            why = str(event.get("why") or "") if made else BEFORE + os.path.basename(str(event.get("archive") or ""))
            if made:
                found[name] = (SAFETY if why.startswith((BEFORE, REPLACED)) else ORDINARY, why, event.get("sha256"))
            elif name:
                found[name] = (SAFETY, *(found[name][1:] if name in found else (why, None)))
        for record in ReleaseStore(self._layout, self._findings).all():
            name = os.path.basename(str(record.get("backup") or ""))
            purpose, why, digest = found.get(name, (UNKNOWN, "", None))
            if name and purpose != SAFETY:
                found[name] = (DEPLOY, why or f"before release {record['id']}", digest)
        return found


def of(archive: str, named_safety: bool, manifest: Manifest | None, past: Past | None) -> tuple[str, str]:
    """Purpose of an archive and the reason that was given for it.

    :param named_safety: whether its name says that it is a safety backup.
    :param manifest: none when it cannot be read.
    :param past: for an archive whose manifest says nothing; without it such an archive is ``unknown``.
    """
    if manifest is not None and "purpose" in manifest:
        known = manifest["purpose"] in PURPOSES
        return (manifest["purpose"], manifest.get("why", "")) if known else (UNKNOWN, manifest.get("why", ""))
    if named_safety:
        return SAFETY, ""
    return past.of(archive) if past else (UNKNOWN, "")
