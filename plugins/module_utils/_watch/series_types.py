# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lines of a watch's metrics file, and its figures over time, for mypy: at run time each of them is a dictionary."""

from __future__ import annotations

import typing as t

from .._observe.host_metrics import Metric
from .._observe.samples import Sample


class Latencies(t.TypedDict):
    """How fast a check was answered."""

    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None


class Totals(t.TypedDict):
    """How many requests of a check were sent, and how they ended."""

    requests: int
    ok: int
    slow: int
    failed: int
    error: int


class CheckFigures(Totals, Latencies):
    """The figures of one check, in a round or in all."""

    check: str


class _Line(t.TypedDict):
    when: str


class RoundLine(_Line, total=False):
    """A round in the file."""

    outcome: str
    restarts: int
    checks: list[CheckFigures]
    evidence: list[Sample]


class SampleLine(Sample, _Line):
    """A sample in the file of an earlier version, with the number of its round."""

    round: int
    restarts: int


class HostLine(_Line):
    """A look at the host in the file."""

    metrics: list[Metric]


class Mark(_Line):
    """Something that happened to the watch."""

    mark: str
    text: str


class Evidence(_Line):
    """A sample that was not well."""

    check: str
    outcome: str
    kind: str
    status: int | None
    ms: float
    error: str
    evidence: str


class RoundFigures(t.TypedDict):
    """One round; ``number`` is that of its samples in the file of an earlier version."""

    when: str
    number: int | None
    outcome: str
    restarts: int
    checks: list[CheckFigures]


class Point(t.TypedDict):
    """Neighbouring rounds as one point, with the latencies of each check."""

    when: str
    until: str
    rounds: int
    outcomes: dict[str, int]
    checks: dict[str, Latencies]


class HostValue(t.TypedDict):
    """A value of a metric of the host."""

    when: str
    value: float


class HostSeries(t.TypedDict):
    """A metric of the host over time, with its unit, status and limits as the file has them last."""

    metric: str
    subject: str
    unit: str
    warning: float | None
    critical: float | None
    status: str
    points: list[HostValue]


class Figures(t.TypedDict):
    """A watch's metrics file; ``faulty`` counts samples, and ``unread`` lines."""

    rounds: list[Point]
    checks: list[CheckFigures]
    host: list[HostSeries]
    marks: list[Mark]
    evidence: list[Evidence]
    faulty: int
    restarts: int
    unread: int
