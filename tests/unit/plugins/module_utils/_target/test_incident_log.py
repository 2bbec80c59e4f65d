# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the events of an incident add up to."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_log, incident_page

NOON = clock.parse("2026-11-27T12:00:00Z")


def at(minutes):
    return clock.iso(NOON + datetime.timedelta(minutes=minutes))


def record(*events, severity=2, **facts):
    """A record: each event is its minute, its kind and its facts."""
    opened = {"when": at(0), "what": "opened", "who": "ada", "why": "", "title": "Renders fail", "severity": severity, "summary": ""}
    return {
        "id": "INC-20261127-1",
        "env": "production",
        "opened": at(0),
        "events": [opened, *({"who": "ada", "why": "", **more, "when": at(minute), "what": what} for minute, what, more in events)],
        **facts,
    }


def clocks(told):
    """Name -> minute by which it is due, and minute at which it was done."""
    return {
        each.name: ((each.due - NOON).total_seconds() / 60, (each.met - NOON).total_seconds() / 60 if each.met else None)
        for each in incident_log.clocks(told)
    }


@pytest.mark.parametrize("severity, minutes", [(1, 15), (2, 60), (3, 240), (4, 1440)])
def test_the_response_has_the_time_of_its_severity(severity, minutes):
    assert clocks(record(severity=severity))["response"] == (minutes, None)
    assert clocks(record((20, "updated", {"severity": 1}), severity=severity))["response"] == (15, 20)


@pytest.mark.parametrize("what", ["acknowledged", "updated", "escalated", "resolved"])
def test_what_a_person_does_is_a_response_and_a_page_is_none(what):
    assert clocks(record((7, what, {})))["response"][1] == 7
    assert clocks(record((7, "paged", {"level": 1}), (8, "gathered", {}), (9, "again", {})))["response"][1] is None


def test_the_phases_and_their_clocks():
    told = record()
    assert incident_log.phase(told) == "initial response" and clocks(told) == {"response": (60, None), "investigation": (240, None)}
    told = record((10, "acknowledged", {}))
    assert incident_log.phase(told) == "investigation" and clocks(told)["initial response"] == (25, None)
    told = record((10, "acknowledged", {}), (20, "updated", {"reached": ["root_cause"]}))
    assert incident_log.phase(told) == "resolution"
    assert (clocks(told)["initial response"], clocks(told)["investigation"]) == ((25, 20), (240, 20))
    told = record((10, "acknowledged", {}), (300, "resolved", {}))
    assert incident_log.phase(told) == "post-incident" and clocks(told)["review"] == (300 + 72 * 60, None)
    told = record((300, "resolved", {}), (400, "reviewed", {}))
    assert incident_log.phase(told) == "closed" and all(met is not None for _due, met in clocks(told).values())


def test_the_clocks_after_a_rollback():
    told = record((30, "updated", {"reached": ["stability", "report"]}), rollback=at(5))
    assert clocks(told) == {
        "stability": (5, 30),
        "response": (60, 30),
        "root cause": (65, None),
        "report": (245, 30),
        "prevention": (24 * 60 + 5, None),
    }
    over = record((30, "resolved", {}), rollback=at(5))
    assert clocks(over)["prevention"][1] is None, "an end does not find prevention measures"


def test_a_clock_is_late_right_after_its_minute():
    (response, _other) = incident_log.clocks(record(severity=1))
    assert not response.overdue(response.due) and response.overdue(response.due + datetime.timedelta(seconds=1))
    done = next(each for each in incident_log.clocks(record((99, "acknowledged", {}))) if each.name == "response")
    assert not done.overdue(NOON + datetime.timedelta(days=9))


@pytest.mark.parametrize(
    "severity, itself, rollback, wanted",
    [(3, True, None, False), (4, True, None, False), (2, True, None, True), (3, False, None, True), (3, True, at(0), True)],
)
def test_what_is_mild_and_resolved_by_itself_needs_no_review(severity, itself, rollback, wanted):
    told = record((5, "resolved", {"itself": itself}), severity=severity, rollback=rollback)
    assert ("review" in clocks(told)) == wanted


def test_reopening_begins_again():
    told = record(
        (5, "acknowledged", {}), (6, "paged", {"level": 1}), (7, "escalated", {"level": 2}), (9, "resolved", {}), (60, "reopened", {})
    )
    state = incident_log.state(told)
    assert (state.status, state.round, state.acknowledged, state.paged, state.forced) == ("open", 1, None, frozenset(), {})
    assert state.since == NOON + datetime.timedelta(minutes=60) and clocks(told)["response"] == (120, None)
    assert incident_log.state({**told, "events": told["events"][:4]}).forced == {2: NOON + datetime.timedelta(minutes=7)}


@pytest.mark.parametrize(
    "change, status",
    [
        ({}, "open"),
        ({"status": "closed"}, "resolved"),
        ({"opened": None, "status": "done"}, "resolved"),
        ({"acknowledged": {"when": at(3), "who": "bert"}}, "acknowledged"),
        ({"opened": "yesterday"}, "open"),
    ],
)
def test_records_of_an_earlier_version(change, status):
    told = {"id": "INC-1", "title": "old", "severity": 2, "status": "open", "opened": at(0), "opened_by": "ada", **change}
    assert incident_log.state(told).status == status
    assert incident_page.markdown(told).startswith("# INC-1: old\n") and "# Review of INC-1: old" in incident_page.review(told, NOON)


@pytest.mark.parametrize("severity", [None, 0, 7, True, "2", []])
def test_an_unknown_severity_counts_as_the_worst(severity):
    assert incident_log.level(severity).name == "critical"
    told = {"id": "INC-1", "title": "old", "severity": severity, "opened": at(0)}
    assert "Severity unknown, counts as 1 (critical)" in incident_page.markdown(told)


def test_sentences_of_the_timeline():
    said = [
        incident_log.sentence({"who": "ada", "why": "", **event})
        for event in (
            {"what": "updated", "done": "restarted", "affected": "renders", "severity": 1, "reached": ["root_cause"], "why": "a leak"},
            {"what": "paged", "level": 2, "channels": ["anna_phone", "room"]},
            {"what": "again", "title": "Renders fail"},
            {"what": "resolved", "itself": True, "why": "v3 was verified"},
        )
    ]
    assert said == [
        "updated by ada: severity 1; affected: renders; done: restarted; reached: root cause; a leak",
        "paged: level 2; through anna_phone, room",
        "occurred again: Renders fail",
        "resolved by itself: v3 was verified",
    ]
