# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A watch whose process is killed and whose host is booted anew, with nobody else looking."""

from __future__ import annotations

import json
import os
import signal

from support.cluster import fault
from support.waiting import HANG, wait_until

WATCH = "/opt/mobius/state/watch"


def state_of(box):
    """The state of a host's latest watch."""
    return json.loads(box.run(f"cat {WATCH}/$(ls {WATCH} | tail -n 1)/state.json") or "{}")


def test_a_watch_goes_on_after_a_kill_and_a_reboot_and_rolls_back(cluster):
    box = cluster.boxes[0]
    assert cluster.deploy("before").outcome == "deployed"  # verified, so that a watch may go back to it
    (good,) = cluster.live()
    run = cluster.operator.start("deploy", **cluster.source("watched"), mobius_watch_duration=3600, mobius_failure_threshold=3)
    wait_until(lambda: all(each.live() != good and not each.locked() for each in cluster.boxes), "the watch begins", 10 * HANG)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    box.run(f"kill -9 {state_of(box)['pid']}")
    wait_until(lambda: state_of(box).get("resumed") == 1, "it goes on after SIGKILL")
    box.run(f"kill {state_of(box)['pid']}")  # which systemd takes for a proper end, of most programs
    wait_until(lambda: state_of(box).get("resumed") == 2, "it goes on after SIGTERM")
    box.podman("restart", "--time", "5")
    box.find_again()
    wait_until(lambda: state_of(box).get("resumed") == 3, "it goes on after a reboot")
    rounds = state_of(box)["rounds"]
    wait_until(lambda: state_of(box)["rounds"] > rounds, "a round after the reboot")
    assert box.live() != good, "a host that comes up is no reason to go back"
    box.run(fault("health"))
    wait_until(lambda: box.live() == good and state_of(box)["status"] == "finished", "it rolls back")
    assert state_of(box)["verdict"] == "rolled_back" and box.answers() == good
    assert [event["verdict"] for event in box.history() if event["what"] == "watch"][-1] == "rolled_back"
    assert box.run("ls /etc/systemd/system | grep watch") == "", "its unit has removed itself"
    told = cluster.operator.run("monitor", "--limit", box.name, mobius_monitor_attach=True)
    assert (told.status, told.outcome) == (2, "rolled_back"), told.output
    assert cluster.operator.run("rollback", mobius_release_id=good).outcome == "rolled_back"
    assert cluster.live() == cluster.answers() == {good}
