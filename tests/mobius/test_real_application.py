"""The real MOBIUS, checked out elsewhere: ``make test-mobius MOBIUS_SOURCE=<checkout>``.

Nothing that it has acknowledged is lost in a deploy, a rollback and a restore: projects, images with their thumbnails, renders. Its install
scripts download from hosts that not every machine reaches, so they are left out. A checkout that has a built client keeps it.
"""
from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import typing as t
from pathlib import Path

import pytest
import requests
from support import playbooks
from support.application import png
from support.ports import free_port
from support.waiting import HANG, wait_until

SOURCE = Path(os.environ.get("MOBIUS_SOURCE", ""))
KEY = "k" * 32
PROJECTS, IMAGES, RENDERS = 50, 10, 3
#: Two scenes of a second each.
RENDER = {"config": {"projectId": "p0", "video": {"resolution": {"width": 320, "height": 180}, "fps": 10},
                     "timing": {"scenes": [{"id": "one", "durationSec": 1}, {"id": "two", "durationSec": 1}]}}}
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 41>>stream
BT /F 12 Tf 9 50 Td (Set up the board) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""


class Mobius:
    """One root with the real application behind the proxy, its operator and one of its users."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "mobius"
        proxy = free_port()
        self.url = f"http://127.0.0.1:{proxy}"
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers.update({"Origin": self.url, "X-Mobius-API-Key": KEY, "X-API-Key": KEY})  # the latter for /load-project
        self.operator = playbooks.Operator(
            "local", mobius_root=str(self.root), mobius_port=free_port(), mobius_standby_port=free_port(), mobius_proxy_port=proxy,
            mobius_artifact_store=str(folder / "artifacts"), mobius_dotenv={"MOBIUS_API_KEYS": KEY, "API_KEY": KEY},
            mobius_service_environment={"MOBIUS_CORS_ORIGINS": self.url}, mobius_health_assertions=["status == 'ok'"],
            mobius_npm_ci_args=["--omit=dev", "--ignore-scripts"], mobius_build_npm_ci_args=["--ignore-scripts"],
            mobius_watch_duration="5", mobius_watch_interval="1", mobius_rollback_watch_duration=0, mobius_min_free_mb=100,
            **({"mobius_build_command": ["true"]} if (SOURCE / "client" / "build" / "index.html").exists() else {}))

    def play(self, playbook: str, wanted: str, **extra: t.Any) -> playbooks.Result:
        """Run a playbook that has to end so."""
        result = self.operator.run(playbook, show=True, **extra)
        assert result.outcome == wanted, result.output
        return result

    def deploy(self, version: str) -> None:
        """Deploy the checkout as a version."""
        source = self.folder / f"source-{version}"
        shutil.copytree(SOURCE, source, symlinks=True, ignore=shutil.ignore_patterns("node_modules", ".git"))
        (source / "VERSION").write_text(version)
        self.play("deploy", "deployed", mobius_release_source=str(source), mobius_version=version)

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

    def job(self, job_id: str) -> dict[str, t.Any]:
        """How a render is going."""
        return self.get(f"/api/render/{job_id}/status").json()["job"]

    def picture(self, image: dict[str, t.Any]) -> bytes:
        """An uploaded image as it is served, its thumbnail being there too. That is not served: the page answers in its place."""
        thumbnail = self.root / "shared" / "uploads" / ".root" / image["preview"].removeprefix("/uploads/")
        assert thumbnail.read_bytes().startswith(b"\xff\xd8\xff"), image  # a JPEG
        return self.get(image["path"]).content

    def clips(self, job_id: str) -> list[Path]:
        """What a render has left."""
        return sorted((self.root / "shared" / "uploads" / "render-jobs" / job_id).rglob("*.mp4"))


@pytest.fixture
def mobius(tmp_path: Path) -> t.Iterator[Mobius]:
    """The application, set up; everything ends with the test."""
    made = Mobius(tmp_path)
    made.play("setup", "set_up")
    try:
        yield made
    finally:
        made.operator.run("stop")
        shutil.rmtree(tmp_path, ignore_errors=True)


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


def test_nothing_is_lost(mobius):
    mobius.deploy("1")
    projects = {mobius.save(f"p{number}"): f"p{number}" for number in range(PROJECTS)}
    pictures = {f"a{number}.png": png(grey=10 + number) for number in range(IMAGES)}
    for name, content in pictures.items():
        mobius.post("/api/projects/p0/images/manual", files={"file": (name, content, "image/png")})
    uploaded = []
    for number in range(IMAGES):
        content = png(grey=99 + number)
        sent = {"images": (f"b{number}.png", content, "image/png")}
        [image] = mobius.post("/upload-images", data={"projectId": "p0"}, files=sent)["images"]
        uploaded.append((image, content))
    mobius.post("/upload-pdf", files={"pdf": ("rules.pdf", PDF, "application/pdf")})
    jobs = [mobius.render() for _number in range(RENDERS)]
    for job in jobs:
        wait_until(lambda job=job: mobius.job(job)["status"] in ("completed", "failed"))
        assert mobius.job(job)["status"] == "completed", mobius.job(job)

    def all_there() -> None:
        assert {number: mobius.get(f"/load-project/{number}").json().get("name") for number in projects} == projects
        images = mobius.get("/api/projects/p0/images").json()["images"]
        files = {image["name"]: mobius.get(f"/api/projects/p0/images/{image['id']}/file").content for image in images}
        assert files == pictures
        for image, content in uploaded:
            assert mobius.picture(image) == content, image
        for job in jobs:
            assert mobius.clips(job), job
            for path in mobius.clips(job):
                assert mobius.get("/uploads/" + str(path.relative_to(mobius.root / "shared" / "uploads"))).content == path.read_bytes()

    all_there()
    writer = Writer(mobius)
    with writer.at_work():
        jobs += [mobius.render(), mobius.render()]  # one runs and one waits in the application's queue while the release changes
        mobius.deploy("2")
    assert writer.failed == [] and len(writer.saved) > 10
    projects.update(writer.saved)
    all_there()
    smoke = mobius.play("smoke_test", "smoke_passed", mobius_smoke_timeout=HANG).stats
    assert smoke["mobius_failed_tests"] == smoke["mobius_skipped_tests"] == []
    all_there()
    mobius.play("rollback", "rolled_back")
    all_there()
    backup = mobius.play("backup", "backed_up").stats["mobius_backup"]
    mobius.save("late")
    mobius.play("restore", "restored", mobius_backup=backup, mobius_components="database,uploads,generated")
    all_there()
    print(f"{len(projects)} projects, {len(pictures) + len(uploaded)} images and {len(jobs)} renders are there; "
          f"{len(writer.saved)} writes during the deploy, 0 failed")
