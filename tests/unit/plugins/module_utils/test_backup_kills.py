# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SIGKILL at many steps of a backup and of a restore: nothing partial is offered, nothing is lost."""
from __future__ import annotations

import os
import signal
import sys
import typing as t

import pytest

from ansible_collections.mobius.ops.plugins.module_utils import _restore
from ansible_collections.mobius.ops.plugins.modules import backup

#: What the system is asked for at each step of the work (Python's audit events).
STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.utime", "os.symlink",
         "os.truncate", "os.listdir", "sqlite3.connect", "fcntl.flock", "shutil.rmtree", "tempfile.mkstemp")


def killed_at(work: t.Callable[[], t.Any], step: int) -> int | None:
    """Do *work* in a child that kills itself at a step: the signal, or ``None`` when the step was not reached."""
    child = os.fork()
    if child == 0:
        left = [step]

        def hook(event, _arguments):
            if event in STEPS:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def steps_of(work: t.Callable[[], t.Any]) -> int:
    """How many steps *work* has, by a child that counts them."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = [0]

        def hook(event, _arguments):
            if event in STEPS:
                count[0] += 1

        sys.addaudithook(hook)
        try:
            work()
            os.write(writing, str(count[0]).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        return int(stream.read())


def chosen(count: int, number: int) -> list[int]:
    """Steps to kill at: spread over all, and each of the last ones, where things get their names."""
    spread = {1 + index * (count - 1) // (number - 1) for index in range(number)}
    return sorted(spread | set(range(max(1, count - 15), count + 1)))


@pytest.fixture
def work(state_host):
    state_host.database().close()

    def run(module, **options):
        return module.run({"root": state_host.root, "env": "production", "components": ["all"], **options}, False)

    return run


def test_backup_killed_at_many_steps(state_host, work, snapshot, quick_clock, keys):
    def make():
        return work(backup, dest=None, level=1, full_every=7, allow_changed=False, sign_key=keys.private)

    earlier = {make()[1]["archive"]}
    shared = snapshot(state_host.layout.shared)
    count = steps_of(make)
    assert count > 30
    kills = 0
    for step in chosen(count, 8):
        kills += killed_at(make, step) == signal.SIGKILL
        listed = state_host.info(verify="deep", allowed_signers=keys.allowed())
        assert {found["status"] for found in listed} == {"verified"}, step
        assert earlier <= {found["archive"] for found in listed}
        # The next run sweeps: no debris, no sidecar and no signature without its archive.
        assert not state_host.backup(sign_key=keys.private).get("failed")
        earlier = {found["archive"] for found in state_host.info()}
        assert len(earlier) > len(listed)
        names = {os.path.basename(archive) for archive in earlier}
        assert set(os.listdir(state_host.layout.backups)) \
            == {name + suffix for name in names for suffix in ("", ".sha256", ".sha256.sig")}, step
    assert kills >= 15
    assert snapshot(state_host.layout.shared) == shared


def test_restore_killed_at_many_steps(state_host, work, snapshot, quick_clock):
    archive = work(backup, dest=None, level=1, full_every=7, allow_changed=False, sign_key=None)[1]["archive"]

    def put_back():
        return state_host.restore(archive, safety_backup=False)

    count = steps_of(put_back)
    reference = contents(snapshot, state_host)
    state_host.put("uploads/new.txt", b"new")
    state_host.put("logs/app.log", b"other")
    changed = contents(snapshot, state_host)
    kills, outcomes = 0, set()
    for step in chosen(count, 10):
        kills += killed_at(put_back, step) == signal.SIGKILL
        _restore.recover(state_host.layout)
        found = contents(snapshot, state_host)
        assert found in (reference, changed), step
        assert state_host.debris() == []
        outcomes.add(found == reference)
        if found == reference:
            state_host.put("uploads/new.txt", b"new")
            state_host.put("logs/app.log", b"other")
    assert kills >= 15 and outcomes == {True, False}
    assert not state_host.restore(archive).get("failed")
    assert contents(snapshot, state_host) == reference


def contents(snapshot, host):
    """Names, modes and contents: times of folders differ by what the test itself writes."""
    return {name: (mode, content) for name, (mode, _time, content) in snapshot(host.layout.shared).items()}
