# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module adopted_service: a service that something else runs gets a root, and stays as it is."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import zipfile

import pytest
from support.fake_systemd import FakeSystemd
from support.ports import free_port
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import mounts, processes, systemd
from ansible_collections.mobius.ops.plugins.module_utils._logs import run as logs_run
from ansible_collections.mobius.ops.plugins.module_utils._service import adopted_service as adopted
from ansible_collections.mobius.ops.plugins.module_utils._target import adopted_folders
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.modules import (
    adopted_service,
    backup,
    backup_restore,
    layout,
    maintenance,
    node_service,
    node_service_info,
    release,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts folders")
NOBODY = 65534


def refusal(run_module, module, options) -> str:
    """The sentence by which a module fails."""
    result = run_module(module, options)
    assert result["failed"]
    return result["msg"]


class Shop:
    """A service of somebody else: a process that listens, with folders and a root for this collection."""

    def __init__(self, folder) -> None:
        self.folder, self.root, self.port = folder, folder / "ops", free_port()
        for name in ("data", "uploads"):
            (folder / "shop" / name).mkdir(parents=True)
        (folder / "shop" / "data" / "orders.json").write_text('{"orders": 3}')
        (folder / "shop" / "uploads" / "a.png").write_bytes(b"a picture")
        self.options = {"root": str(self.root), "env": "local", "name": "shop", "port": self.port}
        self.folders = {"database": str(folder / "shop" / "data"), "uploads": str(folder / "shop" / "uploads")}
        self.process = None

    def start(self) -> int:
        """Let it listen."""
        command = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]
        self.process = subprocess.Popen(command, cwd=self.folder / "shop", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: processes.port_answers(self.port))
        return self.process.pid


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setattr(systemd, "is_init", lambda: False)
    made = Shop(tmp_path)
    yield made
    if made.process:
        made.process.kill()
        made.process.wait()
    for point in sorted(mounts.points(), reverse=True):
        if point.startswith(str(made.root) + "/"):
            subprocess.run(["umount", point], check=True)


def test_a_service_is_found_by_its_port_and_stays_as_it_is(shop, run_module):
    pid = shop.start()
    first = run_module(adopted_service, shop.options)
    assert first["changed"] and (first["status"], first["pid"], first["port"]) == ("running", pid, shop.port)
    assert first["user"] == pwd.getpwuid(os.getuid()).pw_name
    again = run_module(adopted_service, shop.options)
    assert not again["changed"] and shop.process.poll() is None
    info = run_module(node_service_info, {"root": str(shop.root), "name": "shop", "checks": [{"url": f"http://127.0.0.1:{shop.port}/"}]})
    assert info["well"] and info["message"].startswith(f"shop runs (process {pid}, port {shop.port}, up ")
    assert "release" not in info["message"]


def test_one_that_does_not_run_is_down_and_nothing_speaks_of_releases(shop, run_module):
    assert run_module(adopted_service, shop.options)["user"] == ""
    info = run_module(node_service_info, {"root": str(shop.root), "name": "shop"})
    assert info["message"] == f"shop is DOWN: no process listens on its port ({shop.port}). Start it where it is run."
    assert not info["well"] and "rollback" not in info["message"] + str(info["findings"])


def test_it_says_what_needs_more(shop, run_module):
    lacks = run_module(adopted_service, {**shop.options, "log": str(shop.folder / "log")})["lacks"]
    assert lacks[0] == adopted.DEPLOYED_ONLY and any(line.startswith("restart, stop, restore") for line in lacks)
    assert any("no uploads" in line for line in lacks) and not any("what it prints" in line for line in lacks)
    assert adopted.lacks({"unit": "shop.service", "console_log": ""}, ["database", "uploads", "logs", "config"]) == [adopted.DEPLOYED_ONLY]


def test_check_mode_writes_nothing(shop, run_module, snapshot):
    before = snapshot(shop.folder)
    result = run_module(adopted_service, {**shop.options, "folders": shop.folders}, check=True)
    assert result["changed"] and snapshot(shop.folder) == before and result["diff"]["after"]["definition"]["port"] == shop.port


@needs_root
def test_its_folders_are_backed_up_and_restored_where_they_are(shop, run_module):
    for name in ("data", "uploads"):
        os.chown(shop.folder / "shop" / name, NOBODY, NOBODY)
    result = run_module(adopted_service, {**shop.options, "folders": shop.folders})
    assert result["changed"] and result["folders"] == shop.folders
    assert not run_module(adopted_service, {**shop.options, "folders": shop.folders})["changed"]
    made = run_module(backup, {"root": str(shop.root), "env": "local", "progress": "none"})
    with zipfile.ZipFile(made["archive"]) as archive:
        assert {"database/orders.json", "uploads/a.png"} <= set(archive.namelist())
    orders = shop.folder / "shop" / "data" / "orders.json"
    orders.write_text("lost")
    asked = {"root": str(shop.root), "env": "local", "archive": made["archive"], "components": ["database"], "progress": "none"}
    assert run_module(backup_restore, asked)["changed"]
    assert orders.read_text() == '{"orders": 3}'
    for folder in (shop.folder / "shop" / "data", shop.root / "shared" / "out"):  # the second one is empty, and no folder of the shop
        assert (os.stat(folder).st_uid, os.stat(folder).st_gid) == (NOBODY, NOBODY)


@needs_root
@pytest.mark.parametrize(("cadence", "step"), [("monthly", "recovery_test"), ("quarterly", "full_restore")])
def test_maintenance_tries_its_backups_without_starting_it(shop, run_module, cadence, step):
    run_module(adopted_service, {**shop.options, "folders": shop.folders})
    run_module(backup, {"root": str(shop.root), "env": "local", "progress": "none"})
    request = {"cadence": cadence, "env": "local", "service": "shop", "steps": [step]}
    (told,) = run_module(maintenance, {"root": str(shop.root), "request": request, "progress": "none"})["steps"]
    assert told["status"] == "done" and "2 files compared" in told["text"] and "the application was left out" in told["text"], told


@needs_root
def test_other_folders_take_the_place_of_those_before(shop, run_module):
    run_module(adopted_service, {**shop.options, "folders": shop.folders})
    result = run_module(adopted_service, {**shop.options, "folders": {"database": shop.folders["uploads"]}})
    shared = shop.root / "shared"
    assert result["changed"] and os.listdir(shared / "data") == ["a.png"] and os.listdir(shared / "uploads") == []
    assert os.listdir(shop.folders["database"]) == ["orders.json"]


@needs_root
def test_letting_go_leaves_the_service_its_folders_and_the_backups(shop, run_module):
    run_module(adopted_service, {**shop.options, "folders": shop.folders})
    made = run_module(backup, {"root": str(shop.root), "env": "local", "progress": "none"})
    gone = {**shop.options, "state": "absent"}
    assert run_module(adopted_service, gone, check=True)["changed"] and os.listdir(shop.root / "shared" / "data")
    assert run_module(adopted_service, gone)["changed"] and not run_module(adopted_service, gone)["changed"]
    assert os.listdir(shop.root / "shared" / "data") == [] and os.listdir(shop.folders["database"]) == ["orders.json"]
    assert os.path.exists(made["archive"])


@needs_root
def test_a_place_that_holds_something_is_refused(shop, run_module):
    run_module(adopted_service, shop.options)
    (shop.root / "shared" / "data" / "old.json").write_text("{}")
    message = refusal(run_module, adopted_service, {**shop.options, "folders": shop.folders})
    assert message.startswith("component database: expected an empty folder at ") and (shop.root / "shared" / "data" / "old.json").exists()


@needs_root
def test_a_folder_that_was_exchanged_while_it_was_mounted_is_not_kept(shop, run_module, monkeypatch):
    other = shop.folder / "other"
    other.mkdir()
    monkeypatch.setattr(adopted_folders, "_mount", lambda one: subprocess.run(["mount", "--bind", str(other), one.place], check=True))
    message = refusal(run_module, adopted_service, {**shop.options, "folders": {"database": shop.folders["database"]}})
    assert "another folder: it was exchanged" in message and not [point for point in mounts.points() if point.startswith(str(shop.root))]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may mount folders")
def test_an_ordinary_user_cannot_have_folders_mounted(shop, run_module):
    assert "mount" in refusal(run_module, adopted_service, {**shop.options, "folders": shop.folders})


@needs_root
@pytest.mark.parametrize(
    "change",
    [
        lambda folder: os.chown(folder, NOBODY, NOBODY),
        lambda folder: os.chmod(folder, 0o777),
        lambda folder: os.chmod(folder, 0o775),
    ],
)
def test_a_folder_that_another_user_can_exchange_is_refused(shop, run_module, change):
    change(shop.folder / "shop")
    message = refusal(run_module, adopted_service, {**shop.options, "folders": shop.folders})
    assert message.startswith("folder database: expected a folder that no other user can exchange while root works in it")
    assert f"found {shop.folder}/shop, which others may write to. Give {shop.folder}/shop itself" in message and not shop.root.exists()


@needs_root
def test_in_a_folder_with_the_sticky_bit_only_its_owner_can_exchange_one(shop, run_module):
    os.chmod(shop.folder / "shop", 0o1777)
    assert run_module(adopted_service, {**shop.options, "folders": shop.folders})["changed"]
    os.chown(shop.folders["uploads"], NOBODY, NOBODY)
    assert "no other user can exchange" in refusal(run_module, adopted_service, {**shop.options, "folders": shop.folders})


@pytest.mark.parametrize(
    ("folders", "problem"),
    [
        ({"pictures": "/srv"}, "folders: expected some of config, database, uploads, generated, logs, found 'pictures'"),
        ({"uploads": "srv/shop"}, "folder uploads: expected an absolute path"),
        ({"uploads": "/srv/../etc"}, "expected an absolute path"),
        ({"uploads": "/"}, "expected an absolute path"),
        ({"uploads": 5}, "expected an absolute path"),
        ({"uploads": ""}, "expected an absolute path"),
        ({"uploads": "/nowhere/at/all"}, "expected a folder at /nowhere/at/all, found no /nowhere"),
        ({"uploads": "{folder}/file"}, "without links, found something else at {folder}/file"),
        ({"uploads": "{folder}/link"}, "without links, found something else at {folder}/link"),
        ({"uploads": "{folder}/link/uploads"}, "without links, found something else at {folder}/link"),
        ({"uploads": "{folder}/shop/data", "database": "{folder}/shop"}, "a folder apart from {folder}/shop"),
        ({"uploads": "{folder}"}, "a folder apart from {folder}/ops"),
        ({"uploads": "{folder}/ops/x"}, "a folder apart from {folder}/ops"),
    ],
)
def test_other_folders_are_refused(shop, run_module, folders, problem):
    (shop.folder / "file").write_text("")
    (shop.folder / "link").symlink_to(shop.folder / "shop")
    (shop.root / "x").mkdir(parents=True)
    given = {name: path.format(folder=shop.folder) if isinstance(path, str) else path for name, path in folders.items()}
    assert problem.format(folder=shop.folder) in refusal(run_module, adopted_service, {**shop.options, "folders": given})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"port": None}, "port: expected the TCP port of the service, found none"),
        ({"unit": "../../etc"}, "expected the name of a unit, such as shop.service"),
        ({"unit": "shop.service\nx"}, "expected the name of a unit"),
        ({"name": "../x"}, "service name"),
        ({"unit": "shop"}, "unit shop.service: expected a unit that systemd of this host knows, found none"),
    ],
)
def test_other_options_are_refused(shop, run_module, change, problem):
    assert problem in refusal(run_module, adopted_service, {**shop.options, **change}) and not shop.root.exists()


def test_a_root_of_a_deployed_service_is_refused_and_so_is_the_other_way_round(shop, run_module):
    options = {
        "root": str(shop.root),
        "name": "mine",
        "state": "present",
        "port": free_port(),
        "command": [sys.executable],
        "manager": "process",
    }
    run_module(layout, {"root": str(shop.root), "env": "local"})
    run_module(node_service, options)
    message = refusal(run_module, adopted_service, shop.options)
    assert "expected a root of its own for the adopted service shop, found the service mine, deployed by this collection" in message
    other = {**shop.options, "root": str(shop.folder / "ops2")}
    run_module(adopted_service, other)
    message = refusal(run_module, node_service, {**options, "root": other["root"], "name": "shop"})
    assert "expected a root without an adopted service, found shop, which was adopted" in message


def test_nothing_is_switched_or_started_that_is_not_ours(shop, run_module):
    pid = shop.start()
    run_module(adopted_service, shop.options)
    message = refusal(run_module, release, {"root": str(shop.root), "service": "shop", "state": "rolled_back"})
    assert "expected a service that this collection deploys, found one that was adopted" in message
    for state in ("restarted", "stopped"):
        message = refusal(run_module, node_service, {"root": str(shop.root), "name": "shop", "state": state})
        assert f"by which it can be started and stopped, found one that was adopted by its port ({shop.port}) alone" in message
    assert processes.listeners(shop.port) == [pid]


@pytest.fixture
def unit(shop, tmp_path, monkeypatch):
    """The shop as a unit of systemd."""
    fake = FakeSystemd(str(tmp_path / "systemd"))
    fake.install()
    monkeypatch.setattr(systemd, "UNIT_DIR", fake.units)
    monkeypatch.setenv("PATH", os.path.dirname(fake.program) + os.pathsep + os.environ["PATH"])
    with open(os.path.join(fake.units, "shop.service"), "w", encoding="utf-8") as stream:
        stream.write(f"[Service]\nExecStart={sys.executable} -m http.server {shop.port} --bind 127.0.0.1\n[Install]\n")
    monkeypatch.setattr(adopted, "_is_known", lambda name: name in fake.files())
    yield fake
    for name in fake.active():
        fake.do("stop", name)


def test_one_with_a_unit_is_restarted_and_stopped_by_it(shop, unit, run_module):
    unit.do("start", "shop.service")
    wait_until(lambda: processes.port_answers(shop.port))
    pid = unit.pid("shop.service")
    assert run_module(adopted_service, {**shop.options, "unit": "shop"})["pid"] == pid
    check = {"root": str(shop.root), "name": "shop", "checks": [{"url": f"http://127.0.0.1:{shop.port}/"}]}
    again = run_module(node_service, {**check, "state": "restarted"})
    assert again["changed"] and again["pid"] == unit.pid("shop.service") != pid
    assert run_module(node_service, {**check, "state": "stopped"})["changed"] and not unit.active()
    assert not run_module(node_service, {**check, "state": "stopped"})["changed"]
    assert run_module(node_service, {**check, "state": "started"})["changed"] and unit.active() == {"shop.service"}


def test_a_damaged_definition_names_its_file(shop, run_module):
    run_module(adopted_service, shop.options)
    path = Layout(str(shop.root)).path("state", "service", "shop", "spec.json")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write('{"name": 5}')
    assert path in refusal(run_module, adopted_service, shop.options)


def test_the_file_that_it_prints_to_is_one_of_its_logs(shop, run_module):
    shop.start()
    log = shop.folder / "printed"
    log.touch()
    assert run_module(adopted_service, {**shop.options, "log": str(log)})["changed"]
    assert logs_run.files_of(Layout(str(shop.root)), "shop") == [f"{shop.root}/shared/logs/*.log*", str(log)]
