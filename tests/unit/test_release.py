"""A release: what is refused, what the tarball holds, and that a check leaves the checkout alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import release  # noqa: E402

CHANGELOG = "---\nancestor: null\nreleases:\n  1.2.0: {release_date: '2026-01-01'}\n  1.10.0: {release_date: '2026-02-01'}\n"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A committed repository with two releases."""
    for name, text in {
        "galaxy.yml": "version: 1.10.0\nrepository: https://forge.test/mobius/ops\n",
        "changelogs/changelog.yaml": CHANGELOG,
        "changelogs/fragments/a.yml": "---\n",
        "changelogs/fragments/b.yml": "---\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    who = ["-c", "user.name=A test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "All of it"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("version", ["1.10.1", "1.11.0", "2.0.0"])
def test_a_version_after_the_newest_is_released(checkout, version):
    assert release.refusal(version) == ""


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("", "three numbers with dots"),
        ("1.0", "three numbers with dots"),
        ("v2.0.0", "three numbers with dots"),
        ("2.0.0-rc1", "three numbers with dots"),
        ("2.00.0", "three numbers with dots"),
        ("2.0.0\n", "three numbers with dots"),
        ("1.10.0", "after 1.10.0"),
        ("1.9.0", "after 1.10.0"),
    ],
)
def test_another_version_is_refused(checkout, version, problem):
    assert problem in release.refusal(version)


def test_a_placeholder_for_the_repository_is_refused(checkout):
    (checkout / "galaxy.yml").write_text("version: 1.10.0\nrepository: https://example.org/mobius/ops\n")
    assert release.refusal("2.0.0").startswith("galaxy.yml: repository: expected the address")


def test_an_uncommitted_change_is_refused_by_its_name(checkout):
    (checkout / "new.txt").write_text("x")
    assert release.refusal("2.0.0") == "checkout: expected no uncommitted change, found 1, such as new.txt. Commit them."


def test_a_refused_release_has_status_2_and_makes_nothing(checkout, capsys, monkeypatch):
    monkeypatch.setattr(release, "WORK", checkout / ".build" / "release")
    assert release.main(["1.9.0"]) == 2
    assert "after 1.10.0" in capsys.readouterr().err and not (checkout / ".build").exists()


def test_links_of_a_page_lead_into_the_repository_at_that_version():
    address = "https://forge.test/mobius/ops/blob/2.0.0"
    text = "[a](docs/a.md#b) [c](#c) [d](https://example.org/d) [e](../../README.md)"
    assert release.absolute(text, "roles/app/README.md", address) == (
        f"[a]({address}/roles/app/docs/a.md#b) [c](#c) [d](https://example.org/d) [e]({address}/README.md)"
    )


@pytest.mark.slow  # the tools that it runs are in .venv only, not in the environments of other ansible-cores
def test_the_tarball_is_of_that_version_and_the_checkout_stays_as_it_is(tmp_path, monkeypatch):
    before = {name: (ROOT / name).read_bytes() for name in ("galaxy.yml", "README.md", "changelogs/changelog.yaml")}
    monkeypatch.setattr(release, "WORK", tmp_path)
    work = release.prepare("9.8.7")
    tarball = release.build(work, "9.8.7")
    names = ("MANIFEST.json", "README.md", "CHANGELOG.rst", "roles/app/README.md")
    with tarfile.open(tarball) as package:
        read = {name: package.extractfile(name).read().decode() for name in names}
    assert json.loads(read["MANIFEST.json"])["collection_info"]["version"] == "9.8.7"
    assert "v9.8.7" in read["CHANGELOG.rst"] and not list((work / "changelogs" / "fragments").glob("*.yml"))
    for page in ("README.md", "roles/app/README.md"):
        links = release.LINK.findall(read[page])
        assert not links and "/blob/9.8.7/docs/" in read[page]
    digest, name = tarball.with_name(tarball.name + ".sha256").read_text().split()
    assert name == tarball.name and digest == hashlib.sha256(tarball.read_bytes()).hexdigest()
    assert before == {name: (ROOT / name).read_bytes() for name in before} and os.listdir(ROOT / "changelogs" / "fragments")


def test_what_is_kept_of_a_release(checkout, tmp_path_factory, monkeypatch):
    work = tmp_path_factory.mktemp("work")
    for name in ("galaxy.yml", "CHANGELOG.rst", "changelogs/changelog.yaml", "changelogs/fragments/b.yml"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(f"new {name}")
    tarball = work / "mobius-ops-2.0.0.tar.gz"
    for path in (tarball, work / "mobius-ops-2.0.0.tar.gz.sha256"):
        path.write_text("x")
    monkeypatch.setattr(release, "DIST", checkout / "dist")
    release.keep(work, tarball)
    assert (checkout / "CHANGELOG.rst").read_text() == "new CHANGELOG.rst" and (checkout / "galaxy.yml").read_text() == "new galaxy.yml"
    assert os.listdir(checkout / "changelogs" / "fragments") == ["b.yml"] and len(os.listdir(checkout / "dist")) == 2


def test_what_the_importer_refuses_is_no_release(tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").write_text("#!/bin/sh\necho 'ERROR: no tags'\n")
    (tools / "python").chmod(0o755)
    monkeypatch.setattr(release.venvs, "bring", lambda *_where: tools)
    monkeypatch.setattr(release, "WORK", tmp_path)
    with pytest.raises(SystemExit, match=r"(?s)galaxy-importer refused the collection:.*ERROR: no tags"):
        release.imported(tmp_path / "a.tar.gz")
