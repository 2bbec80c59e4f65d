# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module release_migration, and who undoes what it did."""

from __future__ import annotations

import sys

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, migration, ways
from ansible_collections.mobius.ops.plugins.module_utils._target import releases, restore_journal, switch_journal
from ansible_collections.mobius.ops.plugins.modules import release_migration

#: Writes down that it ran, where, and what it was told by the environment.
LOG = """
import os, sys
with open("../../shared/data/log", "a") as log:
    print(sys.argv[1], os.path.basename(os.getcwd()), os.environ["TOKEN"], file=log)
"""
UP, DOWN = [sys.executable, "-c", LOG, "up"], [sys.executable, "-c", LOG, "down"]
FAILS = [sys.executable, "-c", "import os; print('no column ' + os.environ['TOKEN']); raise SystemExit(4)"]


@pytest.fixture
def site(host, run_module):
    """A live release r1, a prepared r2, and a service with a secret."""
    with open(host.layout.env_file, "w") as stream:
        stream.write("TOKEN=very-secret\n")
    host.live("r1")
    host.service()
    host.release("r2")

    def migrate(check=False, **options):
        given = {"root": host.root, "release_id": "r2", "kind": "reversible", "command": UP, "down_command": DOWN, **options}
        return run_module(release_migration, given, check)

    host.migrate = migrate
    return host


def ran(host):
    try:
        with open(host.layout.component("database") + "/log") as stream:
            return stream.read().split("\n")[:-1]
    except FileNotFoundError:
        return []


def whats(host):
    return [event["what"] for event in host.history()]


def test_it_runs_once_in_the_release_with_the_services_environment(site):
    first = site.migrate()
    assert first["changed"] and first["migrated"]["state"] == "done" and first["migrated"]["down"] == DOWN
    assert not site.migrate()["changed"]
    assert ran(site) == ["up r2 very-secret"] and whats(site).count("migrated") == 1


def test_check_mode_writes_nothing(site, snapshot):
    before = snapshot(site.root)
    assert site.migrate(check=True)["changed"] and snapshot(site.root) == before
    site.migrate()
    before = snapshot(site.root)
    assert not site.migrate(check=True)["changed"] and site.migrate(check=True, state="down")["changed"]
    assert snapshot(site.root) == before


def test_it_is_undone_once(site):
    assert not site.migrate(state="down")["changed"]
    site.migrate()
    assert site.migrate(state="down")["migrated"]["state"] == "undone"
    assert not site.migrate(state="down")["changed"]
    assert ran(site) == ["up r2 very-secret", "down r2 very-secret"] and whats(site)[-1] == "migration_undone"
    assert site.migrate()["changed"], "a release that comes again migrates again"


def test_the_live_release_keeps_its_data(site):
    site.migrate()
    site.store.point("r2")
    assert not site.migrate(state="down")["changed"] and ran(site) == ["up r2 very-secret"]


def test_one_that_fails_is_told_without_secrets_and_undone(site):
    result = site.migrate(command=FAILS)
    assert "migration of release r2" in result["msg"] and "expected exit status 0, found 4 (no column ********)" in result["msg"]
    assert site.store.get("r2")["migrated"]["state"] == "running"
    assert site.migrate(state="down")["changed"] and ran(site) == ["down r2 very-secret"]


def test_one_that_was_cut_short_runs_again(site):
    site.store.save({**site.store.get("r2"), "migrated": {"state": "running", "up": UP, "down": DOWN, "timeout": 5.0}})
    assert site.migrate()["changed"] and ran(site) == ["up r2 very-secret"]


def test_one_that_does_not_end(site):
    result = site.migrate(command=[sys.executable, "-c", "import time; time.sleep(86400)"], timeout=0.3)
    assert "expected an end within 0.3 s" in result["msg"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kind": "none"}, "mobius_migration: expected reversible or forward_only, for there is a command, found none"),
        ({"down_command": []}, "mobius_migration_down: expected a command"),
        ({"command": []}, "mobius_migration_up: expected a command"),
        ({"kind": "forward_only"}, "mobius_migration_down: expected no command"),
        ({"timeout": 0}, "mobius_migration_timeout: expected seconds above 0"),
        ({"release_id": "r9"}, "release r9: expected one of"),
    ],
)
def test_bad_input_runs_nothing(site, options, words):
    result = site.migrate(**options)
    assert words in result["msg"] and ran(site) == []


def test_whether_it_may_have_to_be_undone(site):
    store = releases.ReleaseStore(site.layout)
    assert not migration.may_be_undone(store)
    site.migrate()
    assert migration.may_be_undone(store)
    site.migrate(state="shared", others=["h2"])
    assert migration.may_be_undone(store)  # others may have it no longer
    site.migrate(state="shared", others=[])
    site.migrate(state="down")
    assert not migration.may_be_undone(store)


def test_a_damaged_record_may_have_one(site):
    fs.write_text(site.layout.path("releases", "r1", ".release.json"), "[")
    assert migration.may_be_undone(releases.ReleaseStore(site.layout))


def test_a_forward_only_one(site):
    assert site.migrate(kind="forward_only", down_command=[])["migrated"]["state"] == "done"
    assert not site.migrate(kind="forward_only", down_command=[], state="down")["changed"]


def test_a_rollback_undoes_it_after_the_switch(site):
    site.store.mark("r1", "verified")
    site.migrate()
    site.store.mark("r2", "active")
    site.store.point("r2")
    activation.roll_back(ways.of(site.store, site.service(), [], HANG), "a test")
    assert ran(site) == ["up r2 very-secret", "down r2 very-secret"] and site.store.live() == "r1"


def test_a_failed_activation_undoes_it(site):
    site.serve()
    site.mode("r2", "crash")
    site.migrate()
    with pytest.raises(OpsError, match="Release r1 serves again"):
        activation.activate(ways.of(site.store, site.service(), [], HANG), "r2")
    assert ran(site) == ["up r2 very-secret", "down r2 very-secret"]


def test_when_it_cannot_be_undone_the_old_release_serves_and_that_is_said(site):
    site.store.mark("r1", "verified")
    site.migrate(down_command=FAILS)
    site.store.mark("r2", "active")
    site.store.point("r2")
    with pytest.raises(OpsError, match=r"its migration to be undone; release r1 serves again, found .*no column \*+"):
        activation.roll_back(ways.of(site.store, site.service(), [], HANG), "a test")
    assert site.store.live() == "r1" and site.store.get("r2")["migrated"]["state"] == "undoing"
    assert site.service().status()["status"] == "running"


def test_others_serve_it_so_nothing_runs_here(site, snapshot):
    before = snapshot(site.root)
    for options in ({"state": "shared"}, {}):
        for check in (True, False):
            assert not site.migrate(check, others=["h1"], **options)["changed"]
    assert ran(site) == [] and snapshot(site.root) == before


def test_what_others_use_is_not_undone_until_it_is_good_here_too(site, snapshot):
    site.store.mark("r1", "verified")
    site.migrate()
    before = snapshot(site.root)
    assert site.migrate(True, state="shared", others=["h1"])["changed"] and snapshot(site.root) == before
    assert site.migrate(state="shared", others=["h1"])["migrated"]["others"] == ["h1"]
    assert not site.migrate(state="shared", others=["h1"])["changed"] and not site.migrate(others=["h1"])["changed"]
    site.store.mark("r2", "active")
    site.store.point("r2")
    activation.roll_back(ways.of(site.store, site.service(), [], HANG), "a test")
    assert not site.migrate(state="down")["changed"] and ran(site) == ["up r2 very-secret"]
    site.store.point("r2")
    site.store.mark("r2", "active")
    site.store.mark("r2", "verified")
    activation.roll_back(ways.of(site.store, site.service(), [], HANG), "a test")
    assert ran(site) == ["up r2 very-secret", "down r2 very-secret"]


def test_a_failed_activation_undoes_nothing_under_others(site):
    site.serve()
    site.mode("r2", "crash")
    site.migrate()
    site.migrate(state="shared", others=["h1"])
    with pytest.raises(OpsError, match="Release r1 serves again"):
        activation.activate(ways.of(site.store, site.service(), [], HANG), "r2")
    assert ran(site) == ["up r2 very-secret"] and site.store.get("r2")["migrated"]["state"] == "done"


def test_a_deploy_to_all_hosts_undoes_it_again(site):
    site.migrate()
    site.migrate(state="shared", others=["h1"])
    assert site.migrate()["changed"] and ran(site) == ["up r2 very-secret"]
    assert site.migrate(state="down")["changed"]


def test_one_that_was_undone_from_here_runs_again_and_stays(site):
    site.migrate()
    site.migrate(state="down")
    again = site.migrate(others=["h1"])["migrated"]
    assert (again["state"], again["others"]) == ("done", ["h1"]) and not site.migrate(state="down")["changed"]
    assert ran(site) == ["up r2 very-secret", "down r2 very-secret", "up r2 very-secret"]


@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_migrated_while_another_migration_may_have_to_be_undone(site, check):
    journal = switch_journal.Journal.new(site.layout, "rollback", "r1", "r0", "a test", None).write()
    assert "no switch between releases that was interrupted, found the rollback of r1 to r0. Finish it with" in site.migrate(check)["msg"]
    assert ran(site) == []
    journal.end()
    switch_journal.Journal.new(site.layout, "activation", "r1", "r2", "", None).write()
    assert site.migrate(check)["changed"], "its own activation goes on"


def test_a_rollback_waits_for_the_end_of_a_restore_that_goes_to_another_release(site):
    site.store.mark("r1", "verified")
    journal = restore_journal.Journal.begin(
        site.layout, archive="a.zip", env="local", components=["database"], service=None, wanted=False, previous=None, target="r1"
    )
    journal.update(safety={}, since=0, swaps=[])
    journal.enter("saving")
    with pytest.raises(OpsError, match=r"found one that goes to release r1\. Run the playbook mobius.ops.restore"):
        activation.roll_back(ways.of(site.store, site.service(), [], HANG), "a test", "r1")


@pytest.mark.parametrize("check", [True, False])
def test_nothing_is_migrated_between_the_two_ends_of_a_restore(site, check):
    journal = restore_journal.Journal.begin(
        site.layout,
        archive="a.zip",
        env="local",
        components=["uploads", "database"],
        service=None,
        wanted=False,
        previous=None,
        target=None,
    )
    journal.update(safety={}, since=0, swaps=[])
    journal.enter("trial")
    assert "a database that stays, found a restore that was interrupted. Run the playbook mobius.ops.restore" in site.migrate(check)["msg"]
    for path in (restore_journal.journal_path(site.layout, "trial"), site.layout.path("state", "restore.copy.json")):
        with open(path, "w", encoding="ascii") as stream:
            stream.write("{")
    assert "a database that stays, found a restore that was interrupted" in site.migrate(check)["msg"]
    journal.update(components=["uploads"])
    assert site.migrate(check)["changed"]
