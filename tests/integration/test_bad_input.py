"""Bad input gets one clear sentence and changes nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._deploy import build

pytestmark = pytest.mark.xdist_group("bad_input")


@pytest.fixture
def ready(shared_served):
    """A site with v1 live: what is refused leaves it as it was."""
    return shared_served


@pytest.fixture(scope="module")
def built(shared_served):
    """A good artifact of v8, with its sidecar; nothing was deployed."""
    made = build.Builder(str(shared_served.artifacts), [], ["npm", "run", "build"]).make(str(shared_served.source("v8")), "v8", "", False)
    return Path(made["path"])


@pytest.fixture
def artifact(built, tmp_path):
    """Copies of both, in a folder of the test's own."""
    for path in (built, built.with_name(built.name + ".sha256")):
        shutil.copy(path, tmp_path)
    return tmp_path / built.name


def refused(ready, says, sentences, playbook="deploy", **extra):
    """Run it; it fails, says all sentences, and leaves the root as it was."""
    tree = ready.tree()
    result = ready.play(playbook, **extra)
    assert (result.status, result.outcome) == (2, "failed")
    for sentence in sentences:
        assert says(result, sentence), result.output
    assert "Traceback" not in result.output
    assert ready.tree() == tree
    return result


def test_unknown_env(ready, says):
    refused(
        ready,
        says,
        ["mobius_env: expected one of local, demo, staging, production, found 'prod'. Correct it"],
        mobius_env="prod",
        mobius_release_source=str(ready.source("v1")),
        mobius_version="v1",
    )


def test_mistyped_settings(ready, says):
    result = refused(
        ready,
        says,
        [
            "mobius_port: expected a whole number, found 'abc'. Correct it.",
            "mobius_watch_duration: expected a number, found 'an hour'. Correct it.",
        ],
        "status",
        mobius_port="abc",
        mobius_watch_duration="an hour",
    )
    assert len(result.output.splitlines()) < 40  # not the whole specification


def test_settings_that_nothing_reads(ready, says):
    refused(
        ready,
        says,
        [
            "mobius_prot: expected a setting of mobius.ops, found none of this name (did you mean mobius_port?). Correct it",
            "mobius_checks, entry 1: expected the fields",
            "found ulr (did you mean url?). Correct the name.",
        ],
        "setup",
        mobius_prot=99,
        mobius_checks=[{"name": "health", "ulr": "http://127.0.0.1:1/"}],
    )


def test_settings_of_the_watch_are_checked_before_anything_changes(ready, says):
    refused(
        ready,
        says,
        ["watch option interval: expected a number above 0, found 0"],
        mobius_watch_interval=0,
        mobius_release_source=str(ready.source("v4")),
        mobius_version="v4",
    )


def test_no_source(ready, says):
    refused(
        ready, says, ["release source '': expected a folder, a .tar.gz or .tgz file with its .sha256, or a git URL"], mobius_version="v4"
    )


def test_missing_version(ready, says):
    refused(
        ready, says, ["mobius_version: expected the version of the release, found nothing"], mobius_release_source=str(ready.source("v1"))
    )


def test_missing_artifact(ready, says):
    refused(
        ready,
        says,
        ["artifact /nonexistent/mobius-4.tar.gz: expected the file and its .sha256 beside it"],
        mobius_release_source="/nonexistent/mobius-4.tar.gz",
        mobius_version="v4",
    )


def test_wrong_checksum(ready, says, artifact):
    sidecar = artifact.with_name(artifact.name + ".sha256")
    sidecar.write_text("0" * 64 + sidecar.read_text()[64:])
    refused(ready, says, ["expected SHA-256 " + "0" * 64, "do not deploy it"], mobius_release_source=str(artifact), mobius_version="v8")


def test_damaged_artifact(ready, says, artifact):
    content = artifact.read_bytes()[:-5000]
    artifact.write_bytes(content)
    refused(ready, says, [f"artifact {artifact}: expected SHA-256"], mobius_release_source=str(artifact), mobius_version="v8")
    artifact.with_name(artifact.name + ".sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {artifact.name}\n")
    result = ready.play("deploy", mobius_release_source=str(artifact), mobius_version="v8")
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, "expected a whole gzipped tar file")
    assert not list((ready.root / "releases").glob("*v8*"))


def test_version_that_differs_from_the_artifacts(ready, says, artifact):
    refused(
        ready,
        says,
        ["expected version v9 (mobius_version), found version v8 in its manifest"],
        mobius_release_source=str(artifact),
        mobius_version="v9",
    )


def test_unknown_component(ready, says):
    refused(
        ready,
        says,
        ["components: expected some of all, config, database, uploads, generated, logs, found 'databse'"],
        "backup",
        mobius_components="config,databse",
    )


def test_no_rollback_target(ready, says):
    refused(ready, says, [f"rollback of {ready.live()}: expected a verified release older than the live one, found none"], "rollback")


def test_rollback_to_a_missing_backup(ready, says):
    refused(
        ready,
        says,
        ["dhash_local_20200101_000000.zip: expected a file, found nothing. Look for archives with"],
        "rollback",
        mobius_backup=str(ready.root / "backups" / "dhash_local_20200101_000000.zip"),
    )


def test_rollback_of_data_to_an_unknown_release_stops_nothing(ready, says):
    backup = ready.play("backup").stats["mobius_backup"]
    refused(
        ready,
        says,
        ["release v9-00000000: expected one of"],
        "rollback",
        mobius_backup=backup,
        mobius_rollback_data="true",
        mobius_release_id="v9-00000000",
    )
    assert ready.client().health()["status"] == "ok"


def test_host_that_was_not_set_up(ready, says):
    result = ready.play("status", mobius_root="/nonexistent/mobius")
    assert result.status == 2
    assert says(result, "root /nonexistent/mobius: expected a host that was set up")
    assert says(result, "Run the playbook mobius.ops.setup first")


def test_no_ffmpeg(ready, says, tmp_path, monkeypatch):
    for name in ("node", "npm", "git", "bash", "sh", "env", "python3"):
        os.symlink(shutil.which(name), tmp_path / name)
    path = os.pathsep.join([os.path.dirname(sys.executable), str(tmp_path)])
    monkeypatch.setattr(ready.operator, "environment", lambda: {**type(ready.operator).environment(ready.operator), "PATH": path})
    refused(
        ready,
        says,
        ["ffmpeg (no program ffmpeg on the PATH)", "install ffmpeg (mobius.ops.setup does)"],
        mobius_release_source=str(ready.source("v4")),
        mobius_version="v4",
    )


def test_no_disk_space(ready, says):
    refused(
        ready,
        says,
        ["disk (", "free some space: 1000000000000 MB are wanted (mobius_min_free_mb)"],
        mobius_release_source=str(ready.source("v4")),
        mobius_version="v4",
        mobius_min_free_mb="1000000000000",
    )


def test_port_in_use_by_something_else(served, says):
    assert served.play("stop").outcome == "stopped"
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", served.port))
        stranger.listen()
        refused(
            served,
            says,
            [f"port {served.port}: expected nobody or the service mobius to listen, found process {os.getpid()} ("],
            mobius_release_source=str(served.source("v4")),
            mobius_version="v4",
        )
        refused(served, says, [f"port {served.port}: expected nobody"], "restart")


def test_dependencies_that_cannot_be_installed_leave_no_copy_of_the_artifact(ready, says, tmp_path):
    live = ready.live()
    result = ready.play(
        "deploy",
        mobius_release_source=str(ready.source("v9")),
        mobius_version="v9",
        deploy_is_local=False,
        mobius_npm_ci_args=["--omit=dev", "--offline", f"--cache={tmp_path}"],
    )
    assert (result.status, result.outcome, ready.live()) == (2, "failed", live), result.output
    assert says(result, "Verify and unpack it: ") and says(result, "found 1 (code ENOTCACHED | request to "), result.output
    assert says(result, "Remove --offline from mobius_npm_ci_args") and not says(result, "npm notice"), result.output
    assert not list((ready.root / "state").glob("*.tar.gz"))


@pytest.mark.parametrize("playbook", ["backup", "diagnose", "smoke_test"])
def test_a_python_that_is_not_there_is_named(ready, playbook):
    """Of a module that could not run, Ansible says only that it broke."""
    tree = ready.tree()
    result = ready.play(playbook, ansible_python_interpreter="/nowhere/python3")
    assert result.status == 2 and "/nowhere/python3: not found (The module" in " ".join(result.output.split()), result.output
    assert playbook == "backup" or "/nowhere/python3: not found (The module" in result.stats["mobius_message"]
    assert ready.tree() == tree
