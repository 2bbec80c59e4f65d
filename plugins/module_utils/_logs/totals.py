# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is counted of one log on one day, in sizes that do not grow with the log; two of them can be merged."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .._core.stats import Histogram

#: Seconds of a slot: the resolution of rates over time.
SLOT = 600
SLOTS = 86400 // SLOT
#: What is kept at most of each kind, a log and day. Others are counted under OTHER.
ROUTES, FAILURES, WRITES, CLIENTS, GROUPS, SLOWEST = 150, 300, 300, 2000, 200, 10
OTHER = "(other)"
#: The day of lines whose time is not known.
NO_DAY = ""


@dataclasses.dataclass
class Group:
    """Error lines of one template."""

    count: int = 0
    first: float | None = None
    last: float | None = None
    #: Bit n is set when a line was in slot n of the day.
    slots: int = 0
    #: One of the lines, without control over its content.
    sample: str = ""

    def seen(self, at: float | None, sample: str, count: int = 1) -> None:
        """Count lines at a moment."""
        self.count += count
        self.sample = self.sample or sample
        if at is not None:
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)
            self.slots |= 1 << int(at % 86400) // SLOT

    def merge(self, other: Group) -> None:
        """Add another day's or process's."""
        self.count += other.count
        self.slots |= other.slots
        self.sample = self.sample or other.sample
        for at in (other.first, other.last):
            if at is not None:
                self.first = at if self.first is None else min(self.first, at)
                self.last = at if self.last is None else max(self.last, at)


@dataclasses.dataclass
class Route:
    """Requests of one route whose details were looked at: how many, how many were slow, and their times in milliseconds."""

    seen: int = 0
    slow: int = 0
    times: Histogram = dataclasses.field(default_factory=Histogram)

    def merge(self, other: Route) -> None:
        """Add another day's or process's."""
        self.seen += other.seen
        self.slow += other.slow
        self.times.merge(other.times)


Value = t.TypeVar("Value", Group, Route)


@dataclasses.dataclass
class Slot:
    """Ten minutes: requests, requests answered 5xx, requests answered 4xx, error lines."""

    requests: int = 0
    failed: int = 0
    refused: int = 0
    errors: int = 0

    def merge(self, other: Slot) -> None:
        """Add another process's."""
        self.requests += other.requests
        self.failed += other.failed
        self.refused += other.refused
        self.errors += other.errors


@dataclasses.dataclass
class Day:
    """One log, one day (UTC)."""

    lines: int = 0
    #: Lines, and among them requests, whose details were looked at: all of them, or a sample.
    looked: int = 0
    #: Lines that do not have the form of this log, among those that were looked at.
    malformed: int = 0
    slots: dict[int, Slot] = dataclasses.field(default_factory=dict)
    routes: dict[str, Route] = dataclasses.field(default_factory=dict)
    #: "METHOD /route STATUS" -> requests; failures have a status of 400 or more.
    failures: dict[str, int] = dataclasses.field(default_factory=dict)
    writes: dict[str, int] = dataclasses.field(default_factory=dict)
    #: Address -> requests that change something.
    clients: dict[str, int] = dataclasses.field(default_factory=dict)
    groups: dict[str, Group] = dataclasses.field(default_factory=dict)
    #: Milliseconds, route, and when; the slowest requests that were looked at.
    slowest: list[tuple[float, str, float | None]] = dataclasses.field(default_factory=list)

    def slot(self, number: int) -> Slot:
        """The slot of a number."""
        return self.slots.setdefault(number, Slot())

    def route(self, name: str) -> Route:
        """The route of a name."""
        return _of(self.routes, name, ROUTES, Route)

    def group(self, template: str) -> Group:
        """The group of a template."""
        return _of(self.groups, template, GROUPS, Group)

    def slow_one(self, ms: float, route: str, at: float | None) -> None:
        """Keep a request when it is among the slowest."""
        if len(self.slowest) < SLOWEST or ms > self.slowest[-1][0]:
            self.slowest = sorted([*self.slowest, (ms, route, at)], key=lambda one: -one[0])[:SLOWEST]

    def merge(self, other: Day) -> None:
        """Add what was counted elsewhere."""
        self.lines += other.lines
        self.looked += other.looked
        self.malformed += other.malformed
        for number, slot in other.slots.items():
            self.slot(number).merge(slot)
        for name, route in other.routes.items():
            self.route(name).merge(route)
        for template, group in other.groups.items():
            self.group(template).merge(group)
        for mine, theirs, most in (
            (self.failures, other.failures, FAILURES),
            (self.writes, other.writes, WRITES),
            (self.clients, other.clients, CLIENTS),
        ):
            for name, number in theirs.items():
                count(mine, name, number, most)
        for one in other.slowest:
            self.slow_one(*one)


def _of(known: dict[str, Value], name: str, most: int, make: t.Callable[[], Value]) -> Value:
    """What is known under a name, or under OTHER when there are so many names already; made when there is none yet."""
    found = known.get(name)
    if found is None:
        key = name if len(known) < most else OTHER
        found = known[key] = known.get(key) or make()
    return found


def count(counts: dict[str, int], name: str, number: int, most: int) -> None:
    """Count under a name, or under OTHER when there are so many names already."""
    key = name if name in counts or len(counts) < most else OTHER
    counts[key] = counts.get(key, 0) + number


#: Log -> day, such as 2026-11-27 -> what was counted.
Totals = dict[str, dict[str, Day]]


def merge(into: Totals, other: Totals) -> None:
    """Add what was counted elsewhere."""
    for source, days in other.items():
        for name, day in days.items():
            into.setdefault(source, {}).setdefault(name, Day()).merge(day)


def dumped(totals: Totals) -> str:
    """What :func:`from_json` takes, as JSON: one day after the other, because all of them as objects take much more memory."""
    return _object(
        (source, _object((name, json.dumps(_day_to_json(day), separators=(",", ":"))) for name, day in days.items()))
        for source, days in totals.items()
    )


def _object(pairs: t.Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in pairs) + "}"


def _day_to_json(day: Day) -> dict[str, object]:
    return {
        "lines": day.lines,
        "looked": day.looked,
        "malformed": day.malformed,
        "failures": day.failures,
        "writes": day.writes,
        "clients": day.clients,
        "slowest": [list(one) for one in day.slowest],
        "slots": {str(number): [slot.requests, slot.failed, slot.refused, slot.errors] for number, slot in day.slots.items()},
        "routes": {name: {"seen": route.seen, "slow": route.slow, "times": route.times.to_json()} for name, route in day.routes.items()},
        "groups": {name: {**dataclasses.asdict(group), "slots": f"{group.slots:x}"} for name, group in day.groups.items()},
    }


def from_json(value: t.Mapping[str, t.Any]) -> Totals:
    """What :func:`dumped` made."""
    return {source: {name: _day_from_json(day) for name, day in days.items()} for source, days in value.items()}


def _day_from_json(day: t.Mapping[str, t.Any]) -> Day:
    return Day(
        day["lines"],
        day["looked"],
        day["malformed"],
        {int(number): Slot(*slot) for number, slot in day["slots"].items()},
        {name: Route(route["seen"], route["slow"], Histogram(route["times"])) for name, route in day["routes"].items()},
        dict(day["failures"]),
        dict(day["writes"]),
        dict(day["clients"]),
        {name: Group(**{**group, "slots": int(group["slots"], 16)}) for name, group in day["groups"].items()},
        [_slow(*one) for one in day["slowest"]],
    )


def _slow(ms: float, route: str, at: float | None) -> tuple[float, str, float | None]:
    return ms, route, at
