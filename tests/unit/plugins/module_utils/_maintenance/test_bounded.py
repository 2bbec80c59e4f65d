"""A step in a process of its own: what it answers, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import bounded
from ansible_collections.mobius.ops.plugins.module_utils._target.progress import Meter


def call(work, seconds=HANG, meter=None):
    return bounded.call(work, seconds, meter or Meter(), "cost")


def test_it_returns_what_the_work_returns():
    assert call(lambda _meter: {"a": [1, "ü" * 100_000], "pid": os.getpid()})["pid"] != os.getpid()


def test_the_meter_shows_the_phases_of_the_step():
    class Seen(Meter):
        """Keeps what it is told."""

        def __init__(self):
            super().__init__()
            self.phases = []

        def phase(self, name, total_bytes=0, total_files=0):
            super().phase(name, total_bytes, total_files)
            self.phases.append((name, total_bytes, total_files))

    def work(meter):
        meter.phase("extract", 100, 2)
        meter._told = 0.0  # the next line is due
        meter.add(60, 1)

    seen = Seen()
    assert call(work, meter=seen) is None
    assert seen.phases == [("cost: extract", 100, 2)] and (seen.bytes, seen.files) == (60, 1)


@pytest.mark.parametrize(
    "error, sentence",
    [
        (StateError("disk", "room", "none", "Make some"), "disk: expected room, found none. Make some."),
        (OSError(2, "No such file or directory", "/x"), "/x: No such file or directory."),
        (ValueError("odd"), "an error of the collection, ValueError: odd. Report it with this sentence."),
    ],
)
def test_an_error_is_one_sentence(error, sentence):
    def work(_meter):
        raise error

    with pytest.raises(StateError) as caught:
        call(work)
    assert str(caught.value) == sentence


def test_a_process_that_ends_by_itself_is_said():
    with pytest.raises(StateError, match="its process ended"):
        call(lambda _meter: os.kill(os.getpid(), signal.SIGKILL))


def test_a_step_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    note = tmp_path / "pids"

    def work(_meter):
        child = subprocess.Popen(["sleep", "1000"])
        note.write_text(f"{os.getpid()} {child.pid}")
        time.sleep(1000)

    with pytest.raises(StateError) as caught:
        call(work, 2)
    assert str(caught.value).startswith("step cost: expected an end within 2 s, found none, so it was ended. Look what it waits for")
    pids = [int(word) for word in note.read_text().split()]
    wait_until(lambda: all(processes.start_ticks(pid) is None for pid in pids))


def test_a_step_that_is_ended_clears_up_first(tmp_path):
    begun, cleared = tmp_path / "begun", tmp_path / "cleared"

    def work(_meter):
        try:
            begun.touch()
            time.sleep(1000)
        finally:
            cleared.touch()

    with pytest.raises(StateError, match="so it was ended"):
        call(work, 2)
    assert begun.exists() and cleared.exists()


def test_one_that_ignores_the_request_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(bounded, "GRACE", 0.1)

    def work(_meter):
        (tmp_path / "pid").write_text(str(os.getpid()))
        while True:
            with contextlib.suppress(BaseException):
                time.sleep(1000)

    with pytest.raises(StateError, match="so it was ended"):
        call(work, 1)
    with pytest.raises(ChildProcessError):  # it was waited for; other children of this process are other tests'
        os.waitpid(int((tmp_path / "pid").read_text()), os.WNOHANG)


def test_one_that_says_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(bounded, "MOST", 1000)
    with pytest.raises(StateError, match="it says more than it may"):
        call(lambda _meter: "x" * 10_000)
