# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One round: what its samples say, and that a service that hangs is not asked for ever."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._watch import rounds as watch_rounds


def samples(*outcomes, check="health"):
    return [
        {
            "check": check,
            "outcome": outcome,
            "kind": "",
            "ms": 5.0 + number,
            "evidence": "",
            "status": None if outcome == "error" else 200,
            "error": f"it is {outcome}" if outcome != "ok" else "",
        }
        for number, outcome in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    "outcomes, expected",
    [
        (["ok"], "ok"),
        (["failed"], "failed"),
        (["error"], "error"),
        (["slow"], "slow"),
        ([], "no_data"),
        (["ok"] * 9 + ["failed"], "partial"),
        (["ok", "failed"], "failed"),
        (["ok", "ok", "failed"], "partial"),
        (["ok", "ok", "slow"], "ok"),
        (["ok", "slow"], "slow"),
        (["error", "error", "ok"], "ok"),
        (["error", "failed"], "failed"),
    ],
)
def test_the_word_of_a_round(outcomes, expected):
    assert watch_rounds.of(samples(*outcomes))["outcome"] == expected


def test_well_until_a_check_fails(web):
    web.answers["/health"], web.answers["/slow"] = (200, "well"), (200, "of r1")
    checks = health.normalize_all([{"url": web.base + "/health"}, {"url": web.base + "/slow", "max_ms": 0.001, "contains": "of {release}"}])
    assert watch_rounds.well(checks, "r1", ())
    assert not watch_rounds.well(checks, "r2", ())
    assert watch_rounds.well(health.normalize_all([{"url": "http://nowhere.invalid/"}]), "r1", ())  # this side cannot tell
    assert not watch_rounds.well([{}], "r1", ())  # a round says what is wrong here


def test_the_gravest_check_decides_and_is_named():
    found = watch_rounds.of(
        samples("ok", "failed", "ok") + samples("failed", "failed", "ok", check="client") + samples("error", check="far")
    )
    assert (found["outcome"], found["fault"]) == ("failed", "client: 2 of 3 requests: it is failed")
    assert [sample["check"] for sample in found["evidence"]] == ["health", "client", "client"]
    assert found["checks"]["health"]["failed"] == 1 and found["checks"]["far"] == {
        "requests": 1,
        "ok": 0,
        "slow": 0,
        "failed": 0,
        "error": 1,
        "p50_ms": None,
        "p95_ms": None,
        "max_ms": None,
        "ms": [],
    }
    assert watch_rounds.of(samples("ok"))["fault"] == "" and watch_rounds.of(samples("failed"))["fault"] == "health: it is failed"
    assert watch_rounds.of(samples("ok", "ok", "failed"))["fault"] == "health: 1 of 3 requests: it is failed"


def test_each_check_is_sent_so_often_over_kept_connections(web):
    web.answers["/a"], web.answers["/b"] = (200, "a"), (500, "b")
    checks = health.normalize_all([{"name": name, "url": f"{web.base}/{name}"} for name in "ab"])
    found = watch_rounds.of(watch_rounds.take(checks, 10))
    assert found["checks"]["a"]["ok"] == found["checks"]["b"]["failed"] == 10 and found["outcome"] == "failed"


def test_a_service_that_hangs_is_not_asked_any_more(web):
    web.answers["/health"] = lambda handler, _body: handler.server.ending.wait()
    found = watch_rounds.of(watch_rounds.take(health.normalize_all([{"url": web.base + "/health", "timeout": 0.3}]), 30))
    assert found["outcome"] == "failed" and len(found["evidence"]) == 1


@pytest.mark.parametrize(
    "body, said",
    [
        ('{"error": "CORS origin not allowed"}', " (CORS origin not allowed)"),
        ("<h1>Bad gateway</h1>", " (Bad gateway)"),
        ('{"status": "failing", "uptime_s": 3.1}', ""),
        ('{"status": "failing", "depend', ""),
        ("[1, 2]", ""),
        ("", ""),
    ],
)
def test_a_fault_quotes_the_words_of_an_answer_and_no_document_that_differs_each_time(body, said):
    (sample,) = samples("failed")
    found = watch_rounds.of([{**sample, "kind": "status", "error": "status 503 instead of 200", "evidence": body}])
    assert found["fault"] == f"health: status 503 instead of 200{said}"
