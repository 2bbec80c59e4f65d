# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The decision of a watch, over every outcome and state."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.module_utils._watch import decision as watch_decision
from ansible_collections.mobius.ops.plugins.module_utils._watch.decision import ALARM, CONTINUE, RECOVERED, ROLL_BACK, Rules

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
    decision = watch_decision.Decision(Rules(failure_threshold=3, error_threshold=3))
    feed(decision, before)
    assert decision.feed(outcome) == expected.get(outcome, CONTINUE)


def test_three_consecutive_failures_and_no_less():
    assert feed(watch_decision.Decision(Rules(3)), ["failed", "failed", "ok", "failed", "failed"]) == [CONTINUE] * 5
    assert feed(watch_decision.Decision(Rules(3)), ["failed"] * 3)[-1] == ROLL_BACK
    assert feed(watch_decision.Decision(Rules(1)), ["failed"]) == [ROLL_BACK]


def test_the_trigger_says_why():
    decision = watch_decision.Decision(Rules(2, 2, 2))
    feed(decision, ["failed", "failed"])
    assert decision.trigger == "2 consecutive failed checks (f)"
    decision = watch_decision.Decision(Rules(2, 2, 2))
    feed(decision, ["error", "no_data"])
    assert decision.trigger == "2 checks in a row could not be measured (f)"
    decision.feed("ok", restarts=2)
    assert decision.trigger == "crash loop: the service was restarted 2 times"


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_crash_loop_rolls_back_whatever_the_checks_say(outcome):
    decision = watch_decision.Decision(Rules(restart_limit=3))
    assert decision.feed(outcome, restarts=2) == CONTINUE
    assert decision.feed(outcome, restarts=3) == ROLL_BACK


def test_an_alarm_is_raised_once_in_a_row_of_errors():
    assert feed(watch_decision.Decision(Rules(3, 2)), ["error"] * 6).count(ALARM) == 1


@pytest.mark.parametrize(
    "outcomes, verdict",
    [
        ([], "inconclusive"),
        (["error"] * 3, "inconclusive"),
        (["no_data"] * 3, "inconclusive"),
        (["ok", "error", "error"], "inconclusive"),
        (["ok"] * 3 + ["error"] * 3, "healthy"),
        (["ok"] * 3 + ["error"] * 4, "inconclusive"),
        (["ok", "ok"], "inconclusive"),
        (["ok", "ok", "slow"], "degraded"),
        (["ok", "ok", "failed"], "degraded"),
        (["ok"] * 3, "healthy"),
        (["ok"] * 30, "healthy"),
        (["ok"] * 19 + ["slow"], "healthy"),
        (["ok"] * 18 + ["slow"], "degraded"),
        (["ok"] * 20 + ["failed"], "degraded"),
        (["failed"] + ["ok"] * 20, "healthy"),
        (["failed"] + ["ok"] * 10, "degraded"),
        (["slow"], "degraded"),
    ],
)
def test_the_verdict_at_the_end(outcomes, verdict):
    decision = watch_decision.Decision()
    feed(decision, outcomes)
    assert decision.verdict() == verdict


def test_too_few_rounds_say_nothing_good_and_why():
    decision = watch_decision.Decision()
    feed(decision, ["ok"] * 2)
    assert decision.verdict() == "inconclusive"
    assert decision.trigger == "only 2 rounds were measured, fewer than the 3 that a rollback takes"


def test_what_is_saved_goes_on_and_what_was_in_a_row_does_not():
    first, second = (watch_decision.Decision(Rules(error_threshold=2)) for _number in range(2))
    feed(first, ["ok"] * 20 + ["error"] * 2 + ["failed"] * 2)
    first.requests, first.failed_requests = 100, 2
    second.resume(first.summary(), json.loads(json.dumps(first.saved())), first.trigger)
    assert second.summary() == first.summary() and second.trigger == first.trigger and second.alarmed
    assert (second.requests, second.failed_requests, second.failed_in_a_row) == (100, 2, 0)
    assert second.verdict() == "degraded"
    assert feed(second, ["failed"] * 2) == [CONTINUE] * 2 and feed(second, ["ok"] * 2) == [CONTINUE, RECOVERED]
    assert second.verdict() == "degraded"  # an alarm that is over is no healthy watch


def test_whether_latency_could_be_judged():
    decision = watch_decision.Decision(baseline={"a": [10.0] * 150, "b": [10.0] * 150, "c": [10.0] * 20})
    figures = {"requests": 30, "error": 0, "failed": 0}
    for _number in range(2):
        counts = {"a": 30, "b": 10, "c": 30, "d": 30}
        decision.feed("ok", checks={name: {**figures, "ms": [10.0] * count} for name, count in counts.items()})
    assert decision.latency() == {
        "a": "judged",
        "b": "inconclusive: 20 answers of the 60 that it takes",
        "c": "inconclusive: 20 answers of the 60 that it takes",
        "d": "inconclusive: there is no baseline",
    }
    assert watch_decision.Decision(Rules(latency_pct=0)).latency() == {}


def test_suspicion_shortens_the_wait_after_a_failure_only():
    decision = watch_decision.Decision()
    for outcome, suspicious in (("ok", False), ("failed", True), ("slow", False), ("error", False), ("failed", True)):
        decision.feed(outcome)
        assert decision.suspicious() is suspicious


def test_summary():
    decision = watch_decision.Decision()
    assert decision.summary()["availability_pct"] is None
    feed(decision, ["ok", "slow", "failed", "error"])
    assert decision.summary() == {"ok": 1, "slow": 1, "failed": 1, "error": 1, "partial": 0, "no_data": 0, "availability_pct": 66.667}


@given(ROUNDS, st.integers(1, 5), st.integers(1, 5))
def test_it_never_rolls_back_without_that_many_consecutive_failures(rounds, threshold, errors):
    decision = watch_decision.Decision(Rules(threshold, errors))
    in_a_row = 0
    for outcome, restarts in rounds:
        in_a_row = in_a_row + 1 if outcome == "failed" else 0
        assert (decision.feed(outcome, restarts) == ROLL_BACK) == (in_a_row >= threshold)


@given(st.lists(st.sampled_from(["ok", "slow", "error", "no_data"]), max_size=60))
def test_errors_alone_never_roll_back(outcomes):
    assert ROLL_BACK not in feed(watch_decision.Decision(Rules(1, 1)), outcomes)


@given(ROUNDS)
def test_nothing_is_lost_in_the_summary(rounds):
    decision = watch_decision.Decision()
    feed(decision, [outcome for outcome, _restarts in rounds])
    summary = decision.summary()
    assert sum(summary[outcome] for outcome in OUTCOMES) == len(rounds)
    assert summary["availability_pct"] is None or 0 <= summary["availability_pct"] <= 100


def batch(requests=30, failed=0, ms=()):
    """The figures of the only check."""
    return {"health": {"requests": requests, "error": 0, "failed": failed, "ms": list(ms)}}


def feed_batches(decision, *batches, outcome="partial"):
    return [decision.feed(outcome, checks=figures) for figures in batches]


def test_an_error_rate_that_is_surely_over_the_limit_rolls_back_at_the_next_batch():
    decision = watch_decision.Decision()
    assert feed_batches(decision, batch(failed=12), batch(failed=6)) == [CONTINUE, ROLL_BACK]
    assert decision.trigger == "health: error rate 30 % (18 of 60 requests failed, over the limit of 5 %)"


def test_a_hiccup_of_a_moment_is_no_error_rate():
    assert set(feed_batches(watch_decision.Decision(), batch(), batch(failed=14), *[batch()] * 9)) == {CONTINUE}


def test_an_error_rate_that_may_be_chance_takes_more_batches():
    decision = watch_decision.Decision()
    assert feed_batches(decision, *[batch(failed=5)] * 3) == [CONTINUE, CONTINUE, ROLL_BACK]
    assert "(15 of 90 requests failed" in decision.trigger
    assert ROLL_BACK not in feed_batches(watch_decision.Decision(), *[batch(failed=1)] * 60)
    assert ROLL_BACK not in feed_batches(watch_decision.Decision(Rules(error_rate_pct=0)), *[batch(failed=12)] * 5)


def test_batches_that_are_long_past_do_not_count():
    decision = watch_decision.Decision()
    feed_batches(decision, *[batch(failed=5)] * 2)
    assert ROLL_BACK not in feed_batches(decision, *[batch()] * 4, batch(failed=5), batch(failed=5))


def test_a_round_that_failed_as_a_whole_counts_in_a_row_and_not_as_a_rate():
    decision = watch_decision.Decision()
    assert feed_batches(decision, batch(failed=30), outcome="failed") == [CONTINUE]
    assert feed_batches(decision, batch(), outcome="ok") == [CONTINUE] and decision.requests == 30
    assert feed_batches(decision, *[batch(failed=30)] * 3, outcome="failed")[-1] == ROLL_BACK


BEFORE = {"health": [100.0 + number % 20 for number in range(150)]}


def test_answers_that_are_surely_too_slow_roll_back():
    decision = watch_decision.Decision(baseline=BEFORE)
    found = feed_batches(decision, *[batch(ms=[180.0 + number for number in range(30)])] * 2, outcome="ok")
    assert found == [CONTINUE, ROLL_BACK]
    assert decision.trigger.startswith("health: median response time 194 ms, 78 % over the baseline of 109 ms (limit 50 %, 60 answers)")


@pytest.mark.parametrize(
    "rules, before, ms",
    [
        (Rules(), BEFORE, 140.0),
        (Rules(latency_pct=100), BEFORE, 180.0),
        (Rules(latency_pct=0), BEFORE, 900.0),
        (Rules(), {"health": [3.0] * 150}, 9.0),
        (Rules(latency_floor_ms=200), BEFORE, 180.0),
        (Rules(), {"health": [100.0] * 30}, 900.0),
        (Rules(), {}, 900.0),
        (Rules(), {"other": [100.0] * 150}, 900.0),
    ],
)
def test_answers_that_are_not_too_slow_or_cannot_be_compared(rules, before, ms):
    decision = watch_decision.Decision(rules, before)
    assert set(feed_batches(decision, *[batch(ms=[ms + number % 20 for number in range(30)])] * 10, outcome="ok")) == {CONTINUE}


def test_what_is_suspicious_is_looked_at_again_soon():
    decision = watch_decision.Decision(baseline=BEFORE)
    for figures, suspicious in ((batch(failed=1), False), (batch(failed=5), True), (batch(), False), (batch(ms=[170.0] * 30), True)):
        feed_batches(decision, figures)
        assert decision.suspicious() is suspicious


def test_so_many_failures_of_so_many_rounds():
    decision = watch_decision.Decision(Rules(window_failures=3, window_rounds=5))
    assert feed(decision, ["failed", "ok", "failed", "ok", "failed"])[-1] == ROLL_BACK
    assert decision.trigger == "3 of the last 5 checks failed (f)"
    decision = watch_decision.Decision(Rules(window_failures=3, window_rounds=5))
    assert ROLL_BACK not in feed(decision, ["failed", "ok", "ok", "failed", "ok", "ok", "failed", "ok"])


def test_an_alarm_is_over_after_so_many_good_rounds_and_another_may_come():
    decision = watch_decision.Decision(Rules(3, 2, recovery_threshold=2))
    assert feed(decision, ["error", "error", "ok", "failed", "ok", "ok", "ok", "error", "error"]) == [
        CONTINUE,
        ALARM,
        CONTINUE,
        CONTINUE,
        CONTINUE,
        RECOVERED,
        CONTINUE,
        CONTINUE,
        ALARM,
    ]


def test_a_restart_of_the_service_begins_the_counts_anew():
    decision = watch_decision.Decision()
    feed(decision, ["failed", "failed"])
    assert decision.feed("failed", restarts=1) == CONTINUE and decision.failed_in_a_row == 1
    assert [decision.feed("failed", restarts=1) for _number in range(2)] == [CONTINUE, ROLL_BACK]


def test_one_percent_of_failed_requests_is_not_healthy():
    decision = watch_decision.Decision()
    feed_batches(decision, *[batch(failed=1)] * 10)
    assert decision.verdict() == "degraded"
    decision = watch_decision.Decision()
    feed_batches(decision, batch(failed=1), *[batch()] * 9)
    assert decision.verdict() == "healthy"


def test_medians_alone_prove_nothing_when_answers_scatter():
    """Half of the answers are fast and half are slow, before and after: the medians lie far apart by chance."""
    decision = watch_decision.Decision(baseline={"health": [20.0, 500.0] * 75})
    scattered = batch(ms=[20.0] * 14 + [420.0] * 16)
    assert set(feed_batches(decision, *[scattered] * 5, outcome="ok")) == {CONTINUE}


def test_a_service_that_grows_over_its_limit_is_rolled_back_after_some_rounds():
    decision = watch_decision.Decision(Rules(memory_mb=300))
    assert [decision.feed("ok", memory_mb=size) for size in (310, 299, 310, 320)] == [CONTINUE] * 4 and decision.suspicious()
    assert decision.feed("ok", memory_mb=330) == ROLL_BACK
    assert decision.trigger == "memory: the service has 330 MB, over the limit of 300 MB, 3 times in a row"
    assert {watch_decision.Decision().feed("ok", memory_mb=10**6) for _number in range(5)} == {CONTINUE}
