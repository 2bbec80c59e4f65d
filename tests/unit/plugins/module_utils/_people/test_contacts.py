# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of people, on-call and escalation: what is read, and each mistake's sentence."""

from __future__ import annotations

import copy
import datetime
import zoneinfo

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._people import contacts, times
from ansible_collections.mobius.ops.plugins.module_utils._people.contacts import Channel, Level, Person
from ansible_collections.mobius.ops.plugins.module_utils._people.schedule import Override, Rotation

CALENDAR = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:{}\nDTSTART:20261102T090000Z\nDTEND:20261109T090000Z\nEND:VEVENT\nEND:VCALENDAR\n"
GOOD = {
    "contacts": {
        "channels": {"phone": {"fallback": "mail"}, "mail": None},
        "people": {"anna": {"name": "Anna Berg", "channels": ["phone", "mail"]}, "bert": {"channels": "mail"}},
    },
    "oncall": {
        "sre": {
            "people": ["anna", "bert"],
            "weekday": "Monday",
            "time": "10:00",
            "time_zone": "Europe/Berlin",
            "start": "2026-11-02",
            "overrides": [{"person": "bert", "from": "2026-11-03", "to": "2026-11-04 12:00"}],
            "calendar": CALENDAR.format("anna BERG"),
        }
    },
    "escalation": {"1": [{"after": 0, "notify": ["sre"]}, {"after": "15", "notify": ["bert", "mail"]}], 2: [], "3": None},
}


def test_what_is_right_is_read():
    found = contacts.directory(**GOOD)
    assert found.channels == {"phone": Channel("phone", "mail"), "mail": Channel("mail")}
    assert found.people == {"anna": Person("anna", "Anna Berg", ("phone", "mail")), "bert": Person("bert", "bert", ("mail",))}
    sre, zone = found.schedules["sre"], zoneinfo.ZoneInfo("Europe/Berlin")
    assert sre.rotation == Rotation(("anna", "bert"), datetime.date(2026, 11, 2), datetime.time(10), zone, 1)
    assert sre.overrides == (
        Override("bert", datetime.datetime(2026, 11, 2, 23, tzinfo=times.UTC), datetime.datetime(2026, 11, 4, 11, tzinfo=times.UTC)),
    )
    assert [event.person for event in sre.calendar] == ["anna"]
    assert found.chains == {1: (Level(0, ("sre",)), Level(15, ("bert", "mail"))), 2: (), 3: ()}


def test_nothing_is_right_too():
    assert contacts.directory({}, None, {}) == contacts.Directory({}, {}, {}, {})


@pytest.mark.parametrize("value, expected", [("09:30", (9, 30)), (600, (10, 0)), ("600", (10, 0)), ("23:59", (23, 59))])
def test_times_as_yaml_may_have_read_them(value, expected):
    assert times.time_of_day(value, "x") == datetime.time(*expected)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-11-03 12:00", "2026-11-03T11:00:00+00:00"),
        ("2026-11-03T12:00:00Z", "2026-11-03T12:00:00+00:00"),
        ("2026-11-03T12:00+03:00", "2026-11-03T09:00:00+00:00"),
        ("2026-07-03", "2026-07-02T22:00:00+00:00"),
    ],
)
def test_moments_with_and_without_an_offset(text, expected):
    assert times.moment(text, zoneinfo.ZoneInfo("Europe/Berlin"), "x").isoformat() == expected


C, ON, E = "mobius_contacts", "mobius_oncall", "mobius_escalation"


@pytest.mark.parametrize(
    "path, value, sentence",
    [
        ("contacts", [1], f"{C}: '[1]' is not a mapping. Give names with their values."),
        ("contacts.persons", {}, f"{C}: 'persons' is not a key. Use people, channels."),
        ("contacts.channels.Phone", {}, f"{C}.channels: 'Phone' is not an id. Use up to 40 lower-case letters, digits, '_' and '-'."),
        ("contacts.channels.a/b", {}, f"{C}.channels: 'a/b' is not an id. Use up to 40 lower-case letters, digits, '_' and '-'."),
        (
            "contacts.channels.phone.fallback",
            "pager",
            f"{C}.channels.phone.fallback: 'pager' is not a channel. Use one of mail, phone, or add it.",
        ),
        (
            "contacts.channels.mail",
            {"fallback": "phone"},
            f"{C}.channels.phone.fallback: the fallbacks go in a circle (phone -> mail -> phone). Leave one of them out.",
        ),
        ("contacts.channels.mail", {"url": "x"}, f"{C}.channels.mail: 'url' is not a key. Use fallback."),
        ("contacts.people.anna.channels", ["fax"], f"{C}.people.anna.channels: 'fax' is not a channel. Use one of mail, phone, or add it."),
        ("contacts.people.anna.channels", [{}], f"{C}.people.anna.channels: '[{{}}]' is not a list of ids. Give a list such as [anna]."),
        ("contacts.people.mail", {}, f"{C}: mail is both a channel and a person. Rename one of them."),
        ("oncall.anna", {}, f"{ON}: anna is both a person and a schedule. Rename one of them."),
        ("oncall.mail", {}, f"{ON}: mail is both a channel and a schedule. Rename one of them."),
        ("oncall.sre.persons", [], f"{ON}.sre: 'persons' is not a key. Use {', '.join(contacts._SCHEDULE)}."),
        ("oncall.sre.people", ["carl"], f"{ON}.sre.people: 'carl' is not a person. Use one of anna, bert, or add it."),
        ("oncall.sre.people", 3, f"{ON}.sre.people: '3' is not a list of ids. Give a list such as [anna]."),
        ("oncall.sre.weekday", "someday", f"{ON}.sre.weekday: 'someday' is not a weekday. Give one such as monday."),
        ("oncall.sre.time", "25:00", f"{ON}.sre.time: '25:00' is not a time of day. Give one such as '09:00'."),
        ("oncall.sre.time", 6000, f"{ON}.sre.time: 6000 is not a time of day. Give one such as '09:00'."),
        ("oncall.sre.time_zone", "Mars", f"{ON}.sre.time_zone: 'Mars' is not a time zone. Give an IANA name such as Europe/Berlin."),
        ("oncall.sre.time_zone", "../UTC", f"{ON}.sre.time_zone: '../UTC' is not a time zone. Give an IANA name such as Europe/Berlin."),
        ("oncall.sre.time_zone", "Europe", f"{ON}.sre.time_zone: 'Europe' is not a time zone. Give an IANA name such as Europe/Berlin."),
        ("oncall.sre.start", None, f"{ON}.sre.start: the date of the first hand-over is missing. Add it, such as 2026-11-02."),
        ("oncall.sre.start", "soon", f"{ON}.sre.start: 'soon' is not a date. Give one such as 2026-11-02."),
        ("oncall.sre.start", "2026-11-03", f"{ON}.sre.start: 2026-11-03 is a tuesday. Give a monday, or change weekday."),
        ("oncall.sre.weeks", 0, f"{ON}.sre.weeks: 0 is not a whole number from 1 to 52. Correct it."),
        ("oncall.sre.weeks", 1.5, f"{ON}.sre.weeks: 1.5 is not a whole number from 1 to 52. Correct it."),
        ("oncall.sre.weeks", "x", f"{ON}.sre.weeks: 'x' is not a number from 0 to 52. Correct it."),
        ("oncall.sre.overrides", {}, None),
        ("oncall.sre.overrides", "x", f"{ON}.sre.overrides: the value is not a list. Give a list of {{person, from, to}}."),
        (
            "oncall.sre.overrides",
            [{"person": "bert", "from": "2026-11-03"}],
            f"{ON}.sre.overrides[0]: to is missing. Give {{person, from, to}}.",
        ),
        (
            "oncall.sre.overrides",
            [{"person": "carl", "from": "2026-11-03", "to": "2026-11-04"}],
            f"{ON}.sre.overrides[0].person: 'carl' is not a person. Use one of anna, bert, or add it.",
        ),
        (
            "oncall.sre.overrides",
            [{"person": "bert", "from": "2026-11-03", "to": "later"}],
            f"{ON}.sre.overrides[0].to: 'later' is not a time. Give one such as '2026-12-24 18:00'.",
        ),
        (
            "oncall.sre.overrides",
            [{"person": "bert", "from": "2026-11-03", "to": "2026-11-03"}],
            f"{ON}.sre.overrides[0]: it ends before it begins. Correct from or to.",
        ),
        ("oncall.sre.calendar", CALENDAR.format("Carl"), f"{ON}.sre.calendar: 'Carl' is not a person. Name one of anna, bert in SUMMARY."),
        (
            "oncall.sre.calendar",
            "oncall.ics",
            f"{ON}.sre.calendar: the text is not an iCalendar file (BEGIN:VCALENDAR to END:VCALENDAR). Export the calendar again.",
        ),
        ("escalation.5", [], f"{E}: '5' is not a severity. Use 1, 2, 3 or 4."),
        ("escalation.1", {"after": 0}, f"{E}.1: the value is not a list. Give a list of {{after, notify}}."),
        ("escalation.1", [{"after": 0, "call": []}], f"{E}.1[0]: 'call' is not a key. Use after, notify."),
        (
            "escalation.1",
            [{"after": 5, "notify": ["sre"]}, {"after": 5, "notify": ["mail"]}],
            f"{E}.1[1].after: 5 is not later than the 5 minutes of the level before. Order the levels by time.",
        ),
        ("escalation.1", [{"after": -1, "notify": ["sre"]}], f"{E}.1[0].after: '-1' is not a number from 0 to 40320. Correct it."),
        ("escalation.1", [{"after": True, "notify": ["sre"]}], f"{E}.1[0].after: 'True' is not a number from 0 to 40320. Correct it."),
        ("escalation.1", [{"after": "nan", "notify": ["sre"]}], f"{E}.1[0].after: 'nan' is not a number from 0 to 40320. Correct it."),
        (
            "escalation.1",
            [{"notify": ["cto"]}],
            f"{E}.1[0].notify: 'cto' is not a schedule, person or channel. Use one of anna, bert, mail, phone, sre, or add it.",
        ),
    ],
)
def test_a_mistake_is_one_sentence(path, value, sentence):
    given = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    place = given
    for step in way:
        place = place[step]
    place[last] = value
    if sentence is None:
        assert contacts.directory(**given)
        return
    with pytest.raises(InputError) as caught:
        contacts.directory(**given)
    assert str(caught.value) == sentence


def test_a_machine_without_a_time_zone_database(monkeypatch):
    old = zoneinfo.TZPATH
    monkeypatch.setitem(__import__("sys").modules, "tzdata", None)
    try:
        zoneinfo.reset_tzpath(to=["/nonexistent"])
        zoneinfo.ZoneInfo.clear_cache()
        with pytest.raises(InputError) as caught:
            contacts.directory(**GOOD)
    finally:
        zoneinfo.reset_tzpath(to=old)
    assert str(caught.value) == f"{ON}.sre.time_zone: this machine has no time zone database. Install the package tzdata."
