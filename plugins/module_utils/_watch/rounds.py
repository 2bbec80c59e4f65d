# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A round of a watch: every check, each so many times. What its samples say, in one word and by check."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from .._observe import health, probe
from .._observe.samples import Round, RoundFigures, Sample
from .._target.record_types import Check

Samples = list[Sample]

#: Faulty samples that a round keeps as evidence.
EVIDENCE = 3
#: Outcomes of a check, and so of a round, the gravest first. ``partial``: some requests failed, fewer than half.
WORDS = ("failed", "error", "partial", "slow", "ok")


def take(checks: list[Check], requests: int) -> Samples:
    """Send every normalized check *requests* times: all checks at once, then all again, so that no check waits for its own answers.

    A service that hangs or is slow is not asked so often: after the longest timeout of the checks no more requests are sent.
    """
    samples: Samples = []
    deadline = time.monotonic() + max((check["timeout"] for check in checks), default=0)
    workers = max(1, min(health.WORKERS, len(checks)))
    with probe.session(workers) as http, concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for _number in range(requests):
            samples += pool.map(lambda check: probe.probe(check, http), checks)
            if time.monotonic() >= deadline:
                break
    return samples


def well(checks: list[Check], release: str | None, secrets: t.Iterable[str]) -> bool:
    """Whether no check of a release fails when each is asked once. What this side cannot measure is left to a round."""
    try:
        return all(sample["outcome"] != "failed" for sample in take(probe.of_release(checks, release, secrets), 1))
    except Exception:
        return False


def of(samples: Samples) -> Round:
    """``outcome``, ``fault`` (in words), ``checks`` (figures of each) and ``evidence`` of a round.

    A check has failed when half or more of its requests that could be measured failed. One request that fails among many is no failed
    round: it counts for the error rate (``_watch.decision``).
    """
    by_check = health.by_check(samples)
    words = {name: _word(found) for name, found in by_check.items()}
    outcome = next((word for word in WORDS if word in words.values()), "no_data")
    culprit = next((name for name, word in words.items() if word == outcome), "")
    faulty = [sample for sample in samples if sample["outcome"] != "ok"]
    faulty.sort(key=lambda sample: WORDS.index(sample["outcome"]))  # a stable sort: the first of the gravest comes first
    return {
        "outcome": outcome,
        "fault": _fault(outcome, by_check.get(culprit, [])),
        "checks": {name: _figures(found) for name, found in by_check.items()},
        "evidence": faulty[:EVIDENCE],
    }


def unmeasured(error: Exception) -> Round:
    """The same of a round in which something went wrong on this side."""
    return {"outcome": "error", "fault": f"the watch could not measure: {error}", "checks": {}, "evidence": []}


def slowest(found: Round) -> tuple[float, float]:
    """Milliseconds, p50 and p95, of the check that is slowest by each."""
    checks = found["checks"].values()
    p50 = max((figures["p50_ms"] or 0.0 for figures in checks), default=0.0)
    p95 = max((figures["p95_ms"] or 0.0 for figures in checks), default=0.0)
    return p50, p95


def told(number: int, found: Round, restarts: int, left: float, in_a_row: str) -> str:
    """A round as a line of the log.

    :param left: seconds until the end of the watch.
    :param in_a_row: how many have failed in a row, and of how many, when this one has.
    """
    typical, late = slowest(found)
    said = f"round {number} {found['outcome']} response time {typical:.0f} ms" + (f" (p95 {late:.0f} ms)" if late > typical else "")
    said += f", restarts {restarts}, {left:.0f} s left" + (f", failure {in_a_row}" if found["outcome"] == "failed" else "")
    return said + (f": {found['fault']}" if found["fault"] else "")


def _count(samples: Samples, outcome: str) -> int:
    return sum(sample["outcome"] == outcome for sample in samples)


def _word(samples: Samples) -> str:
    measured = [sample for sample in samples if sample["outcome"] != "error"]
    if not measured:
        return "error"
    failed = _count(measured, "failed")
    if failed:
        return "failed" if 2 * failed >= len(measured) else "partial"
    return "slow" if 2 * _count(measured, "slow") >= len(measured) else "ok"


def _fault(outcome: str, samples: Samples) -> str:
    kind = "failed" if outcome == "partial" else outcome
    faulty = [sample for sample in samples if sample["outcome"] == kind and kind != "ok"]
    if not faulty:
        return ""
    share = f"{len(faulty)} of {len(samples)} requests: " if len(samples) > len(faulty) else ""
    return f"{faulty[0]['check']}: {share}{health.told(faulty[0], documents=False)}"


def _figures(samples: Samples) -> RoundFigures:
    times = [sample["ms"] for sample in samples if sample["status"] is not None]
    return {
        "requests": len(samples),
        "ok": _count(samples, "ok"),
        "slow": _count(samples, "slow"),
        "failed": _count(samples, "failed"),
        "error": _count(samples, "error"),
        "p50_ms": health.percentile(times, 50),
        "p95_ms": health.percentile(times, 95),
        "max_ms": max(times, default=None),
        "ms": times,
    }
