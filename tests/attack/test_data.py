# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folders of the components: what their user puts there or exchanges leads root to no file of another user."""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import zipfile

import pytest
from support import damage

#: Makes files with the bits of set-uid and set-gid, and beside each a link that they can be exchanged with.
FILES = """
import os, sys
folder, count, *targets = sys.argv[1:]
os.chdir(folder)
for number in range(int(count)):
    name = f"f{number:02}.txt"
    with open(name, "w") as stream:
        stream.write("hello")
    os.chmod(name, 0o6777)
    os.symlink(targets[number % len(targets)], f".l{number:02}")
"""
#: Makes a folder with a database, and beside it a link to another folder.
FOLDER = """
import os, sqlite3, sys
os.chdir(sys.argv[1])
os.mkdir("sub")
os.symlink(sys.argv[2], ".sub")
database = sqlite3.connect("sub/app.db")
database.execute("CREATE TABLE t (x)")
database.executemany("INSERT INTO t VALUES (?)", [("own" * 1000,)] * 300)
database.commit()
"""
#: Makes a database that has SQLite remove a file.
HOT = f"""from __future__ import annotations
import os, sys
{inspect.getsource(damage.hot_journal)}
hot_journal(sys.argv[1] + "/hot.db", sys.argv[2])
"""
#: Leaves what a rehearsal must not stumble over in a folder, then writes stores under another name and renames them, 20 times a second.
BUSY = """
import json, os, socket, sys, time
os.chdir(sys.argv[1])
os.mkfifo("pipe")
os.mkfifo("store.json")
socket.socket(socket.AF_UNIX).bind("socket")
for _level in range(1100):
    os.mkdir("d")
    os.chdir("d")
os.chdir(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    for name in ("projects.json", "renders.json"):
        with open(f"{name}.{number}.tmp", "w") as stream:
            json.dump([number] * 20_000, stream)
        os.rename(f"{name}.{number}.tmp", name)
    time.sleep(0.05)
"""
#: The rehearsal's copy of a component, by the checkout that is attacked, old or new.
COPY = """
import importlib, sys
UTILS = "ansible_collections.mobius.ops.plugins.module_utils"
try:
    rehearsal, accounts = (importlib.import_module(f"{UTILS}.{name}") for name in ("_deploy.rehearsal", "_core.accounts"))
except ModuleNotFoundError:  # of before the rooms
    rehearsal, accounts = importlib.import_module(UTILS + "._gate"), None
source, target = sys.argv[1:]
rehearsal.copy(source, target, *([accounts.owner_of(source)] if accounts else []))
"""
PAIRS = 24


@pytest.fixture
def host(target):
    """A host with its folders; nothing serves."""
    made = target(proxied=True)
    made.setup()
    return made


@pytest.fixture
def hot(host, attacker, decoys):
    """A database of the service's user that would have a file of root removed."""
    attacker.does(HOT, host.shared("data"), decoys.plain)
    return host


def copier(host, open_folder):
    """Runs the rehearsal's copy of ``data/``; where it lies. The copy may fail, but not harm."""
    copy = open_folder / "copy"

    def run():
        shutil.rmtree(copy, ignore_errors=True)
        environment = {**os.environ, "PYTHONPATH": str(open_folder / "collections"), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(
            [sys.executable, "-c", COPY, host.shared("data"), copy],
            env=environment,
            cwd="/",
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return copy

    return run


def require_private(folder, decoys, attacker):
    """Nothing below a folder that the attacker may read has the decoys' secret."""
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and (status.st_uid == attacker.uid or status.st_mode & 0o004):
                with open(path, errors="replace", encoding="utf-8") as stream:
                    decoys.require_unread(stream.read())


def test_the_rehearsals_copy_follows_no_link(host, attacker, race, decoys, open_folder):
    data = host.shared("data")
    attacker.does(FILES, data, PAIRS, decoys.plain, decoys.secret, decoys.script)
    copy = copier(host, open_folder)
    pairs = [(data / f"f{number:02}.txt", data / f".l{number:02}") for number in range(PAIRS)]
    race(lambda: require_private(copy(), decoys, attacker), *pairs)


def test_the_rehearsals_copy_enters_no_folder_through_a_link(host, attacker, race, decoys, open_folder):
    data = host.shared("data")
    attacker.does(FOLDER, data, decoys.inner)
    copy = copier(host, open_folder)
    race(lambda: require_private(copy(), decoys, attacker), (data / "sub", data / ".sub"))


def test_no_file_is_removed_for_a_journal_by_a_backup_a_drill_and_a_restore(hot, decoys):
    result = hot.module("backup", env="production", allow_changed=True).settled().result
    decoys.require_unharmed()
    assert "super-journal" in str(result["problems"]), result
    for module in ("backup_drill", "backup_restore"):
        hot.module(module, env="production", archive=result["archive"], service=None).settled()
        decoys.require_unharmed()


def test_no_file_is_removed_for_a_journal_by_a_deploy(hot, decoys):
    hot.deploy("v1")
    hot.prepare("v2").good()
    done = hot.activate("v2").settled()
    decoys.require_unharmed()
    assert "super-journal" in done.result["msg"]


def test_a_good_release_passes_the_rehearsal_beside_busy_data(host, attacker):
    host.deploy("v1")
    busy = attacker.python(BUSY, host.shared("data"), stdout=subprocess.PIPE)
    try:
        assert busy.stdout.readline() == "ready\n"
        for release in ("v2", "v3", "v4"):
            host.deploy(release)
        assert busy.poll() is None
    finally:
        attacker.end(busy)
        subprocess.run(["rm", "-rf", host.shared("data", "d")], check=True)  # too deep for shutil
    assert not [name for name in os.listdir(host.root) if name.startswith((".drill-", ".mobius-ops-work-"))]


def test_no_database_of_another_user_gets_into_an_archive(host, attacker, race, decoys, open_folder):
    data, foreign = host.shared("data"), open_folder / "foreign"
    foreign.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(foreign / "app.db")) as database, database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [(decoys.secret_text,)] * 300)
    attacker.does(FOLDER, data, foreign)

    def backup():
        done = host.module("backup", env="production", allow_changed=True, components=["database"], full_every=0).settled()
        if done.result.get("archive"):
            with zipfile.ZipFile(done.result["archive"]) as archive:
                decoys.require_unread(*(archive.read(name).decode("utf-8", "replace") for name in archive.namelist()))
            os.unlink(done.result["archive"])

    race(backup, (data / "sub", data / ".sub"))
    assert os.listdir(foreign) == ["app.db"]


def test_a_backup_lists_no_names_of_a_foreign_folder(host, attacker, race, decoys):
    data = host.shared("data")
    attacker.does(FOLDER, data, decoys.inner)

    def backup():
        done = host.module("backup", env="production", allow_changed=True, components=["database"], full_every=0).settled()
        assert "sub/file" not in done.output
        if done.result.get("archive"):
            with zipfile.ZipFile(done.result["archive"]) as archive:
                assert not [name for name in archive.namelist() if name.endswith("sub/file")]
            os.unlink(done.result["archive"])

    race(backup, (data / "sub", data / ".sub"))
