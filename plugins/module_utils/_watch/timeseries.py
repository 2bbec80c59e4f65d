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
from .._target import records

OUTCOMES = ("ok", "slow", "partial", "failed", "error", "no_data")
LATENCIES = ("p50_ms", "p95_ms", "max_ms")
#: Points of a series, marks, and faulty samples that are kept.
POINTS, MARKS, EVIDENCE = 240, 100, 20
#: Of several samples in one round the outcome that counts, as ``_observe.health.outcome`` has it.
_WORST_FIRST = ("failed", "error", "partial", "slow", "ok", "no_data")
_SAMPLE = ("check", "outcome", "kind", "status", "ms", "error", "evidence")


def read(path: str) -> dict[str, t.Any]:
    """``rounds``, ``checks`` (totals), ``host``, ``marks``, ``evidence``, ``faulty`` (how many samples), and ``unread`` lines."""
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
        self.rounds: list[dict[str, t.Any]] = []
        self.totals: dict[str, dict[str, t.Any]] = {}
        self.host: dict[tuple[str, str], dict[str, t.Any]] = {}
        self.marks: list[dict[str, str]] = []
        self.evidence: list[dict[str, t.Any]] = []
        self.faulty = self.unread = 0

    def feed(self, text: str) -> None:
        """One line; all of it counts or nothing."""
        try:
            line = documents.parse(text)
            clock.parse(line["when"])
            take = {"round": self._round, "host": self._host, "mark": self._mark, None: self._sample}[line.get("what")]
            take(line)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            self.unread += 1

    def _round(self, line: dict[str, t.Any]) -> None:
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
            self._fault(line, sample)

    def _sample(self, line: dict[str, t.Any]) -> None:
        """One line a sample; those of a round come one after the other."""
        word, ms = _word(line["outcome"]), line.get("ms") if line.get("status") is not None else None
        check = self._check({"check": line["check"], "requests": 1, word: 1, **dict.fromkeys(LATENCIES, ms)})
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
            self._fault(line, line)

    def _add(self, found: dict[str, t.Any]) -> None:
        self.rounds.append(found)
        for check in found["checks"]:
            self._total(check)

    @staticmethod
    def _check(given: dict[str, t.Any]) -> dict[str, t.Any]:
        counts = {name: int(given.get(name) or 0) for name in ("requests", "ok", "slow", "failed", "error")}
        return {"check": str(given["check"]), **counts, **{name: number(given.get(name)) for name in LATENCIES}}

    def _total(self, check: dict[str, t.Any]) -> None:
        total = self.totals.setdefault(check["check"], {"requests": 0, "ok": 0, "slow": 0, "failed": 0, "error": 0})
        for name in total:
            total[name] += check[name]
            self.faulty += check[name] if name in ("slow", "failed", "error") else 0

    def _fault(self, line: dict[str, t.Any], sample: dict[str, t.Any]) -> None:
        """The first faulty samples say how it began, the last ones how it ended."""
        self.evidence.append({"when": line["when"], **{name: sample.get(name) for name in _SAMPLE}})
        if len(self.evidence) > EVIDENCE:
            del self.evidence[EVIDENCE // 2]

    def _host(self, line: dict[str, t.Any]) -> None:
        for metric in line["metrics"]:
            key = str(metric["metric"]), str(metric.get("subject") or "")
            kept = self.host.setdefault(key, {"metric": key[0], "subject": key[1], "points": []})
            kept.update(
                unit=str(metric.get("unit") or ""),
                warning=number(metric.get("warning")),
                critical=number(metric.get("critical")),
                status=str(metric.get("status") or "unknown"),
            )
            value = number(metric.get("value"))
            if value is not None:
                kept["points"].append({"when": line["when"], "value": value})

    def _mark(self, line: dict[str, t.Any]) -> None:
        if len(self.marks) < MARKS:
            self.marks.append({"when": line["when"], "mark": str(line["mark"]), "text": str(line.get("text") or "")})

    def result(self) -> dict[str, t.Any]:
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

    def _overall(self, name: str) -> dict[str, t.Any]:
        checks = [check for found in self.rounds for check in found["checks"] if check["check"] == name]
        return {"check": name, **self.totals[name], **_latencies(checks)}


def _word(outcome: t.Any) -> str:
    if outcome not in OUTCOMES:
        raise ValueError(outcome)
    return outcome


def _groups(items: list[dict[str, t.Any]]) -> list[list[dict[str, t.Any]]]:
    """Neighbours together, so that there are at most POINTS groups."""
    size = max(1, math.ceil(len(items) / POINTS))
    return [items[start : start + size] for start in range(0, len(items), size)]


def _latencies(checks: list[dict[str, t.Any]]) -> dict[str, float | None]:
    """Of several rounds: the median of ``p50_ms``, and the highest of the others."""
    values = {name: [check[name] for check in checks if check[name] is not None] for name in LATENCIES}
    return {name: (statistics.median(found) if name == "p50_ms" else max(found)) if found else None for name, found in values.items()}


def _joined(group: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """Some neighbouring rounds as one point."""
    checks: dict[str, list[dict[str, t.Any]]] = {}
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


def _extreme(kept: dict[str, t.Any], group: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """The worst of some values: the highest, or the lowest where less is worse."""
    less_is_worse = None not in (kept["warning"], kept["critical"]) and kept["critical"] < kept["warning"]
    return (min if less_is_worse else max)(group, key=lambda point: point["value"])
