# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runbook's table of key metrics: when a figure is normal, a warning, critical or unknown."""

from __future__ import annotations

import typing as t

from .._core.errors import InputError

#: metric -> (warning, critical). Runbook, "Key Metrics"; ``uptime_pct`` is the one where less is worse.
DEFAULTS: dict[str, tuple[float, float]] = {
    "response_time_ms": (1000, 5000),
    "error_rate_pct": (1, 5),
    "cpu_pct": (70, 90),
    "memory_pct": (80, 90),
    "disk_pct": (80, 95),
    "uptime_pct": (100, 99.9),
    # Of a host, where the runbook is silent; what a value is taken from.
    "swap_pct": (50, 80),  # Zabbix's Linux template warns when less than half is free; critical as the runbook warns of memory
    "inodes_pct": (80, 95),  # as disk_pct: a file system without inodes is full too
    "load_per_core": (1.5, 3),  # Zabbix's Linux template calls 1.5 sustainable; twice that for five minutes is not
    "fds_pct": (70, 90),  # the alerts NodeFileDescriptorLimit of Prometheus' node exporter
    "clock_offset_s": (5, 300),  # mobius_max_clock_skew of preflight; from 5 minutes on Kerberos and many signed APIs refuse
    "certificate_days": (21, 7),  # less is worse here too
}
ORDER = ("normal", "unknown", "warning", "critical")
#: ``fail_on`` -> the statuses that fail.
FAILING = {"warning": ("warning", "unknown", "critical"), "critical": ("critical", "unknown"), "never": ()}


def merge(given: t.Mapping[str, t.Any] | None) -> dict[str, tuple[float, float]]:
    """The default table with the given rows in place of its own.

    :param given: metric -> ``[warning, critical]``.
    :raises InputError: when a metric is unknown or a row is not two numbers.
    """
    table = dict(DEFAULTS)
    for metric, row in (given or {}).items():
        if metric not in DEFAULTS:
            raise InputError("thresholds", "some of " + ", ".join(DEFAULTS), repr(metric), "Correct the name")
        try:
            warning, critical = (float(number) for number in row)
        except (TypeError, ValueError) as error:
            raise InputError(f"threshold {metric}", "two numbers, [warning, critical]", repr(row), "Correct it") from error
        table[metric] = (warning, critical)
    return table


def grade(metric: str, value: float | None, table: dict[str, tuple[float, float]]) -> str:
    """``normal``, ``warning``, ``critical``, or ``unknown`` when there is no value."""
    if value is None:
        return "unknown"
    warning, critical = table[metric]
    if critical < warning:
        return "critical" if value < critical else "warning" if value < warning else "normal"
    return "critical" if value > critical else "warning" if value > warning else "normal"


def worst(grades: t.Iterable[str]) -> str:
    """The worst of some grades; ``unknown`` when there are none."""
    return max(grades, key=ORDER.index, default="unknown")
