# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switching a running service to another release, and back when that does not work."""

from __future__ import annotations

import json
import socket
import urllib.request

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, OpsError, ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, ways
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import readiness

pytestmark = pytest.mark.usefixtures("by_answers")


def answers(host):
    """The release that answers on the port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{host.port}/health", timeout=HANG) as answer:
        return json.load(answer)["release"]


@pytest.fixture
def service(host):
    """r1 is verified and serves."""
    host.live("r1")
    return host.serve()


def activate(host, service, release_id, timeout=HANG, checks=None):
    return activation.activate(ways.of(host.store, service, host.checks if checks is None else checks, timeout), release_id)


def roll_back(host, service, timeout=HANG, **options):
    return activation.roll_back(ways.of(host.store, service, host.checks, timeout), "uploads fail", **options)


def test_the_new_release_serves(host, service):
    host.release("r2")
    facts = activate(host, service, "r2")
    assert facts["previous"] == "r1" and facts["release"]["status"] == "active"
    assert 0 <= facts["ready_after"] <= facts["downtime"]
    assert answers(host) == "r2" and host.statuses() == {"r1": "verified", "r2": "active"}
    assert ways.of(host.store, service, [], HANG).serves("r2") and not ways.of(host.store, service, [], HANG).serves("r1")


def test_the_first_release_serves(host):
    service = host.service()
    host.release("r1")
    assert activate(host, service, "r1")["previous"] is None and answers(host) == "r1"


@pytest.mark.parametrize(
    "mode, words",
    [
        ("bad", r"not healthy within 0\.4 s \(health: status 500"),
        ("crash", r"ended \d times \(last: status 3\)"),
        ("wrong", r"does not satisfy: status == 'ok'"),
    ],
)
def test_when_it_does_not_become_ready_the_previous_one_serves_again(host, service, mode, words):
    host.release("r2", mode=mode)
    with pytest.raises(ServiceError, match=words) as caught:
        activate(host, service, "r2", HANG if mode == "crash" else 0.4)
    assert str(caught.value).endswith("Release r1 serves again.")
    assert caught.value.facts["evidence"]
    assert answers(host) == "r1" and host.store.live() == "r1"
    assert host.statuses() == {"r1": "verified", "r2": "failed"}
    assert "release r2 on port" in host.store.get("r2")["failed_reason"]
    assert [event["what"] for event in host.history()] == ["active", "failed"]


def test_the_evidence_holds_no_secret(host, service, secret):
    host.release("r2", mode="crash")
    with pytest.raises(ServiceError) as caught:
        activate(host, service, "r2")
    evidence = "\n".join(caught.value.facts["evidence"])
    assert "starts with key ********" in evidence and secret not in evidence + str(caught.value)


def test_when_the_first_release_fails_nothing_serves_and_nothing_is_live(host):
    service = host.service()
    host.release("r1", mode="bad")
    with pytest.raises(ServiceError, match=r"No other release was live, so nothing serves now\."):
        activate(host, service, "r1", 0.3)
    assert host.store.live() is None and service.status()["status"] == "stopped"
    assert host.statuses() == {"r1": "failed"}


def test_when_the_previous_one_fails_too_that_is_said_and_tried_once(host, service):
    host.release("r2", mode="bad")
    host.mode("r1", "bad")
    with pytest.raises(ServiceError, match="Going back to r1 failed too: release r1 on port"):
        activate(host, service, "r2", 0.3)
    assert host.store.live() == "r1" and host.statuses()["r2"] == "failed"


def test_a_check_that_cannot_be_judged_goes_back_too(host, service, monkeypatch):
    host.release("r2")
    calls = []

    def refuse(checks, *_words, **_options):
        calls.append(checks)
        if len(calls) == 1:
            raise InputError("JSON assertion x", "a JMESPath expression", "another")
        return True, [], ""

    monkeypatch.setattr(health, "wait_for", refuse)
    with pytest.raises(OpsError, match="JSON assertion x"):
        activate(host, service, "r2")
    assert host.store.live() == "r1" and host.statuses()["r2"] == "failed"


def test_a_stranger_on_the_port_is_refused_and_nothing_changes(host, snapshot):
    host.live("r1")
    host.release("r2")
    service = host.service()
    before = snapshot(host.root)
    with socket.create_server(("127.0.0.1", host.port)):
        for switch in (lambda: activate(host, service, "r2"), lambda: roll_back(host, service, release_id="r1")):
            with pytest.raises(StateError, match=f"port {host.port}: expected nobody"):
                switch()
    after = snapshot(host.root)
    after.pop("state/switch.lock")
    before["state"] = after["state"]  # its time: the lock's file is there now
    assert after == before


def test_an_answer_from_elsewhere_does_not_make_a_release_ready(host, web, wait_until):
    host.live("r1")
    service = host.service(restart_delay=10 * HANG)
    service.start()

    def when_it_is_down(handler, _body):
        wait_until(lambda: not service.status()["pid"] or service.status()["release"] == "r1")
        handler.send(200, "")

    host.release("r2", mode="crash")
    web.answers["/health"] = when_it_is_down
    elsewhere = health.normalize_all([{"url": web.base + "/health"}])
    with pytest.raises(ServiceError, match="its process does not run"):
        activate(host, service, "r2", HANG, elsewhere)
    assert host.statuses()["r2"] == "failed"


def test_without_checks_it_is_ready_when_its_port_answers(host, service):
    host.release("r2")
    assert activate(host, service, "r2", HANG, [])["ready_after"] >= 0
    assert answers(host) == "r2"
    host.release("r3", mode="crash")
    with pytest.raises(ServiceError, match="Release r2 serves again"):
        activate(host, service, "r3", HANG, [])


def test_an_unknown_release_changes_nothing(host, service):
    pid = service.status()["pid"]
    with pytest.raises(InputError, match="release r9: expected one of r1"):
        activate(host, service, "r9")
    assert service.status()["pid"] == pid


def test_a_rollback_goes_to_the_target_and_is_recorded(host, service):
    host.release("r2")
    activate(host, service, "r2")
    facts = roll_back(host, service)
    assert facts["previous"] == "r2" and facts["target"]["id"] == "r1" and facts["downtime"] > 0
    assert answers(host) == "r1"
    assert host.statuses() == {"r1": "verified", "r2": "rolled_back"}
    assert host.store.get("r2")["failed_reason"] == "uploads fail"
    event = host.history()[-1]
    assert (event["what"], event["release"], event["target"], event["why"]) == ("rolled_back", "r2", "r1", "uploads fail")


def test_without_a_target_the_service_goes_on(host, service):
    pid = service.status()["pid"]
    with pytest.raises(StateError, match="expected a verified release older than the live one, found none"):
        roll_back(host, service)
    assert service.status()["pid"] == pid and host.statuses() == {"r1": "verified"}


def test_an_unhealthy_target_stops_there_and_does_not_loop(host, service):
    host.release("r0-older", "verified")
    host.live("r2")
    host.live("r3", status="active")
    service.restart()
    host.mode("r2", "bad")
    with pytest.raises(ServiceError, match="release r2 on port"):
        roll_back(host, service, 0.3)
    assert host.store.live() == "r2"
    assert host.statuses() == {"r1": "verified", "r0-older": "verified", "r2": "verified", "r3": "rolled_back"}
    assert service.status()["release"] == "r2"


def test_a_release_that_is_no_longer_live_is_not_rolled_back(host, service):
    host.release("r2")
    activate(host, service, "r2")
    with pytest.raises(StateError, match="release r1: expected to be the live release, found r2"):
        roll_back(host, service, bad="r1")
    assert answers(host) == "r2" and host.statuses()["r2"] == "active"


def test_a_named_release_that_was_rolled_back_may_serve_again_and_has_to_be_verified_anew(host, service):
    host.release("r2")
    activate(host, service, "r2")
    roll_back(host, service)
    assert roll_back(host, service, release_id="r2")["target"]["status"] == "active"
    assert answers(host) == "r2"


def test_another_release_that_answers_is_not_ready(host, service):
    """The process that runs is the old one: the service was never restarted."""
    host.release("r2")
    with pytest.raises(ServiceError, match="release r1 answers instead"):
        readiness.ready(service, health.normalize_all([{"url": host.checks[0]["url"]}]), "r2", 1)


def test_links_only_without_a_service(host):
    host.live("r1")
    host.release("r2")
    facts = activate(host, None, "r2")
    assert facts["downtime"] is None and host.store.live() == "r2"
    assert ways.of(host.store, None, [], HANG).serves("r2")
    assert roll_back(host, None)["target"]["id"] == "r1"
