"""Playbooks for a service that something else runs: here a small web server, found by its port. On systemd hosts: make test-roles."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.playbooks import Operator
from support.ports import free_port
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import mounts, processes

THRESHOLDS = {"response_time_ms": [20_000, 20_000], "disk_pct": [100, 100], "inodes_pct": [100, 100]}


class Shop:
    """The service, and an operator who takes care of it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.port, self.data = folder / "ops", free_port(), folder / "shop"
        self.data.mkdir()
        (self.data / "health").write_text("well")
        self.adopted = {"folders": {"uploads": str(self.data)}} if os.geteuid() == 0 else {"log": str(folder / "log")}
        (folder / "log").touch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1"],
            cwd=self.data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: processes.port_answers(self.port))
        self.operator = Operator(
            "local",
            mobius_root=str(self.root),
            mobius_port=self.port,
            mobius_service="shop",
            mobius_profile="node",
            mobius_health_assertions=[],
            mobius_thresholds=THRESHOLDS,
            mobius_adopted=self.adopted,
        )

    def end(self) -> None:
        """Stop it, and take the mounts away."""
        self.process.kill()
        self.process.wait()
        for point in mounts.points():
            if point.startswith(f"{self.root}/"):
                subprocess.run(["umount", point], check=True)


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.end()


def test_it_is_looked_at_backed_up_and_never_switched(shop, says):
    result = shop.operator.run("status")
    assert result.outcome == "well" and says(result, "Not for a service that this collection did not deploy"), result.output
    result = shop.operator.run("backup")
    if os.geteuid() == 0:
        (archive,) = (shop.root / "backups").glob("*.zip")
        with zipfile.ZipFile(archive) as opened:
            assert result.outcome == "backed_up" and "uploads/health" in opened.namelist(), result.output
    result = shop.operator.run("setup")
    assert result.status == 2, result.output
    assert says(result, "mobius_adopted: expected nothing for a playbook that sets up, deploys or rolls back"), result.output
    shop.process.kill()
    shop.process.wait()
    result = shop.operator.run("status")
    assert (result.status, result.outcome) == (2, "not_well") and says(result, "shop is DOWN"), result.output


@pytest.mark.parametrize(
    ("playbook", "outcome", "settings"),
    [
        ("health", "healthy_now", {}),
        ("smoke_test", "smoke_passed", {}),
        ("monitor", "healthy", {"mobius_watch_duration": "1", "mobius_failure_threshold": 1, "mobius_watch_requests": 2}),
        ("incident", "opened", {"mobius_incident_action": "open", "mobius_incident_title": "Slow", "mobius_incident_severity": 3}),
        ("diagnose", "nothing_found", {}),
    ],
)
def test_a_process_found_by_its_port_is_taken_care_of(shop, playbook, outcome, settings):
    result = shop.operator.run(playbook, **settings)
    assert (result.status, result.outcome) == (0, outcome), result.output
    assert shop.process.poll() is None


def test_the_log_and_the_files_of_a_process_found_by_its_port(shop, tmp_path):
    (tmp_path / "log").write_text("2026-11-27T10:00:00Z ERROR out of stock\n")
    result = shop.operator.run("logs", mobius_adopted={"log": str(tmp_path / "log")})
    assert (result.status, result.outcome) == (0, "errors_found") and "out of stock" in result.output, result.output
    if os.geteuid() == 0:  # who is not root has no folders here
        assert shop.operator.run("backup").outcome == "backed_up"
        result = shop.operator.run("cleanup")
        assert (result.status, result.outcome) == (0, "planned") and (shop.data / "health").exists(), result.output
