# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Encodes that are stopped at random moments leave files that decode, whatever their form; none of them is killed for that.

All parts together stop twenty: ``make test-faults ARGS="--long -k ffmpeg"``.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from support.renders import renders
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._jobs import ending, listing

FORMS = (("out.mp4",), ("out.mov",), ("out.mkv",), ("out.ts", "-f", "mpegts"), ("parts.mp4", "-movflags", "+frag_keyframe+empty_moov"))


@pytest.fixture
def signals(monkeypatch):
    """The signals that were sent, in their order."""
    sent, send = [], processes.send

    def sends(pid, ticks, *numbers):
        sent.append((pid, numbers))
        return send(pid, ticks, *numbers)

    monkeypatch.setattr(processes, "send", sends)
    return sent


@pytest.mark.parts(quick=1, long=4)
def test_every_graceful_stop_leaves_a_file_that_decodes(tmp_path, chance, part, signals):
    with renders(tmp_path) as service:
        jobs = [service.encode(*form) for form in FORMS]
        for job, form in zip(jobs, FORMS):
            time.sleep(chance.random())
            if chance.random() < 0.3:
                os.kill(job.pid, signal.SIGSTOP)
            ended = ending.end(service.service, job, HANG, True, HANG)
            (result,) = ended.results
            assert (ended.how, result["path"], result["error"]) == ("stopped", str(tmp_path / form[0]), ""), (form, ended)
    assert signals == [(job.pid, (signal.SIGTERM, signal.SIGCONT)) for job in jobs]


def test_a_job_is_killed_only_when_it_had_its_time_after_it_was_asked(tmp_path, signals):
    with renders(tmp_path) as service:
        job = service.waits()
        assert ending.end(service.service, job, 0.5, False, 0).how == "runs" and processes.is_alive(job.pid, job.ticks)
        asked = (job.pid, (signal.SIGTERM, signal.SIGCONT))
        assert signals == [asked]
        ended = ending.end(service.service, job, 0.5, True, 0)
        assert ended.how == "killed" and ended.seconds >= 0.5 and signals == [asked, asked, (job.pid, (signal.SIGKILL,))]


def test_a_stuck_job_is_found_in_one_window_and_one_that_is_slowed_tenfold_never(tmp_path):
    with renders(tmp_path) as service:
        slowed, stuck = service.encode(), service.waits()
        for _look in range(4):
            found = {one["pid"]: one["verdict"] for one in listing.watched(service.jobs(), 2.0, lambda seconds: _slow(slowed.pid, seconds))}
            assert found[stuck.pid] == "stuck" and found[slowed.pid] in ("slow", "working"), found


def _slow(pid: int, seconds: float) -> None:
    """Give a process a tenth of the time, as cpulimit does."""
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.09)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
