"""A release that brings a migration of the data, and what becomes of it when the release is bad."""

from __future__ import annotations

import sqlite3

UP, DOWN = ["node", "src/migrate.js", "up"], ["node", "src/migrate.js", "down"]
REVERSIBLE = {"mobius_migration": "reversible", "mobius_migration_up": UP, "mobius_migration_down": DOWN}


def columns(site):
    with sqlite3.connect(f"file:{site.root}/shared/data/mobius.db?mode=ro", uri=True) as base:
        return [row[1] for row in base.execute("PRAGMA table_info(uploads)")]


def whats(site):
    return [event["what"] for event in site.history()]


def test_a_bad_release_is_taken_back_with_its_migration(served, says):
    """Refused, because its kind is not said; taken back by its watch; not ready in the first place."""
    good = served.live()
    result = served.deploy("v2", mobius_migration_up=UP)
    assert result.status == 2 and says(result, "mobius_migration: expected reversible or forward_only"), result.output
    assert served.live() == good and "note" not in columns(served)

    with served.spoiled(kind="health"):
        result = served.deploy("bad", **served.guarded, **REVERSIBLE)
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    assert served.live() == good and served.client().health()["release"] == good
    assert "note" not in columns(served) and whats(served).index("migrated") < whats(served).index("migration_undone")

    result = served.deploy("crash", fault={"kind": "crash", "after": 0}, **REVERSIBLE)
    assert (result.status, result.outcome) == (2, "failed"), result.output
    assert "note" not in columns(served) and whats(served).count("migration_undone") == 2


def test_a_good_one_stays_and_goes_with_a_rollback(served):
    result = served.deploy("v3", **REVERSIBLE)
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert "note" in columns(served) and served.record(served.live())["migrated"]["state"] == "done"
    again = served.deploy("v3", **REVERSIBLE)
    assert (again.outcome, again.changed()) == ("unchanged", 0), again.output
    assert served.play("rollback").outcome == "rolled_back" and "note" not in columns(served)


def test_data_from_before_it_is_migrated_again_by_the_next_deploy(served, says):
    before = served.play("backup").stats["mobius_backup"]
    assert served.deploy("v5", **REVERSIBLE).outcome == "deployed" and "note" in columns(served)
    result = served.play("restore", mobius_backup=before, mobius_components="database")
    assert result.outcome == "restored" and says(result, "live on data from before its migration: deploy it again"), result.output
    assert "note" not in columns(served) and served.record(served.live())["migrated"]["state"] == "undone"
    again = served.deploy("v5", **REVERSIBLE)
    assert again.outcome == "deployed" and "note" in columns(served), again.output
    result = served.play("rollback", mobius_backup=before, mobius_rollback_data=True, mobius_components="uploads")
    assert result.outcome == "rolled_back" and "note" not in columns(served), "the database was not restored, so it was undone"


def test_a_forward_only_one_that_turns_bad_is_left_to_a_person(served):
    with served.spoiled(kind="health"):
        result = served.deploy("v4", mobius_migration="forward_only", mobius_migration_up=UP, **served.guarded)
    assert (result.status, result.outcome) == (2, "frozen"), result.output
    assert served.live().startswith("v4") and "note" in columns(served) and served.incidents()[-1]["severity"] == 1
