# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which level of a chain is due, and whom it reaches."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._people import contacts, escalation, times
from ansible_collections.mobius.ops.plugins.module_utils._people.escalation import Page

OPENED = datetime.datetime(2026, 11, 3, 12, tzinfo=times.UTC)
CONTACTS = {
    "channels": {"phone": {}, "mail": {}, "room": {}},
    "people": {"anna": {"channels": ["phone", "mail"]}, "bert": {"channels": []}, "eve": {"channels": ["mail"]}},
}
ONCALL = {
    "sre": {
        "people": ["anna"],
        "start": "2026-11-02",
        "overrides": [{"person": "bert", "from": "2026-11-04 00:00", "to": "2026-11-05 00:00"}],
    },
    "empty": {},
}


def after(minutes):
    """A moment so many minutes after the incident was opened."""
    return OPENED + datetime.timedelta(minutes=minutes)


def directory(*levels, **chains):
    """A directory whose chain of severity 1 has levels of ``(minutes, names…)``."""
    chain = [{"after": minutes, "notify": list(names)} for minutes, *names in levels]
    return contacts.directory(CONTACTS, ONCALL, {"1": chain, **chains})


def due(*levels, decided=(), minutes=0.0, opened=OPENED):
    """Number, minutes since the opening and channels of each level that is due."""
    people = directory(*levels)
    pages = escalation.due(people, people.chains[1], opened, decided, opened + datetime.timedelta(minutes=minutes))
    assert all(isinstance(page, Page) for page in pages)
    return [(page.level, (page.due - opened).total_seconds() / 60, *page.channels) for page in pages]


THREE = ((0, "sre", "room"), (15, "eve"), (60, "room"))


@pytest.mark.parametrize(
    "minutes, decided, expected",
    [
        (0, (), [(0, 0, "phone", "mail", "room")]),
        (14.99, (0,), []),
        (15, (0,), [(1, 15, "mail")]),
        (59, (0, 1), []),
        (60, (0, 1), [(2, 60, "room")]),
        (10_000, (0, 1, 2), []),
        (20, (), [(0, 0, "phone", "mail", "room"), (1, 15, "mail")]),  # runs were missed
        (-1, (), []),
    ],
)  # a clock that went back
def test_each_level_is_due_at_its_minute(minutes, decided, expected):
    assert due(*THREE, minutes=minutes, decided=decided) == expected


def test_a_level_that_reaches_nobody_is_skipped_at_once():
    assert due((0,), (15, "eve"), (60, "room")) == [(0, 0), (1, 0, "mail")]
    assert due((0, "empty"), (15, "empty"), (60, "room")) == [(0, 0), (1, 0), (2, 0, "room")]
    assert due((0, "eve"), (15, "empty"), (60, "room"), decided=(0,), minutes=15) == [(1, 15), (2, 15, "room")]
    assert due((0, "empty"), (15, "eve"), (60, "room"), minutes=15, decided=(0, 1)) == []  # the third keeps its own time


def test_nobody_on_call_or_a_person_without_a_channel_leads_to_the_next_level():
    day = OPENED + datetime.timedelta(days=1)  # bert is on call, and has no channel
    assert due((0, "sre"), (15, "eve"), opened=day) == [(0, 0), (1, 0, "mail")]
    assert due((0, "bert"), (15, "eve")) == [(0, 0), (1, 0, "mail")]


def test_a_chain_that_reaches_nobody_stays_undecided():
    assert due((0, "empty"), (15, "bert"), minutes=100) == []


def test_a_channel_of_several_names_is_used_once():
    assert due((0, "anna", "eve", "mail", "sre")) == [(0, 0, "phone", "mail")]


def test_a_severity_without_a_chain_has_the_next_worse_one():
    people = directory((0, "room"), **{"3": [{"after": 5, "notify": ["eve"]}]})
    afters = {severity: escalation.chain(people, severity)[0].after for severity in (1, 2, 3, 4)}
    assert afters == {1: 0, 2: 0, 3: 5, 4: 5}
    assert [escalation.chain(people, odd)[0].after for odd in (None, 0, 7, "critical", True)] == [0] * 5
    milder = contacts.directory(CONTACTS, {}, {"3": [{"after": 5, "notify": ["eve"]}]})
    assert escalation.chain(milder, 1)[0].after == 5
    assert escalation.chain(contacts.directory({}, {}, {}), 1) == ()


def test_a_severity_with_an_empty_chain_pages_nobody():
    assert escalation.chain(directory((0, "room"), **{"4": []}), 4) == ()
