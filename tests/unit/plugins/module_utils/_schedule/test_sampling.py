# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at a real service and real disks: what is an incident, what is not, and what is kept."""

from __future__ import annotations

import datetime
import json
import os
import signal

import pytest
from support.ports import free_port
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._schedule import attention, record, sampling, series
from ansible_collections.mobius.ops.plugins.module_utils._service import adopted_service
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock, incidents
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders
from ansible_collections.mobius.ops.plugins.modules import log_report

#: Every disk is fuller than that, and than that none is.
FULL, EMPTY = {"disk_pct": [0, 0.0000001]}, {"disk_pct": [100, 100]}


@pytest.fixture
def serving(scheduled):
    """The service runs."""
    scheduled.host.live("r1")
    scheduled.save(thresholds=EMPTY)
    scheduled.service = scheduled.host.serve("r1")
    return scheduled


def look_at(scheduled, monkeypatch, minutes):
    """Look so many minutes after the look before."""
    later = clock.now() + datetime.timedelta(minutes=minutes)
    monkeypatch.setattr(sampling.clock, "now", lambda: later)
    return scheduled.run("metrics")


def test_a_service_that_is_well_is_no_incident_and_a_sample_is_kept(serving):
    last = serving.run("metrics")
    assert (last.outcome, last.message) == ("looked", "mobius is running.") and serving.incidents() == []
    [sample] = series.read(serving.layout, clock.now() - datetime.timedelta(hours=1))
    assert sample["service"] == "running" and sample["p95_ms"] > 0
    figures = sample["figures"]
    assert {"cpu_pct", "memory_pct", "service_rss_bytes", "service_restarts"} <= set(figures)
    assert any(name.startswith("disk_used_bytes /") for name in figures) and any(name.startswith("disk_pct /") for name in figures)
    serving.run("metrics")
    assert len(list(series.read(serving.layout, clock.now() - datetime.timedelta(hours=1)))) == 1  # the next one is not due
    assert os.stat(series.folder(serving.layout)).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", ["bad", "gone"])
def test_a_service_that_is_down_is_one_incident_and_pages_at_once(serving, monkeypatch, mode):
    if mode == "bad":
        serving.host.mode("r1", "bad")
    else:
        monkeypatch.setattr(type(serving.service), "status", lambda self: {"status": "failed", "pid": None, "restarts": 3, "release": None})
    last = serving.run("metrics")
    assert last.outcome == "trouble" and last.good and ("status 500" in last.message or "no process of it runs (failed)" in last.message)
    assert serving.incidents() == [("service_down", "open")] and serving.told == ["SEV1 critical: mobius is down (production, web1)"]
    assert serving.run("metrics").incident == last.incident and len(serving.incidents()) == 1 and len(serving.told) == 1


def test_a_moment_of_weakness_is_none(serving, monkeypatch):
    serving.host.mode("r1", "bad")
    monkeypatch.setattr(sampling.time, "sleep", lambda seconds: None)
    found = sampling.service(
        serving.layout, sampling.Request.read(serving.options["metrics"], "mobius"), sleep=lambda seconds: serving.host.mode("r1", "ok")
    )
    assert found.status == "running" and found.fault == ""


def test_a_service_that_was_just_started_gets_its_time_and_one_that_has_crashed_does_not(serving, monkeypatch):
    monkeypatch.setattr(sampling, "GRACE", 1e6)
    serving.host.mode("r1", "bad")
    last = serving.run("metrics")
    assert (last.outcome, last.message) == ("looked", "mobius is starting.") and serving.incidents() == []
    status = type(serving.service).status
    monkeypatch.setattr(type(serving.service), "status", lambda self: {**status(self), "restarts": 1})
    assert serving.run("metrics").outcome == "trouble" and serving.incidents() == [("service_down", "open")]


def test_the_incident_ends_after_ten_good_minutes_and_not_before(serving, monkeypatch):
    serving.host.mode("r1", "bad")
    serving.run("metrics")
    serving.host.mode("r1", "ok")
    look_at(serving, monkeypatch, 5)
    assert serving.incidents() == [("service_down", "open")]
    serving.host.mode("r1", "bad")
    look_at(serving, monkeypatch, 1)
    serving.host.mode("r1", "ok")
    look_at(serving, monkeypatch, 8)
    assert serving.incidents() == [("service_down", "open")] and len(serving.told) == 1
    look_at(serving, monkeypatch, 12)
    assert serving.incidents() == [("service_down", "resolved")]
    serving.host.mode("r1", "bad")
    look_at(serving, monkeypatch, 1)
    assert serving.incidents() == [("service_down", "open")]  # the same one, reopened


def test_a_service_that_was_stopped_on_purpose_is_not_down(serving):
    serving.service.stop()
    last = serving.run("metrics")
    assert (last.outcome, last.message) == ("looked", "mobius is stopped.") and serving.incidents() == []


def test_during_a_deploy_it_is_only_noted(serving, monkeypatch):
    serving.host.mode("r1", "bad")
    lock = deploy_lock.DeployLock(serving.layout)
    held = lock.hold({"owner": "ada", "reason": "deploy", "env": "production", "host": "h", "process": "", "expiry": 1e6})
    last = serving.run("metrics")
    assert last.outcome == "looked" and "ada on h holds it" in last.message and serving.incidents() == []
    lock.free(held["lock"]["token"])
    assert serving.run("metrics").outcome == "trouble"
    lock.hold({"owner": "ada", "reason": "deploy", "env": "production", "host": "h", "process": "", "expiry": 1e6})
    look_at(serving, monkeypatch, 30)
    look_at(serving, monkeypatch, 35)
    assert serving.incidents() == [("service_down", "open")]  # it is still down, whoever works on it


def test_a_watch_judges_by_itself(serving, monkeypatch):
    folder = folders.create(
        serving.layout,
        {
            "env": "production",
            "service": "",
            "checks": serving.host.checks,
            "auto_rollback": True,
            "duration": 60.0,
            "interval": 60.0,
            "retry_interval": 1.0,
            "failure_threshold": 3,
        },
    )
    folder.save_state({"status": "running", "pid": os.getpid(), "ticks": record.processes.start_ticks(os.getpid()), "left": 60.0})
    serving.host.mode("r1", "bad")
    last = serving.run("metrics")
    assert f"watch {folder.id} judges that" in last.message and serving.incidents() == []
    frozen = incidents.open_incident(serving.layout, {"title": "It cannot go back", "severity": 1, "env": "production", "cause": "watch"})
    ended = {"status": "finished", "pid": 1, "ticks": 7, "left": 0.0, "incident": frozen["id"], "release": "r1"}
    folder.save_state({**ended, "verdict": "frozen"})
    assert f"{frozen['id']} of watch {folder.id} is open for that" in serving.run("metrics").message and len(serving.incidents()) == 1
    folder.save_state({**ended, "verdict": "degraded"})
    assert serving.run("metrics").outcome == "trouble" and serving.incidents()[1] == ("service_down", "open")
    incidents.change(serving.layout, record.last(serving.layout, "metrics").incident, "resolved", why="for the test")
    incidents.change(serving.layout, frozen["id"], "resolved", why="for the test")
    folder.save_state({**ended, "verdict": "frozen"})
    assert serving.run("metrics").outcome == "trouble" and serving.incidents()[2] == ("service_down", "open")


def test_a_disk_that_is_critical_is_one_incident_for_each_mount(serving, monkeypatch):
    serving.save(thresholds=FULL)
    last = serving.run("metrics")
    causes = serving.incidents()
    assert last.outcome == "trouble" and causes and all(cause.startswith("disk_critical:/") for cause, _status in causes)
    assert len(serving.told) == len(causes) and serving.told[0].startswith("SEV2 high: /")
    serving.run("metrics")
    assert serving.incidents() == causes
    serving.save(thresholds=EMPTY)
    look_at(serving, monkeypatch, 11)
    assert {status for _cause, status in serving.incidents()} == {"resolved"}


def test_samples_are_bounded_and_damaged_lines_left_out(scheduled):
    now = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.timezone.utc)
    for days in range(40):
        at = now - datetime.timedelta(days=40 - days)
        series.keep(scheduled.layout, at, "running", None, [{"metric": "disk_used_bytes", "subject": "/", "value": days}], 30)
    names = sorted(os.listdir(series.folder(scheduled.layout)))
    assert len(names) == 31 and names[0] == "2026-10-27.jsonl"
    with open(os.path.join(series.folder(scheduled.layout), names[-1]), "a", encoding="utf-8") as stream:
        stream.write('{"when": 7}\nnonsense\n[]\n')
    found = list(series.read(scheduled.layout, now - datetime.timedelta(days=3, hours=1)))
    assert [one["figures"]["disk_used_bytes /"] for one in found] == [37, 38, 39]


def test_a_damaged_note_of_the_last_look_is_replaced(serving):
    serving.run("metrics")
    path = serving.layout.path("state", "schedule", "look.json")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("{")
    assert serving.run("metrics").outcome == "looked"
    with open(path, encoding="utf-8") as stream:
        assert json.load(stream)["sampled"]


def test_days_until_a_disk_is_full_need_a_week_of_samples(scheduled):
    now = clock.now()
    free = os.statvfs("/")
    free_bytes = free.f_bavail * free.f_frsize

    def used(days, value, mount="/"):
        series.keep(
            scheduled.layout,
            now - datetime.timedelta(days=days),
            "running",
            None,
            [{"metric": "disk_used_bytes", "subject": mount, "value": value}],
            90,
        )

    for day in range(7):
        used(7 - day, day * free_bytes / 100)
    assert attention.days_left(scheduled.layout, now) == {}
    used(0, 7 * free_bytes / 100)
    found = attention.days_left(scheduled.layout, now)
    assert list(found) == ["/"] and found["/"] == pytest.approx(100, abs=5)
    for day in range(8):
        used(7 - day, 1000, "/proc")
    assert attention.days_left(scheduled.layout, now)["/proc"] is None


def test_errors_that_are_new_come_from_the_last_reading_of_the_logs(scheduled, run_module):
    assert attention.new_errors(scheduled.layout).read is None
    log = os.path.join(scheduled.layout.component("logs"), "app.log")
    fs.write_text(log, "2026-01-01T00:00:00Z ERROR an old one\n")
    scheduled.host.live("r1")
    scheduled.host.store.mark("r1", "active", "test")
    fs.append_line(log, clock.iso(clock.now() + datetime.timedelta(seconds=5)) + " ERROR a fresh one 17")
    run_module(log_report, {"root": scheduled.layout.root})
    found = attention.new_errors(scheduled.layout)
    assert found.read and len(found.templates) == 1 and "a fresh one" in found.templates[0]["template"]


def test_jobs_that_do_not_get_on_are_found(serving):
    assert attention.stuck(serving.layout, "mobius", ["ffmpeg"], 0.1) == []
    serving.service.stop()
    serving.host.mode("r1", "child")  # it starts a process that rests
    serving.service.start()
    pid = wait_until(lambda: serving.service.status()["pid"], what="the service runs")
    with open(f"/proc/{pid}/comm", encoding="ascii") as stream:
        program = stream.read().strip()
    found = wait_until(lambda: attention.stuck(serving.layout, "mobius", [program], 0.2), what="a job that rests")
    assert found[0]["verdict"] == "stuck"
    os.kill(found[0]["pid"], signal.SIGSTOP)
    wait_until(lambda: attention.stuck(serving.layout, "mobius", [program], 0.2)[0]["verdict"] == "stopped", what="a job that was stopped")


@pytest.mark.parametrize("unit", ["", "shop.service"])
def test_an_adopted_service_that_is_down_is_an_incident_though_it_has_no_release(host, monkeypatch, unit):
    shop = adopted_service.AdoptedService(
        host.layout,
        {
            "name": "shop",
            "manager": "adopted",
            "unit": unit,
            "port": free_port(),
            "host": "127.0.0.1",
            "env_file": host.layout.env_file,
            "console_log": "",
        },
    )
    monkeypatch.setattr(sampling.service_registry, "load", lambda _layout, _name: shop)
    monkeypatch.setattr(adopted_service.systemd, "show", lambda _unit: {"status": "failed", "pid": None, "restarts": 3, "uptime": 0})
    found = sampling.service(host.layout, sampling.Request("shop", [], {}, (), 300, 90), sleep=lambda _seconds: None)
    assert found.fault == f"no process of it runs ({'failed' if unit else 'gone'})"
