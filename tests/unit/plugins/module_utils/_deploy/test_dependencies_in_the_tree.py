# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dependencies that need more than the lock file, and the Node that they are for; with the real npm and local packages."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import (
    activation,
    artifacts,
    build,
    dependencies,
    dependency_bundle,
    dependency_needs,
    prepare,
)
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import host as preflight_host
from ansible_collections.mobius.ops.plugins.module_utils._target import node_runtime

PACKAGE = {"name": "app", "version": "1.0.0"}
NONE = {**PACKAGE, "lockfileVersion": 3, "requires": True, "packages": {"": PACKAGE}}
BOUND = b"\x7fELF and so on _ZN2v87Isolate10GetCurrentEv"
NODE_API = b"\x7fELF and so on napi_register_module_v1"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_offline", "true")


@pytest.fixture
def application(tmp_path):
    """An application with its lock file, which the real npm writes."""

    def make(package, **files):
        folder = tmp_path / "app"
        for name, text in {"package.json": json.dumps({**PACKAGE, **package}), **files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        subprocess.run(["npm", "install", "--package-lock-only", "--ignore-scripts"], cwd=folder, check=True, capture_output=True)
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}

    return make


@pytest.fixture
def deploy(host, tmp_path, artifact):
    """Prepare a release of some files; its folder."""

    def run(files, release_id="r1", **params):
        path, digest = artifact(tmp_path / f"{release_id}.tar.gz", files)
        prepare.prepare(
            host.store,
            {
                "artifact": path,
                "sha256": digest,
                "release_id": release_id,
                "version": "1.0",
                "source": "test",
                "npm_ci_args": ["--omit=dev"],
                "dependencies": None,
                "migration": "none",
                "asset_folders": [],
                **params,
            },
        )
        return pathlib.Path(host.layout.release(release_id))

    return run


def node(folder, code):
    return subprocess.run(["node", "-p", code], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def module(name, answer="1"):
    return {
        f"{name}/package.json": json.dumps({"name": os.path.basename(name), "version": "1.0.0"}),
        f"{name}/index.js": f"module.exports = {answer}",
    }


@pytest.mark.parametrize(
    "package, names",
    [
        ({"workspaces": ["packages/*"]}, "packages/part"),
        ({"dependencies": {"part": "file:./lib/part"}}, "lib/part"),
    ],
)
def test_packages_of_the_source_are_there(application, deploy, package, names):
    folder = deploy(application(package, **module(names, "42")))
    assert node(folder, "require('part')") == "42" and not (folder / "node_modules").is_symlink()


def test_a_tarball_of_the_source_is_installed(tmp_path, monkeypatch):
    for name, text in module("packed", "7").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "app").mkdir()
    subprocess.run(["npm", "pack", tmp_path / "packed", "--pack-destination", tmp_path / "app"], check=True, capture_output=True)
    package = {"dependencies": {"packed": "file:./packed-1.0.0.tgz"}}
    (tmp_path / "app/package.json").write_text(json.dumps({**PACKAGE, **package}))
    subprocess.run(["npm", "install", "--package-lock-only"], cwd=tmp_path / "app", check=True, capture_output=True)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "of-the-host"))
    dependencies.provide(str(tmp_path / "app"), str(tmp_path / "deps"), dependencies.Npm([]))
    assert node(tmp_path / "app", "require('packed')") == "7"


@pytest.mark.parametrize(
    "files, package",
    [
        ({"patches/x.patch": "here"}, {"scripts": {"postinstall": "cp patches/x.patch node_modules/seen"}}),
        ({"tools/x.js": "here"}, {"scripts": {"postinstall": "mkdir -p node_modules && cp tools/x.js node_modules/seen"}}),
    ],
)
def test_install_scripts_see_the_application_but_not_the_data(application, deploy, files, package):
    script = package["scripts"]["postinstall"].replace("cp ", "mkdir -p node_modules && test ! -e .env && cp ")
    folder = deploy(application({"scripts": {"postinstall": script}}, **files))
    assert (folder / "node_modules/seen").read_text() == "here"


def test_a_shrinkwrap_is_a_lock_file(application, deploy):
    files = application({"dependencies": {"part": "file:./lib/part"}}, **module("lib/part", "3"))
    files["npm-shrinkwrap.json"] = files.pop("package-lock.json")
    dependencies.require_lock("source", list(files), json.loads(files["package.json"]))
    assert node(deploy(files), "require('part')") == "3"


def test_a_link_to_nothing_is_refused(application, deploy, host):
    files = application({"dependencies": {"part": "file:./lib/part"}}, **module("lib/part"))
    left = {name: text for name, text in files.items() if not name.startswith("lib/")}
    with pytest.raises(OpsError, match="node_modules/part"):
        deploy(left)
    assert os.listdir(host.layout.releases) == []


def test_a_link_that_leads_to_nothing_is_named(tmp_path):
    (tmp_path / "node_modules/.bin").mkdir(parents=True)
    (tmp_path / "node_modules/good").symlink_to(".bin")
    dependency_needs.require_links(str(tmp_path))
    (tmp_path / "node_modules/part").symlink_to("../lib/part")
    with pytest.raises(StateError, match=r"dependency link node_modules/part: expected a target that exists, found none at \.\./lib/part"):
        dependency_needs.require_links(str(tmp_path))


def test_packages_that_look_for_the_application_have_it_beside_them(deploy, host, tmp_path):
    lock = {**NONE, "packages": {"": PACKAGE, "node_modules/module-alias": {"version": "2.2.3", "optional": True, "os": ["none"]}}}
    files = {"package.json": json.dumps(PACKAGE), "package-lock.json": json.dumps(lock)}
    (tmp_path / "made").mkdir()
    for name, text in files.items():
        (tmp_path / "made" / name).write_text(text)

    def fill(folder, _key):
        os.makedirs(os.path.join(folder, "node_modules/module-alias"))
        script = pathlib.Path(folder, "node_modules/module-alias/index.js")
        script.write_text("module.exports = require('path').resolve(__dirname, '../..')")

    dependencies.provide(str(tmp_path / "made"), host.layout.deps, dependencies.Npm([]), fill)
    assert node(tmp_path / "made", "require('module-alias')") == os.path.realpath(tmp_path / "made")
    assert node_runtime.of_release(str(tmp_path / "made"))["runtime"] == node_runtime.current()


def test_a_build_sees_its_workspaces(application, tmp_path):
    """Also the client, which has no lock file of its own then; nothing of the installation is in the artifact."""
    application({"workspaces": ["client", "packages/*"]}, **module("packages/part", "42"), **module("client"))
    command = ["node", "-e", "require('fs').writeFileSync('made.txt', String(require('part') + require('client')))"]
    builder = build.Builder(str(tmp_path / "store"), [], command, required=["made.txt"])
    made = builder.make(str(tmp_path / "app"), "1.0", "", False)
    names = artifacts.read_manifest(made["path"])["files"]
    assert "made.txt" in names and not [name for name in names if "node_modules" in name or node_runtime.RECORD in name]


@pytest.mark.parametrize(
    "package, args, why",
    [
        ({}, [], ""),
        ({"scripts": {"prepare": "x"}}, [], "the script prepare of package.json"),
        ({"scripts": {"prepare": "x"}}, ["--ignore-scripts"], ""),
        ({"scripts": {"start": "x", "build": "y"}}, [], ""),
    ],
)
def test_most_applications_need_the_lock_file_only(application, tmp_path, package, args, why):
    application(package)
    assert dependency_needs.of_tree(str(tmp_path / "app"), args) == why and not dependency_needs.beside(str(tmp_path / "app"))


def test_an_old_lock_file_tells_too(tmp_path):
    (tmp_path / "package-lock.json").write_text(
        json.dumps(
            {"lockfileVersion": 1, "dependencies": {"a": {"version": "1.0.0", "dependencies": {"part": {"version": "file:lib/part"}}}}}
        )
    )
    assert dependency_needs.of_tree(str(tmp_path)) == "part from a folder or file of the source"


@pytest.mark.parametrize(
    "name, text",
    [
        ("package.json", json.dumps({**PACKAGE, "overrides": {"x": "2"}})),
        (".npmrc", "omit=optional"),
        ("package-lock.json", json.dumps({**NONE, "x": 1})),
        ("npm-shrinkwrap.json", json.dumps(NONE)),
    ],
)
def test_all_that_npm_reads_is_in_the_key(tmp_path, name, text):
    for path, content in (("package.json", PACKAGE), ("package-lock.json", NONE)):
        (tmp_path / path).write_text(json.dumps(content))
    before = dependencies.lock_hash(str(tmp_path), [])
    (tmp_path / name).write_text(text)
    assert dependencies.lock_hash(str(tmp_path), []) != before


@pytest.fixture
def other_node(tmp_path, monkeypatch):
    """A Node of another ABI is installed on the host."""

    def upgrade():
        (tmp_path / "bin").mkdir()
        real = shutil.which("node")
        (tmp_path / "bin/node").write_text(f'#!/bin/sh\n[ "$1" = -p ] || exec {real} "$@"\n{real} "$@" | sed "s/[0-9]*$/999/"\n')
        (tmp_path / "bin/node").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return upgrade


@pytest.fixture
def node_that_says(tmp_path, monkeypatch):
    """The real Node runs, and takes itself for that of another host: ``node_that_says("process.arch = 'arm64'")``."""

    def install(script):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/other.js").write_text(script)
        (tmp_path / "bin/node").write_text(f'#!/bin/sh\nexec {shutil.which("node")} --require {tmp_path}/bin/other.js "$@"\n')
        (tmp_path / "bin/node").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return install


@pytest.mark.parametrize(
    "script, differs",
    [
        ("", False),
        ("Object.defineProperty(process, 'platform', {value: 'freebsd'})", True),
        ("Object.defineProperty(process, 'arch', {value: 'riscv64'})", True),
        ("Object.defineProperty(process, 'versions', {value: {...process.versions, modules: '999'}})", True),
    ],
)
def test_platform_architecture_and_abi_of_node_are_in_the_key(tmp_path, node_that_says, script, differs):
    for path, content in (("package.json", PACKAGE), ("package-lock.json", NONE)):
        (tmp_path / path).write_text(json.dumps(content))
    before = dependencies.lock_hash(str(tmp_path), [])
    node_that_says(script)
    assert (dependencies.lock_hash(str(tmp_path), []) != before) == differs


def refused(_name):
    """As musl answers."""
    raise ValueError("unrecognized configuration name")


def test_the_libc_of_the_host_is_in_the_key(tmp_path, monkeypatch):
    """There is one on a machine: the others are by what Python says on them."""
    for path, content in (("package.json", PACKAGE), ("package-lock.json", NONE)):
        (tmp_path / path).write_text(json.dumps(content))
    keys = []
    for confstr in (lambda _name: "glibc 2.36", lambda _name: "glibc 2.41", lambda _name: None, refused):
        monkeypatch.setattr(os, "confstr", confstr)
        keys.append(dependencies.lock_hash(str(tmp_path), []))
    assert keys[0] == keys[1] and len(set(keys)) == 3


def test_a_new_version_with_the_same_dependencies_has_the_same_key(tmp_path):
    keys = set()
    for version in ("1.0.0", "1.0.1"):
        package = {**PACKAGE, "version": version, "scripts": {"test": f"echo {version}"}, "dependencies": {"x": "1"}}
        lock = {
            "name": "app",
            "version": version,
            "lockfileVersion": 3,
            "packages": {"": {"name": "app", "version": version, "dependencies": {"x": "1"}}, "node_modules/x": {"version": "1.0.0"}},
        }
        (tmp_path / "package.json").write_text(json.dumps(package))
        (tmp_path / "package-lock.json").write_text(json.dumps(lock))
        keys.add(dependencies.lock_hash(str(tmp_path), []))
    assert len(keys) == 1
    lock["packages"]["node_modules/x"]["version"] = "1.0.1"
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    assert dependencies.lock_hash(str(tmp_path), []) not in keys
    (tmp_path / "package-lock.json").write_text("{torn")
    assert dependencies.lock_hash(str(tmp_path), []) not in keys


PLAIN = {"package.json": json.dumps(PACKAGE), "package-lock.json": json.dumps(NONE)}


def compiled(folder, content):
    """Give a release's installation an addon, as if the lock file had asked for one."""
    modules = os.path.realpath(folder / "node_modules")
    pathlib.Path(modules, "addon.node").write_bytes(content)
    node_runtime.note(os.path.dirname(modules), node_runtime.describe(modules, node_runtime.current()))


def test_another_node_gets_its_own_installation(deploy, other_node):
    first = deploy(PLAIN)
    assert os.readlink(deploy(PLAIN, "r2") / "node_modules") == os.readlink(first / "node_modules")
    other_node()
    assert os.readlink(deploy(PLAIN, "r3") / "node_modules") != os.readlink(first / "node_modules")


def test_after_an_upgrade_of_node_no_release_is_offered_that_cannot_start(deploy, host, other_node):
    compiled(deploy(PLAIN, "r1"), BOUND)
    host.store.mark("r1", "active")
    host.store.mark("r1", "verified")
    host.live("r2")
    assert host.store.target()["id"] == "r1" and activation.choose_target(host.store, "r1")
    other_node()
    assert host.store.target() is None
    for named, words in (("r1", "release r1: expected dependencies that"), (None, "rollback of r2: expected a verified .* that can start")):
        with pytest.raises(StateError, match=rf"{words}.*addon\.node is compiled for Node ABI \d+, and this host's Node has ABI 999"):
            activation.choose_target(host.store, named)


@pytest.mark.parametrize("content, fits", [(BOUND, False), (NODE_API, True), (b"text", True)])
def test_preflight_compares_the_live_releases_dependencies_with_node(deploy, host, other_node, content, fits):
    compiled(deploy(PLAIN, "r1"), content)
    host.store.point("r1")
    assert preflight_host.dependencies(host.layout)["status"] == "passed"
    other_node()
    row = preflight_host.dependencies(host.layout)
    assert row["status"] == ("passed" if fits else "failed") and (fits or "ABI 999" in row["found"])


def test_releases_of_an_earlier_version_serve_on_and_are_pruned(host):
    """Their dependencies lie below a key of the lock file alone, without a record."""
    modules = pathlib.Path(host.layout.deps, "0123456789abcdef", "node_modules")
    modules.mkdir(parents=True)
    (modules / "addon.node").write_bytes(BOUND)
    host.live("r1")
    (pathlib.Path(host.layout.release("r1")) / "node_modules").symlink_to(modules)
    host.live("r2")
    assert host.store.target()["id"] == "r1" and activation.choose_target(host.store, "r1")["id"] == "r1"
    host.store.point("r1")
    assert preflight_host.dependencies(host.layout)["status"] == "skipped"
    host.store.point("r2")
    prepare.prune(host.store, 5)
    assert modules.is_dir()
    host.store.remove("r1")
    prepare.prune(host.store, 5)
    assert not modules.exists()


def test_what_needs_the_tree_is_not_shipped(application, artifact, tmp_path):
    path, _sha256 = artifact(tmp_path / "a.tar.gz", application({"workspaces": ["packages/*"]}, **module("packages/part")))
    with pytest.raises(InputError, match=r"found workspaces in package\.json\. Set mobius_dependencies to install"):
        dependency_bundle.pack(path, str(tmp_path / "store"), ["--omit=dev"], False)
