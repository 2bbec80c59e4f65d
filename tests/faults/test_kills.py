# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SIGKILL at every step of a backup and of a restore: nothing partial is offered, nothing is lost, nothing is left."""

from __future__ import annotations

import collections
import itertools
import os
import random
import sqlite3
import statistics
import typing as t

import pytest
from support import processes, trees
from support.state import State

#: What changes a file system, and what reads and writes.
CHANGES = (
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,"
    "sync_file_range,ftruncate,fallocate,copy_file_range,sendfile,flock,fchmod,fchmodat,chmod,fchown,fchownat,lchown,"
    "utimensat,fsetxattr,setxattr,pwrite64,pwritev,writev"
)
OFTEN = "openat,write,pread64,read,getdents64,close"


def backed_up(state: State, chance: random.Random) -> None:
    """Fill a root, a database in use among its files, and make two backups."""
    state.fill(chance)
    with sqlite3.connect(state.path("database/mobius.db"), isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER)")
        connection.executemany("INSERT INTO account VALUES (?, ?)", [(number, number) for number in range(500)])
    connection.close()
    state.settle()
    for _time in range(2):
        state.backup().good()


def killed(ended: processes.Ended) -> bool:
    """Whether the module was killed, or the process that opens databases for it; then it says so, as of a database that cannot be read."""
    return ended.killed or bool(ended.status and "its process ended" in ended.sentence())


class KilledBackups:
    """Backups of one root that are killed, one after another."""

    def __init__(self, state: State, chance: random.Random) -> None:
        self.state, self.chance = state, chance
        backed_up(state, chance)
        self.before = state.facts()
        self.kills = 0
        self.prune()

    def __str__(self) -> str:
        return f"{self.kills} kills of backups"

    def start(self, **how: t.Any) -> processes.Process:
        """A backup; sometimes one that accepts changed files, or with another level."""
        options = self.state.options(level=self.chance.choice([1, 6, 9]), allow_changed=self.chance.random() < 0.3)
        return self.state.runner.start("backup", options, **how)

    def check(self, ended: processes.Ended) -> None:
        """What must hold after a backup that may have been killed."""
        state = self.state
        assert killed(ended) or ended.good()
        self.kills += killed(ended)
        for verify in ("none", "deep"):
            offered = state.info(verify=verify)
            assert {one["status"] for one in offered} == {"verified" if verify == "deep" else "unverified"}, offered
        names = {os.path.basename(one["archive"]) for one in offered}
        assert set(self.archives) <= names
        held = trees.digests(state.backups)
        for name, digest in self.archives.items():
            assert held[name] == digest and held[name + ".sha256"] == self.sidecars[name]
        assert state.facts() == self.before, trees.difference(state.facts(), self.before)
        state.backup().good()
        assert state.debris() == []
        self.prune()

    def prune(self) -> None:
        """Keep the newest three, so that a long test does not read ever more."""
        for one in self.state.info()[3:]:
            os.unlink(one["archive"])
            os.unlink(one["archive"] + ".sha256")
        held = trees.digests(self.state.backups)
        self.archives = {name: digest for name, digest in held.items() if name.endswith(".zip")}
        self.sidecars = {name: held[name + ".sha256"] for name in self.archives}


class KilledRestores:
    """Two states of a root that are restored over each other in turns, by restores that are killed."""

    def __init__(self, state: State, chance: random.Random) -> None:
        self.state, self.chance = state, chance
        backed_up(state, chance)
        archives = [state.info()[0]["archive"]]
        state.fill(chance)
        state.put("uploads/only in the second.txt", b"second")
        os.unlink(state.path("uploads/notes/3.txt"))
        os.rename(state.path("generated/clip1.mp4"), state.path("generated/other.mp4"))
        os.chmod(state.path("uploads/empty"), 0o700)
        state.settle()
        archives.append(state.backup().good()["archive"])
        # One archive whose restore changes nothing: to see what a restore puts back before it begins its own work.
        self.neutral = state.backup(components=["config"]).good()["archive"]
        self.kept = dict(trees.digests(state.backups).items())
        self.whole = {}
        for archive in archives:
            state.restore(archive, safety_backup=False).good()
            self.whole[archive] = state.facts()
        assert self.whole[archives[0]] != self.whole[archives[1]]
        self.turns = itertools.cycle(archives)
        self.kills = 0
        self.outcomes: collections.Counter[str] = collections.Counter()

    def __str__(self) -> str:
        return f"{self.kills} kills of restores: {dict(self.outcomes)}"

    def start(self, **how: t.Any) -> processes.Process:
        """A restore of the state that is not there."""
        self.wanted = next(self.turns)
        options = self.state.options(archive=self.wanted, safety_backup=self.chance.random() < 0.3)
        return self.state.runner.start("backup_restore", options, **how)

    def check(self, ended: processes.Ended) -> None:
        """What must hold after a restore that may have been killed."""
        state = self.state
        assert killed(ended) or ended.good()
        self.kills += killed(ended)
        offered = state.info(verify="deep")
        assert {one["status"] for one in offered} == {"verified"}, offered
        interrupted = state.backup()
        if interrupted.status:
            assert "a restore that was interrupted" in interrupted.sentence()
        undone = state.restore(self.neutral, safety_backup=False).good()["undone"]
        assert bool(undone) == bool(interrupted.status)
        found = state.facts()
        is_new = found == self.whole[self.wanted]
        is_old = not is_new and found in self.whole.values()
        assert is_new or is_old, trees.difference(found, self.whole[self.wanted])
        assert not (undone and is_new) and (killed(ended) or is_new)
        self.outcomes["undone" if undone else "new" if is_new else "old"] += 1
        assert state.debris() == []
        state.restore(self.wanted, safety_backup=False).good()
        assert state.facts() == self.whole[self.wanted] and state.debris() == []
        held = trees.digests(state.backups)
        assert {name: held.get(name) for name in self.kept} == self.kept
        for name in held.keys() - self.kept.keys():
            os.unlink(os.path.join(state.backups, name))


Killed = t.Union[KilledBackups, KilledRestores]


def work_of(killed: Killed) -> float:
    """Seconds of processor time that the work takes when nobody kills it."""
    took = []
    for _time in range(3):
        ended = killed.start().wait()
        took.append(ended.cpu)
        killed.check(ended)
    return statistics.median(took)


def kill_at_random(killed: Killed, number: int) -> None:
    """Kill so many times, at moments that are spread over the work: over its processor time, so that other load changes nothing."""
    took = work_of(killed)
    for attempt in itertools.count():
        if killed.kills == number:
            break
        assert attempt < 10 * number, f"{killed.kills} kills in {attempt} attempts"
        ended = killed.start(cpu=max(0.001, took * (attempt % number + killed.chance.random()) / number)).wait()
        killed.check(ended)
        if not ended.killed:  # caches and options make it shorter or longer
            took = (took + ended.cpu) / 2
    print(killed)


def kill_at_steps(killed: Killed, number: int) -> None:
    """Kill at steps of the work: spread over all, and before and after each at which something gets its name."""
    process = killed.start(step=0)
    killed.check(process.wait())
    made = process.steps()
    renames = made.count("os.rename")
    assert len(made) > 40 and renames
    how = [{"event": "os.rename", "step": step} for step in range(1, renames + 1)]
    how += [{"step": len(made) - step} for step in range(15)]
    how += [{"step": 1 + index * (len(made) - 1) // (number - 1)} for index in range(number)]
    for one in how:
        killed.check(killed.start(**one).wait())
    assert killed.kills >= len(how) * 0.6, (killed.kills, how)
    print(killed)


def kill_at_calls(killed: Killed, part: int, parts: int, often: int, log: str) -> None:
    """Kill at system calls: at each of those that change something, at some of those that every file needs."""
    ended, made = processes.calls_of(killed.start(hold=True), f"{CHANGES},{OFTEN}", log)
    killed.check(ended)
    points = []
    for name, count in sorted(made.items()):
        every = max(1, count // (14 if name in CHANGES.split(",") else often))
        points += [(name, number) for number in range(1, count + 1, every)]
    assert len(points) > 40, made
    mine = points[part::parts]
    for name, number in mine:
        process = killed.start(hold=True)
        with processes.traced(process, "-e", "trace=" + name, "-e", f"inject={name}:signal=KILL:when={number}", log=log):
            ended = process.wait()
        killed.check(ended)
    # Files go to threads as these become free, and options differ: some points are not reached.
    assert killed.kills >= len(mine) * 0.2, (killed.kills, mine)
    print(killed)


@pytest.mark.parts(quick=1, long=6)
def test_backup_killed_at_random(state, chance, part, long):
    kill_at_random(KilledBackups(state, chance), 20 if long else 6)


@pytest.mark.parts(quick=1, long=6)
def test_restore_killed_at_random(state, chance, part, long):
    kill_at_random(KilledRestores(state, chance), 20 if long else 6)


def test_backup_killed_at_steps(state, chance, long):
    kill_at_steps(KilledBackups(state, chance), 30 if long else 8)


def test_restore_killed_at_steps(state, chance, long):
    kill_at_steps(KilledRestores(state, chance), 30 if long else 8)


@pytest.mark.long
@pytest.mark.parts(quick=1, long=6)
def test_backup_killed_at_every_call(state, chance, part, strace, tmp_path):
    kill_at_calls(KilledBackups(state, chance), part, 6, 6, str(tmp_path / "calls"))


@pytest.mark.long
@pytest.mark.parts(quick=1, long=6)
def test_restore_killed_at_every_call(state, chance, part, strace, tmp_path):
    kill_at_calls(KilledRestores(state, chance), part, 6, 6, str(tmp_path / "calls"))
