# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is to tell about a watch: its verdict and figures, and the deploy or rollback that it belongs to."""

from __future__ import annotations

import os
import typing as t
import urllib.parse

from .._core import clock, dotenv
from .._core.errors import OpsError, StateError
from .._observe import thresholds
from .._target import history
from .._target import records as target_records
from .._target.layout import Layout
from .._target.record_types import Check, Event, Incident, Release, WatchSpec
from .._target.releases import ReleaseStore
from . import folders, timeseries
from .report_types import Report, ReportedBaseline, ReportedCheck, ReportedIncident, ReportedRelease, ReportedReleases, ReportedWatch
from .watch_types import WatchState

#: Events that may lie between the begin of a deploy or rollback and its switch.
_STEPS = ("preflight", "lock_reclaimed", "force_unlock", "backup", "prepared", "migrated", "rolled_back", "restored", "watch")
#: Seconds from a switch to its watch, and from a step to the next one, beyond which they do not belong together.
_SOON, _LONG = 3600, 4 * 3600
_EVENTS, _INCIDENTS, _LINES = 100, 5, 20
_QUOTES = ("application_log", "console", "lines", "new_errors")
_OF_INCIDENT = (
    "id",
    "title",
    "severity",
    "severity_name",
    "status",
    "opened",
    "opened_by",
    "respond_by",
    "escalation",
    "channel",
    "summary",
    "path",
)


def gather(layout: Layout, watch_id: str | None = None) -> Report:
    """All facts of a watch, without secrets.

    :param watch_id: the latest watch by default.
    :raises StateError: when there is no such watch.
    """
    folder = _find(layout, watch_id)
    spec, state = folder.spec(), folder.state()
    events: list[Event] = [
        event
        for event in history.events(layout, 5000)
        if isinstance(event, dict) and _seconds(event.get("when")) and isinstance(event.get("what"), str)
    ]
    watch = _watch(folder.id, spec, state, events)
    chosen = _chosen(events, watch)
    facts: Report = {
        "host": os.uname().nodename,
        "watch": watch,
        "series": timeseries.read(str(watch["metrics_file"])),
        "events": chosen[: _EVENTS // 2] + chosen[_EVENTS // 2 :][-_EVENTS // 2 :],
        "releases": _releases(ReleaseStore(layout), watch, chosen),
        "incidents": _incidents(layout, watch, chosen),
        "thresholds": {"response_time_ms": list(_limits(spec)["response_time_ms"])},
    }
    return t.cast(Report, dotenv.Redactor(layout.env_file).value(facts))


def _watch(watch_id: str, spec: WatchSpec, state: WatchState, events: list[Event]) -> ReportedWatch:
    log_file = spec.get("log_file")
    return {
        "id": watch_id,
        "env": str(spec.get("env") or "unknown"),
        "status": state.get("status"),
        "started": state.get("started"),
        "release": state.get("release"),
        "verdict": state.get("verdict"),
        "trigger": state.get("trigger"),
        "rounds": state.get("rounds"),
        "left": state.get("left"),
        "samples": state.get("samples"),
        "rollback": state.get("rollback"),
        "incident": state.get("incident"),
        "write_attempts": state.get("write_attempts"),
        "new_errors": state.get("new_errors"),
        "duration": spec.get("duration"),
        "interval": spec.get("interval"),
        "retry_interval": spec.get("retry_interval"),
        "failure_threshold": spec.get("failure_threshold"),
        "error_threshold": spec.get("error_threshold"),
        "restart_limit": spec.get("restart_limit"),
        "auto_rollback": spec.get("auto_rollback"),
        "service": spec.get("service"),
        "log_file": log_file,
        "metrics_file": spec.get("metrics_file"),
        "baseline": _baseline(state.get("baseline")),
        "checks": [_told(check) for check in spec.get("checks") or []],
        "ended": _ended(events, log_file),
    }


def _find(layout: Layout, watch_id: str | None) -> folders.WatchFolder:
    folder = folders.WatchFolder(layout, watch_id) if watch_id else folders.latest(layout)
    if folder is None or os.path.basename(folder.path) != folder.id or not folder.spec():
        ids = folders.ids(layout)
        raise StateError(
            "watch " + (watch_id or "of " + layout.root),
            "one to report on",
            ", ".join(ids[-5:]) if watch_id and ids else "none",
            "Name one of these" if watch_id and ids else "Deploy a release, or start a watch with mobius.ops.monitor",
        )
    return folder


def _told(check: Check) -> ReportedCheck:
    """What is asked, without headers, and without what an address may hide."""
    parts = urllib.parse.urlsplit(str(check.get("url") or ""))
    plain = urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return {"name": check.get("name"), "url": plain, "method": check.get("method"), "max_ms": check.get("max_ms")}


def _baseline(given: t.Any) -> dict[str, ReportedBaseline]:
    """Check -> its figures before the deploy, those that are numbers."""
    rows = given.items() if isinstance(given, dict) else []
    return {str(name): {"p50_ms": timeseries.number(row.get("p50_ms"))} for name, row in rows if isinstance(row, dict)}


def _limits(spec: WatchSpec) -> dict[str, tuple[float, float]]:
    try:
        return thresholds.merge(spec.get("thresholds"))
    except OpsError:
        return thresholds.DEFAULTS


def _seconds(when: t.Any) -> float | None:
    """Seconds since 1970, or ``None`` for what is no time."""
    try:
        return clock.parse(when).timestamp()
    except (TypeError, ValueError):
        return None


def _when(event: Event) -> float:
    """When an event was that has a time."""
    return t.cast(float, _seconds(event["when"]))


def _end(events: list[Event], log_file: str) -> int | None:
    """Where the watch ended."""
    return next((at for at, event in enumerate(events) if event["what"] == "watch" and event.get("log_file") == log_file), None)


def _ended(events: list[Event], log_file: str) -> str | None:
    end = _end(events, log_file)
    return None if end is None else events[end]["when"]


def _chosen(events: list[Event], watch: ReportedWatch) -> list[Event]:
    """All that happened from the begin of the deploy or rollback to the end of the watch, and what named its release later."""
    end = _end(events, watch["log_file"])
    begun = _seconds(watch["started"])
    if begun is None:  # it never came to its first round
        return [event for event in events if watch["release"] and event.get("release") == watch["release"]]
    inside = [at for at, event in enumerate(events) if _when(event) >= begun]
    start = inside[0] if inside else len(events)
    switch = next(
        (
            at
            for at in reversed(range(len(events)))
            if events[at]["what"] == "active" and events[at].get("release") == watch["release"] and _when(events[at]) <= begun
        ),
        None,
    )
    if switch is not None and begun - _when(events[switch]) <= _SOON:
        start = switch
        while start and _belongs(events[start - 1], events[start]):
            start -= 1
    after = events[end + 1 :] if end is not None else []
    return events[start : end + 1 if end is not None else None] + [event for event in after if event.get("release") == watch["release"]]


def _belongs(event: Event, following: Event) -> bool:
    """Whether an event is a step of the same deploy or rollback as the one after it."""
    of_before = event["what"] == "watch" and event.get("verdict") != "inconclusive"  # one that ended by itself; others were superseded
    return event["what"] in _STEPS and not of_before and _when(following) - _when(event) <= _LONG


def _releases(store: ReleaseStore, watch: ReportedWatch, events: list[Event]) -> ReportedReleases:
    live, target = store.live(), store.target()
    switches = [event for event in events if event["what"] == "active" and event.get("release") == watch["release"]]
    previous = switches[0].get("previous") if switches else None
    wanted = {watch["release"], live, previous, target["id"] if target else None}
    records = [_release(record) for record in store.all() if record["id"] in wanted]
    return {"watched": watch["release"], "live": live, "previous": previous, "target": target["id"] if target else None, "records": records}


def _release(record: Release) -> ReportedRelease:
    return {
        "id": record["id"],
        "version": record.get("version"),
        "status": record["status"],
        "source": record.get("source"),
        "sha256": record.get("sha256"),
        "backup": record.get("backup"),
        "migration": record["migration"],
        "created": record["created"],
        "activated": record["activated"],
        "verified": record["verified"],
        "failed_reason": record.get("failed_reason"),
    }


def _incidents(layout: Layout, watch: ReportedWatch, events: list[Event]) -> list[ReportedIncident]:
    """The incidents that the watch or an event names, with the last lines of the application."""
    names = dict.fromkeys(str(name) for name in [*(event.get("incident") for event in events), watch["incident"]] if name)
    found: list[ReportedIncident] = []
    for name in list(names)[:_INCIDENTS]:
        path = os.path.join(layout.incidents, os.path.basename(name) + ".json")
        record: Incident | None = target_records.read(path, target_records.INCIDENT)
        if record:
            evidence = record.get("evidence") or {}
            quotes = [(kind, evidence.get(kind)) for kind in _QUOTES]
            lines = {kind: quoted[-_LINES:] for kind, quoted in quotes if isinstance(quoted, list)}
            whole: t.Mapping[str, object] = record
            found.append(t.cast(ReportedIncident, {**{field: whole.get(field) for field in _OF_INCIDENT}, "lines": lines}))
    return found
