"""What renders on a host, by the playbook: the real application, its renderer, and ffmpeg."""

from __future__ import annotations

import os
import signal

import pytest
from support import renders
from support.remains import kill
from support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("health")


@pytest.fixture
def rendering(shared_served):
    """A site with v1 live that renders; its id and the process of its ffmpeg."""
    job = shared_served.client().begin_render(seconds=600, realtime=True)
    pid = wait_until(lambda: renders.encoder_of(shared_served.service()["pid"]), "ffmpeg has opened its clip")
    yield shared_served, job, pid
    kill(pid)


def test_a_render_is_shown_stopped_and_leaves_a_clip_that_can_be_played(rendering, says):
    site, job, pid = rendering
    result = site.play("ffmpeg", mobius_ffmpeg_window="2")
    assert (result.status, result.outcome, result.changed()) == (0, "rendering", 0), result.output
    assert says(result, "1 ffmpeg job runs: 1 ") and [job] in result.stats["mobius_ffmpeg_found"].values(), result.output

    os.kill(pid, signal.SIGSTOP)
    result = site.play("ffmpeg", mobius_ffmpeg_window="2")
    assert (result.status, result.outcome) == (0, "impaired_now") and says(result, f"1 stopped ({job})"), result.output

    wanted = {"mobius_ffmpeg_only": ["stopped"], "mobius_ffmpeg_window": "2", "mobius_why": "a test"}
    result = site.play("ffmpeg", mobius_ffmpeg_state="killed", **wanted)
    assert (result.status, result.outcome) == (0, "ended") and says(result, "ffmpeg jobs: 1 stopped."), result.output
    assert "can be played" in result.output and "cannot be played" not in result.output
    assert site.history()[-1]["jobs"] == [f"{job} stopped"] and site.history()[-1]["why"] == "a test"
    wait_until(lambda: site.client().job(job)["status"] == "failed")

    result = site.play("ffmpeg", mobius_ffmpeg_window="2")
    assert (result.status, result.outcome) == (0, "idle") and says(result, "libx264, aac encode and decode."), result.output


def test_a_request_that_says_not_which_ends_nothing(shared_served, says):
    result = shared_served.play("ffmpeg", mobius_ffmpeg_state="stopped")
    assert (result.status, result.outcome) == (2, "not_ended"), result.output
    assert says(result, "expected jobs or only to say which jobs are meant"), result.output


def test_an_ffmpeg_without_a_filter_is_told(shared_served, says):
    result = shared_served.play("ffmpeg", mobius_filters=["drawtext", "nofilter"])
    assert (result.status, result.outcome) == (2, "unhealthy_now") and says(result, "no filter nofilter."), result.output
