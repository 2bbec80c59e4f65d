# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast the application answered before a deploy: what a watch holds the new release's latency against."""

from __future__ import annotations

import time

from .._core import clock, fs, stats
from .._observe import probe
from .._target import records
from .._target.layout import Layout
from .._target.record_types import Check
from . import rounds
from .watch_types import Baseline, BaselineFigures

#: Answers of each check that are enough, and seconds after which fewer must do.
ANSWERS, PATIENCE = 150, 20.0
#: Seconds after which a baseline says nothing any more: load and machine may be others.
MAX_AGE = 86400


def _path(layout: Layout) -> str:
    return layout.path("state", "baseline.json")


def take(layout: Layout, checks: list[Check], live: str | None) -> Baseline:
    """Measure the live release and keep it; ``release``, ``when`` and ``checks``: name -> milliseconds of right answers."""
    filled = [probe.fill(check, live) for check in checks]
    times: dict[str, list[float]] = {check["name"]: [] for check in filled}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(len(found) < ANSWERS for found in times.values()):
        for sample in rounds.take(filled, 10):
            if sample["outcome"] in ("ok", "slow"):
                times[sample["check"]].append(sample["ms"])
            else:  # a service that is not well is no measure: it is not asked for long
                deadline -= PATIENCE / 20
    record: Baseline = {"release": live, "when": clock.iso(), "checks": times}
    fs.write_json(_path(layout), record)
    return record


def read(layout: Layout) -> dict[str, list[float]]:
    """Check -> milliseconds of the newest baseline; none when it is too old."""
    record: Baseline | None = records.read(_path(layout), records.BASELINE)
    if not record or (clock.now() - clock.parse(record["when"])).total_seconds() > MAX_AGE:
        return {}
    return record["checks"]


def figures(times: dict[str, list[float]]) -> dict[str, BaselineFigures]:
    """Check -> ``p50_ms`` and ``requests``, for records and people."""
    return {name: {"p50_ms": round(stats.median(found), 1) if found else None, "requests": len(found)} for name, found in times.items()}
