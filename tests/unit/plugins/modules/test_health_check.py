# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module health_check against a real server."""

from __future__ import annotations

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.modules import health_check

pytestmark = pytest.mark.usefixtures("any_latency")


@pytest.fixture
def check(run_module, web):
    web.answers["/bad"] = (500, "broken")
    return lambda check=False, **options: run_module(health_check, options, check)


@pytest.mark.parametrize("mode", [False, True])
def test_a_healthy_service(check, web, mode):
    result = check(mode, url=web.base + "/health", requests=10)
    assert not result["changed"] and result["status"] == "normal" and result["error_rate_pct"] == 0.0
    assert len(result["results"]) == len(web.seen) == 10
    assert 0 < result["p50_ms"] <= result["p95_ms"] <= result["p99_ms"] <= result["max_ms"]


def test_an_unhealthy_one_fails_in_one_sentence_with_every_result(check, web):
    result = check(checks=[{"name": "api", "url": web.base + "/bad"}, {"url": web.base + "/health"}])
    assert result["failed"] and result["status"] == "critical" and result["error_rate_pct"] == 50.0
    assert "1 of 2 requests not ok, first api: status 500 instead of 200 (broken), error rate 50.0 %" in result["msg"]
    assert result["results"][0]["evidence"] == "broken"


def test_it_only_reports_when_told(check, web):
    assert check(url=web.base + "/bad", fail_on="never")["status"] == "critical"


def test_thresholds_and_fail_on(check, web):
    options = {"checks": [{"url": web.base + "/health", "max_ms": 0.001}]}
    assert check(**options)["status"] == "warning"
    assert "expected status normal, found warning" in check(fail_on="warning", **options)["msg"]
    assert check(url=web.base + "/bad", thresholds={"error_rate_pct": [100, 100]})["status"] == "normal"


def test_what_cannot_be_measured_is_unknown_and_no_success(check):
    result = check(url=f"http://{'x' * 70}.example/")
    assert result["failed"] and result["status"] == "unknown" and result["error_rate_pct"] is None


def test_the_setting_that_helps_against_a_refusal_is_named(check, web):
    web.answers["/health"] = (401, '{"error":"Unauthorized"}')
    result = check(url=web.base + "/health")
    assert "status 401 instead of 200 (Unauthorized)" in result["msg"]
    assert result["msg"].endswith("set mobius_check_secret_headers to X-Mobius-API-Key and one of MOBIUS_API_KEYS in shared/config/.env.")


def test_a_refused_connection_is_explained_by_the_end_of_the_service(check, web, host, free_port, secret):
    refused = {"url": f"http://127.0.0.1:{free_port()}/", "root": host.root, "service": "mobius"}
    assert "found critical: 1 of 1 requests not ok" in check(**refused)["msg"]  # the service was not set up
    host.live("r1")
    service = host.service()
    fs.write_text(service.spec["console_log"], f"TypeError: no {secret}\n    at load ({host.layout.app}/src/api/store.js:7:3)\n")
    words = f"found TypeError: no ******** (src/api/store.js:7:3) (log: {service.log}); critical: 1 of 1 requests not ok"
    assert words in check(**refused)["msg"]
    assert "TypeError" not in check(**{**refused, "url": web.base + "/bad"})["msg"]


def test_it_waits_for_readiness(check, web):
    answers = iter([503] * 3 + [200] * 9)
    web.answers["/health"] = lambda handler, _body: handler.send(next(answers), "")
    assert check(url=web.base + "/health", wait_for=HANG, successes=2)["status"] == "normal"


def test_headers_and_release(check, web):
    web.answers["/who"] = lambda handler, _body: handler.send(200, f'{{"release": "r7", "o": "{handler.headers["Origin"]}"}}')
    result = check(
        headers={"Origin": "https://a.example"},
        release="r7",
        checks=[{"url": web.base + "/who", "json": ["release == '{release}'", "o == 'https://a.example'"]}],
    )
    assert result["status"] == "normal", result


@pytest.mark.parametrize(
    "options, words",
    [
        (
            {},
            "health check: expected a url or some checks, and 1 or more requests and successes, found 0 checks, 1 requests and "
            "1 successes.",
        ),
        ({"url": "http://127.0.0.1:1/", "requests": 0}, "1 checks, 0 requests and"),
        ({"url": "http://127.0.0.1:1/", "successes": 0}, "and 0 successes"),
        ({"url": "127.0.0.1"}, "expected a url with http:// or https://, found '127.0.0.1'"),
        ({"url": "http://127.0.0.1:1/", "thresholds": {"speed": [1, 2]}}, "thresholds: expected some of"),
        ({"checks": [{"url": "http://127.0.0.1:1/", "json": ["a ="]}]}, "expected a JMESPath expression"),
    ],
)
def test_bad_input_sends_nothing(check, options, words):
    assert words in check(**options)["msg"]


def test_secret_headers_are_sent_and_not_shown(run_module, web):
    web.answers["/health"] = lambda handler, _body: handler.send(500, " ".join(handler.headers[name] for name in "ABC"))
    result = run_module(
        health_check,
        {
            "checks": [{"url": web.base + "/health", "headers": {"C": "plain"}, "secret_headers": {"B": "sekret-of-one"}}],
            "headers": {"A": "shown", "C": "every"},
            "secret_headers": {"A": "sekret-of-all", "B": "other"},
        },
    )
    sent = web.seen[-1][2]
    assert (sent["A"], sent["B"], sent["C"]) == ("sekret-of-all", "sekret-of-one", "plain")
    assert "sekret" not in str(result) and result["results"][0]["evidence"].endswith("plain")
    shown = result.get("invocation", {}).get("module_args", {}).get("headers")  # ansible-core 2.21 tells it only when asked
    assert shown in (None, {"A": "shown", "C": "every"})


def test_secrets_of_the_application_are_not_quoted(check, web, host, secret):
    web.answers["/bad"] = (500, f"the key is {secret}")
    assert secret in str(check(url=web.base + "/bad"))
    result = check(url=web.base + "/bad", root=host.root)
    assert result["failed"] and secret not in str(result) and "the key is ********" in result["results"][0]["evidence"]


def test_each_endpoint_has_its_counts_figures_and_evidence(check, web):
    answers = iter([(200, "")] * 6 + [(503, "too busy")] * 4)
    web.answers["/some"] = lambda handler, _body: handler.send(*next(answers))
    result = check(
        requests=10,
        fail_on="never",
        checks=[
            {"name": "good", "url": web.base + "/health"},
            {"name": "some", "url": web.base + "/some"},
            {"name": "none", "url": f"http://{'x' * 70}.example/"},
        ],
    )
    good, some, none = result["endpoints"]
    assert [one["check"] for one in result["endpoints"]] == ["good", "some", "none"]
    assert (good["status"], good["requests"], good["evidence"]) == ("normal", 10, [])
    assert good["outcomes"] == {"ok": 10, "slow": 0, "failed": 0, "error": 0} and good["error_rate_pct"] == 0.0
    assert 0 < good["p50_ms"] <= good["p95_ms"] <= good["p99_ms"] <= good["max_ms"]
    assert (some["status"], some["error_rate_pct"], some["outcomes"]["failed"], len(some["evidence"])) == ("critical", 40.0, 4, 3)
    for one in some["evidence"]:
        assert one["ms"] > 0
        assert {**one, "ms": 0} == {
            "outcome": "failed",
            "kind": "status",
            "status": 503,
            "evidence": "too busy",
            "ms": 0,
            "error": "status 503 instead of 200",
        }
    assert (none["status"], none["outcomes"]["error"], none["error_rate_pct"], none["p50_ms"]) == ("unknown", 10, None, None)


@pytest.mark.parametrize("days, status", [(90, "normal"), (20.5, "warning"), (6.5, "critical")])
def test_a_certificate_that_ends_soon_is_told_before_it_fails(check, secure, authority, days, status):
    url = secure(authority.certificate("127.0.0.1", days)).base + "/health"
    result = check(checks=[{"url": url, "ca": authority.ca}])
    assert (result["status"], result["endpoints"][0]["status"], result["error_rate_pct"]) == (status, status, 0.0)
    assert result["results"][0]["outcome"] == "ok" and days - 0.5 <= result["endpoints"][0]["certificate_days"] <= days
    assert bool(result.get("failed")) is (status == "critical")
    assert status != "critical" or "6.5 days left of a certificate" in result["msg"] or "6.4 days left" in result["msg"]
    assert check(checks=[{"url": url, "ca": authority.ca}], thresholds={"certificate_days": [2, 1]})["status"] == "normal"


def test_waiting_that_ends_too_late_is_a_failure_even_when_the_last_answer_is_right(check, web):
    web.answers["/flaps"] = lambda handler, _body: handler.send(200 if len(web.seen) % 2 else 503, "")
    options = {"url": web.base + "/flaps", "wait_for": 1, "successes": 2}
    result = check(**options)
    assert result["failed"] and result["ready"] is False
    assert "health check: expected all checks to pass 2 times in a row, found not healthy within 1 s" in result["msg"]
    assert check(**options, fail_on="never")["ready"] is False
    assert check(**{**options, "successes": 1, "wait_for": HANG})["ready"] is True


def test_not_ready_in_time_is_told_without_asking_once_more(check, web):
    web.answers["/health"] = lambda handler, _body: handler.server.ending.wait()
    result = check(url=web.base + "/health", wait_for=0.5, requests=3)
    assert result["failed"] and result["ready"] is False and [one["kind"] for one in result["results"]] == ["timeout"]
    assert len(web.seen) <= 1


@pytest.mark.parametrize("ill, status", [({"url": "http://no-such-host.invalid/"}, "unknown"), ({"url": "{}/bad"}, "critical")])
def test_one_bad_endpoint_among_many_counts(check, web, ill, status):
    """Its requests alone would not make the rate of all of them critical."""
    web.answers["/bad"] = (500, "no")
    good = [{"url": web.base + "/health", "name": f"good {number}"} for number in range(25)]
    result = check(checks=[*good, {"name": "ill", "url": ill["url"].format(web.base)}])
    assert (result["failed"], result["status"]) == (True, status) and result["error_rate_pct"] < 5
    assert f"found {status} of ill: 1 of 26 requests not ok" in result["msg"]


def test_no_part_of_a_secret_of_the_application_is_quoted(check, web, host, secret):
    web.answers["/bad"] = (500, "a" * 190 + secret)
    result = check(url=web.base + "/bad", root=host.root)
    assert result["results"][0]["evidence"] == "a" * 190 + "********" and secret[:6] not in str(result)


def test_waiting_takes_as_many_rounds_in_a_row_as_asked_for(check, web):
    answers = iter([200, 200, 503, 200, 200, 200, 200])
    web.answers["/health"] = lambda handler, _body: handler.send(next(answers), "")
    assert check(url=web.base + "/health", wait_for=HANG, successes=3)["ready"] is True
    assert len(web.seen) == 7  # the seventh is the round that is judged


def test_credentials_are_not_shown(check, web):
    web.answers["/who"] = lambda handler, _body: handler.send(500, handler.headers["Authorization"])
    result = check(
        checks=[
            {"url": web.base + "/who?basic", "username": "ada", "password": "pass-sekret"},
            {"url": web.base + "/who?bearer", "token": "tok-sekret"},
        ]
    )
    sent = {path: headers["Authorization"] for _method, path, headers in web.seen}  # both at once: either may be the first
    assert sent == {"/who?basic": "Basic YWRhOnBhc3Mtc2VrcmV0", "/who?bearer": "Bearer tok-sekret"}
    assert result["failed"] and "sekret" not in str(result) and "YWRhOnBhc3Mtc2VrcmV0" not in str(result)
