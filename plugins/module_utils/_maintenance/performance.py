# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast the service answers: this month beside the last one, by what watches and logs recorded, and a benchmark of now."""

from __future__ import annotations

import collections
import os
import statistics
import tempfile
import time
import typing as t

from .._core import clock, dotenv
from .._core.html_page import count
from .._core.stats import Histogram
from .._logs import marks
from .._observe import health, probe
from .._target.releases import ReleaseStore
from .._watch import timeseries
from . import storage
from .findings import Cause, Context, Found, judged, listed, many

#: Days of a month, and the change from which on a check is slower: a part of what it took, and milliseconds.
MONTH, SLOWER, FLOOR_MS = 30, 1.5, 20
#: Requests of each check that say how fast the service is now, in the monthly run.
NOW = 10
#: Bytes that the benchmark writes.
_WRITTEN = 32 * 1024**2


class Pace(t.NamedTuple):
    """What a check took; milliseconds."""

    name: str
    p50: float
    p95: float


def analysis(context: Context) -> Found:
    """This month beside the last one."""
    this, last = _of_watches(context)
    slow = [name for name, ms in this.items() if name in last and ms > max(SLOWER * last[name], last[name] + FLOOR_MS)]
    now = paces(context, NOW)
    figures = {f"now {one.name} p95_ms": one.p95 for one in now}
    logged = _of_logs(context)
    figures.update({f"requests {name}": value for name, value in logged.items()})
    slow += [name for name, value in figures.items() if name not in slow and _slower(context, "performance", name, value)]
    causes = (
        [
            Cause(
                "slower",
                3,
                f"{many(slow, 'response time')} half as long again as a month ago: {listed(slow)}. Look at the slowest "
                "routes with mobius.ops.logs.",
                tuple(slow),
            )
        ]
        if slow
        else []
    )
    before = {name: f", {ms:.1f} ms in the {MONTH} days before" for name, ms in last.items()}
    lines = [f"check {name}: p95 {ms:.1f} ms in the last {MONTH} days{before.get(name, '')}" for name, ms in sorted(this.items())]
    lines += [f"check {one.name}: p50 {one.p50:.1f} ms, p95 {one.p95:.1f} ms now, {NOW} requests" for one in now]
    lines += [f"requests in the logs: {name} {value:.1f}" for name, value in logged.items()]
    if not lines:
        return judged(
            [
                "Nothing tells how fast the service is: no check is given, no watch ran, and no log has times of requests. "
                "Set mobius_checks."
            ],
            [],
            "",
        )
    return judged([], causes, "No response time is half as long again as a month ago.", evidence=lines, figures=figures)


def _slower(context: Context, step: str, name: str, value: float) -> bool:
    """Whether a figure is much larger than in the last run of a step."""
    kept = context.past.steps.get(step)
    points = kept.figures.get(name, []) if kept and name.endswith("_ms") else []
    return bool(points) and value > max(SLOWER * points[-1][1], points[-1][1] + FLOOR_MS)


def _of_watches(context: Context) -> tuple[dict[str, float], dict[str, float]]:
    """Check -> median of the rounds' p95, of the last month and of the one before."""
    since = [clock.from_epoch(time.time() - days * 86400) for days in (MONTH, 2 * MONTH)]
    months: tuple[t.Any, t.Any] = (collections.defaultdict(list), collections.defaultdict(list))
    for path in storage.watches(context.layout, 2 * MONTH):
        for point in timeseries.read(path)["rounds"]:
            for name, times in point["checks"].items() if point["when"] >= since[1] else ():
                if times["p95_ms"] is not None:
                    months[point["when"] < since[0]][name].append(times["p95_ms"])
    this, last = ({name: statistics.median(values) for name, values in month.items()} for month in months)
    return this, last


def _of_logs(context: Context) -> dict[str, float]:
    """Percentiles of all requests of the last month, by what the report of logs has counted."""
    state, _note = marks.load(context.layout, context.request.log_slow_ms)
    first, times = clock.from_epoch(time.time() - MONTH * 86400)[:10], Histogram()
    for days in state.totals.values():
        for name, day in days.items():
            for route in day.routes.values() if name >= first else ():
                times.merge(route.times)
    found = {f"p{percent}_ms": times.percentile(percent) for percent in (50, 95, 99)}
    return {name: value for name, value in found.items() if value is not None}


def paces(context: Context, requests: int) -> list[Pace]:
    """What the checks take now, one request after the other, so that the service is not loaded; without those that change something."""
    layout, request = context.layout, context.request
    secrets = dotenv.Redactor(layout.env_file).secrets
    checks = health.normalize_all(list(request.checks), request.headers, request.secret_headers)
    live, reading = ReleaseStore(layout).live(), [check for check in checks if check["method"] in ("GET", "HEAD")]
    checks = probe.of_release(reading, live, secrets)
    found = []
    for check in checks:
        context.meter.phase(f"benchmark of {check['name']}", 0, requests)
        taken: list[float] = []
        for _number in range(requests):
            sample = health.sample_all([check])[0]
            taken += [sample["ms"]] if sample["status"] and sample.get("ms") is not None else []
            context.meter.add(0, 1)
        if taken:
            found.append(Pace(check["name"], statistics.median(taken), t.cast(float, health.percentile(taken, 95))))
    return found


def benchmark(context: Context) -> Found:
    """How fast the service and its disk are, beside the last run."""
    found = paces(context, context.request.benchmark_requests)
    figures = {f"{one.name} {name}": round(value, 2) for one in found for name, value in (("p50_ms", one.p50), ("p95_ms", one.p95))}
    context.meter.phase("benchmark of the disk")
    seconds = written(context.layout.state)
    figures["write_mb_per_s"] = round(_WRITTEN / 1e6 / seconds, 1)
    slow = [name for name, value in figures.items() if _slower(context, "benchmark", name, value)]
    causes = (
        [
            Cause(
                "benchmark_slower",
                3,
                f"{many(slow, 'time of the benchmark', more='times of the benchmark')} half as long again as in "
                f"the last run: {listed(slow)}. Compare the releases and the load of both days.",
                tuple(slow),
            )
        ]
        if slow
        else []
    )
    sentences = [] if found else ["No check answered, so only the disk was measured. Set mobius_checks, or start the service."]
    lines = [
        f"{one.name}: p50 {one.p50:.1f} ms, p95 {one.p95:.1f} ms, {context.request.benchmark_requests} requests one after the other"
        for one in found
    ]
    lines.append(f"disk: {figures['write_mb_per_s']:g} MB/s written and made durable, {_WRITTEN // 1024**2} MiB")
    first = "benchmark" not in context.past.steps
    beside = "later runs are compared with this one" if first else "nothing takes half as long again as in the last run"
    return judged(sentences, causes, f"{count(len(found), 'check')} and the disk were measured; {beside}.", evidence=lines, figures=figures)


def written(folder: str) -> float:
    """Seconds that it takes to write a file and to make it durable."""
    block, began = os.urandom(1024**2), time.monotonic()
    with tempfile.TemporaryFile(dir=folder) as stream:
        for _number in range(_WRITTEN // len(block)):
            stream.write(block)
        stream.flush()
        os.fsync(stream.fileno())
    return max(time.monotonic() - began, 1e-3)
