# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of incidents: one JSON record with a list of events that only grows, and the pages that are made of it.

The other fields of a record are derived from its events (``_target.incident_log``), for people and for programs that read them. An event is
one rename, made while the lock of incidents is held: a process that is killed leaves the events as they were, or with one more.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import typing as t

from .._core import clock, foreign, fs, locks
from .._core.errors import IntegrityError, StateError
from . import history, incident_log, incident_page, records
from .layout import Layout, check_name
from .record_types import Incident

Record = Incident
#: Events that a record may have, and records that a search looks at, the newest.
_EVENTS, _SEARCHED = 1000, 500
#: Seconds that another process may take to change an incident.
PATIENCE = 5.0
#: Bytes of a page at most.
_PAGE = 16 * 1024**2
_RECORD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.json")


def path(layout: Layout, incident_id: str) -> str:
    """The file of an incident."""
    return os.path.join(layout.incidents, incident_id + ".json")


class BusyError(StateError):
    """Another process has been changing incidents for too long."""


@contextlib.contextmanager
def locked(layout: Layout) -> t.Iterator[None]:
    """While the block runs, no other process changes an incident. :raises BusyError: when one does for longer than :data:`PATIENCE`."""
    name = layout.path("state", "incidents.lock")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.locked(name, PATIENCE))
        except BlockingIOError as error:
            raise BusyError(
                "incidents: another process has been changing them for too long", todo=f"Find out why it hangs; it holds {name}"
            ) from error
        yield


def names(layout: Layout) -> list[str]:
    """The ids of all incidents of this host, by their dates."""
    found = os.listdir(layout.incidents) if os.path.isdir(layout.incidents) else []
    return sorted(
        (match.group(1) for match in map(_RECORD.fullmatch, found) if match),
        key=lambda name: [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split("-")],
    )


def recent(layout: Layout) -> t.Iterator[Record]:
    """The newest incidents that can be read, the newest first."""
    for name in names(layout)[::-1][:_SEARCHED]:
        with contextlib.suppress(IntegrityError):
            record = records.read(path(layout, name), records.INCIDENT)
            if record:
                yield {**record, "id": name, "path": path(layout, name)}


def exists(layout: Layout, incident_id: str) -> bool:
    """Whether this host has an incident of that id."""
    return os.path.lexists(path(layout, check_name(incident_id, "incident")))


def read(layout: Layout, incident_id: str) -> Record:
    """An incident's record with its events. :raises StateError: when this host has none of that id."""
    place = path(layout, check_name(incident_id, "incident"))
    record = records.read(place, records.INCIDENT)
    if not isinstance(record, dict):
        raise StateError(f"incident {incident_id}: this host has no such incident", todo=f"Choose one of {layout.incidents}")
    return {**record, "id": incident_id, "path": place}


def create(layout: Layout, record: Record, day: str, wanted: str = "") -> None:
    """Write a new record under the wanted id, else under the day's next number."""
    number = 0 if wanted else 1
    while True:
        record["id"] = f"INC-{day}-{number}" if number else wanted
        record["path"] = path(layout, record["id"])
        record.update(_derived(record))
        try:
            fs.create_json(record["path"], record)
            return pages(record)
        except FileExistsError:
            number += 1


def with_events(record: Record, events: t.Sequence[t.Mapping[str, object]], evidence: dict[str, object] | None) -> Record:
    """The record with further events, which get time and person here, and all that follows from them."""
    stamp = {"when": clock.iso(), "who": history.who(), "why": ""}
    every = incident_log.events(record)
    if len(every) + len(events) > _EVENTS:
        raise StateError(f"incident {record['id']}: it has {len(every)} events, and takes no more", todo="Resolve it and open another one")
    added = [t.cast(incident_log.Event, {**stamp, **event}) for event in events]
    record = {**record, "events": [*every, *added], "evidence": evidence or {}}
    return {**record, **_derived(record)}


def _derived(record: Record) -> Record:
    """The fields of a record that follow from its events."""
    state = incident_log.state(record)
    rule = incident_log.level(state.severity)
    found: Record = {
        "title": state.title,
        "summary": state.summary,
        "severity": state.severity,
        "severity_name": rule.name,
        "status": state.status,
        "escalation": rule.escalation,
        "channel": rule.channel,
        "resolved": state.resolved["when"] if state.resolved else None,
    }
    if state.since:
        found["respond_by"] = clock.iso(state.since + datetime.timedelta(minutes=rule.response_minutes))
    noted, found["acknowledged"] = state.acknowledged, None
    if noted:
        found["acknowledged"] = {"when": noted["when"], "who": noted["who"], "why": noted["why"]}
    return found


def save(record: Record) -> None:
    """Replace the record, and its pages."""
    fs.write_json(record["path"], record)
    pages(record)


def pages(record: Record) -> None:
    """Have the page say what the record says, and of a resolved incident the template of its review.

    A person fills in the template, so it is written once.
    What cannot be written does not undo the event; whoever comes next writes the page.
    """
    name, page = record["path"][: -len(".json")], incident_page.markdown(record)
    with contextlib.suppress(OSError):
        if foreign.read_end(name + ".md", _PAGE) != page:
            fs.write_text(name + ".md", page)
        if record["status"] == incident_log.RESOLVED and not os.path.lexists(name + ".review.md"):
            fs.write_text(name + ".review.md", incident_page.review(record, clock.now()))
