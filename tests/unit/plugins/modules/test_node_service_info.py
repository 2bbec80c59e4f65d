# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a real service is told to be."""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._target import json_stores, shared_folders, switch_journal
from ansible_collections.mobius.ops.plugins.modules import node_service_info, release_info

pytestmark = pytest.mark.usefixtures("any_latency")


def test_a_verified_release_is_well(host, run_module, snapshot):
    host.live("r1")
    host.serve()
    before = snapshot(host.root)
    result = run_module(node_service_info, {"root": host.root, "checks": [{"url": f"http://127.0.0.1:{host.port}/health"}]})
    assert result["well"] and not result["changed"] and "release r1)." in result["message"]
    assert result["health"]["status"] == "normal" and result["health"]["results"][0]["outcome"] == "ok"
    assert snapshot(host.root) == before


@pytest.mark.parametrize("events", [0, 1, 10])
def test_the_releases_are_what_release_info_returns(host, run_module, events):
    host.live("r1")
    host.live("r2")
    host.service()
    result = run_module(node_service_info, {"root": host.root, "releases": True, "events": events})
    expected = run_module(release_info, {"root": host.root, "events": events})
    assert result["releases"] == {name: value for name, value in expected.items() if name not in ("changed", "diff", "invocation")}
    assert result["releases"]["live"] == "r2" and len(result["releases"]["history"]) <= events
    assert "releases" not in run_module(node_service_info, {"root": host.root})


def test_a_service_whose_definition_is_damaged_has_its_releases(host, run_module):
    host.live("r1")
    host.service()
    fs.write_text(host.layout.path("state", "service", "mobius", "spec.json"), "{")
    result = run_module(node_service_info, {"root": host.root, "releases": True})
    assert result["status"] == "unknown" and result["releases"]["live"] == "r1"


def test_torn_stores_are_told_also_of_a_service_whose_definition_is_damaged(host, run_module, snapshot, monkeypatch):
    monkeypatch.setattr(json_stores, "PATIENCE", 0)
    host.live("r1")
    host.service()
    fs.write_text(os.path.join(host.layout.component("database"), "projects.json"), '{"projects": [')
    before = snapshot(host.root)
    (sentence,) = run_module(node_service_info, {"root": host.root, "stores": True})["torn_stores"]
    assert "projects.json: expected a JSON document, found " in sentence and "mobius.ops.restore" in sentence
    assert "torn_stores" not in run_module(node_service_info, {"root": host.root}) and snapshot(host.root) == before
    fs.write_text(host.layout.path("state", "service", "mobius", "spec.json"), "{")
    result = run_module(node_service_info, {"root": host.root, "stores": True})
    assert (result["status"], result["torn_stores"]) == ("unknown", [sentence])
    fs.write_text(os.path.join(host.layout.component("database"), "projects.json"), '{"projects": []}')
    assert run_module(node_service_info, {"root": host.root, "stores": True})["torn_stores"] == []


def test_a_release_that_was_never_verified_and_is_not_watched_is_not_well(host, run_module):
    host.live("r1", status="active")
    host.serve()
    result = run_module(node_service_info, {"root": host.root})
    assert not result["well"]
    assert "its release was never verified and nobody watches it. Run: ansible-playbook mobius.ops.monitor" in result["message"]


def test_a_service_that_lacks_changed_settings_is_well_and_says_so(host, run_module, secret):
    host.live("r1")
    host.serve()
    first = run_module(node_service_info, {"root": host.root})
    assert (first["restart_needed"], first["restart_message"]) == ([], "") and first["message"].endswith("release r1).")
    fs.write_text(host.layout.env_file, "MOBIUS_API_KEYS=rotated-key\nNEW=new-value\n", 0o600)
    result = run_module(node_service_info, {"root": host.root})
    assert result["well"] and result["restart_needed"] == ["MOBIUS_API_KEYS", "NEW"]
    assert result["message"].endswith(
        "Restart needed: the running process does not have the current MOBIUS_API_KEYS and NEW. Run: ansible-playbook mobius.ops.restart."
    )
    assert not [text for text in ("rotated-key", "new-value", secret) if text in str(result)]


def test_where_the_application_works(host, run_module):
    host.live("r1")
    service = host.serve()
    result = run_module(node_service_info, {"root": host.root})
    assert (result["app_path"], result["app_folder"], result["shared_folders"]) == (service.way(), host.layout.app, [])
    shared_folders.save(host.layout, shared_folders.normalize(None))
    shutil.rmtree(host.layout.component("generated"))
    found = {entry["path"]: entry for entry in run_module(node_service_info, {"root": host.root})["shared_folders"]}
    assert found["data"] == {"path": "data", "component": "database", "place": "shared/data", "exists": True}
    assert (found["output"]["place"], found["output"]["exists"]) == ("shared/out/.output", False)


def test_a_process_that_an_earlier_version_has_started_has_no_folder_of_its_own(host, run_module):
    host.live("r1")
    path = os.path.join(host.serve().folder, "status.json")
    fs.write_json(path, {name: value for name, value in fs.read_json(path).items() if name != "app_path"})
    assert run_module(node_service_info, {"root": host.root})["app_path"] == "moving"


def test_an_interrupted_switch_is_not_well_and_the_command_that_finishes_it_comes_first(host, run_module):
    host.live("r1")
    host.release("r2")
    switch_journal.Journal.new(host.layout, "rollback", "r2", "r1", "bad uploads", "mobius").write()
    host.service()
    result = run_module(node_service_info, {"root": host.root})
    assert not result["well"] and result["message"].startswith("The rollback of r2 to r1 was interrupted (begun ")
    assert ": bad uploads). Finish it with: ansible-playbook mobius.ops.rollback. mobius is DOWN" in result["message"]
    with host.store.switching():
        assert result["message"].partition("rollback. ")[2] == run_module(node_service_info, {"root": host.root})["message"]
