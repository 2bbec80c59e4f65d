# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a watch at its beginning, and where it goes on after it was interrupted."""

from __future__ import annotations

import os
import typing as t

from .._core import clock, processes
from .._target.record_types import WatchSpec
from . import latency_baseline
from .decision import Decision
from .watch_types import BaselineFigures, WatchState, WatchSummary

#: Check -> milliseconds of its answers before the deploy.
Times = dict[str, list[float]]


class _Process(t.TypedDict):
    pid: int
    ticks: int | None


def begun(spec: WatchSpec, release: str | None, summary: WatchSummary, decision: Decision, times: Times) -> WatchState:
    """The state of a watch that begins."""
    return {
        "status": "running",
        **_process(),
        "started": clock.iso(),
        "release": release,
        "verdict": None,
        "trigger": "",
        "rounds": 0,
        "recent": [],
        "incident": None,
        "rollback": None,
        "left": spec["duration"],
        "samples": summary,
        "decision": decision.saved(),
        "rolling_back": "",
        "decided": "",
        "resumed": 0,
        "times": {},
        "baseline": _baseline(spec, times),
    }


def resumed(saved: WatchState, spec: WatchSpec, times: Times) -> WatchState:
    """The state of a watch that goes on. Nobody watched meanwhile, so that time does not count; and it never ends before a round."""
    left = max(saved["left"], spec["interval"])
    return {**saved, **_process(), "resumed": saved["resumed"] + 1, "left": left, "baseline": _baseline(spec, times)}


def _process() -> _Process:
    return {"pid": os.getpid(), "ticks": processes.start_ticks(os.getpid())}


def _baseline(spec: WatchSpec, times: Times) -> dict[str, BaselineFigures]:
    """What is known of the checks of this watch."""
    return latency_baseline.figures({check["name"]: times[check["name"]] for check in spec["checks"] if check["name"] in times})
