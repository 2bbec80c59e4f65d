# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shifts from an iCalendar file: the part of RFC 5545 that on-call calendars use, and a clear refusal of the rest.

An event is a shift: ``SUMMARY`` names the person, ``DTSTART`` and ``DTEND`` bound it, in UTC, with a ``TZID`` of the IANA names, or as
dates. ``RRULE`` may repeat it each week or every few weeks (``FREQ=WEEKLY`` with ``INTERVAL``, ``COUNT`` or ``UNTIL``, and a ``BYDAY`` that
is the day of ``DTSTART``). A repetition keeps its local time when clocks change (RFC 5545, 3.3.10).
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from . import times
from .times import wrong

#: Letters and events of a calendar at most.
LARGEST, MOST = 1_000_000, 2000
#: Properties that change when an event happens, and that are not understood.
_REFUSED = ("EXDATE", "RDATE", "EXRULE", "RECURRENCE-ID", "DURATION")
_LINE = re.compile(r"([A-Za-z0-9-]+)((?:;[A-Za-z0-9-]+=(?:\"[^\"]*\"|[^\";:,]*)(?:,(?:\"[^\"]*\"|[^\";:,]*))*)*):(.*)", re.DOTALL)
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclasses.dataclass(frozen=True)
class Event:
    """A shift, and how it repeats."""

    person: str
    #: First begin and end, in local time with its zone.
    start: datetime.datetime
    end: datetime.datetime
    #: Weeks between two begins; 0 when it happens once.
    weeks: int = 0
    count: int | None = None
    #: The last moment at which a repetition may begin.
    until: datetime.datetime | None = None

    def span(self, number: int) -> tuple[datetime.datetime, datetime.datetime] | None:
        """Begin and end in UTC of a repetition, the first is 0; ``None`` when there is none of that number."""
        if number < 0 or (number and not self.weeks) or (self.count is not None and number >= self.count):
            return None
        later = datetime.timedelta(weeks=self.weeks * number)
        try:
            start, end = times.in_utc(self.start + later), times.in_utc(self.end + later)
        except OverflowError:  # after the year 9999
            return None
        return None if self.until is not None and start > self.until else (start, end)

    def near(self, now: datetime.datetime) -> t.Iterator[tuple[datetime.datetime, datetime.datetime]]:
        """The repetitions that may touch *now*, and the next one after it, oldest first."""
        if not self.weeks:
            numbers = [0]
        else:
            week = datetime.timedelta(weeks=self.weeks)
            at = max(0, (now - times.in_utc(self.start)) // week)
            numbers = list(range(max(0, at - (self.end - self.start) // week - 2), at + 3))
        yield from filter(None, map(self.span, numbers))


def events(text: str, zone: datetime.tzinfo, where: str) -> list[Event]:
    """The shifts of a calendar. Components other than events are skipped.

    :param zone: the time zone of dates and of times without one.
    :raises InputError: when the calendar is no calendar, too large, or has an event that is not understood.
    """
    if len(text) > LARGEST:
        raise wrong(where, f"the calendar is larger than {LARGEST} letters", "Export a shorter period")
    lines = [line for line in re.sub(r"\r?\n[ \t]", "", text).splitlines() if line.strip()]
    if not lines or lines[0].strip().upper() != "BEGIN:VCALENDAR" or lines[-1].strip().upper() != "END:VCALENDAR":
        raise wrong(where, "the text is not an iCalendar file (BEGIN:VCALENDAR to END:VCALENDAR)", "Export the calendar again")
    found = [_event(number, properties, zone, where) for number, properties in enumerate(_components(lines, where), 1)]
    if len(found) > MOST:
        raise wrong(where, f"the calendar has more than {MOST} events", "Export a shorter period")
    return found


def _components(lines: list[str], where: str) -> t.Iterator[dict[str, tuple[dict[str, str], str]]]:
    """Name -> parameters and value of the properties of each event, without those of components inside of it."""
    inside: list[str] = []
    properties: dict[str, tuple[dict[str, str], str]] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if not match:
            raise wrong(where, f"{line[:60]!r} is not a line of an iCalendar file", "Export the calendar again")
        name, value = match.group(1).upper(), match.group(3)
        if name == "BEGIN":
            inside.append(value.strip().upper())
            properties = {} if inside[-1] == "VEVENT" else properties
        elif name == "END":
            if not inside or inside.pop() != value.strip().upper():
                raise wrong(where, f"END:{value[:40]} closes a component that is not open", "Export the calendar again")
            if value.strip().upper() == "VEVENT":
                yield properties
        elif inside[-1:] == ["VEVENT"]:
            parameters = dict(word.split("=", 1) for word in re.findall(r";([^;=]+=(?:\"[^\"]*\"|[^;])*)", match.group(2)))
            properties[name] = ({key.upper(): text.strip('"') for key, text in parameters.items()}, value)
    if inside:
        raise wrong(where, f"{inside[-1]} is not closed", "Export the calendar again")


def _event(number: int, properties: dict[str, tuple[dict[str, str], str]], zone: datetime.tzinfo, where: str) -> Event:
    person = _text(properties.get("SUMMARY", ({}, ""))[1]).strip()
    where = f"{where}, event {number}" + (f" ({person[:40]})" if person else "")
    refused = [name for name in _REFUSED if name in properties]
    if refused:
        raise wrong(where, f"{refused[0]} is not supported", "Make it events of their own, or use overrides")
    for name in ("SUMMARY", "DTSTART", "DTEND"):
        if not (properties.get(name, ({}, ""))[1]).strip():
            raise wrong(where, f"{name} is missing", "Add it")
    start = _moment(*properties["DTSTART"], zone, f"{where}, DTSTART")
    end = _moment(*properties["DTEND"], zone, f"{where}, DTEND")
    if times.in_utc(end) <= times.in_utc(start):
        raise wrong(where, "it ends before it begins", "Correct DTEND")
    weeks, count, until = _rule(properties["RRULE"][1], start, zone, f"{where}, RRULE") if "RRULE" in properties else (0, None, None)
    return Event(person, start, end, weeks, count, until)


def _text(value: str) -> str:
    """A value of the type TEXT (RFC 5545, 3.3.11)."""
    return re.sub(r"\\(.)", lambda match: {"n": " ", "N": " "}.get(match.group(1), match.group(1)), value)


def _moment(parameters: dict[str, str], value: str, zone: datetime.tzinfo, where: str) -> datetime.datetime:
    """A date or time, local with its zone. A date is its midnight."""
    value = value.strip()
    local = times.zone(parameters["TZID"], where) if "TZID" in parameters else zone
    for form in ("%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S", "%Y%m%d"):
        try:
            found = datetime.datetime.strptime(value, form)
        except ValueError:
            continue
        return found.replace(tzinfo=times.UTC if form.endswith("Z") else local)
    raise wrong(where, f"{value[:40]!r} is not a time", "Give one such as 20261102T090000")


def _rule(value: str, start: datetime.datetime, zone: datetime.tzinfo, where: str) -> tuple[int, int | None, datetime.datetime | None]:
    """Weeks, count and end of a repetition."""
    parts = {name.strip().upper(): text.strip() for name, _equals, text in (part.partition("=") for part in value.split(";") if part)}
    unknown = sorted(set(parts) - {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "WKST"})
    if parts.get("FREQ", "").upper() != "WEEKLY" or unknown or parts.get("BYDAY", _DAYS[start.weekday()]).upper() != _DAYS[start.weekday()]:
        raise wrong(where, f"{value[:80]!r} is not supported", "Repeat the event weekly, on the day on which it begins")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not re.fullmatch(r"0*[1-9]\d{0,3}", parts[name]):
            raise wrong(where, f"{name}={parts[name][:20]} is not a number from 1 to 9999", "Correct it")
    until = _moment({}, parts["UNTIL"], start.tzinfo or zone, f"{where}, UNTIL") if "UNTIL" in parts else None
    if until is not None and "T" not in parts["UNTIL"]:  # the whole day counts
        until += datetime.timedelta(days=1, seconds=-1)
    return (
        int(parts.get("INTERVAL", "1")),
        int(parts["COUNT"]) if "COUNT" in parts else None,
        None if until is None else times.in_utc(until),
    )
