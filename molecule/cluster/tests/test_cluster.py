"""Three converged hosts behind their proxies: their sandbox, under load, and after a reboot."""

from __future__ import annotations

import contextlib
import re

import pytest
from support.traffic import Traffic
from support.waiting import wait_until

#: Requests a second on each of the three hosts, and how many there have to be in all.
RATE, ENOUGH = 20, 10_000


def test_two_versions_of_debian(cluster):
    assert sorted(box.run("cut -d. -f1 /etc/debian_version") for box in cluster.boxes) == ["12", "12", "13"]
    assert len(cluster.live()) == 1 and cluster.answers() == cluster.live()


def test_dependencies_were_shipped_once_to_hosts_without_a_registry(cluster, good):
    again = cluster.deploy("same-lock-file")
    assert again.outcome == "deployed" and not again.task("Copy its dependencies").count("changed: ["), again.output
    for box in cluster.boxes:
        assert box.run("ls /opt/mobius/deps | wc -l") == "1" and box.run("ls /opt/mobius/state | grep tar") == ""
        links = box.run("readlink -f /opt/mobius/releases/*/node_modules").splitlines()
        assert len(links) >= 2 and len(set(links)) == 1
    assert cluster.operator.run("rollback", mobius_release_id=good).outcome == "rolled_back"


@pytest.mark.parametrize("pattern", ["mobius@", "mobius-proxy"])
def test_sandbox(cluster, pattern):
    for box in cluster.boxes:
        units = [line.split()[0] for line in box.run(f'systemctl list-units --plain --no-legend "{pattern}*"').splitlines()]
        assert units, box.run("systemctl list-units --plain --no-legend")
        for unit in units:
            said = box.run(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
            exposure = float(re.search(r"([0-9.]+) \w+", said.split(":")[1]).group(1))  # type: ignore[union-attr]
            print(f"{box.name} {unit}: exposure {exposure}")
            assert exposure <= 2.5, said


@pytest.mark.parametrize("state", ["exclusive", "shared"])
def test_deploys_and_rollbacks_under_load_lose_nothing(cluster, good, state, capsys):
    settings = {"mobius_state": state}
    if state == "shared":
        assert cluster.operator.run("setup", **settings).status == 0
        assert cluster.operator.run("restart", **settings).status == 0
    first = [len(box.history()) for box in cluster.boxes]
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Traffic(80, cluster.key, RATE, host=box.address)) for box in cluster.boxes]
        loads[0].slow(20)
        loads[1].upload(5_000_000, 20)
        number = 0
        while sum(len(load.samples) for load in loads) < ENOUGH or not number:
            number += 1
            result = cluster.deploy(f"{state}{number}", **settings)
            assert (result.status, result.outcome) == (0, "deployed"), result.output
            result = cluster.operator.run("rollback", mobius_release_id=good, **settings)
            assert (result.status, result.outcome) == (0, "rolled_back"), result.output
    events = [event for box, start in zip(cluster.boxes, first) for event in box.history()[start:]]
    ready = max(event["ready_after"] for event in events if "ready_after" in event)
    with capsys.disabled():
        for box, load in zip(cluster.boxes, loads):
            print(f"\n  {state}, {box.name}: {load.figures()}")
        print(f"  {sum(len(load.samples) for load in loads)} requests in all, {number} deploys and rollbacks; start-up {ready} s at most")
    for load in loads:
        assert load.failed() == []
        assert sorted(load.acknowledged) == list(range(load.acknowledged[0], load.acknowledged[0] + len(load.acknowledged)))


def reboot(box):
    box.podman("restart", "--time", "5")
    box.find_again()


def serves_alone(box, release):
    """Whether a release answers, and one process of the application runs; only what is wanted is enabled."""
    wait_until(lambda: box.answers() == release, f"{box.name} serves {release}")
    wait_until(lambda: box.run("systemctl is-system-running") == "running", f"{box.name} has booted")  # nothing more is about to start
    active = box.run('systemctl list-units --plain --no-legend --state=active,activating "mobius@*"').splitlines()
    assert len(active) == 1 and len(box.run("pgrep -u mobius -x node").split()) == 1, active
    enabled = box.run('systemctl list-unit-files --plain --no-legend --state=enabled "mobius*" | cut -d" " -f1').split()
    return sorted(enabled) == ["mobius-boot.service", "mobius-proxy.service"]


def test_a_reboot_brings_the_live_release_back_and_one_instance_only(cluster, good):
    """Exclusive state, and both instances have run a release: the idle one must not come up on the same data."""
    assert cluster.operator.run("setup").status == 0
    assert cluster.operator.run("restart").status == 0
    deployed = cluster.deploy("reboot")
    assert deployed.outcome == "deployed", deployed.output
    box = cluster.boxes[1]
    live, serving = box.live(), box.run('sed -n "s/^live //p" /opt/mobius/proxy/switch.map')
    assert live != good and box.run("ls /opt/mobius/slots").split() == ["5001", "5002"]
    reboot(box)
    assert serves_alone(box, live)
    # as a switch leaves it whose host loses its power: the live instance has ended, the idle one runs, nothing points to it yet
    other = {"5001": "5002", "5002": "5001"}[serving]
    box.run(f"systemctl stop mobius@{serving}; systemctl start mobius@{other}")
    assert box.run(f"systemctl is-active mobius@{other}") == "active"
    reboot(box)
    assert serves_alone(box, live)
    assert cluster.operator.run("rollback", mobius_release_id=good).outcome == "rolled_back"
