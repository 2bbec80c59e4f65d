"""What happens when something is killed: the application, its supervisor, the controller."""

from __future__ import annotations

import datetime
import json
import os
import signal

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._observe import dora


def test_what_is_killed_is_told_by_status_and_put_right(served, says, eventually):
    """The application, its supervisor, and then both of them."""
    pid = served.service()["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: served.service()["state"] == "running" and served.service()["pid"] not in (None, pid))
    eventually(lambda: processes.port_answers(served.port), "the application answers again")
    result = served.play("status")
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "its process ended by SIGKILL at") and says(result, "it was restarted (restart 1 since its start)")
    assert served.client().health()["status"] == "ok"

    facts = served.service()
    os.kill(facts["supervisor_pid"], signal.SIGKILL)
    result = served.play("status")
    assert result.status == 2
    assert says(result, "but its supervisor was killed: it will not be restarted. Run: ansible-playbook mobius.ops.restart.")
    assert served.play("restart").outcome == "restarted"
    assert served.service()["pid"] != facts["pid"]
    assert served.play("status").outcome == "well"

    facts = served.service()
    for pid in (facts["supervisor_pid"], facts["pid"]):
        os.kill(pid, signal.SIGKILL)
    result = served.play("status")
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "mobius is DOWN: its process and its supervisor were killed. Start it with: ansible-playbook mobius.ops.restart.")
    assert served.play("restart").status == 0
    assert served.client().health()["status"] == "ok"


def test_killed_controller_does_not_stop_the_watch(served, eventually):
    """`kill -9` of ansible-playbook right after the watch has begun: the target rolls back by itself."""
    good, before = served.live(), len(served.watch_logs())
    run = served.operator.start("deploy", mobius_release_source=str(served.source("v5")), mobius_version="v5", **served.guarded)
    try:
        eventually(lambda: len(served.watch_logs()) > before and "round 1 ok" in served.watch_logs()[-1].read_text(), "the watch begins")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert served.live().startswith("v5-")
    (served.root / "current" / "fault.json").write_text(json.dumps({"kind": "health"}))
    eventually(lambda: served.live() == good and served.incidents())
    eventually(lambda: served.history()[-1]["what"] == "watch")
    assert served.history()[-1]["verdict"] == "rolled_back"
    assert served.client().health()["release"] == good
    told = served.play("monitor", mobius_monitor_attach="true")
    assert (told.status, told.outcome) == (2, "rolled_back")


def test_release_that_never_becomes_ready_leaves_the_old_one_serving(served, says):
    good = served.live()
    result = served.deploy("v6", fault={"kind": "crash", "after": 0})
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, f"Release {good} serves again.")
    assert served.live() == good and served.client().health()["release"] == good
    assert served.record(result.stats["mobius_release"])["status"] == "failed"
    assert served.incidents()[-1]["id"] == result.stats["mobius_incident"]


def test_release_that_fails_its_smoke_test_is_rolled_back(served, says):
    good = served.live()
    source = served.source("v7")
    (source / "client" / "index.html").write_text("<!doctype html><title>broken</title><p>nothing here</p>\n")
    result = served.deploy("v7")
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    assert says(result, "the body does not contain '<div'")
    assert served.live() == good and served.client().health()["release"] == good
    assert served.record(result.stats["mobius_release"])["status"] == "rolled_back"


def test_a_first_release_that_fails_its_smoke_test_is_a_failed_deployment_and_serves_on(bare, says):
    page = bare.source("v1") / "client" / "index.html"
    page.write_text("<!doctype html><title>broken</title><p>nothing here</p>\n")
    result = bare.deploy("v1")
    bad = result.stats["mobius_release"]
    assert (result.status, result.outcome, bare.live()) == (2, "failed", bad), result.output
    assert says(result, f"Release {bad} is bad and still serves.")
    assert bare.record(bad)["status"] == "failed"
    assert (figures(bare)["deploys"], figures(bare)["failed"], figures(bare)["unrestored"]) == (1, 1, 1)
    again = bare.deploy("v1")
    assert (again.outcome, bare.record(bad)["status"]) == ("failed", "failed"), again.output
    result = bare.deploy("v2")
    assert result.outcome == "deployed", result.output
    assert (figures(bare)["deploys"], figures(bare)["failed"], figures(bare)["unrestored"]) == (2, 1, 0)


def figures(site):
    """DORA's figures of a site."""
    return dora.figures(site.history(), datetime.datetime.now(datetime.timezone.utc))


def test_ctrl_c_after_the_switch_leaves_a_release_that_is_watched_to_its_verdict(served, eventually):
    good = served.live()
    run = served.operator.start("deploy", mobius_release_source=str(served.source("v2")), mobius_version="v2")
    eventually(lambda: served.live() != good or run.poll() is not None, "the switch")
    os.killpg(run.pid, signal.SIGINT)
    output = run.communicate()[0]
    live = served.live()
    assert run.returncode not in (0, 2) and "Smoke-test it" not in output, output
    eventually(lambda: served.record(live)["status"] == "verified", "the watch ends by itself")
    assert served.client().health()["release"] == live
    again = served.deploy("v2")
    assert (again.status, again.outcome) == (0, "unchanged"), again.output


def test_crash_loop_in_the_watch_is_rolled_back(served):
    good = served.live()
    with served.spoiled(kind="crash"):
        result = served.deploy("v10", **{**served.guarded, "mobius_failure_threshold": 5000})
    assert (result.status, result.outcome) == (2, "rolled_back")
    assert "crash loop" in result.stats["mobius_trigger"]
    assert served.live() == good and served.client().health()["release"] == good


def test_a_watch_is_ended_on_demand_and_ending_none_says_so(shared_served, says):
    assert shared_served.play("monitor", monitor_state="started", mobius_watch_duration="900").outcome == "started"
    weaker = shared_served.play("monitor", mobius_watch_duration="60", mobius_auto_rollback=False)
    assert weaker.status == 2 and says(weaker, "which guards release"), weaker.output
    ended = shared_served.play("monitor", mobius_monitor_stop=True, mobius_why="we know better")
    assert (ended.status, ended.outcome) == (0, "stopped") and says(ended, "we know better"), ended.output
    assert shared_served.history()[-1]["what"] == "watch" and shared_served.history()[-1]["verdict"] == "inconclusive"
    again = shared_served.play("monitor", mobius_monitor_stop=True)
    assert (again.status, again.outcome) == (0, "stopped") and says(again, "no watch ran"), again.output


def test_a_baseline_and_check_mode_of_a_watch_say_what_they_are(shared_served, says):
    measured = shared_served.play("monitor", monitor_state="baseline", mobius_watch_requests=30)
    assert (measured.status, measured.outcome) == (0, "measured") and says(measured, "''requests'': 150"), measured.output
    tree = shared_served.tree()
    planned = shared_served.play("monitor", "--check")
    assert (planned.status, planned.outcome) == (0, "planned") and shared_served.tree() == tree, planned.output


def test_damaged_records_are_shown_by_status(served, says):
    for name in (f"releases/{served.live()}/.release.json", "state/service/mobius/spec.json", "state/shared.json"):
        path = served.root / name
        content = path.read_bytes()
        path.write_bytes(b"[1, 2]")
        result = served.play("status")
        assert (result.status, result.outcome) == (2, "not_well"), result.output
        assert says(result, f"{path}: expected") and "Traceback" not in result.output
        path.write_bytes(content)
    assert served.play("status").outcome == "well"
