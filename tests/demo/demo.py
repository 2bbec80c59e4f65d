"""`make demo`: the main job on a real application, on this machine, with nobody touching it.

Set up, deploy v1, upload and render, back up, deploy v2, deploy a v3 that turns bad, and look at what came of it.
Ends with exit status 0 only when every step ended as it should. KEEP=1 leaves the application running.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.application import ORIGIN, Client, make_source, png
from support.playbooks import ROOT, Operator, Result

HOME = ROOT / ".build" / "demo"
MOBIUS = HOME / "mobius"
PORT = int(os.environ.get("MOBIUS_PORT", "5011"))
#: Seconds after its start at which v3 turns bad: after its smoke test, within its watch.
TURNS_BAD_AFTER = 5


class Unexpected(Exception):
    """A step ended otherwise than it should."""


class Demo:
    """The steps in order; each notes its time and verdict."""

    def __init__(self) -> None:
        os.environ.setdefault("MOBIUS_TEST_OUTPUT", "mobius.ops.steps")
        self.operator = Operator("demo", mobius_port=PORT)
        self.rows: list[tuple[str, float, str, bool]] = []
        self.files: dict[str, str] = {}

    def step(self, title: str, expected: str, work: t.Callable[[], str]) -> None:
        """Run one step and hold its verdict against what it should be."""
        print(f"\n===== {title}", flush=True)
        began = time.monotonic()
        verdict = work()
        self.rows.append((title, time.monotonic() - began, verdict, verdict == expected))
        if verdict != expected:
            raise Unexpected(f"{title}: expected {expected}, found {verdict}")

    def play(self, playbook: str, **extra: t.Any) -> Result:
        """Run a playbook, shown live."""
        result = self.operator.run(playbook, show=True, **extra)
        for name in ("mobius_backup", "mobius_monitor_log", "mobius_metrics_file", "mobius_incident"):
            if result.stats.get(name):
                self.files[name] = result.stats[name]
        return result

    def deploy(self, version: str, fault: dict[str, t.Any] | None = None) -> str:
        """Deploy a version; the watch's verdict."""
        source = make_source(HOME / f"source-{version}", version, fault)
        result = self.play("deploy", mobius_release_source=str(source), mobius_version=version)
        if (result.status == 0) != (result.outcome == "deployed"):
            return f"{result.outcome} with exit status {result.status}"
        return result.stats.get("mobius_verdict") or result.outcome

    def use(self) -> str:
        """Upload an image and render a clip of it."""
        self.client = Client(PORT, (ROOT / ".build" / "secrets" / "demo").read_text().split()[0])
        self.image = png()
        self.uploaded = self.client.upload("board.png", self.image)
        facts = self.client.clip(self.client.render(self.uploaded["path"]), HOME / "clip.mp4")
        print(f"uploaded {self.uploaded['path']}; rendered a clip of {facts['duration']:g} s, {' and '.join(facts['codecs'])}")
        return "playable" if facts["codecs"] == ["aac", "h264"] and 1.5 <= facts["duration"] <= 2.5 else str(facts)

    def still_there(self) -> str:
        """The upload, byte for byte, from the release that serves now."""
        body = self.client.get(self.uploaded["path"]).content
        print(f"{self.client.health()['version']} serves {self.uploaded['path']}, SHA-256 {hashlib.sha256(body).hexdigest()[:16]}…")
        return "identical" if body == self.image else "lost"

    def check_backup(self) -> str:
        """The backup as tools without this collection see it."""
        archive = Path(self.files["mobius_backup"])
        subprocess.run(["sha256sum", "-c", archive.name + ".sha256"], cwd=archive.parent, check=True)
        subprocess.run(["unzip", "-tq", archive], check=True)
        return "verified"

    def serves(self, version: str) -> str:
        """Whether a version answers."""
        health = self.client.health()
        print(f"/health: {health}")
        return "healthy" if health["version"] == version and health["status"] == "ok" else str(health)

    def run(self) -> None:
        """The whole story."""
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        self.step("set up", "set_up", lambda: self.play("setup").outcome)
        self.step("deploy v1", "healthy", lambda: self.deploy("v1"))
        self.step("upload and render", "playable", self.use)
        self.step("back up", "backed_up", lambda: self.play("backup").outcome)
        self.step("sha256sum -c, unzip -t", "verified", self.check_backup)
        self.step("deploy v2", "healthy", lambda: self.deploy("v2"))
        self.step("the upload in v2", "identical", self.still_there)
        self.step("deploy v3, bad after seconds", "rolled_back", lambda: self.deploy("v3", {"kind": "health", "after": TURNS_BAD_AFTER}))
        self.step("v2 serves again", "healthy", lambda: self.serves("v2"))
        self.step("status", "well", lambda: self.play("status").outcome)

    def table(self) -> str:
        """What the run showed."""
        width = max(len(row[0]) for row in self.rows)
        lines = [f"  {'step'.ljust(width)}  {'seconds':>7}  verdict"]
        lines += [
            f"  {title.ljust(width)}  {seconds:7.1f}  {verdict}{'' if good else '   <- UNEXPECTED'}"
            for title, seconds, verdict, good in self.rows
        ]
        lines += [f"  {'all'.ljust(width)}  {sum(row[1] for row in self.rows):7.1f}", ""]
        names = {
            "mobius_backup": "last backup",
            "mobius_monitor_log": "monitor log of v3",
            "mobius_metrics_file": "metrics of v3",
            "mobius_incident": "incident",
        }
        if "mobius_incident" in self.files:
            self.files["mobius_incident"] = str(MOBIUS / "incidents" / (self.files["mobius_incident"] + ".md"))
        lines += [f"  {name}: {os.path.relpath(self.files[key], ROOT)}" for key, name in names.items() if key in self.files]
        return "\n".join(lines)


def stop() -> None:
    """End what an earlier run or this one left running; quiet when there is nothing."""
    if (MOBIUS / "state" / "service" / "mobius" / "spec.json").exists():
        result = Operator("demo", mobius_port=PORT).run("stop")
        if result.status:
            print(result.output)


def main() -> int:
    """The demo; 0 when all went as it should."""
    stop()
    demo = Demo()
    failure = ""
    try:
        demo.run()
    except Unexpected as error:
        failure = str(error)
    finally:
        keep = bool(os.environ.get("KEEP")) and not failure
        if not keep:
            stop()
    print("\n" + demo.table())
    if keep:
        print(
            f"\nThe application runs at http://127.0.0.1:{PORT}/ (it wants the header Origin: {ORIGIN}).\n"
            "Stop it with: .venv/bin/ansible-playbook -i inventories/demo mobius.ops.stop"
        )
    if failure:
        print(f"\nUNEXPECTED: {failure}", file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
