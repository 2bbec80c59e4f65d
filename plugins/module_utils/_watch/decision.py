# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The decision of a watch: from a stream of rounds to a verdict. Pure: no clock, no network, no files.

A *round* is all checks, each so many times (``rounds``). Runbook, "When to Rollback": three consecutive failed checks, an error rate over
its limit, performance more than 50 % worse. Errors of this side and missing data never cause a rollback (design, section 6).
``tests/bench/watch_rules.py`` says how often these rules err, and how often others would.
"""

from __future__ import annotations

import collections
import typing as t

from .._core import stats
from .._observe.samples import RoundFigures
from .watch_types import Counts, Tally

CONTINUE, ROLL_BACK, ALARM, RECOVERED = "continue", "roll_back", "alarm", "recovered"

#: Batches that are judged together.
WINDOW = 5
#: A rollback for a rate or a latency takes evidence that chance gives once in ten thousand batches.
SURE = 1e-4
#: What chance gives once in ten batches is worth another look at once.
SUSPICIOUS = 0.1
#: Latencies are compared from so many answers on, on both sides.
ENOUGH = 60
#: Percentage of the rounds that may be slow or failed, and of the requests that may fail in the others, in a healthy watch. The second is
#: where the runbook's table warns of the error rate.
ROUNDS_PCT, REQUESTS_PCT = 5, 1


class Rules(t.NamedTuple):
    """Limits of a watch."""

    #: Consecutive failed rounds that cause a rollback.
    failure_threshold: int = 3
    #: Consecutive rounds that could not be measured that cause an alarm.
    error_threshold: int = 5
    #: Restarts of the service within the watch that count as a crash loop.
    restart_limit: int = 3
    #: Failed rounds among the last ``window_rounds`` that cause a rollback, in a row or not; 0 for no such rule.
    window_failures: int = 0
    window_rounds: int = 10
    #: Percentage of failed requests above which a check's error rate is too high; 0 for no such rule.
    error_rate_pct: float = 5.0
    #: Percentage by which answers may be slower than the baseline; 0 for no such rule.
    latency_pct: float = 50.0
    #: Milliseconds that answers have to be slower in any case.
    latency_floor_ms: float = 20.0
    #: Megabytes of memory of the service above which, in ``failure_threshold`` rounds in a row, it leaks; 0 for no such rule.
    memory_mb: float = 0
    #: Good rounds in a row after which an alarm is over.
    recovery_threshold: int = 2


class Batches:
    """The last batches of one check, and what they say of its error rate and latency."""

    def __init__(self, rules: Rules, baseline: list[float] | None) -> None:
        self.rules = rules
        self.baseline = sorted(baseline or [])
        factor = (1 + rules.latency_pct / 100) ** 0.5
        #: The middle, as a factor, between no slower and too slow: what is surely above it is slower for sure.
        self.halfway = [value * factor for value in self.baseline]
        self.recent: collections.deque[tuple[int, int, list[float]]] = collections.deque(maxlen=WINDOW)

    def add(self, requests: int, failed: int, times: list[float]) -> str:
        """Take a batch in; what is wrong for sure, in words, or an empty text."""
        self.recent.append((requests, failed, times))
        return self.error_rate() or self.latency()

    def error_rate(self) -> str:
        """The exact binomial test of the last two batches, of the last three, and so on.

        One batch alone proves nothing: a hiccup of a moment fails many of its requests at once.
        """
        requests = failed = faulty = 0
        for batch in reversed(self.recent):
            requests, failed, faulty = requests + batch[0], failed + batch[1], faulty + (batch[1] > 0)
            if (
                self.rules.error_rate_pct
                and faulty > 1
                and 100 * failed > self.rules.error_rate_pct * requests
                and stats.binomial_tail(failed, requests, self.rules.error_rate_pct / 100) <= SURE
            ):
                return (
                    f"error rate {100 * failed / requests:.0f} % ({failed} of {requests} requests failed, over the limit of "
                    f"{self.rules.error_rate_pct:g} %)"
                )
        return ""

    def latency(self) -> str:
        """Slower than the limit by the medians, and slower for sure by a rank test."""
        times = [value for batch in self.recent for value in batch[2]]
        if min(len(times), len(self.baseline)) < ENOUGH:
            return ""
        if not self._too_slow(times) or stats.larger(times, self.halfway) > SURE:
            return ""
        now, before = stats.median(times), stats.median(self.baseline)
        return (
            f"median response time {now:.0f} ms, {100 * (now / before - 1):.0f} % over the baseline of {before:.0f} ms (limit "
            f"{self.rules.latency_pct:g} %, {len(times)} answers)"
        )

    def comparable(self) -> str:
        """``judged`` when there are answers enough to compare, else why not."""
        if not self.baseline:
            return "inconclusive: there is no baseline"
        fewest = min(sum(len(batch[2]) for batch in self.recent), len(self.baseline))
        return "judged" if fewest >= ENOUGH else f"inconclusive: {fewest} answers of the {ENOUGH} that it takes"

    def _too_slow(self, times: list[float]) -> bool:
        if not self.rules.latency_pct or not times or not self.baseline:
            return False
        now, before = stats.median(times), stats.median(self.baseline)
        return now > before * (1 + self.rules.latency_pct / 100) and now - before >= self.rules.latency_floor_ms

    def suspicious(self) -> bool:
        """Whether the last batch alone is worth another look at once."""
        requests, failed, times = self.recent[-1] if self.recent else (0, 0, [])
        rate = self.rules.error_rate_pct / 100
        return bool(rate and failed and stats.binomial_tail(failed, requests, rate) <= SUSPICIOUS) or self._too_slow(times)


class Decision:
    """Counts rounds and says what to do after each.

    :param baseline: check -> milliseconds of answers of the release before.
    """

    def __init__(self, rules: Rules | None = None, baseline: dict[str, list[float]] | None = None) -> None:
        self.rules = rules or Rules()
        self.baseline = baseline or {}
        self.counts = dict.fromkeys(("ok", "slow", "partial", "failed", "error", "no_data"), 0)
        #: Requests of rounds that did not fail as a whole, and those among them that failed.
        self.requests = self.failed_requests = 0
        self.trigger = ""
        #: Whether an alarm is on, and whether there ever was one.
        self.alarmed = self.has_alarmed = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what is in a row: the service, or its host, was started anew. What was counted stays."""
        self.failed_in_a_row = self.unmeasured_in_a_row = self.good_in_a_row = self.too_large_in_a_row = self.restarts = 0
        self.failures: collections.deque[bool] = collections.deque(maxlen=max(1, self.rules.window_rounds))
        self.batches: dict[str, Batches] = {}

    def feed(
        self, outcome: str, restarts: int = 0, fault: str = "", checks: dict[str, RoundFigures] | None = None, memory_mb: float = 0
    ) -> str:
        """Take one round in; ``continue``, ``roll_back``, ``alarm`` or ``recovered``.

        :param outcome: ``ok, slow, partial, failed, error`` or ``no_data``.
        :param restarts: how often the service was restarted since the watch began.
        :param fault: what went wrong, in words, for the trigger.
        :param checks: what ``_watch.rounds.of`` says of each.
        :param memory_mb: megabytes that the service's main process has in memory.
        """
        if restarts != self.restarts:
            self.begin_anew()
            self.restarts = restarts
        self._count(outcome)
        self.too_large_in_a_row = self.too_large_in_a_row + 1 if 0 < self.rules.memory_mb < memory_mb else 0
        bad = self._bad_for_sure(restarts, fault, memory_mb) or self._judge(outcome, checks or {})
        if bad:
            return self._alarm(bad, ROLL_BACK)
        if self.unmeasured_in_a_row == self.rules.error_threshold:
            return self._alarm(f"{self.unmeasured_in_a_row} checks in a row could not be measured ({fault})", ALARM)
        if self.alarmed and self.good_in_a_row >= self.rules.recovery_threshold:
            self.alarmed = False
            return RECOVERED
        return CONTINUE

    def _alarm(self, trigger: str, action: str) -> str:
        self.trigger = trigger
        self.alarmed = self.has_alarmed = True
        return action

    def _count(self, outcome: str) -> None:
        self.counts[outcome] += 1
        self.failed_in_a_row = self.failed_in_a_row + 1 if outcome == "failed" else 0
        self.unmeasured_in_a_row = self.unmeasured_in_a_row + 1 if outcome in ("error", "no_data") else 0
        self.good_in_a_row = self.good_in_a_row + 1 if outcome == "ok" else 0
        self.failures.append(outcome == "failed")

    def _bad_for_sure(self, restarts: int, fault: str, memory_mb: float) -> str:
        rules = self.rules
        if restarts >= rules.restart_limit:
            return f"crash loop: the service was restarted {restarts} times"
        if self.failed_in_a_row >= rules.failure_threshold:
            return f"{self.failed_in_a_row} consecutive failed checks ({fault})"
        if self.too_large_in_a_row >= rules.failure_threshold:
            return (
                f"memory: the service has {memory_mb:.0f} MB, over the limit of {rules.memory_mb:g} MB, "
                f"{self.too_large_in_a_row} times in a row"
            )
        if rules.window_failures and self.failures[-1] and sum(self.failures) >= rules.window_failures:
            return f"{sum(self.failures)} of the last {len(self.failures)} checks failed ({fault})"
        return ""

    def _judge(self, outcome: str, checks: dict[str, RoundFigures]) -> str:
        """Error rate and latency. A round that failed as a whole is the matter of the rule for those."""
        found = ""
        for name, figures in checks.items() if outcome != "failed" else ():
            batches = self.batches.setdefault(name, Batches(self.rules, self.baseline.get(name)))
            measured = figures["requests"] - figures["error"]
            self.requests, self.failed_requests = self.requests + measured, self.failed_requests + figures["failed"]
            bad = batches.add(measured, figures["failed"], figures["ms"])
            found = found or (f"{name}: {bad}" if bad else "")
        return found

    def saved(self) -> Tally:
        """What a watch that goes on after an interruption has to know, beside :meth:`summary`. What was in a row counts anew."""
        return {
            "requests": self.requests,
            "failed_requests": self.failed_requests,
            "alarmed": self.alarmed,
            "has_alarmed": self.has_alarmed,
        }

    def resume(self, summary: Counts, saved: Tally, trigger: str) -> None:
        """Go on from there."""
        counts: t.Mapping[str, t.Any] = summary
        self.counts.update({name: counts[name] for name in self.counts})
        self.trigger = trigger
        for name, value in saved.items():
            setattr(self, name, value)

    def latency(self) -> dict[str, str]:
        """Check -> ``judged``, or why its latency could not be held against the baseline."""
        return {name: batches.comparable() for name, batches in self.batches.items()} if self.rules.latency_pct else {}

    def suspicious(self) -> bool:
        """Whether the next round comes at ``retry_interval``."""
        return self.failed_in_a_row + self.too_large_in_a_row > 0 or any(batches.suspicious() for batches in self.batches.values())

    def verdict(self) -> str:
        """At the window's end: ``healthy``, ``degraded``, or ``inconclusive`` when too little was measured."""
        faulty = self.counts["slow"] + self.counts["failed"]
        measured = self.counts["ok"] + self.counts["partial"] + faulty
        if not measured or measured < self.counts["error"] + self.counts["no_data"]:
            return "inconclusive"
        too_often = 100 * faulty > ROUNDS_PCT * measured or 100 * self.failed_requests > REQUESTS_PCT * self.requests
        if self.has_alarmed or self.failed_in_a_row or too_often:
            return "degraded"
        if measured < self.rules.failure_threshold:  # it could not have been found bad either
            self.trigger = f"only {measured} rounds were measured, fewer than the {self.rules.failure_threshold} that a rollback takes"
            return "inconclusive"
        return "healthy"

    def summary(self) -> Counts:
        """Counts by outcome, and the availability in percent of what could be measured."""
        good = self.counts["ok"] + self.counts["slow"] + self.counts["partial"]
        measured = good + self.counts["failed"]
        return {
            "ok": self.counts["ok"],
            "slow": self.counts["slow"],
            "partial": self.counts["partial"],
            "failed": self.counts["failed"],
            "error": self.counts["error"],
            "no_data": self.counts["no_data"],
            "availability_pct": round(100.0 * good / measured, 3) if measured else None,
        }
