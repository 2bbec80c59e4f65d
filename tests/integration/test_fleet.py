"""Three hosts in one run: they are switched one after the other, and there is one decision for all of them."""

from __future__ import annotations

import os

import pytest
from support.fleet import NAMES
from support.waiting import when

pytestmark = pytest.mark.xdist_group("fleet")


def test_all_serve_it(fleet, good):
    assert fleet.live() == {good} and fleet.versions() == ["v1"] * 3 and fleet.locks() == [False] * 3
    assert fleet.incidents() == []


def test_a_host_that_fails_stops_the_next_and_sends_the_ones_before_back(fleet, good):
    """The second host's data folder is gone: its new release cannot be well."""
    second = fleet.sites["second"]
    fleet.take_data(second)
    result = fleet.deploy("v2", mobius_components="config,logs")
    fleet.restore_data(second)
    assert result.status == 2 and result.outcome in ("failed", "rolled_back"), result.output
    assert fleet.live() == {good} and fleet.locks() == [False] * 3
    assert [fleet.switched_to(name, "v2") for name in NAMES] == [1, 1, 0], result.output
    (incident,) = fleet.incidents()
    assert incident in second.incidents() and list(incident["evidence"]["hosts"]) == ["second"]
    assert fleet.play("restart").outcome == "restarted"
    assert fleet.back()


def test_a_watch_that_goes_back_on_one_host_sends_all_back(fleet, good):
    third = fleet.sites["third"]
    with third.spoiled(kind="health"):
        result = fleet.deploy("v3", **third.guarded)
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    for name in NAMES[:2]:
        [*_before, watch] = [event for event in fleet.sites[name].history() if event["what"] == "watch"]
        assert watch["verdict"] == "inconclusive", "nobody waited for the other hosts' watches to end"
    assert fleet.back() and fleet.locks() == [False] * 3
    (incident,) = fleet.incidents()
    assert incident in third.incidents()


def test_a_host_that_missed_a_deploy_gets_it_from_the_same_command(fleet, good):
    """Two hosts serve the release already; the third went another way."""
    assert fleet.deploy("v6").outcome == "deployed"
    (live,) = fleet.live()
    third = fleet.sites["third"]
    others = [site.service()["pid"] for site in list(fleet.sites.values())[:2]]
    assert third.play("rollback").outcome == "rolled_back"
    assert fleet.live() == {good, live}
    with when(lambda: fleet.locks() == [True] * 3, lambda: None):  # also those that have it: nobody else changes them meanwhile
        result = fleet.deploy("v6")
    assert result.outcome == "deployed", result.output
    assert fleet.live() == {live} and fleet.versions() == ["v6"] * 3
    assert [site.service()["pid"] for site in list(fleet.sites.values())[:2]] == others


def test_what_became_of_it_is_a_table(fleet, good, monkeypatch, tmp_path):
    monkeypatch.setenv("MOBIUS_TEST_OUTPUT", "mobius.ops.steps")
    monkeypatch.setenv("MOBIUS_LOG_FOLDER", str(tmp_path))
    result = fleet.play("status")
    words = [line.split() for line in result.output.splitlines()]
    assert ["Look"] in words and all([name, "✓"] in words for name in NAMES), result.output
    assert words[-1][0] == "WELL:"


def test_watches_that_nobody_could_follow_at_the_same_time_are_refused_before_the_build(fleet, good, tmp_path):
    source, built = fleet.sites["first"].source("v6-unbuilt"), tmp_path / "built"
    (source / "src" / "api" / f"only-here-{os.urandom(8).hex()}.js").write_text("// bits that no earlier run has built\n")
    what = {"mobius_release_source": str(source), "mobius_version": "v6", "mobius_build_command": ["touch", str(built)]}
    for playbook, extra in (("monitor", {}), ("deploy", what)):
        result = fleet.play(playbook, "--forks", "2", **extra)
        assert result.status == 2 and "forks: expected as many as hosts (3), found 2" in " ".join(result.output.split()), result.output
    assert fleet.live() == {good} and fleet.locks() == [False] * 3 and not built.exists()


def test_a_migration_stays_under_the_hosts_that_serve_it_when_another_one_fails_to_get_it(fleet, good, says, tmp_path):
    """Two hosts serve the new release; the third, which missed it, fails its start, and then gets it."""
    log = tmp_path / "migrations"
    migration = {
        "mobius_migration": "reversible",
        "mobius_migration_up": ["sh", "-c", f"echo up >> {log}"],
        "mobius_migration_down": ["sh", "-c", f"echo down >> {log}"],
    }
    assert fleet.deploy("v8", **migration).outcome == "deployed" and log.read_text() == "up\n"
    third = fleet.sites["third"]
    assert third.play("rollback").outcome == "rolled_back" and log.read_text() == "up\n"
    fleet.take_data(third)
    result = fleet.deploy("v8", mobius_components="config,logs", **migration)
    fleet.restore_data(third)
    assert result.status == 2 and log.read_text() == "up\n", result.output
    assert [fleet.sites[name].client().health()["version"] for name in NAMES[:2]] == ["v8", "v8"] and third.live() == good
    mixed = (
        "serves on first, second and not on third, and its migration was not undone. Mend the cause and run the same deploy again, "
        f"or send all to one release with mobius.ops.rollback -e mobius_release_id={good}."
    )
    assert says(result, mixed) and says(result, "nothing was changed. The fleet is mixed: release"), result.output
    (incident,) = fleet.incidents()
    assert incident in third.incidents() and mixed in incident["summary"] and incident["evidence"]["served_it_before"] == list(NAMES[:2])
    assert third.play("restart").outcome == "restarted"
    again = fleet.deploy("v8", **migration)
    assert again.outcome == "deployed" and fleet.versions() == ["v8"] * 3 and log.read_text() == "up\n", again.output
