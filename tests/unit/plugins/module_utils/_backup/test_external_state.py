# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""External state: real commands that dump a small store and restore it."""

from __future__ import annotations

import os
import sys
import zipfile

import pytest
from support.external import STORE
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._backup import catalog, external_state
from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import shared_folders
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.modules import backup, backup_info, layout


class Store:
    """A host whose service has its state in a file elsewhere."""

    def __init__(self, host, run_module, folder):
        self.host, self.layout, self.run = host, host.layout, run_module
        self.path, self.script = folder / "elsewhere.txt", folder / "store.py"
        self.script.write_text(STORE)
        self.path.write_text("three orders\n")
        host.service(environment={"STORE": str(self.path)})
        self.set()

    def command(self, word):
        return [sys.executable, "-I", "-S", str(self.script), word]

    def set(self, **told):
        told = {"dump": self.command("dump"), "restore": self.command("restore"), **told}
        fs.write_json(external_state.kept(self.layout), external_state.normalize(told, "mobius", False))

    def backup(self, **options):
        return self.run(backup, {"root": self.host.root, "env": "production", **options})


@pytest.fixture
def store(host, run_module, tmp_path, quick_clock):
    return Store(host, run_module, tmp_path)


def test_a_backup_holds_the_dump_and_leaves_none_behind(store):
    done = store.backup()
    assert done["status"] == "verified" and not done.get("failed"), done
    with zipfile.ZipFile(done["archive"]) as archive:
        assert archive.read(external_state.MEMBER) == b"three orders\n"
    assert not os.path.exists(store.layout.path("shared", "data", external_state.FILE))
    logs = store.backup(components=["logs"])
    with zipfile.ZipFile(logs["archive"]) as archive:
        assert external_state.MEMBER not in archive.namelist()


@pytest.mark.parametrize(
    ("dump", "said"),
    [
        (
            [sys.executable, "-c", "import sys; print('half of it'); sys.exit('connection to server failed: no password')"],
            "expected exit status 0, found 1 (connection to server failed: no password). Correct the cause, or mobius_external_state.",
        ),
        (
            ["no-such-dump"],
            "expected the program no-such-dump, found none that may be run. Install it on this host, or correct mobius_external_state.",
        ),
    ],
)
def test_a_failed_dump_is_the_failure_of_the_backup_with_its_cause(store, dump, said):
    store.set(dump=dump)
    done = store.backup()
    assert done["failed"] and done["msg"].startswith("dump of the external state") and done["msg"].endswith(said), done["msg"]
    assert not [name for name in os.listdir(store.layout.backups) if name.endswith(".zip")]
    assert not os.path.exists(store.layout.path("shared", "data", external_state.FILE))


def test_a_dump_is_bounded_in_time_with_all_that_it_started(store, tmp_path):
    started = tmp_path / "started"
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(1000)"
    store.set(
        timeout=1,
        dump=[sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])", child, str(started)],
    )
    with pytest.raises(StateError) as caught:
        external_state.dump(store.layout)
    assert str(caught.value).endswith(
        "expected an end within 1 s, found none. Run it by hand to see why, or raise timeout in mobius_external_state."
    )
    if started.exists() and started.read_text():
        wait_until(lambda: not os.path.exists(f"/proc/{started.read_text()}/fd/0"), "what it started has ended", HANG)


@pytest.mark.parametrize("ignores", [False, True])
def test_a_dump_is_bounded_in_size(store, ignores):
    code = (
        "import os, signal\n"
        + ("" if ignores else "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n")
        + "try:\n while True: os.write(1, b'x' * 65536)\nexcept OSError: pass"
    )
    store.set(max_mb=1, dump=[sys.executable, "-c", code])
    with pytest.raises(StateError, match=r"dump of the external state: expected 1\.0 MB at most, found more\. Raise max_mb"):
        external_state.dump(store.layout)


def test_a_link_of_the_service_user_is_not_followed(store, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    os.symlink(victim, store.layout.path("shared", "data", external_state.FILE))
    assert store.backup()["status"] == "verified" and victim.read_text() == "mine"
    os.symlink(victim, store.layout.path("shared", "data", external_state.FILE))
    with pytest.raises(OSError, match="symbolic link"):
        external_state.restore(store.layout)


def test_secrets_are_hidden_in_the_cause(store):
    with open(store.layout.env_file, "w") as stream:
        stream.write("PGPASSWORD=very-secret-word\n")
    store.set(dump=[sys.executable, "-c", "import os, sys; sys.exit('refused: ' + os.environ['PGPASSWORD'])"])
    done = store.backup()
    assert "refused: ********" in done["msg"] and "very-secret-word" not in str(done)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as another user")
def test_the_dump_runs_as_the_user_of_the_service(store):
    store.host.service(user="daemon", environment={})
    store.set(dump=["id", "-un"])
    external_state.dump(store.layout)
    path = store.layout.path("shared", "data", external_state.FILE)
    with open(path) as stream:
        assert stream.read() == "daemon\n" and os.stat(path).st_uid == 0


@pytest.mark.parametrize(
    ("told", "part"),
    [
        ({"dump": ["pg_dump"]}, "expected the commands dump and restore, found only dump"),
        ({"restore": ["pg_restore"]}, "expected the commands dump and restore, found only restore"),
        (
            {"dump": "pg_dump shop", "restore": ["x"]},
            "mobius_external_state.dump: expected a command as a list of words, found 'pg_dump shop'",
        ),
        ({"dumps": ["x"]}, "expected some of dump, restore, drill, timeout, max_mb, found dumps"),
        ({"dump": ["x"], "restore": ["x"], "timeout": "soon"}, "expected timeout and max_mb as numbers"),
        ({"dump": ["x"], "restore": ["x"], "max_mb": 0}, "expected timeout and max_mb above 0"),
    ],
)
def test_wrong_settings_are_refused(told, part):
    with pytest.raises(InputError) as caught:
        external_state.normalize(told, "mobius", False)
    assert part in str(caught.value)


def test_setup_keeps_the_commands(run_module, tmp_path):
    options = {"root": str(tmp_path / "m"), "service": "shop", "external_state": {"dump": ["pg_dump", "shop"], "restore": ["psql", "shop"]}}
    assert run_module(layout, options)["changed"] and not run_module(layout, options)["changed"]
    kept = external_state.load(Layout(options["root"]))
    assert (kept["dump"], kept["service"], kept["timeout"]) == (["pg_dump", "shop"], "shop", 600)
    assert run_module(layout, {**options, "external_state": {}})["changed"] and not external_state.load(Layout(options["root"]))["dump"]


def test_a_backup_that_can_hold_no_state_is_not_called_verified(host, run_module, quick_clock):
    def make():
        return run_module(backup, {"root": host.root, "env": "production"})

    assert make()["status"] == "verified", "MOBIUS has folders for its state; they are empty"
    shared_folders.save(host.layout, shared_folders.normalize([]))
    done = make()
    assert done["status"] == "unverified" and done["missing"] == catalog.NO_STATE
    told = run_module(backup_info, {"root": host.root, "env": "production", "verify": "deep"})["backups"][0]
    assert (told["status"], told["reason"]) == ("unverified", catalog.NO_STATE)
    fs.write_json(external_state.kept(host.layout), external_state.normalize({}, "mobius", True))
    assert make()["status"] == "verified", "it was said that there is none"
    fs.write_json(external_state.kept(host.layout), external_state.normalize({}, "mobius", False))
    with open(host.layout.path("shared", "uploads", "a"), "w") as stream:
        stream.write("a")
    assert make()["status"] == "verified", "it holds a file"


def test_a_restore_gives_the_dump_to_the_command(store):
    external_state.dump(store.layout)
    store.path.write_text("lost\n")
    assert external_state.restore(store.layout) and store.path.read_text() == "three orders\n"
    assert not external_state.restore(store.layout), "there is no dump any more"
    external_state.dump(store.layout)
    store.set(restore=[sys.executable, "-c", "import sys; sys.exit('no such role')"])
    with pytest.raises(OpsError, match=r"restore of the external state.*no such role"):
        external_state.restore(store.layout)
