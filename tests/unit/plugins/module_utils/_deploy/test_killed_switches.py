# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rollbacks and activations that are killed right before each of their effects, and what later commands make of that.

Real processes, and the real proxy. r0 and r1 were verified, r2 brought a reversible migration.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import urllib.request

import pytest
from support.killing import killed_before
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, ways
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import definition
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import switch_journal
from ansible_collections.mobius.ops.plugins.modules import release, release_info

pytestmark = pytest.mark.slow

STATES = ("restart", "shared", "exclusive")
DOWN = [sys.executable, "-c", "open('../../shared/data/undone', 'a').write('x')"]


class Site:
    """A host whose service has one instance, or two behind a proxy."""

    def __init__(self, host, state, run_module, ports):
        self.host, self.state, self.store, self.run_module = host, state, host.store, run_module
        host.port, standby, self.public = ports
        proxied = {
            "proxy_port": self.public,
            "standby_port": standby,
            "application_state": state,
            "drain_timeout": HANG,
            "drain_force": True,
            "job_programs": [],
            "proxy_host": "127.0.0.1",
            "proxy_url": None,
            "proxy_certificate": None,
            "proxy_max_body": 1000,
            "proxy_max_connections": 50,
            "proxy_timeout": 60,
        }
        if state == "restart":
            self.public, proxied = host.port, {}
        for name in ("r0", "r1"):
            host.live(name)
        options = {"host": "127.0.0.1", "user": None, "environment": None, "memory_max": None, **proxied}
        service = service_registry.service_for(host.layout, definition.build_spec(host.layout, host.params(**options)))
        service.save()
        service.start()
        host.release("r2", migration="reversible")
        self.raw_checks = [
            {
                "name": "health",
                "url": f"http://127.0.0.1:{self.public}/health",
                "timeout": HANG,
                "json": ["status == 'ok'", "release == '{release}'"],
            }
        ]
        self.checks = health.normalize_all(self.raw_checks)
        self.timeout = HANG

    def service(self):
        """The service as a later command finds it."""
        return service_registry.load(self.host.layout, "mobius")

    def migrated(self):
        """r2 is prepared, its migration in the data."""
        self.store.save(
            {
                **self.store.get("r2"),
                "status": "prepared",
                "migrated": {"state": "done", "up": DOWN, "down": DOWN, "timeout": HANG, "when": "2026-01-01T00:00:00Z"},
            }
        )

    def activate(self, release_id="r2"):
        return activation.activate(ways.of(self.store, self.service(), self.checks, self.timeout), release_id)

    def live_r2(self):
        """r2 serves, as after a deploy."""
        self.migrated()
        self.activate()

    def roll_back(self):
        return activation.roll_back(ways.of(self.store, self.service(), self.checks, HANG), "bad uploads")

    def do(self, check=False, **options):
        """The module release, as the rollback playbook calls it."""
        given = {
            "root": self.host.root,
            "state": "rolled_back",
            "service": "mobius",
            "checks": self.raw_checks,
            "ready_timeout": HANG,
            "why": "bad uploads",
            **options,
        }
        return self.run_module(release, given, check)

    def info(self):
        return self.run_module(release_info, {"root": self.host.root})

    def answers(self):
        def ask():
            with urllib.request.urlopen(f"http://127.0.0.1:{self.public}/health", timeout=HANG) as answer:
                return json.load(answer)["release"]

        return wait_until(lambda: ask(), "the service answers")

    def check_serves(self, live, statuses):
        """Records, link, map, processes and answers agree, and nothing is unfinished."""
        assert self.store.live() == live and self.answers() == live
        assert self.host.statuses() == statuses
        facts = self.service().status()
        assert (facts["status"], facts["release"]) == ("running", live)
        running = {slot["release"] for slot in facts.get("slots", {}).values() if slot["status"] == "running"}
        assert self.state != "exclusive" or running == {live}, "two instances must not run on one state"
        assert self.info()["unfinished"] is None and not os.path.exists(switch_journal.path(self.host.layout))

    def events(self, what, since):
        """Releases of a kind of event, after so many events."""
        return [event["release"] for event in self.host.history()[since:] if event["what"] == what]


def still(snapshot):
    """What nobody writes but a command: the application and its supervisor go on."""
    restless = ("shared/logs", "state/service", "proxy")
    return {name: facts for name, facts in snapshot.items() if not name.startswith(restless) and name != "state"}


@pytest.fixture
def site(host, run_module, free_port, request):
    return Site(host, request.param, run_module, [free_port() for _number in range(3)])


@pytest.mark.parametrize("site", STATES, indirect=True)
def test_rollback_killed_before_each_of_its_effects_is_finished_by_the_same_command(site, snapshot):
    names = []
    for number in itertools.count(1):
        site.live_r2()
        seen = len(site.host.history())
        name = killed_before(number, site.roll_back)
        if not name:
            break
        names.append(name)
        begun = site.info()["unfinished"]
        assert begun or number == 1, name
        if begun:
            assert (begun["kind"], begun["from"], begun["to"], begun["running"]) == ("rollback", "r2", "r1", False)
            before = still(snapshot(site.host.root))
            planned = site.do(check=True)
            assert planned["changed"] and planned["target"] == "r1" and "would finish the rollback of r2 to r1" in planned["finished"]
            assert still(snapshot(site.host.root)) == before
        named = {"release_id": "r1"} if number % 2 else {}
        result = site.do(**named)
        assert result["changed"] and (result["previous"], result["target"]) == ("r2", "r1"), (name, result)
        assert result.get("finished", "") == ("finished the rollback of r2 to r1 that was interrupted" if begun else ""), name
        site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": "rolled_back"})
        assert site.events("rolled_back", seen) == ["r2"] and site.store.get("r2")["migrated"]["state"] == "undone", name
        assert site.events("migration_undone", seen) in (["r2"], []), name
        assert not site.do(release_id="r1")["changed"]
    assert {"write_json", "atomic_symlink", "record", "_run", "ready", "end"} <= set(names)
    site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": "rolled_back"})


@pytest.mark.parametrize("site", STATES, indirect=True)
def test_activation_killed_before_each_of_its_effects_goes_on_or_is_taken_back(site):
    for number in itertools.count(1):
        site.migrated()
        if not killed_before(number, site.activate):
            break
        went, begun = site.store.live() == "r2", site.info()["unfinished"]
        assert begun or number == 1
        if begun and number % 2:
            assert site.do()["changed"]
            r2 = site.host.statuses()["r2"]
            assert r2 == "rolled_back" if went else r2 == "failed", number
            site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": r2})
            assert site.store.get("r2")["migrated"]["state"] == "undone", number
            continue
        result = site.do(state="active", release_id="r2")
        assert result["changed"] and result["release"]["status"] == "active"
        site.check_serves("r2", {"r0": "verified", "r1": "verified", "r2": "active"})
        site.do()
    site.check_serves("r2", {"r0": "verified", "r1": "verified", "r2": "active"})


@pytest.mark.parametrize("site", STATES, indirect=True)
@pytest.mark.usefixtures("by_answers")
def test_going_back_from_a_bad_release_that_is_killed_never_goes_too_far(site):
    site.host.mode("r2", "bad")
    site.timeout = 0.2
    for number in itertools.count(6):  # before, it is the activation that was killed
        site.migrated()
        if not killed_before(number, site.activate):
            break
        if site.info()["unfinished"]:  # otherwise it was killed after its last step
            site.do()
        assert site.host.statuses()["r2"] in ("failed", "rolled_back") and site.store.get("r2")["migrated"]["state"] == "undone", number
        site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": site.host.statuses()["r2"]})
    assert number > 9
    site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": "failed"})


@pytest.mark.parametrize("site", ["exclusive"], indirect=True)
def test_a_start_after_a_killed_switch_never_makes_two_instances_of_exclusive_state(site):
    site.live_r2()
    assert killed_before(1, site.roll_back, "point") == "point"
    assert site.service().idle().status()["release"] == "r1"
    site.service().start()
    wait_until(lambda: site.service().serving().status()["status"] == "running", "the live release runs")
    assert site.service().idle().status()["status"] == "stopped" and site.store.live() == "r2"
    assert "Finish it with" in site.info()["unfinished"]["message"]
    assert site.do()["changed"]
    site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": "rolled_back"})


def interrupt(site, kind="rollback", source="r2", target="r1", **facts):
    """A journal whose process is gone."""
    journal = switch_journal.Journal.new(site.host.layout, kind, source, target, "bad uploads", "mobius")
    journal.facts.update(facts)
    return journal.write()


@pytest.mark.parametrize("site", ["restart"], indirect=True)
@pytest.mark.parametrize("switched", [True, False])
def test_a_deploy_finishes_a_rollback_before_its_own_release(site, switched):
    site.live_r2()
    interrupt(site)
    if switched:
        site.store.point("r1")
    site.host.release("r3")
    result = site.do(state="active", release_id="r3")
    assert "finished the rollback of r2 to r1" in result["finished"] and result["release"]["id"] == "r3"
    site.check_serves("r3", {"r0": "verified", "r1": "verified", "r2": "rolled_back", "r3": "active"})
    assert site.store.get("r2")["migrated"]["state"] == "undone"


@pytest.mark.parametrize("site", ["restart"], indirect=True)
def test_settled_leaves_the_activation_of_its_own_release_to_the_deploy(site, snapshot):
    site.migrated()
    interrupt(site, "activation", "r1", "r2")
    before = still(snapshot(site.host.root))
    assert not site.do(state="settled", release_id="r2")["changed"]
    planned = site.do(check=True, state="settled", release_id="r3")
    assert planned["changed"] and planned["release"]["id"] == "r1" and still(snapshot(site.host.root)) == before
    result = site.do(state="settled", release_id="r3")
    assert result["changed"] and "took back the activation of r2 that was interrupted: release r1 serves" in result["finished"]
    assert not site.do(state="settled")["changed"] and site.host.statuses()["r2"] == "failed"


@pytest.mark.parametrize("site", ["restart"], indirect=True)
def test_a_target_that_is_bad_or_gone_does_not_keep_a_deploy_or_a_named_rollback_from_working(site):
    site.live_r2()
    site.host.mode("r1", "crash")
    interrupt(site)
    result = site.do(release_id="r0")
    assert "could not be finished: release r1" in result["finished"] and result["target"] == "r0"
    assert site.answers() == "r0" and site.info()["unfinished"] is None
    interrupt(site, source="r0", target="r9")
    site.host.release("r4")
    assert site.do(state="active", release_id="r4")["changed"] and site.answers() == "r4"
    assert site.host.history()[-2]["what"] == "switch_dropped" and "release r9 gone" in site.host.history()[-2]["why"]


@pytest.mark.parametrize("site", ["restart"], indirect=True)
@pytest.mark.parametrize(
    "content", ["{", "[]", "17", '{"kind": "rollback"}', b"\xff\xfe", '{"kind": "x", "from": "r2", "to": "r1"}', "[" * 9000]
)
def test_a_damaged_journal_is_one_sentence_and_keeps_nobody_from_a_named_release(site, content):
    site.live_r2()
    path = switch_journal.path(site.host.layout)
    with open(path, "wb") as stream:
        stream.write(content if isinstance(content, bytes) else content.encode())
    words = f"{path}: expected the intent of a switch, found "
    assert words in site.info()["unfinished"]["message"]
    for check in (True, False):
        refused = site.do(check=check)
        assert refused["failed"] and words in refused["msg"]
    assert site.answers() == "r2"
    assert site.do(release_id="r1")["changed"]
    site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": "rolled_back"})


@pytest.mark.parametrize("site", ["restart"], indirect=True)
def test_another_release_that_was_put_live_by_hand_is_left_alone(site):
    site.live_r2()
    interrupt(site, source="r2", target="r0")
    site.store.point("r1")
    with pytest.raises(OpsError, match="r9"):
        site.activate("r9")
    site.host.release("r3")
    site.activate("r3")
    assert site.answers() == "r3" and site.host.statuses()["r2"] == "active"
    assert "the rollback of r2 to r0 was interrupted, and cannot be finished: release r1 live" in str(site.host.history())


@pytest.mark.parametrize("site", ["restart"], indirect=True)
def test_a_migration_that_cannot_be_undone_is_tried_again_by_the_same_command(site):
    site.live_r2()
    record = site.store.get("r2")
    site.store.save({**record, "migrated": {**record["migrated"], "down": [sys.executable, "-c", "raise SystemExit(3)"]}})
    assert "its migration to be undone; release r1 serves again" in site.do()["msg"]
    assert "Finish it with: ansible-playbook mobius.ops.rollback" in site.info()["unfinished"]["message"]
    record = site.store.get("r2")
    site.store.save({**record, "migrated": {**record["migrated"], "down": DOWN}})
    assert site.do()["changed"]
    site.check_serves("r1", {"r0": "verified", "r1": "verified", "r2": "rolled_back"})
    assert site.store.get("r2")["migrated"]["state"] == "undone"


@pytest.mark.parametrize("site", ["restart"], indirect=True)
def test_releases_of_an_interrupted_switch_are_not_pruned(site):
    site.live_r2()
    interrupt(site, source="r2", target="r0")
    assert site.store.target()["id"] == "r0"
    for number in range(3, 6):
        site.host.release(f"r{number}", "failed")
    assert {"r0", "r2"}.isdisjoint(site.store.prunable(0))


@pytest.mark.parametrize("site", ["restart"], indirect=True)
def test_a_switch_that_goes_on_is_no_finding(site):
    site.live_r2()
    interrupt(site)
    assert "Finish it with" in site.info()["unfinished"]["message"]
    with site.store.switching():
        found = site.info()["unfinished"]
    assert found["running"] and found["message"] == ""


def test_the_journal_is_private(host):
    switch_journal.Journal.new(host.layout, "rollback", "r2", "r1", "why", None).write()
    assert os.stat(switch_journal.path(host.layout)).st_mode & 0o777 == 0o600
    assert fs.read_json(switch_journal.path(host.layout))["by"]
