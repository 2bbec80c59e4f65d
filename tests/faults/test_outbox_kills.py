# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SIGKILL right before every step of the outbox: no message is lost, and one is repeated only when its receiver had answered."""
from __future__ import annotations

import os

import pytest
from support import paging
from support.killing import killed_before
from support.paging import CHANNELS, MINUTES, Paged

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._people import outbox

#: What changes a file or reaches a receiver. A kill right before each, and right after the receiver's answer.
STEPS = ((os, "replace"), (os, "link"), (os, "unlink"), (os, "fsync"), (os, "mkdir"), (fs, "append_line"),
         (Paged, "send"), (Paged, "answer"))
#: Of every so many steps one is tried in a short run, and as many parts do all of them in a long one.
EVERY = 16


def wanted(incidents: int) -> set[tuple[str, str]]:
    """Incident with level, and channel, of every message."""
    return {(f"INC-20261103-{number}, level {level}", channel)
            for number in range(1, incidents + 1) for level in range(1, len(MINUTES) + 1) for channel in CHANNELS}


def unrecorded(paged: Paged) -> set[str]:
    """Keys of messages that a receiver got and whose file does not say so: the only ones that may be repeated."""
    box = outbox.Outbox(paged.layout)
    done = {each.key for each in map(box.read, box.names()) if each and each.status == outbox.SENT}
    return {each["key"] for each in paged.messages()} - done


def check(paged: Paged, incidents: int, allowed: set[str]) -> None:
    """Every message has arrived, and those that may be repeated were, with their keys."""
    assert {(one, channel) for _at, one, channel in paged.got()} == wanted(incidents)
    assert set(paged.repeated()) == allowed
    assert len({each["key"] for each in paged.messages()}) == len(wanted(incidents))


@pytest.mark.parts(quick=1, long=EVERY)
def test_a_run_is_killed_before_each_of_its_steps(tmp_path, part):
    number, kills, repeats = 1 + part, 0, 0
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        paged = Paged(str(folder))
        for incident in (1, 2):
            paged.open(incident)
        paged.at(MINUTES[-1])
        name = killed_before(number, paged.run, effects=STEPS)
        allowed = unrecorded(paged)
        assert len(allowed) <= len(CHANNELS)  # a message of each channel is on its way
        paged.run()
        check(paged, 2, allowed)
        if not name:
            break
        kills, repeats, number = kills + 1, repeats + len(allowed), number + EVERY
    assert kills > 10 and (repeats or part)


@pytest.mark.parametrize("minute", MINUTES)
def test_a_run_that_is_killed_at_a_level_keeps_the_minutes_of_the_others(tmp_path, minute, chance):
    paged = Paged(str(tmp_path))
    paged.open()
    allowed: set[str] = set()
    for at in range(70):
        paged.at(at)
        if at == minute:
            assert killed_before(chance.randint(1, 20), paged.run, effects=STEPS)
            allowed = unrecorded(paged)
        else:
            paged.run()
    check(paged, 1, allowed)
    for each in paged.messages():
        due = MINUTES[int(paging.level(each).rpartition(" ")[2]) - 1]
        assert each["at"] in ((due, due + 1) if due == minute else (due,))


@pytest.mark.parametrize("incidents", [5, pytest.param(1000, marks=pytest.mark.long)])
def test_many_incidents_and_runs_that_are_killed_again_and_again(tmp_path, incidents, chance, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a killed process loses nothing that it has written
    paged = Paged(str(tmp_path))
    for number in range(1, incidents + 1):
        paged.open(number)
    allowed: set[str] = set()
    kills = 0
    for minute in MINUTES:
        paged.at(minute)
        while killed_before(chance.randint(1, max(40, incidents * 8)), paged.run, effects=STEPS):
            kills += 1
            allowed |= unrecorded(paged)
    paged.run()
    check(paged, incidents, allowed)
    assert kills >= 5 and {each["at"] for each in paged.messages()} == set(MINUTES)
