"""Jobs of a service, through the module."""

from __future__ import annotations

import os
import signal

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._service import registry
from ansible_collections.mobius.ops.plugins.modules import ffmpeg_job


@pytest.fixture
def job(host, renders, run_module, monkeypatch):
    """Run the module on a host whose service starts the test's jobs."""
    monkeypatch.setattr(registry, "load", lambda _layout, _name: renders.service)

    def run(check=False, **options):
        return run_module(ffmpeg_job, {"root": host.root, "window": 2, "stop_timeout": HANG, "look": HANG, **options}, check=check)

    return run


def events(host):
    return [event for event in host.history() if event["what"] == "jobs_ended"] if os.path.exists(host.layout.history) else []


def test_none_runs(job):
    result = job()
    assert (result["changed"], result["jobs"], result["message"]) == (False, [], "No ffmpeg job runs.")


def test_jobs_are_told_by_what_they_are(job, renders):
    working, stopped = renders.encode("a.mp4"), renders.encode("b.mp4")
    os.kill(stopped.pid, signal.SIGSTOP)
    result = job()
    assert not result["changed"] and [one["pid"] for one in result["jobs"]] == [stopped.pid, working.pid]
    assert result["message"].startswith("2 ffmpeg jobs run: 1 stopped (ffmpeg ")
    assert [one["pid"] for one in job(only=["stopped"])["jobs"]] == [stopped.pid]


def test_check_mode_ends_nothing(job, renders, host):
    alive = renders.encode()
    result = job(check=True, state="killed", jobs=[str(alive.pid)])
    assert result["changed"] and processes.is_alive(alive.pid, alive.ticks) and events(host) == []


def test_a_job_is_stopped_and_its_file_can_be_played(job, renders, host):
    alive, other = renders.encode("a.mp4"), renders.encode("b.mp4")
    result = job(state="stopped", jobs=[str(alive.pid)], why="it is in the way")
    (ended,) = result["ended"]
    assert result["changed"] and (ended["pid"], ended["how"]) == (alive.pid, "stopped") and ended["results"][0]["error"] == ""
    assert result["message"] == "ffmpeg jobs: 1 stopped." and processes.is_alive(other.pid, other.ticks)
    (event,) = events(host)
    assert event["why"] == "it is in the way" and event["jobs"] == [f"ffmpeg {alive.pid} stopped"]
    assert job(state="stopped", only=["stuck"])["message"] == "No ffmpeg job was meant, so none was ended."


def test_one_that_does_not_hear_fails_until_it_is_killed(job, renders, host):
    alive = renders.waits()
    result = job(state="stopped", only=["stuck"], stop_timeout=0.3)
    assert result["failed"] and result["msg"] == (
        f"job ffmpeg {alive.pid}: expected to end within 0.3 s, found that it goes on, as 1 of 1 do. Use state killed."
    )
    assert result["ended"][0]["how"] == "runs" and events(host) == []
    result = job(state="killed", only=["stuck"], stop_timeout=0.3)
    assert result["changed"] and result["ended"][0]["how"] == "killed" and result["message"] == "ffmpeg jobs: 1 killed."


def test_which_ones_has_to_be_said(job):
    assert job(state="killed")["msg"] == (
        "state killed: expected jobs or only to say which jobs are meant, found neither. Name them, or give only: [stuck]."
    )
    assert "expected a render's id or a process id of a job that runs, found none at all" in job(state="stopped", jobs=["x"])["msg"]


def test_jobs_are_awaited(job, renders):
    assert job(state="drained", quiet=0.1)["message"] == "0 ffmpeg jobs ended by themselves."
    alive = renders.encode()
    result = job(state="drained", drain_timeout=0.3, quiet=0.1)
    assert result["failed"] and f"expected none within 0.3 s, found ffmpeg {alive.pid}" in result["msg"]
    brief = renders.encode("brief.mp4", seconds=2)
    result = job(state="drained", jobs=[str(brief.pid)], quiet=0.1, drain_timeout=HANG)
    assert result["message"] == "1 ffmpeg job ended by themselves." or "failed" not in result
    assert processes.is_alive(alive.pid, alive.ticks) and not processes.is_alive(brief.pid, brief.ticks)


def test_a_file_with_an_odd_name_is_told_in_one_line_of_text(job, renders):
    alive = renders.encode(os.fsdecode(b"-od\xff \x1b[2J\nd.mp4"))
    (one,) = job()["jobs"]
    (output,) = one["outputs"]
    (result,) = job(state="stopped", jobs=[str(alive.pid)])["ended"][0]["results"]
    assert result["error"] == "" and result["path"] == output["path"]
    for text in (output["path"], result["path"], one["command"]):
        assert text.isprintable() and "-od" in text and text.encode()
