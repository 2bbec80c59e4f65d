# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Preparing a release: whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError, OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import prepare

FILES = {"package.json": "{}", "src/api/index.js": "listen()", "client/build/index.html": "x"}


@pytest.fixture
def params(tmp_path, artifact):
    path, digest = artifact(tmp_path / "a.tar.gz", FILES)
    return {
        "artifact": path,
        "sha256": digest,
        "release_id": "1.0-dddddddd",
        "version": "1.0",
        "source": "test",
        "npm_ci_args": ["--offline"],
        "dependencies": None,
        "migration": "reversible",
        "asset_folders": ["client/build/assets"],
    }


def test_a_release_is_unpacked_linked_and_recorded(host, params):
    record = prepare.prepare(host.store, params)
    folder = host.layout.release("1.0-dddddddd")
    assert record["status"] == "prepared" and record["sequence"] == 1 and record["migration"] == "reversible"
    assert host.store.get("1.0-dddddddd") == record
    assert prepare.is_prepared(host.store, "1.0-dddddddd", params["sha256"])
    assert not prepare.is_prepared(host.store, "1.0-dddddddd", "0" * 64)
    for inside, shared in (("data", "data"), ("src/api/uploads", "uploads"), ("out", "out"), ("logs", "logs"), (".env", "config/.env")):
        link = os.path.join(folder, inside)
        assert os.path.isabs(os.readlink(link))
        assert os.path.realpath(link) == host.layout.path("shared", shared)
    assert [event["what"] for event in host.history()] == ["prepared"]


def test_dependencies_are_linked_and_shared(host, params, tmp_path, artifact):
    lock = '{"name":"a","version":"1","lockfileVersion":3,"requires":true,"packages":{"":{"name":"a","version":"1"}}}'
    path, digest = artifact(tmp_path / "b.tar.gz", {**FILES, "package-lock.json": lock, "package.json": '{"name":"a","version":"1"}'})
    for release_id in ("r1", "r2"):
        prepare.prepare(host.store, {**params, "artifact": path, "sha256": digest, "release_id": release_id})
    links = {os.path.realpath(os.path.join(host.layout.release(name), "node_modules")) for name in ("r1", "r2")}
    (modules,) = links
    assert os.path.isdir(modules) and modules.startswith(host.layout.deps)
    host.live("r9")
    assert prepare.prune(host.store, 5) == (["r1"], [])
    assert os.path.isdir(modules)
    host.store.remove("r2")
    assert prepare.prune(host.store, 5) == ([], []) and not os.path.exists(modules)


@pytest.mark.parametrize(
    "change, kind, words",
    [
        ({"artifact": "/no/such.tar.gz"}, InputError, "artifact /no/such.tar.gz: expected a file on the target"),
        ({"sha256": "0" * 64}, IntegrityError, "SHA-256 0000"),
    ],
)
def test_bad_input_changes_nothing(host, params, snapshot, change, kind, words):
    before = snapshot(host.root)
    with pytest.raises(kind, match=words):
        prepare.prepare(host.store, {**params, **change})
    assert snapshot(host.root) == before


def refused(host, params, path, digest):
    before = sorted(os.listdir(host.layout.releases))
    with pytest.raises(OpsError) as caught:
        prepare.prepare(host.store, {**params, "artifact": path, "sha256": digest})
    assert sorted(os.listdir(host.layout.releases)) == before
    assert not os.path.exists(host.layout.history)
    return str(caught.value)


def test_an_artifact_without_manifest_is_refused(host, params, tmp_path, tar_gz, seal):
    path = tar_gz(tmp_path / "bare.tar.gz", list(FILES.items()))
    assert "a manifest in it" in refused(host, params, path, seal(path))


def test_a_manifest_that_disagrees_is_refused(host, params, tmp_path, artifact):
    path, digest = artifact(tmp_path / "b.tar.gz", FILES, files={})
    assert "artifact file client/build/index.html" in refused(host, params, path, digest)


def test_a_hostile_artifact_is_refused(host, params, tmp_path, tar_gz, seal):
    path = tar_gz(
        tmp_path / "evil.tar.gz",
        [("MANIFEST.json", '{"schema": 1, "version": "1", "digest": "d", "source": "s", "files": {}}'), ("../evil", "x")],
    )
    assert "outside of the release" in refused(host, params, path, seal(path))


def test_too_little_space_is_refused(host, params, monkeypatch):
    monkeypatch.setattr(prepare, "SPACE_FACTOR", 10**14)
    assert "free for release 1.0-dddddddd" in refused(host, params, params["artifact"], params["sha256"])


def test_the_live_release_is_never_replaced(host, params):
    host.live("1.0-dddddddd")
    assert "expected a release that is not live" in refused(host, params, params["artifact"], params["sha256"])


def test_a_failed_release_is_prepared_again(host, params):
    prepare.prepare(host.store, params)
    host.store.save({**host.store.mark("1.0-dddddddd", "failed", "broken"), "migrated": {"state": "done"}})
    assert not prepare.is_prepared(host.store, "1.0-dddddddd", params["sha256"])
    record = prepare.prepare(host.store, params)
    assert record["status"] == "prepared" and record["failed_reason"] is None
    assert record["migrated"] == {"state": "done"}, "what the data has does not go with the folder"


def test_when_dependencies_fail_no_half_release_is_left(host, params, tmp_path, artifact):
    path, digest = artifact(tmp_path / "b.tar.gz", {**FILES, "package-lock.json": "{ broken"})
    assert "npm ci" in refused(host, params, path, digest)


KILLED = """
import sys
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts, prepare
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
import json, os, signal
prepare._link_dependencies = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
prepare.prepare(ReleaseStore(Layout(sys.argv[1])), json.loads(sys.argv[2]))
"""


def test_what_a_killed_preparation_left_is_no_release_and_is_swept_by_the_next(host, params):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, host.root, json.dumps(params)], env=environment, check=False, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert os.listdir(host.layout.releases) == [".preparing-1.0-dddddddd"]
    assert host.store.all() == [] and host.store.live() is None
    prepare.prepare(host.store, {**params, "release_id": "other"})
    assert os.listdir(host.layout.releases) == ["other"]


def test_a_disk_that_fills_while_unpacking_leaves_nothing(host, params, monkeypatch):
    def full(*_words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fs, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        prepare.prepare(host.store, params)
    assert os.listdir(host.layout.releases) == []


def test_the_order_is_kept_when_releases_are_prepared(host, params):
    for release_id in ("b", "a", "c"):
        prepare.prepare(host.store, {**params, "release_id": release_id})
    assert host.store.ids() == ["c", "a", "b"]
    with pytest.raises(StateError):
        host.store.require_target()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_the_artifact_has_in_place_of_a_shared_folder(host, tmp_path, kind):
    release = tmp_path / "release"
    release.mkdir()
    if kind == "folder":
        (release / "uploads").mkdir()
        (release / "uploads" / "own").touch()
        prepare.link_shared(host.layout, str(release))
        assert os.readlink(release / "uploads") == os.path.join(host.layout.component("uploads"), ".root")
        return
    (release / "uploads").touch() if kind == "file" else (release / "uploads").symlink_to("elsewhere")
    with pytest.raises(InputError, match=r"^artifact, uploads: expected a folder or nothing, for it is a shared folder, found a file"):
        prepare.link_shared(host.layout, str(release))
