# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts of the molecule scenarios ``cluster`` and ``faults``, for their tests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import typing as t
from pathlib import Path

from support.application import make_source
from support.playbooks import ROOT, Operator, Result
from support.waiting import HANG, wait_until


def fault(kind: str, folder: str = "/opt/mobius/current") -> str:
    """The shell line that makes a release break while it runs: it writes the application's control file."""
    return f'echo {{\\"kind\\":\\"{kind}\\"}} >{folder}/fault.json'


class Box:
    """One host, through SSH and through its proxy."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.address = (folder / f"address-{name}").read_text().strip()

    @property
    def ssh(self) -> list[str]:
        return [
            "ssh",
            "-i",
            str(self.folder / "key"),
            "-o",
            f"UserKnownHostsFile={self.folder}/known_hosts",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "ConnectTimeout=30",
            "-l",
            "deployer",
            self.address,
        ]

    def run(self, command: str) -> str:
        """What a shell line of root prints; also when it fails."""
        words = [*self.ssh, "sudo", "bash", "-c", f"'{command}'"]
        return subprocess.run(words, capture_output=True, text=True, errors="replace", check=False).stdout.strip()

    @contextlib.contextmanager
    def once(self, happens: str, then: str | t.Callable[[], t.Any]) -> t.Iterator[None]:
        """As soon as a condition holds on the host do something, there or here, while the block runs.

        The test fails when the condition never held. The host itself looks, fifty times a second: a new SSH connection for each look
        would be late on a busy machine.

        :param happens: a shell line of root, as *then* is when it is a text.
        """
        there, here = (then, lambda: None) if isinstance(then, str) else ("true", then)
        line = f"echo looks; until {happens}; do read -r -t 0.02; test $? -gt 128 || exit; done; {there}; echo done"
        looker = subprocess.Popen(
            [*self.ssh, "sudo", "bash", "-c", f"'{line}'"],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # ssh would make a shared one non-blocking, which Ansible refuses
        happened: list[bool] = []

        def act() -> None:
            if looker.stdout.readline() == "done\n":  # type: ignore[union-attr]
                here()
                happened.append(True)

        actor = threading.Thread(target=act, daemon=True)
        try:
            assert looker.stdout.readline() == "looks\n"  # type: ignore[union-attr]
            actor.start()
            yield
            looker.stdin.close()  # type: ignore[union-attr]  # which ends the looking
            actor.join(HANG)
            assert happened, f"{self.name}: {happens}: the moment never came"
        finally:
            looker.kill()
            looker.wait()

    def live(self) -> str:
        return os.path.basename(self.run("readlink /opt/mobius/current"))

    def history(self) -> list[dict[str, t.Any]]:
        return [json.loads(line) for line in self.run("cat /opt/mobius/state/history.jsonl").splitlines()]

    def count(self, what: str) -> int:
        """How many events of a kind its history has."""
        return len([event for event in self.history() if event["what"] == what])

    def releases(self, version: str) -> list[str]:
        """The ids of what is there of a version."""
        return self.run(f"ls /opt/mobius/releases | grep ^{version}-").split()

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
        asked = ["curl", "-s", "-m", "30", f"http://{self.address}/health"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        with contextlib.suppress(ValueError):
            return json.loads(said).get("release", "")
        return ""

    def podman(self, *words: str) -> str:
        """Let podman do something to it; what that printed."""
        return subprocess.run(["podman", *words, self.name], check=True, capture_output=True, text=True).stdout.strip()

    def find_again(self) -> None:
        """Podman may have given it another address: know it by that one, and wait until it lets us in."""
        self.address = self.podman("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
        (self.folder / f"address-{self.name}").write_text(self.address + "\n")
        scan = ["ssh-keyscan", "-t", "ed25519", self.address]
        known = wait_until(lambda: subprocess.run(scan, capture_output=True, text=True, check=False).stdout, f"{self.name} shows its key")
        with open(self.folder / "known_hosts", "a") as hosts:
            hosts.write(known)
        wait_until(lambda: self.run("echo up") == "up", f"{self.name} lets us in")


class Cluster:
    """All hosts of a scenario, and the operator who has them in an inventory."""

    def __init__(self, scenario: str) -> None:
        self.scenario, self.folder = scenario, ROOT / ".build" / f"molecule-{scenario}"
        self.boxes = [Box(path.name[len("address-") :], self.folder) for path in sorted(self.folder.glob("address-*"))]
        self.operator = Operator(str(ROOT / "molecule" / scenario / "inventory"))
        self.key = (self.folder / "secret").read_text().split()[0]

    def source(self, version: str, fault: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The settings that deploy a new version."""
        folder = self.folder / f"source-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        return {"mobius_release_source": str(make_source(folder, version, fault)), "mobius_version": version}

    def deploy(self, version: str, fault: dict[str, t.Any] | None = None, **extra: t.Any) -> Result:
        return self.operator.run("deploy", **self.source(version, fault), **extra)

    def live(self) -> set[str]:
        return {box.live() for box in self.boxes}

    def answers(self) -> set[str]:
        return {box.answers() for box in self.boxes}

    def incidents(self) -> list[str]:
        return [name for box in self.boxes for name in box.incidents()]

    def pause(self, box: Box) -> None:
        """Freeze a host; its connections stay, and nobody answers on them."""
        box.podman("pause")

    def unpause(self, box: Box) -> None:
        box.podman("unpause")
        wait_until(lambda: box.run("echo up") == "up", f"{box.name} lets us in")

    def cut(self, box: Box) -> None:
        """Take a host's network away; it runs on, alone."""
        box.podman("network", "disconnect", "--force", f"mobius-{self.scenario}")

    def join(self, box: Box) -> None:
        box.podman("network", "connect", f"mobius-{self.scenario}")
        box.find_again()
