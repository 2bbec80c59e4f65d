# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runbook's table of key metrics."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._observe import thresholds


@pytest.mark.parametrize(
    "metric, value, status",
    [
        ("response_time_ms", 1000, "normal"),
        ("response_time_ms", 1000.1, "warning"),
        ("response_time_ms", 5001, "critical"),
        ("error_rate_pct", 1, "normal"),
        ("error_rate_pct", 5, "warning"),
        ("error_rate_pct", 5.1, "critical"),
        ("cpu_pct", 70, "normal"),
        ("cpu_pct", 71, "warning"),
        ("cpu_pct", 91, "critical"),
        ("memory_pct", 81, "warning"),
        ("disk_pct", 95, "warning"),
        ("disk_pct", 96, "critical"),
        ("uptime_pct", 100, "normal"),
        ("uptime_pct", 99.95, "warning"),
        ("uptime_pct", 99.8, "critical"),
        ("cpu_pct", None, "unknown"),
    ],
)
def test_the_default_table(metric, value, status):
    assert thresholds.grade(metric, value, thresholds.DEFAULTS) == status


def test_rows_are_replaced_one_by_one():
    table = thresholds.merge({"cpu_pct": ["10", 20]})
    assert table["cpu_pct"] == (10.0, 20.0) and table["disk_pct"] == (80, 95)
    assert thresholds.merge(None) == thresholds.DEFAULTS


@pytest.mark.parametrize(
    "given, words",
    [
        ({"speed": [1, 2]}, "found 'speed'"),
        ({"cpu_pct": [1]}, "two numbers"),
        ({"cpu_pct": [1, 2, 3]}, "two numbers"),
        ({"cpu_pct": 5}, "two numbers"),
        ({"cpu_pct": ["a", "b"]}, "two numbers"),
        ({"cpu_pct": None}, "two numbers"),
    ],
)
def test_bad_rows_are_named(given, words):
    with pytest.raises(InputError, match=words):
        thresholds.merge(given)


def test_worst():
    assert thresholds.worst([]) == "unknown"
    assert thresholds.worst(["normal", "unknown"]) == "unknown"
    assert thresholds.worst(["unknown", "warning", "normal"]) == "warning"
    assert thresholds.worst(["warning", "critical"]) == "critical"
