# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module host_metrics on this machine, with a real service."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._observe import host_metrics as observe_host_metrics
from ansible_collections.mobius.ops.plugins.modules import host_metrics

#: What may be on any machine is normal.
CALM = {name: [10**9, 10**9] for name in ("cpu_pct", "memory_pct", "swap_pct", "load_per_core", "fds_pct", "disk_pct", "inodes_pct")}


@pytest.fixture
def measure(run_module):
    """Run the module for an instant."""
    return lambda check=False, **options: run_module(host_metrics, {"window": 0.05, "thresholds": CALM, **options}, check=check)


def values(result):
    return {(row["metric"], row["subject"]): row["value"] for row in result["metrics"]}


def test_a_calm_host(measure):
    result = measure()
    assert (result["changed"], result["status"], result["summary"]) == (False, "normal", "Host normal.")
    assert ("disk_pct", "/") in values(result)
    assert not [name for name in values(result) if name[0].startswith(("service", "port", "clock"))]


def test_a_host_with_a_service(host, measure, snapshot, monkeypatch):
    host.live("r1")
    service = host.serve()
    pid, before = service.status()["pid"], snapshot(host.root)
    now = time.time()
    monkeypatch.setattr(observe_host_metrics.time, "time", lambda: now)
    result = measure(check=True, root=host.root, service="mobius", ports=[host.port], clock_reference=now)
    assert snapshot(host.root) == before and not result["changed"]
    found = values(result)
    assert found["port_listening", str(host.port)] == 1 and found["service_restarts", ""] == 0
    with open(f"/proc/{pid}/statm") as stream:
        assert found["service_rss_bytes", ""] == pytest.approx(int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"), rel=0.2)
    assert found["fds_pct", "service"] > 0 and abs(found["clock_offset_s", ""]) < 0.01
    assert result["status"] == "normal"
    service.stop()
    result = measure(root=host.root, service="mobius", ports=[host.port])
    assert result["status"] == "critical" and ("service_rss_bytes", "") not in values(result)
    assert result["summary"].startswith(f"Host critical: port_listening {host.port} nobody listens. Start the service")


def test_the_places_of_an_application(host, tmp_path, measure):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    uploads = os.path.join(host.layout.shared, "uploads")
    os.rmdir(uploads)
    os.symlink(elsewhere, uploads)
    with open(os.path.join(host.layout.shared, "note"), "w", encoding="utf-8"):
        pass
    found = observe_host_metrics.places(host.layout)
    assert found[0] == host.root and found[-1] == host.layout.backups and uploads in found
    assert os.path.join(host.layout.shared, "note") not in found
    elsewhere.rmdir()
    result = measure(root=host.root, mounts=["/nowhere"])
    assert [row["subject"] for row in result["metrics"] if row["status"] == "unknown"] == [uploads, "/nowhere"]


def test_a_root_that_was_not_set_up(tmp_path, measure):
    result = measure(root=str(tmp_path / "none"))
    assert result["status"] == "unknown" and "No such file or directory" in result["summary"]
    assert observe_host_metrics.places(host_metrics.Layout(str(tmp_path))) == [str(tmp_path)]


@pytest.mark.parametrize(
    "limits, fail_on, fails",
    [
        ([0, 10**9], "never", False),
        ([0, 10**9], "critical", False),
        ([0, 10**9], "warning", True),
        ([0, 0], "never", False),
        ([0, 0], "critical", True),
        ([10**9, 10**9], "warning", False),
    ],
)
def test_fail_on(measure, limits, fail_on, fails):
    result = measure(thresholds={**CALM, "memory_pct": limits}, fail_on=fail_on)
    assert bool(result.get("failed")) == fails and len(result["metrics"]) > 5
    if fails:
        assert result["msg"].startswith(f"Host {result['status']}: memory_pct ") and "mobius.ops.restart" in result["msg"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"service": "mobius"}, "service mobius: expected the root that it was set up below, found none. Give root."),
        ({"window": 0}, "host metrics: expected a window above 0 seconds, found 0. Correct it."),
        ({"thresholds": {"speed": [1, 2]}}, "thresholds: expected some of"),
        ({"ports": ["many"]}, "ports"),
        ({"fail_on": "unknown"}, "fail_on"),
    ],
)
def test_bad_options(measure, options, words):
    result = measure(**options)
    assert result["failed"] and words in result["msg"]


def test_a_service_that_was_never_set_up(host, measure):
    assert "Run the playbook mobius.ops.setup first" in measure(root=host.root, service="other")["msg"]


def test_without_psutil(measure, monkeypatch):
    monkeypatch.setattr(observe_host_metrics, "psutil", None)
    assert measure()["msg"] == (
        "host metrics: expected the Python library psutil on the target, found none. "
        "Install the package python3-psutil there (mobius.ops.setup does)."
    )
