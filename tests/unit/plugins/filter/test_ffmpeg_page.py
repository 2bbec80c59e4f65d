"""The page of the ffmpeg jobs of a host."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.ffmpeg_page import OUTCOMES, ffmpeg_page

WELL = {"version": "5.1", "path": "/usr/bin/ffmpeg", "well": True, "message": "FFmpeg 5.1 has what is wanted."}


def job(**facts):
    return {
        "pid": 7,
        "name": "3f-1",
        "verdict": "working",
        "port": 5001,
        "release": "v1",
        "age": 75.0,
        "cpu_pct": 96.4,
        "speed": 1.5,
        "written_per_s": 20_000,
        "outputs": [{"path": "/opt/mobius/shared/" + "x" * 80 + "/clip.mp4", "size": 3_000_000}],
        **facts,
    }


def test_a_table_of_jobs():
    other = job(name="4a", speed=None, written_per_s=None, outputs=[], verdict="slow")
    found = ffmpeg_page({"jobs": [job(), other], "message": "2 run."}, WELL)
    head, _jobs, names, first, second = found["page"].splitlines()
    assert head == "FFmpeg: 5.1 (/usr/bin/ffmpeg)" and names.split()[:3] == ["job", "verdict", "runs"]
    assert first.split()[:2] == ["3f-1", "working"] and "96 %" in first and "1.5x" in first and "/clip.mp4 (3.0 MB)" in first
    assert "5001 v1" in first and len(first) < 170 and second.split()[:2] == ["4a", "slow"]
    assert (found["outcome"], found["good"], found["names"]) == ("rendering", True, {"working": ["3f-1"], "slow": ["4a"]})
    assert found["message"] == "2 run. FFmpeg 5.1 has what is wanted."


@pytest.mark.parametrize(
    "jobs, program, outcome, good, said",
    [
        ({"jobs": [], "message": "No ffmpeg job runs."}, WELL, "idle", True, "No ffmpeg job runs. FFmpeg 5.1"),
        ({"jobs": [job(verdict="stuck")], "message": "1 stuck."}, WELL, "impaired_now", True, "1 stuck. End it with -e"),
        (
            {"jobs": [], "message": "None."},
            {**WELL, "well": False, "message": "FFmpeg 5: no filter drawtext."},
            "unhealthy_now",
            False,
            "FFmpeg 5: no filter drawtext. None.",
        ),
        (
            {"jobs": [], "message": "None."},
            {"msg": "ffmpeg: none on the PATH.", "failed": False},
            "unhealthy_now",
            False,
            "ffmpeg: none on the PATH. None.",
        ),
        ({"jobs": [], "message": "0 ended."}, {"skipped": True}, "drained", True, "0 ended."),
        ({"jobs": [job(verdict="")], "ended": [], "message": "None was meant."}, {"skipped": True}, "ended", True, "None was meant."),
        ({"msg": "job x: expected …"}, {"skipped": True}, "not_ended", False, "job x: expected …"),
        ({"jobs": [job(verdict="")], "msg": "job 3f-1: goes on."}, None, "not_ended", False, "job 3f-1: goes on."),
        ({}, {}, "not_ended", False, "The jobs could not be looked at."),
    ],
)
def test_what_comes_of_it(jobs, program, outcome, good, said):
    found = ffmpeg_page(jobs, program)
    assert (found["outcome"], found["good"]) == (outcome, good) and found["message"].startswith(said)
    assert outcome in OUTCOMES


def test_what_became_of_files():
    ended = [
        {
            "name": "3f-1",
            "pid": 7,
            "how": "stopped",
            "seconds": 0.12,
            "results": [
                {"path": "/a.mp4", "size": 1, "kept": True, "error": ""},
                {"path": "/b.mp4", "size": 1, "kept": False, "error": "moov atom not found."},
            ],
        },
        {"name": "4a", "pid": 8, "how": "gone", "seconds": 0.0, "results": []},
    ]
    found = ffmpeg_page({"jobs": [job(verdict="")], "ended": ended, "message": "done."}, {"skipped": True})
    assert found["page"].splitlines()[-4:] == [
        "  3f-1 (7) stopped after 0.12 s",
        "    /a.mp4: can be played",
        "    /b.mp4: cannot be played (moov atom not found); the application has removed it",
        "  4a (8) had ended before",
    ]
    assert found["names"] == {"stopped": ["3f-1"], "gone": ["4a"]}
