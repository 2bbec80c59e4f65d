# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of text about what a host does by itself."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.filter.upkeep_page import upkeep_page

JOB = {
    "job": "backup",
    "calendar": "*-*-* 02:15",
    "next": "2026-11-28T02:15:00Z",
    "last": "2026-11-27T02:20:31Z",
    "state": "done",
    "outcome": "backed_up",
    "message": "a.zip (verified, 12 entries).",
    "seconds": 4.2,
    "incident": None,
    "last_good": "2026-11-27T02:20:31Z",
    "good": True,
}


def lines(**upkeep):
    return [" ".join(line.split()) for line in upkeep_page({"jobs": [JOB], **upkeep}).splitlines()]


def test_jobs_have_their_next_run_and_how_the_last_one_ended():
    failed = {**JOB, "job": "verify", "next": None, "state": "failed", "good": False, "message": "One archive is corrupt. " + "x" * 200}
    new = {**JOB, "job": "metrics", "last": None, "state": "scheduled", "seconds": None, "outcome": ""}
    found = lines(jobs=[JOB, failed, new, {**JOB, "state": "skipped", "message": "ada holds it."}])
    assert found[1] == "job when next run last run state took result"
    assert found[2] == "backup *-*-* 02:15 2026-11-28T02:15:00Z 2026-11-27T02:20:31Z done 4.2 s backed_up"
    assert found[3].startswith("verify *-*-* 02:15 - 2026-11-27T02:20:31Z failed 4.2 s One archive is corrupt. xxx")
    assert found[3].endswith("…")
    assert found[4] == "metrics *-*-* 02:15 2026-11-28T02:15:00Z - scheduled -"
    assert found[5].endswith("skipped 4.2 s ada holds it.")


def test_without_jobs_the_way_to_them_is_told():
    assert lines(jobs=[])[1] == "none; mobius.ops.schedule installs timers"


def test_what_needs_attention_is_named_with_the_next_command():
    found = lines(
        stuck_jobs=[{"name": "render-7", "verdict": "stuck", "pid": 77}],
        logs_read="2026-11-27T08:00:00Z",
        new_errors=[{"template": "render <id> failed", "count": 3}],
        disk_days={"/": 12.5, "/srv": None},
    )
    assert "FFmpeg job render-7 is stuck (process 77). Run: ansible-playbook mobius.ops.ffmpeg." in found
    assert "New errors since the last deploy, as of 2026-11-27T08:00:00Z: ansible-playbook mobius.ops.logs shows all." in found
    assert "3 × render <id> failed" in found
    assert "Disk / is full in about 12.5 days at the pace of the last two weeks." in found and "/srv" not in " ".join(found)
    assert len(lines(stuck_jobs=None, new_errors=[], disk_days={})) == 3


def test_a_host_that_could_not_be_looked_at():
    assert upkeep_page({"failed": True, "msg": "root /x: no."}) == "root /x: no."
    assert upkeep_page({}) == "The host could not be looked at."
