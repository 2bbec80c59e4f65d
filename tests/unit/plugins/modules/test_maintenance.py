# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module: what it passes on, and what it returns."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.modules import maintenance


@pytest.fixture
def maintain(host, run_module):
    def run(check=False, request=None, **options):
        request = {"cadence": "quarterly", "env": "test", "steps": ["training", "cost"], **(request or {})}
        return run_module(maintenance, {"root": host.root, "request": request, **options}, check=check)

    return run


def test_the_steps_are_taken_and_the_page_is_written(maintain):
    result = maintain()
    assert (result["changed"], result["well"], result["incidents"], result["message"]) == (
        True,
        True,
        [],
        "Quarterly maintenance: 2 of 2 steps done.",
    )
    assert [(step["name"], step["status"]) for step in result["steps"]] == [("cost", "done"), ("training", "done")]
    assert os.path.getsize(result["page"]) > 1000


def test_checks_and_secret_headers_come_from_options_of_their_own(maintain, web):
    web.answers["/health"] = (200, "{}")
    result = maintain(
        request={"steps": ["benchmark"], "benchmark_requests": 1},
        checks=[{"url": f"{web.base}/health"}],
        secret_headers={"X-Key": "zeKr1t"},
    )
    assert result["steps"][0]["status"] == "done" and [headers["X-Key"] for _method, _path, headers in web.seen] == ["zeKr1t"]
    assert "zeKr1t" not in repr(result)


def test_check_mode_writes_nothing(maintain, host):
    before = sorted(os.listdir(host.layout.state))
    result = maintain(check=True)
    assert not result["changed"] and {step["status"] for step in result["steps"]} == {"planned"}
    assert sorted(os.listdir(host.layout.state)) == before and os.listdir(host.layout.reports) == []


@pytest.mark.parametrize(
    "request_of, sentence",
    [
        ({"cadence": "daily"}, "cadence: expected weekly or monthly or quarterly, found 'daily'. Correct mobius_cadence."),
        ({"speed": 1}, "maintenance: speed: expected one of cadence, env"),
        ({"summary_to": ["cto"]}, "messages: this host has no contacts. Set mobius_contacts"),
        ({"steps": ["backup"]}, "steps of quarterly: expected some of full_restore"),
    ],
)
def test_a_wrong_request_is_refused(maintain, request_of, sentence):
    result = maintain(request=request_of)
    assert result["failed"] and sentence in result["msg"]
