# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the events of an incident add up to: status, severity, phase, clocks, timeline. Pure functions; the caller gives the time.

A record of an earlier version has no events. Its fields stand for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import typing as t

from .._core import clock
from .record_types import Incident, IncidentEvent

OPENED, AGAIN, GATHERED, PAGED = "opened", "again", "gathered", "paged"
ACKNOWLEDGED, UPDATED, ESCALATED, RESOLVED, REOPENED, REVIEWED = (
    "acknowledged",
    "updated",
    "escalated",
    "resolved",
    "reopened",
    "reviewed",
)
#: Events of a person that answer the page.
_ANSWERS = (ACKNOWLEDGED, UPDATED, ESCALATED, RESOLVED, REVIEWED)
#: What an update can say was reached (runbook, "Post-rollback Actions" and "Incident Response Procedures").
STABILITY, ROOT_CAUSE, REPORT, PREVENTION = "stability", "root_cause", "report", "prevention"
MILESTONES = (STABILITY, ROOT_CAUSE, REPORT, PREVENTION)


@dataclasses.dataclass(frozen=True)
class Severity:
    """One of the runbook's severity levels."""

    name: str
    definition: str
    response_minutes: int
    escalation: str
    channel: str


#: Runbook, "Severity Levels".
LEVELS: dict[int, Severity] = {
    1: Severity("critical", "complete service outage or security breach", 15, "immediately to the on-call SRE", "#incidents, @channel"),
    2: Severity("high", "major functionality impacted", 60, "within 30 minutes if not resolved", "#incidents"),
    3: Severity("medium", "minor functionality impacted", 240, "within 2 hours if not resolved", "#ops"),
    4: Severity("low", "cosmetic issues, documentation", 1440, "next business day", "issue tracker"),
}
_MINUTE, _HOUR = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
#: Runbook, "Incident Response Procedures": initial response, investigation, post-incident.
INITIAL, INVESTIGATION, REVIEW_FROM, REVIEW_BY = 15 * _MINUTE, 4 * _HOUR, 24 * _HOUR, 72 * _HOUR
#: Runbook, "Post-rollback Actions".
AFTER_ROLLBACK = {STABILITY: 0 * _HOUR, ROOT_CAUSE: 1 * _HOUR, REPORT: 4 * _HOUR, PREVENTION: 24 * _HOUR}

Event = IncidentEvent


@dataclasses.dataclass(frozen=True)
class Clock:
    """A time by which something has to be done."""

    name: str
    due: datetime.datetime
    met: datetime.datetime | None

    def overdue(self, now: datetime.datetime) -> bool:
        """Whether it is late and still not done."""
        return self.met is None and now > self.due


@dataclasses.dataclass(frozen=True)
class State:
    """What the events add up to."""

    #: ``open``, ``acknowledged``, ``resolved`` or ``reviewed``.
    status: str
    severity: t.Any
    title: str
    summary: str
    opened: datetime.datetime | None
    #: When it was opened, or reopened for the last time.
    since: datetime.datetime | None
    #: How often it was reopened.
    round: int
    acknowledged: Event | None
    resolved: Event | None
    reviewed: Event | None
    affected: str
    #: What was done, oldest first.
    done: tuple[str, ...]
    #: Milestone -> when it was reached.
    reached: dict[str, datetime.datetime]
    #: Levels that were paged in this round, from 1.
    paged: frozenset[int]
    #: Levels that somebody has escalated to by hand in this round, from 1 -> when.
    forced: dict[int, datetime.datetime]
    #: Whether a person has had a hand in it in this round.
    touched: bool
    #: How often it occurred again.
    again: int


def events(record: Incident) -> list[Event]:
    """The events of a record, oldest first. Fields that an earlier version has written are events too."""
    found = list(record.get("events") or [])
    if not any(event["what"] == OPENED for event in found) and _time(record.get("opened")):
        found.insert(0, {"when": record["opened"], "what": OPENED, "who": _text(record.get("opened_by")), "why": ""})
    noted = record.get("acknowledged")
    if noted and not any(event["what"] == ACKNOWLEDGED for event in found):
        found.append({"who": "", "why": "", "when": noted["when"], **noted, "what": ACKNOWLEDGED})
    if "events" not in record and record.get("status", "open") not in ("open", "acknowledged") and found:
        found.append({"when": found[-1]["when"], "what": RESOLVED, "who": "", "why": f"status {_text(record['status'])}"})
    return found


def state(record: Incident) -> State:
    """The state of an incident."""
    every = events(record)
    begins = [at for at, event in enumerate(every) if event["what"] == REOPENED]
    this = every[begins[-1] :] if begins else every
    last = {event["what"]: event for event in this}
    noted = next((event for event in this if event["what"] == ACKNOWLEDGED), None)
    resolved = last.get(RESOLVED)
    status = REVIEWED if REVIEWED in last else RESOLVED if resolved else ACKNOWLEDGED if noted else "open"
    if not every and record.get("status", "open") != "open":
        status = RESOLVED
    severities = [event["severity"] for event in every if event.get("severity")]
    opened = _time(record.get("opened")) or (_time(every[0]["when"]) if every else None)
    return State(
        status,
        severities[-1] if severities else record.get("severity"),
        next((event["title"] for event in reversed(every) if event.get("title")), _text(record.get("title"))),
        next((event["summary"] for event in reversed(every) if event.get("summary")), _text(record.get("summary"))),
        opened,
        _time(this[0]["when"]) if begins else opened,
        len(begins),
        noted,
        resolved,
        last.get(REVIEWED),
        next((event["affected"] for event in reversed(every) if event.get("affected")), ""),
        tuple(event["done"] for event in every if event.get("done")),
        _reached(every),
        frozenset(event["level"] for event in this if event["what"] == PAGED and "level" in event),
        {event["level"]: clock.parse(event["when"]) for event in this if event["what"] == ESCALATED and event.get("level")},
        any(event["what"] in (ACKNOWLEDGED, UPDATED, ESCALATED) for event in this),
        sum(event["what"] == AGAIN for event in every),
    )


def _reached(every: list[Event]) -> dict[str, datetime.datetime]:
    found: dict[str, datetime.datetime] = {}
    for event in every:
        for name in event.get("reached") or ():
            found.setdefault(name, clock.parse(event["when"]))
    return found


def clocks(record: Incident) -> list[Clock]:
    """What has to be done by when, soonest first. A review meets all clocks.

    The response has the severity's time. The initial response ends 15 minutes after the acknowledgement, by an update that says what is
    known. The investigation ends 4 hours after the opening, by the root cause. The review is due 72 hours after the end; an incident of
    severity 3 or 4 that was resolved by itself needs none.
    """
    now, every = state(record), events(record)
    if not now.since:
        return []
    begins = max([at for at, event in enumerate(every) if event["what"] == REOPENED], default=0)
    this = every[begins:]
    end, closed = _when(now.resolved), _when(now.reviewed)
    rule = level(now.severity)
    found = [Clock("response", now.since + rule.response_minutes * _MINUTE, _first(this, _ANSWERS))]
    if now.acknowledged:
        after = this[this.index(now.acknowledged) + 1 :] if now.acknowledged in this else []
        found.append(Clock("initial response", clock.parse(now.acknowledged["when"]) + INITIAL, _first(after, (UPDATED, RESOLVED))))
    rolled_back = _time(record.get("rollback"))
    if rolled_back:
        found += [Clock(name.replace("_", " "), rolled_back + pause, now.reached.get(name)) for name, pause in AFTER_ROLLBACK.items()]
    else:
        found.append(Clock("investigation", now.since + INVESTIGATION, now.reached.get(ROOT_CAUSE) or end))
    if now.resolved and end and not (now.resolved.get("itself") and rule.response_minutes > 60 and not rolled_back):
        found.append(Clock("review", end + REVIEW_BY, closed))
    return sorted((dataclasses.replace(each, met=each.met or closed) for each in found), key=lambda each: each.due)


def _when(event: Event | None) -> datetime.datetime | None:
    return clock.parse(event["when"]) if event else None


def _first(found: list[Event], kinds: tuple[str, ...]) -> datetime.datetime | None:
    return next((clock.parse(event["when"]) for event in found if event["what"] in kinds), None)


def phase(record: Incident) -> str:
    """The phase of the runbook that an incident is in."""
    now = state(record)
    if now.status in (RESOLVED, REVIEWED):
        return "post-incident" if now.status == RESOLVED else "closed"
    if now.status == "open":
        return "initial response"
    return "resolution" if ROOT_CAUSE in now.reached else "investigation"


def number(severity: t.Any) -> int:
    """A severity from 1 to 4. When in doubt, the worst one."""
    return severity if known(severity) else 1


def known(severity: t.Any) -> bool:
    """Whether a value is a severity."""
    return isinstance(severity, int) and not isinstance(severity, bool) and severity in LEVELS


def level(severity: t.Any) -> Severity:
    """The level of a severity."""
    return LEVELS[number(severity)]


def sentence(event: Event) -> str:
    """An event in words, without its time."""
    by = "by itself" if event.get("itself") else f"by {event.get('who') or 'unknown'}"
    parts = [
        f"severity {event['severity']}" if event.get("severity") and event["what"] != OPENED else "",
        f"affected: {event['affected']}" if event.get("affected") else "",
        f"done: {event['done']}" if event.get("done") else "",
        f"reached: {', '.join(event['reached']).replace('_', ' ')}" if event.get("reached") else "",
        f"level {event['level']}" if event.get("level") else "",
        "through " + ", ".join(event["channels"]) if event.get("channels") else "",
        event.get("title", "") if event["what"] == AGAIN else "",
        event.get("why", ""),
    ]
    said = "; ".join(filter(None, parts))
    word = "occurred again" if event["what"] == AGAIN else "evidence gathered" if event["what"] == GATHERED else event["what"]
    return f"{word} {by if event['what'] not in (PAGED, GATHERED, AGAIN) else ''}".strip() + (f": {said}" if said else "")


def told(record: Incident, what: str) -> str:
    """What came of an event, in a sentence."""
    now = state(record)
    if what == UPDATED:
        return f"{record['id']} is updated: severity {now.severity}, {now.status}."
    review = f" Fill in {record['path'][: -len('.json')]}.review.md, then review it." if now.status == RESOLVED else ""
    again = " again" if what == OPENED and now.again else ""
    return f"{record['id']} is {now.status}{again}.{review}"


def _time(value: t.Any) -> datetime.datetime | None:
    with contextlib.suppress(TypeError, ValueError):
        return clock.parse(value)
    return None


def _text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""
