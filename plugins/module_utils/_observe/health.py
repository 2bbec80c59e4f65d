# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health of a service: several checks at once, judged together."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from .._target.record_types import Check
from . import probe
from . import thresholds as limits
from .http import faults as http_faults
from .samples import Endpoint, Figures, Sample

#: Probes that run at the same time: so many, or one an endpoint when there are more endpoints, up to a limit.
WORKERS, MOST_WORKERS = 16, 100
#: Seconds that a probe has at least, when the time to wait is nearly over.
SHORTEST = 0.2
#: Samples of an endpoint that are kept as evidence.
EVIDENCE = 3


def normalize_all(
    checks: t.Iterable[t.Mapping[str, t.Any]], headers: dict[str, str] | None = None, secret_headers: dict[str, str] | None = None
) -> list[Check]:
    """Every check in full form (``_observe.probe.normalize``), under a name of its own. Secret headers win over those that may be shown."""
    secrets = [str(value) for value in (secret_headers or {}).values()]
    found = [
        probe.normalize({**check, "secrets": [*check.get("secrets", []), *secrets]}, {**(headers or {}), **(secret_headers or {})})
        for check in checks
    ]
    taken: set[str] = set()
    for check in found:
        name, number = check["name"], 1
        while check["name"] in taken:
            number += 1
            check["name"] = f"{name} ({number})"
        taken.add(check["name"])
    return found


def percentile(values: list[float], percent: float) -> float | None:
    """The nearest-rank percentile of some numbers; ``None`` of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1)]


def sample_all(checks: list[Check], requests: int = 1) -> list[Sample]:
    """Run each normalized check *requests* times, all at once; samples in the order of the checks."""
    jobs = [(check, place + number * len(checks)) for place, check in enumerate(checks) for number in range(requests)]
    workers = min(len(jobs), max(WORKERS, min(len(checks), MOST_WORKERS)))
    if not jobs:
        return []
    with probe.session(workers) as http, concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
        # endpoint by endpoint, so that none gets all its requests at the same moment
        running = {job: pool.submit(probe.probe, jobs[job][0], http) for job in sorted(range(len(jobs)), key=lambda job: jobs[job][1])}
        return [running[job].result() for job in range(len(jobs))]


def summarize(samples: list[Sample], thresholds: dict[str, tuple[float, float]]) -> Figures:
    """``status`` and figures of some samples.

    The error rate counts ``failed`` samples among those that could be measured; latencies are those of answers.
    """
    measured = [sample for sample in samples if sample["outcome"] not in ("error", "no_data")]
    failed = [sample for sample in measured if sample["outcome"] == "failed"]
    times = [sample["ms"] for sample in measured if sample["status"] is not None]
    rate = round(100.0 * len(failed) / len(measured), 2) if measured else None
    p50, p95 = percentile(times, 50), percentile(times, 95)
    grades = [limits.grade("error_rate_pct", rate, thresholds)]
    if times:
        grades.append(limits.grade("response_time_ms", p95, thresholds))
    if any(sample["outcome"] == "slow" for sample in samples):
        grades.append("warning")
    return {
        "status": limits.worst(grades),
        "error_rate_pct": rate,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": percentile(times, 99),
        "max_ms": max(times, default=None),
    }


def endpoints(samples: list[Sample], thresholds: dict[str, tuple[float, float]]) -> list[Endpoint]:
    """The samples by check: counts by outcome, figures, status with the certificate's, and evidence of what was not ok."""
    return [_endpoint(name, some, thresholds) for name, some in by_check(samples).items()]


def by_check(samples: list[Sample]) -> dict[str, list[Sample]]:
    """The samples of each check."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample["check"], []).append(sample)
    return found


def _endpoint(name: str, samples: list[Sample], thresholds: dict[str, tuple[float, float]]) -> Endpoint:
    outcomes = [sample["outcome"] for sample in samples]
    days = [left for left in (sample.get("certificate_days") for sample in samples) if left is not None]
    figures = summarize(samples, thresholds)
    if days:
        figures["status"] = limits.worst([figures["status"], limits.grade("certificate_days", min(days), thresholds)])
    faults = sorted((sample for sample in samples if sample["outcome"] != "ok"), key=lambda sample: sample["outcome"] == "slow")
    return {
        "check": name,
        "requests": len(samples),
        "outcomes": {word: outcomes.count(word) for word in ("ok", "slow", "failed", "error")},
        **figures,
        "certificate_days": min(days, default=None),
        "evidence": [
            {
                "outcome": sample["outcome"],
                "kind": sample["kind"],
                "status": sample["status"],
                "evidence": sample["evidence"],
                "error": sample["error"],
                "ms": sample["ms"],
            }
            for sample in faults[:EVIDENCE]
        ],
    }


def outcome(samples: list[Sample]) -> str:
    """One word for a round of samples: ``failed`` before ``error`` before ``slow``; ``no_data`` when there are none."""
    found = {sample["outcome"] for sample in samples}
    return next((word for word in ("failed", "error", "slow", "ok") if word in found), "no_data")


def first_fault(samples: list[Sample]) -> str:
    """What the worst sample of a round says, ``check: error``; empty when all is well."""
    word = outcome(samples)
    faulty = [sample for sample in samples if sample["outcome"] == word and word != "ok"]
    return f"{faulty[0]['check']}: {told(faulty[0])}" if faulty else ""


def told(sample: Sample, documents: bool = True) -> str:
    """What was wrong with a sample, a wrong status with what the answer said.

    :param documents: whether JSON without an error message is quoted; it may differ in each answer.
    """
    said = http_faults.said(sample.get("evidence") or "", documents) if sample.get("kind") == "status" else ""
    return sample["error"] + (f" ({said})" if said else "")


def remedy(samples: list[Sample], checks: list[Check]) -> str:
    """The setting that helps against the worst sample of a round; empty when none is known to.

    :param checks: the normalized checks that were sampled.
    """
    worst = next((sample for sample in samples if sample["outcome"] == outcome(samples) and sample["kind"] == "status"), None)
    headers: dict[str, str] = next((check["headers"] for check in checks if worst and check["name"] == worst["check"]), {})
    return http_faults.remedy(worst["status"], worst["evidence"], headers) if worst else ""


def wait_for(
    checks: list[Check], timeout: float, successes: int = 1, pause: float = 0.05, give_up: t.Callable[[], str] = lambda: ""
) -> tuple[bool, list[Sample], str]:
    """Sample until *successes* rounds in a row are well.

    :param timeout: seconds after which it gives up; the last round has no more time than is left.
    :param give_up: asked after each bad round; what it returns ends the waiting and is the reason.
    :returns: whether it became well, the last round's samples, and why not.
    """
    deadline = time.monotonic() + timeout
    in_a_row = 0
    while True:
        left = max(SHORTEST, deadline - time.monotonic())
        samples = sample_all([{**check, "timeout": min(check["timeout"], left)} for check in checks])
        well = outcome(samples) in ("ok", "slow")
        in_a_row = in_a_row + 1 if well else 0
        if in_a_row >= successes:
            return True, samples, ""
        reason = "" if well else give_up()
        if not reason and time.monotonic() + pause > deadline:
            reason = f"not healthy within {timeout:g} s ({first_fault(samples) or f'{in_a_row} of {successes} rounds in a row were well'})"
        if reason:
            return False, samples, reason
        time.sleep(pause)
