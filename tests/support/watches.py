# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watch and its deploy leave on a target, without the hour that it takes."""

from __future__ import annotations

import datetime
import json
import math
import os
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs, processes
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders

BEGUN = clock.parse("2026-11-23T16:00:05Z")


def at(seconds: float) -> str:
    """The time so long after the watch's begin."""
    return clock.iso(BEGUN + datetime.timedelta(seconds=seconds))


def fault(error: str = "status 500 instead of 200", evidence: str = "") -> dict[str, t.Any]:
    """A sample that was not well."""
    return {"check": "health", "outcome": "failed", "kind": "status", "status": 500, "ms": 3.2, "error": error, "evidence": evidence}


def round_line(second: float, number: int, outcome: str = "ok", ms: float = 4.0, **more: t.Any) -> dict[str, t.Any]:
    """A round of one check."""
    bad = 0 if outcome == "ok" else 6
    return {
        "when": at(second),
        "what": "round",
        "round": number,
        "outcome": outcome,
        "release": "v2",
        "restarts": 0,
        "fault": "",
        "checks": [
            {
                "check": "health",
                "requests": 20,
                "ok": 20 - bad,
                "slow": 0,
                "failed": bad,
                "error": 0,
                "p50_ms": ms,
                "p95_ms": ms * 1.6,
                "max_ms": ms * 2.4,
            }
        ],
        "evidence": [fault()] if bad else [],
        **more,
    }


def host_line(second: float, cpu: float) -> dict[str, t.Any]:
    """Figures of the host."""

    def row(metric: str, value: float, limits: tuple[float, float], subject: str = "", unit: str = "%") -> dict[str, t.Any]:
        status = "critical" if value > limits[1] else "warning" if value > limits[0] else "normal"
        return {
            "metric": metric,
            "subject": subject,
            "value": value,
            "unit": unit,
            "status": status,
            "warning": limits[0],
            "critical": limits[1],
            "todo": "",
        }

    return {
        "when": at(second),
        "what": "host",
        "status": "normal",
        "metrics": [row("cpu_pct", cpu, (70, 90)), row("memory_pct", 41.5, (80, 90)), row("disk_pct", 63.0, (80, 95), "/opt/mobius")],
    }


def mark_line(second: float, mark: str, text: str = "") -> dict[str, t.Any]:
    """A mark."""
    return {"when": at(second), "what": "mark", "mark": mark, "text": text}


def rolled_back_lines(rounds: int = 60, step: float = 10) -> list[dict[str, t.Any]]:
    """The metrics of a release that became slow, then bad, and was taken back."""
    lines = [mark_line(0, "begins", "watch begins")]
    for number in range(rounds):
        last = number >= rounds - 3
        ms = 4 + 2 * math.sin(number / 3) + (number * number) / (rounds * 2)
        lines.append(round_line(number * step, number + 1, "failed" if last else "ok", round(ms, 2)))
        lines.append(host_line(number * step, round(30 + 25 * math.sin(number / 9) + number / 2, 1)))
    end = (rounds - 1) * step
    return [
        *lines,
        mark_line(end, "alarm", "error rate 30 %"),
        mark_line(end + 1, "rolling_back", "3 consecutive failed rounds"),
        mark_line(end + 4, "rolled_back", "to v1"),
        mark_line(end + 4, "ends", "rolled_back"),
    ]


def put(host: t.Any, lines: t.Iterable[t.Any] | None = None, verdict: str | None = "healthy", **state: t.Any) -> watch_folders.WatchFolder:
    """Releases v1 and v2, the history of v2's deploy, and its watch with these metrics, on a host of the unit tests."""
    for name, status in (("v1", "verified"), ("v2", "rolled_back" if verdict == "rolled_back" else "verified")):
        if host.store.get(name) is None:
            host.release(name, status, backup=host.layout.path("backups", "dhash_test_20261123_155500.zip"))
    host.store.point("v1" if verdict == "rolled_back" else "v2")
    folder = watch_folders.create(
        host.layout,
        {
            "env": "test",
            "service": "mobius",
            "duration": 3600,
            "interval": 10,
            "retry_interval": 5,
            "failure_threshold": 3,
            "error_threshold": 5,
            "restart_limit": 3,
            "auto_rollback": True,
            "checks": [
                {
                    "name": "health",
                    "url": "http://user:hidden@127.0.0.1:5001/health?key=hidden",
                    "method": "GET",
                    "headers": {"Origin": "http://127.0.0.1"},
                    "secret_headers": {"X-Key": "hidden"},
                }
            ],
        },
    )
    spec = folder.spec()
    folder.save_state(
        {
            "status": "finished" if verdict else "running",
            "pid": os.getpid(),
            "ticks": processes.start_ticks(os.getpid()),
            "started": at(0),
            "release": "v2",
            "verdict": verdict,
            "trigger": "",
            "rounds": 60,
            "left": 0,
            "recent": [],
            "incident": None,
            "rollback": None,
            "samples": {"ok": 57, "slow": 0, "failed": 3, "error": 0, "no_data": 0, "availability_pct": 95.0},
            **state,
        }
    )
    history(host, spec["log_file"], verdict, state)
    fs.write_text(
        spec["metrics_file"],
        "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in (rolled_back_lines() if lines is None else lines)),
    )
    return folder


def history(host: t.Any, log_file: str, verdict: str | None, state: dict[str, t.Any]) -> None:
    """A deploy of v1 long before, then that of v2 and its watch."""

    def event(second: float, what: str, why: str = "", **facts: t.Any) -> None:
        line = {"when": at(second), "who": "anna", "what": what, "why": why, **facts}
        fs.append_line(host.layout.history, json.dumps(line, sort_keys=True))

    event(-9000, "prepared", release="v1", version="v1")
    event(-8990, "active", release="v1", previous=None)
    event(-5000, "watch", verdict="healthy", release="v1", log_file="earlier", elapsed=3600.0)
    event(-60, "preflight", "", verdict="passed", failed=[], waived=[])
    event(
        -40,
        "backup",
        "before v2",
        env="test",
        archive=host.layout.path("backups", "dhash_test_20261123_155500.zip"),
        elapsed=7.25,
        release="v1",
    )
    event(-12, "prepared", release="v2", version="v2")
    event(-1, "active", release="v2", previous="v1")
    if verdict == "rolled_back":
        event(594, "rolled_back", "3 consecutive failed rounds", release="v2", target="v1")
        event(594, "active", "3 consecutive failed rounds", release="v1")
        event(595, "incident", "Release v2 was rolled back to v1", incident="INC-20261123-1", severity=2, release="v2")
    if verdict:
        event(596, "watch", state.get("trigger", ""), verdict=verdict, release="v2", log_file=log_file, elapsed=596.0)
    event(900, "backup", "nightly", archive="later.zip", release="v1")
