"""`make bench-deploy`: what a deploy and going back cost, and two proxies side by side. Interleaved; medians; a table and a page."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import resource
import shutil
import statistics
import sys
import tempfile
import time
import typing as t
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".build" / "collections")]

import proxies  # noqa: E402
import yaml  # noqa: E402
from support.application import make_source  # noqa: E402
from support.playbooks import Operator  # noqa: E402
from support.proxied import ProxiedRoot, free_ports, install_modules  # noqa: E402
from support.remains import end_all  # noqa: E402

#: Row, most seconds (or the ratio) that the issue allows, and what the figure is.
TARGETS = (
    ("no-change, 1 host", 10.0),
    ("deploy, 1 host", 30.0),
    ("going back, 5 GB, restart", 5.0),
    ("going back, 5 GB, exclusive", 5.0),
    ("going back, 5 GB, shared", 5.0),
)
#: Most seconds of processor time a host.
CPU_TARGETS = {"deploy": 6.0, "no-change": 1.5}
#: The watch of a measured deploy; its seconds are taken off.
WATCH = 2.0
SMALL, LARGE = 10 * 10**6, 5 * 10**9
PARTS = ("playbooks", "going-back", "proxies")


def children() -> float:
    """Processor time, in seconds, of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class User(Operator):
    """Runs playbooks with the callbacks of this checkout's ``ansible.cfg``, as users do."""

    def environment(self) -> dict[str, str]:
        """That of an operator, and modules that an earlier run has packed."""
        return {
            **super().environment(),
            "ANSIBLE_CALLBACKS_ENABLED": "stats_file,mobius.ops.packed",
            "MOBIUS_PACKED_FOLDER": str(ROOT / ".build" / "packed"),
        }


class Fleet:
    """Hosts on this machine, each a root with the sample application."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        folder.mkdir()
        settings = yaml.safe_load((ROOT / "inventories" / "local" / "group_vars" / "mobius.yml").read_text())
        settings["secret_file"] = str(ROOT / ".build" / "secrets" / "local")
        hosts = {
            f"host{number}": {
                "mobius_root": str(folder / f"host{number}"),
                "mobius_port": port,
                "mobius_min_free_mb": 100,
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            }
            for number, port in enumerate(free_ports(count))
        }
        (folder / "hosts.yml").write_text(yaml.safe_dump({"mobius": {"hosts": hosts, "vars": settings}}))
        self.operator = User(
            "local",
            mobius_artifact_store=str(folder.parent / "artifacts"),
            mobius_watch_duration=str(WATCH),
            mobius_watch_interval="0.5",
            mobius_serial=0,
        )
        self.operator.inventory = folder / "hosts.yml"
        self.play("setup")

    def play(self, playbook: str, *options: str, **extra: t.Any) -> tuple[float, float, int]:
        """Seconds that a playbook took, seconds of processor time a host, and how many tasks the first host had.

        The processor time is that of ``ansible-playbook`` and of the modules, without what runs on: the service and its watch.
        """
        began, before = time.monotonic(), children()
        result = self.operator.run(playbook, "--forks", str(max(5, self.count)), *options, **extra)
        seconds, used = time.monotonic() - began, children() - before
        if result.status:
            raise measure.Failed(f"{playbook} on {self.count} hosts ended with {result.status}:\n{result.output[-3000:]}")
        return seconds, used / self.count, int(re.search(r"host0\s+: ok=(\d+)", result.output).group(1))  # type: ignore[union-attr]


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options, self.scratch = options, scratch
        self.figures: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}
        self.tasks: dict[str, int] = {}

    def note(self, name: str, seconds: float, cpu: float | None = None) -> None:
        """Take figures in, and show them.

        :param cpu: seconds of processor time a host.
        """
        self.figures.setdefault(name, []).append(seconds)
        if cpu is not None:
            self.cpu.setdefault(name, []).append(cpu)
        print(f"  {name:<44} {seconds:8.2f} s" + (f"  {cpu:6.2f} s of processor time a host" if cpu is not None else ""), flush=True)

    def playbooks(self) -> None:
        """Whole playbooks on 1, 3, 10 hosts or others. A host of its own builds the artifact of each version first."""
        builder = Fleet(self.scratch / "builder", 1)
        fleets = {count: Fleet(self.scratch / f"fleet{count}", count) for count in self.options.hosts}
        for number in range(self.options.rounds + 1):
            source = make_source(self.scratch / f"source-v{number}", f"v{number}")
            what = {"mobius_release_source": str(source), "mobius_version": f"v{number}"}
            seconds, used, _tasks = builder.play("deploy", **what)
            for count, fleet in fleets.items():
                name = "1 host" if count == 1 else f"{count} hosts"
                spent, cpu, tasks = fleet.play("deploy", **what)
                again, little, few = fleet.play("deploy", **what)
                if number:  # the first round installs the dependencies
                    self.note(f"deploy, {name}", spent - WATCH, cpu)
                    self.note(f"no-change, {name}", again, little)
                    self.tasks |= {"deploy": tasks, "no-change": few}
            if number:
                self.note("deploy, 1 host, with the build", seconds - WATCH, used)

    def going_back(self) -> None:
        """From the decision until the old release serves, with little and with much data, for each way to switch."""
        modules = install_modules(str(self.scratch / "modules"))
        roots = {}
        for state in ("restart", "exclusive", "shared"):
            for name, size in (("10 MB", SMALL), ("5 GB", LARGE)):
                root = ProxiedRoot(self.scratch / f"{state}-{size}", state, modules)
                fill(Path(root.layout.component("uploads")), size)
                root.define()
                for release in ("r1", "r2"):
                    root.verified(release)
                roots[state, name] = root
        for _round in range(self.options.rounds + 1):
            for (state, name), root in roots.items():
                began = time.monotonic()
                root.roll_back("r1")
                if _round:
                    self.note(f"going back, {name}, {state}", time.monotonic() - began)
                root.activate("r2")

    def run(self) -> dict[str, t.Any]:
        """Every part that is asked for; the figures' medians."""
        side_by_side: list[dict[str, t.Any]] = []
        for part in self.options.only or PARTS:
            print(part, flush=True)
            if part == "proxies":
                side_by_side = proxies.compare(self.scratch / "proxies", self.options.rounds)
            else:
                (self.playbooks if part == "playbooks" else self.going_back)()
            end_all(str(self.scratch))
        return {
            "medians": medians(self.figures),
            "rounds": self.figures,
            "cpu": medians(self.cpu),
            "cpu_rounds": self.cpu,
            "tasks": self.tasks,
            "proxies": side_by_side,
        }


def medians(figures: dict[str, list[float]]) -> dict[str, float]:
    """The median of each."""
    return {name: round(statistics.median(found), 2) for name, found in figures.items()}


def fill(folder: Path, size: int) -> None:
    """Uploads of random bytes, 100 MB a file."""
    left, number, block = size, 0, os.urandom(10**6)
    while left:
        with open(folder / f"upload-{number}.bin", "wb") as stream:
            part = min(left, 100 * 10**6)
            for _part in range(part // len(block)):
                stream.write(block)
        left, number = left - part, number + 1


def table(found: dict[str, t.Any]) -> list[str]:
    """The figures as Markdown."""
    limits = dict(TARGETS)
    lines = ["| what | median s | at most | met | processor time a host, s | at most | met |", "|---|---:|---:|---|---:|---:|---|"]
    for name, seconds in sorted(found["medians"].items()):
        cpu = found["cpu"].get(name)
        lines.append(
            f"| {name} | {seconds:.2f} | {held(seconds, limits.get(name))} | {'' if cpu is None else f'{cpu:.2f}'} | "
            f"{held(cpu, CPU_TARGETS.get(name.partition(',')[0]) if cpu is not None and 'build' not in name else None)} |"
        )
    lines += ["", "| ratio | measured | at most | met |", "|---|---:|---:|---|"]
    for name, ratio, limit in ratios(found["medians"]):
        lines.append(f"| {name} | {ratio:.2f} | {limit:g} | {'yes' if ratio <= limit else 'NO'} |")
    if found["tasks"]:
        lines += ["", "Tasks a host: " + ", ".join(f"{name} {count}" for name, count in sorted(found["tasks"].items())) + "."]
    if found["proxies"]:
        lines += ["", "| proxy | state | requests | failed | p99 ms | longest ms |", "|---|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row['proxy']} | {row['state']} | {row['requests']} | {row['failed']} | {row['p99']:.0f} | {row['longest']:.0f} |"
        for row in found["proxies"]
    ]
    return lines


def held(figure: float | None, limit: float | None) -> str:
    """Two cells: the limit, and whether a figure keeps to it."""
    return " | " if figure is None or limit is None else f"{limit:g} | {'yes' if figure <= limit else 'NO'}"


def ratios(medians: dict[str, float]) -> list[tuple[str, float, float]]:
    """Ratio, measured, at most: going back with much data beside little, and the cost of a host of ten beside one."""
    rows = [
        (f"going back, 5 GB beside 10 MB, {state}", medians[f"going back, 5 GB, {state}"] / medians[f"going back, 10 MB, {state}"], 1.1)
        for state in ("restart", "exclusive", "shared")
        if f"going back, 5 GB, {state}" in medians
    ]
    return rows + [
        (f"{what}, a host of 10 beside 1", medians[f"{what}, 10 hosts"] / 10 / medians[f"{what}, 1 host"], 1.0)
        for what in ("no-change", "deploy")
        if {f"{what}, 10 hosts", f"{what}, 1 host"} <= medians.keys()
    ]


def page(found: dict[str, t.Any], noise: float) -> str:
    """The page in docs."""
    lines = [
        "# Deploys: the benchmark",
        "",
        f"Written by `make bench-deploy ARGS=--write`, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}. "
        "A run elsewhere gives other seconds.",
        "",
        f"- {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
        f"- other processes of the machine took {noise:.1f} cores before it began" + (": the numbers are noisy" if noise > 0.3 else ""),
        "",
        "## Measured",
        "",
        "Whole `ansible-playbook` runs on local hosts, start included, the watch's seconds taken off; `mobius_serial` 0. Processor time is "
        "that of the controller and of the modules together, without the service and its watch. *Going back* is "
        "the module alone, from the decision until the old release answers every check. Ratios are of one interleaved run.",
        "",
        *table(found),
        "",
        "## Why HAProxy",
        "",
        "The last table is the same traffic (200 requests a second, no client tries again) through both proxies. *Shared*: the proxy "
        "is pointed to another instance that runs already; nginx by a new configuration and a reload. *Exclusive*: the only instance ends, "
        "and another one starts 1.5 seconds later. nginx answers 502 in between; HAProxy holds the requests.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run, print, and write when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 3, 10], help="sizes of the fleets")
    parser.add_argument("--scratch", help="a folder with 40 GB free; a temporary one by default")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", action="append", choices=PARTS, help="one part of it")
    what.add_argument("--write", action="store_true", help="write docs/deploy-benchmark.md and .json")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="bench-deploy-", dir=options.scratch))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        stack.callback(end_all, str(scratch))
        busy = measure.busy()
        time.sleep(3)
        noise = (measure.busy() - busy) / 3
        found = Bench(options, scratch).run()
    print("\n".join(table(found)))
    if options.write:
        (ROOT / "docs" / "deploy-benchmark.md").write_text(page(found, noise))
        (ROOT / "docs" / "deploy-benchmark.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
