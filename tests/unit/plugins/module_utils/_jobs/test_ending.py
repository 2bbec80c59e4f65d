"""Jobs are ended so that their files stay playable, and by force only then."""

from __future__ import annotations

import os
import signal

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._jobs import ending, listing
from ansible_collections.mobius.ops.plugins.module_utils._target.progress import Meter


def test_a_job_that_is_stopped_leaves_a_file_that_decodes(renders):
    job = renders.encode()
    ended = ending.end(renders.service, job, HANG, False, HANG)
    assert ended.how == "stopped" and not processes.is_alive(job.pid, job.ticks)
    (result,) = ended.results
    assert (result["path"], result["error"], result["kept"]) == (str(renders.folder / "out.mp4"), "", True) and result["size"] > 0


def test_one_that_got_sigstop_goes_on_first(renders):
    job = renders.encode()
    os.kill(job.pid, signal.SIGSTOP)
    ended = ending.end(renders.service, job, HANG, False, HANG)
    assert ended.how == "stopped" and [one["error"] for one in ended.results] == [""]


def test_a_file_that_the_application_removes_at_once_is_looked_at_all_the_same(renders, monkeypatch):
    job, gone = renders.encode(), ending._gone

    def removed(job, timeout):
        ended = gone(job, timeout)
        (renders.folder / "out.mp4").unlink(missing_ok=True)
        return ended

    monkeypatch.setattr(ending, "_gone", removed)
    (result,) = ending.end(renders.service, job, HANG, False, HANG).results
    assert (result["error"], result["kept"]) == ("", False)


def test_one_that_does_not_hear_is_told_and_killed_only_by_force(renders):
    job = renders.waits()
    assert ending.end(renders.service, job, 0.3, False, 1.0).how == "runs"
    assert processes.is_alive(job.pid, job.ticks)
    assert ending.end(renders.service, job, 0.3, True, 1.0).how == "killed"
    assert not processes.is_alive(job.pid, job.ticks)


def test_what_a_killed_job_leaves_is_not_called_playable(renders, monkeypatch):
    job, send = renders.encode(), processes.send
    monkeypatch.setattr(processes, "send", lambda pid, ticks, *numbers: signal.SIGKILL not in numbers or send(pid, ticks, *numbers))
    ended = ending.end(renders.service, job, 0.1, True, HANG)
    assert ended.how == "killed" and "moov atom not found" in ended.results[0]["error"]


def test_a_process_that_got_the_id_meanwhile_gets_no_signal(renders):
    job = renders.encode()
    assert not processes.send(job.pid, job.ticks + 1, signal.SIGKILL) and processes.is_alive(job.pid, job.ticks)
    other = listing.Job(**{**job.__dict__, "ticks": job.ticks + 1})
    assert ending.end(renders.service, other, HANG, True, 1.0).how == "gone" and processes.is_alive(job.pid, job.ticks)


def test_a_kernel_without_descriptors_of_processes_will_do(renders, monkeypatch):
    def refused(_pid):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refused)
    job = renders.encode()
    assert ending.end(renders.service, job, HANG, False, HANG).how == "stopped"


def test_jobs_are_awaited_until_none_is_left(renders, monkeypatch):
    job, looks = renders.encode(), []

    def listed(service, programs):
        looks.append(1)
        if len(looks) == 3:
            os.kill(job.pid, signal.SIGTERM)
        return real(service, programs)

    real = listing.listed
    monkeypatch.setattr(listing, "listed", listed)
    assert ending.drain(renders.service, ["ffmpeg"], lambda _job: True, HANG, Meter(), 0.2) == [] and len(looks) > 3


def test_those_that_go_on_are_told_at_the_end_of_the_time(renders):
    job = renders.encode()
    assert [left.pid for left in ending.drain(renders.service, ["ffmpeg"], lambda _job: True, 0.2, Meter(), 0.1)] == [job.pid]
    assert ending.drain(renders.service, ["ffmpeg"], lambda _job: False, 0.2, Meter(), 0.1) == []


def test_which_jobs_are_meant():
    jobs = [{"name": "a", "pid": 1, "verdict": "stuck"}, {"name": "b", "pid": 2, "verdict": "working"}]
    assert ending.chosen(jobs, [], []) == jobs and ending.chosen(jobs, ["2"], []) == [jobs[1]]
    assert ending.chosen(jobs, ["a", "b"], ["stuck"]) == [jobs[0]]
    with pytest.raises(StateError, match=r"^job c: expected a render's id or a process id of a job that runs, found 1, 2, a, b\."):
        ending.chosen(jobs, ["c"], [])
    with pytest.raises(StateError, match="found none at all"):
        ending.chosen([], ["c"], [])


def test_a_job_that_has_ended_by_itself_is_gone(renders):
    job = renders.encode()
    os.kill(job.pid, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(job.pid, job.ticks), HANG)
    assert ending.end(renders.service, job, 1.0, True, 1.0) == ending.Ended(job, "gone", 0.0, ())


def test_where_only_the_service_sees_its_ffmpeg_the_hosts_looks_at_files(renders, monkeypatch):
    job = renders.encode()
    assert os.path.basename(ending._program(job.pid)).startswith("ffmpeg") and os.path.isabs(ending._program(job.pid))
    monkeypatch.setattr(os, "readlink", lambda _path: "/opt/mobius/app/node_modules/ffmpeg-static/ffmpeg")
    assert ending._program(job.pid) == "ffmpeg" and ending._program(0) == "ffmpeg"
