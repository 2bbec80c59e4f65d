"""The three kinds of source: a folder is built, its artifact is deployed elsewhere as it is, a git ref is built."""
from __future__ import annotations

import os
import shutil
import subprocess

import pytest


@pytest.fixture(scope="module")
def ready(site):
    """A site that was set up."""
    return site.deployed()


def git(folder, *words):
    """Run git as somebody."""
    subprocess.run(["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *words], cwd=folder, check=True, capture_output=True)


def test_artifact_that_was_built_elsewhere_is_deployed_as_it_is(ready, tmp_path):
    built = ready.deploy("v1")
    assert built.outcome == "deployed"
    record = ready.record(ready.live())
    made = max(ready.artifacts.glob("v1-*.tar.gz"), key=os.path.getmtime)
    for path in (made, made.with_name(made.name + ".sha256")):
        shutil.copy(path, tmp_path)
    again = ready.play("deploy", mobius_release_source=str(tmp_path / made.name))
    assert (again.outcome, again.stats["mobius_release"]) == ("unchanged", record["id"])


def test_git_repository_and_ref(ready, tmp_path):
    source = ready.source("v2")
    (source / "src" / "api" / f"only-here-{ready.port}.js").write_text("// bits that no earlier run has built\n")
    git(source, "init", "--quiet", "--initial-branch=main")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", "v2")
    git(source, "tag", "release-2")
    (source / "VERSION").write_text("v3-unfinished\n")
    git(source, "commit", "--quiet", "--all", "--message", "work in progress")
    result = ready.play("deploy", mobius_release_source=f"file://{source}", mobius_release_ref="release-2", mobius_version="v2")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert ready.client().health()["version"] == "v2"
    commit = subprocess.run(["git", "rev-parse", "release-2"], cwd=source, check=True, capture_output=True, text=True).stdout.strip()
    assert ready.record(ready.live())["source"] == f"file://{source}@{commit}"
    assert len(list((ready.root / "deps").glob("[0-9a-f]*"))) == 1, "one lock file, one installation"


def test_dependencies_are_shipped_once_and_checked(new_site, tmp_path, says):
    """As to a host over SSH: the archive is copied, unpacked, and removed again; npm does not run there."""
    site = new_site(tmp_path / "site")
    site.folder.mkdir()
    what = {"deploy_is_local": False, "mobius_dependencies": "ship", "mobius_npm_ci_args": ["--omit=dev", "--ignore-scripts"],
            "mobius_artifact_store": str(site.folder / "store")}
    assert site.play("setup").outcome == "set_up"
    first = site.deploy("v1", **what)
    assert first.outcome == "deployed" and "changed: [" in first.task("Copy its dependencies"), first.output
    second = site.deploy("v2", **what)
    assert second.outcome == "deployed" and "changed: [" not in second.task("Copy its dependencies"), second.output
    (key,) = [path.name for path in (site.root / "deps").iterdir() if path.name[0] != "."]
    (archive,) = (site.folder / "store").glob("deps-*.tar.gz")
    assert key in archive.name and not list((site.root / "state").glob("*.tar.gz"))
    archive.write_bytes(archive.read_bytes()[:-9])
    result = site.deploy("v3", **what)
    assert (result.status, result.outcome) == (2, "failed") and says(result, "expected SHA-256"), result.output
    assert site.live().startswith("v2-") and len(list((site.root / "releases").glob("v*"))) == 2
