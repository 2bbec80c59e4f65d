# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watch keeps on disk beside its definition, for mypy: at run time each of them is a dictionary."""

from __future__ import annotations

import typing as t

from .._service.write_attempts import Finding


class Counts(t.TypedDict):
    """How many rounds of a watch had each outcome, and the percentage of those measured that were available."""

    ok: int
    slow: int
    partial: int
    failed: int
    error: int
    no_data: int
    availability_pct: float | None


class WatchSummary(Counts):
    """The figures of a whole watch, with the grade of its availability."""

    uptime_status: str
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Tally(t.TypedDict):
    """What the decision of a watch has counted beside its rounds."""

    requests: int
    failed_requests: int
    alarmed: bool
    has_alarmed: bool


class RecentRound(t.TypedDict):
    """A round as the state of its watch keeps it; ``ms`` is the p50 of the slowest check."""

    when: str
    outcome: str
    ms: float
    fault: str


class NewError(t.TypedDict):
    """A template of errors that the logs have only since a release was put into service."""

    template: str
    count: int
    first: str


class BaselineFigures(t.TypedDict):
    """How fast a check was answered before a deploy."""

    p50_ms: float | None
    requests: int


class Baseline(t.TypedDict):
    """How fast the application answered before a deploy; of each check the milliseconds of its answers."""

    release: str | None
    when: str
    checks: dict[str, list[float]]


class _Watched(t.TypedDict):
    status: str


class WatchState(_Watched, total=False):
    """The state of a watch; ``left`` in seconds. Before a watch begins there is no process and there are no figures."""

    pid: int
    ticks: int | None
    started: str
    release: str | None
    verdict: str | None
    trigger: str
    rounds: int
    recent: list[RecentRound]
    incident: str | None
    rollback: dict[str, object] | None
    left: float
    samples: WatchSummary
    decision: Tally
    rolling_back: str
    decided: str
    resumed: int
    restarts: int
    host: str
    times: dict[str, int]
    baseline: dict[str, BaselineFigures]
    latency: dict[str, str]
    write_attempts: list[Finding]
    new_errors: list[NewError]


class Process(t.TypedDict):
    """What a watch asks of the service's status."""

    pid: int | None
    restarts: int


class Followed(t.TypedDict):
    """What following a watch tells; ``offset`` in bytes of its log, and whether there are ``more`` lines already."""

    id: str
    state: WatchState
    lines: list[str]
    offset: int
    more: bool
    log_file: str
    metrics_file: str
