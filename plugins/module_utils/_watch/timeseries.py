# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A watch's metrics file as figures over time, few enough to be drawn.

A line is a round with all of its checks, the figures of the host, or a mark. A line without ``what`` is one sample, as earlier
versions wrote it. What a crash cut short or something else damaged is counted, and passed over.
"""

from __future__ import annotations

import math
import statistics
import typing as t

from .._core import clock, documents
from .._observe.samples import Sample
from .._target import records
from .series_types import (
    CheckFigures,
    Evidence,
    Figures,
    HostLine,
    HostSeries,
    HostValue,
    Latencies,
    Mark,
    Point,
    RoundFigures,
    RoundLine,
    SampleLine,
    Totals,
)

OUTCOMES = ("ok", "slow", "partial", "failed", "error", "no_data")
#: Points of a series, marks, and faulty samples that are kept.
POINTS, MARKS, EVIDENCE = 240, 100, 20
#: Of several samples in one round the outcome that counts, as ``_observe.health.outcome`` has it.
_WORST_FIRST = ("failed", "error", "partial", "slow", "ok", "no_data")
_Item = t.TypeVar("_Item")


def read(path: str) -> Figures:
    """The figures of a watch's metrics file."""
    series = Series()
    for line in records.lines(path):
        if line.strip():
            series.feed(line.decode("utf-8", "replace"))
    return series.result()


def number(value: t.Any) -> float | None:
    """A number that can be drawn, or ``None``."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return round(float(value), 3) if good else None


class Series:
    """Takes lines, oldest first."""

    def __init__(self) -> None:
        self.rounds: list[RoundFigures] = []
        self.totals: dict[str, Totals] = {}
        self.host: dict[tuple[str, str], HostSeries] = {}
        self.marks: list[Mark] = []
        self.evidence: list[Evidence] = []
        self.faulty = self.unread = 0

    def feed(self, text: str) -> None:
        """One line; all of it counts or nothing."""
        takes: dict[str | None, t.Callable[[t.Any], None]] = {
            "round": self._round,
            "host": self._host,
            "mark": self._mark,
            None: self._sample,
        }
        try:
            line = documents.parse(text)
            clock.parse(line["when"])
            takes[line.get("what")](line)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            self.unread += 1

    def _round(self, line: RoundLine) -> None:
        checks = [self._check(check) for check in line.get("checks") or []]
        self._add(
            {
                "when": line["when"],
                "number": None,
                "outcome": _word(line["outcome"]),
                "restarts": int(line.get("restarts") or 0),
                "checks": checks,
            }
        )
        for sample in line.get("evidence") or []:
            self._fault(line["when"], sample)

    def _sample(self, line: SampleLine) -> None:
        """One line a sample; those of a round come one after the other."""
        word, ms = _word(line["outcome"]), line.get("ms") if line.get("status") is not None else None
        check = self._check(
            {
                "check": line["check"],
                "requests": 1,
                "ok": int(word == "ok"),
                "slow": int(word == "slow"),
                "failed": int(word == "failed"),
                "error": int(word == "error"),
                "p50_ms": ms,
                "p95_ms": ms,
                "max_ms": ms,
            }
        )
        last = self.rounds[-1] if self.rounds else None
        if last and last["number"] == line["round"]:
            last["outcome"] = min(last["outcome"], word, key=_WORST_FIRST.index)
            last["checks"].append(check)
            self._total(check)
        else:
            self._add(
                {
                    "when": line["when"],
                    "number": line["round"],
                    "outcome": word,
                    "restarts": int(line.get("restarts") or 0),
                    "checks": [check],
                }
            )
        if word not in ("ok", "no_data"):
            self._fault(line["when"], line)

    def _add(self, found: RoundFigures) -> None:
        self.rounds.append(found)
        for check in found["checks"]:
            self._total(check)

    @staticmethod
    def _check(given: CheckFigures) -> CheckFigures:
        return {
            "check": str(given["check"]),
            "requests": int(given.get("requests") or 0),
            "ok": int(given.get("ok") or 0),
            "slow": int(given.get("slow") or 0),
            "failed": int(given.get("failed") or 0),
            "error": int(given.get("error") or 0),
            "p50_ms": number(given.get("p50_ms")),
            "p95_ms": number(given.get("p95_ms")),
            "max_ms": number(given.get("max_ms")),
        }

    def _total(self, check: CheckFigures) -> None:
        total = self.totals.setdefault(check["check"], {"requests": 0, "ok": 0, "slow": 0, "failed": 0, "error": 0})
        total["requests"] += check["requests"]
        total["ok"] += check["ok"]
        total["slow"] += check["slow"]
        total["failed"] += check["failed"]
        total["error"] += check["error"]
        self.faulty += check["slow"] + check["failed"] + check["error"]

    def _fault(self, when: str, sample: Sample) -> None:
        """The first faulty samples say how it began, the last ones how it ended."""
        self.evidence.append(
            {
                "when": when,
                "check": sample.get("check"),
                "outcome": sample.get("outcome"),
                "kind": sample.get("kind"),
                "status": sample.get("status"),
                "ms": sample.get("ms"),
                "error": sample.get("error"),
                "evidence": sample.get("evidence"),
            }
        )
        if len(self.evidence) > EVIDENCE:
            del self.evidence[EVIDENCE // 2]

    def _host(self, line: HostLine) -> None:
        for metric in line["metrics"]:
            key = str(metric["metric"]), str(metric.get("subject") or "")
            points = self.host[key]["points"] if key in self.host else []
            self.host[key] = {
                "metric": key[0],
                "subject": key[1],
                "points": points,
                "unit": str(metric.get("unit") or ""),
                "warning": number(metric.get("warning")),
                "critical": number(metric.get("critical")),
                "status": str(metric.get("status") or "unknown"),
            }
            value = number(metric.get("value"))
            if value is not None:
                points.append({"when": line["when"], "value": value})

    def _mark(self, line: Mark) -> None:
        if len(self.marks) < MARKS:
            self.marks.append({"when": line["when"], "mark": str(line["mark"]), "text": str(line.get("text") or "")})

    def result(self) -> Figures:
        """What came of all lines."""
        restarts = max((found["restarts"] for found in self.rounds), default=0)
        return {
            "rounds": [_joined(group) for group in _groups(self.rounds)],
            "checks": [self._overall(name) for name in self.totals],
            "host": [{**kept, "points": [_extreme(kept, group) for group in _groups(kept["points"])]} for kept in self.host.values()],
            "marks": self.marks,
            "evidence": self.evidence,
            "faulty": self.faulty,
            "restarts": restarts,
            "unread": self.unread,
        }

    def _overall(self, name: str) -> CheckFigures:
        checks = [check for found in self.rounds for check in found["checks"] if check["check"] == name]
        return {"check": name, **self.totals[name], **_latencies(checks)}


def _word(outcome: t.Any) -> str:
    if outcome not in OUTCOMES:
        raise ValueError(outcome)
    return outcome


def _groups(items: list[_Item]) -> list[list[_Item]]:
    """Neighbours together, so that there are at most POINTS groups."""
    size = max(1, math.ceil(len(items) / POINTS))
    return [items[start : start + size] for start in range(0, len(items), size)]


def _latencies(checks: list[CheckFigures]) -> Latencies:
    """Of several rounds: the median of ``p50_ms``, and the highest of the others."""
    p50 = [check["p50_ms"] for check in checks if check["p50_ms"] is not None]
    p95 = [check["p95_ms"] for check in checks if check["p95_ms"] is not None]
    most = [check["max_ms"] for check in checks if check["max_ms"] is not None]
    return {"p50_ms": statistics.median(p50) if p50 else None, "p95_ms": max(p95, default=None), "max_ms": max(most, default=None)}


def _joined(group: list[RoundFigures]) -> Point:
    """Some neighbouring rounds as one point."""
    checks: dict[str, list[CheckFigures]] = {}
    for found in group:
        for check in found["checks"]:
            checks.setdefault(check["check"], []).append(check)
    return {
        "when": group[0]["when"],
        "until": group[-1]["when"],
        "rounds": len(group),
        "outcomes": {word: sum(found["outcome"] == word for found in group) for word in OUTCOMES},
        "checks": {name: _latencies(found) for name, found in checks.items()},
    }


def _extreme(kept: HostSeries, group: list[HostValue]) -> HostValue:
    """The worst of some values: the highest, or the lowest where less is worse."""
    warning, critical = kept["warning"], kept["critical"]
    less_is_worse = warning is not None and critical is not None and critical < warning
    return (min if less_is_worse else max)(group, key=lambda point: point["value"])
