# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup_restore: what comes back, what is refused, and that an error leaves everything as it was."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import sqlite3
import stat
import struct
import subprocess
import tempfile
import zipfile

import pytest
from support import trees
from support.raw_zip import forged

from ansible_collections.mobius.ops.plugins.module_utils._backup import create as backup_create
from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import extract as archive_extract
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import file_reader as archive_file_reader
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import reader as archive_reader
from ansible_collections.mobius.ops.plugins.module_utils._core import checksums, commands, file_metadata, fs, sqlite, walk
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._restore import recovery
from ansible_collections.mobius.ops.plugins.module_utils._restore.live_service import Serving
from ansible_collections.mobius.ops.plugins.module_utils._target import history, restore_journal


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


def test_an_archive_brings_no_link_that_root_follows(state_host, quick_clock, tmp_path):
    """Root reads ``.env`` at every start, through a link: a hostile archive would choose the file that the service gets to see."""
    secret, env_file = tmp_path / "secret of root", state_host.path("config/.env")
    secret.write_text("PASSWORD=of-root\n")
    os.unlink(env_file)
    os.symlink(secret, env_file)
    archive = state_host.backup()["archive"]
    assert not state_host.restore(archive, safety_backup=False).get("failed")  # the link that is there anyway
    assert os.readlink(env_file) == str(secret)
    os.unlink(env_file)
    state_host.put("config/.env", b"HERE=1\n")
    for options in ({}, {"components": ["config"]}):
        result = state_host.restore(archive, **options)
        assert result["failed"] and "config/.env as a file" in result["msg"], result
        assert f"ln -s '{secret}' {env_file}" in result["msg"]
        assert not os.path.islink(env_file)
    assert not state_host.restore(archive, components=["uploads"], safety_backup=False).get("failed")


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
    event = history.events(state_host.layout)[-1]
    assert event["what"] == "restored" and event["safety_backup"] == result["safety_backup"]
    assert result["safety_backup"].endswith("_safety.zip")


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
                content = fs.sha256_file(path)
            attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}
            found[os.path.relpath(path, root)] = (
                status.st_mode,
                status.st_mtime_ns if name or folder != root else 0,
                status.st_uid,
                status.st_gid,
                status.st_nlink,
                content,
                attributes,
            )
    return found


def test_fidelity(state_host):
    for name in ("Case.txt", "case.txt", "back\\slash", "line\nbreak", "ünïcödé 😀", os.fsdecode(b"bytes\xff\xe9")):
        state_host.put("uploads/names/" + name, name.encode("utf-8", "surrogateescape"))
    os.utime(state_host.put("uploads/ancient", b"1"), ns=(0, -(10**18)))
    os.utime(state_host.put("uploads/future", b"1"), ns=(0, 5 * 10**18))
    os.makedirs(state_host.path("uploads/empty"))
    os.symlink("/nowhere/at/all", state_host.path("uploads/dangling"))
    os.symlink("games", state_host.path("uploads/to folder"))
    state_host.put("uploads/readonly", b"1", 0o600)
    for name in ("uploads/first name", "generated/another component"):
        os.link(state_host.path("uploads/readonly"), state_host.path(name))
    os.setxattr(state_host.path("uploads/readonly"), "user.origin", b"\0binary\xff")
    os.chmod(state_host.path("uploads/readonly"), 0o400)
    os.setxattr(state_host.path("uploads/empty"), "user.folder", b"")
    os.setxattr(state_host.path("uploads/games"), "system.posix_acl_default", acl(bob=7))
    os.setxattr(state_host.path("uploads/rules.txt"), "system.posix_acl_access", acl(bob=6))
    os.chmod(state_host.path("uploads/empty"), 0o3570)
    if os.geteuid() == 0:
        os.chown(state_host.path("uploads/readonly"), 12345, 54321)
        os.lchown(state_host.path("uploads/dangling"), 12345, 54321)
    os.utime(state_host.path("uploads"), ns=(0, 10**18 + 1))
    before = fidelity_of(state_host.layout.shared)
    archive = state_host.backup(components=["uploads", "generated"])["archive"]
    result = state_host.restore(archive, safety_backup=False)
    assert not result.get("failed"), result
    assert fidelity_of(state_host.layout.shared) == before and result["attributes_lost"] == []
    names = [os.stat(state_host.path(name)) for name in ("uploads/readonly", "uploads/first name", "generated/another component")]
    assert len({status.st_ino for status in names}) == 1 and names[0].st_nlink == 3


def acl(bob):
    """An ACL as the kernel stores it: one more user may do something, the group may read."""
    entries = [(1, 6, NOBODY), (2, bob, 4711), (4, 4, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF


def test_a_database_in_wal_mode_is_so_again(state_host):
    state_host.database().close()
    os.utime(state_host.path("database/mobius.db"), ns=(0, 10**18))
    os.chmod(state_host.path("database/mobius.db"), 0o440)
    state_host.database("database/other.db", "delete").close()
    archive = state_host.backup()["archive"]
    for suffix in ("-wal", "-shm"):
        state_host.put("database/mobius.db" + suffix, b"stale")
    assert not state_host.restore(archive, safety_backup=False).get("failed")
    status = os.stat(state_host.path("database/mobius.db"))
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18, 0o440)
    assert sorted(os.listdir(state_host.path("database"))) == ["mobius.db", "other.db", "projects.json"]
    assert [sqlite.in_wal_mode(state_host.path(f"database/{name}.db")) for name in ("mobius", "other")] == [True, False]
    os.chmod(state_host.path("database/mobius.db"), 0o600)
    assert accounts(state_host) == 1000


def test_a_file_with_the_name_of_a_log_of_a_database_is_no_log(state_host, tmp_path, seal):
    """SQLite would take it for one, and change or remove what the manifest says."""
    state_host.database("database/x.db", "delete").close()
    with open(state_host.path("database/x.db"), "rb") as stream:
        content = stream.read()
    made = forged()
    made.add("logs/x.db", content=content, sqlite=True, journal_mode="wal")
    made.add("logs/x.db-wal", content=b"not a log")
    archive = str(tmp_path / "forged.zip")
    with open(archive, "wb") as stream:
        stream.write(made.content())
    seal(archive)
    assert not state_host.restore(archive, components=["logs"]).get("failed")
    for name, wanted in (("x.db", content), ("x.db-wal", b"not a log")):
        with open(state_host.path(f"logs/{name}"), "rb") as stream:
            assert stream.read() == wanted


def test_an_incomplete_archive_is_refused_under_whatever_name(state_host, tmp_path, snapshot, seal, monkeypatch):
    """Kept aside by a backup that failed, and renamed by somebody since."""
    monkeypatch.setattr(
        archive_file_reader,
        "judge",
        lambda source, content, *_words: setattr(
            content, "reason", "it changed while it was read" if source.name.endswith("rules.txt") else ""
        ),
    )
    monkeypatch.setattr(archive_file_reader, "PAUSE", 0)
    assert state_host.backup()["failed"]
    monkeypatch.undo()
    aside = next(name for name in os.listdir(state_host.layout.backups) if name.endswith(".incomplete"))
    archive = str(tmp_path / aside[: -len(".incomplete")])
    shutil.copy(os.path.join(state_host.layout.backups, aside), archive)
    seal(archive)
    before = snapshot(state_host.root)
    for options in ({}, {"allow_unverified": True}, {"components": ["config"]}):
        result = state_host.restore(archive, **options)
        assert "expected a backup of every file, found one that some files could not be taken into" in result["msg"]
    assert snapshot(state_host.root) == before


def test_set_uid_and_set_gid_of_files_do_not_come_back(state_host):
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


@pytest.mark.parametrize(
    "options, words",
    [
        ({"components": ["secrets"]}, "'secrets'"),
        ({"components": []}, "an empty list"),
        ({"env": ""}, "env ''"),
        ({"archive": "/nowhere.zip"}, "archive /nowhere.zip"),
    ],
)
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
    with restore_journal.locked(state_host.layout, fcntl.LOCK_SH):
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

    monkeypatch.setattr(file_metadata, "dress", fail)
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
        if "/.restore-" in f"{source} {target}" or "/fd/" in f"{source} {target}":
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
    assert {name: found for name, found in after.items() if "config" not in name} == {
        name: found for name, found in before.items() if "config" not in name
    }
    assert "restore_undone" in [event["what"] for event in history.events(state_host.layout)]
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


@pytest.mark.parametrize("component", ["uploads", "database"])
def test_a_folder_of_a_user_with_such_a_name_is_kept(state_host, quick_clock, component):
    """It was neither backed up nor left alone by a restore of another component."""
    names = [f"{component}/{name}/file.txt" for name in (".restore-mine", ".kept-2026", ".restore-20260101_000000-letters")]
    for name in names:
        state_host.put(name, b"mine")
    state_host.put(f"{component}/.restore-20260101_000000-0badcafe", b"a file")
    before = trees.facts(state_host.layout.shared)
    archive = state_host.backup()["archive"]
    state_host.restore(archive, components=["config"])
    assert trees.facts(state_host.layout.shared) == before
    shutil.rmtree(os.path.dirname(state_host.path(names[0])))
    state_host.restore(archive)
    assert trees.facts(state_host.layout.shared) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is somebody else than the service's user")
def test_a_folder_of_a_user_with_the_very_name_of_a_restores_folder_is_kept(state_host, quick_clock):
    for name in (".restore-20260101_000000-0badcafe", ".kept-20260101_000000-0badcafe"):
        state_host.put(f"uploads/{name}/file.txt", b"mine")
        os.chown(state_host.path(f"uploads/{name}"), 65534, 65534)
    before = trees.facts(state_host.layout.shared)
    archive = state_host.backup()["archive"]
    state_host.restore(archive, components=["config"])
    assert trees.facts(state_host.layout.shared) == before
    state_host.restore(archive)
    assert trees.facts(state_host.layout.shared) == before


@pytest.fixture
def mount(tmp_path):
    """``mount(path, kind)``: a file system of its own at a folder, or the folder itself once more (bind)."""
    mounted = []

    def do(path, kind="tmpfs"):
        argv = ["mount", "--bind", path, path] if kind == "bind" else ["mount", "-t", kind, kind, path]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        mounted.append(path)

    yield do
    for path in reversed(mounted):
        subprocess.run(["umount", path], check=True)


def refill(host, component):
    """Put a component's state into a folder that has become another file system."""
    host.put(f"{component}/only here.txt", b"before")
    host.put(f"{component}/games/board.png", b"other")
    os.makedirs(host.path(f"{component}/lost+found"), exist_ok=True)
    os.chmod(host.path(component), 0o2751)
    os.utime(host.path(component), ns=(0, 10**18))


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_mount_point_is_replaced_entry_by_entry(state_host, archive, mount, kind):
    mount(state_host.path("uploads"), kind)
    refill(state_host, "uploads")
    device = os.stat(state_host.path("uploads")).st_dev
    os.setxattr(state_host.path("uploads"), "system.posix_acl_default", acl(bob=7))
    taken = archive_reader.Archive(archive)
    result = state_host.restore(archive)
    assert not result.get("failed"), result
    entry, status = next(entry for entry in taken.entries if entry["path"] == "uploads"), os.stat(state_host.path("uploads"))
    assert (status.st_mtime_ns, status.st_mode & 0o7777) == (entry["mtime_ns"], int(entry["mode"], 8))
    assert "system.posix_acl_default" not in os.listxattr(state_host.path("uploads"))
    assert sorted(os.listdir(state_host.path("uploads"))) == ["games", "link", "lost+found", "rules.txt"]
    assert os.path.getsize(state_host.path("uploads/games/board.png")) == 70_000
    assert os.stat(state_host.path("uploads")).st_dev == device and state_host.debris() == []
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert opened.read("uploads/only here.txt") == b"before"
        folder = next(entry for entry in _restore_entries(opened) if entry["path"] == "uploads")
    assert folder["mode"] == "2751"


def _restore_entries(opened):
    return json.loads(opened.read("MANIFEST.json"))["entries"]


@pytest.mark.parametrize("failing", range(1, 8))
@pytest.mark.parametrize("killed", [False, True])
def test_a_mount_point_goes_back_from_any_state(state_host, archive, mount, monkeypatch, failing, killed):
    mount(state_host.path("uploads"))
    refill(state_host, "uploads")
    before = fidelity_of(state_host.path("uploads"))
    folder = os.stat(state_host.path("uploads"))
    if killed:
        interrupted(state_host, archive, monkeypatch, failing, components=["uploads", "logs"], safety_backup=False)
        assert state_host.restore(None)["undone"] == ["uploads", "logs"]
    else:
        rename, calls = os.rename, []

        def fail(source, target, *more, **options):
            calls.append("/.restore-" in f"{source} {target}")
            if sum(calls) == failing and calls[-1]:
                raise OSError(5, "Input/output error", source)
            return rename(source, target, *more, **options)

        monkeypatch.setattr(os, "rename", fail)
        assert "Input/output error" in state_host.restore(archive, components=["uploads", "logs"], safety_backup=False)["msg"]
        monkeypatch.undo()
    assert fidelity_of(state_host.path("uploads")) == before and state_host.debris() == []
    after = os.stat(state_host.path("uploads"))
    assert (after.st_mode, after.st_mtime_ns) == (folder.st_mode, folder.st_mtime_ns)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the folder belongs to another user")
@pytest.mark.parametrize("late", [False, True])
def test_a_mount_points_user_who_exchanges_the_work_folder_leads_root_nowhere(state_host, archive, mount, monkeypatch, tmp_path, late):
    mount(state_host.path("uploads"))
    refill(state_host, "uploads")
    os.chown(state_host.path("uploads"), 65534, 65534)
    decoy = tmp_path / "decoy"
    for name in ("new", "old", "found"):
        (decoy / name).mkdir(parents=True)
    before, real = trees.facts(str(decoy)), (archive_extract.extract if late else file_metadata.without_defaults)

    def exchange(*words):
        [name] = [name for name in os.listdir(state_host.path("uploads")) if name.startswith(".restore-")] or [""]
        if name and not os.path.islink(state_host.path(f"uploads/{name}")):
            os.rename(state_host.path(f"uploads/{name}"), state_host.path("uploads/moved"))
            os.symlink(decoy, state_host.path(f"uploads/{name}"))
        return real(*words)

    monkeypatch.setattr(*((archive_extract, "extract") if late else (file_metadata, "without_defaults")), exchange)
    result = state_host.restore(archive, components=["uploads"], safety_backup=False)
    assert "Traceback" not in str(result), result
    assert trees.facts(str(decoy)) == before
    assert os.path.exists(state_host.path("uploads/only here.txt")) or not result.get("failed"), os.listdir(state_host.path("uploads"))


def take_over(host, decoy):
    """What the user of a mount point does to a restore's work folder: another folder stands in its place, whose parts lead elsewhere."""
    uploads = host.path("uploads")
    [name] = [name for name in os.listdir(uploads) if name.startswith(".restore-")]
    os.rename(f"{uploads}/{name}", f"{uploads}/moved")
    os.mkdir(f"{uploads}/{name}")
    for part in ("new", "old", "found"):
        os.symlink(decoy, f"{uploads}/{name}/{part}")
    os.lchown(f"{uploads}/{name}", 65534, 65534)
    return f"{uploads}/{name}"


def decoys(folder):
    """Files of root, with the very names that a restore puts back."""
    for name in ("only here.txt", "games/board.png", "rules.txt"):
        path = os.path.join(folder, "uploads", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fs.write_text(path, "only root reads this", 0o600)
    os.chmod(folder, 0o700)
    return trees.facts(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the folder belongs to another user")
@pytest.mark.parametrize("at", [2, 3, 5])
def test_undoing_a_restore_in_a_mount_point_moves_nothing_through_an_exchanged_work_folder(state_host, archive, mount, monkeypatch, at):
    mount(state_host.path("uploads"))
    refill(state_host, "uploads")
    os.chown(state_host.path("uploads"), 65534, 65534)
    decoy = state_host.path("uploads/lost+found/of root")  # on the same file system: from there a file can be renamed
    there, before = decoys(decoy), fidelity_of(state_host.path("uploads"))
    interrupted(state_host, archive, monkeypatch, at, components=["uploads"], safety_backup=False)
    work = take_over(state_host, decoy)
    for check in (True, False):
        result = state_host.restore(None, check=check)
        assert trees.facts(decoy) == there
    assert f"work folder {work}: expected a folder of this user" in result["msg"] and f"put it back as {work}" in result["msg"]
    shutil.rmtree(work)
    os.rename(state_host.path("uploads/moved"), work)
    assert state_host.restore(None)["undone"] == ["uploads"]
    assert fidelity_of(state_host.path("uploads")) == before and state_host.debris() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the folder belongs to another user")
def test_what_a_restore_replaced_in_a_mount_point_is_saved_from_the_work_folder_itself(state_host, archive, mount, monkeypatch, tmp_path):
    mount(state_host.path("uploads"))
    refill(state_host, "uploads")
    os.chown(state_host.path("uploads"), 65534, 65534)
    there, start = decoys(str(tmp_path / "decoy")), Serving.start

    def start_and_exchange(serving):
        start(serving)
        take_over(state_host, str(tmp_path / "decoy"))

    monkeypatch.setattr(Serving, "start", start_and_exchange)
    result = state_host.restore(archive, components=["uploads"])
    assert not result.get("failed"), result
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert opened.read("uploads/only here.txt") == b"before" and opened.read("uploads/games/board.png") == b"other"
    assert trees.facts(str(tmp_path / "decoy")) == there


def killed_before_it_saves(host, archive, monkeypatch):
    """A restore of uploads that ends once the service was found well, with a backup of what was there before."""
    monkeypatch.setattr(recovery, "save_replaced", lambda *_words: os._exit(9))
    child = os.fork()
    if child == 0:
        host.restore(archive, components=["uploads"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    monkeypatch.undo()


def members(host):
    """What the backups hold: name and content of each member."""
    for name in sorted(os.listdir(host.layout.backups)):
        if name.endswith(".zip"):
            with zipfile.ZipFile(os.path.join(host.layout.backups, name)) as opened:
                yield from ((one, opened.read(one)) for one in opened.namelist())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the folder belongs to another user")
@pytest.mark.parametrize("gone", [False, True])
def test_a_killed_restore_saves_nothing_through_an_exchanged_work_folder(state_host, archive, mount, monkeypatch, tmp_path, gone):
    mount(state_host.path("uploads"))
    refill(state_host, "uploads")
    os.chown(state_host.path("uploads"), 65534, 65534)
    killed_before_it_saves(state_host, archive, monkeypatch)
    there = decoys(str(tmp_path / "decoy"))
    work = take_over(state_host, str(tmp_path / "decoy"))
    if gone:
        shutil.rmtree(work)
    result = state_host.restore(None)
    assert trees.facts(str(tmp_path / "decoy")) == there
    assert not [name for name, content in members(state_host) if b"only root" in content]
    assert ("uploads/only here.txt", b"before") in members(state_host)
    assert work in str(result["warnings"]) and result["confirmed"] == ["uploads"]


def test_what_a_killed_restore_left_in_a_mount_point_is_in_no_backup(state_host, archive, mount, monkeypatch):
    mount(state_host.path("uploads"))
    refill(state_host, "uploads")
    interrupted(state_host, archive, monkeypatch, 1, components=["uploads"], safety_backup=False)
    state_host.put("uploads/.kept-20260101_000000-0badcafe/new/uploads/a.txt", b"old")
    os.rename(state_host.layout.state + "/restore.swapping.json", state_host.layout.state + "/restore.staging.json")
    with zipfile.ZipFile(state_host.backup()["archive"]) as opened:
        assert not [name for name in opened.namelist() if "/." in name and not name.startswith("config/")]
    assert not state_host.restore(archive).get("failed")
    assert [name for name in os.listdir(state_host.path("uploads")) if name[0] == "."] == [".kept-20260101_000000-0badcafe"]


def test_what_is_written_to_a_mount_point_until_the_stop_is_replaced_too(state_host, archive, mount, monkeypatch):
    mount(state_host.path("uploads"))
    refill(state_host, "uploads")
    stop = Serving.stop

    def write_and_stop(serving):
        state_host.put("uploads/late.txt", b"late")
        os.unlink(state_host.path("uploads/only here.txt"))
        stop(serving)

    monkeypatch.setattr(Serving, "stop", write_and_stop)
    result = state_host.restore(archive)
    assert not result.get("failed"), result
    assert sorted(os.listdir(state_host.path("uploads"))) == ["games", "link", "lost+found", "rules.txt"]
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert opened.read("uploads/late.txt") == b"late" and "uploads/only here.txt" not in opened.namelist()


def test_a_file_system_inside_of_a_component_is_refused(state_host, archive, mount, snapshot):
    mount(state_host.path("uploads/games"))
    before = snapshot(state_host.root)
    for check in (True, False):
        result = state_host.restore(archive, check=check)
        assert f"no file system mounted inside of {state_host.path('uploads')}, found one at" in result["msg"]
    assert snapshot(state_host.root) == before
    assert not state_host.restore(archive, components=["config"]).get("failed")


def test_too_little_space_on_the_file_system_of_one_component(state_host, archive, mount):
    mount(state_host.path("uploads"))
    subprocess.run(["mount", "-o", "remount,size=100k", state_host.path("uploads")], check=True)
    result = state_host.restore(archive)
    assert f"the file system of {state_host.path('uploads')}: expected" in result["msg"]


def test_a_file_system_without_attributes_is_told_and_gives_nobody_more(state_host, mount):
    for name in ("uploads/rules.txt", "uploads/games/board.png"):
        os.setxattr(state_host.path(name), "user.origin", b"1")
    os.setxattr(state_host.path("uploads/rules.txt"), "system.posix_acl_access", acl(bob=6))
    assert os.stat(state_host.path("uploads/rules.txt")).st_mode & 0o777 == 0o670  # with an ACL, the group's bits are its mask
    archive = state_host.backup(components=["uploads"])["archive"]
    mount(state_host.path("uploads"), "ramfs")
    result = state_host.restore(archive, safety_backup=False)
    assert not result.get("failed"), result["msg"]
    lost = {note["name"]: note for note in result["attributes_lost"]}
    assert (lost["user.origin"]["files"], lost["system.posix_acl_access"]["first"]) == (2, "uploads/rules.txt")
    assert "user.origin" in str(result["warnings"])
    assert os.stat(state_host.path("uploads/rules.txt")).st_mode & 0o777 == 0o640


@pytest.mark.parametrize("answer", [None, "sync: unrecognized option '--file-system'", "sync: error syncing 'x': Input/output error"])
def test_the_stage_is_made_durable_in_another_way_or_not_at_all(state_host, archive, monkeypatch, answer):
    def capture(argv, *_words, **_options):
        if answer is None:
            raise StateError("command", "the program sync", "none on the PATH", "Install it")
        return subprocess.CompletedProcess(argv, 1, "", answer)

    synced = []
    monkeypatch.setattr(commands, "capture", capture)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    result = state_host.restore(archive, components=["uploads"])
    if answer and "error" in answer:
        assert "to keep what is written, found sync: error syncing" in result["msg"] and state_host.debris() == []
    else:
        assert not result.get("failed")
        staged = [path.rpartition("/new/")[2] for path in synced if "/new/" in path]
        assert {"uploads", "uploads/rules.txt", "uploads/games", "uploads/games/board.png"} <= set(staged)


@pytest.mark.skipif(os.geteuid() != 0, reason="root can be another user, and no other")
def test_as_another_user(new_state_host, quick_clock, snapshot):
    """Not root: owners stay, and a folder that may not be moved is told before anything is stopped or moved."""
    with tempfile.TemporaryDirectory() as place:  # not below pytest's own folders: it keeps them from other users
        os.chmod(place, 0o755)
        host = new_state_host(os.path.join(place, "mobius"))
        archive = host.backup()["archive"]
        for folder, dirs, names in os.walk(host.root):
            for name in ["", *dirs, *names]:
                os.lchown(os.path.join(folder, name), 65534, 65534)
        restore_as_another_user(host, archive, snapshot)


def restore_as_another_user(state_host, archive, snapshot):
    def child(work):
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                file_metadata._groups.cache_clear()
                work()
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitpid(pid, 0)[1]

    def succeed():
        result = state_host.restore(archive)
        assert not result.get("failed"), result

    assert child(succeed) == 0
    assert os.stat(state_host.path("uploads/rules.txt")).st_uid == 65534 and state_host.debris() == []
    os.chmod(state_host.path("uploads"), 0o555)
    before = snapshot(state_host.layout.shared)

    def refused():
        assert "folders that this user may move, found uploads without write permission" in state_host.restore(archive)["msg"]

    assert child(refused) == 0
    assert snapshot(state_host.layout.shared) == before


@pytest.fixture
def signed(state_host, keys):
    """A signed archive, and state that differs from it by now."""
    made = state_host.backup(sign_key=keys.private)["archive"]
    state_host.put("uploads/rules.txt", b"new rules")
    return made


def refused(state_host, snapshot, archive, words, **options):
    before = snapshot(state_host.layout.shared), sorted(os.listdir(state_host.layout.backups))
    for check in (True, False):
        result = state_host.restore(archive, check, **options)
        assert result["failed"] and words in result["msg"]
    assert (snapshot(state_host.layout.shared), sorted(os.listdir(state_host.layout.backups))) == before


def test_an_archive_without_its_signature_is_refused_unless_that_is_allowed(state_host, signed, keys, snapshot):
    os.unlink(signed + ".sha256.sig")
    asked = {"allowed_signers": keys.allowed()}
    refused(state_host, snapshot, signed, f"expected its signature in {os.path.basename(signed)}.sha256.sig, found no such file", **asked)
    result = state_host.restore(signed, allow_unverified=True, **asked)
    assert not result.get("failed") and result["status"] == "unverified"


def test_a_wrong_signature_is_never_accepted(state_host, signed, keys, snapshot):
    asked = {"allowed_signers": keys.allowed(), "allow_unverified": True}
    assert state_host.restore(signed, True, **asked)["status"] == "verified"
    refused(state_host, snapshot, signed, "expected a signature of it by somebody, found a wrong one", signer="somebody", **asked)
    with open(signed + ".sha256.sig", "wb") as stream:
        stream.write(signature.sign(keys.other, signed, fs.sha256_file(signed)))
    refused(state_host, snapshot, signed, "expected a signature of it by mobius-backup, found a wrong one", **asked)


def test_an_archive_that_somebody_made_anew_is_refused(state_host, signed, keys, snapshot):
    """Whole in itself, with a right sidecar, and under the name of the signed one."""
    forged = state_host.backup()["archive"]
    os.replace(forged, signed)
    checksums.write(signed, fs.sha256_file(signed))
    assert state_host.restore(signed, True)["status"] == "verified"
    refused(state_host, snapshot, signed, "expected a signature of it by mobius-backup, found a wrong one", allowed_signers=keys.allowed())


def test_the_safety_backup_is_signed(state_host, archive, keys):
    result = state_host.restore(archive, sign_key=keys.private)
    asked = {"verify": "checksum", "allowed_signers": keys.allowed()}
    assert {backup["archive"]: backup["status"] for backup in state_host.info(**asked)} == {
        archive: "unverified",
        result["safety_backup"]: "verified",
    }
    assert not state_host.restore(result["safety_backup"], allowed_signers=keys.allowed()).get("failed")


def test_a_key_that_cannot_sign_stops_the_restore_before_it_begins(state_host, archive, keys, snapshot):
    before = snapshot(state_host.root)
    result = state_host.restore(archive, sign_key=keys.make("locked", passphrase="something long"))
    assert result["failed"] and "a private key without a passphrase" in result["msg"]
    assert {name: facts for name, facts in snapshot(state_host.root).items() if name not in (".", "state")} == {
        name: facts for name, facts in before.items() if name not in (".", "state")
    }


def test_what_was_written_later_is_signed_too_and_nothing_of_the_first_backup_is_left(state_host, archive, keys, monkeypatch):
    real = backup_create.create

    def then_a_write(layout, request, meter=None):
        made = real(layout, request, meter)
        if request.why.startswith("before"):
            state_host.put("uploads/late.txt", b"late")
            os.utime(state_host.path("uploads/late.txt"))
        return made

    monkeypatch.setattr(backup_create, "create", then_a_write)
    result = state_host.restore(archive, sign_key=keys.private)
    with zipfile.ZipFile(result["safety_backup"]) as opened:
        assert "uploads/late.txt" in opened.namelist()
    names = {os.path.basename(result["safety_backup"]) + suffix for suffix in ("", ".sha256", ".sha256.sig")}
    assert {name for name in os.listdir(state_host.layout.backups) if os.path.basename(archive) not in name} == names
    listed = state_host.info(verify="deep", allowed_signers=keys.allowed())
    assert listed[0]["archive"] == result["safety_backup"] and listed[0]["status"] == "verified"


def test_deeply_nested_folders_come_back(state_host, quick_clock):
    os.mkdir(state_host.path("uploads/deep"))
    trees.nest(state_host.path("uploads/deep"), 1100, b"bottom")
    path = state_host.backup()["archive"]
    walk.remove(state_host.path("uploads/deep"))
    result = state_host.restore(path)
    assert not result.get("failed") and result["kept"] == [], result
    with open(state_host.path("uploads/deep/" + "d/" * 1100 + "file"), "rb") as stream:
        assert stream.read() == b"bottom"
    assert not state_host.restore(path).get("failed")  # what it replaces is as deep
    assert [name for name in os.listdir(state_host.layout.shared) if name.startswith(".")] == []
    walk.remove(state_host.path("uploads/deep"))
