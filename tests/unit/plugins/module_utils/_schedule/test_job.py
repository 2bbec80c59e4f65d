# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the timers start: real backups, a real receiver, real kills."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import locks
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._schedule import job, jobs, record
from ansible_collections.mobius.ops.plugins.module_utils._service import detach
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock


def archives(scheduled):
    return sorted(name for name in os.listdir(scheduled.layout.backups) if name.endswith(".zip"))


@contextlib.contextmanager
def without_backups(scheduled):
    """The folder of backups is gone for a while."""
    aside = scheduled.layout.backups + ".aside"
    os.rename(scheduled.layout.backups, aside)
    yield
    os.rename(aside, scheduled.layout.backups)


def test_a_backup_is_made_pruned_and_noted(scheduled):
    for _number in range(4):
        last = scheduled.run("backup")
    assert (last.outcome, last.good, last.status, last.state()) == ("backed_up", True, 0, "done") and last.last_good == last.ended
    assert len(archives(scheduled)) == 3 and "1 archive removed" in last.message and archives(scheduled)[-1] in last.message
    assert scheduled.incidents() == [] and scheduled.told == []
    assert scheduled.run("verify").outcome == "verified"


def test_a_failed_backup_is_one_incident_that_pages_at_once_and_ends_with_a_good_one(scheduled):
    with without_backups(scheduled):
        last = scheduled.run("backup")
        assert (last.outcome, last.good, last.status, last.state()) == ("failed", False, 1, "failed") and last.last_good is None
        assert "backups" in last.message and last.incident.startswith("INC-")
        assert scheduled.told == ["SEV2 high: The scheduled backup failed (production, web1)"]
        again = scheduled.run("backup")
    assert again.incident == last.incident and scheduled.incidents() == [("backup", "open")] and len(scheduled.told) == 1
    assert scheduled.run("backup").incident is None
    assert scheduled.incidents() == [("backup", "resolved")]
    with open(scheduled.layout.path("incidents", last.incident + ".md"), encoding="utf-8") as stream:
        assert "- Resolved 20" in stream.read()
    with without_backups(scheduled):
        scheduled.run("backup")
    assert scheduled.incidents() == [("backup", "open")] and len(scheduled.told) == 2  # the same one, reopened, and paged anew


def test_a_corrupt_archive_is_an_incident_with_its_name(scheduled):
    scheduled.run("backup")
    [name] = archives(scheduled)
    with open(os.path.join(scheduled.layout.backups, name), "r+b") as stream:
        stream.seek(40)
        stream.write(b"\0\0\0\0")
    last = scheduled.run("verify")
    assert (last.outcome, last.status) == ("not_verified", 1) and name in last.message
    assert scheduled.incidents() == [("verify backups", "open")] and scheduled.told == [
        "SEV2 high: The scheduled verification of backups failed (production, web1)"
    ]


def test_archives_that_stay_when_pruning_fails_are_told(scheduled, monkeypatch):
    scheduled.options["prune"]["allowed_signers"] = scheduled.layout.path("none")
    scheduled.save()
    last = scheduled.run("backup")
    assert last.outcome == "not_pruned" and last.good is False and "Old archives stay: " in last.message and len(archives(scheduled)) == 1


def test_a_deploy_is_waited_for_and_a_long_one_skips_the_backup(scheduled, monkeypatch):
    lock = deploy_lock.DeployLock(scheduled.layout)
    token = lock.hold({"owner": "ada", "reason": "deploy of v2", "env": "production", "host": "laptop", "process": "", "expiry": 1e6})[
        "lock"
    ]["token"]
    monkeypatch.setitem(jobs.JOBS, "backup", jobs.dataclasses.replace(jobs.JOBS["backup"], patience=0.05))
    last = scheduled.run("backup")
    assert (last.outcome, last.good, last.status, last.state()) == ("skipped", None, 0, "skipped")
    assert "ada on laptop holds it since" in last.message and "'deploy of v2'" in last.message and archives(scheduled) == []
    assert scheduled.incidents() == [] and last.last_good is None
    monkeypatch.setattr(job.time, "sleep", lambda seconds: lock.free(token))
    assert scheduled.run("backup").outcome == "backed_up"


def test_no_job_runs_twice_at_a_time(scheduled, monkeypatch, capsys):
    monkeypatch.setattr(job, "PATIENCE", 0.0)
    record.make_folder(scheduled.layout)
    with locks.locked(os.path.join(record.folder(scheduled.layout), ".backup.lock"), 0):
        assert job.run(scheduled.layout, "backup") == 0
    assert capsys.readouterr().out == "backup: another run of it has not ended.\n" and archives(scheduled) == []


def test_a_killed_backup_is_found_by_the_next_look_and_pages(scheduled):
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = record.Run("backup", "2026-11-27T02:15:00Z", gone.pid, job.record.processes.start_ticks(gone.pid))
    record.note(scheduled.layout, run)
    assert record.last(scheduled.layout, "backup").state() == "running"
    gone.kill()
    gone.communicate()
    assert record.last(scheduled.layout, "backup").state() == "killed"
    scheduled.run("metrics")
    last = record.last(scheduled.layout, "backup")
    assert (last.outcome, last.good, last.state()) == ("killed", False, "failed") and "was ended before its end" in last.message
    assert scheduled.incidents() == [("backup", "open")] and scheduled.told == ["SEV2 high: The scheduled backup failed (production, web1)"]
    scheduled.run("metrics")
    assert len(scheduled.told) == 1 and scheduled.run("backup").good and scheduled.incidents() == [("backup", "resolved")]


def test_a_backup_that_never_came_is_an_incident_once_the_host_had_time_to_make_up_for_it(scheduled, monkeypatch):
    planned = record.require(scheduled.layout)
    late = {name: jobs.dataclasses.replace(job_, since="2026-01-01T00:00:00Z") for name, job_ in planned.jobs.items()}
    record.save(scheduled.layout, jobs.dataclasses.replace(planned, jobs=late))
    monkeypatch.setattr(deploy_lock, "uptime", lambda: 60.0)
    scheduled.run("metrics")
    assert scheduled.incidents() == []
    monkeypatch.setattr(deploy_lock, "uptime", lambda: 1e6)
    scheduled.run("metrics")
    scheduled.run("metrics")
    assert scheduled.incidents() == [("backup", "open"), ("verify backups", "open")] and sorted(scheduled.told) == [
        "SEV2 high: The scheduled backup is overdue (production, web1)",
        "SEV2 high: The scheduled verification of backups is overdue (production, web1)",
    ]
    scheduled.run("backup")
    scheduled.run("metrics")
    assert scheduled.incidents() == [("backup", "resolved"), ("verify backups", "open")]


def test_a_run_that_ends_while_it_is_looked_at_is_not_taken_for_killed(scheduled):
    record.make_folder(scheduled.layout)
    record.note(scheduled.layout, record.Run("backup", "2026-11-27T02:15:00Z", 99999999, 7))
    with locks.locked(os.path.join(record.folder(scheduled.layout), ".backup.lock"), 0):
        scheduled.run("metrics")
    assert record.last(scheduled.layout, "backup").ended is None and scheduled.incidents() == []


def test_an_error_of_our_own_is_a_failed_run(scheduled, monkeypatch, secret):
    def broken(_layout, _wanted):
        raise KeyError(secret)

    monkeypatch.setitem(jobs.JOBS, "backup", jobs.dataclasses.replace(jobs.JOBS["backup"], run=broken))
    last = scheduled.run("backup")
    assert last.outcome == "failed" and "backup ended with KeyError" in last.message and secret not in last.message
    assert scheduled.host.files_with(secret) == []


def test_without_contacts_the_incident_stands_and_the_word_says_so(scheduled, capsys):
    os.unlink(scheduled.layout.path("state", "notify.json"))
    with without_backups(scheduled):
        assert job.run(scheduled.layout, "backup") == 1
    assert "Nobody was paged: messages: this host has no contacts." in capsys.readouterr().out
    assert scheduled.incidents() == [("backup", "open")]
    assert scheduled.run("escalate").outcome == "failed" and scheduled.incidents() == [("backup", "open")]


def test_paging_is_a_job(scheduled):
    assert scheduled.run("escalate").outcome == "quiet"


def test_jobs_that_are_not_scheduled_are_refused(scheduled):
    with pytest.raises(InputError, match=r"job 'bakup': this host has no such job\. Use one of backup, escalate"):
        job.run(scheduled.layout, "bakup")
    record.discard(scheduled.layout)
    with pytest.raises(StateError, match=r"no schedule\. Run the playbook mobius.ops.schedule first"):
        job.run(scheduled.layout, "backup")


def test_it_runs_from_the_archive_alone_without_ansible(scheduled):
    argv, env = detach.command(scheduled.layout, job, scheduled.layout.root)
    names = zipfile.ZipFile(env["PYTHONPATH"]).namelist()
    assert not [name for name in names if "/_ansible/" in name]
    code = "import sys; sys.modules['ansible'] = None; import runpy; sys.argv[1:] = {!r}; runpy.run_module({!r}, run_name='__main__')"
    for name, word in (("backup", "BACKED_UP: "), ("verify", "VERIFIED: "), ("metrics", "LOOKED: "), ("escalate", "QUIET: ")):
        done = subprocess.run(
            [argv[0], "-c", code.format([scheduled.layout.root, name], argv[2])],
            env=env,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and done.stdout.startswith(word), done.stderr
    assert record.last(scheduled.layout, "backup").outcome == "backed_up"


def test_a_damaged_schedule_is_one_sentence(scheduled):
    with open(record.path(scheduled.layout), "w", encoding="utf-8") as stream:
        stream.write("[]")
    argv, env = detach.command(scheduled.layout, job, scheduled.layout.root)
    done = subprocess.run([*argv, "backup"], env=env, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "Move the file away and run the playbook mobius.ops.schedule" in done.stderr


def test_a_run_that_is_ended_by_its_time_limit_is_settled_by_the_next_run_of_its_own(scheduled):
    record.note(scheduled.layout, record.Run("backup", "2026-11-27T02:15:00Z", 99999999, 7, last_good="2026-11-26T02:15:09Z"))
    with without_backups(scheduled):
        last = scheduled.run("backup")
    assert last.last_good == "2026-11-26T02:15:09Z" and scheduled.incidents() == [("backup", "open")]
