"""What happens when something is killed: the application, its supervisor, the controller."""
from __future__ import annotations

import os
import signal

import pytest


@pytest.fixture(scope="module")
def ready(site):
    """A site with v1 live."""
    return site.deployed("v1")


def test_killed_application_is_started_again_and_status_says_so(ready, says, eventually):
    pid = ready.service()["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: ready.service()["state"] == "running" and ready.service()["pid"] not in (None, pid))
    result = ready.play("status")
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "its process ended by SIGKILL at") and says(result, "it was restarted (restart 1 since its start)")
    assert ready.client().health()["status"] == "ok"


def test_killed_supervisor_is_told_and_restart_puts_it_right(ready, says):
    facts = ready.service()
    os.kill(facts["supervisor_pid"], signal.SIGKILL)
    result = ready.play("status")
    assert result.status == 2
    assert says(result, "but its supervisor was killed: it will not be restarted. Run: ansible-playbook mobius.ops.restart.")
    assert ready.play("restart").outcome == "restarted"
    assert ready.service()["pid"] != facts["pid"]
    assert ready.play("status").outcome == "well"


def test_application_and_supervisor_killed(ready, says):
    facts = ready.service()
    for pid in (facts["supervisor_pid"], facts["pid"]):
        os.kill(pid, signal.SIGKILL)
    result = ready.play("status")
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "mobius is DOWN: its process and its supervisor were killed. Start it with: ansible-playbook mobius.ops.restart.")
    assert ready.play("restart").status == 0
    assert ready.client().health()["status"] == "ok"


def test_killed_controller_does_not_stop_the_watch(ready, eventually):
    """`kill -9` of ansible-playbook right after the watch has begun: the target rolls back by itself."""
    good, before = ready.live(), len(ready.watch_logs())
    source = ready.source("v5", {"kind": "health", "after": 12})
    run = ready.operator.start("deploy", mobius_release_source=str(source), mobius_version="v5", mobius_watch_duration="40")
    eventually(lambda: len(ready.watch_logs()) > before and "round 1 ok" in ready.watch_logs()[-1].read_text())
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert ready.live().startswith("v5-")
    eventually(lambda: ready.live() == good and ready.incidents())
    eventually(lambda: ready.history()[-1]["what"] == "watch")
    assert ready.history()[-1]["verdict"] == "rolled_back"
    assert ready.client().health()["release"] == good
    told = ready.play("monitor", mobius_monitor_attach="true")
    assert (told.status, told.outcome) == (2, "rolled_back")


def test_release_that_never_becomes_ready_leaves_the_old_one_serving(ready, says):
    good = ready.live()
    result = ready.deploy("v6", fault={"kind": "crash", "after": 0})
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, f"Release {good} serves again.")
    assert ready.live() == good and ready.client().health()["release"] == good
    assert ready.record(result.stats["mobius_release"])["status"] == "failed"
    assert ready.incidents()[-1]["id"] == result.stats["mobius_incident"]


def test_release_that_fails_its_smoke_test_is_rolled_back(ready, says):
    good = ready.live()
    source = ready.source("v7")
    (source / "client" / "index.html").write_text("<!doctype html><title>broken</title><p>nothing here</p>\n")
    result = ready.deploy("v7")
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    assert says(result, "the body does not contain '<div'")
    assert ready.live() == good and ready.client().health()["release"] == good
    assert ready.record(result.stats["mobius_release"])["status"] == "rolled_back"


def test_crash_loop_in_the_watch_is_rolled_back(ready):
    good = ready.live()
    result = ready.deploy("v10", fault={"kind": "crash", "after": 12}, mobius_watch_duration="60", mobius_failure_threshold=50)
    assert (result.status, result.outcome) == (2, "rolled_back")
    assert "crash loop" in result.stats["mobius_trigger"]
    assert ready.live() == good and ready.client().health()["release"] == good


def test_a_watch_is_ended_on_demand_and_ending_none_says_so(ready, says):
    assert ready.play("monitor", monitor_state="started", mobius_watch_duration="300").outcome == "started"
    weaker = ready.play("monitor", mobius_watch_duration="60", mobius_auto_rollback=False)
    assert weaker.status == 2 and says(weaker, "which guards release"), weaker.output
    ended = ready.play("monitor", mobius_monitor_stop=True, mobius_why="we know better")
    assert (ended.status, ended.outcome) == (0, "stopped") and says(ended, "we know better"), ended.output
    assert ready.history()[-1]["what"] == "watch" and ready.history()[-1]["verdict"] == "inconclusive"
    again = ready.play("monitor", mobius_monitor_stop=True)
    assert (again.status, again.outcome) == (0, "stopped") and says(again, "no watch ran"), again.output


def test_a_baseline_and_check_mode_of_a_watch_say_what_they_are(ready, says):
    measured = ready.play("monitor", monitor_state="baseline")
    assert (measured.status, measured.outcome) == (0, "measured") and says(measured, "''requests'': 150"), measured.output
    tree = ready.tree()
    planned = ready.play("monitor", "--check")
    assert (planned.status, planned.outcome) == (0, "planned") and ready.tree() == tree, planned.output
