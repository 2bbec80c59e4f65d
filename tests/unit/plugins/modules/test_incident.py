# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module incident."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.mobius.ops.plugins.modules import incident

ARGS = {"env": "production", "severity": 2, "title": "Renders fail"}


def test_it_opens_one_of_the_live_release(run_module, host, secret):
    host.live("r1")
    result = run_module(incident, {"root": host.root, **ARGS, "evidence": {"log": [f"key {secret}"]}})
    record = result["incident"]
    assert result["changed"] and record["release"] == "r1" and record["evidence"]["log"] == ["key ********"]
    assert [(one["id"], one["status"], one["live"]) for one in record["evidence"]["releases"]] == [("r1", "verified", True)]
    assert os.path.exists(record["path"]) and host.files_with(secret) == []
    second = run_module(incident, {"root": host.root, **ARGS, "release": "r0"})["incident"]
    assert second["id"] != record["id"] and second["release"] == "r0"


def test_check_mode_writes_nothing(run_module, host, snapshot):
    before = snapshot(host.root)
    result = run_module(incident, {"root": host.root, **ARGS}, check=True)
    assert result["changed"] and result["incident"] == {"id": None, "title": "Renders fail"}
    assert snapshot(host.root) == before


def test_an_acknowledgement_is_noted_once(run_module, host, snapshot, secret):
    opened = run_module(incident, {"root": host.root, **ARGS})["incident"]
    wanted = {"root": host.root, "env": "production", "state": "acknowledged", "id": opened["id"], "why": f"mine, {secret}"}
    before = snapshot(host.root)
    assert run_module(incident, wanted, check=True)["changed"] and snapshot(host.root) == before
    result = run_module(incident, wanted)
    noted = result["incident"]["acknowledged"]
    assert result["changed"] and noted["why"] == "mine, ********" and noted["when"] >= opened["opened"] and noted["who"]
    with open(opened["path"], encoding="utf-8") as stream:
        kept = json.load(stream)
    event = {"what": "acknowledged", "when": noted["when"], "who": noted["who"], "why": "mine, ********"}
    assert kept == {**opened, "acknowledged": noted, "status": "acknowledged", "events": [*opened["events"], event]}
    with open(opened["path"][:-4] + "md", encoding="utf-8") as stream:
        assert f"- Acknowledged {noted['when']} by {noted['who']}: mine" in stream.read()
    assert host.history()[-1]["what"] == "acknowledged" and host.history()[-1]["incident"] == opened["id"]
    before = snapshot(host.root)
    again = run_module(incident, {**wanted, "why": "no, mine"})
    assert not again["changed"] and again["incident"]["acknowledged"] == noted and snapshot(host.root) == before


def test_a_record_of_an_earlier_version_can_be_acknowledged(run_module, host):
    with open(os.path.join(host.layout.incidents, "INC-1.json"), "w", encoding="utf-8") as stream:
        json.dump({"title": "old"}, stream)
    result = run_module(incident, {"root": host.root, "env": "production", "state": "acknowledged", "id": "INC-1"})
    assert result["changed"] and (result["incident"]["title"], result["incident"]["status"]) == ("old", "acknowledged")
    with open(os.path.join(host.layout.incidents, "INC-1.md"), encoding="utf-8") as stream:
        page = stream.read()
    assert "# INC-1: old" in page and "Severity unknown, counts as 1 (critical)" in page


@pytest.mark.parametrize(
    "given, words",
    [
        ("INC-9", "incident INC-9: this host has no such incident. Choose one of "),
        ("../state/history", "incident '../state/history': expected"),
        (None, "state is acknowledged but all of the following are missing: id"),
    ],
)
def test_an_acknowledgement_of_nothing(run_module, host, given, words):
    result = run_module(incident, {"root": host.root, "env": "production", "state": "acknowledged", **({"id": given} if given else {})})
    assert result["failed"] and words in result["msg"]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"severity": 5}, "severity must be one of: 1, 2, 3, 4"),
        ({"title": None}, "title"),
        ({"root": "/no/such"}, "a host that was set up"),
    ],
)
def test_bad_input(run_module, host, snapshot, change, words):
    before = snapshot(host.root)
    given = {name: value for name, value in {"root": host.root, **ARGS, **change}.items() if value is not None}
    assert words in run_module(incident, given)["msg"] and snapshot(host.root) == before


def change(run_module, host, name, state, **options):
    return run_module(incident, {"root": host.root, "env": "production", "state": state, "id": name, **options})


def test_from_acknowledgement_to_review(run_module, host):
    name = run_module(incident, {"root": host.root, **ARGS})["incident"]["id"]
    assert change(run_module, host, name, "acknowledged")["message"] == f"{name} is acknowledged."
    updated = change(run_module, host, name, "updated", done="encoder installed", affected="renders", severity=3, reached=["root_cause"])
    assert updated["message"] == f"{name} is updated: severity 3, acknowledged." and updated["incident"]["severity_name"] == "medium"
    assert not change(run_module, host, name, "updated", done="encoder installed", affected="renders", severity=3, reached=["root_cause"])[
        "changed"
    ]
    resolved = change(run_module, host, name, "resolved", why="renders work")
    assert f"Fill in {host.layout.incidents}/{name}.review.md" in resolved["message"]
    assert not change(run_module, host, name, "resolved")["changed"] and not change(run_module, host, name, "acknowledged")["changed"]
    assert change(run_module, host, name, "reviewed")["message"] == f"{name} is reviewed."
    assert change(run_module, host, name, "reopened")["incident"]["status"] == "open"
    assert not change(run_module, host, name, "reopened")["changed"]


@pytest.mark.parametrize(
    "before, state, options, words",
    [
        ((), "reviewed", {}, "it is open. Resolve it before the review."),
        (("resolved",), "escalated", {}, "it is resolved. Reopen it first."),
        (("resolved",), "updated", {"severity": 1}, "it is resolved. Reopen it first."),
        ((), "updated", {}, "the update says nothing. Give a remark, a severity, what is affected, what was done, or what was reached."),
        ((), "updated", {"reached": ["fame"]}, "value of reached must be one or more of: stability, root_cause, report, prevention"),
    ],
)
def test_what_cannot_be_done_in_a_state_is_refused(run_module, host, snapshot, before, state, options, words):
    name = run_module(incident, {"root": host.root, **ARGS})["incident"]["id"]
    for each in before:
        change(run_module, host, name, each)
    tree = snapshot(host.root)
    result = change(run_module, host, name, state, **options)
    assert result["failed"] and words in result["msg"] and snapshot(host.root) == tree


def test_a_cause_that_is_gone_is_settled(run_module, host, snapshot):
    opened = run_module(incident, {"root": host.root, **ARGS, "cause": "backup"})["incident"]
    settle = {"root": host.root, "env": "production", "state": "settled", "cause": "backup", "why": "a backup was made"}
    before = snapshot(host.root)
    assert run_module(incident, settle, check=True)["changed"] and snapshot(host.root) == before
    result = run_module(incident, settle)
    assert result["changed"] and result["message"] == f"Resolved by itself: {opened['id']}."
    assert not run_module(incident, settle)["changed"]
    assert "cause: none was given." in run_module(incident, {**settle, "cause": ""})["msg"]


def test_a_fleet_is_asked_for_one_that_only_some_hosts_have(run_module, host, snapshot):
    before = snapshot(host.root)
    result = change(run_module, host, "INC-9", "resolved", if_missing="skip")
    assert not result["changed"] and result["incident"] is None and "this host has no such incident" in result["message"]
    assert snapshot(host.root) == before


def test_without_contacts_an_escalation_says_whom_to_call(run_module, host):
    name = run_module(incident, {"root": host.root, **ARGS})["incident"]["id"]
    result = change(run_module, host, name, "escalated", why="no progress")
    assert result["changed"]
    assert "this host has no chain for it, so call by yourself: within 30 minutes if not resolved" in result["message"]
