# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts of the molecule scenario ``cluster``, for its tests."""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import typing as t

from support.application import make_source
from support.playbooks import ROOT, Operator, Result
from support.waiting import wait_until

RUN = ROOT / ".build" / "molecule-cluster"
NAMES = ("mobius-app1", "mobius-app2", "mobius-app3")


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

    def record(self, release_id: str) -> dict[str, t.Any]:
        """What is noted of a release."""
        return json.loads(self.run(f"cat /opt/mobius/releases/{release_id}/.release.json"))

    def switched_to(self, version: str) -> int:
        """How often this host was switched to a version."""
        return len([event for event in self.history() if event["what"] == "active" and event["release"].startswith(version)])

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


def pause(box: Box) -> None:
    subprocess.run(["podman", "pause", box.name], check=True, stdout=subprocess.DEVNULL)


def unpause(box: Box) -> None:
    subprocess.run(["podman", "unpause", box.name], check=True, stdout=subprocess.DEVNULL)
    wait_until(lambda: box.run("echo up") == "up", 30)
