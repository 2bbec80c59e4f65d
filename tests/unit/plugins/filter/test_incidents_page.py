# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of the incidents of all hosts."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.incidents_page import incidents_page
from ansible_collections.mobius.ops.plugins.filter.status_page import incident_lines


def one(name, severity=2, **change):
    return {
        "id": name,
        "fleet": "",
        "severity": severity,
        "severity_name": "high",
        "status": "open",
        "phase": "initial response",
        "opened": "2026-11-27T12:00:00Z",
        "acknowledged_by": "",
        "overdue": [],
        "again": 0,
        "title": "Renders\nfail",
        "next": {"name": "response", "due": "2026-11-27T13:00:00Z"},
        **change,
    }


def shown(summary):
    return {
        "summary": summary,
        "record": {"path": "/opt/mobius/incidents/INC-1.json"},
        "review": "# Review of INC-1",
        "timeline": ["2026-11-27T12:00:00Z opened by ada"],
        "clocks": [
            {"name": "response", "due": "2026-11-27T13:00:00Z", "met": "", "overdue": True},
            {"name": "report", "due": "2026-11-27T14:00:00Z", "met": "2026-11-27T13:30:00Z", "overdue": False},
        ],
    }


def test_an_incident_of_a_fleet_is_shown_once_with_its_worst_state():
    late = [{"name": "response", "due": "2026-11-27T12:15:00Z", "late_seconds": 2700}]
    found = incidents_page(
        {
            "web1": {"incidents": [one("INC-F", fleet="run", severity=2)]},
            "web2": {"incidents": [one("INC-F", fleet="run", severity=1, overdue=late), one("INC-2", severity=4)]},
        }
    )
    assert found["ids"] == ["INC-F", "INC-2"] and found["outcome"] == "incidents_listed" and found["good"]
    (row,) = [line for line in found["page"].splitlines() if "INC-F" in line]
    assert "web1 and web2" in row and "1 high" in row and "OVERDUE: response 45 min" in row and "Renders fail" in row
    assert found["message"] == "2 incidents, the worst INC-F (severity 1, open): Renders fail; overdue: INC-F."


def test_the_same_id_without_a_fleet_is_two_incidents():
    found = incidents_page({host: {"incidents": [one("INC-1")]} for host in ("web1", "web2")})
    assert found["ids"] == ["INC-1", "INC-1"]


@pytest.mark.parametrize(
    "show, listed, outcome, good",
    [
        ("open", [], "no_incidents", True),
        ("overdue", [], "no_incidents", True),
        ("all", [], "no_incidents", True),
        ("overdue", [one("INC-1")], "overdue", False),
        ("all", [one("INC-1")], "incidents_listed", True),
    ],
)
def test_outcomes_of_lists(show, listed, outcome, good):
    found = incidents_page({"web1": {"incidents": listed}}, "", show)
    assert (found["outcome"], found["good"]) == (outcome, good) and found["page"].startswith(f"Incidents: {show}\n")


def test_a_host_without_an_answer_is_named_and_the_others_are_shown():
    found = incidents_page({"web1": {"incidents": [one("INC-1")]}, "web2": {"msg": "root: no such host."}, "web3": {}})
    assert (found["outcome"], found["good"], found["ids"]) == ("not_read", False, ["INC-1"])
    assert found["message"].startswith("web2: root: no such host. web3: it gave no answer. 1 incident, the worst INC-1")


def test_one_in_full_and_its_review():
    results = {"web1": {"incidents": [], "incident": shown(one("INC-1"))}, "web2": {"incidents": [], "incident": None}}
    found = incidents_page(results, "INC-1", "open", True)
    assert (found["outcome"], found["hosts"], found["problem"]) == ("incident_shown", ["web1"], "")
    for words in (
        "Incident INC-1",
        "response  2026-11-27T13:00:00Z  OVERDUE",
        "report    2026-11-27T14:00:00Z  2026-11-27T13:30:00Z",
        "  2026-11-27T12:00:00Z opened by ada",
        "Evidence: /opt/mobius/incidents/INC-1.md",
        "# Review of INC-1",
    ):
        assert words in found["page"], found["page"]
    assert "# Review" not in incidents_page(results, "INC-1")["page"]


@pytest.mark.parametrize(
    "results, name, words",
    [
        ({"web1": {"incidents": [], "incident": None}}, "INC-9", "INC-9: no host of this run has such an incident."),
        ({"web1": {"incidents": []}}, "", "mobius_incident: none was given."),
        (
            {host: {"incidents": [], "incident": shown(one("INC-1"))} for host in ("web1", "web2")},
            "INC-1",
            "INC-1: this is not the same incident on web1 and web2. Give -l with one of them.",
        ),
    ],
)
def test_why_one_cannot_be_changed(results, name, words):
    found = incidents_page(results, name)
    assert found["problem"].startswith(words) and (not name or (found["outcome"], found["good"]) == ("not_found", False))


def test_a_host_that_gave_no_answer_is_why_nothing_is_changed():
    results = {"web1": {"msg": "root /x: expected a host that was set up."}, "web2": {"incidents": [], "incident": None}}
    found = incidents_page(results, "INC-1")
    assert found["problem"] == found["message"] == "web1: root /x: expected a host that was set up." and found["outcome"] == "not_read"


def test_a_damaged_record_is_on_the_page():
    found = incidents_page({"web1": {"incidents": [], "findings": ["/x/INC-1.json: expected an incident."]}})
    assert "Damaged: web1: /x/INC-1.json" in found["page"] and "/x/INC-1.json" in found["message"]


def test_the_status_shows_open_incidents():
    assert incident_lines(None) == [] and incident_lines({"incidents": []}) == ["Open incidents: none"]
    lines = incident_lines({"incidents": [one("INC-1", status="acknowledged")], "findings": ["x: damaged."]})
    assert lines[0] == "Damaged: x: damaged." and "response by 2026-11-27T13:00:00Z" in lines[-1] and "acknowledged" in lines[-1]
    assert "  root: no such host." in incident_lines({"msg": "root: no such host."})
