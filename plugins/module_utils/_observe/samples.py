# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What probes find, and the figures of it, for mypy: at run time each of them is a dictionary. Times are in milliseconds."""

from __future__ import annotations

import typing as t


class Sample(t.TypedDict):
    """One answer of a check, or why there is none (``_observe.probe.probe``)."""

    check: str
    outcome: str
    kind: str
    status: int | None
    ms: float
    error: str
    evidence: str
    certificate_days: float | None
    attempts: int
    earlier: list[str]


class Figures(t.TypedDict):
    """Figures of some samples (``_observe.health.summarize``)."""

    status: str
    error_rate_pct: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class Endpoint(Figures):
    """The figures of one check, and evidence of what was not well."""

    check: str
    requests: int
    outcomes: dict[str, int]
    certificate_days: float | None
    evidence: list[dict[str, object]]


class _RoundFigures(t.TypedDict):
    requests: int
    ok: int
    slow: int
    failed: int
    error: int
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None


class RoundFigures(_RoundFigures, total=False):
    """The figures of one check in a round of a watch; ``ms`` of each answer, which the metrics file does not keep."""

    ms: list[float]


class Round(t.TypedDict):
    """A round of a watch (``_watch.rounds.of``)."""

    outcome: str
    fault: str
    checks: dict[str, RoundFigures]
    evidence: list[Sample]
