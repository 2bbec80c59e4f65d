# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The incidents of a host in short, and one of them with its timeline. Nothing is written."""

from __future__ import annotations

import datetime
import typing as t

from .._core import clock, wording
from . import incident_log, incident_page, incident_record, records
from .incident_log import Clock
from .layout import Layout
from .record_types import Incident

OPEN, OVERDUE, ALL = "open", "overdue", "all"


class Due(t.TypedDict):
    """A time by which something has to be done."""

    name: str
    due: str
    met: str
    overdue: bool
    late_seconds: int


class Summary(t.TypedDict):
    """An incident in short."""

    id: str
    env: str
    release: str
    cause: str
    fleet: str
    title: str
    severity: int
    severity_name: str
    status: str
    phase: str
    opened: str
    affected: str
    again: int
    acknowledged_by: str
    rolled_back: bool
    overdue: list[Due]
    next: Due | None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def summary(record: Incident, now: datetime.datetime) -> Summary:
    """An incident in short."""
    state = incident_log.state(record)
    every = incident_log.clocks(record)
    late = [each for each in every if each.overdue(now)]
    following = next((each for each in every if each.met is None and not each.overdue(now)), None)
    return {
        "id": _text(record.get("id")),
        "env": _text(record.get("env")),
        "release": _text(record.get("release")),
        "cause": _text(record.get("cause")),
        "fleet": _text(record.get("fleet")),
        "title": state.title,
        "severity": incident_log.number(state.severity),
        "severity_name": incident_log.level(state.severity).name,
        "status": state.status,
        "phase": incident_log.phase(record),
        "opened": clock.iso(state.opened) if state.opened else "",
        "affected": state.affected,
        "again": state.again,
        "acknowledged_by": (state.acknowledged.get("who") if state.acknowledged else "") or "",
        "rolled_back": bool(record.get("rollback")),
        "overdue": [_clock(each, now) for each in late],
        "next": _clock(following, now) if following else None,
    }


def _clock(each: Clock, now: datetime.datetime) -> Due:
    return {
        "name": each.name,
        "due": clock.iso(each.due),
        "met": clock.iso(each.met) if each.met else "",
        "overdue": each.overdue(now),
        "late_seconds": max(0, int((now - each.due).total_seconds())) if each.overdue(now) else 0,
    }


def listed(layout: Layout, which: str, now: datetime.datetime, findings: records.Findings) -> list[Summary]:
    """Incidents in short, the worst first, then the newest.

    :param which: ``open`` (not resolved), ``overdue`` (something is late), or ``all``.
    """
    found = []
    for name in incident_record.names(layout):
        record = findings.without(
            lambda name=name: records.read(  # type: ignore[misc]
                incident_record.path(layout, name), records.INCIDENT
            ),
            None,
        )
        if record:
            found.append(summary({**record, "id": name}, now))
    wanted = [
        each for each in found if which == ALL or (each["overdue"] if which == OVERDUE else each["status"] in ("open", "acknowledged"))
    ]
    return sorted(sorted(wanted, key=lambda each: each["opened"], reverse=True), key=lambda each: each["severity"])


def one(layout: Layout, incident_id: str, now: datetime.datetime) -> dict[str, object]:
    """One incident with its timeline, clocks and the template of its review. :raises StateError: when this host has none of that id."""
    record = incident_record.read(layout, incident_id)
    return {
        "summary": summary(record, now),
        "record": record,
        "clocks": [_clock(each, now) for each in incident_log.clocks(record)],
        "timeline": [f"{event['when']} {wording.one_line(incident_log.sentence(event))}" for event in incident_log.events(record)],
        "page": incident_page.markdown(record),
        "review": incident_page.review(record, now),
    }


def message(found: list[Summary], which: str) -> str:
    """How many there are, in a sentence."""
    late = sum(bool(each["overdue"]) for each in found)
    if not found:
        return {OPEN: "No incident is open.", OVERDUE: "Nothing is overdue.", ALL: "There are no incidents."}[which]
    worst = found[0]
    kind = {OPEN: " open", OVERDUE: "", ALL: ""}[which]
    return (
        f"{len(found)}{kind} incident{'s' if len(found) > 1 else ''}, {late} with something overdue; "
        f"the worst: {worst['id']} (severity {worst['severity']}, {worst['status']}): {wording.one_line(worst['title'])}."
    )
