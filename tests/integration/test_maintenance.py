"""Maintenance by the playbook, on the real application: each cadence, with what is planted."""

from __future__ import annotations

import json
import os

import pytest

pytestmark = pytest.mark.xdist_group("health")


@pytest.fixture
def settings():
    """The host's own ports, its lists of packages and the registry are not what is tested."""
    with open("/proc/net/tcp", encoding="ascii") as stream:
        ports = {int(line.split()[1].rpartition(":")[2], 16) for line in list(stream)[1:]}
    return {
        "mobius_maintenance_open_ports": sorted(ports),
        "mobius_maintenance_apt_days": 10000,
        "mobius_maintenance_npm_environment": {"npm_config_registry": "http://127.0.0.1:1/", "npm_config_fetch_retries": "0"},
        "mobius_maintenance_benchmark_requests": 5,
        "mobius_maintenance_log_max_mb": 1,
    }


def archives(site):
    return {name for name in os.listdir(os.path.join(site.root, "backups")) if name.endswith(".zip")}


def test_each_cadence(served, settings, says):
    first = served.play("backup")
    assert first.status == 0, first.output
    with open(os.path.join(served.root, "shared", "logs", "huge.log"), "wb") as stream:
        stream.truncate(1_100_000)
    result = served.play("maintenance", **settings)
    assert (result.status, result.outcome) == (0, "attention_needed"), result.output
    assert "log_rotation" in result.stats["mobius_maintenance_attention"] and says(result, "1 log is larger than 1 MB"), result.output
    [incident] = result.stats["mobius_incidents"]
    with open(os.path.join(served.root, "incidents", incident + ".json"), encoding="utf-8") as stream:
        assert json.load(stream)["cause"].removeprefix("maintenance ") == "log_not_rotated"
    with open(result.stats["mobius_maintenance_page"], encoding="utf-8") as stream:
        page = stream.read()
    assert "Verify backup integrity" in page and incident in page and "<script" not in page and "http" not in page.split("<body>")[0]

    again = served.play("maintenance", **settings, mobius_maintenance_steps=["log_rotation"])
    assert again.stats["mobius_incidents"] == [incident], again.output

    before = archives(served)
    result = served.play("maintenance", **settings, mobius_cadence="quarterly")
    assert result.status == 0 and "full_restore" not in result.stats["mobius_maintenance_attention"], result.output
    assert says(result, "the application was well on them"), result.output
    assert len(archives(served) - before) == 1

    result = served.play("maintenance", **settings, mobius_cadence="monthly")
    assert result.status == 0, result.output
    assert not {"capacity", "documentation", "recovery_test"} & set(result.stats["mobius_maintenance_attention"]), result.output
    assert says(result, "too few samples for a forecast"), result.output


def test_a_wrong_request_is_refused(served, says):
    result = served.play("maintenance", mobius_maintenance_steps=["backup"])
    assert (result.status, result.outcome) == (2, "not_run"), result.output
    assert says(result, "steps of weekly: expected some of log_patterns"), result.output
