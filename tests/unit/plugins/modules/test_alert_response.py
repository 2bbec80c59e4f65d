# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Responses to alerts on a real service: what is done, what is not, and that it never loops."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, processes
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import diagnose as diagnoses
from ansible_collections.mobius.ops.plugins.module_utils._respond import respond as responses
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock, shared_folders, tenancy
from ansible_collections.mobius.ops.plugins.modules import alert_response

pytestmark = pytest.mark.usefixtures("any_latency")


@pytest.fixture
def serve(host):
    """Start the live release, with all its folders."""
    tenancy.keep(host.layout, "production")
    shared_folders.save(host.layout, shared_folders.normalize(None))
    for component in ("database", "uploads", "generated", "logs"):
        shared_folders.complete(host.layout.component(component), shared_folders.load(host.layout), component)
    yield host.serve
    for pid in host.processes():
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def service(host, serve):
    """A service that runs its only release."""
    host.live("r1")
    return serve()


@pytest.fixture
def respond(host, run_module):
    def run(alert="MobiusDown", check=False, **options):
        options = {"checks": host.raw_checks, "window": 0.5, "ready_timeout": HANG, **options}
        return run_module(alert_response, {"root": host.root, "env": "production", "alert": alert, **options}, check=check)

    return run


@pytest.fixture
def brief(monkeypatch):
    """Wait for no service that stays unwell."""
    monkeypatch.setattr(diagnoses, "SETTLES", 0.0)


def stop_process(service):
    pid = service.status()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: processes.stat_fields(pid)[0] == "T")
    return pid


def responded(host):
    return [event for event in host.history() if event["what"] == "responded"]


def journal(host):
    with open(host.layout.path("state", "responses.json"), encoding="utf-8") as stream:
        return json.load(stream)


def age(host, seconds):
    """Let every response have been so long ago."""
    told = journal(host)
    for each in told:
        each["when"] = clock.from_epoch(clock.parse(each["when"]).timestamp() - seconds)
    with open(host.layout.path("state", "responses.json"), "w", encoding="utf-8") as stream:
        json.dump(told, stream)


def test_an_alert_that_the_host_does_not_confirm_changes_nothing(service, respond, host):
    before = service.status()["pid"]
    result = respond()
    assert (result["outcome"], result["changed"], result["actions"]) == ("not_confirmed", False, [])
    assert result["message"] == "mobius is well: nothing was done about MobiusDown." and service.status()["pid"] == before
    assert not os.path.exists(host.layout.history) and not os.path.exists(host.layout.path("state", "responses.json"))
    assert deploy_lock.DeployLock(host.layout).look() is None


def test_a_process_that_was_stopped_goes_on_once_for_many_alerts(service, respond, host):
    pid = stop_process(service)
    planned = respond(check=True)
    assert (planned["outcome"], planned["actions"]) == ("planned", ["mend", "restart"]) and processes.stat_fields(pid)[0] == "T"
    result = respond(text="no answer for 2 min", fleet="2026-11-27 web1 web2")
    assert (result["outcome"], result["cause"], result["actions"]) == ("mended", "stopped", ["mend"]), result
    assert result["changed"] and result["message"].endswith(f"Process {pid} goes on (SIGCONT). The service is well.")
    for alert in ("MobiusDown", "MobiusSlow", "MobiusErrors"):
        assert respond(alert)["outcome"] == "not_confirmed"
    (event,) = responded(host)
    assert (event["alert"], event["cause"], event["actions"], event["outcome"]) == ("MobiusDown", "stopped", ["mend"], "mended")
    with open(host.layout.path("incidents", result["incident"] + ".json"), encoding="utf-8") as stream:
        record = json.load(stream)
    assert record["severity"] == 3 and record["evidence"]["alert"] == "MobiusDown no answer for 2 min"
    assert (record["fleet"], record["id"][:14]) == ("2026-11-27 web1 web2", "INC-20261127-F")


def test_the_same_cause_is_left_alone_for_a_while_and_then_given_to_a_person(service, respond, host):
    stop_process(service)
    assert respond(limit=2)["outcome"] == "mended"
    pid = stop_process(service)
    result = respond("MobiusSlow", limit=2)
    assert result["outcome"] == "deferred" and "gets no other action for 300 s" in result["message"], result
    age(host, 400)
    assert respond(limit=2)["outcome"] == "mended"
    age(host, 400)
    pid = stop_process(service)
    result = respond(limit=2, severity=1)
    assert (result["outcome"], result["actions"], result["opened"]) == ("handed_over", [], True)
    assert "acted on 2 times within an hour" in result["message"] and processes.stat_fields(pid)[0] == "T"
    again = respond("MobiusSlow", limit=2)
    assert (again["outcome"], again["opened"], again["incident"]) == ("handed_over", False, result["incident"])
    assert "A person was called for it" in again["message"]
    age(host, 3600)
    assert respond(limit=2)["outcome"] == "mended"


def test_all_causes_together_have_a_limit_too(service, respond, host):
    stop_process(service)
    one = {"when": clock.iso(), "alert": "x", "actions": ["restart"], "outcome": "mended"}
    told = [{**one, "cause": f"cause{number}"} for number in range(3)]
    with open(host.layout.path("state", "responses.json"), "w", encoding="utf-8") as stream:
        json.dump(told, stream)
    result = respond(limit=1)
    assert result["outcome"] == "handed_over" and "3 times within an hour, for several causes" in result["message"], result


def test_what_a_killed_response_has_begun_counts(service, respond, host):
    stop_process(service)
    told = [{"when": clock.iso(), "alert": "x", "cause": "stopped", "actions": ["mend"], "outcome": "begun"}]
    with open(host.layout.path("state", "responses.json"), "w", encoding="utf-8") as stream:
        json.dump(told, stream)
    assert respond()["outcome"] == "deferred"


def test_the_action_is_on_disk_before_it_begins(service, respond, host, monkeypatch):
    stop_process(service)
    seen = []

    def die(*_words):
        seen.extend(journal(host))
        raise KeyboardInterrupt

    monkeypatch.setattr(responses.remedies, "apply", die)
    with pytest.raises(KeyboardInterrupt):
        respond()
    assert [(each["cause"], each["actions"], each["outcome"]) for each in seen] == [("stopped", ["mend"], "begun")]
    assert deploy_lock.DeployLock(host.layout).look() is None


def test_nothing_is_done_while_someone_else_has_the_lock(service, respond, host):
    pid = stop_process(service)
    lock = deploy_lock.DeployLock(host.layout)
    wish = {"owner": "ada", "reason": "deploy of v2", "env": "production", "host": "laptop", "process": "", "expiry": 900}
    held = lock.hold(wish)
    result = respond()
    assert result["outcome"] == "deferred" and "ada on laptop holds it" in result["message"] and "'deploy of v2'" in result["message"]
    assert processes.stat_fields(pid)[0] == "T"
    lock.free(held["lock"]["token"])
    with subprocess.Popen(["sleep", "86400"]) as gone:  # a response on this host that was killed
        wish["process"] = deploy_lock.process_name(gone.pid)
        gone.kill()
    lock.hold(wish)
    assert respond()["outcome"] == "mended" and lock.look() is None


def test_responses_at_once_act_once(service, respond, host, tmp_path):
    stop_process(service)
    fork = multiprocessing.get_context("fork")
    answers = [tmp_path / f"answer{number}" for number in range(3)]
    responders = [fork.Process(target=lambda path: path.write_text(respond()["outcome"]), args=(path,)) for path in answers]
    for responder in responders:
        responder.start()
    for responder in responders:
        responder.join()
    found = [path.read_text() for path in answers]
    assert found.count("mended") == 1 and set(found) <= {"mended", "deferred", "not_confirmed"} and len(responded(host)) == 1, found


def test_a_service_that_was_killed_is_started_and_one_that_was_stopped_is_not(service, respond, host):
    service.stop()
    result = respond()
    assert result["outcome"] == "left_alone" and "was stopped by an operator" in result["message"] and service.status()["pid"] is None
    service.start()
    wait_until(lambda: processes.port_answers(host.port))
    for pid in host.processes():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not host.processes())
    assert respond(policy=[])["outcome"] == "handed_over"
    os.unlink(host.layout.path("state", "responses.json"))
    result = respond()
    assert (result["outcome"], result["cause"], result["actions"]) == ("mended", "not_running", ["restart"]), result
    assert service.status()["status"] == "running"


def test_a_service_that_comes_back_by_itself_is_left_alone(host, serve, respond):
    host.live("r1")
    host.live("r2")
    service = host.service(restart_delay=2)
    service.start()
    wait_until(lambda: processes.port_answers(host.port))
    os.kill(service.status()["pid"], signal.SIGKILL)
    wait_until(lambda: service.status()["status"] == "restarting")
    result = respond()
    assert result["outcome"] == "not_confirmed" and "came back by itself" in result["message"] and host.store.live() == "r2", result
    assert not os.path.exists(host.layout.path("state", "responses.json"))


def test_a_release_that_crashes_again_and_again_is_rolled_back(host, serve, respond, brief):
    host.live("r1")
    host.live("r2", mode="crash")
    service = host.service()
    service.start()
    wait_until(lambda: service.status()["status"] == "failed")
    result = respond()
    assert (result["outcome"], result["cause"], result["actions"]) == ("rolled_back", "crash_loop", ["rollback"]), result
    assert host.store.live() == "r1"


def test_a_new_release_that_stays_ill_is_rolled_back(host, serve, respond, brief):
    host.live("r1")
    host.live("r2", mode="bad")
    serve()
    result = respond(policy=["restart"], ready_timeout=1)
    assert (result["outcome"], result["cause"], result["actions"]) == ("handed_over", "unknown", ["restart"]), result
    os.unlink(host.layout.path("state", "responses.json"))
    result = respond(may_roll_back=False, ready_timeout=1)
    assert (result["outcome"], result["actions"]) == ("handed_over", ["restart"])
    os.unlink(host.layout.path("state", "responses.json"))
    result = respond(rollback_hours=0, ready_timeout=1)
    assert (result["outcome"], result["actions"]) == ("handed_over", ["restart"])
    os.unlink(host.layout.path("state", "responses.json"))
    result = respond(policy=["rollback"])
    assert (result["outcome"], result["actions"]) == ("rolled_back", ["rollback"]), result
    assert host.store.live() == "r1" and host.statuses()["r2"] == "rolled_back" and "Release r2 was rolled back to r1." in result["message"]
    assert respond()["outcome"] == "not_confirmed"


def test_a_forward_only_release_is_given_to_a_person(host, serve, respond, brief):
    host.live("r1")
    host.live("r2", mode="bad", migration="forward_only")
    serve()
    result = respond(ready_timeout=1)
    assert (result["outcome"], result["actions"]) == ("handed_over", ["restart"]) and host.store.live() == "r2", result
    with open(host.layout.path("incidents", result["incident"] + ".json"), encoding="utf-8") as stream:
        record = json.load(stream)
    assert record["severity"] == 2 and "restart failed" in record["evidence"]["actions"][0]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"alert": "{{ 7 * 7 }}"}, "mobius_alert: expected 1 to 100 letters, digits and _.:-"),
        ({"alert": ""}, "mobius_alert"),
        ({"limit": -1}, "limit: expected 0 or more, found -1. Correct mobius_respond_limit"),
        ({"quiet": -1}, "mobius_respond_quiet"),
        ({"window": 0}, "window: expected 0.1 or more"),
        ({"policy": ["reboot"]}, "policy"),
        ({"name": "other"}, "service other"),
        ({"env": "staging"}, "production"),
    ],
)
def test_requests_that_cannot_be(service, respond, options, words):
    result = respond(**options)
    assert result["failed"] and words in result["msg"], result


def test_a_damaged_journal_is_named_and_nothing_is_done(service, respond, host):
    pid = stop_process(service)
    with open(host.layout.path("state", "responses.json"), "w", encoding="utf-8") as stream:
        stream.write("{}")
    result = respond()
    assert result["failed"] and "responses.json" in result["msg"] and "Move the file away" in result["msg"]
    assert processes.stat_fields(pid)[0] == "T" and deploy_lock.DeployLock(host.layout).look() is None


def test_the_secret_is_in_no_result_and_no_incident(service, respond, host, secret):
    stop_process(service)
    result = respond(text=f"key {secret}")
    assert result["outcome"] == "mended" and host.files_with(secret) == ["shared/logs/console.log"]  # the application printed it
    assert secret not in json.dumps({name: value for name, value in result.items() if name != "invocation"})
