# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SIGKILL right before every step of the outbox: no message is lost, and one is repeated only when its receiver had answered.

``make test-faults ARGS="-k outbox_kills --incidents 1000"`` has a thousand at a time.
"""

from __future__ import annotations

import collections
import os

import pytest
from support import paging
from support.killing import begun, killed_before
from support.paging import CHANNELS, MINUTES, Paged

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._people import outbox

#: What changes a file or reaches a receiver. A kill right before each, and right after the receiver's answer.
STEPS = (
    (os, "replace"),
    (os, "link"),
    (os, "unlink"),
    (os, "fsync"),
    (os, "mkdir"),
    (fs, "append_line"),
    (Paged, "send"),
    (Paged, "answer"),
)
#: Of every so many steps one is tried in a short run, and as many parts do all of them in a long one.
EVERY = 16
#: Level -> minute at which it is due.
DUE = dict(enumerate(MINUTES, 1))


class Killed(Paged):
    """A host whose runs are killed, on a simulated clock; its incidents, and the messages that may be repeated."""

    def __init__(self, folder: str, incidents: int) -> None:
        super().__init__(folder)
        self.names: list[str] = []
        self.incidents = incidents
        self.seen = 0
        self.allowed: set[str] = set()
        self.kills: collections.Counter[str] = collections.Counter()

    def begin(self, monkeypatch: pytest.MonkeyPatch) -> Killed:
        """Open the incidents."""
        monkeypatch.setattr(clock, "now", lambda: self.now)
        self.names = [self.opened(number) for number in range(self.incidents)]
        return self

    def kill(self, number: int, only: str = "") -> str:
        """Kill a run before a step of it; the step's name, or nothing when the run came to its end before."""
        name = killed_before(number, self.run, only, STEPS)
        self.note(name)
        return name

    def note(self, *names: str) -> None:
        """Note kills, and which messages a receiver got whose files do not say so: the only ones that may be repeated."""
        box, every = outbox.Outbox(self.layout), self.messages()
        for each in every[self.seen :]:
            incident, number = paging.level(each).split(", level ")
            found = box.read((incident, int(number) - 1, each["channel"]))
            if found is None or found.status != outbox.SENT:
                self.allowed.add(each["key"])
        self.seen = len(every)
        self.kills.update(filter(None, names))

    def check(self, due: dict[int, tuple[float, ...]] | None = None) -> None:
        """Every message has arrived, at its minute, and only those that may be were repeated, with their keys.

        :param due: level -> minutes at one of which it has to be paged.
        """
        minutes = due or {level: (minute,) for level, minute in DUE.items()}
        got = collections.defaultdict(set)
        for each in self.messages():
            incident, number = paging.level(each).split(", level ")
            got[incident, int(number), each["channel"]].add(each["key"])
            assert each["at"] in minutes[int(number)], each
        assert set(got) == {(name, number, channel) for name in self.names for number in DUE for channel in CHANNELS}
        assert all(len(keys) == 1 for keys in got.values()) and len({key for keys in got.values() for key in keys}) == len(got)
        assert set(self.repeated()) == self.allowed
        for name in self.names:  # the log of the incident knows each page once
            noted = self.noted(name)
            assert [(number, channels) for _minute, number, channels in noted] == [(number, CHANNELS) for number in DUE], noted
            assert all(minute in minutes[number] for minute, number, _channels in noted), noted


@pytest.mark.parts(quick=1, long=EVERY)
def test_a_run_is_killed_before_each_of_its_steps(tmp_path, part, monkeypatch):
    number, kills, repeats = 1 + part, 0, 0
    while True:
        paged = Killed(str(tmp_path / str(number)), 2)
        with monkeypatch.context() as simulated:
            paged.begin(simulated).at(MINUTES[-1])
            name = paged.kill(number)
            assert len(paged.allowed) <= len(CHANNELS)  # a message of each channel is on its way
            paged.run()
            paged.check(dict.fromkeys(DUE, (MINUTES[-1],)))
        if not name:
            break
        kills, repeats, number = kills + 1, repeats + len(paged.allowed), number + EVERY
    assert kills > 10 and (repeats or part)


@pytest.mark.parametrize("minute", MINUTES)
def test_a_run_that_is_killed_at_a_level_keeps_the_minutes_of_the_others(tmp_path, minute, chance, monkeypatch):
    paged = Killed(str(tmp_path), 1).begin(monkeypatch)
    for at in range(70):
        paged.at(at)
        if at == minute:
            assert paged.kill(chance.randint(1, 20))
        else:
            paged.run()
    paged.check({level: (due, due + 1) if due == minute else (due,) for level, due in DUE.items()})


def test_many_incidents_and_runs_that_are_killed_again_and_again(tmp_path, incidents, chance, monkeypatch, capsys):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a killed process loses nothing that it has written
    paged = Killed(str(tmp_path), incidents).begin(monkeypatch)
    for minute in MINUTES:
        paged.at(minute)
        paged.kill(1, only="mkdir")  # a run has one; all others come by chance
        while paged.kill(chance.randint(1, max(40, incidents))):
            pass
    paged.run()
    paged.check()
    every = paged.messages()
    keys, kills = {each["key"] for each in every}, sum(paged.kills.values())
    with capsys.disabled():
        print(
            f"\n{incidents} incidents, {len(DUE)} levels, {len(CHANNELS)} channels: {len(keys)} messages arrived, 0 lost, "
            f"{len(every) - len(keys)} repeated with their keys; {kills} kills {dict(paged.kills)}"
        )
    assert kills >= 5 and (incidents < 100 or set(paged.kills) == {step for _owner, step in STEPS})


def test_runs_at_the_same_time_of_which_some_are_killed_and_one_was_missed(tmp_path, incidents, chance, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    paged = Killed(str(tmp_path), incidents).begin(monkeypatch)
    for minute in (0, 0, 15, 20, 60, 60):  # that of minute 30 was missed
        paged.at(minute)
        runs = [begun(chance.randint(1, 12 * incidents), paged.run, "", STEPS) for _run in range(3)]
        paged.note(*[run.end() for run in runs])
        paged.run()  # what a killed run left to do
    paged.check({1: (0,), 2: (15,), 3: (60,), 4: (60,)})
    assert paged.kills
