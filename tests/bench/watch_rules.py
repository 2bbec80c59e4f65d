"""`make bench-watch`: how often the watch's rules err, and how often they catch, beside the rules of Flagger and Argo Rollouts.

The real decision code (util ``_watch.decision``) gets generated rounds. A window is 60 checks; confirmations count among them. Streams:

- *checks fail*: each check as a whole fails by chance, as when something hiccups at that moment.
- *requests fail*: each single request fails by chance.
- *slower*: answers have log-normal times around a median; the baseline was taken before.

The other rules count failed checks in total, in a row or not: 3 (Flagger's threshold) and 4 (Argo's ``failureLimit: 3`` is exceeded by
the fourth). Their check is the same batch; it fails when more than 5 % of its requests do, or when its median is more than 50 % over the
baseline's.
"""

from __future__ import annotations

import argparse
import datetime
import math
import random
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".build" / "collections")]

from ansible_collections.mobius.ops.plugins.module_utils._core import stats  # noqa: E402
from ansible_collections.mobius.ops.plugins.module_utils._watch import decision as watch_decision  # noqa: E402

#: Checks of a window, requests of a check, answers in the baseline.
CHECKS, REQUESTS, BASELINE = 60, 30, 150
#: Batches within which a bad release is to be caught.
WITHIN = 5
MEDIAN_MS, SIGMA = 100.0, 0.25
OTHERS = {"3 in total": 3, "4 in total": 4}
RULES = ("this rule", *OTHERS)
OK = {"requests": 1, "error": 0, "failed": 0, "ms": []}


class Tally:
    """How many of some runs each rule has rolled back."""

    def __init__(self) -> None:
        self.runs, self.hits = 0, dict.fromkeys(RULES, 0)

    def share(self, rule: str) -> float:
        """Percent."""
        return 100 * self.hits[rule] / self.runs

    def error(self, rule: str) -> float:
        """Half the width of the 95 % interval, percent (Wilson's, for rare events)."""
        n, p, z = self.runs, self.hits[rule] / self.runs, 1.96
        return 100 * z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))


def played(rounds: t.Iterable[tuple[str, dict[str, t.Any] | None, bool]], baseline: list[float] | None = None) -> dict[str, bool]:
    """Which rules roll back in a run. A round: outcome, figures, whether the others' check failed."""
    decision = watch_decision.Decision(baseline={"check": baseline} if baseline else None)
    total, found = 0, dict.fromkeys(RULES, False)
    for outcome, figures, bad in rounds:
        total += bad
        if not found["this rule"]:
            found["this rule"] = decision.feed(outcome, checks={"check": figures} if figures else None) == watch_decision.ROLL_BACK
        for rule, limit in OTHERS.items():
            found[rule] = found[rule] or total >= limit
    return found


def tallied(runs: int, one: t.Callable[[], dict[str, bool]]) -> Tally:
    """So many runs of a stream."""
    tally = Tally()
    for _number in range(runs):
        tally.runs += 1
        for rule, hit in one().items():
            tally.hits[rule] += hit
    return tally


def checks_fail(chance: float, runs: int, draw: random.Random) -> Tally:
    """Whole checks fail. A window with fewer than three failures cannot make any of the rules roll back: it is counted, not played."""
    tally = Tally()
    for _number in range(runs):
        tally.runs += 1
        failed = [draw.random() < chance for _check in range(CHECKS)]
        if sum(failed) >= 3:
            for rule, hit in played(("failed" if bad else "ok", None, bad) for bad in failed).items():
                tally.hits[rule] += hit
    return tally


def requests_fail(chance: float, batches: int, runs: int, draw: random.Random) -> Tally:
    """Single requests fail."""

    def rounds() -> t.Iterator[tuple[str, dict[str, t.Any], bool]]:
        for _batch in range(batches):
            failed = sum(draw.random() < chance for _request in range(REQUESTS))
            outcome = "failed" if 2 * failed >= REQUESTS else "partial" if failed else "ok"
            yield outcome, {"requests": REQUESTS, "error": 0, "failed": failed, "ms": []}, 100 * failed > 5 * REQUESTS

    return tallied(runs, lambda: played(rounds()))


def slower(factor: float, batches: int, runs: int, draw: random.Random) -> Tally:
    """Answers are slower by a factor."""

    def times(count: int, median: float) -> list[float]:
        return [draw.lognormvariate(math.log(median), SIGMA) for _request in range(count)]

    def rounds(baseline: list[float]) -> t.Iterator[tuple[str, dict[str, t.Any], bool]]:
        before = stats.median(baseline)
        for _batch in range(batches):
            found = times(REQUESTS, MEDIAN_MS * factor)
            yield "ok", {"requests": REQUESTS, "error": 0, "failed": 0, "ms": found}, stats.median(found) > 1.5 * before

    def one() -> dict[str, bool]:
        baseline = times(BASELINE, MEDIAN_MS)
        return played(rounds(baseline), baseline)

    return tallied(runs, one)


#: Row, what is run, runs of it at scale 1, and the target for this rule: at most (false) or at least (catch) so many percent.
ROWS: tuple[tuple[str, t.Callable[[int, random.Random], Tally], int, str, float | None], ...] = (
    ("false: 1 % of the checks fail, 60 checks", lambda runs, draw: checks_fail(0.01, runs, draw), 1_000_000, "at most", 0.01),
    ("false: 5 % of the checks fail, 60 checks", lambda runs, draw: checks_fail(0.05, runs, draw), 50_000, "at most", 1.0),
    ("20 % of the checks fail, 60 checks", lambda runs, draw: checks_fail(0.2, runs, draw), 20_000, "", None),
    ("false: 1 % of all requests fail, 60 checks", lambda runs, draw: requests_fail(0.01, CHECKS, runs, draw), 5_000, "at most", 0.01),
    ("false: 5 % of all requests fail, 60 checks", lambda runs, draw: requests_fail(0.05, CHECKS, runs, draw), 10_000, "at most", 1.0),
    ("caught: 20 % of all requests fail, 5 checks", lambda runs, draw: requests_fail(0.2, WITHIN, runs, draw), 10_000, "at least", 95.0),
    ("false: answers as before, 60 checks", lambda runs, draw: slower(1.0, CHECKS, runs, draw), 500, "at most", 1.0),
    ("false: answers 20 % slower, 60 checks", lambda runs, draw: slower(1.2, CHECKS, runs, draw), 1_000, "at most", 1.0),
    ("caught: answers 60 % slower, 5 checks", lambda runs, draw: slower(1.6, WITHIN, runs, draw), 4_000, "at least", 95.0),
)


def table(scale: float, chance: str) -> tuple[list[str], bool]:
    """Lines of Markdown, and whether every target is met."""
    lines = [
        "| stream | runs | " + " | ".join(f"{rule} %" for rule in RULES) + " | target % | met |",
        "|---|---:|" + "---:|" * (len(RULES) + 1) + "---|",
    ]
    all_met = True
    for name, run, runs, sense, target in ROWS:
        tally = run(max(50, int(runs * scale)), random.Random(f"{chance} {name}"))
        ours = tally.share("this rule")
        met = target is None or (ours <= target if sense == "at most" else ours >= target)
        all_met = all_met and met
        line = [
            name,
            f"{tally.runs:,}",
            *(f"{tally.share(rule):.3g} ± {tally.error(rule):.1g}" for rule in RULES),
            f"{sense} {target:g}" if target is not None else "",
            ("yes" if met else "NO") if target is not None else "",
        ]
        lines.append("| " + " | ".join(line) + " |")
        print(lines[-1], flush=True)
    return lines, all_met


def main() -> int:
    """Prints the table; the exit status says whether every target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="how many runs, as a factor")
    parser.add_argument("--chance", default="2026", help="what the random numbers hang on")
    parser.add_argument("--write", action="store_true", help="write docs/watch-rules.md")
    options = parser.parse_args()
    lines, all_met = table(options.scale, options.chance)
    if options.write:
        day = datetime.datetime.now(datetime.timezone.utc).date()
        about = "\n".join(__doc__.splitlines()[1:]).strip().replace("``", "`")
        (ROOT / "docs" / "watch-rules.md").write_text(
            f"# How often the watch errs\n\nWritten by `make bench-watch ARGS=--write`, {day}: {REQUESTS} requests a check, a baseline of "
            f"{BASELINE} answers, median {MEDIAN_MS:g} ms, sigma {SIGMA:g}.\n\n{about}\n\n" + "\n".join(lines) + "\n",
            encoding="utf-8",
        )
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
