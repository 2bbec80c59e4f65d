# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the report of a watch tells, for mypy: at run time each of them is a dictionary. Times are in seconds, but those in ``…_ms``."""

from __future__ import annotations

import typing as t

from .._service.write_attempts import Finding
from .._target.record_types import Event
from .series_types import Figures
from .watch_types import NewError, WatchSummary


class ReportedCheck(t.TypedDict):
    """What was asked, without headers, and without what an address may hide."""

    name: str | None
    url: str
    method: str | None
    max_ms: float | None


class ReportedBaseline(t.TypedDict):
    """How fast a check was answered before the deploy."""

    p50_ms: float | None


class ReportedWatch(t.TypedDict):
    """The watch: its state, and what it was asked to do."""

    id: str
    env: str
    status: str
    started: str | None
    release: str | None
    verdict: str | None
    trigger: str | None
    rounds: int | None
    left: float | None
    samples: WatchSummary | None
    rollback: dict[str, object] | None
    incident: str | None
    write_attempts: list[Finding] | None
    new_errors: list[NewError] | None
    duration: float
    interval: float
    retry_interval: float
    failure_threshold: int
    error_threshold: int | None
    restart_limit: int | None
    auto_rollback: bool
    service: str | None
    log_file: str
    metrics_file: str
    baseline: dict[str, ReportedBaseline]
    checks: list[ReportedCheck]
    ended: str | None


class ReportedRelease(t.TypedDict):
    """A release that has to do with the watch."""

    id: str
    version: str | None
    status: str
    source: str | None
    sha256: str | None
    backup: str | None
    migration: str
    created: str
    activated: str | None
    verified: str | None
    failed_reason: str | None


class ReportedReleases(t.TypedDict):
    """The releases that have to do with the watch, and which of them is which."""

    watched: str | None
    live: str | None
    previous: str | None
    target: str | None
    records: list[ReportedRelease]


class ReportedIncident(t.TypedDict):
    """An incident of the watch, with the last lines of the application by their kind."""

    id: str
    title: str
    severity: int
    severity_name: str
    status: str
    opened: str
    opened_by: str
    respond_by: str
    escalation: str
    channel: str
    summary: str
    path: str
    lines: dict[str, list[str]]


class Report(t.TypedDict):
    """All facts of a watch; ``thresholds`` have the warning and the critical value of a metric."""

    host: str
    watch: ReportedWatch
    series: Figures
    events: list[Event]
    releases: ReportedReleases
    incidents: list[ReportedIncident]
    thresholds: dict[str, list[float]]
