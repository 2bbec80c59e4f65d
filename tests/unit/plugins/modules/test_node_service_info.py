# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a real service is told to be."""
from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.modules import node_service_info

pytestmark = pytest.mark.usefixtures("any_latency")


def test_a_verified_release_is_well(host, run_module, snapshot):
    host.live("r1")
    host.serve()
    before = snapshot(host.root)
    result = run_module(node_service_info, {"root": host.root, "checks": [{"url": f"http://127.0.0.1:{host.port}/health"}]})
    assert result["well"] and not result["changed"] and "release r1)." in result["message"]
    assert result["health"]["status"] == "normal" and result["health"]["results"][0]["outcome"] == "ok"
    assert snapshot(host.root) == before


def test_a_release_that_was_never_verified_and_is_not_watched_is_not_well(host, run_module):
    host.live("r1", status="active")
    host.serve()
    result = run_module(node_service_info, {"root": host.root})
    assert not result["well"]
    assert "its release was never verified and nobody watches it. Run: ansible-playbook mobius.ops.monitor" in result["message"]
