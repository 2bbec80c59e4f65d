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
    assert result["changed"] and record["release"] == "r1" and record["evidence"] == {"log": ["key ********"]}
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
        assert json.load(stream) == {**opened, "acknowledged": noted}
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
    assert result["changed"] and result["incident"]["title"] == "old"
    assert not os.path.exists(os.path.join(host.layout.incidents, "INC-1.md"))


@pytest.mark.parametrize("given, words", [
    ("INC-9", "incident INC-9: this host has no such incident. Choose one of "),
    ("../state/history", "incident '../state/history': expected"),
    (None, "state is acknowledged but all of the following are missing: id")])
def test_an_acknowledgement_of_nothing(run_module, host, given, words):
    result = run_module(incident, {"root": host.root, "env": "production", "state": "acknowledged", **({"id": given} if given else {})})
    assert result["failed"] and words in result["msg"]


@pytest.mark.parametrize("change, words", [({"severity": 5}, "severity must be one of: 1, 2, 3, 4"),
                                           ({"title": None}, "title"), ({"root": "/no/such"}, "a host that was set up")])
def test_bad_input(run_module, host, snapshot, change, words):
    before = snapshot(host.root)
    given = {name: value for name, value in {"root": host.root, **ARGS, **change}.items() if value is not None}
    assert words in run_module(incident, given)["msg"] and snapshot(host.root) == before
