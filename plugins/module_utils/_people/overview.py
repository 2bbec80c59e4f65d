# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is on call and whom each chain reaches, as results and as a page of text."""

from __future__ import annotations

import datetime
import typing as t

from .._core import clock, wording
from . import escalation, schedule
from .contacts import Directory
from .schedule import Schedule


class Duty(t.TypedDict):
    """Who is on call by a schedule, who after that, and when it changes."""

    schedule: str
    person: str | None
    name: str
    then: str | None
    channels: list[str]
    until: str | None
    until_local: str


class Reached(t.TypedDict):
    """A level of a chain, its minutes after the opening, and the channels that it reaches now."""

    severity: int
    level: int
    after: float
    notify: list[str]
    channels: list[str]


def local(moment: datetime.datetime, zone: datetime.tzinfo) -> str:
    """A moment as a clock in a time zone shows it, such as ``Mon 2026-11-30 09:00 CET``."""
    return moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M %Z")


def duties(people: Directory, now: datetime.datetime) -> list[Duty]:
    """Each schedule with who is on call, and until when."""
    return [_duty(people, each, now) for _name, each in sorted(people.schedules.items())]


def _duty(people: Directory, each: Schedule, now: datetime.datetime) -> Duty:
    found = schedule.duty(each, now)
    person = people.people.get(found.person or "")
    return {
        "schedule": each.name,
        "person": found.person,
        "name": _name(people, found.person),
        "then": found.then,
        "channels": list(person.channels if person else ()),
        "until": clock.iso(found.until) if found.until else None,
        "until_local": local(found.until, each.zone) if found.until else "",
    }


def _name(people: Directory, person: str | None) -> str:
    return wording.printable(people.people[person].name) if person else "nobody"


def levels(people: Directory, now: datetime.datetime) -> list[Reached]:
    """Each level of each chain with the channels that it reaches now."""
    return [
        {
            "severity": severity,
            "level": number,
            "after": level.after,
            "notify": list(level.notify),
            "channels": list(escalation.reaches(people, level, now)),
        }
        for severity, chain in sorted(people.chains.items())
        for number, level in enumerate(chain, 1)
    ]


def unreachable(people: Directory, now: datetime.datetime) -> list[int]:
    """Severities with a chain that reaches nobody now."""
    found = levels(people, now)
    return sorted({each["severity"] for each in found} - {each["severity"] for each in found if each["channels"]})


def message(people: Directory, now: datetime.datetime) -> str:
    """Who is on call and what is wrong with that, in a sentence or two."""
    if not people.chains:
        return "No escalation chain is set: an incident calls nobody. Set mobius_contacts, mobius_oncall and mobius_escalation."
    said = []
    for each in duties(people, now):
        until = f" until {each['until_local']}" if each["until"] else ""
        then = f", then {_name(people, each['then'])}" if each["until"] and each["person"] else ""
        said.append(f"{each['schedule']}: {each['name']}{until}{then}")
    bad = unreachable(people, now)
    text = f"On call: {'; '.join(said)}." if said else "No schedule is set; the chains name people and channels."
    if bad:
        text += f" Severity {', '.join(map(str, bad))} reaches nobody. Add a level that always reaches a channel."
    return text


def page(people: Directory, now: datetime.datetime) -> str:
    """The same as tables."""
    rows = [
        [
            each["schedule"],
            each["name"],
            each["until_local"] or "no end",
            _name(people, each["then"]) if each["until"] else "-",
            ", ".join(each["channels"]) or "none",
        ]
        for each in duties(people, now)
    ]
    chains = [
        [
            str(each["severity"]),
            str(each["level"]),
            f"{each['after']:g} min",
            ", ".join(each["notify"]) or "-",
            ", ".join(each["channels"]) or "nobody: skipped at once",
        ]
        for each in levels(people, now)
    ]
    lines = ["On call", *wording.table(["schedule", "person", "until", "then", "channels"], rows)]
    return "\n".join([*lines, "Escalation", *wording.table(["severity", "level", "after", "notify", "reaches now"], chains)])
