"""The real MOBIUS, checked out elsewhere: ``make test-mobius MOBIUS_SOURCE=<checkout>``, and ``make test-mobius-systemd`` on a host.

Nothing that it has acknowledged is lost in a deploy, a rollback and a restore: projects, images with their thumbnails, a PDF, renders. Bad
versions of it do not stay. Its install scripts download from hosts that not every machine reaches, so they are left out.
"""

from __future__ import annotations

import os
import shutil
import typing as t
from pathlib import Path

import pytest
from support.application import PDF, png
from support.real_mobius import Mobius, Writer
from support.waiting import HANG, wait_until

PROJECTS, IMAGES, RENDERS = 50, 10, 3


@pytest.fixture(scope="module")
def mobius(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Mobius]:
    """The application, set up, with version 1 in service; everything ends with the tests."""
    folder: Path = tmp_path_factory.mktemp("real")
    made = (Mobius.on_systemd if os.environ.get("MOBIUS_WHERE") == "systemd" else Mobius.here)(folder)
    made.play("setup", "set_up")
    try:
        made.deploy("1")
        yield made
    finally:
        made.operator.run("stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_lost(mobius):
    projects = {mobius.save(f"p{number}"): f"p{number}" for number in range(PROJECTS)}
    pictures = {f"a{number}.png": png(grey=10 + number) for number in range(IMAGES)}
    for name, content in pictures.items():
        mobius.post("/api/projects/p0/images/manual", files={"file": (name, content, "image/png")})
    uploaded = []
    for number in range(IMAGES):
        content = png(grey=99 + number)
        form = {"images": (f"b{number}.png", content, "image/png")}
        uploaded += [(image, content) for image in mobius.post("/upload-images", data={"projectId": "p0"}, files=form)["images"]]
    rules = mobius.post("/upload-pdf", files={"pdf": ("rules.pdf", PDF, "application/pdf")})["pdfPath"]
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
            assert mobius.get(image["path"]).content == content, image
            assert mobius.thumbnail(image).startswith(b"\xff\xd8\xff"), image  # a JPEG
        assert mobius.get(f"/uploads/{os.path.basename(rules)}").content == PDF
        for job in jobs:
            assert mobius.clip(job).headers["Content-Type"] == "video/mp4", job

    all_there()
    writer = Writer(mobius)
    with writer.at_work():
        jobs += [mobius.render(), mobius.render()]  # one runs and one waits in the application's queue while the release changes
        mobius.deploy("2")
    assert writer.failed == [] and len(writer.saved) > 10
    projects.update(writer.saved)
    all_there()
    mobius.play("rollback", "rolled_back")
    all_there()
    backup = mobius.play("backup", "backed_up").stats["mobius_backup"]
    mobius.save("late")
    mobius.play("restore", "restored", mobius_backup=backup, mobius_components="database,uploads,generated")
    all_there()
    print(
        f"{len(projects)} projects, {len(pictures) + len(uploaded)} images, the PDF and {len(jobs)} renders are there; "
        f"{len(writer.saved)} writes during the deploy, 0 failed"
    )


def test_the_smoke_suite_passes_and_skips_nothing(mobius):
    facts = mobius.play("smoke_test", "smoke_passed", mobius_smoke_timeout=HANG).stats
    assert (facts["mobius_failed_tests"], facts["mobius_skipped_tests"]) == ([], [])


def test_a_version_that_does_not_start_never_serves(mobius):
    good = mobius.live()
    result = mobius.deploy("3-syntax", "failed", (r"\A", "}{ // no JavaScript\n"))
    assert mobius.live() == good and mobius.get("/health").ok
    assert "SyntaxError" in " ".join(result.output.split()), result.output


def test_a_version_that_turns_unhealthy_is_taken_back(mobius):
    """Its health fails after twenty seconds, with requests of users all the time."""
    good, writer = mobius.live(), Writer(mobius)
    sick = (r"(app\.get\(['\"]/health['\"],[^{]*\{)", r"\1 if (process.uptime() > 20) return res.status(503).json({status: 'failing'});")
    with writer.at_work():
        result = mobius.deploy("3-sick", "rolled_back", sick, mobius_watch_duration=120)
    assert mobius.live() == good and "status 503 instead of 200" in " ".join(result.output.split())
    assert writer.failed == [] and len(writer.saved) > 10
    assert {number: mobius.get(f"/load-project/{number}").json().get("name") for number in writer.saved} == writer.saved


def test_a_version_that_writes_outside_its_folders_is_told(mobius):
    writes = "import('node:fs').then((fs) => fs.promises.writeFile('elsewhere.txt', 'x')).catch((error) => console.error(error));\n"
    result = mobius.deploy("3-writes", "deployed", (r"\Z", writes))
    assert "elsewhere.txt" in result.output and "mobius_shared_folders" in result.output
    mobius.play("rollback", "rolled_back")
