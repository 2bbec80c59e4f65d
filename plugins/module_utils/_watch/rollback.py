# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rollback that a watch does by itself: once, to a release that was verified, or not at all."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._core.errors import OpsError, ServiceError
from .._deploy import activation, ways
from .._deploy.switch import Way
from .._service import ongoing_work
from .._service.draining import Drain
from .._service.node_service import Service
from .._service.ongoing_work import Work
from .._target import switch_journal
from .._target.record_types import WatchSpec
from .._target.releases import ReleaseStore
from .record import Record


def roll_back(record: Record, store: ReleaseStore, service: Service | None, trigger: str) -> str:
    """Go back to the rollback target; the verdict that this makes, ``rolled_back`` or ``frozen``.

    One that was interrupted is finished by its journal; one that was decided stays so.

    :raises Superseded: when another release is live by now.
    """
    release, spec, state = record.state["release"], record.spec, record.state
    if state["decided"]:
        return _decided(record, service, trigger)
    bad = store.get(release) if release else None
    if bad and bad.get("migration") == "forward_only":
        record.save(decided="frozen")
        record.incident(
            1,
            f"Release {release} is bad and cannot be rolled back by itself",
            f"{trigger}. Its migration is forward-only: a person decides.",
            service,
            trigger=trigger,
        )
        return "frozen"
    record.mark("rolling_back", "ERROR", f"rolling back release {release}: {trigger}{_announced(service, spec)}")
    record.save(rolling_back=state["rolling_back"] or _target(store), trigger=trigger)
    began = time.monotonic()
    try:
        facts = activation.roll_back(_way(store, service, spec), trigger, bad=release)
    except activation.Superseded:
        raise
    except (OpsError, OSError) as error:
        return _failed(record, service, trigger, error)
    return _went_back(record, service, trigger, facts, round(time.monotonic() - began, 1))


def _target(store: ReleaseStore) -> str:
    """Where the rollback leads."""
    target = store.target()
    return target["id"] if target else "none"


def _decided(record: Record, service: Service | None, trigger: str) -> str:
    """What was decided before an interruption. Its incident is opened when there was no time for it."""
    verdict = str(record.state["decided"])
    if not record.state["incident"]:
        title = f"The rollback of release {record.state['release']} ended: {verdict}"
        record.incident(1 if verdict == "frozen" else 2, title, trigger, service, rolled_back=verdict == "rolled_back", trigger=trigger)
    return verdict


def _failed(record: Record, service: Service | None, trigger: str, error: Exception) -> str:
    record.save(decided="frozen")
    title, told = f"Rollback of release {record.state['release']} failed", getattr(error, "facts", {})
    record.incident(1, title, f"{trigger}. {error}", service, trigger=trigger, **told)
    found = "ended on an unhealthy release" if isinstance(error, ServiceError) else "was not possible"
    record.log("ERROR", f"rollback {found}: {error}")
    return "frozen"


def _went_back(record: Record, service: Service | None, trigger: str, facts: t.Mapping[str, t.Any], elapsed: float) -> str:
    release, target, cut = record.state["release"], facts["target"]["id"], facts.get("cut") or Work().facts()
    told = ongoing_work.lost(cut)
    lost = f" {told}" if told else ""
    done = {"from": release, "to": target, "elapsed": elapsed, "downtime": facts["downtime"], "cut": cut, "cut_text": told}
    record.save(decided="rolled_back", rollback=done)
    record.mark("rolled_back", "WARN", f"rolled back to release {target} in {elapsed:g} s; it is healthy.{lost}")
    title, said = f"Release {release} was rolled back to {target}", f"{trigger}. Release {target} serves again after {elapsed:g} s.{lost}"
    record.incident(2, title, said, service, rolled_back=True, trigger=trigger, cut=cut)
    return "rolled_back"


def finish_before(record: Record, store: ReleaseStore, service: Service | None) -> None:
    """Finish a switch that was interrupted before a watch begins; one that may not roll back only says what does."""
    unfinished = switch_journal.unfinished(store.layout)
    if not unfinished or unfinished.get("running"):
        return
    if not record.spec["auto_rollback"] or "fault" in unfinished:
        record.log("WARN", str(unfinished["message"]))
        return
    for told in activation.settle(_way(store, service, record.spec)):
        record.log("WARN", told)


def _way(store: ReleaseStore, service: Service | None, spec: WatchSpec) -> Way:
    """How a watch switches the service: what works is waited for, and then cut."""
    return ways.of(store, service, spec["checks"], spec["ready_timeout"], Drain(spec.get("drain_timeout", 30), True))


def _announced(service: Service | None, spec: WatchSpec) -> str:
    """What the bad release works on at this moment, and how long that is waited for."""
    with contextlib.suppress(OpsError, OSError):
        work = ongoing_work.of(service, service.serving()) if service else Work()
        if work:
            return f" ({work} get up to {spec.get('drain_timeout', 30):g} s, then they are cut)"
    return ""
