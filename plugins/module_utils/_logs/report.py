# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was counted as an operator reads it: errors, failed requests, routes, rates over time, who wrote."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._core import clock
from .._core.stats import Histogram
from . import serving, templates, totals
from .report_types import Answered, Client, ErrorGroup, Rates, Report, RouteFigures, SlowRequest, SourceFigures, Uploads
from .serving import Past
from .totals import NO_DAY, SLOT, Group, Route, Slot, Totals

#: Rows of each list at most, and points of the rates.
ROWS, POINTS = 50, 240
#: Seconds of a step of them.
STEPS = (SLOT, 1800, 3600, 7200, 14400, 43200, 86400, 7 * 86400)


@dataclasses.dataclass
class _Errors:
    """A template in all logs."""

    group: Group = dataclasses.field(default_factory=Group)
    #: Log -> lines.
    sources: dict[str, int] = dataclasses.field(default_factory=dict)
    slots: dict[str, int] = dataclasses.field(default_factory=dict)


def build(found: Totals, past: Past, most: int, full_addresses: bool) -> Report:
    """The report.

    :param most: rows of each list.
    :param full_addresses: whether clients are told by their whole address.
    """
    groups = errors(found, past, full_addresses)
    return {
        "lines": sum(day.lines for days in found.values() for day in days.values()),
        "sources": [_source(name, days) for name, days in sorted(found.items())],
        "errors": groups[:most],
        "error_groups": len(groups),
        "new_errors": [one["template"] for one in groups if one["new"]][:most],
        "failures": failures(found)[:most],
        "routes": routes(found)[:most],
        "slowest": slowest(found)[:most],
        "rates": rates(found),
        "writes": writes(found)[:most],
        "clients": clients(found, full_addresses)[:most],
        "uploads": uploads(groups, failures(found)),
    }


def _source(name: str, days: dict[str, totals.Day]) -> SourceFigures:
    every = list(days.values())
    slots = [slot for day in every for slot in day.slots.values()]
    lines, looked = sum(day.lines for day in every), sum(day.looked for day in every)
    return {
        "source": name,
        "lines": lines,
        "looked_at": looked,
        "exact": lines == looked,
        "malformed": sum(day.malformed for day in every),
        "requests": sum(slot.requests for slot in slots),
        "failed": sum(slot.failed for slot in slots),
        "refused": sum(slot.refused for slot in slots),
        "errors": sum(slot.errors for slot in slots),
    }


def errors(found: Totals, past: Past, full_addresses: bool = False) -> list[ErrorGroup]:
    """Error lines by template, the most frequent first.

    A program may write a line into two logs, and its console into one of these. So the count of a template is that of the log that has
    it most often, and ``sources`` tells that of each.
    """
    every: collections.defaultdict[str, _Errors] = collections.defaultdict(_Errors)
    for source, days in found.items():
        for name, day in days.items():
            for template, group in day.groups.items():
                one = every[template]
                one.group.merge(group)
                one.sources[source] = one.sources.get(source, 0) + group.count
                one.slots[name] = one.slots.get(name, 0) | group.slots
    told = [_error(template, one, past) for template, one in every.items()]
    for row in told if not full_addresses else []:
        row["sample"] = templates.without_addresses(row["sample"])
    return sorted(told, key=lambda row: (-row["count"], row["template"]))


def _error(template: str, one: _Errors, past: Past) -> ErrorGroup:
    first, last = one.group.first, one.group.last
    return {
        "template": template,
        "count": max(one.sources.values()),
        "sources": one.sources,
        "sample": one.group.sample,
        "first": _iso(first),
        "last": _iso(last),
        "release": past.release(last),
        "first_release": past.release(first),
        "incident": past.incident(serving.spans(one.slots)),
        "upload": bool(templates.UPLOAD.search(one.group.sample + template)),
        "new": first is not None and past.last_deploy is not None and first >= past.last_deploy,
    }


def _iso(at: float | None) -> str:
    return "" if at is None else clock.from_epoch(at)


def _summed(found: Totals, of: t.Callable[[totals.Day], dict[str, int]]) -> list[tuple[str, str, int]]:
    """Log, name and number, the largest first."""
    rows = []
    for source, days in found.items():
        counts: collections.Counter[str] = collections.Counter()
        for day in days.values():
            counts.update(of(day))
        rows += [(source, name, number) for name, number in counts.items()]
    return sorted(rows, key=lambda row: (-row[2], row[1], row[0]))


def _by_route(found: Totals, of: t.Callable[[totals.Day], dict[str, int]]) -> list[Answered]:
    rows: list[Answered] = []
    for source, name, number in _summed(found, of):
        route, _space, status = name.rpartition(" ") if name != totals.OTHER else (name, "", "")
        rows.append({"source": source, "route": route, "status": status, "count": number})
    return rows


def failures(found: Totals) -> list[Answered]:
    """Requests that were answered by 4xx or 5xx, by route and status."""
    return _by_route(found, lambda day: day.failures)


def writes(found: Totals) -> list[Answered]:
    """Requests that were to change something, by route and status."""
    return _by_route(found, lambda day: day.writes)


def clients(found: Totals, full: bool) -> list[Client]:
    """Who made such requests."""
    counts: dict[tuple[str, str], int] = {}
    for source, address, number in _summed(found, lambda day: day.clients):
        key = source, address if full else templates.masked_address(address)
        counts[key] = counts.get(key, 0) + number
    return [
        {"source": source, "client": client, "writes": number}
        for (source, client), number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def routes(found: Totals) -> list[RouteFigures]:
    """Requests and their times by route, the ones that take most time together first."""
    rows = []
    for source, days in found.items():
        every: dict[str, Route] = {}
        lines, looked = sum(day.lines for day in days.values()), sum(day.looked for day in days.values())
        for day in days.values():
            for name, route in day.routes.items():
                every.setdefault(name, Route()).merge(route)
        rows += [_route(source, name, route, lines / looked if looked else 1) for name, route in every.items()]
    return sorted(rows, key=lambda row: (-(row["requests"] * (row["p95_ms"] or 0)), -row["requests"], row["route"]))


def _route(source: str, name: str, route: Route, share: float) -> RouteFigures:
    times: Histogram = route.times
    return {
        "source": source,
        "route": name,
        "requests": round(route.seen * share),
        "timed": times.total,
        "slow": round(route.slow * share),
        "exact": share == 1,
        "p50_ms": times.percentile(50),
        "p95_ms": times.percentile(95),
        "p99_ms": times.percentile(99),
        "max_ms": times.percentile(100),
    }


def slowest(found: Totals) -> list[SlowRequest]:
    """The slowest requests that were looked at."""
    rows = [(ms, route, at, source) for source, days in found.items() for day in days.values() for ms, route, at in day.slowest]
    return [
        {"ms": round(ms, 1), "route": route, "about": _iso(at), "source": source}
        for ms, route, at, source in sorted(rows, key=lambda row: -row[0])
    ]


def rates(found: Totals) -> Rates:
    """Requests, failures and error lines over time, in few enough steps to be drawn."""
    slots: dict[float, Slot] = {}
    for days in found.values():
        for name, day in days.items():
            for number, slot in day.slots.items() if name != NO_DAY else ():
                slots.setdefault(serving.seconds(f"{name}T00:00:00Z") + number * SLOT, Slot()).merge(slot)
    if not slots:
        return {"step": SLOT, "points": []}
    first, last = min(slots), max(slots)
    step = next((step for step in STEPS if (last - first) // step < POINTS - 1), STEPS[-1])
    points: dict[float, Slot] = {}
    for at, slot in slots.items():
        points.setdefault(at // step * step, Slot()).merge(slot)
    return {
        "step": step,
        "points": [
            {"when": clock.from_epoch(at), "requests": slot.requests, "failed": slot.failed, "refused": slot.refused, "errors": slot.errors}
            for at, slot in sorted(points.items())
        ],
    }


def uploads(groups: list[ErrorGroup], failed: list[Answered]) -> Uploads:
    """Errors about uploads, and requests to upload routes that failed."""
    return {
        "errors": [one for one in groups if one["upload"]][:ROWS],
        "failures": [one for one in failed if templates.UPLOAD.search(one["route"])][:ROWS],
    }
