# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The decision of a watch, over every outcome and state."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.module_utils import _verdict
from ansible_collections.mobius.ops.plugins.module_utils._verdict import ALARM, CONTINUE, RECOVERED, ROLL_BACK, Rules

OUTCOMES = ("ok", "slow", "partial", "failed", "error", "no_data")
ROUNDS = st.lists(st.tuples(st.sampled_from(OUTCOMES), st.just(0)), max_size=60)


def feed(decision, outcomes):
    return [decision.feed(outcome, fault="f") for outcome in outcomes]


# before: rounds that bring about a state; then what each outcome does there
STATES = {
    "new": ([], {}),
    "one failure": (["failed"], {}),
    "two failures": (["failed"] * 2, {"failed": ROLL_BACK}),
    "two failures, one success": (["failed", "failed", "ok"], {}),
    "two failures, one error": (["failed", "failed", "error"], {}),
    "two errors": (["error", "no_data"], {"error": ALARM, "no_data": ALARM}),
    "alarmed": (["error"] * 3, {}),
    "errors, then failures": (["error", "error", "failed", "failed"], {"failed": ROLL_BACK}),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("state", STATES)
def test_every_outcome_in_every_state(state, outcome):
    before, expected = STATES[state]
    decision = _verdict.Decision(Rules(failure_threshold=3, error_threshold=3))
    feed(decision, before)
    assert decision.feed(outcome) == expected.get(outcome, CONTINUE)


def test_three_consecutive_failures_and_no_less():
    assert feed(_verdict.Decision(Rules(3)), ["failed", "failed", "ok", "failed", "failed"]) == [CONTINUE] * 5
    assert feed(_verdict.Decision(Rules(3)), ["failed"] * 3)[-1] == ROLL_BACK
    assert feed(_verdict.Decision(Rules(1)), ["failed"]) == [ROLL_BACK]


def test_the_trigger_says_why():
    decision = _verdict.Decision(Rules(2, 2, 2))
    feed(decision, ["failed", "failed"])
    assert decision.trigger == "2 consecutive failed checks (f)"
    decision = _verdict.Decision(Rules(2, 2, 2))
    feed(decision, ["error", "no_data"])
    assert decision.trigger == "2 checks in a row could not be measured (f)"
    decision.feed("ok", restarts=2)
    assert decision.trigger == "crash loop: the service was restarted 2 times"


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_crash_loop_rolls_back_whatever_the_checks_say(outcome):
    decision = _verdict.Decision(Rules(restart_limit=3))
    assert decision.feed(outcome, restarts=2) == CONTINUE
    assert decision.feed(outcome, restarts=3) == ROLL_BACK


def test_an_alarm_is_raised_once_in_a_row_of_errors():
    assert feed(_verdict.Decision(Rules(3, 2)), ["error"] * 6).count(ALARM) == 1


@pytest.mark.parametrize("outcomes, verdict", [
    ([], "inconclusive"), (["error"] * 3, "inconclusive"), (["no_data"] * 3, "inconclusive"),
    (["ok", "error", "error"], "inconclusive"), (["ok", "ok", "error"], "healthy"), (["ok", "error"], "healthy"),
    (["ok"] * 30, "healthy"), (["ok"] * 19 + ["slow"], "healthy"), (["ok"] * 18 + ["slow"], "degraded"),
    (["ok"] * 20 + ["failed"], "degraded"), (["failed"] + ["ok"] * 20, "healthy"),
    (["failed"] + ["ok"] * 10, "degraded"), (["slow"], "degraded"),
])
def test_the_verdict_at_the_end(outcomes, verdict):
    decision = _verdict.Decision()
    feed(decision, outcomes)
    assert decision.verdict() == verdict


def test_suspicion_shortens_the_wait_after_a_failure_only():
    decision = _verdict.Decision()
    for outcome, suspicious in (("ok", False), ("failed", True), ("slow", False), ("error", False), ("failed", True)):
        decision.feed(outcome)
        assert decision.suspicious() is suspicious


def test_summary():
    decision = _verdict.Decision()
    assert decision.summary()["availability_pct"] is None
    feed(decision, ["ok", "slow", "failed", "error"])
    assert decision.summary() == {"ok": 1, "slow": 1, "failed": 1, "error": 1, "partial": 0, "no_data": 0, "availability_pct": 66.667}


@given(ROUNDS, st.integers(1, 5), st.integers(1, 5))
def test_it_never_rolls_back_without_that_many_consecutive_failures(rounds, threshold, errors):
    decision = _verdict.Decision(Rules(threshold, errors))
    in_a_row = 0
    for outcome, restarts in rounds:
        in_a_row = in_a_row + 1 if outcome == "failed" else 0
        assert (decision.feed(outcome, restarts) == ROLL_BACK) == (in_a_row >= threshold)


@given(st.lists(st.sampled_from(["ok", "slow", "error", "no_data"]), max_size=60))
def test_errors_alone_never_roll_back(outcomes):
    assert ROLL_BACK not in feed(_verdict.Decision(Rules(1, 1)), outcomes)


@given(ROUNDS)
def test_nothing_is_lost_in_the_summary(rounds):
    decision = _verdict.Decision()
    feed(decision, [outcome for outcome, _restarts in rounds])
    summary = decision.summary()
    assert sum(summary[outcome] for outcome in OUTCOMES) == len(rounds)
    assert summary["availability_pct"] is None or 0 <= summary["availability_pct"] <= 100
