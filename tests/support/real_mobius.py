# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The real MOBIUS, checked out elsewhere, with its operator and one of its users: on this machine, or on a host with systemd."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
import typing as t
from pathlib import Path

import requests

from support.cluster import Box
from support.playbooks import ROOT, Operator, Result
from support.ports import free_ports
from support.waiting import HANG

SOURCE = Path(os.environ.get("MOBIUS_SOURCE", ""))
KEY = "k" * 32
ORIGIN = "https://mobius.example"
#: Two scenes of a second each.
RENDER = {
    "config": {
        "projectId": "p0",
        "video": {"resolution": {"width": 320, "height": 180}, "fps": 10},
        "timing": {"scenes": [{"id": "one", "durationSec": 1}, {"id": "two", "durationSec": 1}]},
    }
}
#: What the real one needs of an operator: keys, an origin, no install scripts (they download), and a client that is built already stays.
SETTINGS: dict[str, t.Any] = {
    "mobius_dotenv": {"MOBIUS_API_KEYS": KEY, "API_KEY": KEY},
    "mobius_service_environment": {"MOBIUS_CORS_ORIGINS": ORIGIN},
    "mobius_health_assertions": ["status == 'ok'"],
    "mobius_npm_ci_args": ["--omit=dev", "--ignore-scripts"],
    "mobius_build_npm_ci_args": ["--ignore-scripts"],
    "mobius_watch_duration": 5,
    "mobius_watch_interval": 1,
    "mobius_watch_latency_floor_ms": 60_000,  # a machine that has other work is no fault of the release
    "mobius_rollback_watch_duration": 0,
    "mobius_min_free_mb": 100,
}


class Mobius:
    """One root with the real application behind the proxy, its operator and one of its users.

    :param shared: its shared folders, as this machine sees them.
    """

    def __init__(self, folder: Path, operator: Operator, url: str, shared: Path) -> None:
        self.folder, self.operator, self.url, self.shared = folder, operator, url, shared
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers.update({"Origin": ORIGIN, "X-Mobius-API-Key": KEY, "X-API-Key": KEY})  # the latter for /load-project
        built = {"mobius_build_command": ["true"]} if (SOURCE / "client" / "build" / "index.html").exists() else {}
        operator.settings.update({**SETTINGS, **built, "mobius_artifact_store": str(folder / "artifacts")})

    @classmethod
    def here(cls, folder: Path) -> Mobius:
        """On this machine, under the process manager."""
        root, (port, standby, proxy) = folder / "mobius", free_ports(3)
        operator = Operator("local", mobius_root=str(root), mobius_port=port, mobius_standby_port=standby, mobius_proxy_port=proxy)
        return cls(folder, operator, f"http://127.0.0.1:{proxy}", root / "shared")

    @classmethod
    def on_systemd(cls, folder: Path) -> Mobius:
        """On the host of the molecule scenario ``mobius``."""
        run = ROOT / ".build" / "molecule-mobius"
        host = Box("mobius-real", run)
        shared = run / "opt" / host.name / "mobius" / "shared"
        return cls(folder, Operator(str(ROOT / "molecule" / "mobius" / "inventory")), f"http://{host.address}", shared)

    def play(self, playbook: str, wanted: str, **extra: t.Any) -> Result:
        """Run a playbook that has to end so."""
        result = self.operator.run(playbook, show=True, **extra)
        assert result.outcome == wanted, result.output
        return result

    def source(self, version: str, change: tuple[str, str] = ("", "")) -> dict[str, str]:
        """The settings that deploy the checkout as a version, with its API changed: a pattern, and what takes its place."""
        folder = self.folder / f"source-{version}"
        shutil.copytree(SOURCE, folder, symlinks=True, ignore=shutil.ignore_patterns("node_modules", ".git"))
        (folder / "VERSION").write_text(version)
        if change[0]:
            entry = folder / "src" / "api" / "index.js"
            text, count = re.subn(*change, entry.read_text(), count=1)
            assert count == 1, change
            entry.write_text(text)
        return {"mobius_release_source": str(folder), "mobius_version": version}

    def deploy(self, version: str, wanted: str = "deployed", change: tuple[str, str] = ("", ""), **extra: t.Any) -> Result:
        """Deploy the checkout as a version."""
        return self.play("deploy", wanted, **self.source(version, change), **extra)

    def live(self) -> str:
        """The id of the live release."""
        return os.path.basename(os.readlink(self.shared.parent / "current"))

    def post(self, path: str, **body: t.Any) -> t.Any:
        """A request that has to be acknowledged; its answer."""
        answer = self.http.post(self.url + path, timeout=HANG, **body)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def get(self, path: str) -> requests.Response:
        """GET a path."""
        return self.http.get(self.url + path, timeout=HANG)

    def save(self, name: str) -> int:
        """Save a project; the id that it was given."""
        return self.post("/save-project", json={"name": name})["projectId"]

    def render(self) -> str:
        """Ask for a render; its id."""
        return self.post("/api/render", json=RENDER)["jobId"]

    def thumbnail(self, image: dict[str, t.Any]) -> bytes:
        """Of an uploaded image. It is not served: the page answers in its place."""
        return (self.shared / "uploads" / ".root" / image["preview"].removeprefix("/uploads/")).read_bytes()

    def job(self, job_id: str) -> dict[str, t.Any]:
        """How a render is going."""
        return self.get(f"/api/render/{job_id}/status").json()["job"]

    def clip(self, job_id: str) -> requests.Response:
        """What a render has made. Where there is nothing, MOBIUS answers with its client."""
        return self.get(f"/uploads/render-jobs/{job_id}/{job_id}-preview.mp4")


class Writer(threading.Thread):
    """A user who saves projects, one after the other; what was acknowledged, and what failed."""

    def __init__(self, mobius: Mobius) -> None:
        super().__init__(daemon=True)
        self.mobius, self.over = mobius, threading.Event()
        self.saved: dict[int, str] = {}
        self.failed: list[str] = []

    def run(self) -> None:
        """Until it is told to stop."""
        number = 0
        while not self.over.is_set():
            number += 1
            name = f"w{number}"
            try:
                self.saved[self.mobius.save(name)] = name
            except (AssertionError, requests.RequestException) as error:
                self.failed.append(f"{name}: {error}")
            time.sleep(0.02)

    @contextlib.contextmanager
    def at_work(self) -> t.Iterator[None]:
        """While the block runs."""
        self.start()
        try:
            yield
        finally:
            self.over.set()
            self.join()
