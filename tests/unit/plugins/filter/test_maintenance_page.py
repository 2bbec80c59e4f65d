# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run of maintenance as a page of text."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.maintenance_page import OUTCOMES, FilterModule, maintenance_page


def step(name, status, **more):
    return {
        "name": name,
        "title": name.capitalize(),
        "status": status,
        "text": f"It is {status}.",
        "evidence": [],
        "trend": "",
        "causes": [],
        **more,
    }


def result(*steps, page="/p.html"):
    return {"steps": list(steps), "message": "Weekly maintenance.", "page": page}


@pytest.mark.parametrize(
    "statuses, outcome, good",
    [
        (["done"], "all_done", True),
        (["done", "attention"], "attention_needed", True),
        (["attention", "failed"], "steps_failed", False),
        (["planned"], "planned", True),
    ],
)
def test_the_worst_step_is_the_outcome(statuses, outcome, good):
    found = maintenance_page(result(*(step(status, status) for status in statuses)))
    assert (found["outcome"], found["good"]) == (outcome, good) and outcome in OUTCOMES
    assert found["message"] == "Weekly maintenance. Page: /p.html."
    assert found["attention"] == [status for status in statuses if status in ("attention", "failed")]


def test_evidence_is_shown_of_what_is_not_done():
    lines = [f"line {number}" for number in range(8)]
    cause = {"name": "log_not_rotated", "incident": "INC-20261127-1"}
    page = maintenance_page(
        result(
            step("a", "done", evidence=["hidden"]),
            step("b", "attention", evidence=lines, trend="Since then: 1 -> 2.", causes=[cause]),
            page="",
        )
    )["page"]
    assert "hidden" not in page and "saw: line 5" in page and "line 6" not in page and "and 2 more on the page" in page
    assert "ATTENTION  B" in page and "Since then: 1 -> 2." in page and "INC-20261127-1: log not rotated" in page


def test_who_got_the_summary_is_said():
    found = maintenance_page({**result(step("a", "done")), "summary_sent": ["room", "mail"]})
    assert found["message"] == "Weekly maintenance. Page: /p.html. The summary was sent through room, mail."


def test_a_refused_request_is_said():
    found = maintenance_page({"failed": True, "msg": "cadence: expected weekly."})
    assert (found["outcome"], found["good"], found["message"], found["attention"]) == ("not_run", False, "cadence: expected weekly.", [])
    assert maintenance_page({})["message"] == "Maintenance could not be run."


def test_it_is_a_filter():
    assert FilterModule().filters() == {"maintenance_page": maintenance_page}
