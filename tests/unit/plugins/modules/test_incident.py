# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module incident."""
from __future__ import annotations

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


@pytest.mark.parametrize("change, words", [({"severity": 5}, "severity must be one of: 1, 2, 3, 4"),
                                           ({"title": None}, "title"), ({"root": "/no/such"}, "a host that was set up")])
def test_bad_input(run_module, host, snapshot, change, words):
    before = snapshot(host.root)
    given = {name: value for name, value in {"root": host.root, **ARGS, **change}.items() if value is not None}
    assert words in run_module(incident, given)["msg"] and snapshot(host.root) == before
