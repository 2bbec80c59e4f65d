"""`make bench-watch-faults`: how soon the watch finds each fault of the sample application, and how soon the old release serves again.

Every case is an application root of its own on this machine, two instances behind the real proxy; all run at the same time, in the
default profile (a check every 60 s, confirmed after 5 s). Some seconds into its watch a case gets its fault. *Detected* is counted from
there to the decision; *back* from the decision until the old release has answered every check.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import shutil
import sys
import tempfile
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".build" / "collections")]

from support.proxied import KEY, ProxiedRoot, install_modules  # noqa: E402
from support.remains import end_all  # noqa: E402

from ansible_collections.mobius.ops.plugins.module_utils._observe import health  # noqa: E402
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control  # noqa: E402
from ansible_collections.mobius.ops.plugins.module_utils._watch import decision as watch_decision  # noqa: E402
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline, watcher  # noqa: E402

INTERVAL, RETRY = 60.0, 5.0
#: Name, state, fault, rules beside the defaults.
CASES: tuple[tuple[str, str, dict[str, t.Any], dict[str, t.Any]], ...] = (
    ("health fails, host 1", "shared", {"kind": "health"}, {}),
    ("health fails, host 2", "shared", {"kind": "health"}, {}),
    ("health fails, host 3", "shared", {"kind": "health"}, {}),
    ("health fails, exclusive", "exclusive", {"kind": "health"}, {}),
    ("20 % answer 500", "shared", {"kind": "errors", "share": 0.2}, {}),
    ("60 % slower", "shared", {"kind": "slow", "ms": 60}, {}),
    ("hang", "shared", {"kind": "hang"}, {}),
    ("hang, exclusive", "exclusive", {"kind": "hang"}, {}),
    ("crash loop", "shared", {"kind": "crash"}, {}),
    ("leak, 20 MB/s", "shared", {"kind": "leak", "mb_per_s": 20}, {"memory_mb": 300}),
    ("no fault", "shared", {}, {}),
)


class Case:
    """One root with its watch."""

    def __init__(self, folder: Path, modules: str, case: tuple[str, str, dict[str, t.Any], dict[str, t.Any]]) -> None:
        self.name, state, self.fault, rules = case
        self.root = ProxiedRoot(folder, state, modules)
        self.root.define()
        slow = self.fault.get("kind") == "slow"
        # what is to be 60 % slower takes 100 ms before
        url = f"http://127.0.0.1:{self.root.public}" + ("/api/slow?ms=100" if slow else "/health")
        checks = health.normalize_all(
            [{"name": "slow" if slow else "health", "url": url, "json": [] if slow else ["status == 'ok'"]}],
            secret_headers={"X-Mobius-API-Key": KEY},
        )
        self.root.verified("v1")
        latency_baseline.take(self.root.layout, checks, "v1")
        self.root.release("v2")
        self.root.activate("v2")
        self.spec = {
            **watch_decision.Rules(**rules)._asdict(),
            "env": "bench",
            "service": "mobius",
            "duration": 300.0,
            "interval": INTERVAL,
            "retry_interval": RETRY,
            "initial_delay": 0,
            "auto_rollback": True,
            "ready_timeout": 20.0,
            "requests": 30,
            "keep": 0,
            "metrics_interval": 900.0,
            "checks": checks,
        }

    def begin(self, at: float) -> None:
        """Start the watch; the fault comes *at* seconds later."""
        self.watch = watch_control.start(self.root.layout, self.spec, watcher)
        self.due, self.broken, self.decided = time.monotonic() + at, 0.0, 0.0

    def step(self) -> bool:
        """Break what is due, and look; whether the watch has ended."""
        if self.fault and not self.broken and time.monotonic() >= self.due:
            Path(self.root.layout.release("v2"), "fault.json").write_text(json.dumps(self.fault))
            self.broken = time.monotonic()
        self.state = self.watch.state()
        if self.state.get("rolling_back") and not self.decided:
            self.decided = time.monotonic()
        if self.state["status"] == "running":
            self.cost = cost_of(self.state["pid"])
        return self.state["status"] == "finished"

    def row(self) -> list[str]:
        """What came of it."""
        found = f"{self.decided - self.broken:.1f}" if self.decided else ""
        back = f"{self.state['rollback']['elapsed']:.1f}" if self.state.get("rollback") else ""
        return [self.name, self.state["verdict"] or "", found, back, self.state["trigger"]]

    def as_it_should(self) -> bool:
        """Rolled back within two intervals and back in five seconds, or left alone."""
        if not self.fault:
            return bool(self.state["verdict"] == "healthy")
        in_time = self.decided - self.broken <= 2 * INTERVAL
        return bool(self.state["verdict"] == "rolled_back" and in_time and self.state["rollback"]["elapsed"] <= 5)


def cost_of(pid: int) -> tuple[float, float]:
    """Seconds of processor time that a process has used, and the most megabytes it ever had."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0, 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) / 1000


def measured(folder: Path, chance: str) -> list[Case]:
    """All cases to their end."""
    modules = install_modules(str(folder / "deps"))
    cases = [Case(folder / f"case{number}", modules, case) for number, case in enumerate(CASES)]
    draw = random.Random(chance)
    for case in cases:
        case.begin(draw.uniform(1, INTERVAL))
    left = list(cases)
    while left:
        for case in [case for case in left if case.step()]:
            left.remove(case)
            print("  ".join(case.row()), flush=True)
        time.sleep(0.05)
    return cases


def main() -> int:
    """Prints the table; the exit status says whether each fault was found in time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chance", default="2026", help="what the moments of the faults hang on")
    parser.add_argument("--write", action="store_true", help="write docs/watch-faults.md")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mobius-watch-"))
    try:
        cases = measured(folder, options.chance)
    finally:
        end_all(str(folder))
        shutil.rmtree(folder, ignore_errors=True)
    lines = ["| fault | verdict | detected after s | back after s | trigger |", "|---|---|---:|---:|---|"]
    lines += ["| " + " | ".join(case.row()) + " |" for case in cases]
    idle = next(case for case in cases if not case.fault)
    seconds, peak = idle.cost
    share = 100 * seconds / idle.spec["duration"]
    worst = max(case.decided - case.broken for case in cases if case.fault)
    lines += [
        "",
        f"Worst detection {worst:.0f} s (limit {2 * INTERVAL:.0f} s). The watch without a fault took {share:.2f} % of a core, "
        f"start included, and at most {peak:.0f} MB (limits 1 % and 60 MB).",
    ]
    print("\n".join(lines))
    if options.write:
        day = datetime.datetime.now(datetime.timezone.utc).date()
        about = "\n".join(__doc__.splitlines()[1:]).strip()
        (ROOT / "docs" / "watch-faults.md").write_text(
            f"# How soon the watch finds a fault\n\nWritten by `make bench-watch-faults ARGS=--write`, {day}.\n\n{about}\n\n"
            + "\n".join(lines)
            + "\n",
            encoding="utf-8",
        )
    return 0 if all(case.as_it_should() for case in cases) and share < 1 and peak < 60 else 1


if __name__ == "__main__":
    sys.exit(main())
