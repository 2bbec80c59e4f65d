# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read of an iCalendar file, and what is refused."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._people import icalendar, times

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
GOOD = {"SUMMARY": "anna", "DTSTART;TZID=Europe/Berlin": "20261102T090000", "DTEND;TZID=Europe/Berlin": "20261109T090000"}


def calendar(*events, extra=()):
    """The text of a calendar."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//a//b//EN", *extra]
    for properties in events:
        lines += ["BEGIN:VEVENT", *(f"{name}:{value}" for name, value in properties.items()), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def read(*events, extra=()):
    """The shifts of a calendar."""
    return icalendar.events(calendar(*events, extra=extra), BERLIN, "cal")


def at(text):
    """A moment in UTC."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=times.UTC)


def test_a_shift_with_a_time_zone():
    (event,) = read(GOOD)
    assert event.person == "anna" and event.span(0) == (at("2026-11-02 08:00"), at("2026-11-09 08:00")) and event.span(1) is None


@pytest.mark.parametrize(
    "name, start, expected",
    [
        ("DTSTART", "20261102T090000Z", "2026-11-02 09:00"),
        ("DTSTART", "20261102T090000", "2026-11-02 08:00"),
        ("DTSTART;VALUE=DATE", "20261102", "2026-11-01 23:00"),
        ('DTSTART;TZID="America/New_York"', "20261102T090000", "2026-11-02 14:00"),
        ('dtstart;tzid=America/New_York;X-A="b;c:d"', "20261102T090000", "2026-11-02 14:00"),
    ],
)
def test_times_in_utc_local_as_dates_and_in_other_zones(name, start, expected):
    (event,) = read({"SUMMARY": "anna", name: start, "DTEND": "20261109T090000Z"})
    assert event.span(0)[0] == at(expected)


@pytest.mark.parametrize(
    "rule, weeks, count, until",
    [
        ("FREQ=WEEKLY", 1, None, None),
        ("FREQ=WEEKLY;INTERVAL=3;WKST=MO", 3, None, None),
        ("freq=weekly;COUNT=4;BYDAY=MO", 1, 4, None),
        ("FREQ=WEEKLY;UNTIL=20261130T080000Z", 1, None, "2026-11-30 08:00"),
        ("FREQ=WEEKLY;UNTIL=20261130T090000", 1, None, "2026-11-30 08:00"),
        ("FREQ=WEEKLY;UNTIL=20261130", 1, None, "2026-11-30 22:59:59"),
    ],
)
def test_weekly_rules(rule, weeks, count, until):
    (event,) = read({**GOOD, "RRULE": rule})
    assert (event.weeks, event.count, event.until) == (weeks, count, until and at(until))


def test_a_repetition_keeps_its_local_time_when_clocks_change():
    (event,) = read(
        {
            "SUMMARY": "a",
            "DTSTART;TZID=Europe/Berlin": "20261019T090000",
            "DTEND;TZID=Europe/Berlin": "20261026T090000",
            "RRULE": "FREQ=WEEKLY",
        }
    )
    assert [event.span(number)[0] for number in (0, 1)] == [at("2026-10-19 07:00"), at("2026-10-26 08:00")]


def test_folded_lines_escapes_alarms_and_zones_of_its_own():
    zone = [
        "BEGIN:VTIMEZONE",
        "TZID:Europe/Berlin",
        "BEGIN:STANDARD",
        "DTSTART:19701025T030000",
        "RRULE:FREQ=YEARLY",
        "END:STANDARD",
        "END:VTIMEZONE",
    ]
    text = calendar(extra=zone).replace(
        "END:VCALENDAR",
        "\r\n".join(
            [
                "BEGIN:VEVENT",
                "SUMMARY:Berg\\, An",
                " na",
                "DTSTART:20261102T090000Z",
                "BEGIN:VALARM",
                "DTSTART:19700101T000000Z",
                "DURATION:PT15M",
                "SUMMARY:ring",
                "END:VALARM",
                "DTEND:20261103T090000Z",
                "END:VEVENT",
                "END:VCALENDAR",
            ]
        ),
    )
    (event,) = icalendar.events(text, BERLIN, "cal")
    assert event.person == "Berg, Anna" and event.span(0)[0] == at("2026-11-02 09:00")


def test_a_repetition_stops_at_the_end_of_time():
    (event,) = read({**GOOD, "RRULE": "FREQ=WEEKLY;INTERVAL=9999"})
    assert event.span(9999) is None and list(event.near(at("2026-11-05 00:00")))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"RRULE": "FREQ=DAILY"}, "cal, event 1 (anna), RRULE: 'FREQ=DAILY' is not supported. Repeat the event weekly, on the day"),
        ({"RRULE": "FREQ=WEEKLY;BYDAY=MO,TU"}, "is not supported"),
        ({"RRULE": "FREQ=WEEKLY;BYDAY=TU"}, "is not supported"),
        ({"RRULE": "FREQ=WEEKLY;BYHOUR=3"}, "is not supported"),
        ({"RRULE": ""}, "is not supported"),
        ({"RRULE": "FREQ=WEEKLY;INTERVAL=0"}, "INTERVAL=0 is not a number from 1 to 9999"),
        ({"RRULE": "FREQ=WEEKLY;COUNT=x"}, "COUNT=x is not a number from 1 to 9999"),
        ({"RRULE": "FREQ=WEEKLY;UNTIL=x"}, "UNTIL: 'x' is not a time"),
        ({"EXDATE": "20261102T090000"}, "EXDATE is not supported. Make it events of their own, or use overrides."),
        ({"RDATE": "20261102T090000"}, "RDATE is not supported"),
        ({"RECURRENCE-ID": "20261102T090000"}, "RECURRENCE-ID is not supported"),
        ({"DURATION": "P7D"}, "DURATION is not supported"),
        ({"SUMMARY": " "}, "cal, event 1: SUMMARY is missing. Add it."),
        ({"DTSTART;TZID=Europe/Berlin": ""}, "DTSTART is missing"),
        ({"DTEND;TZID=Europe/Berlin": "20261102T090000"}, "cal, event 1 (anna): it ends before it begins. Correct DTEND."),
        ({"DTSTART;TZID=Europe/Berlin": "tomorrow"}, "DTSTART: 'tomorrow' is not a time. Give one such as 20261102T090000."),
        ({"DTEND;TZID=Europe/Berlin": "20261302T090000"}, "is not a time"),
        ({"DTEND;TZID=Mars/Olympus": "20261110T090000"}, "'Mars/Olympus' is not a time zone. Give an IANA name such as Europe/Berlin."),
    ],
)
def test_what_is_not_understood_is_refused(change, words):
    with pytest.raises(InputError) as caught:
        read({**GOOD, **change})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "cal: the text is not an iCalendar file (BEGIN:VCALENDAR to END:VCALENDAR). Export the calendar again."),
        ("hello", "is not an iCalendar file"),
        (calendar().replace("VERSION:2.0", "VERSION"), "'VERSION' is not a line of an iCalendar file"),
        (calendar(extra=["BEGIN:VEVENT"]), "END:VCALENDAR closes a component that is not open"),
        ("BEGIN:VCALENDAR\nBEGIN:VCALENDAR\nEND:VCALENDAR", "VCALENDAR is not closed"),
        (calendar(extra=["END:VEVENT"]), "END:VEVENT closes a component that is not open"),
        (calendar() + " " * icalendar.LARGEST, "the calendar is larger than 1000000 letters. Export a shorter period."),
    ],
)
def test_a_damaged_calendar(text, words):
    with pytest.raises(InputError) as caught:
        icalendar.events(text, BERLIN, "cal")
    assert words in str(caught.value)


def test_too_many_events():
    with pytest.raises(InputError, match="the calendar has more than 2000 events"):
        read(*[{"SUMMARY": "a", "DTSTART": "20261102T090000Z", "DTEND": "20261109T090000Z"}] * (icalendar.MOST + 1))
