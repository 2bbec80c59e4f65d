"""Three converged hosts behind their proxies: under load, after a reboot, and with one of them lost. Run in this order."""
from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from support.application import make_source
from support.playbooks import ROOT, Operator, Result
from support.traffic import Traffic
from support.waiting import wait_until, when

RUN = ROOT / ".build" / "molecule-cluster"
NAMES = ("mobius-app1", "mobius-app2", "mobius-app3")
#: Requests a second on each of the three hosts, and how many there have to be in all.
RATE, ENOUGH = 20, 10_000


class Box:
    """One host, through SSH and through its proxy."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = (RUN / f"address-{name}").read_text().strip()
        self.ssh = ["ssh", "-i", str(RUN / "key"), "-o", f"UserKnownHostsFile={RUN}/known_hosts", "-o", "IdentitiesOnly=yes", "-o",
                    "ConnectTimeout=5", "-l", "deployer", self.address]

    def run(self, command: str) -> str:
        """What a shell line of root prints; also when it fails."""
        return subprocess.run([*self.ssh, "sudo", "bash", "-c", f"'{command}'"], capture_output=True, text=True, check=False).stdout.strip()

    def live(self) -> str:
        return os.path.basename(self.run("readlink /opt/mobius/current"))

    def history(self) -> list[dict[str, t.Any]]:
        return [json.loads(line) for line in self.run("cat /opt/mobius/state/history.jsonl").splitlines()]

    def incidents(self) -> list[str]:
        return self.run("ls /opt/mobius/incidents | grep json$").split()

    def locked(self) -> bool:
        return self.run("ls /opt/mobius/state/lock").count("deploy.json") > 0

    def answers(self) -> str:
        """The release that answers through the proxy; empty when nobody does."""
        asked = ["curl", "-s", "-m", "3", f"http://{self.address}/health"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        with contextlib.suppress(ValueError):
            return json.loads(said).get("release", "")
        return ""


class Cluster:
    """All hosts, and the operator who has them in an inventory."""

    def __init__(self) -> None:
        self.boxes = [Box(name) for name in NAMES]
        self.operator = Operator(str(ROOT / "molecule" / "cluster" / "inventory"))
        self.key = (RUN / "secret").read_text().split()[0]

    def deploy(self, version: str, fault: dict[str, t.Any] | None = None, **extra: t.Any) -> Result:
        folder = RUN / f"source-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        return self.operator.run("deploy", mobius_release_source=str(make_source(folder, version, fault)), mobius_version=version, **extra)

    def live(self) -> set[str]:
        return {box.live() for box in self.boxes}

    def answers(self) -> set[str]:
        return {box.answers() for box in self.boxes}

    def incidents(self) -> list[str]:
        return [name for box in self.boxes for name in box.incidents()]


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def good(cluster: Cluster) -> str:
    """The release that all of them serve; incidents of earlier tests are put away."""
    (release,) = cluster.live()
    for box in cluster.boxes:
        box.run("rm -f /opt/mobius/incidents/*")
    return release


def pause(box: Box) -> None:
    subprocess.run(["podman", "pause", box.name], check=True, stdout=subprocess.DEVNULL)


def unpause(box: Box) -> None:
    subprocess.run(["podman", "unpause", box.name], check=True, stdout=subprocess.DEVNULL)
    wait_until(lambda: box.run("echo up") == "up", 30)


def test_two_versions_of_debian(cluster):
    assert sorted(box.run("cut -d. -f1 /etc/debian_version") for box in cluster.boxes) == ["12", "12", "13"]
    assert len(cluster.live()) == 1 and cluster.answers() == cluster.live()


@pytest.mark.parametrize("pattern", ["mobius@", "mobius-proxy"])
def test_sandbox(cluster, pattern):
    for box in cluster.boxes:
        units = [line.split()[0] for line in box.run(f"systemctl list-units --plain --no-legend \"{pattern}*\"").splitlines()]
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
    longest = max(sample.seconds for load in loads for sample in load.samples if sample.what in ("health", "count"))
    assert longest <= ready + 2


def test_a_reboot_brings_the_live_release_back(cluster, good):
    box = cluster.boxes[1]
    subprocess.run(["podman", "restart", "--time", "5", box.name], check=True, stdout=subprocess.DEVNULL)
    # podman may give another address
    address = subprocess.run(["podman", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", box.name],
                             capture_output=True, text=True, check=True).stdout.strip()
    (RUN / f"address-{box.name}").write_text(address + "\n")
    scan = ["ssh-keyscan", "-t", "ed25519", address]
    known = wait_until(lambda: subprocess.run(scan, capture_output=True, text=True, check=False).stdout, 30)
    with open(RUN / "known_hosts", "a") as hosts:
        hosts.write(known)
    cluster.boxes[1] = box = Box(box.name)
    wait_until(lambda: box.answers() == good, 60)


def test_a_host_whose_release_is_bad_takes_all_back(cluster, good):
    box = cluster.boxes[2]
    spoil = "echo {\\\"kind\\\": \\\"health\\\"} >/opt/mobius/current/fault.json"
    with when(lambda: box.live() != good and not box.locked(), lambda: box.run(spoil)):
        result = cluster.deploy("spoilt", mobius_watch_duration=60)
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    assert cluster.live() == cluster.answers() == {good} and not any(box.locked() for box in cluster.boxes)
    assert len(cluster.incidents()) == 1 and box.incidents()


def test_a_host_that_freezes_before_the_switch_stops_the_deploy(cluster, good):
    box = cluster.boxes[1]
    with when(box.locked, lambda: pause(box)):
        result = cluster.deploy("frozen1")
    unpause(box)
    assert result.status != 0 and cluster.live() == {good}, result.output
    assert len(cluster.incidents()) == 1
    assert cluster.deploy("frozen1").outcome == "deployed" and not any(each.locked() for each in cluster.boxes)


def test_a_host_that_freezes_after_its_switch_is_put_right_when_it_is_back(cluster, good):
    box = cluster.boxes[1]
    with when(lambda: box.live() not in (good, ""), lambda: pause(box)):
        result = cluster.deploy("frozen2")
    others = [each for each in cluster.boxes if each is not box]
    assert result.status != 0 and {each.live() for each in others} == {each.answers() for each in others} == {good}, result.output
    assert len([name for each in others for name in each.incidents()]) == 1
    unpause(box)
    assert cluster.operator.run("rollback", mobius_release_id=good).outcome == "rolled_back"
    assert cluster.live() == cluster.answers() == {good}
