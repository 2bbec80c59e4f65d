# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup_restore: what comes back, what is refused, and that an error leaves everything as it was."""
from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import sqlite3
import stat
import zipfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils import _files, _history, _restore, _trees


@pytest.fixture
def archive(state_host, quick_clock):
    """An archive of the host's state, after which the state has changed."""
    state_host.database().close()
    path = state_host.backup()["archive"]
    state_host.put("uploads/rules.txt", b"other rules")
    state_host.put("uploads/new.txt", b"new")
    state_host.put("config/.env", b"OTHER=1")
    os.unlink(state_host.path("uploads/games/board.png"))
    with contextlib.closing(sqlite3.connect(state_host.path("database/mobius.db"))) as database, database:
        database.execute("DELETE FROM account")
    return path


def accounts(host):
    with contextlib.closing(sqlite3.connect(host.path("database/mobius.db"))) as database:
        return database.execute("SELECT sum(amount) FROM account").fetchone()[0]


def test_everything_comes_back(state_host, archive):
    result = state_host.restore(archive)
    assert result["changed"] and result["status"] == "verified" and result["undone"] == []
    assert result["restored"] == ["config", "database", "uploads", "generated", "logs"]
    assert accounts(state_host) == 1000
    assert not os.path.exists(state_host.path("uploads/new.txt"))
    assert os.path.getsize(state_host.path("uploads/games/board.png")) == 70_000
    assert os.stat(state_host.path("config/.env")).st_mode & 0o777 == 0o600
    assert state_host.debris() == []
    event = _history.events(state_host.layout)[-1]
    assert event["what"] == "restored" and event["safety_backup"] == result["safety_backup"]


def test_the_safety_backup_brings_back_what_was_replaced(state_host, archive):
    result = state_host.restore(archive, components=["uploads", "database"])
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert opened.read("uploads/new.txt") == b"new" and "config/.env" not in opened.namelist()
    back = state_host.restore(result["safety_backup"], safety_backup=False)
    assert back["safety_backup"] is None and back["restored"] == ["database", "uploads"]
    assert accounts(state_host) is None and os.path.exists(state_host.path("uploads/new.txt"))


def test_only_the_chosen_components(state_host, archive):
    result = state_host.restore(archive, components=["database"])
    assert result["restored"] == ["database"] and accounts(state_host) == 1000
    assert os.path.exists(state_host.path("uploads/new.txt"))
    assert "database: 2 files" in result["diff"]["after"] and "uploads" not in result["diff"]["after"]


def test_a_component_that_is_not_there_is_made(state_host, archive):
    shutil.rmtree(state_host.path("generated"))
    assert not state_host.restore(archive, components=["generated"]).get("failed")
    assert os.path.getsize(state_host.path("generated/clip.mp4")) == 30_000


def test_check_mode_writes_nothing_and_counts(state_host, archive, snapshot):
    before = snapshot(state_host.root)
    result = state_host.restore(archive, check=True)
    assert result["changed"] and result["safety_backup"] is None and result["status"] == "verified"
    assert "uploads: 3 files" in result["diff"]["before"] and "uploads: 3 files" in result["diff"]["after"]
    assert snapshot(state_host.root) == before


def test_check_mode_refuses_what_the_real_run_refuses(state_host, archive):
    os.unlink(archive + ".sha256")
    assert state_host.restore(archive, check=True)["failed"]


def fidelity_of(root):
    found = {}
    for folder, dirs, files in os.walk(root):
        for name in ["", *dirs, *files]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
            if stat.S_ISREG(status.st_mode):
                content = _files.sha256_file(path)
            found[os.path.relpath(path, root)] = (
                status.st_mode, status.st_mtime_ns, status.st_uid, status.st_gid, content)
    return found


def test_fidelity(state_host):
    for name in ("Case.txt", "case.txt", "back\\slash", "line\nbreak", "ünïcödé 😀", os.fsdecode(b"bytes\xff\xe9")):
        state_host.put("uploads/names/" + name, name.encode("utf-8", "surrogateescape"))
    os.utime(state_host.put("uploads/ancient", b"1"), ns=(0, -10**18))
    os.utime(state_host.put("uploads/future", b"1"), ns=(0, 5 * 10**18))
    os.makedirs(state_host.path("uploads/empty"))
    os.symlink("/nowhere/at/all", state_host.path("uploads/dangling"))
    os.symlink("games", state_host.path("uploads/to folder"))
    state_host.put("uploads/readonly", b"1", 0o400)
    os.chmod(state_host.path("uploads/empty"), 0o1570)
    if os.geteuid() == 0:
        os.chown(state_host.path("uploads/readonly"), 12345, 54321)
        os.lchown(state_host.path("uploads/dangling"), 12345, 54321)
    os.utime(state_host.path("uploads"), ns=(0, 10**18 + 1))
    before = fidelity_of(state_host.layout.shared + "/uploads")
    archive = state_host.backup(components=["uploads"])["archive"]
    result = state_host.restore(archive, safety_backup=False)
    assert not result.get("failed"), result
    assert fidelity_of(state_host.layout.shared + "/uploads") == before


def test_set_uid_and_set_gid_do_not_come_back(state_host):
    os.chmod(state_host.put("uploads/tool", b"#!/bin/sh\n"), 0o6755)
    archive = state_host.backup(components=["uploads"])["archive"]
    state_host.restore(archive, safety_backup=False)
    assert stat.S_IMODE(os.stat(state_host.path("uploads/tool")).st_mode) == 0o755


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_times_do_not_move_with_the_zone(state_host, archive, monkeypatch, zone):
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        state_host.restore(archive, safety_backup=False)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert os.stat(state_host.path("uploads/rules.txt")).st_mtime_ns == 10**18 + 123456789


def test_another_env_needs_to_be_named(state_host, archive, new_state_host, tmp_path, snapshot):
    staging = new_state_host(tmp_path / "staging", "staging")
    before = snapshot(staging.layout.root)
    for told in (None, "", "production", "staging", "staging onto production", "production onto other", "productiononto staging"):
        result = staging.restore(archive, allow_env=told)
        assert result["failed"] and "env staging" in result["msg"] and "env production" in result["msg"]
        assert result["msg"].endswith("set allow_env (mobius_restore_allow_env) to 'production onto staging'.")
    assert snapshot(staging.layout.root) == before
    result = staging.restore(archive, allow_env="  production  onto staging ")
    assert result["env"] == "production" and "dhash_staging_" in result["safety_backup"]


def test_an_override_that_is_not_needed_is_no_obstacle(state_host, archive):
    assert not state_host.restore(archive, allow_env="production onto staging").get("failed")


def test_missing_sidecar(state_host, archive, snapshot):
    os.unlink(archive + ".sha256")
    before = snapshot(state_host.root)
    result = state_host.restore(archive)
    assert result["failed"] and "allow_unverified" in result["msg"]
    assert snapshot(state_host.root) == before
    assert state_host.restore(archive, allow_unverified=True)["status"] == "unverified"


def test_a_sidecar_that_does_not_fit_is_never_accepted(state_host, archive):
    with open(archive + ".sha256", "r+b") as stream:
        stream.write(b"0000")
    assert state_host.restore(archive, allow_unverified=True)["failed"]


def test_one_flipped_byte_is_always_caught_before_the_target_is_touched(state_host, archive, snapshot):
    before = snapshot(state_host.root)
    chance = random.Random(20261123)
    for path in [archive] * 30 + [archive + ".sha256"] * 8:
        with open(path, "r+b") as stream:
            offset = chance.randrange(os.path.getsize(path))
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ (1 << chance.randrange(8))]))
            stream.flush()
            result = state_host.restore(archive, allow_unverified=True)
            stream.seek(offset)
            stream.write(byte)
        assert result["failed"], (path, offset)
        status = os.stat(path)
        os.utime(path, ns=(status.st_atime_ns, before[os.path.relpath(path, state_host.root)][1]))
    assert snapshot(state_host.root) == before
    assert not state_host.restore(archive).get("failed")


@pytest.mark.parametrize("options, words", [
    ({"components": ["secrets"]}, "'secrets'"),
    ({"components": []}, "an empty list"),
    ({"env": ""}, "env ''"),
    ({"archive": "/nowhere.zip"}, "archive /nowhere.zip"),
])
def test_bad_input(state_host, archive, snapshot, options, words):
    before = snapshot(state_host.root)
    result = state_host.restore(**{"archive": archive, **options})
    assert result["failed"] and words in result["msg"] and "\n" not in result["msg"]
    assert snapshot(state_host.root) == before


def test_a_component_that_the_archive_does_not_have(state_host, quick_clock):
    archive = state_host.backup(components=["logs"])["archive"]
    result = state_host.restore(archive, components=["database", "logs"])
    assert result["failed"] and "found logs" in result["msg"]
    assert state_host.restore(archive)["restored"] == ["logs"]


def test_a_host_that_was_not_set_up(state_host, archive):
    shutil.rmtree(state_host.layout.state)
    assert "mobius.ops.setup" in state_host.restore(archive)["msg"]


def test_no_space(state_host, archive, monkeypatch, snapshot):
    before = snapshot(state_host.layout.shared)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    assert "free for the restored files" in state_host.restore(archive)["msg"]
    assert snapshot(state_host.layout.shared) == before


def test_one_at_a_time(state_host, archive):
    with _restore.locked(state_host.layout, fcntl.LOCK_SH):
        assert "a backup or a restore that runs" in state_host.restore(archive)["msg"]


def test_a_damaged_state_can_be_replaced(state_host, archive):
    """The very reason for a restore must not stop its safety backup."""
    with open(state_host.path("database/mobius.db"), "r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 4096)
    result = state_host.restore(archive, components=["database"])
    assert not result.get("failed") and accounts(state_host) == 1000
    assert result["safety_problems"][0]["path"] == "database/mobius.db"
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert b"\xff" * 4096 in opened.read("database/mobius.db")


def test_a_failing_safety_backup_stops_the_restore(state_host, archive, snapshot):
    outside = shutil.move(archive, state_host.root), shutil.move(archive + ".sha256", state_host.root)
    shutil.rmtree(state_host.layout.backups)
    before = snapshot(state_host.layout.shared)
    result = state_host.restore(outside[0])
    assert result["failed"] and "backup folder" in result["msg"]
    assert snapshot(state_host.layout.shared) == before
    assert not [name for name in os.listdir(state_host.layout.shared) if name[0] == "."]


@pytest.mark.parametrize("failing", range(1, 10))
def test_an_error_in_the_swap_puts_everything_back(state_host, archive, snapshot, monkeypatch, failing):
    before = snapshot(state_host.layout.shared)
    rename, calls = os.rename, []

    def rename_or_fail(source, target, *more, **options):
        if "/.restore-" in f"{source} {target}":
            calls.append(target)
            if len(calls) == failing:
                raise OSError(5, "Input/output error", source)
        return rename(source, target, *more, **options)

    monkeypatch.setattr(os, "rename", rename_or_fail)
    result = state_host.restore(archive, safety_backup=False)
    assert result["failed"] and "Input/output error" in result["msg"]
    monkeypatch.undo()
    assert snapshot(state_host.layout.shared) == before
    assert state_host.debris() == []


def test_an_error_while_staging_leaves_nothing(state_host, archive, snapshot, monkeypatch):
    before = snapshot(state_host.layout.shared)

    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(_trees, "dress", fail)
    assert state_host.restore(archive)["failed"]
    assert snapshot(state_host.layout.shared) == before and state_host.debris() == []


def test_folders_that_nobody_may_write_to_are_replaced_too(state_host, archive):
    os.chmod(state_host.path("uploads/games"), 0o500)
    assert not state_host.restore(archive).get("failed")
    assert state_host.debris() == []


def interrupted(host, archive, monkeypatch, at, **options):
    """A restore that ends at its n-th rename of a folder, leaving everything as it is at that moment."""
    rename, calls = os.rename, []

    def rename_or_die(source, target, *more, **keywords):
        if "/.restore-" in f"{source} {target}":
            calls.append(target)
            if len(calls) == at:
                os._exit(9)
        return rename(source, target, *more, **keywords)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "rename", rename_or_die)
        try:
            host.restore(archive, **options)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_an_interrupted_restore_blocks_backups_until_the_next_restore(state_host, archive, monkeypatch, snapshot):
    before = snapshot(state_host.layout.shared)
    interrupted(state_host, archive, monkeypatch, 4, components=["uploads", "logs"], safety_backup=False)
    assert not os.path.exists(state_host.path("logs"))
    result = state_host.backup()
    assert result["failed"] and "a restore that was interrupted" in result["msg"]
    assert state_host.restore(archive, check=True)["undone"] == ["uploads", "logs"]
    done = state_host.restore(archive, components=["config"], safety_backup=False)
    assert done["undone"] == ["uploads", "logs"] and done["kept"] == [] and state_host.debris() == []
    after = snapshot(state_host.layout.shared)
    assert {name: found for name, found in after.items() if "config" not in name} == \
        {name: found for name, found in before.items() if "config" not in name}
    assert "restore_undone" in [event["what"] for event in _history.events(state_host.layout)]
    assert not state_host.backup().get("failed")


def test_without_an_archive_only_an_interrupted_restore_is_ended(state_host, archive, monkeypatch, snapshot):
    before = snapshot(state_host.layout.shared)
    interrupted(state_host, archive, monkeypatch, 5, safety_backup=False)
    planned = state_host.restore(None, check=True)
    assert planned["changed"] and len(planned["undone"]) == 5 and state_host.backup()["failed"]
    done = state_host.restore(None)
    assert done["changed"] and done["undone"] == planned["undone"] and done["restored"] == []
    assert snapshot(state_host.layout.shared) == before and state_host.debris() == []
    assert not state_host.restore(None)["changed"]


def test_an_archive_that_is_refused_does_not_hide_that_an_interrupted_restore_was_ended(state_host, archive, monkeypatch):
    interrupted(state_host, archive, monkeypatch, 2, safety_backup=False)
    result = state_host.restore("/nowhere.zip")
    assert result["failed"] and len(result["undone"]) == 5 and not state_host.backup().get("failed")


def test_what_the_application_wrote_after_an_interruption_is_kept_aside(state_host, archive, monkeypatch):
    interrupted(state_host, archive, monkeypatch, 2, components=["uploads"], safety_backup=False)
    state_host.put("uploads/since.txt", b"since")
    done = state_host.restore(archive, components=["config"])
    assert done["undone"] == ["uploads"] and os.path.exists(state_host.path("uploads/new.txt"))
    assert os.path.exists(os.path.join(done["kept"][0], "found", "uploads-uploads", "since.txt"))
    assert state_host.restore(None)["kept"] == [] and os.path.exists(done["kept"][0])


def test_a_folder_of_an_interrupted_restore_that_went_is_told(state_host, archive, monkeypatch):
    interrupted(state_host, archive, monkeypatch, 2, components=["uploads"], safety_backup=False)
    work = state_host.debris()[0]
    aside = os.path.join(state_host.root, "aside")
    os.rename(os.path.join(state_host.layout.shared, work), aside)
    assert f"its folder {state_host.layout.shared}/{work}, found none" in state_host.restore(None)["msg"]
    os.rename(aside, os.path.join(state_host.layout.shared, work))
    assert state_host.restore(None)["undone"] == ["uploads"] and os.path.exists(state_host.path("uploads/new.txt"))
