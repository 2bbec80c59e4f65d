# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module watch_report gathers on the target, and changes nothing."""

from __future__ import annotations

import os

import pytest
from support import watches

from ansible_collections.mobius.ops.plugins.modules import watch_report


@pytest.mark.parametrize("check", [False, True])
def test_it_changes_nothing(host, run_module, snapshot, check):
    folder = watches.put(host)
    before = snapshot(host.root)
    result = run_module(watch_report, {"root": host.root}, check=check)
    assert result["report"] == os.path.join(host.root, "reports", f"watch-test-{folder.id}.html")
    assert result["facts"]["watch"]["id"] == folder.id and not result["changed"]
    assert snapshot(host.root) == before


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        ("", "expected one to report on, found none. Deploy a release, or start a watch with mobius.ops.monitor."),
        ("nowhere", "Run the playbook mobius.ops.setup first, or correct mobius_root."),
    ],
)
def test_without_a_watch_it_says_so(host, run_module, root, sentence):
    result = run_module(watch_report, {"root": os.path.join(host.root, root)})
    assert result["failed"] and result["msg"].endswith(sentence)
