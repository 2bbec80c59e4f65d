"""`kill -9` at random moments of a rollback from a release with a migration, then the same command again.

By the module, the playbook and the watch in turn; with one instance, and with two of both kinds of state. The kill hits all processes that
work on the rollback, on the controller as well as on the target.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from support.remains import kill
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, ways
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import detach
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import switch_journal
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders
from ansible_collections.mobius.ops.plugins.module_utils._watch import watcher
from ansible_collections.mobius.ops.plugins.modules import release

DOWN = ["node", "-e", "require('fs').appendFileSync('../../shared/data/undone', 'x')"]
WAYS = ("module", "playbook", "watch")
#: What goes on after a kill, as it does when a controller or a task is killed: the service.
SURVIVORS = ("_service.supervisor", "haproxy", "src/api/index.js")


class Rollbacks:
    """A site with v1 and v2 verified, and v3, which is put live before each rollback."""

    def __init__(self, site, chance):
        self.site, self.chance, self.layout = site, chance, Layout(str(site.root))
        self.store = ReleaseStore(self.layout)
        assert site.play("setup").outcome == "set_up", site.outputs[-1]
        for version in ("v2", "v3"):
            assert site.deploy(version).outcome == "deployed", site.outputs[-1]
        self.ids = [next(name for name in self.store.ids() if name.startswith(version)) for version in ("v1", "v2", "v3")]
        headers = {"Origin": f"http://127.0.0.1:{site.port}"}
        self.raw_checks = [
            {
                "name": "health",
                "url": f"http://127.0.0.1:{site.port}/health",
                "timeout": HANG,
                "headers": headers,
                "json": ["status == 'ok'", "release == '{release}'"],
            }
        ]
        self.checks = health.normalize_all(self.raw_checks)
        self.whole = {}

    def service(self):
        return service_registry.load(self.layout, "mobius")

    def live_v3(self):
        """v3 serves, its migration is in the data."""
        good = self.ids[2]
        self.store.save(
            {
                **self.store.get(good),
                "migration": "reversible",
                "status": "prepared",
                "migrated": {"state": "done", "up": DOWN, "down": DOWN, "timeout": HANG, "when": "2026-01-01T00:00:00Z"},
            }
        )
        activation.activate(ways.of(self.store, self.service(), self.checks, HANG), good)
        self.seen = len(self.site.history())

    def module(self):
        """The module in a process of its own; which."""
        child = os.fork()
        if not child:
            try:
                release.run(self.params(), False)
            finally:
                os._exit(0)
        return child

    def params(self):
        """What the module is given by default."""
        return {
            "root": self.layout.root,
            "state": "rolled_back",
            "release_id": None,
            "service": "mobius",
            "checks": self.raw_checks,
            "headers": {},
            "secret_headers": {},
            "ready_timeout": HANG,
            "drain_timeout": None,
            "drain_force": None,
            "why": "a kill",
            "retire": False,
        }

    def watch(self):
        """A watch that finds the release bad."""
        checks = health.normalize_all([{**self.raw_checks[0], "json": [f"release == '{self.ids[1]}'"]}])
        return watch_control.start(
            self.layout,
            {
                "env": "local",
                "service": "mobius",
                "duration": 10 * HANG,
                "interval": 0.1,
                "retry_interval": 0.1,
                "initial_delay": 0,
                "failure_threshold": 1,
                "error_threshold": 100,
                "restart_limit": 100,
                "auto_rollback": True,
                "ready_timeout": HANG,
                "checks": checks,
            },
            watcher,
        )

    def timed(self, way, work):
        """How long an undisturbed rollback takes, measured once."""
        if way not in self.whole:
            self.live_v3()
            began = time.monotonic()
            work()
            self.whole[way] = time.monotonic() - began
            self.check()
        return self.chance.uniform(0, self.whole[way])

    def by_module(self):
        after = self.timed("module", lambda: os.waitpid(self.module(), 0))
        self.live_v3()
        pid = self.module()
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        # Without a journal and on the target all was done, also when the process was killed before it could say so: a module that is not
        # told where to would go back further. The playbook tells it.
        ended = self.store.live() == self.ids[1] and not switch_journal.peek(self.layout)
        return after, killed, lambda: release.run({**self.params(), "release_id": self.ids[1] if ended else None}, False)

    def by_playbook(self):
        after = self.timed("playbook", self.play)
        self.live_v3()
        run = self.site.operator.start("rollback")
        time.sleep(after)
        killed = run.poll() is None
        kill(*descendants(run.pid))
        run.wait()
        wait_until(
            lambda: not [pid for pid in self.site.processes() if b"ansible" in command(pid) and b"_service.supervisor" not in command(pid)]
        )
        ended = not (self.site.root / "state" / "lock" / "deploy.json").exists() and self.store.live() == self.ids[1]
        named = {"mobius_release_id": self.ids[1]} if ended else {}  # it has given its lock back: all was done

        return after, killed, lambda: self.play(**named)

    def play(self, **named):
        result = self.site.play("rollback", **named)
        assert result.outcome in ("rolled_back", "unchanged"), result.output

    def by_watch(self):
        after = self.timed("watch", lambda: self.verdict(self.watch()))
        self.live_v3()
        folder = self.watch()
        time.sleep(after)
        state = folder.saved()
        killed = state["status"] == "running" and processes.is_alive(state["pid"], state["ticks"])
        if killed:
            kill(state["pid"])
        wait_until(lambda: not processes.is_alive(state["pid"], state["ticks"]))  # one that has ended may still stop the old instance

        def again():
            # As systemd does. Before its rollback, a watch that goes on first waits for a service that becomes well.
            if killed and folder.saved()["rolling_back"] and self.chance.random() < 0.5:
                detach.launch(self.layout, watcher, folder.path, os.path.join(folder.path, "watcher.log"))
                wait_until(lambda: (folder.saved() or {}).get("resumed"))
                assert self.verdict(folder) == "rolled_back"
            elif self.store.live() != self.ids[1] or switch_journal.peek(self.layout):  # as an operator does
                made = self.watch()
                wait_until(lambda: self.store.live() == self.ids[1] and not switch_journal.peek(self.layout))
                if made.state()["status"] == "running":
                    watch_control.stop(self.layout, "the test goes on")
                self.verdict(made)

        return after, killed, again

    @staticmethod
    def verdict(folder):
        wait_until(lambda: folder.state()["status"] not in watch_folders.GOING, "the watch ends")
        state = folder.state()
        wait_until(lambda: not processes.is_alive(state["pid"], state["ticks"]), "its process ends")
        return state["verdict"]

    def check(self):
        """Link, records, history, migration, map, processes and answers agree."""
        first, good, bad = self.ids
        assert self.store.live() == good and self.site.client().health()["release"] == good
        assert {name: self.store.get(name)["status"] for name in self.ids} == {first: "verified", good: "verified", bad: "rolled_back"}
        assert self.store.get(bad)["migrated"]["state"] == "undone"
        whats = [event["what"] for event in self.site.history()[self.seen :] if event.get("release") == bad]
        assert whats.count("rolled_back") == 1 and whats.count("migration_undone") <= 1, whats
        assert switch_journal.unfinished(self.layout) is None
        facts = self.service().status()
        assert (facts["status"], facts["release"]) == ("running", good), facts
        running = {slot["release"] for slot in facts.get("slots", {}).values() if slot["status"] == "running"}
        assert self.service().spec.get("state") != "exclusive" or running == {good}, facts


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def descendants(pid):
    """A process and all that it has started, but for the service."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        if not any(word.encode() in command(one) for word in SURVIVORS):
            found.append(one)
            todo += [child for child, parent in parents.items() if parent == one]
    return found


@pytest.fixture(params=["restart", "shared", "exclusive"])
def rollbacks(request, tmp_path_factory, new_site, free_port):
    """A site of one instance, or of two."""
    site = new_site(tmp_path_factory.mktemp("site"))
    site.operator.settings["mobius_service_environment"] = {
        "MOBIUS_STORE": "sqlite" if request.param == "shared" else "json",
        "MOBIUS_CORS_ORIGINS": "*",
    }
    site.deployed("v1")
    if request.param != "restart":
        public = free_port()
        site.operator.settings.update(mobius_proxy_port=public, mobius_standby_port=free_port(), mobius_state=request.param)
        site.port = public
    return Rollbacks(site, random.Random(request.config.getoption("--kill-chance") + request.param))


def test_killed_rollback_is_finished_by_the_same_command(rollbacks, request):
    killed, unfinished, number, kills = dict.fromkeys(WAYS, 0), 0, 0, request.config.getoption("--kills")
    while sum(killed.values()) < kills and number < 4 * kills:  # one that had ended before is none of them
        way = WAYS[number % len(WAYS)]
        number += 1
        after, hit, again = getattr(rollbacks, f"by_{way}")()
        rollbacks.whole[way] *= 1.1 if hit else 0.8  # the machine may have more or less to do by now
        killed[way] += hit
        journal = switch_journal.peek(rollbacks.layout)
        unfinished += journal is not None
        try:
            again()
            rollbacks.check()
        except AssertionError as error:
            tail = json.dumps(rollbacks.site.history()[rollbacks.seen :], indent=1)
            what = f"{way} {'killed' if hit else 'had ended'} after {after:.2f} s with {journal and journal.facts}"
            raise AssertionError(f"{what}: {error}\n{tail}") from error
        print(f"{way}: {'killed' if hit else 'had ended'} after {after:.2f} s{', finished' if journal else ''}", flush=True)
    print(f"\n{rollbacks.service().spec.get('state', 'restart')}: {number} rollbacks, killed {killed}, {unfinished} left a journal")
    assert any(killed.values())


def test_a_deploy_finishes_a_rollback_that_was_interrupted(served, says):
    first = served.live()
    assert served.deploy("v2").outcome == "deployed"
    second, journal = served.live(), served.root / "state" / "switch.json"
    journal.write_text(
        f'{{"kind": "rollback", "from": "{second}", "to": "{first}", "why": "bad uploads", "by": "ada", '
        '"since": "2026-01-01T00:00:00Z", "service": "mobius", "history": 1000000}'
    )
    told = served.play("status")
    assert told.outcome == "not_well"
    assert says(
        told,
        f"The rollback of {second} to {first} was interrupted (begun 2026-01-01T00:00:00Z by ada: bad uploads). "
        "Finish it with: ansible-playbook mobius.ops.rollback.",
    ), told.output
    result = served.deploy("v4")
    assert result.outcome == "deployed" and says(result, f"Before that: finished the rollback of {second} to {first}"), result.output
    assert served.record(second)["status"] == "rolled_back" and not journal.exists()
    assert served.play("rollback").outcome == "rolled_back" and served.live() == first
