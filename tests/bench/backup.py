"""`make bench-backup`: this collection beside zip, tar, restic and borg, on the same tree, in one interleaved run.

Every result is checked. A run that did the wrong thing ends the benchmark: how quick it was does not matter.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import pstats
import shutil
import signal
import statistics
import sys
import tempfile
import typing as t
from pathlib import Path

import lanes
import measure
import report

ROOT = Path(__file__).resolve().parents[2]
#: Bytes of scratch space for each byte of the tree.
SPACE = 12


class Bench:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace, scratch: str) -> None:
        self.options = options
        self.scratch = scratch
        self.root = os.path.join(scratch, "root")
        self.runs: list[dict[str, t.Any]] = []
        self.changed = ""
        self.done = 0
        self.skipped: dict[str, str] = {}
        self.lanes: list[lanes.Lane] = []
        self._choose()
        self.wanted = {(lane.name, name) for lane in self.lanes for name in lane.operations if self._asked(lane.name, name)}
        #: What has to run, measured or not.
        self.needed = {(lane, name) for lane, wanted in self.wanted for name in _chain(wanted)}

    def _choose(self) -> None:
        lanes.Ours.python = self.options.python
        lanes.Ours.collections = self._collections()
        lanes.WithIsal.isal = os.path.abspath(self.options.isal) if self.options.isal else ""
        named = self.options.lanes.split(",") if self.options.lanes else [lane.name for lane in lanes.LANES]
        for lane in lanes.LANES:
            if lane.name in named:
                reason = lane.lacks(Path(self.options.collection))
                if reason:
                    self.skipped[lane.title] = reason
                else:
                    folder = os.path.join(self.scratch, "lanes", lane.name)
                    before, after = (os.path.join(self.scratch, name) for name in ("before.json", "after.json"))
                    self.lanes.append(lane(lanes.Places(self.root, folder, before, after)))

    def _collections(self) -> str:
        place = os.path.join(self.scratch, "collections", "ansible_collections", "mobius")
        os.makedirs(place)
        os.symlink(os.path.abspath(self.options.collection), os.path.join(place, "ops"))
        return os.path.join(self.scratch, "collections")

    def _asked(self, lane: str, operation: str) -> bool:
        only = self.options.only.split(",") if self.options.only else []
        return not only or bool({lane, operation, f"{lane}:{operation}"} & set(only))

    def run(self) -> None:
        """Make the tree, then every round."""
        say(f"making a tree of {self.options.size:g} MB, {self.options.files} files")
        for name in ("state", "backups"):
            os.makedirs(os.path.join(self.root, name))
        shape = [str(self.options.size), str(self.options.files), str(self.options.seed)]
        self._tree("make", *shape)
        for number in range(self.options.rounds):
            self._round(number)
        if self.options.profile:
            self._profiles()

    def _tree(self, action: str, *rest: str) -> str:
        shared, plan = os.path.join(self.root, "shared"), os.path.join(self.scratch, "plan.json")
        return measure.run([sys.executable, "-I", str(lanes.HERE / "tree.py"), action, shared, plan, *rest])

    def _round(self, number: int) -> None:
        self._list("before.json")
        for position, operation in enumerate(lanes.NEEDS):
            if operation == "changed" and any(name == "changed" for _lane, name in self.needed):
                made = json.loads(self._tree("change", str(number)))
                self.changed = f"{made['files']} files of {made['bytes'] / 1e6:.1f} MB changed in the last round"
                self._list("after.json")
            shift = (number + position) % len(self.lanes)
            for lane in self.lanes[shift:] + self.lanes[:shift]:
                if (lane.name, operation) in self.needed:
                    self._measure(lane, operation, number)
        shutil.rmtree(os.path.join(self.scratch, "lanes"))

    def _list(self, name: str) -> None:
        with open(os.path.join(self.scratch, name), "w", encoding="utf-8") as stream:
            stream.write(measure.run([*lanes.FACTS, "list", os.path.join(self.root, "shared")]))

    def _measure(self, lane: lanes.Lane, operation: str, number: int) -> None:
        lane.prepare(operation)
        step = getattr(lane, operation)()
        measure.warm(step.reads)
        os.sync()
        measure.wait_for_quiet(self.options.quiet)
        cost, said = measure.cost(step.command, step.cwd, step.environment)
        cost.sync = measure.flush(self.scratch)
        step.check(said)
        cost.size = step.size()
        measured = (lane.name, operation) in self.wanted
        if measured:
            self.runs.append({"round": number + 1, "lane": lane.name, "operation": operation, **dataclasses.asdict(cost)})
        self._progress(lane, operation, number, cost, measured)

    def _progress(self, lane: lanes.Lane, operation: str, number: int, cost: measure.Cost, measured: bool) -> None:
        self.done += 1
        total = len(self.needed) * self.options.rounds
        say(
            f"{self.done:3}/{total} round {number + 1} {operation:8} {lane.title:33} {cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU"
            f" {cost.peak / 1e6:5.0f} MB  +sync {cost.sync:5.2f} s  {cost.size / 1e6:6.1f} MB{'' if measured else '  (needed only)'}"
        )

    def _profiles(self) -> None:
        """Where the time of this collection's operations goes, all threads."""
        path = os.path.join(self.scratch, "profile")
        for lane in (lane for lane in self.lanes if isinstance(lane, lanes.Ours)):
            for operation in (name for name in lanes.NEEDS if (lane.name, name) in self.needed):
                if operation == "changed":
                    self._tree("change", str(self.options.rounds))
                lane.prepare(operation)
                step = getattr(lane, operation)()
                measure.warm(step.reads)
                step.command[-1] = json.dumps({**json.loads(step.command[-1]), "profile": path})
                measure.cost(step.command, step.cwd, step.environment)
                if (lane.name, operation) in self.wanted:
                    print(f"\n===== profile: {report.TITLES[operation]}, {lane.title}; seconds of all threads, waiting included")
                    pstats.Stats(path).sort_stats("tottime").print_stats(self.options.profile)

    def facts(self) -> dict[str, t.Any]:
        """The whole result."""
        versions = {"Python": platform.python_version()}
        for lane in self.lanes:
            versions.update(lane.versions())
            if lane.name == "isal":
                versions["isal"] = next(importlib.metadata.distributions(name="isal", path=[self.options.isal])).version
        return {
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "versions": versions,
            "rounds": self.options.rounds,
            "tree": f"{self.options.size:g} MB in {self.options.files} files, seed {self.options.seed}"
            + (f"; {self.changed}" if self.changed else ""),
            "titles": {lane.name: lane.title for lane in lanes.LANES},
            "skipped": self.skipped,
            "foreign": statistics.median(run["foreign"] for run in self.runs),
            "medians": report.medians(self.runs),
            "runs": self.runs,
        }


def _chain(operation: str) -> t.Iterator[str]:
    while operation:
        yield operation
        operation = lanes.NEEDS[operation]


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        model = next((line.partition(":")[2].strip() for line in stream if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return {
        "CPU": f"{model}, {cores} core{'s' if cores != 1 else ''}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def installed(package: str) -> str:
    """The folder that a package lies in; "" when it is not installed."""
    spec = importlib.util.find_spec(package)
    return str(Path(spec.origin).parents[1]) if spec and spec.origin else ""


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    names = ", ".join(lane.name for lane in lanes.LANES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument("--size", type=float, default=500, help="megabytes of the tree (500)")
    parser.add_argument("--files", type=int, help="its files (10 for each megabyte)")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes another tree")
    parser.add_argument("--lanes", default="", help=f"only some of {names}")
    parser.add_argument("--only", default="", help=f"only these: a lane, an operation ({', '.join(lanes.NEEDS)}) or lane:operation")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES", help="then show where this collection's time goes")
    parser.add_argument("--write", action="store_true", help="write docs/backup-benchmark.md and docs/backup-benchmark.json")
    parser.add_argument("--json", default="", help="write the result to this file")
    parser.add_argument("--scratch", help="a folder for the temporary files, on the disk that is to be measured")
    parser.add_argument("--collection", default=str(ROOT), help="another checkout of the collection")
    parser.add_argument("--python", default=sys.executable, help="another interpreter for it")
    parser.add_argument("--isal", default=installed("isal"), help="folder with the package isal (of this interpreter)")
    parser.add_argument("--quiet", type=float, default=0, metavar="SECONDS", help="before each run, wait so long for a quiet machine")
    parser.add_argument("--cpus", type=int, default=0, help="use so many cores only")
    options = parser.parse_args()
    options.files = options.files or max(60, round(options.size * 10))
    return options


def refuse_small(scratch: str, size: float) -> None:
    """End when there is too little space."""
    needed, free = size * 1e6 * SPACE, shutil.disk_usage(scratch).free
    if free < needed:
        sys.exit(f"{scratch} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed: name another folder with --scratch")


def main() -> None:
    """Measure and report; the scratch folder goes in any case."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_frame: sys.exit(143))
    if options.cpus:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cpus])
    scratch = tempfile.mkdtemp(prefix="bench-backup-", dir=options.scratch)
    try:
        refuse_small(scratch, options.size)
        bench = Bench(options, scratch)
        for title, reason in bench.skipped.items():
            say(f"left out: {title} ({reason})")
        if not bench.wanted:
            sys.exit("nothing to measure: correct --only or --lanes")
        bench.run()
        facts = bench.facts()
    except measure.Failed as error:
        sys.exit(f"FAILED: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(report.terminal(facts))
    facts["targets"] = report.targets(facts["medians"], facts["titles"])
    if options.json:
        Path(options.json).write_text(report.as_json(facts), encoding="utf-8")
    if options.write:
        page = ROOT / "docs" / "backup-benchmark.md"
        page.write_text(report.page(facts, page.read_text(encoding="utf-8") if page.exists() else ""), encoding="utf-8")
        page.with_suffix(".json").write_text(report.as_json(facts), encoding="utf-8")


if __name__ == "__main__":
    main()
