# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is on call at a moment, and until when: a weekly rotation, a calendar, and overrides. Pure functions; the caller gives the time.

An override wins over the calendar, and the calendar wins over the rotation. Of overrides that overlap, the last in the list wins; of events
that overlap, the one that began last.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from . import times
from .icalendar import Event

#: How far ahead the next change of person is looked for.
HORIZON = datetime.timedelta(weeks=104)


@dataclasses.dataclass(frozen=True)
class Rotation:
    """People who take turns, each for the same number of weeks."""

    people: tuple[str, ...]
    #: When the first person takes over: a date, whose weekday is the one of all hand-overs, and a local time.
    start: datetime.date
    time: datetime.time
    zone: datetime.tzinfo
    weeks: int = 1

    def handover(self, number: int) -> datetime.datetime:
        """The moment in UTC of a hand-over; the first is 0."""
        date = self.start + datetime.timedelta(weeks=self.weeks * number)
        return times.in_utc(datetime.datetime.combine(date, self.time, self.zone))

    def turn(self, now: datetime.datetime) -> int:
        """The number of the latest hand-over; below 0 before the first."""
        days = (now.astimezone(self.zone).date() - self.start).days
        number = days // (7 * self.weeks)
        return number if number < 0 or self.handover(number) <= now else number - 1

    def person(self, now: datetime.datetime) -> str | None:
        """Whose turn it is; nobody's before the first hand-over."""
        turn = self.turn(now)
        return self.people[turn % len(self.people)] if turn >= 0 and self.people else None


@dataclasses.dataclass(frozen=True)
class Override:
    """One person takes over from another, from one moment to another (UTC)."""

    person: str
    start: datetime.datetime
    end: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Schedule:
    """An on-call duty."""

    name: str
    zone: datetime.tzinfo
    rotation: Rotation | None = None
    overrides: tuple[Override, ...] = ()
    calendar: tuple[Event, ...] = ()


@dataclasses.dataclass(frozen=True)
class Duty:
    """Who is on call, and until when."""

    person: str | None
    #: When another person, or nobody, takes over (UTC); ``None`` when that is not within :data:`HORIZON`.
    until: datetime.datetime | None
    #: Who takes over then.
    then: str | None


def person(schedule: Schedule, now: datetime.datetime) -> str | None:
    """Who is on call at a moment; ``None`` when nobody is."""
    override = next((each for each in reversed(schedule.overrides) if each.start <= now < each.end), None)
    if override:
        return override.person
    shifts = [(start, event.person) for event in schedule.calendar for start, end in event.near(now) if start <= now < end]
    if shifts:
        return max(shifts, key=lambda shift: shift[0])[1]
    return schedule.rotation.person(now) if schedule.rotation else None


def duty(schedule: Schedule, now: datetime.datetime) -> Duty:
    """Who is on call at a moment, and when that changes."""
    current, at = person(schedule, now), now
    while at - now < HORIZON:
        following = min(_changes(schedule, at), default=None)
        if following is None:
            break
        at = following
        if person(schedule, at) != current:
            return Duty(current, at, person(schedule, at))
    return Duty(current, None, None)


def _changes(schedule: Schedule, now: datetime.datetime) -> t.Iterator[datetime.datetime]:
    """Moments after *now* at which the person may change; the next one is among them."""
    ends = [(each.start, each.end) for each in schedule.overrides]
    ends += [span for event in schedule.calendar for span in event.near(now)]
    for span in ends:
        yield from (moment for moment in span if moment > now)
    if schedule.rotation and schedule.rotation.people:
        yield schedule.rotation.handover(max(0, schedule.rotation.turn(now) + 1))
