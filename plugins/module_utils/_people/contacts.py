# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings ``mobius_contacts``, ``mobius_oncall`` and ``mobius_escalation`` as frozen values, or one sentence on what is wrong."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import icalendar, times
from .schedule import Override, Rotation, Schedule
from .times import wrong

CONTACTS, ONCALL, ESCALATION = "mobius_contacts", "mobius_oncall", "mobius_escalation"
#: An id is a part of file names.
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SCHEDULE = ("people", "weekday", "time", "time_zone", "start", "weeks", "overrides", "calendar")
#: Minutes of a level at most: four weeks.
_LATEST = 40320


@dataclasses.dataclass(frozen=True)
class Channel:
    """A way to reach someone. Its URL is kept elsewhere, under the same id."""

    id: str
    #: The channel that gets a message when this one fails; empty for none.
    fallback: str = ""


@dataclasses.dataclass(frozen=True)
class Person:
    """Someone who can be called."""

    id: str
    name: str
    #: Ids of channels, all of which are used.
    channels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Level:
    """A step of an escalation chain."""

    #: Minutes after the incident was opened.
    after: float
    #: Ids of schedules, people and channels.
    notify: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Directory:
    """All of it, each by its id; chains by severity."""

    channels: dict[str, Channel]
    people: dict[str, Person]
    schedules: dict[str, Schedule]
    chains: dict[int, tuple[Level, ...]]


def directory(contacts: t.Any, oncall: t.Any, escalation: t.Any) -> Directory:
    """The three settings, checked. :raises InputError: with the place of the first mistake."""
    given = _keys(contacts, CONTACTS, ("people", "channels"))
    channels = _channels(_named(given.get("channels"), f"{CONTACTS}.channels"))
    people = {name: _person(name, one, channels) for name, one in _named(given.get("people"), f"{CONTACTS}.people").items()}
    schedules = {name: _schedule(name, one, people) for name, one in _named(oncall, ONCALL).items()}
    kinds: dict[str, t.Collection[str]] = {"channel": channels, "person": people, "schedule": schedules}
    for kind, others in (("person", ("channel",)), ("schedule", ("channel", "person"))):
        for other in others:
            twice = sorted(set(kinds[kind]) & set(kinds[other]))
            if twice:
                raise wrong(ONCALL if kind == "schedule" else CONTACTS, f"{twice[0]} is both a {other} and a {kind}", "Rename one of them")
    return Directory(channels, people, schedules, _chains(escalation, {*channels, *people, *schedules}))


def _object(value: t.Any, where: str) -> t.Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(where, f"{str(value)[:60]!r} is not a mapping", "Give names with their values")
    return {str(name): each for name, each in value.items()}


def _keys(value: t.Any, where: str, known: tuple[str, ...]) -> t.Mapping[str, object]:
    found = _object(value, where)
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise wrong(where, f"{unknown[0]!r} is not a key", f"Use {', '.join(known)}")
    return found


def _named(value: t.Any, where: str) -> t.Mapping[str, object]:
    found = _object(value, where)
    for name in found:
        if not _ID.fullmatch(name):
            raise wrong(where, f"{name[:60]!r} is not an id", "Use up to 40 lower-case letters, digits, '_' and '-'")
    return found


def _words(value: t.Any, where: str) -> tuple[str, ...]:
    """A list of ids; one by itself counts as a list of one."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise wrong(where, f"{str(value)[:60]!r} is not a list of ids", "Give a list such as [anna]")
    return tuple(dict.fromkeys(given))


def _known(names: t.Iterable[str], known: t.Collection[str], where: str, what: str) -> None:
    for name in names:
        if name not in known:
            raise wrong(where, f"{name[:60]!r} is not {what}", f"Use one of {', '.join(sorted(known)) or 'none'}, or add it")


def _channels(given: t.Mapping[str, object]) -> dict[str, Channel]:
    found = {}
    for name, one in given.items():
        where = f"{CONTACTS}.channels.{name}"
        found[name] = Channel(name, str(_keys(one, where, ("fallback",)).get("fallback") or ""))
    for name, channel in found.items():
        where, seen = f"{CONTACTS}.channels.{name}.fallback", [name]
        while channel.fallback:
            _known([channel.fallback], found, where, "a channel")
            if channel.fallback in seen:
                raise wrong(where, f"the fallbacks go in a circle ({' -> '.join([*seen, channel.fallback])})", "Leave one of them out")
            seen.append(channel.fallback)
            channel = found[channel.fallback]
    return found


def _person(name: str, given: t.Any, channels: dict[str, Channel]) -> Person:
    where = f"{CONTACTS}.people.{name}"
    one = _keys(given, where, ("name", "channels"))
    ways = _words(one.get("channels") or [], f"{where}.channels")
    _known(ways, channels, f"{where}.channels", "a channel")
    return Person(name, str(one.get("name") or name), ways)


def _schedule(name: str, given: t.Any, people: dict[str, Person]) -> Schedule:
    where = f"{ONCALL}.{name}"
    one = _keys(given, where, _SCHEDULE)
    zone = times.zone(one.get("time_zone", "UTC"), f"{where}.time_zone")
    known = {alias.lower(): person.id for person in people.values() for alias in (person.name, person.id)}
    calendar = []
    for event in icalendar.events(str(one["calendar"]), zone, f"{where}.calendar") if one.get("calendar") else ():
        if event.person.lower() not in known:
            names = ", ".join(sorted(people)) or "none"
            raise wrong(f"{where}.calendar", f"{event.person[:60]!r} is not a person", f"Name one of {names} in SUMMARY")
        calendar.append(dataclasses.replace(event, person=known[event.person.lower()]))
    overrides = one.get("overrides") or []
    if not isinstance(overrides, list):
        raise wrong(f"{where}.overrides", "the value is not a list", "Give a list of {person, from, to}")
    return Schedule(
        name,
        zone,
        _rotation(one, zone, where, people),
        tuple(_override(each, zone, f"{where}.overrides[{at}]", people) for at, each in enumerate(overrides)),
        tuple(calendar),
    )


def _rotation(one: t.Mapping[str, object], zone: t.Any, where: str, people: dict[str, Person]) -> Rotation | None:
    turns = one.get("people") or []
    if isinstance(turns, str):
        turns = [turns]
    if not isinstance(turns, list):
        raise wrong(f"{where}.people", f"{str(turns)[:60]!r} is not a list of ids", "Give a list such as [anna]")
    if not turns:
        return None
    _known(map(str, turns), people, f"{where}.people", "a person")
    if not one.get("start"):
        raise wrong(f"{where}.start", "the date of the first hand-over is missing", "Add it, such as 2026-11-02")
    start = times.day(one["start"], f"{where}.start")
    named = times.weekday(one.get("weekday", times.WEEKDAYS[start.weekday()]), f"{where}.weekday")
    if named != start.weekday():
        raise wrong(
            f"{where}.start", f"{start} is a {times.WEEKDAYS[start.weekday()]}", f"Give a {times.WEEKDAYS[named]}, or change weekday"
        )
    weeks = _number(one.get("weeks", 1), f"{where}.weeks", 52)
    if weeks not in range(1, 53):
        raise wrong(f"{where}.weeks", f"{one['weeks']!r} is not a whole number from 1 to 52", "Correct it")
    return Rotation(tuple(map(str, turns)), start, times.time_of_day(one.get("time", "09:00"), f"{where}.time"), zone, int(weeks))


def _number(value: t.Any, where: str, most: float) -> float:
    try:
        found = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = -1.0
    if not 0 <= found <= most:
        raise wrong(where, f"{str(value)[:60]!r} is not a number from 0 to {most:g}", "Correct it")
    return found


def _override(given: t.Any, zone: t.Any, where: str, people: dict[str, Person]) -> Override:
    one = _keys(given, where, ("person", "from", "to"))
    for key in ("person", "from", "to"):
        if not one.get(key):
            raise wrong(where, f"{key} is missing", "Give {person, from, to}")
    _known([str(one["person"])], people, f"{where}.person", "a person")
    start, end = (times.moment(one[key], zone, f"{where}.{key}") for key in ("from", "to"))
    if end <= start:
        raise wrong(where, "it ends before it begins", "Correct from or to")
    return Override(str(one["person"]), start, end)


def _chains(given: t.Any, known: set[str]) -> dict[int, tuple[Level, ...]]:
    found = {}
    for severity, value in _object(given, ESCALATION).items():
        where, levels = f"{ESCALATION}.{severity}", value or []
        if severity not in ("1", "2", "3", "4"):
            raise wrong(ESCALATION, f"{severity[:60]!r} is not a severity", "Use 1, 2, 3 or 4")
        if not isinstance(levels, list):
            raise wrong(where, "the value is not a list", "Give a list of {after, notify}")
        chain = tuple(_level(level, f"{where}[{at}]", known) for at, level in enumerate(levels))
        for at, (before, after) in enumerate(zip(chain, chain[1:]), 1):
            if after.after <= before.after:
                raise wrong(
                    f"{where}[{at}].after",
                    f"{after.after:g} is not later than the {before.after:g} minutes of the level before",
                    "Order the levels by time",
                )
        found[int(severity)] = chain
    return found


def _level(given: t.Any, where: str, known: set[str]) -> Level:
    one = _keys(given, where, ("after", "notify"))
    names = _words(one.get("notify") or [], f"{where}.notify")
    _known(names, known, f"{where}.notify", "a schedule, person or channel")
    return Level(_number(one.get("after", 0), f"{where}.after", _LATEST), names)
