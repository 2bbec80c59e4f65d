# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module schedule, on real files and with systemd's own reading of calendars; the timers are a stand-in's."""

from __future__ import annotations

import json
import os
import stat

import pytest
from support.fake_systemd import FakeSystemd

from ansible_collections.mobius.ops.plugins.module_utils._core import systemd as core_systemd
from ansible_collections.mobius.ops.plugins.module_utils._schedule import units
from ansible_collections.mobius.ops.plugins.modules import notify, schedule, upkeep_info

JOBS = {"backup": "*-*-* 02:15", "verify": "Sun 04:30", "metrics": "*:*:0/30"}
PEOPLE = {"contacts": {"channels": {"room": {}}}, "escalation": {"2": [{"after": 0, "notify": ["room"]}]}}


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A host that systemd has booted, and on which this process is root."""
    fake = FakeSystemd(str(tmp_path / "systemd"))
    fake.install()
    monkeypatch.setattr(core_systemd, "UNIT_DIR", fake.units)
    monkeypatch.setattr(core_systemd, "is_init", lambda: True)
    monkeypatch.setattr(units.os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", os.path.dirname(fake.program) + os.pathsep + os.environ["PATH"])
    return fake


@pytest.fixture
def run(run_module, host, systemd):
    """Runs the module on a host that was set up."""
    host.service()

    def run(check=False, **options):
        return run_module(
            schedule, {"root": host.root, "env": "production", "jobs": JOBS, "prune": {"keep_daily": 7}, **options}, check=check
        )

    return run


def stored(host):
    with open(host.layout.path("state", "schedule.json"), encoding="utf-8") as stream:
        return json.load(stream)


def test_timers_run_with_the_record_and_the_code_in_place(run, host, systemd):
    result = run(checks=host.raw_checks, secret_headers={"X-Key": "zeKr1t-of-a-check"})
    assert result["changed"] and systemd.timers() == {f"mobius-production-{job}.timer" for job in JOBS} == set(result["timers"])
    assert result["message"] == "3 jobs are scheduled: backup, verify, metrics."
    assert stat.S_IMODE(os.stat(host.layout.path("state", "schedule.json")).st_mode) == 0o600
    record = stored(host)
    assert record["jobs"]["backup"]["period"] == 86400 and record["jobs"]["metrics"]["period"] == 30
    assert record["jobs"]["backup"]["options"]["prune"]["keep_daily"] == 7 and os.path.isfile(record["code"])
    text = core_systemd.read_unit("mobius-production-backup.service")
    assert f'"PYTHONPATH={record["code"]}"' in text and "IOSchedulingClass=idle" in text and "TimeoutStartSec=27000" in text
    assert f'ReadWritePaths="{host.root}"' in text and "ProtectSystem=strict" in text
    assert "zeKr1t" not in "".join(core_systemd.read_unit(name) for name in systemd.files())
    timer = core_systemd.read_unit("mobius-production-backup.timer")
    assert "OnCalendar=*-*-* 02:15\nPersistent=true\nRandomizedDelaySec=900\n" in timer


def test_a_folder_of_backups_elsewhere_may_be_written_to_and_be_missing(run, host, systemd, tmp_path):
    assert run(backup={"dest": str(tmp_path / "usb disk")}, prune={"dest": host.layout.backups})["changed"]
    text = core_systemd.read_unit("mobius-production-backup.service")
    assert f'ReadWritePaths="{host.root}"\nReadWritePaths="-{tmp_path}/usb disk"\n' in text


def test_a_second_run_changes_nothing(run, host, systemd, snapshot):
    assert run()["changed"]
    before = stored(host), snapshot(systemd.units)
    assert not run()["changed"] and (stored(host), snapshot(systemd.units)) == before
    core_systemd.systemctl("stop", "mobius-production-verify.timer")
    assert run()["changed"] and "mobius-production-verify.timer" in systemd.timers()


def test_check_mode_writes_nothing(run, host, systemd, snapshot):
    before = snapshot(host.root), snapshot(systemd.units)
    result = run(check=True)
    assert result["changed"] and len(result["timers"]) == 3 and (snapshot(host.root), snapshot(systemd.units)) == before
    assert result["diff"]["before"] == "" and "backup  *-*-* 02:15\n" in result["diff"]["after"]
    run()
    before = snapshot(host.root), snapshot(systemd.units)
    assert not run(check=True)["changed"] and run(check=True, state="absent")["changed"]
    assert (snapshot(host.root), snapshot(systemd.units)) == before


def test_a_job_that_is_off_loses_its_timer_and_absent_removes_all(run, host, systemd):
    run()
    assert run(jobs={**JOBS, "verify": False, "backup": "03:00"})["changed"]
    assert systemd.timers() == {"mobius-production-backup.timer", "mobius-production-metrics.timer"}
    assert not core_systemd.read_unit("mobius-production-verify.service") and "OnCalendar=03:00\n" in core_systemd.read_unit(
        "mobius-production-backup.timer"
    )
    assert run(state="absent")["changed"] and systemd.timers() == set() == systemd.files()
    assert not os.path.exists(host.layout.path("state", "schedule.json"))
    assert not run(state="absent")["changed"]


def test_another_service_name_takes_the_timers_along(run, run_module, host, systemd):
    run()
    host.service(name="other")
    assert run(service="other")["changed"]
    assert systemd.timers() == {f"other-production-{job}.timer" for job in JOBS}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"jobs": {"bakup": "daily"}}, "mobius_schedule: 'bakup' is no job. Use some of backup, verify, escalate, weekly, monthly"),
        ({"jobs": {"backup": "nonsense"}}, "mobius_schedule, backup: 'nonsense' is no calendar event of systemd. Give one such as"),
        ({"jobs": {"backup": "daily\nExecStart=/bin/sh"}}, "is no calendar event of systemd"),
        ({"jobs": {"backup": "2020-01-01"}}, "mobius_schedule, backup: '2020-01-01' does not come again"),
        ({"jobs": {"escalate": "*:*"}}, "messages: this host has no contacts. Set mobius_contacts"),
        ({"backup": {"level": 12}}, "level: expected a number from 1 to 9, found 12"),
        ({"backup": {"levle": 1}}, "backup: expected options out of components"),
        ({"thresholds": {"disk": [1, 2]}}, "thresholds: expected some of"),
        ({"sample_interval": -1}, "sample_interval and keep_days: expected seconds from 0"),
        ({"jobs": {"weekly": "daily"}, "maintenance": {"summary_to": ["cto"]}}, "messages: this host has no contacts. Set mobius_contacts"),
        ({"service": "ghost"}, "service ghost: expected a service that was set up"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(run, host, systemd, snapshot, options, words):
    before = snapshot(host.root), snapshot(systemd.units)
    result = run(**options)
    assert result["failed"] and words in result["msg"], result["msg"]
    assert (snapshot(host.root), snapshot(systemd.units)) == before


def test_a_host_without_systemd_is_told_what_to_use_instead(run, monkeypatch):
    monkeypatch.setattr(core_systemd, "is_init", lambda: False)
    result = run()
    assert result["failed"] and "timers: this host runs no systemd. Use a schedule of AWX, or cron on the controller" in result["msg"]
    assert not run(state="absent")["changed"]


def test_without_root_there_are_no_timers(run, monkeypatch):
    monkeypatch.setattr(units.os, "geteuid", lambda: 1000)
    assert "timers of systemd need root" in run()["msg"]


def test_a_unit_of_something_else_is_left_alone(run, systemd):
    path = os.path.join(systemd.units, "mobius-production-backup.service")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("[Service]\nExecStart=/usr/local/bin/theirs\n")
    assert "a unit mobius-production-backup.service of something else" in run()["msg"]


def test_paging_is_scheduled_once_there_are_contacts(run, run_module, host):
    run_module(
        notify,
        {"root": host.root, "state": "configured", **PEOPLE, "env": "production", "host": "web1", "urls": {"room": "json://127.0.0.1:1"}},
    )
    assert "mobius-production-escalate.timer" in run(jobs={"escalate": "*:*:0/30"})["timers"]


def test_a_summary_to_someone_unknown_is_refused_before_monday(run, run_module, host):
    run_module(
        notify,
        {"root": host.root, "state": "configured", **PEOPLE, "env": "production", "host": "web1", "urls": {"room": "json://127.0.0.1:1"}},
    )
    result = run(jobs={"weekly": "daily"}, maintenance={"summary_to": ["cto"]})
    assert result["failed"] and "mobius_maintenance_summary_to: 'cto' is not a schedule, person or channel. Use one of " in result["msg"]
    assert "mobius-production-weekly.timer" in run(jobs={"weekly": "daily"}, maintenance={"summary_to": ["room"]})["timers"]


def test_upkeep_names_a_timer_that_was_stopped(run, run_module, host):
    run()
    found = run_module(upkeep_info, {"root": host.root})
    assert found["well"] and [one["job"] for one in found["jobs"]] == ["backup", "verify", "metrics"]
    assert {one["state"] for one in found["jobs"]} == {"scheduled"} and found["jobs"][0]["next"] == "2026-11-28T02:15:00Z"
    assert found["stuck_jobs"] == [] and found["new_errors"] == [] and found["logs_read"] is None and found["disk_days"] == {}
    core_systemd.systemctl("stop", "mobius-production-verify.timer")
    found = run_module(upkeep_info, {"root": host.root})
    assert not found["well"] and found["message"] == "The timer of verify does not run. Run: ansible-playbook mobius.ops.schedule."


def test_a_damaged_schedule_is_a_finding(run, run_module, host):
    run()
    with open(host.layout.path("state", "schedule.json"), "w", encoding="utf-8") as stream:
        stream.write("{")
    found = run_module(upkeep_info, {"root": host.root})
    assert not found["well"] and "schedule.json" in found["message"] and found["jobs"] == []
