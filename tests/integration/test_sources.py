"""The three kinds of source: a folder is built, its artifact is deployed elsewhere as it is, a git ref is built."""

from __future__ import annotations

import os
import shutil
import subprocess


def git(folder, *words):
    """Run git as somebody, whose own settings do not matter."""
    subprocess.run(
        ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *words],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
    )


def test_artifact_that_was_built_elsewhere_is_deployed_as_it_is(shared_served, tmp_path):
    record = shared_served.record(shared_served.live())
    made = shared_served.artifact("v1")
    for path in (made, made.with_name(made.name + ".sha256")):
        shutil.copy(path, tmp_path)
    again = shared_served.play("deploy", mobius_release_source=str(tmp_path / made.name))
    assert again.outcome == "unchanged" and again.stats["mobius_release"] == record["id"], again.output


def test_git_repository_and_ref(served, tmp_path):
    source = served.source("v2")
    (source / "src" / "api" / f"only-here-{os.urandom(8).hex()}.js").write_text("// bits that no earlier run has built\n")
    git(source, "init", "--quiet", "--initial-branch=main")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", "v2")
    git(source, "tag", "release-2")
    (source / "VERSION").write_text("v3-unfinished\n")
    git(source, "commit", "--quiet", "--all", "--message", "work in progress")
    result = served.play("deploy", mobius_release_source=f"file://{source}", mobius_release_ref="release-2", mobius_version="v2")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert served.client().health()["version"] == "v2"
    commit = subprocess.run(["git", "rev-parse", "release-2"], cwd=source, check=True, capture_output=True, text=True).stdout.strip()
    assert served.record(served.live())["source"] == f"file://{source}@{commit}"
    assert len(list((served.root / "deps").glob("[0-9a-f]*"))) == 1, "one lock file, one installation"


def test_dependencies_are_shipped_once_and_checked(bare, says):
    """As to a host over SSH: the archive is copied, unpacked, and removed again; npm does not run there."""
    site = bare
    what = {
        "deploy_is_local": False,
        "mobius_dependencies": "ship",
        "mobius_npm_ci_args": ["--omit=dev", "--ignore-scripts"],
        "mobius_artifact_store": str(site.folder / "store"),
    }
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
