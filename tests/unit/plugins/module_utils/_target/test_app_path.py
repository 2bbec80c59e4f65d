# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application sees every release in the same folder, so that absolute paths that it has stored stay valid."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.namespaces import without
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import app_path

#: Stores an absolute path as MOBIUS does, and reads back what the last one has stored; then it stays.
STORING = """
import json, os, time
log = lambda **facts: print(json.dumps({"cwd": os.getcwd(), "uid": os.getuid(), **facts}), flush=True)
try:
    with open("data/images.json") as stream:
        stored = json.load(stream)
    log(found=os.path.isfile(stored["fileKey"]) and stored["fileKey"].startswith(os.getcwd() + os.sep))
except FileNotFoundError:
    key = os.path.join(os.getcwd(), "data", "a.png")
    open(key, "w").close()
    with open("data/images.json", "w") as stream:
        json.dump({"fileKey": key}, stream)
    log(stored=key)
try:
    open("rubbish", "w").close()
    log(wrote="rubbish")
except OSError as error:
    log(refused=error.strerror)
time.sleep(86400)
"""


def put(host, release_id):
    """A release that stores, linked to what is shared."""
    host.release(release_id, "verified")
    with open(os.path.join(host.layout.release(release_id), "app.py"), "w") as stream:
        stream.write(STORING)
    os.symlink(os.path.join(host.layout.shared, "data"), os.path.join(host.layout.release(release_id), "data"))


def told(service):
    """What the application has printed."""
    with open(service.spec["console_log"]) as stream:
        return [json.loads(line) for line in stream.read().splitlines() if line.startswith("{")]


def run_on(service, host, release_id):
    """Start it on a release and wait until it has said everything; what it has said."""
    before = len(told(service)) if os.path.exists(service.spec["console_log"]) else 0
    host.store.point(release_id)
    service.restart()
    wait_until(lambda: os.path.exists(service.spec["console_log"]) and len(told(service)) == before + 2)
    return told(service)[before:]


def test_a_stored_path_is_valid_in_the_next_release(host):
    put(host, "r1")
    put(host, "r2")
    service = host.service()
    try:
        first, refused = run_on(service, host, "r1")
        assert first["stored"] == os.path.join(host.layout.app, "data", "a.png") and first["cwd"] == host.layout.app
        assert refused["refused"] == "Read-only file system"
        assert service.status()["release"] == "r1" and service.way() == app_path.BOUND
        assert os.listdir(host.layout.app) == [], "others see the release there, too"
        second, _refused = run_on(service, host, "r2")
        assert second["found"] and second["cwd"] == host.layout.app and service.status()["release"] == "r2"
    finally:
        service.stop()


def test_another_folder_can_be_chosen(host, tmp_path):
    put(host, "r1")
    service = host.service(app_path=str(tmp_path / "of my own" / "app"))
    try:
        first, _refused = run_on(service, host, "r1")
        assert first["cwd"] == str(tmp_path / "of my own" / "app") and service.status()["release"] == "r1"
    finally:
        service.stop()


def test_links_stand_in_where_the_kernel_allows_no_namespace(host):
    put(host, "r1")
    put(host, "r2")
    os.unlink(os.path.join(host.layout.release("r2"), "package.json"))
    service = host.service()
    code = """
import sys
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import app_path
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from support.waiting import wait_until
layout, said = Layout(sys.argv[1]), []
service = service_registry.load(layout, "mobius")
shared = service_registry.service_for(layout, {**service.spec, "state": "shared"})
assert service.way() == app_path.LINKED and shared.way() == app_path.MOVING
try:
    for release in ("r1", "r2"):
        ReleaseStore(layout).point(release)
        service.restart()
        lines = 2 if release == "r1" else 4
        wait_until(lambda: service.status()["release"] == release and sum(1 for _line in open(service.spec["console_log"])) == lines)
finally:
    service.stop()
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(without(sys.executable, "-c", code, host.root), check=True, env=env, timeout=2 * HANG)
    first, _wrote, second, _wrote_too = told(service)
    assert first["stored"].startswith(host.layout.app + os.sep) and second["found"] and second["cwd"] == host.layout.app
    assert "package.json" not in os.listdir(host.layout.app) and os.path.islink(os.path.join(host.layout.app, "app.py"))


def test_a_release_of_before_gets_the_links_of_one_that_is_prepared_now(host):
    folder = host.layout.release("r1")
    host.live("r1")
    os.makedirs(os.path.join(folder, "src", "api"))
    os.makedirs(os.path.join(host.layout.deps, "x", "node_modules"))
    links = {"data": "../../shared/data", "src/api/uploads": "../../../../shared/uploads", "node_modules": "../../deps/x/node_modules"}
    for inside, target in links.items():
        os.symlink(target, os.path.join(folder, inside))
    before = {inside: os.path.realpath(os.path.join(folder, inside)) for inside in links}
    host.service()
    for inside in links:
        assert os.path.isabs(os.readlink(os.path.join(folder, inside)))
        assert os.path.realpath(os.path.join(folder, inside)) == before[inside] and os.path.isdir(before[inside])
    assert os.readlink(os.path.join(folder, "uploads")) == os.path.join(host.layout.component("uploads"), ".root")


def test_a_service_of_before_gets_the_folder_with_its_next_start(host):
    host.live("r1")
    spec = host.service().spec
    del spec["app"]
    with open(os.path.join(host.layout.state, "service", "mobius", "spec.json"), "w") as stream:
        json.dump(spec, stream)
    service = service_registry.load(host.layout, "mobius")
    assert service.spec["app"] == host.layout.app
    service.start()
    wait_until(lambda: service.status()["pid"])
    wait_until(lambda: processes.working_dir(service.status()["pid"]) == host.layout.app)


@pytest.mark.parametrize("path", ["app", "/", "{root}", "{root}/releases", "{root}/shared/data/app", "{root}/state/x"])
def test_a_folder_that_is_used_for_something_else_is_refused(host, path):
    with pytest.raises(InputError, match=r"^mobius_app_path .*expected an absolute path of a folder that nothing else uses"):
        app_path.checked(host.layout, path.format(root=host.root))


def test_a_file_in_its_place_is_refused(host):
    host.live("r1")
    os.rmdir(host.layout.app)
    with open(host.layout.app, "w"):
        pass
    with pytest.raises(StateError, match=f"^mobius_app_path {host.layout.app}: expected a folder or nothing, found something else"):
        host.service()


def test_a_mount_that_fails_ends_the_service_and_says_why(host):
    put(host, "r1")
    code = f"""
from ansible_collections.mobius.ops.plugins.module_utils._target import app_path
app_path.enter({host.layout.release("r1")!r}, {host.layout.app + "/none"!r}, {{}})
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == app_path.REFUSED
    assert done.stderr == f"mobius.ops: cannot mount {host.layout.release('r1')} at {host.layout.app}/none: No such file or directory\n"
