# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Release records: what was prepared, which release serves, which one a rollback goes to.

Each release has its record in ``releases/<id>/.release.json``. What serves is what the ``current`` link says. Folder
times are never asked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import typing as t

from .._core import clock, fs, immutable, locks, walk
from .._core.errors import InputError, IntegrityError, StateError
from . import history, node_runtime, switch_journal
from . import records as target_records
from .layout import Layout
from .record_types import Release

RECORD = ".release.json"
#: What the name of a release begins with that is being removed.
_DOOMED = ".removing-"
STATUSES = ("prepared", "active", "verified", "failed", "rolled_back")
#: Releases that are kept though they were never verified, newest first: their logs may still be asked for.
KEPT_UNVERIFIED = 1
#: Bytes set aside while a watch runs; a rollback writes a few records.
RESERVE = 1024 * 1024


class ReleaseStore:
    """The releases of one target.

    :param findings: takes damaged records, which are passed over then. Only for those who look: who changes something must know all.
    """

    def __init__(self, layout: Layout, findings: target_records.Findings | None = None) -> None:
        self.layout = layout
        self._findings = findings

    def get(self, release_id: str) -> Release | None:
        """A release's record, or ``None``; for a damaged one too when there are findings to note it in."""
        if self._findings:
            return t.cast(t.Optional[Release], self._findings.without(lambda: self._read(release_id), None))
        return self._read(release_id)

    def _read(self, release_id: str) -> Release | None:
        found: Release | None = target_records.read(os.path.join(self.layout.release(release_id), RECORD), target_records.RELEASE)
        return found

    def require(self, release_id: str) -> Release:
        """A release's record. :raises InputError: when there is none."""
        record = self.get(release_id)
        if record is None:
            raise InputError(
                f"release {release_id}",
                "one of " + (", ".join(self.ids()) or "no releases yet"),
                "no such release",
                "Look at the list that mobius.ops.status prints",
            )
        return record

    def ids(self) -> list[str]:
        """The ids of all releases, newest first."""
        return [record["id"] for record in self.all()]

    def all(self) -> list[Release]:
        """All records, newest first."""
        with contextlib.suppress(FileNotFoundError):
            names = [name for name in os.listdir(self.layout.releases) if not name.startswith(".")]
            records = [record for record in map(self.get, names) if record]
            return sorted(records, key=lambda record: record["sequence"], reverse=True)
        return []

    def live(self) -> str | None:
        """The id of the release that ``current`` names, or ``None``."""
        try:
            return os.path.basename(os.readlink(self.layout.current))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise IntegrityError(
                self.layout.current,
                "the link to the live release",
                "something else",
                "Move it away and run the playbook mobius.ops.rollback with mobius_release_id",
            ) from error

    def target(self) -> Release | None:
        """The rollback target: that of a switch back that was interrupted, else the newest verified release older than the live one."""
        journal = switch_journal.peek(self.layout)
        leads = journal.leads_to(self.live()) if journal else None
        if leads and self.get(leads):
            return self.get(leads)
        live = self.get(self.live() or "") if self.live() else None
        return next((record for record in self._verified_before(live) if not self.misfit(record["id"])), None)

    def _verified_before(self, live: Release | None) -> list[Release]:
        return [record for record in self.all() if live and record["sequence"] < live["sequence"] and record["status"] == "verified"]

    def misfit(self, release_id: str) -> str:
        """Why the Node of this host cannot load a release's dependencies; empty when it can."""
        return node_runtime.misfit(node_runtime.of_release(self.layout.release(release_id)))

    def is_whole(self, release_id: str) -> bool:
        """Whether a release is there with its application."""
        return self.get(release_id) is not None and os.path.isfile(os.path.join(self.layout.release(release_id), "package.json"))

    def require_target(self) -> Release:
        """The rollback target. :raises StateError: when there is none."""
        target = self.target()
        if target is None:
            older = self._verified_before(self.get(self.live() or "") if self.live() else None)
            raise StateError(
                f"rollback of {self.live() or 'nothing (no release is live)'}",
                "a verified release older than the live one" + (" that can start" if older else ""),
                "; ".join(f"{record['id']}: {self.misfit(record['id'])}" for record in older) or "none on this host",
                "Deploy a release that works, or name one with mobius_release_id",
            )
        return target

    def save(self, record: Release) -> None:
        """Put a record on disk."""
        fs.write_json(os.path.join(self.layout.release(record["id"]), RECORD), record)

    def new_record(self, **facts: t.Any) -> Release:
        """A record of status ``prepared`` that is newer than all others; it is not saved."""
        sequence = max((record["sequence"] for record in self.all()), default=0) + 1
        record = {
            "sequence": sequence,
            "created": clock.iso(),
            "status": "prepared",
            "backup": None,
            "migration": "none",
            "activated": None,
            "verified": None,
            "failed_reason": None,
            **facts,
        }
        return t.cast(Release, record)

    def mark(self, release_id: str, status: str, why: str = "", **facts: t.Any) -> Release:
        """Set a release's status, with the time of it, and write that down in the history."""
        record: Release = {**self.require(release_id), "status": status}
        if status == "active":
            record["activated"], record["failed_reason"], record["verified"] = clock.iso(), None, None
        elif status == "verified":
            record["verified"], record["failed_reason"] = record["verified"] or clock.iso(), None
            (record.get("migrated") or {}).pop("others", None)  # it serves here as well as there now
        elif status in ("failed", "rolled_back"):
            record["failed_reason"] = why
        if facts.get("backup"):
            record["backup"] = facts["backup"]
        self.save(record)
        history.record(self.layout, status, why, release=release_id, **facts)
        return record

    def point(self, release_id: str) -> None:
        """Make ``current`` name a release, in one rename."""
        fs.atomic_symlink(os.path.join("releases", release_id), self.layout.current)

    def make_reserve(self) -> None:
        """Set some room on the disk aside, so that a release that fills the disk can still be rolled back."""
        with open(self.layout.path("state", "reserve"), "wb") as stream:
            stream.write(os.urandom(RESERVE))

    def use_reserve(self) -> None:
        """Give the room back."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.layout.path("state", "reserve"))

    def locked(self, what: str, patience: float | None = None) -> contextlib.AbstractContextManager[int]:
        """While the block runs no one else does the same on this target; another one waits (``locks.locked``)."""
        return locks.locked(self.layout.path("state", what + ".lock"), patience)

    def switching(self, patience: float | None = None) -> contextlib.AbstractContextManager[int]:
        """While the block runs no one else switches releases: not a deploy, a rollback, or a watch."""
        return self.locked("switch", patience)

    def prunable(self, keep: int) -> list[str]:
        """Ids that retention would remove: *keep* verified releases stay, the live one and the target always."""
        target = self.target()
        journal = switch_journal.peek(self.layout)
        live_id = self.live()
        spared = {live_id, target["id"] if target else None, *((journal.source, journal.target) if journal else ())}
        live = self.get(live_id) if live_id else None
        verified = [record["id"] for record in self.all() if record["status"] == "verified"]
        others = [
            record["id"]
            for record in self.all()
            if record["status"] in ("failed", "rolled_back")
            or (record["status"] != "verified" and live and record["sequence"] < live["sequence"])
        ]
        return [name for name in verified[keep:] + others[KEPT_UNVERIFIED:] if name not in spared]

    def remove(self, release_id: str) -> None:
        """Delete a release. It loses its name first, so that no half of one is ever found; of its files, immutable ones stay."""
        doomed = self.layout.path("releases", f"{_DOOMED}{release_id}")
        with contextlib.suppress(OSError):
            walk.remove(doomed)
        if os.path.lexists(doomed):
            doomed += f"-{time.time_ns()}"
        os.rename(self.layout.release(release_id), doomed)
        walk.remove(doomed)
        history.record(self.layout, "pruned", release=release_id)

    def finish_removing(self) -> list[str]:
        """Remove what is left of releases that lost their names; a sentence for each of which something stays."""
        names = sorted(os.listdir(self.layout.releases))
        return immutable.remove(self.layout.path("releases", name) for name in names if name.startswith(_DOOMED))

    def sweep(self) -> None:
        """Remove what killed runs left behind."""
        for name in os.listdir(self.layout.releases):
            if name.startswith((_DOOMED, ".preparing-")):
                shutil.rmtree(self.layout.path("releases", name), ignore_errors=True)
