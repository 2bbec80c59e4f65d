# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Incident records: what happened, how bad it is, who has to react until when, and the evidence.

The files are in ``_target.incident_record``, and what the events add up to in ``_target.incident_log``.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import re
import typing as t

from .._core import clock, dotenv
from .._core.errors import InputError, IntegrityError, StateError
from . import history, incident_log, incident_record, records
from .incident_log import (
    ACKNOWLEDGED,
    AGAIN,
    ESCALATED,
    GATHERED,
    MILESTONES,
    OPENED,
    PAGED,
    REOPENED,
    RESOLVED,
    REVIEWED,
    UPDATED,
)
from .incident_record import Record, path, read, recent, save, with_events
from .layout import Layout, check_name

#: Time between two events that tell that an incident occurs again.
AGAIN_PAUSE = datetime.timedelta(minutes=10)
#: How long after an incident was resolved by itself the same cause reopens it.
FLAPS = datetime.timedelta(hours=1)
#: Bytes from which on a record takes no further evidence.
_FULL = 1024 * 1024


class _Opening(t.TypedDict):
    title: str
    severity: int
    env: str


class Opening(_Opening, total=False):
    """What an incident is opened with."""

    summary: str
    release: str | None
    evidence: dict[str, object]
    cause: str
    fleet: str
    rollback: bool
    reached: list[str]
    affected: str


class Impact(t.TypedDict, total=False):
    """What an event says of what is affected, and which milestones were reached with it."""

    affected: str
    reached: list[str]


class Page(t.TypedDict):
    """A level that was paged, from 1, and through which channels."""

    level: int
    channels: list[str]


def of_release(release: str | None) -> str:
    """The key of the cause of what a release does."""
    return f"release {release or 'none'}"


def is_of_release(cause: str) -> bool:
    """Whether a cause is a release."""
    return cause.startswith("release ")


def open_incident(layout: Layout, facts: Opening) -> Record:
    """Open an incident, or note that the open one of the same cause occurs again; the record.

    :param facts: ``title, severity`` (1 to 4), ``env``, and where known ``summary, release, evidence`` (any JSON value), ``cause`` (a key;
        while an incident of that cause is not resolved, no second one is opened), ``fleet`` (a key that all hosts of a run share, so that
        they give the incident the same id), ``rollback`` (whether a release was rolled back), ``reached`` (milestones), ``affected``.
    :raises InputError: when the severity is not one of the four.
    """
    if not incident_log.known(facts["severity"]):
        raise InputError("severity", "1, 2, 3 or 4 (runbook, Severity Levels)", repr(facts["severity"]), "Correct it")
    facts = t.cast(Opening, dotenv.Redactor(layout.env_file).value(facts))
    try:
        with incident_record.locked(layout):
            known = _of_same_cause(layout, facts, clock.now())
            return _again(layout, known, facts, clock.now()) if known else _new(layout, facts, clock.now())
    except incident_record.BusyError:  # whatever hangs there, the incident is more important than that it is the only one of its cause
        return _new(layout, facts, clock.now())


def _new(layout: Layout, facts: Opening, now: datetime.datetime) -> Record:
    record: Record = {
        "env": facts["env"],
        "release": facts.get("release"),
        "opened": clock.iso(now),
        "opened_by": history.who(),
        "evidence": facts.get("evidence") or {},
    }
    if facts.get("cause"):
        record["cause"] = facts["cause"]
    if facts.get("fleet"):
        record["fleet"] = facts["fleet"]
    record["events"] = [
        {
            "when": clock.iso(now),
            "what": OPENED,
            "who": history.who(),
            "why": "",
            "title": facts["title"],
            "severity": facts["severity"],
            "summary": facts.get("summary") or "",
            **_impact(facts),
        }
    ]
    if facts.get("rollback"):
        record["rollback"] = clock.iso(now)
    incident_record.create(layout, record, now.strftime("%Y%m%d"), fleet_id(record, now))
    history.record(layout, "incident", record["title"], incident=record["id"], severity=record["severity"], release=record["release"])
    return record


def _impact(facts: Opening) -> Impact:
    found: Impact = {}
    if facts.get("affected"):
        found["affected"] = facts["affected"]
    if facts.get("reached"):
        found["reached"] = facts["reached"]
    return found


def fleet_id(facts: Opening | Record, now: datetime.datetime) -> str:
    """The id that all hosts of a run give an incident; empty without a key. A date at the key's beginning is the id's."""
    if not facts.get("fleet"):
        return ""
    key = str(facts["fleet"])
    day = re.match(r"(\d{4})-?(\d{2})-?(\d{2})", key)
    words = "\0".join([str(facts["env"]), key, str(facts.get("cause") or "")])
    return f"INC-{''.join(day.groups()) if day else now.strftime('%Y%m%d')}-F{hashlib.sha256(words.encode()).hexdigest()[:8]}"


def _of_same_cause(layout: Layout, facts: Opening, now: datetime.datetime) -> Record | None:
    """The incident that a cause belongs to: one that is not resolved, or was resolved by itself a moment ago."""
    fleet = fleet_id(facts, now)
    if fleet:
        with contextlib.suppress(IntegrityError):
            known = records.read(path(layout, fleet), records.INCIDENT)
            if known:
                return t.cast(Record, known)
    for record in recent(layout) if facts.get("cause") else ():
        if (record.get("cause"), record.get("env")) != (facts["cause"], facts["env"]):
            continue
        resolved = incident_log.state(record).resolved
        if not resolved or (resolved.get("itself") and now - clock.parse(resolved["when"]) < FLAPS):
            return record
    return None


def _again(layout: Layout, record: Record, facts: Opening, now: datetime.datetime) -> Record:
    """Add to a record that its cause has shown again. A worse severity counts; the same again within minutes is not noted."""
    state, events = incident_log.state(record), []
    worse = facts["severity"] < incident_log.number(state.severity)
    if state.resolved:
        events.append({"what": REOPENED, "why": "the same cause has shown again", "itself": True})
    last = [event for event in incident_log.events(record) if event["what"] in (OPENED, AGAIN)]
    same = last and last[-1].get("title") == facts["title"] and now - clock.parse(last[-1]["when"]) < AGAIN_PAUSE
    if events or worse or not same:
        events.append(
            {
                "what": AGAIN,
                "why": "",
                "title": facts["title"],
                "summary": facts.get("summary") or "",
                **({"severity": facts["severity"]} if worse else {}),
                **_impact(facts),
            }
        )
    if facts.get("rollback") and not record.get("rollback"):
        record = {**record, "rollback": clock.iso(now)}
    if not events:
        incident_record.pages(record)
        return record
    evidence = _joined(record.get("evidence") or {}, facts.get("evidence") or {}, clock.iso(now))
    record = with_events(record, events, evidence)
    save(record)
    history.record(
        layout,
        "incident",
        f"occurred again: {facts['title']}",
        incident=record["id"],
        severity=record["severity"],
        release=facts.get("release"),
    )
    return record


def _joined(old: dict[str, object], new: dict[str, object], when: str) -> dict[str, object]:
    """Evidence, and that of a later occurrence; what differs is kept beside it under its time, while there is room."""
    more = {name: value for name, value in new.items() if name not in old}
    other = {f"{name} {when}": value for name, value in new.items() if name in old and value and old[name] != value}
    for added in ({**more, **other}, more):
        if len(json.dumps({**old, **added})) < _FULL:
            return {**old, **added}
    return old


def change(layout: Layout, incident_id: str, what: str, check_mode: bool = False, **facts: t.Any) -> tuple[bool, Record]:
    """Add an event to an incident; whether that changed something, and the record.

    :param facts: ``why``, and of an update ``severity, affected, done, reached``; of an escalation ``level`` (from 1); ``itself`` when no
        person did it.
    :raises StateError: when there is no such incident, or it is in a state in which that cannot be done.
    :raises InputError: when an update says nothing.
    """
    check_name(incident_id, "incident")
    with incident_record.locked(layout) if not check_mode else contextlib.nullcontext():
        record = read(layout, incident_id)
        event = _checked(record, what, dotenv.Redactor(layout.env_file).value({name: value for name, value in facts.items() if value}))
        if event is None:
            if not check_mode:
                incident_record.pages(record)
            return False, record
        record = with_events(record, [event], record.get("evidence"))
        if not check_mode:
            save(record)
            history.record(layout, what, str(event.get("why", "")), incident=incident_id)
    return True, record


def _checked(record: Record, what: str, facts: dict[str, t.Any]) -> dict[str, object] | None:
    """The event to add; ``None`` when the incident is in that state already."""
    state, name = incident_log.state(record), f"incident {record['id']}"
    over = state.status in (RESOLVED, REVIEWED)
    if what == REVIEWED and not over:
        raise StateError(f"{name}: it is {state.status}", todo="Resolve it before the review")
    if what in (UPDATED, ESCALATED) and over and (what == ESCALATED or facts.get("severity")):
        raise StateError(f"{name}: it is {state.status}", todo="Reopen it first")
    if what == UPDATED and not facts:
        raise InputError(
            f"{name}: the update says nothing", todo="Give a remark, a severity, what is affected, what was done, or what was reached"
        )
    unknown = [each for each in facts.get("reached", ()) if each not in MILESTONES]
    if unknown:
        raise InputError(f"reached: {unknown[0]!r} is no milestone", todo=f"Use {', '.join(MILESTONES)}")
    done = {ACKNOWLEDGED: state.status != "open", RESOLVED: over, REVIEWED: state.status == REVIEWED, REOPENED: not over}
    last = incident_log.events(record)[-1:]
    repeated = (
        what == UPDATED
        and last
        and {**facts, "what": what, "who": history.who()} == {name: value for name, value in last[0].items() if name != "when" and value}
    )
    return None if done.get(what) or repeated else {**facts, "what": what}


def acknowledge(layout: Layout, incident_id: str, why: str = "", check_mode: bool = False) -> tuple[bool, Record]:
    """Note who takes care of an incident, which ends the paging. The first acknowledgement stays."""
    return change(layout, incident_id, ACKNOWLEDGED, check_mode, why=why)


def note_pages(layout: Layout, incident_id: str, pages: t.Sequence[Page]) -> None:
    """Add that levels were paged: ``level`` from 1, and ``channels``; those that the record has already are left out."""
    with incident_record.locked(layout):
        record = read(layout, incident_id)
        events = [
            {"what": PAGED, "why": "" if page["channels"] else "skipped: it reaches nobody", **page}
            for page in pages
            if page["level"] not in incident_log.state(record).paged
        ]
        if events:
            save(with_events(record, events, record.get("evidence")))


def add_evidence(layout: Layout, incident_id: str, evidence: dict[str, object]) -> Record:
    """Add evidence that was gathered after the opening; what is there already stays."""
    with incident_record.locked(layout):
        record = read(layout, incident_id)
        found = dotenv.Redactor(layout.env_file).value(evidence)
        event = {"what": GATHERED, "why": ", ".join(sorted(found)).replace("_", " "), "itself": True}
        record = with_events(record, [event], {**found, **(record.get("evidence") or {})})
        save(record)
    return record


def open_of_cause(layout: Layout, env: str, cause: str) -> Record | None:
    """The newest incident of a cause that is not resolved."""
    return next(
        (
            record
            for record in recent(layout)
            if (record.get("env"), record.get("cause")) == (env, cause) and not incident_log.state(record).resolved
        ),
        None,
    )


def settle(layout: Layout, env: str, cause: str, why: str, check_mode: bool = False, worst: int = 2) -> list[str]:
    """Resolve the incidents of a cause that is gone now; their ids.

    :param worst: the worst severity that is resolved so.
    :raises InputError: without a cause.
    """
    if not cause:
        raise InputError("cause: none was given", todo="Name the cause that is gone")
    return resolve_by_itself(layout, env, cause.__eq__, clock.now() + datetime.timedelta(seconds=1), why, check_mode, worst)


def resolve_by_itself(
    layout: Layout, env: str, causes: t.Callable[[str], bool], before: datetime.datetime, why: str, check_mode: bool = False, worst: int = 2
) -> list[str]:
    """Resolve the incidents whose cause is gone; their ids. Only those that were opened before a moment and that no person has touched.

    :param causes: whether a cause is meant.
    :param worst: the worst severity that is resolved so.
    """
    found = []
    for record in list(recent(layout)):
        state = incident_log.state(record)
        if (
            record.get("env") != env
            or not causes(str(record.get("cause") or ""))
            or state.status != "open"
            or state.touched
            or incident_log.number(state.severity) < worst
            or not state.since
            or state.since >= before
        ):
            continue
        with contextlib.suppress(StateError, IntegrityError):
            if change(layout, record["id"], RESOLVED, check_mode, why=why, itself=True)[0]:
                found.append(record["id"])
    return found
