# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup_restore with a service that runs: stopped for the swap only, judged, and put back when it is not well."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
import zipfile

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._backup import create as backup_create
from ansible_collections.mobius.ops.plugins.module_utils._backup import external_state
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, migration, ways
from ansible_collections.mobius.ops.plugins.module_utils._restore import folder_swap
from ansible_collections.mobius.ops.plugins.module_utils._restore import recovery as restore_recovery
from ansible_collections.mobius.ops.plugins.module_utils._restore.live_service import Serving
from ansible_collections.mobius.ops.plugins.module_utils._service import process_service, readiness
from ansible_collections.mobius.ops.plugins.module_utils._target import restore_journal, switch_journal
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import watcher
from ansible_collections.mobius.ops.plugins.modules import backup, backup_restore

pytestmark = pytest.mark.usefixtures("by_answers")


class Site:
    """A host whose application behaves as the file ``mode`` in its data says."""

    def __init__(self, host, run_module):
        self.host, self._run = host, run_module
        self.layout = host.layout
        self.put("uploads/a.txt", "first")
        self.put("database/mode", "ok")
        self.release("r1")
        host.store.point("r1")
        self.service = host.serve()

    def release(self, release_id):
        """A verified release that looks into the data for its mode."""
        self.host.release(release_id, "verified")
        mode = os.path.join(self.layout.release(release_id), "mode")
        os.unlink(mode)
        os.symlink(self.path("database/mode"), mode)

    def path(self, name):
        component, _slash, rest = name.partition("/")
        return os.path.join(self.layout.component(component), rest)

    def put(self, name, text):
        with open(self.path(name), "w") as stream:
            stream.write(text)

    def read(self, name):
        with open(self.path(name)) as stream:
            return stream.read()

    def backup(self, **options):
        return self._run(backup, {"root": self.host.root, "env": "production", **options})["archive"]

    def options(self, archive, **options):
        return {
            "root": self.host.root,
            "env": "production",
            "archive": archive,
            "service": "mobius",
            "ready_timeout": HANG,
            "checks": self.host.raw_checks,
            **options,
        }

    def restore(self, archive=None, check=False, **options):
        return self._run(backup_restore, self.options(archive, **options), check)

    def killed(self, archive, monkeypatch, owner, name, **options):
        """A restore that is killed when it comes to a function."""
        child = os.fork()
        if child == 0:
            try:
                monkeypatch.setattr(owner, name, lambda *_words, **_options: os.kill(os.getpid(), signal.SIGKILL))
                self.restore(archive, **options)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    def health(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.host.port}/health", timeout=HANG) as answer:
                return json.load(answer)
        except OSError:
            return None

    def archives(self):
        return sorted(name for name in os.listdir(self.layout.backups) if name.endswith(".zip"))

    def debris(self):
        left = [name for name in os.listdir(self.layout.shared) if name.startswith(".")]
        return left + [name for name in os.listdir(self.layout.state) if name.startswith("restore.")]


@pytest.fixture
def site(host, run_module, quick_clock):
    """r1 serves."""
    return Site(host, run_module)


@pytest.fixture
def archive(site):
    """An archive of the first state; since then there is a second one."""
    made = site.backup()
    site.put("uploads/a.txt", "second")
    site.put("uploads/b.txt", "new")
    return made


@pytest.fixture
def bad(site):
    """An archive whose data the application cannot live with."""
    site.put("database/mode", "bad")
    made = site.backup()
    site.put("database/mode", "ok")
    site.put("uploads/a.txt", "second")
    return made


def test_the_data_is_back_and_the_service_too(site, archive):
    pid = site.service.status()["pid"]
    result = site.restore(archive)
    assert not result.get("failed"), result
    assert site.read("uploads/a.txt") == "first" and not os.path.exists(site.path("uploads/b.txt"))
    assert site.health()["release"] == "r1" and site.service.status()["pid"] != pid
    assert result["serving"] and result["downtime"] > 0 and result["previous"] == "r1"
    assert (result["undone"], result["confirmed"], result["kept"], result["watch"]) == ([], [], [], None)
    assert site.debris() == [] and len(site.archives()) == 2
    event = site.host.history()[-1]
    assert (event["what"], event["downtime"], event["safety_backup"]) == ("restored", result["downtime"], result["safety_backup"])


def test_when_it_is_not_well_what_was_there_serves_again(site, bad, secret):
    result = site.restore(bad, ready_timeout=0.5)
    assert result["failed"] and "not healthy within 0.5 s (health: status 500" in result["msg"]
    assert result["msg"].endswith("What was there before serves again.")
    assert site.health()["status"] == "ok" and site.read("uploads/a.txt") == "second"
    assert result["serving"] and result["put_back"] and result["downtime"] > 0 and result["evidence"]
    assert secret not in json.dumps(result)
    assert site.debris() == [] and os.path.exists(result["safety_backup"])
    assert site.host.history()[-1]["what"] == "restore_failed"


def test_the_evidence_has_no_secret_of_either_time(site, secret):
    """What is printed is of the restored settings, and of those before; the file that names the secrets changes meanwhile."""
    site.put("config/.env", "MOBIUS_API_KEYS=sekret-of-another-time\n")
    site.put("database/mode", "bad")
    bad = site.backup()
    site.put("config/.env", f"MOBIUS_API_KEYS={secret}\n")
    site.put("database/mode", "ok")
    site.service.restart()
    evidence = json.dumps(site.restore(bad, components=["config", "database"], ready_timeout=0.5)["evidence"])
    assert evidence.count("starts with key ********") >= 2 and secret not in evidence and "sekret-of" not in evidence


def test_when_what_was_there_is_not_well_either_that_is_said(site, bad):
    site.put("database/mode", "wrong")
    result = site.restore(bad, ready_timeout=0.4)
    assert "What was there before is back, and is not well either: release r1 on port" in result["msg"]
    assert not result["serving"] and result["put_back"] and site.read("database/mode") == "wrong" and site.debris() == []


def test_an_error_in_the_swap_starts_the_service_again(site, archive, monkeypatch):
    rename = os.rename

    def fail(source, target, *more, **options):
        if "/new/" in str(source):
            raise OSError(5, "Input/output error", source)
        return rename(source, target, *more, **options)

    monkeypatch.setattr(os, "rename", fail)
    result = site.restore(archive)
    monkeypatch.undo()
    assert "Input/output error" in result["msg"] and result["msg"].endswith("What was there before serves again.")
    assert site.health()["status"] == "ok" and site.read("uploads/a.txt") == "second" and site.debris() == []


def test_a_service_that_was_stopped_stays_stopped(site, archive):
    site.service.stop()
    result = site.restore(archive)
    assert not result.get("failed") and not result["serving"] and result["downtime"] is None
    assert site.service.status()["status"] == "stopped" and site.read("uploads/a.txt") == "first" and site.debris() == []


def test_a_service_that_crashed_is_started(site, archive):
    site.put("database/mode", "die")
    wait_until(lambda: site.health() is None and site.service.status()["status"] == "failed", "it is given up")
    result = site.restore(archive)
    assert not result.get("failed"), result
    assert result["serving"] and site.health()["status"] == "ok"


def write_before_the_stop(site, monkeypatch):
    """Let the application write something after the safety backup, just before it is stopped."""
    stop = process_service.ProcessService.stop

    def write_and_stop(service):
        if not os.path.exists(site.path("uploads/late.txt")):
            site.put("uploads/late.txt", "late")
        stop(service)

    monkeypatch.setattr(process_service.ProcessService, "stop", write_and_stop)


def test_what_is_written_between_the_safety_backup_and_the_stop_is_in_the_safety_backup(site, archive, monkeypatch):
    write_before_the_stop(site, monkeypatch)
    result = site.restore(archive)
    assert not os.path.exists(site.path("uploads/late.txt"))
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert opened.read("uploads/late.txt") == b"late" and opened.read("uploads/a.txt") == b"second"
        assert json.loads(opened.read("MANIFEST.json"))["components"] == ["config", "database", "uploads", "generated", "logs"]
    assert len(site.archives()) == 2  # the first safety backup was replaced by the second, which holds more


def test_the_second_safety_backup_is_not_needed_when_nothing_was_written(site, archive, monkeypatch):
    os.utime(site.path("uploads/b.txt"))  # now
    calls = []
    create = backup_create.create
    monkeypatch.setattr(restore_recovery, "_TICK", 0)
    monkeypatch.setattr(backup_create, "create", lambda *words, **options: calls.append(words) or create(*words, **options))
    site.restore(archive, components=["uploads"])
    assert len(calls) == 1
    os.utime(site.path("uploads/a.txt"))
    write_before_the_stop(site, monkeypatch)
    site.restore(archive, components=["uploads"])
    assert len(calls) == 3


def test_when_the_second_safety_backup_fails_what_was_replaced_is_kept(site, archive, monkeypatch):
    write_before_the_stop(site, monkeypatch)
    create, calls = backup_create.create, []

    def fail_the_second_time(*words, **options):
        calls.append(words)
        if len(calls) == 2:
            raise StateError("the file system of x", "room for the archive", "none left", "Free some space")
        return create(*words, **options)

    monkeypatch.setattr(backup_create, "create", fail_the_second_time)
    result = site.restore(archive)
    assert not result.get("failed") and site.read("uploads/a.txt") == "first" and result["serving"]
    with open(os.path.join(result["kept"][0], "old", "uploads", "late.txt")) as stream:
        assert stream.read() == "late"
    assert "room for the archive" in str(result["warnings"]) and result["kept"][0] in str(result["warnings"])
    assert os.path.exists(result["safety_backup"])
    assert not site.restore(archive).get("failed") and os.path.exists(result["kept"][0])


def test_a_stranger_on_the_port_is_refused_before_anything(site, archive, snapshot):
    site.service.stop()
    before = snapshot(site.layout.shared)
    with socket.create_server(("127.0.0.1", site.host.port)):
        for check in (True, False):
            assert f"port {site.host.port}: expected nobody" in site.restore(archive, check)["msg"]
    assert snapshot(site.layout.shared) == before


def test_check_mode_writes_nothing(site, archive, snapshot):
    before = snapshot(site.host.root)
    result = site.restore(archive, check=True)
    assert result["changed"] and result["created"].endswith("Z") and result["downtime"] is None
    assert snapshot(site.host.root) == before and site.service.status()["status"] == "running"


def test_killed_before_the_stop(site, archive, monkeypatch):
    site.killed(archive, monkeypatch, Serving, "stop")
    assert site.health()
    result = site.restore()
    assert not result["changed"] and site.debris() == [] and site.read("uploads/a.txt") == "second"


def test_killed_after_the_stop_the_service_is_started_again(site, archive, monkeypatch):
    site.killed(archive, monkeypatch, folder_swap, "exchange")
    assert site.health() is None
    result = site.restore()
    assert result["undone"] == [] and result["serving"] and site.health()["status"] == "ok"
    assert site.read("uploads/a.txt") == "second" and site.debris() == []


def test_killed_in_the_swap_what_was_there_serves_again(site, archive, monkeypatch):
    site.killed(archive, monkeypatch, folder_swap, "_sync")
    assert site.health() is None and site.read("uploads/a.txt") == "first"
    with pytest.raises(StateError, match="a restore that was interrupted"):
        activation.activate(ways.of(site.host.store, site.service, [], 1), "r1")
    result = site.restore()
    assert len(result["undone"]) == 5 and result["serving"] and result["kept"] == []
    assert site.health()["status"] == "ok" and site.read("uploads/a.txt") == "second" and site.debris() == []


def test_killed_in_the_trial_and_well_it_stays(site, archive, monkeypatch):
    site.killed(archive, monkeypatch, readiness, "ready")
    assert restore_journal.Journal.find(site.layout).phase == "trial"
    assert os.path.exists(site.backup())  # the folders are of one time
    result = site.restore()
    assert result["confirmed"] == ["config", "database", "uploads", "generated", "logs"] and result["undone"] == []
    assert result["serving"] and site.read("uploads/a.txt") == "first" and site.debris() == []
    assert site.host.history()[-1]["what"] == "restored"


def test_killed_in_the_trial_and_not_well_what_was_there_serves_again(site, bad, monkeypatch):
    site.killed(bad, monkeypatch, readiness, "ready")
    site.put("uploads/since.txt", "since")
    result = site.restore(ready_timeout=0.5)
    assert len(result["undone"]) == 5 and result["serving"] and site.health()["status"] == "ok"
    assert site.read("uploads/a.txt") == "second"
    with open(os.path.join(result["kept"][0], "new", "uploads", "since.txt")) as stream:
        assert stream.read() == "since"
    assert "not found well" in [event for event in site.host.history() if event["what"] == "restore_undone"][-1]["why"]


def test_killed_in_the_trial_and_down_what_was_there_serves_again(site, archive, monkeypatch):
    site.killed(archive, monkeypatch, process_service.ProcessService, "start")
    assert site.health() is None and site.read("uploads/a.txt") == "first"
    result = site.restore()
    assert len(result["undone"]) == 5 and result["serving"] and site.read("uploads/a.txt") == "second"


def test_killed_at_its_end_the_safety_backup_is_made_complete(site, archive, monkeypatch):
    write_before_the_stop(site, monkeypatch)
    site.killed(archive, monkeypatch, restore_recovery, "save_replaced")
    assert site.health()["status"] == "ok" and site.read("uploads/a.txt") == "first"
    count = len(site.archives())
    result = site.restore()
    assert len(result["confirmed"]) == 5 and site.debris() == [] and len(site.archives()) == count
    with zipfile.ZipFile(os.path.join(site.layout.backups, site.archives()[-1])) as opened:
        assert opened.read("uploads/late.txt") == b"late"


def test_the_next_restore_of_an_archive_settles_first(site, archive, monkeypatch):
    site.killed(archive, monkeypatch, folder_swap, "_sync")
    result = site.restore(archive)
    assert len(result["undone"]) == 5 and len(result["restored"]) == 5 and result["serving"]
    assert site.read("uploads/a.txt") == "first" and site.debris() == []
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert opened.read("uploads/a.txt") == b"second"


def test_a_watch_is_ended_and_does_not_roll_back(site, archive, wait_until):
    site.release("r2")
    site.host.store.point("r2")
    site.service.restart()
    wait_until(site.health)
    watch = watch_control.start(
        site.layout,
        {
            "env": "production",
            "service": "mobius",
            "checks": site.host.checks,
            "duration": 10 * HANG,
            "interval": 0.1,
            "retry_interval": 0.1,
            "initial_delay": 0,
            "failure_threshold": 1,
            "error_threshold": 1,
            "restart_limit": 9,
            "auto_rollback": True,
            "ready_timeout": HANG,
        },
        watcher,
    )
    result = site.restore(archive)
    assert result["watch"] == watch.id and watch.state()["verdict"] == "inconclusive"
    assert f"superseded by a restore of {os.path.basename(archive)}" in watch.state()["trigger"]
    assert site.health()["release"] == "r2" and result["serving"]


def test_it_waits_for_a_switch_of_releases_with_the_service_up(site, archive, monkeypatch):
    seen, asked = [], threading.Event()
    stop, switching = process_service.ProcessService.stop, ReleaseStore.switching

    def ask(store):
        asked.set()
        return switching(store)

    def let_go():
        asked.wait()
        time.sleep(0.2)  # if it did not wait, it would stop the service now
        seen.append(site.health())
        lock.__exit__(None, None, None)

    lock = site.host.store.switching()
    lock.__enter__()
    monkeypatch.setattr(ReleaseStore, "switching", ask)
    monkeypatch.setattr(process_service.ProcessService, "stop", lambda service: seen.append("stopped") or stop(service))
    letting = threading.Thread(target=let_go)
    letting.start()
    result = site.restore(archive)
    letting.join()
    assert seen[0]["status"] == "ok" and seen[1:] == ["stopped"] and not result.get("failed"), (seen, result)


@pytest.mark.parametrize("phase", ["swapping", "trial"])
def test_an_interruption_right_after_a_change_of_phase_puts_everything_back(site, archive, monkeypatch, phase):
    fsync_dir, interrupted = fs.fsync_dir, []

    def interrupt(folder):
        if not interrupted and os.path.exists(restore_journal.journal_path(site.layout, phase)):
            interrupted.append(folder)
            raise StateError("the restore", "to come to its end", "that it was told to stop (SIGTERM)", "Run it again")
        fsync_dir(folder)

    monkeypatch.setattr(fs, "fsync_dir", interrupt)
    result = site.restore(archive)
    assert interrupted and result["msg"].endswith("(SIGTERM). Run it again. What was there before serves again."), result["msg"]
    assert site.health()["status"] == "ok" and site.read("uploads/a.txt") == "second" and site.debris() == []


def pending(pid):
    """The pending signals of a process, as bits."""
    with open(f"/proc/{pid}/status") as stream:
        return sum(int(line.split()[1], 16) for line in stream if line.startswith(("SigPnd:", "ShdPnd:")))


def test_sigterm_puts_everything_back(site, bad, wait_until):
    child = os.fork()
    if child == 0:
        try:
            result = site.restore(bad, ready_timeout=100 * HANG)
            with open(os.path.join(site.host.root, "said"), "w") as stream:
                stream.write(result["msg"])
        finally:
            os._exit(0)
    wait_until(lambda: os.path.exists(restore_journal.journal_path(site.layout, "trial")))
    os.kill(child, signal.SIGHUP)  # the connection is lost: it goes on
    wait_until(lambda: not pending(child), "the signal has arrived")
    os.kill(child, signal.SIGTERM)
    assert os.waitpid(child, 0)[1] == 0
    with open(os.path.join(site.host.root, "said")) as stream:
        assert stream.read().endswith("(SIGTERM). Run it again. What was there before serves again.")
    assert site.health()["status"] == "ok" and site.read("uploads/a.txt") == "second" and site.debris() == []


def test_code_and_data_go_back_together(site, archive):
    site.release("r2")
    site.host.store.point("r2")
    site.service.restart()
    result = site.restore(archive, release_id="r1", why="uploads fail")
    assert not result.get("failed"), result
    assert site.health()["release"] == "r1" and site.read("uploads/a.txt") == "first" and result["previous"] == "r2"
    assert site.host.statuses() == {"r1": "verified", "r2": "rolled_back"}


@pytest.mark.parametrize("killed", [False, True])
def test_code_and_data_stay_together(site, bad, monkeypatch, killed):
    site.release("r2")
    site.host.store.point("r2")
    site.service.restart()
    if killed:
        site.killed(bad, monkeypatch, readiness, "ready", release_id="r1")
        assert site.host.store.live() == "r1"
        assert len(site.restore(ready_timeout=0.5)["undone"]) == 5
    else:
        assert site.restore(bad, release_id="r1", ready_timeout=0.5)["failed"]
    assert site.health()["release"] == "r2" and site.read("uploads/a.txt") == "second"
    assert site.host.statuses() == {"r1": "verified", "r2": "verified"}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"service": "other"}, "service other: expected a service that was set up"),
        ({"release_id": "r9"}, "release r9: expected one of r1"),
        ({"release_id": "r1", "service": None}, "'release_id'"),
        ({"checks": [{"url": "ftp://x"}]}, "http://"),
    ],
)
def test_bad_input(site, archive, snapshot, options, words):
    before = snapshot(site.layout.shared)
    result = site.restore(archive, **options)
    assert result["failed"] and words in result["msg"]
    assert snapshot(site.layout.shared) == before and site.health()


def migrated(site, release_id, state="done", after=60, **facts):
    """Let a release count as migrated so many seconds after now; going back from it writes into the data that it was undone."""
    undo = [sys.executable, "-c", "open('../../shared/data/undone', 'a').write('x')"]
    when = clock.iso(clock.now() + datetime.timedelta(seconds=after))
    site.host.store.save(
        {**site.host.store.get(release_id), "migrated": {"state": state, "up": ["true"], "down": undo, "timeout": 5, "when": when, **facts}}
    )


def state_of(site, release_id):
    return site.host.store.get(release_id)["migrated"]["state"]


def gone_to(site, release_id):
    site.release(release_id)
    site.host.store.point(release_id)
    site.service.restart()


@pytest.mark.parametrize(
    "state, after, left",
    [("done", 60, "undone"), ("running", 60, "undone"), ("undoing", 60, "undoing"), ("done", -60, "done"), ("undone", 60, "undone")],
)
def test_a_release_that_was_migrated_later_does_not_count_as_migrated(site, state, after, left):
    archive = site.backup()
    migrated(site, "r1", state, after)
    lost = ["r1"] if left != state else []
    assert site.restore(archive, True)["unmigrated"] == lost and state_of(site, "r1") == state, "check mode tells only"
    result = site.restore(archive)
    assert result["unmigrated"] == lost and state_of(site, "r1") == left
    assert ("Release r1 is live and its migration is not in the restored data" in str(result.get("warnings"))) == bool(lost)
    assert [event["release"] for event in site.host.history() if event["what"] == "migration_undone"] == lost


def test_other_components_say_nothing_of_a_migration(site, archive):
    migrated(site, "r1")
    assert site.restore(archive, components=["uploads"])["unmigrated"] == [] and state_of(site, "r1") == "done"


def test_data_of_another_environment_has_no_migration_of_this_one(site, archive):
    migrated(site, "r1", after=-60)
    result = site.restore(archive, env="staging", allow_env="production onto staging")
    assert result["unmigrated"] == ["r1"] and state_of(site, "r1") == "undone"


def test_when_what_was_there_comes_back_the_migration_counts(site, bad):
    migrated(site, "r1")
    result = site.restore(bad, ready_timeout=0.5)
    assert result["failed"] and result["unmigrated"] == [] and state_of(site, "r1") == "done"


def test_a_migration_that_is_not_in_the_data_is_not_undone(site, archive):
    gone_to(site, "r2")
    migrated(site, "r2")
    result = site.restore(archive, release_id="r1")
    assert result["unmigrated"] == ["r2"] and state_of(site, "r2") == "undone" and not os.path.exists(site.path("database/undone"))


@pytest.mark.parametrize("options, after", [({"components": ["uploads"]}, 60), ({}, -60)])
def test_a_migration_that_is_in_the_data_goes_with_the_code(site, archive, options, after):
    gone_to(site, "r2")
    migrated(site, "r2", after=after)
    result = site.restore(archive, release_id="r1", **options)
    assert result["unmigrated"] == [] and state_of(site, "r2") == "undone" and site.read("database/undone") == "x"
    assert site.health()["release"] == "r1"


def test_when_it_cannot_be_undone_code_and_data_have_gone_back_and_that_is_said(site, archive):
    gone_to(site, "r2")
    migrated(site, "r2", down=["false"])
    result = site.restore(archive, release_id="r1", components=["uploads"])
    assert result["failed"] and "release r2: expected its migration to be undone; release r1 serves again, found" in result["msg"]
    assert result["msg"].endswith("Run its mobius_migration_down by hand.") and result["serving"]
    assert site.health()["release"] == "r1" and site.read("uploads/a.txt") == "first" and site.debris() == []
    assert state_of(site, "r2") == "undoing" and site.host.history()[-1]["what"] == "restored"
    assert site.host.statuses() == {"r1": "verified", "r2": "rolled_back"}


@pytest.mark.parametrize(
    "owner, name", [(readiness, "ready"), (Serving, "mark"), (migration, "_note"), (restore_recovery, "save_replaced")]
)
def test_killed_at_its_end_the_migration_does_not_count_in_the_end(site, archive, monkeypatch, owner, name):
    migrated(site, "r1")
    site.killed(archive, monkeypatch, owner, name)
    result = site.restore()
    assert len(result["confirmed"]) == 5 and state_of(site, "r1") == "undone" and site.debris() == []
    assert ("Release r1 is live" in str(result.get("warnings"))) == (name != "save_replaced")


@pytest.mark.parametrize("owner, name", [(folder_swap, "exchange"), (folder_swap, "_sync"), (process_service.ProcessService, "start")])
def test_killed_before_that_it_counts(site, archive, monkeypatch, owner, name):
    migrated(site, "r1")
    site.killed(archive, monkeypatch, owner, name)
    assert not site.restore().get("failed") and state_of(site, "r1") == "done"


@pytest.mark.parametrize("down", ["true", "false"])
def test_killed_while_it_is_undone_the_next_run_does_that(site, archive, monkeypatch, down):
    gone_to(site, "r2")
    migrated(site, "r2", down=[down])
    site.killed(archive, monkeypatch, migration, "_run", release_id="r1", components=["uploads"])
    assert state_of(site, "r2") == "undoing"
    result = site.restore()
    assert result["confirmed"] == ["uploads"] and state_of(site, "r2") == ("undone" if down == "true" else "undoing")
    assert ("Run its mobius_migration_down by hand" in str(result.get("warnings"))) == (down == "false")
    assert site.debris() == [] and site.health()["release"] == "r1"


def test_a_release_that_went_live_since_is_left_alone(site, archive, monkeypatch):
    gone_to(site, "r2")
    migrated(site, "r2")
    site.killed(archive, monkeypatch, restore_recovery, "save_replaced", release_id="r1", components=["uploads"])
    site.host.store.point("r2")
    site.host.store.mark("r2", "verified")
    migrated(site, "r2")
    assert site.restore(ready_timeout=0.5)["confirmed"] == ["uploads"]
    assert state_of(site, "r2") == "done" and site.host.statuses()["r2"] == "verified"


class External:
    """State in a file elsewhere, that commands dump and restore; the restore fails on the word ``refused``."""

    def __init__(self, site, folder):
        self.site, self.path = site, folder / "elsewhere"
        self.command = folder / "store.py"
        self.command.write_text(
            "import sys\nname, path = sys.argv[1:]\nif name == 'dump': print(open(path).read(), end='')\nelse:\n"
            " text = sys.stdin.read()\n if 'refused' in text: sys.exit('role shop does not exist')\n"
            " open(path, 'w').write(text)\n"
        )
        self.set()

    def set(self, **other):
        told = {name: [sys.executable, "-I", "-S", str(self.command), name, str(self.path)] for name in ("dump", "restore")}
        fs.write_json(external_state.kept(self.site.layout), external_state.normalize({**told, **other}, "mobius", False))

    def backup(self, text, then="second"):
        """An archive that has this in its dump; what is there then is another one."""
        self.path.write_text(text)
        made = self.site.backup()
        self.path.write_text(then)
        return made


@pytest.fixture
def external(site, tmp_path):
    return External(site, tmp_path)


def dump_in(archive):
    with zipfile.ZipFile(archive) as opened:
        return opened.read(external_state.MEMBER).decode()


def test_external_state_is_restored_and_what_was_replaced_is_in_the_safety_backup(site, external):
    result = site.restore(external.backup("first"))
    assert not result.get("failed") and result["serving"], result
    assert external.path.read_text() == "first" and dump_in(result["safety_backup"]) == "second"
    assert site.debris() == [] and not os.path.exists(site.path("database/" + external_state.FILE))
    back = site.restore(result["safety_backup"])
    assert not back.get("failed") and external.path.read_text() == "second"


def test_when_the_external_state_cannot_be_restored_everything_is_as_before(site, external):
    result = site.restore(external.backup("refused"))
    assert "role shop does not exist" in result["msg"] and result["msg"].endswith("What was there before serves again."), result["msg"]
    assert external.path.read_text() == "second" and site.health()["status"] == "ok" and site.debris() == []


def test_when_the_service_is_not_well_the_external_state_comes_back_too(site, external):
    site.put("database/mode", "bad")
    bad = external.backup("first")
    site.put("database/mode", "ok")
    result = site.restore(bad, ready_timeout=0.5)
    assert result["failed"] and result["put_back"] and external.path.read_text() == "second" and site.debris() == []


def test_when_the_external_state_cannot_be_put_back_the_next_run_does_it(site, external):
    site.put("database/mode", "bad")
    bad = external.backup("first", then="refused for now")
    site.put("database/mode", "ok")
    result = site.restore(bad, ready_timeout=0.5)
    assert "Putting back what was there failed too, the next run tries it again" in result["msg"] and not result["put_back"]
    assert external.path.read_text() == "first" and site.health() is None
    external.command.write_text(external.command.read_text().replace("'refused' in text", "not text"))
    result = site.restore()
    assert result["serving"] and external.path.read_text() == "refused for now" and site.debris() == []


@pytest.mark.parametrize(("owner", "name"), [(external_state, "restore"), (readiness, "ready")])
def test_killed_with_the_external_state_replaced_it_comes_back(site, external, monkeypatch, owner, name):
    site.put("database/mode", "bad")
    bad = external.backup("first")
    site.put("database/mode", "ok")
    site.killed(bad, monkeypatch, owner, name)
    result = site.restore(ready_timeout=0.5)
    assert len(result["undone"]) == 5 and result["serving"] and external.path.read_text() == "second"
    assert [name for name in site.debris() if not name.startswith(".kept-")] == []


def test_external_state_that_is_broken_keeps_nobody_from_a_restore(site, external):
    archive = external.backup("first")
    os.unlink(external.path)
    result = site.restore(archive)
    assert not result.get("failed") and external.path.read_text() == "first"
    assert "could not be dumped before it was replaced" in " ".join(result["warnings"])


def test_a_dump_without_a_command_is_refused_before_anything_happens(site, external):
    archive = external.backup("first")
    fs.write_json(external_state.kept(site.layout), external_state.normalize({}, "mobius", False))
    for check in (True, False):
        result = site.restore(archive, check)
        assert "expected the command restore in mobius_external_state, for it has a dump, found none." in result["msg"]
    assert site.health()["status"] == "ok" and len(site.archives()) == 1
    assert not site.restore(archive, components=["uploads"]).get("failed") and external.path.read_text() == "second"


@pytest.mark.parametrize("well", [True, False])
def test_a_rollback_that_was_interrupted_is_finished_first_and_keeps_no_restore_from_working(site, archive, bad, well):
    """Its target may be unable to live with the data, which is why data is restored."""
    site.release("r2")
    activation.activate(ways.of(site.host.store, site.service, site.host.checks, HANG), "r2")
    switch_journal.Journal.new(site.layout, "rollback", "r2", "r1", "bad data", "mobius").write()
    if not well:
        site.put("database/mode", "crash")
    result = site.restore(archive)
    assert result["serving"] and site.health()["release"] == "r1" and site.read("uploads/a.txt") == "first"
    told = "finished the rollback of r2 to r1 that was interrupted" if well else "could not be finished: release r1"
    assert told in " ".join(result["warnings"])
    assert site.host.statuses() == {"r1": "verified", "r2": "rolled_back"} and switch_journal.unfinished(site.layout) is None


def test_a_damaged_journal_of_switches_keeps_no_restore_from_working(site, archive):
    with open(switch_journal.path(site.layout), "w") as stream:
        stream.write("[]")
    assert site.restore(archive)["serving"] and site.read("uploads/a.txt") == "first"
