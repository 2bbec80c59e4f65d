# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An incident as pages of Markdown: the record for people, and the template of its review. What came from outside is text in them."""

from __future__ import annotations

import datetime
import json
import typing as t

from .._core import clock, wording
from . import incident_log
from .incident_log import AGAIN, ESCALATED, OPENED, PAGED, RESOLVED, REVIEWED, UPDATED
from .record_types import Incident

Record = Incident
_BLANK = "*To fill in.*"


def markdown(record: Record) -> str:
    """The page of an incident."""
    plain, state = wording.in_markdown, incident_log.state(record)
    rule = incident_log.level(state.severity)
    lines = [
        f"# {record['id']}: {plain(state.title or 'an incident without a title')}",
        "",
        f"- Severity {_severity(state.severity)} ({rule.name}), {state.status}, environment {plain(_text(record.get('env')) or 'unknown')}",
        f"- Release: {plain(_text(record.get('release')) or 'none')}",
        f"- Opened {_iso(state.opened)} by {plain(_text(record.get('opened_by')) or 'unknown')}; respond by {_respond_by(record)}",
        f"- Escalation: {rule.escalation}; channel: {rule.channel}",
        f"- Affected: {plain(state.affected)}" if state.affected else "",
        *_noted(state),
        "",
    ]
    lines = [line for at, line in enumerate(lines) if line or at in (1, len(lines) - 1)]
    if state.summary:
        lines += [*(plain(line) for line in state.summary.splitlines()), ""]
    lines += ["## Clocks", "", *_clocks(record), "", "## Timeline", "", *_timeline(record), ""]
    return "\n".join([*lines, *_evidence(record)])


def _noted(state: incident_log.State) -> t.Iterator[str]:
    for word, event in (("Acknowledged", state.acknowledged), ("Resolved", state.resolved), ("Reviewed", state.reviewed)):
        if event:
            by = "itself" if event.get("itself") else wording.in_markdown(event.get("who") or "unknown")
            why = f": {wording.in_markdown(event['why'])}" if event.get("why") else ""
            yield f"- {word} {event['when']} by {by}{why}"


def _clocks(record: Record) -> list[str]:
    found = [
        f"- {each.name}: by {clock.iso(each.due)}" + (f", done {clock.iso(each.met)}" if each.met else ", not done")
        for each in incident_log.clocks(record)
    ]
    return found or ["- none: the record has no time of opening"]


def _timeline(record: Record) -> list[str]:
    return [f"- {event['when']} {wording.in_markdown(incident_log.sentence(event))}" for event in incident_log.events(record)]


def _evidence(record: Record) -> list[str]:
    lines = []
    for name, value in (record.get("evidence") or {}).items():
        text = "\n".join(map(_line, value)) if isinstance(value, list) else _line(value)
        lines += [f"## {wording.in_markdown(name.replace('_', ' ').capitalize())}", "", *wording.fenced(text), ""]
    return lines


def review(record: Record, now: datetime.datetime) -> str:
    """The template of the review after an incident: what is known is filled in, and what only people know is left blank."""
    plain, state = wording.in_markdown, incident_log.state(record)
    rule, events = incident_log.level(state.severity), incident_log.events(record)
    end = clock.parse(state.resolved["when"]) if state.resolved else now
    lasted = wording.duration(max(0.0, (end - state.opened).total_seconds())) if state.opened else "unknown"
    ended = f"resolved {clock.iso(end)}" if state.resolved else "not resolved yet"
    done = [*state.done, *(event["why"] for event in events if event["what"] == RESOLVED and event.get("why"))]
    detected = f"- Opened by {plain(_text(record.get('opened_by')) or 'unknown')}: {plain(state.summary) or _BLANK}"
    parts = {
        "Impact": [f"- Affected: {plain(state.affected) or _BLANK}", f"- Users and work that were lost: {_BLANK}"],
        "Duration": [
            f"- Opened {_iso(state.opened)}, {ended}: {lasted}",
            f"- Occurred again: {state.again} times; reopened: {state.round} times",
        ],
        "Detection": [detected, f"- {_answer(events, state)}", f"- How it could have been found sooner: {_BLANK}"],
        "Timeline": _timeline(record),
        "What was done": [f"- {plain(each)}" for each in done or [_BLANK]],
        "Root cause": _of(events, incident_log.ROOT_CAUSE),
        "Clocks": _clocks(record),
        "Evidence": _names(record),
        "What went well, what did not": [f"- {_BLANK}"],
        "Prevention": [*_of(events, incident_log.PREVENTION), f"- Measure, who, until when: {_BLANK}"],
    }
    about = (
        f"Severity {_severity(state.severity)} ({rule.name}: {rule.definition}), environment {plain(_text(record.get('env')))}, "
        f"release {plain(_text(record.get('release')) or 'none')}. Replace what is in *italics*."
    )
    said = [f"# Review of {record['id']}: {plain(state.title)}", "", about, ""]
    return "\n".join(said + [line for title, lines in parts.items() for line in (f"## {title}", "", *lines, "")])


def _answer(events: list[incident_log.Event], state: incident_log.State) -> str:
    paged = next((event for event in events if event["what"] == PAGED and event.get("channels")), None)
    first = f"First page {paged['when']} through {', '.join(paged['channels'])}" if paged else "Nobody was paged"
    noted = state.acknowledged
    return first + (
        f"; acknowledged {noted['when']} by {wording.in_markdown(noted.get('who') or 'unknown')}" if noted else "; never acknowledged"
    )


def _of(events: list[incident_log.Event], milestone: str) -> list[str]:
    """What an update said when it reached a milestone."""
    said = [
        wording.in_markdown("; ".join(filter(None, [event.get("why"), event.get("done")])))
        for event in events
        if event["what"] in (OPENED, AGAIN, UPDATED, ESCALATED, REVIEWED) and milestone in (event.get("reached") or ())
    ]
    return [f"- {each or _BLANK}" for each in said] or [f"- {_BLANK}"]


def _names(record: Record) -> list[str]:
    names = ", ".join(wording.in_markdown(name.replace("_", " ")) for name in record.get("evidence") or {})
    return [f"- In {record['id']}.md: {names or 'none'}"]


def _respond_by(record: Record) -> str:
    return next((clock.iso(each.due) for each in incident_log.clocks(record) if each.name == "response"), "unknown")


def _severity(value: t.Any) -> str:
    return str(value) if incident_log.known(value) else "unknown, counts as 1"


def _iso(moment: datetime.datetime | None) -> str:
    return clock.iso(moment) if moment else "at an unknown time"


def _text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""


def _line(value: t.Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
