"""Jobs, and whether they get on."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._jobs import listing
from ansible_collections.mobius.ops.plugins.module_utils._jobs.listing import Output, Sample

#: Seconds between two looks in these tests: enough for the slowed encode to have its turn several times.
WINDOW = 2.0


def look(*, at=0.0, state="S", cpu=1.0, written=100, size=10, out_time=None):
    return Sample(at, state, cpu, written, (Output("/out.mp4", (1, 2), size),), out_time, "")


@pytest.mark.parametrize(
    "after, verdict",
    [
        ({}, "stuck"),
        ({"state": "D"}, "stuck"),
        ({"cpu": 1.005}, "stuck"),
        ({"state": "T"}, "stopped"),
        ({"cpu": 1.02}, "slow"),
        ({"cpu": 0.5}, "slow"),
        ({"written": 101}, "slow"),
        ({"size": 11}, "slow"),
        ({"out_time": 1}, "slow"),
        ({"cpu": 1.02, "state": "T"}, "slow"),
        ({"written": None}, "slow"),
        ({"cpu": 3.0}, "working"),
    ],
)
def test_what_a_job_is(after, verdict):
    assert listing.judge(look(), look(at=10.0, **after)) == verdict


def test_where_the_kernel_counts_ticks_only_they_count(monkeypatch):
    monkeypatch.setattr(listing, "_nanoseconds", lambda _pid: 0)
    assert listing._stat(os.getpid())[1] == pytest.approx(sum(os.times()[:2]), abs=0.1)


def test_a_job_is_told_with_what_it_works_on(renders):
    job = renders.encode("clip.mp4", "-metadata", "comment=render-jobs/7f-1/x")
    (one,) = listing.watched(renders.jobs(), WINDOW)
    assert (one["pid"], one["name"], one["port"], one["release"], one["parent"]) == (job.pid, "7f-1", 5001, "r1", renders.process.pid)
    assert one["verdict"] in ("slow", "working") and one["cpu_s"] > 0 and one["age"] > 0
    assert [output["path"] for output in one["outputs"]] == [str(renders.folder / "clip.mp4")] and one["outputs"][0]["size"] > 0
    assert one["speed"] is None and "-re" in one["command"] and "python" in one["parent_command"]


def test_a_progress_file_tells_how_fast_it_is_and_is_no_output(renders):
    progress = renders.folder / "progress.txt"
    renders.encode("clip.mp4", "-progress", str(progress), "-stats_period", "0.2")
    wait_until(lambda: progress.exists() and progress.read_text().count("out_time_us=") > 3, HANG)
    (one,) = listing.watched(renders.jobs(), WINDOW)
    assert 0 < one["speed"] < 10 and one["out_s"] > 0
    assert [output["path"] for output in one["outputs"]] == [str(renders.folder / "clip.mp4")]


def test_a_stopped_job_is_called_so_and_one_that_waits_for_ever_is_stuck(renders):
    stopped = renders.encode()
    os.kill(stopped.pid, signal.SIGSTOP)
    waits = renders.waits()
    found = {one["pid"]: one for one in listing.watched(renders.jobs(), WINDOW)}
    assert (found[stopped.pid]["verdict"], found[stopped.pid]["state"]) == ("stopped", "T")
    assert found[waits.pid]["verdict"] == "stuck" and found[waits.pid]["cpu_pct"] == 0
    assert [one["verdict"] for one in listing.watched(renders.jobs(), WINDOW)] == ["stuck", "stopped"]


def test_a_job_that_is_slowed_down_is_never_taken_for_stuck(renders):
    """It may run for a tenth of the time, as by cpulimit."""
    job, over = renders.encode(), threading.Event()

    def slow() -> None:
        while not over.is_set():
            os.kill(job.pid, signal.SIGSTOP)
            time.sleep(0.09)
            os.kill(job.pid, signal.SIGCONT)
            time.sleep(0.01)

    thread = threading.Thread(target=slow)
    thread.start()
    try:
        verdicts = {one["verdict"] for _look in range(5) for one in listing.watched(renders.jobs(), 4 * WINDOW)}
    finally:
        over.set()
        thread.join()
    assert verdicts and verdicts <= {"slow", "working"}


def test_without_a_window_nothing_is_judged(renders):
    renders.encode()
    (one,) = listing.watched(renders.jobs(), 0.0)
    assert one["verdict"] == "" and listing.watched([], 5.0) == []


def test_one_that_ends_meanwhile_is_left_out(renders):
    job = renders.encode(seconds=600)

    def end(_seconds: float) -> None:
        os.kill(job.pid, signal.SIGKILL)
        wait_until(lambda: not processes.is_alive(job.pid, job.ticks), HANG)

    assert listing.watched(renders.jobs(), 1.0, end) == [] and listing.sample(job) is None


def test_passwords_in_a_command_are_not_told(renders):
    renders.encode("clip.mp4", "-metadata", "comment=https://ada:open-sesame@example.org/x")
    (job,) = renders.jobs()
    assert "open-sesame" not in job.command and "example.org" in job.command


def test_what_the_job_has_open_is_bounded(renders, monkeypatch):
    """A device or a pipe in the place of a progress file is no file."""
    job = renders.waits()
    with pytest.raises(OSError):
        listing.opened(job.pid, 0)
    monkeypatch.setattr(listing, "_MOST", 0)
    assert listing.files(job.pid) == ({}, None)
