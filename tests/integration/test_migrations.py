"""A release that brings a migration of the data, and what becomes of it when the release is bad."""
from __future__ import annotations

import sqlite3

import pytest

UP, DOWN = ["node", "src/migrate.js", "up"], ["node", "src/migrate.js", "down"]
REVERSIBLE = {"mobius_migration": "reversible", "mobius_migration_up": UP, "mobius_migration_down": DOWN}


@pytest.fixture(scope="module")
def ready(site):
    """A site with v1 live."""
    return site.deployed("v1")


def columns(site):
    with sqlite3.connect(f"file:{site.root}/shared/data/mobius.db?mode=ro", uri=True) as base:
        return [row[1] for row in base.execute("PRAGMA table_info(uploads)")]


def whats(site):
    return [event["what"] for event in site.history()]


def test_a_command_without_its_kind_is_refused_and_nothing_is_switched(ready, says):
    good = ready.live()
    result = ready.deploy("v2", mobius_migration_up=UP)
    assert result.status == 2 and says(result, "mobius_migration: expected reversible or forward_only"), result.output
    assert ready.live() == good and "note" not in columns(ready)


def test_a_release_that_turns_bad_is_taken_back_with_its_migration(ready):
    good = ready.live()
    result = ready.deploy("bad", fault={"kind": "health", "after": 6}, mobius_watch_duration="40", **REVERSIBLE)
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    assert ready.live() == good and ready.client().health()["release"] == good
    assert "note" not in columns(ready) and whats(ready).index("migrated") < whats(ready).index("migration_undone")


def test_a_release_that_never_becomes_ready_too(ready):
    result = ready.deploy("crash", fault={"kind": "crash", "after": 0}, **REVERSIBLE)
    assert (result.status, result.outcome) == (2, "failed"), result.output
    assert "note" not in columns(ready) and whats(ready).count("migration_undone") == 2


def test_a_good_one_stays_and_goes_with_a_rollback(ready):
    result = ready.deploy("v3", **REVERSIBLE)
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert "note" in columns(ready) and ready.record(ready.live())["migrated"]["state"] == "done"
    again = ready.deploy("v3", **REVERSIBLE)
    assert (again.outcome, again.changed()) == ("unchanged", 0), again.output
    assert ready.play("rollback").outcome == "rolled_back" and "note" not in columns(ready)


def test_data_from_before_it_is_migrated_again_by_the_next_deploy(ready, says):
    before = ready.play("backup").stats["mobius_backup"]
    assert ready.deploy("v5", **REVERSIBLE).outcome == "deployed" and "note" in columns(ready)
    result = ready.play("restore", mobius_backup=before, mobius_components="database")
    assert result.outcome == "restored" and says(result, "live on data from before its migration: deploy it again"), result.output
    assert "note" not in columns(ready) and ready.record(ready.live())["migrated"]["state"] == "undone"
    again = ready.deploy("v5", **REVERSIBLE)
    assert again.outcome == "deployed" and "note" in columns(ready), again.output
    result = ready.play("rollback", mobius_backup=before, mobius_rollback_data=True, mobius_components="uploads")
    assert result.outcome == "rolled_back" and "note" not in columns(ready), "the database was not restored, so it was undone"


def test_a_forward_only_one_that_turns_bad_is_left_to_a_person(ready, says):
    result = ready.deploy("v4", fault={"kind": "health", "after": 6}, mobius_watch_duration="40", mobius_migration="forward_only",
                          mobius_migration_up=UP)
    assert (result.status, result.outcome) == (2, "frozen"), result.output
    assert ready.live().startswith("v4") and "note" in columns(ready) and ready.incidents()[-1]["severity"] == 1
