"""A host that an earlier version of the collection works on is taken over by this one, while a watch of that version runs.

``make test-upgrade OLD=<commit>`` gives the earlier version; without one this file is not collected.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.waiting import wait_until

OLD = Path(os.environ["MOBIUS_OLD"])


class Before:
    """The earlier version of the collection, at work on the same site."""

    def __init__(self, site) -> None:
        self.site = site

    def start(self, playbook: str, **extra) -> subprocess.Popen:
        """A playbook of that version; its output is in a file."""
        operator = self.site.operator
        argv = operator.command(playbook, **extra)
        argv[argv.index("-i") + 1] = str(OLD / "inventories" / "local")
        with open(self.site.folder / f"{playbook}.log", "w") as log:
            return subprocess.Popen(
                argv,
                cwd=OLD,
                env={**operator.environment(), "ANSIBLE_CONFIG": str(OLD / "ansible.cfg")},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def play(self, playbook: str, **extra) -> str:
        """Run it to its end; its outcome."""
        Path(self.site.operator.stats_file).write_text("{}")
        status = self.start(playbook, **extra).wait()
        assert status == 0, (self.site.folder / f"{playbook}.log").read_text()[-3000:]
        return json.loads(Path(self.site.operator.stats_file).read_text())["mobius_outcome"]

    def deploy(self, version: str, fault=None, **extra) -> dict:
        """What a deploy is asked for."""
        return {"mobius_release_source": str(self.site.source(version, fault)), "mobius_version": version, **extra}

    def watched(self, version: str, fault=None) -> None:
        """Deploy a version, and leave it when its watch has had two rounds: the watch goes on."""
        deploy = self.start("deploy", **self.deploy(version, fault, mobius_watch_duration="900", mobius_failure_threshold="3"))
        wait_until(lambda: deploy.poll() is not None or any(state["rounds"] > 1 and not state.get("verdict") for state in self.states()))
        assert deploy.poll() is None, (self.site.folder / "deploy.log").read_text()[-3000:]
        os.killpg(deploy.pid, signal.SIGINT)
        deploy.wait()
        assert self.watchers()

    def states(self) -> list[dict]:
        """What the watches say of themselves."""
        found = []
        for path in self.site.root.glob("state/watch/*/state.json"):
            with contextlib.suppress(OSError, ValueError):
                found.append({"rounds": 0, **json.loads(path.read_text())})
        return found

    def watchers(self) -> list[int]:
        """The processes that watch."""
        return [pid for pid in self.site.processes() if b"watcher" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.fixture
def before(bare):
    """A site that the earlier version has set up, with its v1 live."""
    made = Before(bare)
    assert made.play("setup") == "set_up" and made.play("deploy", **made.deploy("v1")) == "deployed"
    return made


def test_a_watch_of_before_is_followed_to_its_rollback(before):
    before.watched("v2", {"kind": "health", "after": 40})
    assert before.site.play("status").outcome == "well"
    result = before.site.play("monitor", mobius_monitor_attach=True)
    assert result.outcome == "rolled_back" and before.site.live().startswith("v1"), result.output


def test_a_watch_of_before_is_superseded_and_its_release_can_be_gone_back_to(before):
    before.watched("v2")
    result = before.site.deploy("v3")
    assert result.outcome == "deployed" and not before.watchers(), result.output
    result = before.site.play("rollback", mobius_why="a test")
    assert result.outcome == "rolled_back" and before.site.live().startswith("v1"), result.output


def test_a_watch_of_before_is_stopped_with_its_service(before):
    before.watched("v2")
    assert before.site.play("stop").outcome == "stopped" and not before.watchers()
    assert before.site.play("restart").outcome == "restarted" and before.site.live().startswith("v2")
