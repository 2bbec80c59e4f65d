# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several checks judged together."""

from __future__ import annotations

import itertools
import math
import threading
import time
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._observe import health, thresholds

LATENCIES = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


@given(LATENCIES, st.sampled_from([1, 50, 90, 95, 99, 99.9, 100]))
def test_the_percentile_is_the_smallest_value_that_covers_that_share(values, percent):
    found = health.percentile(values, percent)
    assert found in values
    need = math.ceil(round(len(values) * percent / 100, 9))
    assert sum(value <= found for value in values) >= need
    assert sum(value < found for value in values) < max(1, need)


@given(LATENCIES)
def test_percentiles_are_ordered_and_end_at_the_maximum(values):
    found = [health.percentile(values, percent) for percent in (0, 50, 95, 99, 100)]
    assert found == sorted(found) and found[-1] == max(values) and found[0] == min(values)


def test_no_values_no_percentile():
    assert health.percentile([], 95) is None


def sample(outcome, ms=10.0, status=200):
    return {"check": "c", "outcome": outcome, "ms": ms, "status": status, "error": f"was {outcome}"}


@pytest.mark.parametrize(
    "samples, status, rate",
    [
        ([], "unknown", None),
        ([sample("error", status=None)] * 3, "unknown", None),
        ([sample("ok")], "normal", 0.0),
        ([sample("ok", 2000)], "warning", 0.0),
        ([sample("ok", 6000)], "critical", 0.0),
        ([sample("slow")], "warning", 0.0),
        ([sample("ok")] * 97 + [sample("failed")] * 3, "warning", 3.0),
        ([sample("ok")] * 9 + [sample("failed")], "critical", 10.0),
        ([sample("failed", status=None)], "critical", 100.0),
        ([sample("ok"), sample("error", status=None)], "normal", 0.0),
    ],
)
def test_summary(samples, status, rate):
    found = health.summarize(samples, thresholds.DEFAULTS)
    assert (found["status"], found["error_rate_pct"]) == (status, rate)


def test_latencies_are_those_of_answers():
    found = health.summarize([sample("ok", 10), sample("failed", 30, 500), sample("failed", 5000, None)], thresholds.DEFAULTS)
    assert (found["p50_ms"], found["p95_ms"], found["max_ms"]) == (10, 30, 30)


@pytest.mark.parametrize("outcomes", list(itertools.product(["ok", "slow", "failed", "error"], repeat=2)))
def test_the_worst_word_of_a_round(outcomes):
    samples = [sample(outcome) for outcome in outcomes]
    order = ("failed", "error", "slow", "ok")
    worst = min(outcomes, key=order.index)
    assert health.outcome(samples) == worst
    assert health.first_fault(samples) == ("" if worst == "ok" else f"c: was {worst}")


def test_no_samples_are_no_data():
    assert health.outcome([]) == "no_data" and health.first_fault([]) == ""
    assert health.sample_all([]) == []


def test_checks_run_at_the_same_time_and_keep_their_order(web):
    barrier = threading.Barrier(6)  # nobody is answered before all six are there

    def together(handler, _body):
        barrier.wait(HANG)
        handler.send(200, "")

    web.answers.update({"/a": together, "/b": together})
    checks = health.normalize_all([{"name": name, "url": f"{web.base}/{name}", "timeout": 2 * HANG} for name in "ab"])
    samples = health.sample_all(checks, 3)
    assert [sample["check"] for sample in samples] == list("aaabbb")
    assert health.outcome(samples) == "ok"


def test_checks_of_one_name_are_judged_apart(web):
    """One URL, asked in two ways, has one name by default."""
    web.answers["/health"] = (200, "ok")
    checks = health.normalize_all([{"url": web.base + "/health"}, {"url": web.base + "/health", "contains": "no such words"}])
    found = {each["check"]: each["outcomes"] for each in health.endpoints(health.sample_all(checks), thresholds.DEFAULTS)}
    assert [outcomes["ok"] for outcomes in found.values()] == [1, 0] and list(found) == [web.base + "/health", web.base + "/health (2)"]


def test_no_name_is_given_twice():
    checks = [{"url": "http://127.0.0.1/", "name": name} for name in ("a", "a", "a (2)", "a")]
    assert [check["name"] for check in health.normalize_all(checks)] == ["a", "a (2)", "a (2) (2)", "a (3)"]


def test_waiting_ends_at_the_first_success(web):
    answers = iter([(500, ""), (500, ""), (200, ""), (200, "")])
    web.answers["/health"] = lambda handler, _body: handler.send(*next(answers))
    checks = health.normalize_all([{"url": web.base + "/health"}])
    well, samples, reason = health.wait_for(checks, HANG, pause=0.01)
    assert (well, reason, samples[0]["status"]) == (True, "", 200)
    assert len(web.seen) == 3


def test_successes_have_to_be_in_a_row(web):
    answers = iter([(200, ""), (500, ""), (200, ""), (200, "")])
    web.answers["/health"] = lambda handler, _body: handler.send(*next(answers))
    checks = health.normalize_all([{"url": web.base + "/health"}])
    assert health.wait_for(checks, HANG, successes=2, pause=0.01)[0]
    assert len(web.seen) == 4


def test_waiting_for_what_hangs_takes_no_longer_than_told(web):
    web.answers["/health"] = lambda handler, _body: handler.server.ending.wait(HANG) or handler.send(200, "")
    checks = health.normalize_all([{"url": web.base + "/health", "timeout": 2 * HANG}])
    assert not health.wait_for(checks, 0.5, pause=0.01)[0]


@pytest.fixture
def clock(monkeypatch):
    """The clock of ``wait_for``, which only its pauses advance; ``[seconds]``."""
    now = [0.0]
    monkeypatch.setattr(
        health, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    )
    return now


def test_waiting_gives_up_in_time_and_says_why(web, clock):
    web.answers["/health"] = (500, "")
    checks = health.normalize_all([{"name": "api", "url": web.base + "/health"}])
    well, _samples, reason = health.wait_for(checks, 250, pause=100)
    assert not well and reason == "not healthy within 250 s (api: status 500 instead of 200)"
    assert clock == [200.0] and len(web.seen) == 3


def test_waiting_is_given_up_for_a_reason(web):
    web.answers["/health"] = (500, "")
    checks = health.normalize_all([{"url": web.base + "/health"}])
    assert health.wait_for(checks, 30, give_up=lambda: "it is hopeless")[::2] == (False, "it is hopeless")


def test_rounds_that_were_well_but_too_few_are_told(web, clock):
    checks = health.normalize_all([{"url": web.base + "/health"}])
    well, _samples, reason = health.wait_for(checks, 250, successes=1000, pause=100)
    assert not well and "3 of 1000 rounds in a row were well" in reason and clock == [200.0]


def test_a_hundred_endpoints_have_the_verdicts_that_they_have_one_by_one(web):
    web.answers.update({f"/{number}": (200 if number % 7 else 503, str(number)) for number in range(100)})
    checks = health.normalize_all(
        [{"name": str(number), "url": f"{web.base}/{number}", "contains": str(number), "timeout": 2 * HANG} for number in range(100)]
    )
    together = health.sample_all(checks)
    alone = [health.sample_all([check])[0] for check in checks]

    def verdicts(samples):
        return [(one["check"], one["outcome"], one["kind"], one["status"], one["error"], one["evidence"]) for one in samples]

    assert verdicts(together) == verdicts(alone)
    assert sum(one["outcome"] == "failed" for one in together) == 15


def test_a_hundred_endpoints_are_asked_at_the_same_time(web):
    barrier = threading.Barrier(health.MOST_WORKERS)

    def together(handler, _body):
        barrier.wait(HANG)
        handler.send(200, "")

    web.answers.update({f"/{number}": together for number in range(health.MOST_WORKERS)})
    checks = health.normalize_all([{"url": f"{web.base}/{number}", "timeout": 2 * HANG} for number in range(health.MOST_WORKERS)])
    assert health.outcome(health.sample_all(checks)) == "ok"


def test_one_endpoint_does_not_get_all_its_requests_at_once(web):
    busy, most = set(), []

    def count(handler, _body):
        busy.add(handler)
        most.append(len(busy))
        time.sleep(0.02)
        busy.discard(handler)
        handler.send(200, "")

    web.answers["/count"] = count
    health.sample_all(health.normalize_all([{"url": web.base + "/count"}]), 100)
    assert len(most) == 100 and max(most) <= health.WORKERS


def test_connections_are_kept(web):
    ports = []
    web.answers["/port"] = lambda handler, _body: (ports.append(handler.client_address[1]), handler.send(200, ""))
    health.sample_all(health.normalize_all([{"url": web.base + "/port"}]), 200)
    assert len(ports) == 200 and len(set(ports)) <= health.WORKERS


def test_the_certificate_that_ends_first_grades_an_endpoint():
    samples = [{**sample("ok"), "kind": "", "evidence": "", "certificate_days": days} for days in (90.0, 6.5, None)]
    (one,) = health.endpoints(samples, thresholds.DEFAULTS)
    assert (one["certificate_days"], one["status"], one["outcomes"]["ok"], one["evidence"]) == (6.5, "critical", 3, [])


def test_what_failed_is_better_evidence_than_what_was_slow():
    samples = [{**sample(outcome), "kind": "k", "evidence": "e"} for outcome in ("slow", "slow", "slow", "ok", "failed")]
    (one,) = health.endpoints(samples, thresholds.DEFAULTS)
    assert [found["outcome"] for found in one["evidence"]] == ["failed", "slow", "slow"]
