# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a log report says, for mypy: at run time each of them is a dictionary."""

from __future__ import annotations

import typing as t


class SourceFigures(t.TypedDict):
    """What was counted in one log."""

    source: str
    lines: int
    looked_at: int
    exact: bool
    malformed: int
    requests: int
    failed: int
    refused: int
    errors: int


class ErrorGroup(t.TypedDict):
    """Error lines of one template; ``sources`` tells how many each log has."""

    template: str
    count: int
    sources: dict[str, int]
    sample: str
    first: str
    last: str
    release: str
    first_release: str
    incident: str
    upload: bool
    new: bool


class Answered(t.TypedDict):
    """Requests of a route that got one status."""

    source: str
    route: str
    status: str
    count: int


class Client(t.TypedDict):
    """Who made requests that were to change something."""

    source: str
    client: str
    writes: int


class RouteFigures(t.TypedDict):
    """Requests of a route, and milliseconds of their answers."""

    source: str
    route: str
    requests: int
    timed: int
    slow: int
    exact: bool
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class SlowRequest(t.TypedDict):
    """One slow request, and about when it came."""

    ms: float
    route: str
    about: str
    source: str


class Point(t.TypedDict):
    """What was counted in a step of time."""

    when: str
    requests: int
    failed: int
    refused: int
    errors: int


class Rates(t.TypedDict):
    """Counts over time, in steps of so many seconds."""

    step: int
    points: list[Point]


class Uploads(t.TypedDict):
    """Errors about uploads, and requests to upload routes that failed."""

    errors: list[ErrorGroup]
    failures: list[Answered]


class Period(t.TypedDict):
    """From when on logs were read, and the first and the last step of time with a line."""

    since: str
    first: str
    last: str


class DifferingLine(t.TypedDict):
    """A line that a grep of the runbook takes otherwise than the report; ``found_by`` is ``grep`` or ``report``."""

    found_by: str
    file: str
    number: int
    line: str


class Explained(t.TypedDict):
    """What a grep of the runbook and the report say of the same lines."""

    both: int
    grep_only: int
    report_only: int
    lines: list[DifferingLine]


class ReadFile(t.TypedDict):
    """A file that was read, and what is wrong with it; empty when nothing is."""

    path: str
    bytes: int
    trouble: str


class Passed(t.TypedDict):
    """A file that was not read, and why."""

    path: str
    why: str


class Report(t.TypedDict, total=False):
    """A log report. A run of ``log_report`` adds what comes after the uploads; one that failed has no sources."""

    lines: int
    sources: list[SourceFigures]
    errors: list[ErrorGroup]
    error_groups: int
    new_errors: list[str]
    failures: list[Answered]
    routes: list[RouteFigures]
    slowest: list[SlowRequest]
    rates: Rates
    writes: list[Answered]
    clients: list[Client]
    uploads: Uploads
    sampled: bool
    read: list[ReadFile]
    passed: list[Passed]
    period: Period
    message: str
    host: str
    report: str
    explained: dict[str, Explained]
    warnings: list[str]
