# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DORA's four keys of software delivery, computed from the history of a target.

The definitions are those of https://dora.dev/guides/dora-metrics-four-keys/ (read 2026). What they mean in events here:

* Deployment frequency: a deployment is a release that went into service by a deploy (``active`` with ``previous``). One that ended
  before its switch was none, and neither is going back, or the live release once more.
* Change failure rate: the share of deployments that did not become ready (``failed``), were rolled back (``rolled_back``), or were bad
  and left to a person (``watch`` with the verdict ``frozen``).
* Failed deployment recovery time ("time to restore"): from the switch to the bad release until another one, or the repaired one,
  served well. It is counted from the switch, since nobody knows since when it was bad: rather too long than too short.
* Change lead time: from the commit to the switch, of deployments that did not fail, where the artifact tells its commit's time; the
  first deployment of each release counts.
"""

from __future__ import annotations

import datetime
import statistics
import typing as t

from .._core import clock
from .._target.record_types import Event

#: Days that the figures are about.
DAYS = 30
#: Events that tell something here.
KINDS = ("active", "verified", "failed", "rolled_back", "watch")


class FourKeys(t.TypedDict):
    """The four keys; in seconds the medians ``time_to_restore`` and ``lead_time``, and ``None`` for a figure of nothing."""

    days: int
    deploys: int
    deploys_per_week: float
    failed: int
    unrestored: int
    change_failure_rate_pct: float | None
    time_to_restore: float | None
    lead_time: float | None


def figures(events: t.Iterable[Event], now: datetime.datetime, days: int = DAYS) -> FourKeys:
    """The four keys over the last *days*, of events in the order in which they happened."""
    known = [event for event in events if event.get("what") in KINDS and _parse(event.get("when"))]
    since = now - datetime.timedelta(days=days)
    at = [index for index, event in enumerate(known) if _is_deploy(event)]
    restores, leads, seen, deploys, failed = [], [], set(), 0, 0
    for index in at:
        event, again = known[index], known[index]["release"] in seen
        seen.add(event["release"])
        if not since <= _when(event) <= now:
            continue
        deploys += 1
        bad = _failure(known, index)
        if bad is not None:
            failed += 1
            restores.append(_restored(known, bad, index))
        elif (committed := _parse(event.get("committed"))) and not again:
            leads.append(max(0.0, (_when(event) - committed).total_seconds()))
    done = [seconds for seconds in restores if seconds is not None]
    return {
        "days": days,
        "deploys": deploys,
        "deploys_per_week": round(deploys * 7 / days, 1),
        "failed": failed,
        "unrestored": len(restores) - len(done),
        "change_failure_rate_pct": round(100 * failed / deploys, 1) if deploys else None,
        "time_to_restore": statistics.median(done) if done else None,
        "lead_time": statistics.median(leads) if leads else None,
    }


def _is_deploy(event: Event) -> bool:
    return event["what"] == "active" and bool(event.get("release")) and "previous" in event and event["previous"] != event["release"]


def _failure(events: list[Event], index: int) -> int | None:
    """Where the event is by which a deployment failed, before its release was deployed again; ``None`` when it did not."""
    release = events[index]["release"]
    for at in range(index + 1, len(events)):
        event = events[at]
        if event.get("release") != release:
            continue
        if _is_deploy(event):
            return None
        if event["what"] in ("failed", "rolled_back") or (event["what"] == "watch" and event.get("verdict") == "frozen"):
            return at
    return None


def _restored(events: list[Event], bad: int, index: int) -> float | None:
    """Seconds from a failed deployment to the first event from its failure on that tells that a release serves well."""
    for event in events[bad:]:
        if _serves(event):
            return max(0.0, (_when(event) - _when(events[index])).total_seconds())
    return None


def _serves(event: Event) -> bool:
    """Whether an event tells that a release serves well: one that a deploy or a rollback went back to, or one that was verified."""
    if event["what"] == "failed":
        return bool(event.get("serving", event.get("previous")))
    return event["what"] == "verified" or (event["what"] == "rolled_back" and "downtime" in event)


def _parse(text: t.Any) -> datetime.datetime | None:
    try:
        return clock.parse(text)
    except (TypeError, ValueError):
        return None


def _when(event: Event) -> datetime.datetime:
    """When a known event was."""
    return t.cast(datetime.datetime, _parse(event["when"]))
