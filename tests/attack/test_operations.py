# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each operation, while files and folders in all folders of the service are exchanged with links to what is not the service's."""

from __future__ import annotations

import functools
import itertools
import os
import zipfile

import pytest
from support.waiting import HANG, wait_until

#: In a folder: a file and a folder with files, and beside each a link that it can be exchanged with.
MAKE = """
import os, sqlite3, sys
folder, inner, *targets = sys.argv[1:]
os.chdir(folder)
os.makedirs("sub", exist_ok=True)
os.symlink(inner, ".sub")
for number, name in enumerate(("app.log", "console.log", "store.json", "f.txt", "sub/file")):
    if not os.path.lexists(name):
        with open(name, "w") as stream:
            stream.write("{}")
    os.symlink(targets[number % len(targets)], name + ".l")
database = sqlite3.connect("sub/app.db")
database.execute("CREATE TABLE t (x)")
database.commit()
"""
FOLDERS = ("data", "uploads", "out", "logs")
#: From so many exchanges on, every operation is tried.
FULL = 2000
NAMES = (("sub", ".sub"), ("f.txt", "f.txt.l"), ("store.json", "store.json.l"), ("app.log", "app.log.l"), ("console.log", "console.log.l"))


@pytest.fixture
def host(state, target, attacker, decoys):
    """A host that serves r2, behind a proxy, with a backup of what the service's user has put into its folders; r1 was before."""
    made = target(proxied=True, application_state=state)
    made.setup()
    for release_id in ("r1", "r2"):
        made.deploy(release_id)
    for folder in FOLDERS:
        attacker.does(MAKE, made.shared(folder), decoys.inner, decoys.secret, decoys.plain, decoys.script, decoys.large)
    made.archive = made.module("backup", env="production", allow_changed=True).good()["archive"]
    made.numbers = itertools.count(3)
    return made


def deploy(host):
    name = f"r{next(host.numbers)}"
    host.prepare(name).settled()
    host.activate(name).settled()
    host.mark(name, "verified").settled()


def there_and_back(host):
    host.roll_back("r1").settled()
    host.activate("r2").settled()
    host.mark("r2", "verified").settled()


def backup(host):
    done = host.module("backup", env="production", allow_changed=True, full_every=0).settled()
    if done.result.get("archive"):
        host.module("backup_info", deep=True, env="production").settled()


def watch(host):
    check = {"name": "health", "url": f"http://127.0.0.1:{host.public}/health", "timeout": HANG}
    host.module("monitor", env="production", service="mobius", checks=[check], duration=1, interval=0.2, auto_rollback=False).settled()
    host.module("watch_report").settled()


def smoke(host):
    suite = [{"name": "health", "url": "/health"}]
    host.module("smoke_test", suite=suite, service="mobius", base_url=f"http://127.0.0.1:{host.public}").settled()


def setup(host):
    host.layout().settled()
    host.define().settled()


def status(host):
    host.module("node_service_info", checks=host.checks).settled()
    host.module("release_info").settled()
    host.module("host_metrics", service="mobius", window=0.1).settled()


def look(host):
    host.module("diagnosis", service="mobius", env="production").settled()
    host.module("log_report", files=[f"{host.shared('logs')}/*"]).settled()
    host.module("incident", env="production", title="a look at the logs", severity=3).settled()


#: What runs, by its name; each ends with a result or a sentence.
OPERATIONS = {
    "setup": setup,
    "status": status,
    "health": lambda host: host.module("health_check", checks=host.checks, service="mobius").settled(),
    "smoke": smoke,
    "watch": watch,
    "look": look,
    "backup": backup,
    "restore": lambda host: host.module(
        "backup_restore", env="production", archive=host.archive, service="mobius", checks=host.checks
    ).settled(),
    "drill": lambda host: host.module(
        "backup_drill", env="production", archive=host.archive, service="mobius", checks=host.checks
    ).settled(),
    "restart": lambda host: host.define(state="restarted").settled(),
    "rollback": there_and_back,
    "deploy": deploy,
    "prune": lambda host: host.module("release", state="pruned", keep=0).settled(),
}
#: What does the same with either kind of state.
ONCE = ("setup", "backup", "restore", "drill", "status", "health", "smoke", "look", "prune")


@pytest.mark.parametrize("state", ["exclusive", pytest.param("shared", marks=pytest.mark.full)])
def test_operations_harm_nothing_outside_of_the_folders(host, state, race, decoys, exchanges):
    """All on one host, one after the other: to make one takes longer than an operation. ``make test`` runs one of them."""
    names = ["restore"] if exchanges < FULL else [name for name in OPERATIONS if state == "exclusive" or name not in ONCE]
    pairs = [(host.shared(folder, one), host.shared(folder, other)) for folder in FOLDERS for one, other in NAMES]
    for name in names:
        race(functools.partial(OPERATIONS[name], host), *pairs, name=f"{name}, {state}")
        decoys.require_unharmed()
        decoys.require_unread(*host.printed, *written(host))
    host.define(state="started").settled()
    wait_until(lambda: host.module("node_service_info", checks=host.checks).good()["well"], what="the service is well")


def written(host):
    """The text of every file that root has written: records, logs, incidents, reports and members of archives."""
    for folder in ("state", "monitor_logs", "incidents", "reports", "backups"):
        for place, _dirs, names in os.walk(host.path(folder)):
            for path in (os.path.join(place, name) for name in names):
                if zipfile.is_zipfile(path):
                    with zipfile.ZipFile(path) as archive:
                        yield from (archive.read(member).decode("utf-8", "replace") for member in archive.namelist())
                else:
                    with open(path, encoding="utf-8", errors="replace") as stream:
                        yield stream.read()
