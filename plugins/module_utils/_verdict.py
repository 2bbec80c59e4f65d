# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The decision of a watch: from a stream of rounds to a verdict. Pure: no clock, no network, no files.

A *round* is all checks once. Its outcome is one word (``_health.outcome``). Runbook, "When to Rollback": three
consecutive failed checks. Errors of this side and missing data never cause a rollback (design, section 6).
"""
from __future__ import annotations

import typing as t

CONTINUE, ROLL_BACK, ALARM = "continue", "roll_back", "alarm"


class Decision:
    """Counts rounds and says what to do after each.

    :param failure_threshold: consecutive failed rounds that cause a rollback.
    :param error_threshold: consecutive rounds that could not be measured that cause an incident.
    :param restart_limit: restarts of the service within the watch that count as a crash loop.
    """

    def __init__(self, failure_threshold: int = 3, error_threshold: int = 5, restart_limit: int = 3) -> None:
        self.failure_threshold = failure_threshold
        self.error_threshold = error_threshold
        self.restart_limit = restart_limit
        self.counts = {"ok": 0, "slow": 0, "failed": 0, "error": 0, "no_data": 0}
        self.failed_in_a_row = 0
        self.unmeasured_in_a_row = 0
        self.trigger = ""

    def feed(self, outcome: str, restarts: int = 0, fault: str = "") -> str:
        """Take one round in; ``continue``, ``roll_back`` or ``alarm``.

        :param outcome: ``ok, slow, failed, error`` or ``no_data``.
        :param restarts: how often the service was restarted since the watch began.
        :param fault: what went wrong, in words, for the trigger.
        """
        self.counts[outcome] += 1
        self.failed_in_a_row = self.failed_in_a_row + 1 if outcome == "failed" else 0
        self.unmeasured_in_a_row = self.unmeasured_in_a_row + 1 if outcome in ("error", "no_data") else 0
        if restarts >= self.restart_limit:
            self.trigger = f"crash loop: the service was restarted {restarts} times"
            return ROLL_BACK
        if self.failed_in_a_row >= self.failure_threshold:
            self.trigger = f"{self.failed_in_a_row} consecutive failed checks ({fault})"
            return ROLL_BACK
        if self.unmeasured_in_a_row == self.error_threshold:
            self.trigger = f"{self.unmeasured_in_a_row} checks in a row could not be measured ({fault})"
            return ALARM
        return CONTINUE

    def suspicious(self) -> bool:
        """Whether the last round failed, so that the next comes at ``retry_interval``."""
        return self.failed_in_a_row > 0

    def verdict(self) -> str:
        """At the window's end: ``healthy``, ``degraded``, or ``inconclusive`` when too little was measured."""
        measured = self.counts["ok"] + self.counts["slow"] + self.counts["failed"]
        if not measured or measured < self.counts["error"] + self.counts["no_data"]:
            return "inconclusive"
        if self.suspicious() or 20 * (self.counts["failed"] + self.counts["slow"]) > measured:
            return "degraded"
        return "healthy"

    def summary(self) -> dict[str, t.Any]:
        """Counts by outcome, and the availability in percent of what could be measured."""
        good = self.counts["ok"] + self.counts["slow"]
        measured = good + self.counts["failed"]
        return {**self.counts, "availability_pct": round(100.0 * good / measured, 3) if measured else None}
