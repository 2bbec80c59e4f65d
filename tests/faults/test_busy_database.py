# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups of a database that several processes write to: each is one moment of it, and no acknowledged commit is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t

import pytest
from support import bank
from support.state import State
from support.waiting import wait_until


class Bank:
    """A database in a root, its writers, and another root to restore into."""

    def __init__(self, folder: str, state: State, journal: str) -> None:
        self.state = state
        self.path = state.path("database/mobius.db")
        self.noted = os.path.join(folder, "acknowledged")
        self.other = State(os.path.join(folder, "other"), state.runner)
        self.processes: list[subprocess.Popen[bytes]] = []
        bank.create(self.path, journal)
        for number in range(bank.WRITERS):
            bank.note(self.noted, number, 0)

    def open(self, checkpoints: bool = False) -> None:
        """Start the writers. Without checkpoints all that they write stays in the WAL."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for what in [*map(str, range(bank.WRITERS)), *["checkpoint"] * checkpoints]:
            command = [sys.executable, "-m", "support.bank", what, self.path, self.noted, "50" if checkpoints else "0"]
            self.processes.append(subprocess.Popen(command, env=environment))
        before = bank.acknowledged(self.noted)
        wait_until(lambda: all(now > then for now, then in zip(bank.acknowledged(self.noted), before)), "the writers write")

    def kill(self) -> None:
        """SIGKILL to all: what they left in the WAL or a journal is all that there is."""
        for process in self.processes:
            assert process.poll() is None, "a writer failed"
            process.kill()
            process.wait()
        self.processes = []

    def back_up_and_compare(self) -> list[int]:
        """One backup, restored elsewhere: the counters in it."""
        before = bank.acknowledged(self.noted)
        made = self.state.backup(components=["database"]).good()
        after = bank.acknowledged(self.noted)
        assert not made["problems"]
        self.other.restore(made["archive"], safety_backup=False).good()
        self.check_files()
        counters = bank.check(self.other.path("database/mobius.db"))
        for least, found, most in zip(before, counters, after):
            assert least <= found <= most + 1, (before, counters, after)  # one may be committed and not yet noted
        return counters

    def check_files(self) -> None:
        """The database is alone, but for the journal or WAL of a writer that was killed before it had begun to change the database.

        Such a file has no header yet (it is empty, or zeros), so SQLite ignores it. It is kept as any other file.
        """
        folder = self.other.path("database")
        beside = sorted(set(os.listdir(folder)) - {"mobius.db"})
        assert beside in ([], ["mobius.db-journal"], ["mobius.db-wal"])
        for name in beside:
            with open(os.path.join(folder, name), "rb") as stream:
                assert not stream.read(8).strip(b"\0")


@pytest.fixture
def busy(tmp_path: t.Any, state: State) -> t.Iterator[t.Callable[[str], Bank]]:
    """``busy(journal)``: a bank; its writers are gone after the test."""
    made: list[Bank] = []

    def open_one(journal: str) -> Bank:
        made.append(Bank(str(tmp_path), state, journal))
        return made[-1]

    yield open_one
    for one in made:
        for process in one.processes:
            process.kill()
            process.wait()


def test_wal_database_under_busy_writers(busy, long):
    """50 of 50, with checkpoints in between and writers that die."""
    one = busy("wal")
    counters: list[list[int]] = []
    number = 50 if long else 6
    one.open()
    for index in range(number):
        counters.append(one.back_up_and_compare())
        if index % 5 == 2:
            one.kill()
            counters.append(one.back_up_and_compare())
            one.open(checkpoints=index % 10 == 2)
    assert len(counters) >= number
    for earlier, later in zip(counters, counters[1:]):
        assert all(now >= then for now, then in zip(later, earlier))
    assert all(now > then for now, then in zip(counters[-1], counters[0]))
    assert {backup["status"] for backup in one.state.info(verify="deep")} == {"verified"}


@pytest.mark.parametrize("journal", ["delete", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("truncate", "persist"))])
def test_other_journals(busy, journal, long):
    one = busy(journal)
    counters = []
    one.open()
    for index in range(10 if long else 2):
        counters.append(one.back_up_and_compare())
        if index % 5 == 1:
            one.kill()
            counters.append(one.back_up_and_compare())
            one.open()
    assert counters == sorted(counters)
