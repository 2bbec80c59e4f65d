# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is on call, and until when: rotations across clock changes, overrides, calendars."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._people import icalendar, schedule, times
from ansible_collections.mobius.ops.plugins.module_utils._people.schedule import Duty, Override, Rotation, Schedule

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")


def utc(text):
    """A moment in UTC from ``2026-11-02 08:00``."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=times.UTC)


def weekly(people="ab", start="2026-11-02", time="09:00", zone=BERLIN, **more):
    """A schedule with a rotation of people with names of one letter."""
    rotation = Rotation(tuple(people), datetime.date.fromisoformat(start), datetime.time.fromisoformat(time), zone, more.pop("weeks", 1))
    return Schedule("sre", zone, rotation, **more)


@pytest.mark.parametrize(
    "now, expected",
    [
        ("2026-11-02 07:59", None),  # before the first hand-over, 09:00 in Berlin
        ("2026-11-02 08:00", "a"),
        ("2026-11-09 07:59", "a"),
        ("2026-11-09 08:00", "b"),
        ("2026-11-16 08:00", "a"),
        ("2030-01-07 08:00", "a"),
        ("2030-01-14 08:00", "b"),
    ],
)
def test_people_take_turns_at_the_local_time_of_the_hand_over(now, expected):
    assert schedule.person(weekly(), utc(now)) == expected


def test_a_turn_of_two_weeks():
    two = weekly("abc", weeks=2)
    turns = [schedule.person(two, utc("2026-11-02 08:00") + datetime.timedelta(weeks=week)) for week in range(7)]
    assert "".join(turns) == "aabbcca"
    assert schedule.duty(two, utc("2026-11-10 00:00")) == Duty("a", utc("2026-11-16 08:00"), "b")


@pytest.mark.parametrize(
    "zone, start, before, after",
    [
        # 09:00 is 08:00 UTC in winter and 07:00 in summer; clocks change on 2026-03-29 and 2026-10-25
        (BERLIN, "2026-03-23", "2026-03-30 06:59", "2026-03-30 07:00"),
        (BERLIN, "2026-10-19", "2026-10-26 07:59", "2026-10-26 08:00"),
        # clocks change on 2026-03-08 and 2026-11-01
        (NEW_YORK, "2026-03-02", "2026-03-09 12:59", "2026-03-09 13:00"),
        (NEW_YORK, "2026-10-26", "2026-11-02 13:59", "2026-11-02 14:00"),
    ],
)
def test_the_hand_over_keeps_its_local_time_when_clocks_change(zone, start, before, after):
    both = weekly(start=start, zone=zone)
    assert [schedule.person(both, utc(now)) for now in (before, after)] == ["a", "b"]
    assert schedule.duty(both, utc(before)) == Duty("a", utc(after), "b")


@pytest.mark.parametrize(
    "start, time, moment",
    [
        ("2026-03-22", "02:30", "2026-03-29 01:30"),  # 02:30 does not occur on 29 March: the clock shows 03:30
        ("2026-10-18", "02:30", "2026-10-25 00:30"),
    ],
)  # 02:30 occurs twice on 25 October: the first, in summer time
def test_a_hand_over_within_the_hour_that_is_skipped_or_repeated(start, time, moment):
    both, second = weekly(start=start, time=time), datetime.timedelta(seconds=1)
    assert [schedule.person(both, utc(moment) - second), schedule.person(both, utc(moment))] == ["a", "b"]
    # nobody is called twice, and no moment of that day is without a person
    day = [schedule.person(both, utc(moment) + datetime.timedelta(minutes=5 * step)) for step in range(-150, 150)]
    assert day == ["a"] * 150 + ["b"] * 150


def test_every_quarter_of_an_hour_of_a_year_has_one_person_and_weeks_change_only_at_hand_overs():
    both, now, changes = weekly("abc", start="2026-01-05"), utc("2026-01-05 08:00"), []
    previous = schedule.person(both, now)
    while now < utc("2027-01-05 00:00"):
        current = schedule.person(both, now)
        assert current in "abc"
        if current != previous:
            changes.append(now.astimezone(BERLIN))
        previous, now = current, now + datetime.timedelta(minutes=15)
    assert len(changes) == 52 and {(each.weekday(), each.hour, each.minute) for each in changes} == {(0, 9, 0)}


def test_an_override_wins_and_the_last_of_those_that_overlap():
    covered = weekly(
        overrides=(
            Override("c", utc("2026-11-03 00:00"), utc("2026-11-05 00:00")),
            Override("d", utc("2026-11-04 00:00"), utc("2026-11-04 12:00")),
        )
    )
    moments = [
        "2026-11-02 23:59",
        "2026-11-03 00:00",
        "2026-11-03 23:59",
        "2026-11-04 00:00",
        "2026-11-04 11:59",
        "2026-11-04 12:00",
        "2026-11-04 23:59",
        "2026-11-05 00:00",
    ]
    assert "".join(schedule.person(covered, utc(now)) for now in moments) == "accddcca"
    assert schedule.duty(covered, utc("2026-11-02 09:00")) == Duty("a", utc("2026-11-03 00:00"), "c")
    assert schedule.duty(covered, utc("2026-11-03 09:00")) == Duty("c", utc("2026-11-04 00:00"), "d")
    assert schedule.duty(covered, utc("2026-11-04 09:00")) == Duty("d", utc("2026-11-04 12:00"), "c")


def test_an_override_that_goes_on_over_a_hand_over_hides_it():
    covered = weekly(overrides=(Override("c", utc("2026-11-08 00:00"), utc("2026-11-10 00:00")),))
    assert schedule.duty(covered, utc("2026-11-08 12:00")) == Duty("c", utc("2026-11-10 00:00"), "b")


def test_an_override_of_the_person_whose_turn_it_is_changes_nothing():
    covered = weekly(overrides=(Override("a", utc("2026-11-03 00:00"), utc("2026-11-05 00:00")),))
    assert schedule.duty(covered, utc("2026-11-02 12:00")) == Duty("a", utc("2026-11-09 08:00"), "b")


def test_a_rotation_of_one_never_changes():
    assert schedule.duty(weekly("a"), utc("2026-11-03 00:00")) == Duty("a", None, None)


def test_nobody_is_on_call_before_the_first_hand_over_and_without_a_rotation():
    assert schedule.duty(weekly(), utc("2026-10-01 00:00")) == Duty(None, utc("2026-11-02 08:00"), "a")
    assert schedule.duty(Schedule("sre", BERLIN), utc("2026-11-03 00:00")) == Duty(None, None, None)
    only = Schedule("sre", BERLIN, overrides=(Override("a", utc("2026-11-03 00:00"), utc("2026-11-04 00:00")),))
    assert schedule.duty(only, utc("2026-11-03 00:00")) == Duty("a", utc("2026-11-04 00:00"), None)
    assert schedule.duty(only, utc("2026-11-04 00:00")) == Duty(None, None, None)


def event(person, start, end, **more):
    """A shift in local time of Berlin."""
    return icalendar.Event(person, *(datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN) for text in (start, end)), **more)


def test_a_calendar_wins_over_the_rotation_and_of_its_events_the_one_that_began_last():
    both = weekly(calendar=(event("c", "2026-11-03 00:00", "2026-11-05 00:00"), event("d", "2026-11-04 00:00", "2026-11-06 00:00")))
    moments = ["2026-11-02 22:59", "2026-11-02 23:00", "2026-11-03 23:00", "2026-11-04 23:00", "2026-11-05 22:59", "2026-11-05 23:00"]
    assert "".join(schedule.person(both, utc(now)) for now in moments) == "acddda"
    assert schedule.duty(both, utc("2026-11-03 12:00")) == Duty("c", utc("2026-11-03 23:00"), "d")


def test_events_that_repeat_every_two_weeks_alternate_across_clock_changes():
    turns = Schedule(
        "sre",
        BERLIN,
        calendar=(event("a", "2026-10-12 09:00", "2026-10-19 09:00", weeks=2), event("b", "2026-10-19 09:00", "2026-10-26 09:00", weeks=2)),
    )
    assert [schedule.person(turns, utc(now)) for now in ("2026-10-26 07:59", "2026-10-26 08:00", "2026-11-02 08:00")] == ["b", "a", "b"]
    assert schedule.duty(turns, utc("2026-10-20 00:00")) == Duty("b", utc("2026-10-26 08:00"), "a")


def test_a_repetition_ends_by_its_count_or_its_time():
    counted = Schedule("sre", BERLIN, calendar=(event("a", "2026-11-02 09:00", "2026-11-03 09:00", weeks=1, count=2),))
    assert [schedule.person(counted, utc(f"2026-11-{day} 12:00")) for day in ("02", "09", "16")] == ["a", "a", None]
    until = Schedule("sre", BERLIN, calendar=(event("a", "2026-11-02 09:00", "2026-11-03 09:00", weeks=1, until=utc("2026-11-09 08:00")),))
    assert [schedule.person(until, utc(f"2026-11-{day} 12:00")) for day in ("02", "09", "16")] == ["a", "a", None]
    assert schedule.duty(until, utc("2026-11-03 12:00")) == Duty(None, utc("2026-11-09 08:00"), "a")


def test_a_shift_longer_than_its_interval_lasts_to_its_own_end():
    long = Schedule("sre", BERLIN, calendar=(event("a", "2026-11-02 09:00", "2026-11-19 09:00", weeks=1, count=2),))
    assert schedule.duty(long, utc("2026-11-25 12:00")) == Duty("a", utc("2026-11-26 08:00"), None)
