# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clean-ups of a hostile tree, beside programs that change it, and killed at random: nothing is lost, nothing outside is touched."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time

import pytest
from support import trees

from ansible_collections.mobius.ops.plugins.module_utils._core import foreign, locks

#: Names of files that a shell, a terminal or a text would stumble over.
ODD = [
    "-rf.png",
    "a\nb 1.png",
    "caf\udce9-1.png",
    " lead 1.png",
    "größe 1.png",
    "*1.png",
    "$(touch 1).png",
    "'1\".png",
    "\\1.png",
    "n" * 250 + "1.png",
    "tab\t1.png",
    "\x1b[31m1.png",
]
#: Exchanges, renames and links old files, over and over.
RESTLESS = """
import ctypes, os, random, sys, time
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None)
print("on", flush=True)
chance, number = random.Random(7), 0
while True:
    number += 1
    one, other = (f"m{chance.randrange(20):02}.png" for _each in range(2))
    for step in (lambda: libc.renameat2(-100, one.encode(), -100, other.encode(), 2),
                 lambda: libc.renameat2(-100, b"sub", -100, b".out", 2),
                 lambda: os.rename(one, ".aside") or os.rename(".aside", one),
                 lambda: os.link(one, ".second") or os.unlink(".second")):
        try:
            step()
        except OSError:
            pass
    time.sleep(0.0002)
"""
#: Rewrites files in their places, over and over, with the times that they had.
WRITES = """
import os, random, sys
os.chdir(sys.argv[1])
print("on", flush=True)
chance = random.Random(9)
while True:
    try:
        with open(f"w{chance.randrange(20):02}.png", "r+b", buffering=0) as stream:
            stream.write(chance.choice((b"one", b"two")) * chance.randrange(1, 1000))
            os.utime(stream.fileno(), ns=(10**18, 10**18))
    except OSError:
        pass
"""
OLD = 10**18
DAYS = {"grace": 0, "expiry_days": 30}


@pytest.fixture
def outside(tmp_path):
    """What no clean-up may touch."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    for name in ("file.png", "sub/file.png"):
        (folder / name).write_text("outside")
        os.utime(folder / name, ns=(OLD, OLD))
    before = trees.contents(str(folder)), [os.stat(folder / name).st_mtime_ns for name in ("file.png", "sub/file.png")]
    yield folder
    assert (trees.contents(str(folder)), [os.stat(folder / name).st_mtime_ns for name in ("file.png", "sub/file.png")]) == before


@pytest.fixture
def hostile(state, outside, chance):
    """A root with old files of odd names, links out, hard links, named files, and a backup of it."""
    for name in ODD:
        state.put(f"uploads/{name}", name.encode("utf-8", "surrogateescape"), 0o640, OLD)
    for number in range(20):
        state.put(f"uploads/m{number:02}.png", chance.randbytes(3000), 0o600, OLD)
        state.put(f"uploads/sub/s{number:02}.png", chance.randbytes(3000), 0o600, OLD)
        state.put(f"uploads/images-17000000000{number:02}-7.png", chance.randbytes(3000), 0o600, OLD)
    os.symlink(outside / "file.png", state.path("uploads/link.png"))
    os.symlink(outside / "sub", state.path("uploads/.out"))
    os.utime(state.path("uploads/link.png"), ns=(OLD, OLD), follow_symlinks=False)
    os.link(outside / "file.png", state.path("uploads/hard.png"))
    state.put("database/projects.json", json.dumps({"images": [f"images-17000000000{number:02}-7.png" for number in range(10)]}).encode())
    with sqlite3.connect(state.path("database/mobius.db")) as database:
        database.executescript("PRAGMA journal_mode=wal; CREATE TABLE t (path TEXT)")
        database.executemany("INSERT INTO t VALUES (?)", [(f"/uploads/images-17000000000{number:02}-7.png",) for number in range(10, 20)])
    database.close()
    state.backup().good()
    os.unlink(state.path("uploads/hard.png"))
    os.link(outside / "file.png", state.path("uploads/hard.png"))
    return state


def cleanup(root, **options):
    """Run the module; its result."""
    return root.runner.run("storage_cleanup", root.options(**DAYS, **options))


def named(state):
    """The files that stores name."""
    return [name for name in os.listdir(state.path("uploads")) if name.startswith("images-")]


def contents(state):
    """The digest of every regular file in components and quarantine."""
    with contextlib.suppress(FileNotFoundError), foreign.folder(state.layout.quarantine, "files") as folder:
        locks.take(folder)  # a helper whose parent was killed comes to the end of its batch
    tops = [state.shared, state.layout.quarantine]
    paths = [path for top in tops if os.path.isdir(top) for path in trees.walk(top)]
    return sorted(
        trees.sha256(path) for path in paths if os.path.isfile(path) and not os.path.islink(path) and not path.endswith(("-shm", "-wal"))
    )


def facts(root):
    """All that can be told of files and links; folders get new times when a file moves."""
    return {path: one for path, one in root.facts().items() if "sha256" in one or "target" in one}


def test_a_hostile_tree(hostile):
    before, all_before = contents(hostile), facts(hostile)
    planned = cleanup(hostile).good()
    done = cleanup(hostile, state="cleaned").good()
    assert (done["files"], done["bytes"], done["left"]) == (planned["files"], planned["bytes"], planned["left"])
    assert done["files"] == 40 + len(ODD) and len(named(hostile)) == 20 and contents(hostile) == before
    assert {reason: count["files"] for reason, count in done["left"].items()} == {"named": 20, "not_a_file": 1, "hard_link": 1}
    assert cleanup(hostile, state="restored", paths=[done["run"]]).good()["files"] == done["files"]
    assert facts(hostile) == all_before, trees.difference(facts(hostile), all_before)


def test_beside_programs_that_change_the_tree(hostile, long):
    before = contents(hostile)
    moved = 0
    with subprocess.Popen([sys.executable, "-c", RESTLESS, hostile.path("uploads")], stdout=subprocess.PIPE, text=True) as restless:
        try:
            restless.stdout.readline()
            for _time in range(50 if long else 5):
                done = cleanup(hostile, state="cleaned").good()
                moved += done["files"]
                assert len(named(hostile)) == 20
                cleanup(hostile, state="restored", paths=["*"])
        finally:
            restless.kill()
    assert moved
    for name in (".aside", ".second"):
        if os.path.lexists(hostile.path(f"uploads/{name}")):
            os.unlink(hostile.path(f"uploads/{name}")) if name == ".second" else os.rename(
                hostile.path("uploads/.aside"), hostile.path("uploads/aside.png")
            )
    assert contents(hostile) == before


def test_files_that_are_written_meanwhile_are_at_one_place_and_none_is_lost(hostile, long):
    for number in range(20):
        hostile.put(f"uploads/w{number:02}.png", b"one" * 1000, 0o600, OLD)
    hostile.backup().good()
    files = {os.lstat(hostile.path(f"uploads/w{number:02}.png")).st_ino for number in range(20)}
    tops = [hostile.path("uploads"), os.path.join(hostile.layout.quarantine, "files")]
    moved = 0
    with subprocess.Popen([sys.executable, "-c", WRITES, hostile.path("uploads")], stdout=subprocess.PIPE, text=True) as writer:
        try:
            writer.stdout.readline()
            for _time in range(20 if long else 3):
                moved += cleanup(hostile, state="cleaned").good()["files"]
                found = [os.lstat(path).st_ino for top in tops for path in trees.walk(top)]
                assert len(found) == len(set(found)) and files <= set(found) and len(named(hostile)) == 20
                cleanup(hostile, state="restored", paths=["*"])
        finally:
            writer.kill()
    assert moved


@pytest.mark.parts(quick=1, long=8)
def test_killed_at_random(hostile, chance, part, long):
    before, digests = facts(hostile), contents(hostile)
    quickest, kills = 0.0, 0
    for number in range(25 if long else 8):
        state, paths = (("cleaned", []), ("restored", ["*"]))[number % 2]
        begun = time.monotonic()
        process = hostile.runner.start("storage_cleanup", hostile.options(**DAYS, state=state, paths=paths))
        if quickest:
            while process.running() and time.monotonic() < begun + quickest * chance.random():
                time.sleep(0.001)
            process.signal(9)
        kills += process.wait().killed
        quickest = quickest or time.monotonic() - begun
        cleanup(hostile).good()
    assert kills
    cleanup(hostile, state="cleaned").good()
    assert contents(hostile) == digests and len(named(hostile)) == 20
    cleanup(hostile, state="restored", paths=["*"]).good()
    assert facts(hostile) == before, trees.difference(facts(hostile), before)


@pytest.mark.parts(quick=1, long=1)
def test_killed_at_steps(hostile, chance, part, long):
    before, digests = facts(hostile), contents(hostile)

    def begin(state, **how):
        """A clean-up, or a restore of what one has moved; it starts from the same tree each time."""
        cleanup(hostile, state="restored", paths=["*"])  # of what the last one left
        assert facts(hostile) == before
        if state == "restored":
            cleanup(hostile, state="cleaned").good()
        return hostile.runner.start("storage_cleanup", hostile.options(**DAYS, state=state, paths=["*"]), **how)

    for state in ("cleaned", "restored"):
        process = begin(state, step=0)
        process.wait().good()
        steps, kills = len(process.steps()), 0
        for step in sorted(chance.sample(range(1, steps + 1), min(steps, 60 if long else 8))):
            kills += begin(state, step=step).wait().status != 0
            assert contents(hostile) == digests and len(named(hostile)) == 20, (state, step)
        assert kills
