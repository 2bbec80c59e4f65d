# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The deploy lock: races between real processes, expiry by the kernel's clock, and what may not be taken over."""

from __future__ import annotations

import collections
import contextlib
import errno
import fcntl
import json
import multiprocessing
import os
import random
import signal
import subprocess
import time
import types
from pathlib import Path

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock, history
from ansible_collections.mobius.ops.plugins.module_utils._target.deploy_lock import DeployLock
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

FORK = multiprocessing.get_context("fork")


def wish(owner="ada", **changes):
    return {"owner": owner, "reason": "deploy of v1", "env": "test", "host": "laptop", "process": "", "expiry": 60, **changes}


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "state").mkdir()
    return Layout(str(tmp_path))


@pytest.fixture
def lock(layout):
    return DeployLock(layout)


@pytest.fixture
def later(monkeypatch):
    """``later(seconds)``: the kernel's clock goes on."""
    real, added = deploy_lock.uptime, [0.0]
    monkeypatch.setattr(deploy_lock, "uptime", lambda: real() + added[0])
    return lambda seconds: added.__setitem__(0, added[0] + seconds)


def events(lock):
    return [event for event in history.events(lock.layout) if "lock" in event["what"]]


# --- races


def in_time(deadline):
    """Whether the time of a lock is not up. After that its holder has no right to it any more, so nobody is a double of it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) < deadline


def witness(folder, deadline):
    """Say that this process holds the lock; a double holder is one who finds another that lives and whose time is not up."""
    path = os.path.join(folder, "holder")
    with contextlib.suppress(FileNotFoundError, ValueError), open(path, encoding="ascii") as stream:
        pid, until = stream.read().split()
        if in_time(float(until)) and os.path.exists(f"/proc/{pid}/cwd"):
            return "double"
    with open(path, "w", encoding="ascii") as stream:
        stream.write(f"{os.getpid()} {deadline}")
    time.sleep(random.random() / 500)
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as stream:
        if stream.read().split()[:1] == [str(os.getpid())]:
            return "once"
    return "double" if in_time(deadline) else "late"


def racer(root, folder, rounds, expiry):
    deploy_lock.PAUSE = 0.001
    mine, said = DeployLock(Layout(root)), os.open(os.path.join(folder, "said"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    random.seed(os.getpid())
    number = 0
    while number < rounds or not os.path.exists(os.path.join(folder, "enough")):
        number += 1
        held = mine.hold(wish(str(os.getpid()), expiry=expiry), wait=10 * HANG)["lock"]
        record = fs.read_json(mine.path) or {}  # of somebody who was slow, by now another one's
        deadline = record["at"] + expiry if record.get("token") == held["token"] else 0
        outcome = witness(folder, deadline) if in_time(deadline) else "late"
        os.write(said, f"{outcome}\n".encode())
        if in_time(deadline):
            Path(folder, "holder").unlink(missing_ok=True)
        with contextlib.suppress(StateError):
            mine.free(held["token"])


def race(layout, folder, processes, rounds, expiry, kills=0):
    running = [FORK.Process(target=racer, args=(layout.root, str(folder), rounds, expiry)) for _number in range(processes)]
    for process in running:
        process.start()

    def holder():
        held = DeployLock(layout).look()  # the one that holds it now, as far as anybody can tell
        return next((process for process in running if held and process.pid == int(held["owner"]) and process.is_alive()), None)

    for _number in range(kills):
        killed = wait_until(holder, "one of them holds the lock")
        killed.kill()
        killed.join()
    (folder / "enough").touch()
    for process in running:
        process.join(10 * HANG)
    return collections.Counter((folder / "said").read_text().split()), [process.exitcode for process in running]


def test_a_thousand_races_have_no_double_holder(layout, lock, tmp_path):
    said, ends = race(layout, tmp_path, processes=8, rounds=125, expiry=600)
    assert said == {"once": 1000} and ends == [0] * 8
    assert lock.look() is None and events(lock) == []


def test_holders_that_are_killed_strand_the_lock_until_its_expiry_only(layout, lock, tmp_path):
    said, ends = race(layout, tmp_path, processes=8, rounds=60, expiry=2, kills=3)
    assert said["double"] == 0 and said["once"] + said["late"] >= 60 * ends.count(0) > 0
    assert set(ends) <= {0, -signal.SIGKILL} and ends.count(-signal.SIGKILL) == 3
    lock.hold(wish(), wait=HANG)  # whatever the last one left
    assert not [name for name in os.listdir(lock.folder) if name.endswith(".tmp")]


# --- expiry


def test_somebody_elses_lock_is_refused_with_all_that_is_known(lock):
    held = lock.hold(wish())["lock"]
    with pytest.raises(StateError) as told:
        lock.hold(wish("bob"))
    expires = told.value.facts["lock"]["expires"]
    assert str(told.value) == (
        f"the deploy lock {lock.folder}: expected nobody to hold it, found that ada on laptop holds it since {held['since']} for "
        f"'deploy of v1'. Wait, for instance with mobius_lock_wait (unless it is renewed it can be taken over at {expires}), or, when "
        "nobody works there any more: ansible-playbook mobius.ops.force_unlock -e mobius_why=REASON."
    )
    assert told.value.facts["lock"]["token"] == held["token"]


def test_a_stranded_lock_is_reclaimed_after_its_expiry_and_not_before(lock, later):
    first = lock.hold(wish())["lock"]
    later(59)
    with pytest.raises(StateError):
        lock.hold(wish("bob"))
    later(2)
    assert lock.look()["expired"]
    second = lock.hold(wish("bob"))
    assert second["reclaimed"]["token"] == first["token"] and second["lock"]["owner"] == "bob"
    [event] = events(lock)
    assert (event["what"], event["why"], event["lock"]["owner"]) == ("lock_reclaimed", "it had expired", "ada")


def test_a_renewed_lock_is_not_reclaimed(lock, later):
    """Bob looks, sees an expired lock, and is slow; meanwhile it is renewed."""
    first = lock.hold(wish())["lock"]
    later(61)
    assert lock.look()["expired"]
    renewed = lock.hold(wish(token=first["token"]))["lock"]
    assert (renewed["token"], renewed["since"], renewed["owner"]) == (first["token"], first["since"], "ada")
    with pytest.raises(StateError):
        lock.hold(wish("bob"))
    with pytest.raises(StateError):
        lock.hold(wish("bob", gone="the token of an earlier lock"))


def test_who_lost_the_lock_is_told_at_the_renewal(lock, later):
    first = lock.hold(wish())["lock"]
    later(61)
    lock.hold(wish("bob"))
    with pytest.raises(StateError, match="expected to be held with the token of this run, found that bob"):
        lock.hold(wish(token=first["token"]), wait=100)
    lock.force("a test")
    with pytest.raises(StateError, match="found that nobody holds it"):
        lock.hold(wish(token=first["token"]))


@pytest.mark.parametrize("hours", [-9000, 9000])
def test_a_wall_clock_that_jumps_changes_nothing(lock, monkeypatch, later, hours):
    lock.hold(wish())
    wall = time.time() + hours * 3600
    monkeypatch.setattr(deploy_lock.time, "time", lambda: wall)
    with pytest.raises(StateError):
        lock.hold(wish("bob"))
    later(61)
    assert lock.hold(wish("bob"))["reclaimed"]


def test_after_a_reboot_only_the_time_since_boot_counts(lock, monkeypatch):
    lock.hold(wish())
    monkeypatch.setattr(deploy_lock, "boot_id", lambda: "the next run of the kernel")
    monkeypatch.setattr(deploy_lock, "uptime", lambda: 59.0)
    with pytest.raises(StateError):
        lock.hold(wish("bob"))
    monkeypatch.setattr(deploy_lock, "uptime", lambda: 61.0)
    assert lock.hold(wish("bob"))["reclaimed"]["owner"] == "ada"


# --- waiting, giving back, force


@pytest.fixture
def pauses(monkeypatch):
    """``pauses(act)``: record the pauses of a waiting process. Each calls *act* instead of sleeping, and advances the clock."""
    made = []

    def start(act=lambda: None):
        made.clear()
        monkeypatch.setattr(
            deploy_lock,
            "time",
            types.SimpleNamespace(
                **{**vars(time), "monotonic": lambda: time.monotonic() + sum(made), "sleep": lambda seconds: made.append(seconds) or act()}
            ),
        )
        return made

    return start


def test_waiting_ends_when_the_lock_is_given_back(lock, pauses):
    held = lock.hold(wish())["lock"]
    made = pauses(lambda: lock.free(held["token"]) if len(made) == 3 else None)
    result = lock.hold(wish("bob"), wait=10 * HANG)
    assert made == [deploy_lock.PAUSE] * 3 and result["waited"] >= 3 * deploy_lock.PAUSE and result["reclaimed"] is None


def test_waiting_ends_when_its_time_is_up(lock, pauses):
    lock.hold(wish(expiry=100 * HANG))
    made = pauses()
    with pytest.raises(StateError):
        lock.hold(wish("eve"), wait=10 * HANG)
    assert 10 * HANG - HANG < sum(made) <= 10 * HANG


def test_only_ones_own_lock_is_given_back(lock):
    assert not lock.free("any") and not os.path.exists(lock.folder)
    held = lock.hold(wish())["lock"]
    with pytest.raises(StateError, match="ada on laptop holds it"):
        lock.free("another")
    assert lock.look()["token"] == held["token"]
    assert lock.free(held["token"]) and not lock.free(held["token"]) and lock.look() is None


def test_force_tells_whose_it_was_and_can_be_held_to_one_lock(lock):
    assert lock.force("nobody there") == (None, []) and events(lock) == []
    held = lock.hold(wish())["lock"]
    with pytest.raises(StateError, match="ada on laptop holds it"):
        lock.force("a look that is out of date", token="an earlier one")
    removed, warnings = lock.force("she left", token=held["token"])
    assert removed["owner"] == "ada" and warnings == [] and lock.look() is None
    [event] = events(lock)
    assert (event["what"], event["why"], event["lock"]["reason"]) == ("force_unlock", "she left", "deploy of v1")


# --- processes


def test_an_ended_process_is_told_from_one_that_runs_and_from_others_that_cannot_be_judged():
    child = subprocess.Popen(["sleep", "infinity"])
    name = deploy_lock.process_name(child.pid)
    assert not deploy_lock.is_gone(name) and not deploy_lock.is_gone(deploy_lock.process_name(os.getpid()))
    child.kill()
    child.wait()
    assert deploy_lock.is_gone(name)
    boot, *rest = name.split("/")
    for foreign in ("/".join(["another-boot", *rest]), name.replace("pid:[", "pid:[9"), "", "a/b", name + "x", f"{boot}/x/y/z/None"):
        assert not deploy_lock.is_gone(foreign), foreign
    assert not deploy_lock.is_gone(name.replace(f"/{os.getuid()}/", f"/{os.getuid() + 1}/"))


def test_the_same_process_renews_and_a_known_end_is_taken_over_at_once(lock):
    first = lock.hold(wish(process="p1"))["lock"]
    again = lock.hold(wish(process="p1", reason="another step"))
    assert again["lock"]["token"] == first["token"] and again["reclaimed"] is None and again["lock"]["reason"] == "deploy of v1"
    taken = lock.hold(wish(process="p2", gone=first["token"]))
    assert taken["lock"]["token"] != first["token"] and taken["reclaimed"]["token"] == first["token"]
    assert events(lock)[-1]["why"] == "its process had ended"
    with pytest.raises(StateError):
        lock.hold(wish(process="p3", gone=first["token"]))


# --- damage and faults


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"owner": 5}'])
def test_a_damaged_record_is_nobodys_and_is_not_taken_over(lock, content):
    held = lock.hold(wish())["lock"]
    Path(lock.path).write_text(content)
    assert "expected the record of a deploy lock" in lock.look()["fault"]
    for work in (lambda: lock.hold(wish("bob")), lambda: lock.free(held["token"])):
        with pytest.raises(IntegrityError, match="Make sure that nobody deploys, then: ansible-playbook mobius"):
            work()
    with pytest.raises(StateError, match="found a damaged record"):
        lock.force("a test", token="t")
    assert lock.force("a test")[0]["fault"] and lock.hold(wish("bob"))["lock"]["owner"] == "bob"


def test_a_full_disk_gives_nobody_the_lock_and_keeps_nobody_from_giving_it_back(lock, monkeypatch, later):
    held = lock.hold(wish())["lock"]

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device", "f")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "atomic_file", full)
        with pytest.raises(OSError):
            lock.hold(wish(token=held["token"]))
        assert lock.look()["token"] == held["token"] and lock.free(held["token"])
        with pytest.raises(OSError):
            lock.hold(wish())
    assert lock.look() is None
    lock.hold(wish())
    later(61)
    with monkeypatch.context() as patch:
        patch.setattr(fs, "append_line", full)
        [told] = lock.hold(wish("bob"))["warnings"]
        assert "lock_reclaimed could not be noted: No space left on device." in told
        assert "force_unlock could not be noted" in lock.force("a test")[1][0]
    assert lock.look() is None


def test_what_a_killed_writer_left_is_removed(lock):
    os.makedirs(lock.folder)
    Path(lock.folder, ".deploy.json.abc.tmp").write_text("half")
    lock.hold(wish())
    assert sorted(os.listdir(lock.folder)) == ["deploy.json", "guard"]
    assert os.stat(lock.path).st_mode & 0o777 == 0o600 and json.loads(Path(lock.path).read_text())["owner"] == "ada"


def test_a_guard_that_a_stopped_process_keeps_is_told(lock, monkeypatch):
    monkeypatch.setattr(deploy_lock, "PATIENCE", 0.1)
    os.makedirs(lock.folder)
    with open(os.path.join(lock.folder, "guard"), "a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="fuser"):
            lock.hold(wish())


def test_an_expiry_has_to_be_one(lock):
    with pytest.raises(InputError, match="mobius_lock_expiry"):
        lock.hold(wish(expiry=0))
    assert not os.path.exists(lock.folder)
