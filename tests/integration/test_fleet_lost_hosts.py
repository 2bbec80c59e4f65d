"""Three hosts in one run, some of which do not answer or fail: nothing is kept from them that the others can have."""

from __future__ import annotations

import pytest
from support.fleet import NAMES
from support.waiting import when

pytestmark = pytest.mark.xdist_group("fleet_lost_hosts")


def test_a_host_that_is_lost_before_the_switch_stops_the_deploy(fleet, good):
    with when(lambda: fleet.locked("second"), lambda: fleet.cut("second")):
        result = fleet.deploy("v4")
    assert result.status != 0 and result.outcome == "failed", result.output
    assert fleet.back() and [fleet.switched_to(name, "v4") for name in NAMES] == [0, 0, 0]
    (incident,) = fleet.incidents()
    assert incident["evidence"]["not_reached"] == ["second"] and "second" in incident["summary"]
    fleet.mend()
    result = fleet.deploy("v4")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert fleet.versions() == ["v4"] * 3 and fleet.locks() == [False] * 3


def test_a_host_that_is_lost_after_its_switch_is_named_and_put_right_when_it_is_back(fleet, good):
    """All of them have an earlier release to go back to; which one is not the same on each."""
    assert fleet.deploy("v10").outcome == "deployed"
    (live,), second = fleet.live(), fleet.sites["second"]
    assert live != good
    with when(lambda: second.live().startswith("v5"), lambda: fleet.cut("second")):
        result = fleet.deploy("v5")
    assert result.status != 0 and result.outcome in ("failed", "rolled_back"), result.output
    assert fleet.versions() == ["v10", "v5", "v10"]
    (incident,) = fleet.incidents()
    assert incident["evidence"]["not_reached"] == ["second"] and "second" in incident["summary"]
    fleet.mend()
    refused = fleet.play("rollback")
    assert refused.status == 2 and "different releases" in refused.output, refused.output
    assert fleet.play("rollback", mobius_release_id=live).outcome == "rolled_back"
    assert fleet.versions() == ["v10"] * 3 and fleet.live() == {live}
    result = fleet.deploy("v5")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert fleet.versions() == ["v5"] * 3 and fleet.locks() == [False] * 3


def test_a_host_that_does_not_answer_keeps_nobody_from_going_back(fleet, good):
    assert fleet.deploy("v7").outcome == "deployed"
    fleet.cut("second")
    result = fleet.play("rollback")
    assert (result.status, result.outcome) == (2, "incomplete"), result.output
    assert "Not reached: second." in result.stats["mobius_message"]
    assert fleet.versions() == ["v1", "v7", "v1"] and fleet.locks() == [False] * 3
    (incident,) = fleet.incidents()
    assert (incident["severity"], incident["evidence"]["not_reached"]) == (2, ["second"])
    fleet.mend()
    assert result.stats["mobius_release"] == good
    again = fleet.play("rollback", mobius_release_id=good)
    assert (again.status, again.outcome) == (0, "rolled_back") and fleet.live() == {good}, again.output


def test_when_nobody_answers_that_is_said(fleet, good):
    for name in NAMES:
        fleet.cut(name)
    result = fleet.play("rollback")
    fleet.mend()
    assert result.status != 0 and "found none of first, second, third" in " ".join(result.output.split()), result.output
    assert fleet.live() == {good}


def test_a_rollback_that_fails_on_one_host_is_no_good_one_on_the_others(fleet, good):
    assert fleet.deploy("v9").outcome == "deployed"
    fault = fleet.sites["third"].root / "releases" / good / "fault.json"
    fault.write_text('{"kind": "crash"}')
    result = fleet.play("rollback")
    fault.unlink()
    assert (result.status, result.outcome) == (2, "failed"), result.output
    (incident,) = fleet.incidents()
    assert incident["severity"] == 1 and list(incident["evidence"]["hosts"]) == ["third"] and incident in fleet.sites["third"].incidents()
    said = " ".join(result.output.split())
    assert said.count("The rollback failed on third, so it was not smoke-tested here.") >= 2 and "ROLLED_BACK" not in said, result.output
    assert [fleet.sites[name].client().health()["version"] for name in NAMES[:2]] == ["v1", "v1"]  # nothing answers on the third
    assert fleet.live() == {good} and fleet.locks() == [False] * 3
    assert fleet.play("restart").outcome == "restarted" and fleet.back()
