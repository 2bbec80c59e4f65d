# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paging follows the events of an incident: it ends with them, goes on by hand, and begins again with a reopening."""

from __future__ import annotations

import pytest
from support.paging import Paged

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, locks
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._incidents import escalating
from ansible_collections.mobius.ops.plugins.module_utils._people import outbox
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_record, incidents


@pytest.fixture
def paged(tmp_path, monkeypatch):
    made = Paged(str(tmp_path))
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


def opened(paged, **facts):
    return incidents.open_incident(paged.layout, {"title": "Renders fail", "severity": 1, "env": "production", **facts})["id"]


def levels(paged):
    """Minute and level of what the receivers got, each once."""
    return sorted({(at, int(level.rpartition(" ")[2])) for at, level, _channel in paged.got()})


def pages(paged, name):
    """The levels that the record of an incident knows to be paged."""
    return [event["level"] for event in incident_record.read(paged.layout, name)["events"] if event["what"] == "paged"]


def test_what_was_paged_is_in_the_incident(paged):
    name = opened(paged)
    paged.run(0)
    paged.run(15)
    record = incident_record.read(paged.layout, name)
    assert pages(paged, name) == [1, 2] and set(record["events"][-1]["channels"]) == {"phone", "mail", "room"}
    with open(paged.layout.path("incidents", name + ".md"), encoding="utf-8") as stream:
        assert "paged: level 2; through" in stream.read().replace("\\_", "_")


def test_pages_that_a_killed_run_did_not_note_are_noted_by_the_next_one(paged, monkeypatch):
    name = opened(paged)
    with monkeypatch.context() as patch:

        def full(*_words):
            raise OSError(28, "No space left on device")

        patch.setattr(incidents, "note_pages", full)
        assert len(paged.run(0)["sent"]) == 3 and pages(paged, name) == []
    paged.run(1)
    paged.run(2)
    assert pages(paged, name) == [1] and levels(paged) == [(0, 1)]


def test_a_process_that_hangs_with_the_lock_of_incidents_delays_no_page(paged, monkeypatch):
    names = [opened(paged) for _number in range(3)]
    monkeypatch.setattr(incident_record, "PATIENCE", 0.05)
    asked = []
    monkeypatch.setattr(incidents, "note_pages", lambda *words, real=incidents.note_pages: asked.append(words[1]) or real(*words))
    with locks.locked(paged.layout.path("state", "incidents.lock")):
        assert len(paged.run(0)["sent"]) == 9
    assert asked == names[:1], "one wait a run"
    paged.run(1)
    assert [pages(paged, name) for name in names] == [[1], [1], [1]]


@pytest.mark.parametrize("what", ["acknowledged", "resolved"])
def test_paging_ends(paged, what):
    name = opened(paged)
    paged.run(0)
    paged.down = {"phone"}
    paged.run(15)
    incidents.change(paged.layout, name, what)
    paged.down = set()
    for minute in (16, 30, 60):
        paged.run(minute)
    assert levels(paged) == [(0, 1), (15, 2)]
    box = outbox.Outbox(paged.layout)
    assert box.read((name, 1, "phone")).status == "cancelled"


def test_an_escalation_pages_the_next_level_also_when_it_is_acknowledged(paged):
    name = opened(paged)
    paged.run(0)
    incidents.acknowledge(paged.layout, name)
    paged.at(5)
    changed, _record, said = escalating.escalate(paged.layout, name, "no progress", False)
    assert changed and said == f"{name} is escalated: the next run of mobius.ops.escalate pages level 2."
    paged.run(6)
    for minute in (15, 30, 60):
        paged.run(minute)
    assert levels(paged) == [(0, 1), (6, 2)] and pages(paged, name) == [1, 2]
    assert "delayed by 1 min" in paged.messages()[-1]["title"]


def test_an_escalation_of_one_that_is_open_takes_no_level_from_the_chain(paged):
    name = opened(paged)
    paged.run(0)
    paged.at(5)
    escalating.escalate(paged.layout, name, "", False)
    for minute in (5, 15, 30, 60):
        paged.run(minute)
    assert levels(paged) == [(0, 1), (5, 2), (30, 3), (60, 4)]


def test_two_escalations_are_two_levels_and_the_chain_has_an_end(paged):
    name = opened(paged)
    paged.run(0)
    for _level in (2, 3, 4):
        escalating.escalate(paged.layout, name, "", False)
    with pytest.raises(StateError, match=r"all 4 levels of its chain were paged\. Call the people that ansible-playbook mobius"):
        escalating.escalate(paged.layout, name, "", False)
    paged.run(1)
    assert levels(paged) == [(0, 1), (1, 2), (1, 3), (1, 4)]
    incidents.change(paged.layout, name, "resolved")
    assert not paged.run(2)["sent"]


def test_a_check_of_an_escalation_changes_nothing(paged):
    name = opened(paged)
    assert escalating.escalate(paged.layout, name, "", True)[0]
    assert [event["what"] for event in incident_record.read(paged.layout, name)["events"]] == ["opened"]


def test_a_reopening_pages_from_the_first_level_again(paged):
    name = opened(paged)
    paged.down = {"phone"}
    paged.run(0)
    incidents.acknowledge(paged.layout, name)
    incidents.change(paged.layout, name, "resolved")
    paged.at(20)
    incidents.change(paged.layout, name, "reopened")
    paged.down = set()
    for minute in (20, 34, 35):
        paged.run(minute)
    assert levels(paged) == [(0, 1), (20, 1), (35, 2)]
    assert pages(paged, name) == [1, 1, 2]
    assert len({each["key"] for each in paged.messages()}) == 2 + 3 + 3, "messages of the new round are no repetitions of the old ones"
    box = outbox.Outbox(paged.layout)
    assert box.read((name, 0, "phone")).status == "cancelled"


def test_messages_of_a_reopened_incident_are_removed_with_it(paged):
    name = opened(paged)
    incidents.change(paged.layout, name, "resolved")
    incidents.change(paged.layout, name, "reopened")
    paged.run(0)
    box = outbox.Outbox(paged.layout)
    assert {each[0] for each in box.names()} == {name + "_r1"}
    incidents.change(paged.layout, name, "resolved")
    paged.run(31 * 24 * 60)
    assert box.names() == []


def test_the_messages_say_what_the_updates_said(paged):
    name = opened(paged, summary="exit 234", severity=1)
    incidents.change(paged.layout, name, "updated", affected="all renders", done="encoder installed")
    paged.run(0)
    body = paged.messages()[0]["body"]
    assert "Affected: all renders\n" in body and "Known and done: exit 234; encoder installed\n" in body
