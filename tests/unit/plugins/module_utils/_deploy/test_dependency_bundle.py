# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dependencies that the controller installs and packs, for hosts that reach no package registry."""

from __future__ import annotations

import glob
import json
import os
import pathlib
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError, OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts, dependency_bundle, prepare
from ansible_collections.mobius.ops.plugins.module_utils._deploy import dependencies as deploy_dependencies
from ansible_collections.mobius.ops.plugins.module_utils._target import node_runtime
from ansible_collections.mobius.ops.plugins.modules import release, release_artifact

ARGS = ["--omit=dev", "--offline"]
LOCK = {"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "app", "version": "1.0.0"}}}
FILES = {
    "package.json": '{"name": "app", "version": "1.0.0"}',
    "package-lock.json": json.dumps(LOCK),
    "src/api/index.js": "listen()",
    "client/build/index.html": "x",
}


@pytest.fixture
def built(tmp_path, artifact):
    path, sha256 = artifact(tmp_path / "a.tar.gz", FILES)
    return {
        "artifact": path,
        "sha256": sha256,
        "release_id": "1.0-dddddddd",
        "version": "1.0",
        "source": "test",
        "npm_ci_args": ARGS,
        "migration": "none",
        "asset_folders": [],
    }


@pytest.fixture
def pack(built, tmp_path):
    """Pack what npm installs, and what a test puts beside it."""

    def run(check_mode=False, **files):
        store = str(tmp_path / "store")
        if files:  # as if the lock file had asked for them
            (tmp_path / "source").mkdir()
            artifacts.unpack(built["artifact"], str(tmp_path / "source"))
            modules, _new = deploy_dependencies.install(str(tmp_path / "source"), os.path.join(store, "deps"), ARGS)
            for name, content in files.items():
                with open(os.path.join(modules, name), "wb") as stream:
                    stream.write(content)
        return dependency_bundle.pack(built["artifact"], store, ARGS, check_mode)

    return run


@pytest.fixture
def no_npm(monkeypatch, tmp_path):
    """A host with Node and without npm."""
    (tmp_path / "bin").mkdir()
    os.symlink(shutil.which("node"), tmp_path / "bin" / "node")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def to_host(packed):
    return {"path": packed["path"], "sha256": packed["sha256"]}


def test_packed_once_and_unpacked_without_npm(host, built, pack, monkeypatch, request):
    packed = pack(dep=b"module.exports = 1")
    assert packed["built"] and packed["size"] == os.path.getsize(packed["path"]) and not pack()["built"]
    request.getfixturevalue("no_npm")
    for release_id in ("r1", "r2"):
        prepare.prepare(host.store, {**built, "release_id": release_id, "dependencies": to_host(packed)})
        os.unlink(packed["path"]) if os.path.exists(packed["path"]) else None  # the second one needs no copy
    modules = os.path.realpath(os.path.join(host.layout.release("r2"), "node_modules"))
    assert modules == os.path.realpath(os.path.join(host.layout.deps, packed["key"], "node_modules"))
    assert os.listdir(os.path.dirname(modules)) and not os.path.exists(os.path.join(os.path.dirname(modules), dependency_bundle.MANIFEST))
    with open(os.path.join(modules, "dep"), encoding="utf-8") as stream:
        assert stream.read() == "module.exports = 1"


def refused(host, built, dependencies, kind, words):
    with pytest.raises(kind, match=words):
        prepare.prepare(host.store, {**built, "dependencies": dependencies})
    assert os.listdir(host.layout.releases) == [] and [name for name in os.listdir(host.layout.deps) if not name.endswith(".lock")] == []


def test_a_copy_that_is_missing_or_damaged_is_refused(host, built, pack, tmp_path):
    packed = to_host(pack())
    refused(host, built, {**packed, "path": str(tmp_path / "none")}, InputError, "expected a file on the target, found none")
    refused(host, built, {**packed, "sha256": "0" * 64}, IntegrityError, "expected SHA-256 0000")


def test_those_of_another_lock_file_are_refused(host, built, pack):
    refused(host, {**built, "npm_ci_args": []}, to_host(pack()), InputError, "expected those of lock file .* Give all hosts the same")


def test_a_file_that_is_none_is_refused(host, built, tar_gz, seal, tmp_path):
    path = tar_gz(tmp_path / "bare.tar.gz", [("node_modules/x", "x")])
    refused(host, built, {"path": path, "sha256": seal(path)}, IntegrityError, "DEPENDENCIES.json of schema 1 at its beginning, found none")


@pytest.mark.parametrize("content, there", [(b"\x7fELF and so on", False), (b"module.exports = 1", True)])
def test_compiled_ones_are_for_machines_of_the_same_kind(host, built, pack, monkeypatch, content, there):
    packed, here = pack(dep=content), node_runtime.current()
    packed = {**to_host(packed), "runtime": packed["runtime"]}
    monkeypatch.setattr(node_runtime, "current", lambda: "sunos-s390-other-1")
    if there:
        assert prepare.prepare(host.store, {**built, "dependencies": packed})
    else:
        refused(host, built, packed, InputError, f"dep is compiled for {here.rpartition('-')[0]}, and this host is sunos-s390-other")


def test_installed_ones_are_compared_with_the_node_of_the_host_again(host, built, pack, monkeypatch):
    """Node was upgraded on the host between two releases with the same packed dependencies."""
    packed = pack(**{"addon.node": b"\x7fELF _ZN2v8"})
    dependencies = {**to_host(packed), "runtime": packed["runtime"]}
    prepare.prepare(host.store, {**built, "release_id": "r1", "dependencies": dependencies})
    machine = packed["runtime"].rpartition("-")[0]
    monkeypatch.setattr(node_runtime, "current", lambda: f"{machine}-999")
    with pytest.raises(InputError, match=r"addon\.node is compiled for Node ABI \d+, and this host's Node has ABI 999\. Run the playbook"):
        prepare.prepare(host.store, {**built, "release_id": "r2", "dependencies": dependencies})
    assert os.listdir(host.layout.releases) == ["r1"]


def test_a_file_with_two_names_arrives_under_both(host, built, pack, tmp_path):
    """As the installation of esbuild makes them."""
    pack(one=b"program")  # the installation that is packed below
    key = os.path.basename(glob.glob(str(tmp_path / "store" / "deps" / "[0-9a-f]*"))[0])
    modules = tmp_path / "store" / "deps" / key / "node_modules"
    os.link(modules / "one", modules / "two")
    os.unlink(tmp_path / "store" / f"deps-{key}.tar.gz")
    prepare.prepare(host.store, {**built, "dependencies": to_host(pack())})
    arrived = pathlib.Path(host.layout.deps, key, "node_modules")
    assert [(arrived / name).read_bytes() for name in ("one", "two")] == [b"program"] * 2


def test_what_hosts_would_refuse_is_not_packed(pack, tmp_path):
    pack(one=b"program")
    (key,) = (os.path.basename(path) for path in glob.glob(str(tmp_path / "store" / "deps" / "[0-9a-f]*")))
    os.symlink("/etc/passwd", tmp_path / "store" / "deps" / key / "node_modules" / "out")
    os.unlink(tmp_path / "store" / f"deps-{key}.tar.gz.sha256")
    with pytest.raises(IntegrityError, match="a symlink to /etc/passwd"):
        pack()


def test_a_disk_without_room_is_told_before_anything_is_unpacked(host, built, pack, monkeypatch):
    packed = to_host(pack(dep=b"x" * 5000))
    real = fs.require_space
    monkeypatch.setattr(fs, "require_space", lambda folder, size, what: real(folder, 2**60 if "packed" in what else size, what))
    refused(host, built, packed, OpsError, "packed dependencies")


def test_an_application_without_lock_file_has_none(artifact, tmp_path):
    path, _sha256 = artifact(tmp_path / "b.tar.gz", {name: text for name, text in FILES.items() if "lock" not in name})
    assert dependency_bundle.pack(path, str(tmp_path / "store"), ARGS, False) is None


def test_by_the_modules(run_module, host, built, tmp_path):
    args = {"source": built["artifact"], "store": str(tmp_path / "store"), "ship_npm_ci_args": ARGS}
    planned = run_module(release_artifact, args, check=True)
    assert planned["changed"] and planned["dependencies"]["path"] is None and not os.path.exists(args["store"])
    made = run_module(release_artifact, args)
    assert made["changed"] and made["dependencies"]["key"] == planned["dependencies"]["key"]
    assert not run_module(release_artifact, args)["changed"] and not run_module(release_artifact, args, check=True)["changed"]
    assert run_module(release_artifact, {**args, "ship_npm_ci_args": None})["dependencies"] is None
    params = {name: built[name] for name in ("artifact", "sha256", "npm_ci_args", "release_id")}
    assert run_module(release, {"root": host.root, "state": "prepared", **params, "dependencies": to_host(made["dependencies"])})["changed"]
    with open(made["dependencies"]["path"], "ab") as stream:
        stream.write(b"x")
    assert "expected SHA-256" in run_module(release_artifact, args)["msg"]
    assert artifacts.stored(made["dependencies"]["path"]), "what is damaged stays for a person to look at"
