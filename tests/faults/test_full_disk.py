# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks that are full from the beginning, or become so in the middle, or fail: a clear sentence, and nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import typing as t

import pytest
from support import processes, trees
from support.processes import Ended, Process
from support.state import State
from support.waiting import wait_until

#: How a message may say that there is no space.
NO_SPACE = re.compile(r"free for|room for|No space left")
#: What a file system does when it is full, over its quota, or breaks; and the calls that can say so.
FAILURES = {
    "ENOSPC": "write,pwrite64,writev,mkdir,mkdirat,symlink,symlinkat,rename,renameat,renameat2,link,linkat,"
    "fallocate,copy_file_range,sendfile",
    "EDQUOT": "write,pwrite64",
    "EIO": "fsync,fdatasync,write,pwrite64,ftruncate,rename,read,pread64,getdents64,utimensat",
}


def data(state: State, chance: t.Any) -> None:
    """Some megabytes, most of which do not compress."""
    state.fill(chance, files=16, size=400_000)
    state.settle()


def filled(process: Process, fill: t.Callable[[], t.Any]) -> Ended:
    """Wait until a module has stopped itself (``stop``), fill the disk, and let it go on to its end."""
    wait_until(lambda: process.stopped() or not process.running(), "the module begins to write")
    assert process.stopped(), process.wait()
    fill()
    process.signal(signal.SIGCONT)
    return process.wait()


def check_outcomes(outcomes: list[bool], least: int) -> None:
    """The first runs failed, *least* at least, and those with more room succeeded."""
    assert outcomes == sorted(outcomes, reverse=True) and sum(outcomes) >= least and not outcomes[-1], outcomes


class SmallDest:
    """A disk for backups, with one backup on it."""

    def __init__(self, state: State, new_disk: t.Callable[[int], t.Any], chance: t.Any) -> None:
        self.state, self.large = state, 64_000_000
        data(state, chance)
        self.disk = new_disk(self.large)
        self.before = state.facts()
        self.size = state.backup(dest=self.disk.path).good()["size"]
        self.held = trees.digests(self.disk.path)

    def check(self, ended: Ended) -> bool:
        """Whether the backup failed, and failed well; the disk is large and as it was after that."""
        if ended.status:
            assert NO_SPACE.search(ended.sentence()), ended.sentence()
            assert trees.digests(self.disk.path) == self.held
            assert sorted(os.listdir(self.disk.path)) == sorted(self.held)
        offered = self.state.info(dest=self.disk.path, verify="deep")
        assert {one["status"] for one in offered} == {"verified"} and len(offered) == 2 - bool(ended.status)
        assert self.disk.resize(self.large)
        self.state.backup(dest=self.disk.path).good()
        for name in set(os.listdir(self.disk.path)) - set(self.held):
            assert re.fullmatch(r"dhash_.*\.zip(\.sha256)?", name)
            os.unlink(os.path.join(self.disk.path, name))
        assert trees.digests(self.disk.path) == self.held and self.state.facts() == self.before
        return bool(ended.status)


def test_backup_onto_a_small_disk(state, new_disk, chance, long):
    small = SmallDest(state, new_disk, chance)
    outcomes = []
    steps = 12 if long else 4
    for room in [0, 4096, *(small.size * step // steps for step in range(1, steps)), small.size * 3]:
        assert small.disk.resize(small.disk.used + room)
        outcomes.append(small.check(state.backup(dest=small.disk.path)))
    check_outcomes(outcomes, 1)


def test_backup_disk_fills_while_it_is_written(state, new_disk, chance, long):
    small = SmallDest(state, new_disk, chance)
    outcomes = []
    steps = 24 if long else 5
    for step in [*range(steps), steps * 3]:
        room = small.size * step // steps
        process = state.runner.start("backup", state.options(dest=small.disk.path), stop=r"\.partial$")
        outcomes.append(small.check(filled(process, lambda room=room: small.disk.resize(small.disk.used + room))))
    check_outcomes(outcomes, steps // 2)


class SmallRoot:
    """A root on a disk of its own; backups are elsewhere, of a state that is not there any more."""

    def __init__(self, tmp_path: t.Any, runner: processes.Runner, new_disk: t.Callable[[int], t.Any], chance: t.Any) -> None:
        self.large = 128_000_000
        self.disk = new_disk(self.large)
        self.state = State(os.path.join(self.disk.path, "mobius"), runner)
        data(self.state, chance)
        (tmp_path / "away").mkdir()
        self.archive = self.state.backup(dest=str(tmp_path / "away")).good()["archive"]
        self.state.restore(self.archive, safety_backup=False).good()
        self.restored = self.state.facts()
        data(self.state, chance)
        self.state.put("uploads/only here.txt", b"new")
        self.state.settle()
        self.other = self.state.backup(dest=str(tmp_path / "away")).good()["archive"]
        self.state.restore(self.other, safety_backup=False).good()
        self.before = self.state.facts()
        self.size = sum(os.lstat(path).st_size for path in trees.walk(self.state.shared))

    def check(self, ended: Ended) -> bool:
        """Whether the restore failed, and failed well; the state is the one before again after that."""
        state = self.state
        if ended.status:
            assert NO_SPACE.search(ended.sentence()), ended.sentence()
            assert state.facts() == self.before, trees.difference(state.facts(), self.before)
            assert state.debris() == []
        else:
            assert state.facts() == self.restored
        assert {one["status"] for one in state.info(verify="deep")} <= {"verified"}
        assert self.disk.resize(self.large)
        state.restore(self.archive, safety_backup=False).good()
        assert state.facts() == self.restored and state.debris() == []
        state.restore(self.other, safety_backup=False).good()
        for name in os.listdir(state.backups):
            os.unlink(os.path.join(state.backups, name))
        assert state.facts() == self.before and state.debris() == []
        return bool(ended.status)


def test_restore_onto_a_small_disk(tmp_path, runner, new_disk, chance, long):
    small = SmallRoot(tmp_path, runner, new_disk, chance)
    outcomes = []
    steps = 12 if long else 4
    for room in [0, 4096, *(small.size * step // steps for step in range(1, steps)), small.size * 4]:
        assert small.disk.resize(small.disk.used + room)
        outcomes.append(small.check(small.state.restore(small.archive)))
    check_outcomes(outcomes, 1)


@pytest.mark.parametrize("what", ["stage", "safety backup"])
def test_restore_disk_fills_while_it_is_written(tmp_path, runner, new_disk, chance, long, what):
    small = SmallRoot(tmp_path, runner, new_disk, chance)
    pattern = {"stage": r"^\.restore-", "safety backup": r"\.partial$"}[what]
    outcomes = []
    steps = 20 if long else 4
    for step in [*range(steps), steps * 4]:
        room = small.size * step // steps
        process = small.state.runner.start("backup_restore", small.state.options(archive=small.archive), stop=pattern)
        outcomes.append(small.check(filled(process, lambda room=room: small.disk.resize(small.disk.used + room))))
    check_outcomes(outcomes, steps // 2)


def failing_calls(process: Process, log: str, calls: str, often: int) -> list[tuple[str, int]]:
    """The calls of a run in which nothing fails; of those that it makes all the time, some."""
    ended, made = processes.calls_of(process, calls, log)
    ended.good()
    return [(name, number) for name, count in sorted(made.items()) for number in range(1, count + 1, max(1, count // often))]


def fail_at(process: Process, log: str, error: str, name: str, number: int) -> tuple[Ended, str]:
    """Let one system call fail; the end, and the call (of several threads, several; "" when it was not reached)."""
    with processes.traced(process, "-e", "trace=" + name, "-e", f"inject={name}:error={error}:when={number}", log=log):
        ended = process.wait()
    with open(log, errors="replace") as stream:
        return ended, "".join(line for line in stream if "(INJECTED)" in line)


def unanswered(ended: Ended, call: str) -> bool:
    """Whether the module could not read its arguments, or write its answer: then it cannot say anything."""
    return bool(re.search(r"\bwrite\([12],", call)) or (ended.result is None and "_load_params" in ended.errors)


@pytest.mark.long
@pytest.mark.parametrize("error", FAILURES)
def test_backup_when_a_call_fails(full, strace, tmp_path, error):
    full.backup().good()
    held, before, log = trees.digests(full.backups), full.facts(), str(tmp_path / "calls")
    options, failed = full.options(), 0

    def start() -> Process:
        return full.runner.start("backup", options, hold=True)

    points = failing_calls(start(), log, FAILURES[error], 20)
    for name, number in points:
        ended, call = fail_at(start(), log, error, name, number)
        if not unanswered(ended, call):
            failed += bool(ended.status)
            assert ended.status == 0 or ended.sentence(), call
        offered = full.info(verify="deep")
        assert {one["status"] for one in offered} == {"verified"}, (call, offered)
        assert ended.status or len(offered) > len(held) // 2
        assert held.items() <= trees.digests(full.backups).items(), call
        assert full.facts() == before, call
        full.backup().good()
        assert full.debris() == [], call
        for left in set(os.listdir(full.backups)) - set(held):
            os.unlink(os.path.join(full.backups, left))
    assert failed


@pytest.mark.long
@pytest.mark.parametrize("error", FAILURES)
def test_restore_when_a_call_fails(full, strace, tmp_path, error):
    archive = full.backup().good()["archive"]
    full.restore(archive, safety_backup=False).good()
    new = full.facts()
    full.put("uploads/notes/3.txt", b"other")
    full.put("logs/more.log", b"other")
    full.settle()
    other = full.backup().good()["archive"]
    neutral = full.backup(components=["config"]).good()["archive"]
    full.restore(other, safety_backup=False).good()
    old, held, log = full.facts(), trees.digests(full.backups), str(tmp_path / "calls")
    failed = 0

    def start() -> Process:
        return full.runner.start("backup_restore", full.options(archive=archive, safety_backup=False), hold=True)

    points = failing_calls(start(), log, FAILURES[error], 12)
    full.restore(other, safety_backup=False).good()
    for name, number in points:
        ended, call = fail_at(start(), log, error, name, number)
        if not unanswered(ended, call):
            failed += bool(ended.status)
            assert ended.status == 0 or ended.sentence(), call
        full.restore(neutral, safety_backup=False).good()
        found = full.facts()
        assert found == new or (ended.status and found == old), (call, trees.difference(found, old))
        assert full.debris() == [], call
        assert trees.digests(full.backups) == held
        if found == new:
            full.restore(other, safety_backup=False).good()
    assert failed
