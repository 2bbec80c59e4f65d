# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters health_page and rebase."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter import health_page, rebase


def endpoint(name, status="normal", days=None, errors=()):
    return {
        "check": name,
        "requests": 5,
        "status": status,
        "error_rate_pct": 20.0 * len(errors),
        "p50_ms": 3.5,
        "p95_ms": 9,
        "p99_ms": 9,
        "max_ms": 10.25,
        "certificate_days": days,
        "outcomes": {"ok": 5 - len(errors), "slow": 0, "failed": len(errors), "error": 0},
        "evidence": [{"error": error} for error in errors],
    }


def result(*endpoints, status="normal"):
    return {"status": status, "endpoints": list(endpoints)}


def test_all_is_well():
    found = health_page.health_page(result(endpoint("health"), endpoint("client")), {"skipped": True})
    assert (found["well"], found["message"], found["faulty"]) == (True, "all 2 endpoints are well.", [])
    lines = found["page"].splitlines()
    assert lines[0].split()[:3] == ["endpoint", "from", "status"] and len(lines) == 3
    assert lines[1].split() == ["health", "the", "instance", "normal", "5", "0", "%", "3.5", "ms", "9", "ms", "10.25", "ms", "-"]


def test_the_worst_endpoint_is_told_and_all_are_named():
    found = health_page.health_page(
        result(endpoint("health", "warning", errors=["slow"]), endpoint("client"), status="warning"),
        result(
            endpoint("health", "critical", 3.5), endpoint("client", "critical", 50, ["status 502 instead of 200"] * 2), status="critical"
        ),
    )
    assert found["well"] is False and found["faulty"] == ["health", "client"]
    assert found["message"] == "health from outside is critical (p95 9 ms, certificate 3.5 days), and 2 more, of 4 endpoints."
    assert "client    outside       critical  5         40 %" in found["page"]
    assert found["page"].splitlines()[-1].endswith("50 days      2 of 5: status 502 instead of 200")


def test_a_warning_is_told_and_is_well():
    found = health_page.health_page(result(endpoint("a", "warning", 14.5), endpoint("b", errors=["once"]), status="warning"))
    assert (found["well"], found["faulty"]) == (True, ["a"])
    assert found["message"] == "a from the instance is warning (p95 9 ms, certificate 14.5 days), of 2 endpoints."
    assert "1 of 5: once" in found["page"]


def test_what_could_not_be_measured_has_no_figures():
    none = {**endpoint("a", "unknown", errors=["no name"]), "error_rate_pct": None, "p50_ms": None, "p95_ms": None, "max_ms": None}
    found = health_page.health_page(result(none, status="unknown"))
    assert found["well"] is False and found["message"] == "a from the instance is unknown (1 of 5: no name), of 1 endpoints."
    assert health_page.FilterModule().filters()["health_page"] is health_page.health_page


@pytest.mark.parametrize(
    "url, expected",
    [
        ("http://127.0.0.1:5001/health", ["https://a.example/x/health"]),
        ("http://127.0.0.1:5001", ["https://a.example/x"]),
        ("http://127.0.0.1:5001?a=b", ["https://a.example/x?a=b"]),
        ("http://127.0.0.1:50012/health", []),
        ("https://elsewhere.example/", []),
    ],
)
def test_checks_of_the_service_are_sent_elsewhere(url, expected):
    moved = rebase.rebase([{"name": "n", "url": url, "timeout": 3}], "http://127.0.0.1:5001/", "https://a.example/x/")
    assert moved == [{"name": "n", "url": one, "timeout": 3} for one in expected]
    (trusting,) = rebase.rebase([{"url": "http://a/b"}], "http://a", "https://a", "ca.pem")
    assert trusting == {"url": "https://a/b", "ca": "ca.pem"}
    assert rebase.rebase([{"url": "http://a", "ca": "own.pem"}], "http://a", "https://a", "ca.pem")[0]["ca"] == "own.pem"
    assert rebase.FilterModule().filters()["rebase"] is rebase.rebase
