# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module monitor: what it starts, follows and stops."""

from __future__ import annotations

import datetime
import json
import os

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._observe.http import library as http_library
from ansible_collections.mobius.ops.plugins.module_utils._people import plan
from ansible_collections.mobius.ops.plugins.module_utils._service import ongoing_work
from ansible_collections.mobius.ops.plugins.module_utils._target import history, records
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline
from ansible_collections.mobius.ops.plugins.modules import monitor


@pytest.fixture
def do(host, run_module, monkeypatch):
    monkeypatch.setattr(latency_baseline, "ANSWERS", 10)

    def run(state, check=False, **options):
        given = (
            {
                "duration": int(10 * HANG),
                "interval": 0.05,
                "retry_interval": 0.05,
                "ready_timeout": HANG,
                "env": "test",
                "checks": host.raw_checks,
                **options,
            }
            if state in ("started", "watched")
            else options
        )
        return run_module(monitor, {"root": host.root, "state": state, **given}, check)

    return run


def test_started_followed_and_rolled_back(do, host):
    host.live("r1")
    host.live("r2", status="active")
    host.serve()
    result = do("started")
    assert result["changed"] and result["verdict"] is None and result["watch"]["status"] == "running"
    assert os.path.basename(result["log_file"]).startswith("monitor-test-")
    host.mode("r2", "bad")
    lines = list(result["lines"])
    while result["verdict"] is None:
        result = do("followed", watch_id=result["watch"]["id"], offset=result["offset"], patience=HANG)
        assert not result["failed"] if "failed" in result else not result["changed"]
        lines += result["lines"]
    assert result["verdict"] == "rolled_back" and result["rollback"]["to"] == "r1" and result["incident"]
    lines += do("followed", offset=result["offset"])["lines"]
    assert len(lines) == len(set(lines)) and "ends: rolled_back" in lines[-1]
    assert result["rollback"]["cut"] == {"requests": 0, "renders": []} and not [line for line in lines if " cut" in line]
    assert os.path.getsize(result["metrics_file"]) > 0


def test_a_rollback_announces_the_renders_that_it_cuts_and_records_them(do, host):
    host.live("r1")
    host.live("r2", status="active", mode="render")
    service = host.serve()
    wait_until(lambda: ongoing_work.of(service, service).jobs == ("job-7",))
    result = do("started", drain_timeout=0.5)
    host.mode("r2", "bad")
    lines = list(result["lines"])
    while result["verdict"] is None:
        result = do("followed", watch_id=result["watch"]["id"], offset=result["offset"], patience=HANG)
        lines += result["lines"]
    cut = {"requests": 0, "renders": ["job-7"]}
    lost = "Work was cut: 0 long requests and 1 renders (job-7). Ask for the renders again."
    (announced,) = [line for line in lines if "rolling back release r2" in line]
    assert announced.endswith(" (0 long requests and 1 renders (job-7) get up to 0.5 s, then they are cut)")
    (over,) = [line for line in lines if "rolled back to release r1" in line]
    assert over.endswith(f"it is healthy. {lost}")
    assert result["verdict"] == "rolled_back" and (result["rollback"]["cut"], result["rollback"]["cut_text"]) == (cut, lost)
    state = fs.read_json(host.layout.path("state", "watch", result["watch"]["id"], "state.json"))
    assert (state["rollback"]["cut"], state["rollback"]["cut_text"]) == (cut, lost)
    incident = fs.read_json(os.path.join(host.layout.root, "incidents", f"{result['incident']}.json"))
    assert incident["evidence"]["cut"] == cut and incident["summary"].endswith(lost)
    assert history.last(host.layout, "rolled_back")["cut"] == cut


def test_a_fault_does_not_wait_for_the_next_round(do, host):
    """The second round is due in an hour."""
    host.live("r1")
    host.live("r2", status="active")
    host.serve()
    result = do("started", duration=int(HANG), interval=3600, failure_threshold=2)
    wait_until(lambda: do("followed", offset=0)["watch"]["rounds"])
    host.mode("r2", "bad")
    result = do("followed", watch_id=result["watch"]["id"], offset=result["offset"], patience=HANG)
    while result["verdict"] is None:
        result = do("followed", watch_id=result["watch"]["id"], offset=result["offset"], patience=HANG)
    assert result["verdict"] == "rolled_back" and result["watch"]["rounds"] == 3


def test_a_rollback_pages_people_at_once(do, host, web):
    """No timer and no controller runs here: the watch itself sends."""
    people = {
        "contacts": {"channels": {"room": {}}},
        "oncall": {},
        "escalation": {"2": [{"after": 0, "notify": ["room"]}]},
        "env": "test",
        "host": "web1",
        "link": "",
        "urls_file": "",
    }
    told = []
    web.answers["/room"] = lambda handler, body: (told.append(json.loads(body)["title"]), handler.send(200))
    plan.configure(host.layout, people, {"room": f"json://127.0.0.1:{web.port}/room"}, False)
    host.live("r1")
    host.live("r2", status="active")
    host.serve()
    result = do("started")
    host.mode("r2", "bad")
    assert wait_until(lambda: told) == ["SEV2 high: Release r2 was rolled back to r1 (test, web1)"]
    while result["verdict"] is None:
        result = do("followed", watch_id=result["watch"]["id"], patience=HANG)
    assert result["verdict"] == "rolled_back" and len(told) == 1
    assert not [line for line in do("followed")["lines"] if "nobody was paged" in line]


def test_a_rollback_whose_page_cannot_be_sent_says_so(do, host):
    host.live("r1")
    host.live("r2", status="active")
    host.serve()
    result = do("started")
    host.mode("r2", "bad")
    while result["verdict"] is None:
        result = do("followed", watch_id=result["watch"]["id"], patience=HANG)
    (line,) = [line for line in do("followed")["lines"] if "nobody was paged" in line]
    assert f"nobody was paged for {result['incident']}: messages: this host has no contacts. Set mobius_contacts" in line


@pytest.mark.parametrize("mode", ["bad", "ok"])
def test_errors_that_came_with_the_release_are_in_log_state_and_incident(do, host, secret, mode):
    log = os.path.join(host.layout.component("logs"), "app.log")
    deployed = clock.now() - datetime.timedelta(seconds=60)
    when, texts = clock.iso(deployed + datetime.timedelta(seconds=5)), ("an old one 9", "a new one 1", f"a new one {secret}")
    fs.write_text(log, "2026-01-01T00:00:00Z ERROR an old one 7\n" + "".join(f"{when} ERROR {text}\n" for text in texts))
    host.live("r1")
    host.live("r2", status="active", activated=clock.iso(deployed))
    host.serve()
    host.mode("r2", mode)
    result = do("started", **({} if mode == "bad" else {"duration": 0.2}))
    while result["verdict"] is None:
        result = do("followed", watch_id=result["watch"]["id"], patience=HANG)
    found = watch_folders.latest(host.layout).state()["new_errors"]
    assert [one["template"] for one in found if "old" in one["template"]] == [] and sum(one["count"] for one in found) == 2
    said = [line for line in do("followed")["lines"] if "an error that is new since the deploy" in line]
    assert len(said) == len(found) and "a new one" in said[0] and secret not in "".join(said)
    if mode == "bad":
        record = records.read(os.path.join(host.layout.incidents, result["incident"] + ".json"), records.INCIDENT)
        assert "a new one" in record["evidence"]["new_errors"][0] and result["verdict"] == "rolled_back"


def test_stopping_is_idempotent(do, host, snapshot):
    host.live("r1")
    host.serve()
    watch = do("started")["watch"]["id"]
    checked = do("stopped", check=True)
    assert checked["changed"] and checked["watch"]["id"] == watch
    assert watch_folders.latest(host.layout).state()["status"] == "running"
    assert do("stopped", why="done")["watch"]["id"] == watch
    assert do("followed")["trigger"] == "done"
    before = snapshot(host.root)
    assert not do("stopped")["changed"] and snapshot(host.root) == before


def test_check_mode_starts_nothing(do, host, snapshot):
    host.live("r1")
    host.service()
    before = snapshot(host.root)
    for state in ("started", "watched"):
        result = do(state, check=True)
        assert result["changed"] and result["watch"]["release"] == "r1" and result["verdict"] is None
    assert snapshot(host.root) == before and host.processes() == []


@pytest.mark.parametrize(
    "options, words",
    [
        ({"checks": []}, "watch: expected some checks, found none."),
        ({"env": "a/b"}, "env 'a/b': expected 1 to 64 letters"),
        ({"env": ""}, "env '': expected"),
        ({"duration": 0}, "watch option duration: expected a number above 0, found 0"),
        ({"failure_threshold": -1}, "watch option failure_threshold"),
        ({"checks": [{"url": "x"}]}, "check x: expected a url"),
        ({"service": "other"}, "service other: expected a service that was set up"),
    ],
)
def test_bad_input_starts_nothing_and_leaves_the_watch_that_runs(do, host, options, words):
    host.live("r1")
    host.serve()
    running = do("started")["watch"]["id"]
    for check in (True, False):
        assert words in do("started", check=check, **options)["msg"]
    state = watch_folders.latest(host.layout).state()
    assert watch_folders.latest(host.layout).id == running and state["status"] == "running"


@pytest.mark.parametrize("check", [True, False])
def test_a_target_that_cannot_measure_gets_no_watch(do, host, monkeypatch, check):
    host.live("r1")
    host.serve()
    monkeypatch.setattr(http_library, "_found", lambda: None)
    assert "expected the Python library requests on the target, found none. Install the package" in do("started", check=check)["msg"]
    assert watch_folders.latest(host.layout) is None


def test_nothing_to_follow(do, host):
    assert "expected one to follow, found none. Start one with mobius.ops.monitor." in do("followed")["msg"]
