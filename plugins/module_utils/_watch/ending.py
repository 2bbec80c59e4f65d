# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watch does when it has its verdict: a good release is verified, and the instance that no longer serves is stopped."""

from __future__ import annotations

from .._core import clock
from .._deploy import ways
from .._service import ongoing_work
from .._service.node_service import Service
from .._target import incidents
from .._target.releases import ReleaseStore
from .record import Record


def verify(record: Record, store: ReleaseStore, release: str) -> None:
    """The release has proved itself, so that its incidents are over."""
    found, watch = store.get(release), record.folder
    if found and found["status"] == "active" and store.live() == release:
        store.mark(release, "verified", f"watch {watch.id}")
        incidents.resolve_by_itself(
            watch.layout,
            record.spec["env"],
            incidents.is_of_release,
            clock.parse(record.state["started"]),
            f"release {release} was verified by watch {watch.id}",
        )


def retire(record: Record, store: ReleaseStore, service: Service | None, bad: bool) -> None:
    """Stop the other instance. What a bad release has begun is waited for, but not for as long as a good one's."""
    way = ways.of(store, service, record.spec["checks"], record.spec["ready_timeout"])
    retired = way.retire(record.spec.get("drain_timeout", 30) if bad else None, True if bad else None)
    if retired:
        told = f"the instance of release {retired.release}, which no longer serves, was stopped"
        lost = ongoing_work.lost(retired.cut.facts())
        record.log("WARN" if retired.cut else "INFO", ". ".join(filter(None, [told, lost])))
