# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clean-ups of real files, through the module."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
import types
import zipfile

import pytest
from support import trees

from ansible_collections.mobius.ops.plugins.module_utils._backup import external_state
from ansible_collections.mobius.ops.plugins.module_utils._cleanup import cleanup as cleanups
from ansible_collections.mobius.ops.plugins.module_utils._cleanup import clocks, journal, moves, scan, stores
from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, foreign, fs, locks, mounts
from ansible_collections.mobius.ops.plugins.module_utils._target import restore_journal
from ansible_collections.mobius.ops.plugins.modules import storage_cleanup

#: Old files that no store names, by kind.
OLD = {
    "uploads": ["uploads/old.png", "uploads/.root/thumbnails/thumb_1_old.png", "uploads/rules.txt", "uploads/games/board.png"],
    "renders": ["uploads/render-jobs/job-1/clip.mp4", "generated/reel.mp4", "generated/clip.mp4"],
    "logs": ["logs/app.1.log", "logs/app.log"],
    "temporary": ["uploads/half.part", "database/p1/.source-upload-tmp/page.png"],
}
ALL = sorted(name for names in OLD.values() for name in names)
NAMED = [
    "uploads/named-in-json.png",
    "uploads/named in sqlite.png",
    "uploads/thumb_9_images-1700000000000-7.png",
    "uploads/render-jobs/mwygqose-046fd1/clip.mp4",
]


@pytest.fixture
def stored(state_host):
    """A host with old files of each kind, and others that stores name."""
    for name in [*ALL, *NAMED]:
        state_host.put(name, os.urandom(1000 + len(name)), 0o640)
    state_host.put(
        "database/projects.json",
        json.dumps(
            {"projects": [{"path": "/uploads/named-in-json.png", "images": ["images-1700000000000-7.png"], "job": "mwygqose-046fd1"}]}
        ).encode(),
    )
    with database(state_host) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE uploads (path TEXT)")
        connection.execute("INSERT INTO uploads VALUES ('/uploads/named in sqlite.png')")
    return state_host


@contextlib.contextmanager
def database(host):
    """The application's database."""
    with contextlib.closing(sqlite3.connect(host.path("database/mobius.db"), isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def cleanup(stored, run_module):
    """Run the module; files need not have been left alone for an hour."""

    def run(check=False, **options):
        return run_module(storage_cleanup, {"root": stored.root, "env": stored.env, "grace": 0, **options}, check=check)

    return run


def files(host):
    """Every file of the components, by component and path, and what can be told of it."""
    names = {"data": "database", "out": "generated"}
    return {
        f"{names.get(path.split('/')[0], path.split('/')[0])}/{path.partition('/')[2]}": facts
        for path, facts in trees.facts(host.layout.shared).items()
        if "sha256" in facts
    }


def whole(host, before):
    """Whether each file is in its place or in quarantine and in a record, with its content; nothing is at both or lost."""
    with contextlib.suppress(FileNotFoundError), foreign.folder(host.layout.quarantine, "files") as folder:
        locks.take(folder)  # a helper whose parent was killed comes to the end of its batch
    now, held = files(host), {}
    for run in journal.load(host.layout):
        for entry in run.entries:
            path = os.path.join(run.files, entry.name)
            if os.path.exists(path):
                held[entry.shown] = trees.sha256(path)
    found = sum(len(names) for _folder, _dirs, names in os.walk(host.layout.quarantine))
    assert not set(now) & set(held) and found == len(held)
    assert {**{name: facts["sha256"] for name, facts in now.items()}, **held} == {name: facts["sha256"] for name, facts in before.items()}


def test_a_dry_run_is_the_run_to_the_byte_and_a_restore_brings_all_back(stored, cleanup, snapshot):
    stored.backup()
    before, all_before = files(stored), snapshot(stored.root)
    planned = cleanup()
    checked = cleanup(check=True, state="cleaned")
    assert snapshot(stored.root) == all_before
    assert sorted(one["path"] for one in planned["moved"]) == ALL and not planned["changed"] and checked["changed"]
    assert planned["left"]["named"] == {"files": 4, "bytes": sum(os.path.getsize(stored.path(name)) for name in NAMED)}
    assert planned["bytes"] == sum(os.path.getsize(stored.path(name)) for name in ALL)

    done = cleanup(state="cleaned", why="a test")
    assert done["changed"] and (done["files"], done["bytes"], done["left"]) == (planned["files"], planned["bytes"], planned["left"])
    assert checked["message"] == planned["message"] == done["message"].replace("moved", "would be moved")
    assert set(files(stored)) == set(before) - set(ALL)
    (run,) = done["quarantine"]
    assert (run["run"], run["files"], run["bytes"]) == (done["run"], 11, done["bytes"]) and run["expires"] > run["when"]
    event = json.loads(pathlib.Path(stored.layout.history).read_text().splitlines()[-1])
    assert (event["what"], event["files"], event["bytes"], event["why"]) == ("cleaned", 11, done["bytes"], "a test")
    again = cleanup(state="cleaned")
    assert not again["changed"] and again["message"] == "No file may go; 4 old files stay."

    part = cleanup(state="restored", paths=["uploads/old.png", "logs/*"])
    assert part["changed"] and part["message"].startswith("3 files (") and "uploads/old.png" in files(stored)
    assert cleanup(state="restored", paths=[done["run"]])["files"] == 8
    assert files(stored) == before and journal.load(stored.layout) == [] and os.listdir(stored.layout.quarantine + "/files") == []


@pytest.mark.parametrize("kind", sorted(OLD))
def test_a_kind_alone(stored, cleanup, kind):
    stored.backup()
    assert sorted(one["path"] for one in cleanup(kinds=[kind])["moved"]) == sorted(OLD[kind])


def test_the_quota_takes_the_oldest_first(stored, cleanup):
    for number, name in enumerate(OLD["uploads"]):
        os.utime(stored.path(name), ns=(10**18 + number,) * 2)
    stored.backup()
    most = sum(os.path.getsize(stored.path(name)) for name in OLD["uploads"][:2])
    few = cleanup(kinds=["uploads"], max_files=2)
    assert [one["path"] for one in few["moved"]] == OLD["uploads"][:2] and few["left"]["over_quota"]["files"] == 2
    assert [one["path"] for one in cleanup(kinds=["uploads"], max_bytes=most)["moved"]] == OLD["uploads"][:2]
    small = cleanup(kinds=["uploads"], max_bytes=most - 1, state="cleaned")
    assert small["files"] == 2 and small["bytes"] < most and small["left"]["over_quota"]["files"] == 2


def test_young_files_are_not_counted_and_age_is_by_kind(stored, cleanup):
    stored.put("uploads/half.part", b"young")
    for name, days in (("uploads/old.png", 29), ("uploads/half.part", 3)):
        os.utime(stored.path(name), (time.time() - days * 86400,) * 2)
    stored.backup()
    moved = [one["path"] for one in cleanup()["moved"]]
    assert "uploads/old.png" not in moved and "uploads/half.part" in moved
    assert "uploads/old.png" in [one["path"] for one in cleanup(days=28)["moved"]]


@pytest.mark.parametrize("clock", ["ctime", "btime"])
def test_another_clock(stored, cleanup, clock):
    stored.backup()
    result = cleanup(clock=clock)
    assert result["files"] == 0 or result["left"].get("no_birth_time")
    assert cleanup(clock=clock, days=0, log_days=0, temporary_days=0, render_days=0)["files"] == 11


def test_what_stays_and_why(stored, cleanup):
    stored.put("uploads/late.png", b"late")
    stored.backup()
    os.link(stored.path("uploads/old.png"), stored.path("uploads/second.png"))
    os.utime(stored.path("uploads/late.png"), ns=(10**18,) * 2)
    with open(stored.path("uploads/late.png"), "r+b") as stream:
        stream.write(b"L")
    os.utime(stored.path("uploads/late.png"), ns=(10**18,) * 2)
    stored.put("uploads/new.png", b"not in the backup")
    stored.put("uploads/ - .. -", b"")
    os.utime(stored.path("uploads/link"), ns=(10**18,) * 2, follow_symlinks=False)
    with open(stored.path("logs/app.log"), "rb"):
        planned = cleanup(keep=["uploads/games/*"])
        done = cleanup(keep=["uploads/games/*"], state="cleaned")
    counts = {reason: count["files"] for reason, count in planned["left"].items()}
    assert counts == {"hard_link": 2, "differs_from_backup": 1, "not_in_backup": 1, "unclear": 1, "kept": 1, "not_a_file": 1, "named": 4}
    assert {reason: count["files"] for reason, count in done["left"].items()} == {**counts, "in_use": 1}
    assert os.path.exists(stored.path("logs/app.log")) and done["files"] == planned["files"] - 1


def test_a_run_that_takes_too_long_leaves_the_rest(stored, cleanup, monkeypatch):
    stored.backup()
    ticks = itertools.count(0, 400)
    monkeypatch.setattr(cleanups, "_BATCH", 1)
    monkeypatch.setattr(cleanups, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))
    done = cleanup(state="cleaned", limit=900)
    assert (done["files"], done["left"]["out_of_time"]["files"]) == (2, 9) and len(journal.load(stored.layout)[0].entries) == 2
    monkeypatch.undo()
    assert cleanup(state="cleaned")["files"] == 9


def test_a_process_that_does_not_answer_in_time_is_told(stored, cleanup):
    stored.backup()
    result = cleanup(state="cleaned", limit=0.000001)
    assert result["msg"].startswith("the process with the rights of the service's user: expected an answer, found it takes more than 0 s.")


def test_a_file_that_goes_before_its_move(stored, cleanup, monkeypatch):
    stored.backup()
    save = journal.save

    def go(layout, run):
        save(layout, run)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stored.path("uploads/old.png"))

    monkeypatch.setattr(journal, "save", go)
    done = cleanup(state="cleaned")
    assert (done["files"], done["left"]["gone"]["files"]) == (10, 1)


def test_a_file_system_without_times_of_birth(stored, cleanup, monkeypatch):
    stored.backup()
    monkeypatch.setattr(clocks, "_born", lambda _name, _folder: None)
    assert {reason: count["files"] for reason, count in cleanup(clock="btime")["left"].items()} == {"no_birth_time": 15, "not_a_file": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to other users")
def test_files_of_other_users_stay(stored, cleanup):
    stored.backup()
    os.chown(stored.path("uploads/old.png"), 65534, 65534)
    assert cleanup()["left"]["other_owner"]["files"] == 1


def test_files_that_were_just_put_there_stay(stored, cleanup):
    stored.backup()
    result = cleanup(grace=3600)
    assert result["files"] == 0 and result["left"]["recent"]["files"] == 15 and result["message"].startswith("No file may go; ")


def test_a_file_that_is_exchanged_in_the_moment_of_its_move_goes_back(stored, cleanup, monkeypatch):
    stored.backup()
    stored.put("uploads/new.png", b"another")
    before = files(stored)
    hold = moves._hold

    def exchange(descriptor):
        hold(descriptor)
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/old.png"):
            os.rename(stored.path("uploads/new.png"), stored.path("uploads/old.png"))

    monkeypatch.setattr(moves, "_hold", exchange)
    done = cleanup(state="cleaned")
    assert done["left"]["changed"]["files"] == 1 and done["files"] == 10
    assert files(stored)["uploads/old.png"]["sha256"] == before["uploads/new.png"]["sha256"]


def test_a_file_that_is_exchanged_and_whose_name_is_taken_again_is_in_a_record(stored, cleanup, monkeypatch):
    stored.backup()
    stored.put("uploads/new.png", b"another")
    rename = moves.rename

    def exchange(source, source_folder, target, target_folder):
        if source == "old.png":
            os.rename(stored.path("uploads/new.png"), stored.path("uploads/old.png"))
        rename(source, source_folder, target, target_folder)
        if source == "old.png":
            stored.put("uploads/old.png", b"a third one")

    monkeypatch.setattr(moves, "rename", exchange)
    done = cleanup(state="cleaned", kinds=["uploads"])
    assert done["left"]["changed"]["files"] == 1 and sum(run["files"] for run in done["quarantine"]) == 4
    monkeypatch.undo()
    assert cleanup(state="purged", expiry_days=0)["stay"] == {"not_in_backup": {"files": 1, "bytes": 7}}
    os.unlink(stored.path("uploads/old.png"))
    assert cleanup(state="restored", paths=["uploads/old.png"])["files"] == 1
    assert pathlib.Path(stored.path("uploads/old.png")).read_bytes() == b"another"


def test_a_file_that_a_store_names_since_it_was_looked_at_stays(stored, cleanup, monkeypatch):
    monkeypatch.setattr(stores, "_VALID", 0.0)
    stored.backup()
    hold = moves._hold

    def name_it(descriptor):
        hold(descriptor)
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/old.png"):
            with database(stored) as connection:
                connection.execute("INSERT INTO uploads VALUES ('old.png')")

    monkeypatch.setattr(moves, "_hold", name_it)
    done = cleanup(state="cleaned")
    assert os.path.exists(stored.path("uploads/old.png")) and done["left"]["named"]["files"] >= 5


def test_a_store_that_breaks_while_files_move_ends_the_run_and_leaves_a_true_record(stored, cleanup, monkeypatch):
    monkeypatch.setattr(stores, "PATIENCE", 0.1)
    monkeypatch.setattr(stores, "_VALID", 0.0)
    stored.backup()
    before, hold = files(stored), moves._hold

    def tear(descriptor):
        hold(descriptor)
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/reel.mp4"):
            stored.put("database/projects.json", b"{")

    monkeypatch.setattr(moves, "_hold", tear)
    result = cleanup(state="cleaned")
    assert result["failed"] and "projects.json: expected a store that can be read" in result["msg"]
    stored.put("database/projects.json", b"{}")
    before["database/projects.json"] = files(stored)["database/projects.json"]
    whole(stored, before)
    (run,) = journal.load(stored.layout)
    event = json.loads(pathlib.Path(stored.layout.history).read_text().splitlines()[-1])
    assert event["what"] == "cleaned" and event["mended"] == 11 - len(run.entries)
    assert 0 < len(run.entries) < 11 and all(os.path.exists(os.path.join(run.files, entry.name)) for entry in run.entries)


#: Writes a row, commits it when it is told to, and says when each is done. In a process of its own, as the application is.
WRITER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
for statement in ("INSERT INTO uploads VALUES ('old.png')", "COMMIT"):
    database.execute(statement)
    print("done", flush=True)
    sys.stdin.readline()
"""


def test_a_row_counts_once_it_is_committed(stored, cleanup):
    stored.backup()
    command = [sys.executable, "-c", WRITER, stored.path("database/mobius.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as writer:
        writer.stdout.readline()
        assert "uploads/old.png" in [one["path"] for one in cleanup()["moved"]]  # the grace is for this
        writer.stdin.write("\n")
        writer.stdout.readline()
        assert "uploads/old.png" not in [one["path"] for one in cleanup()["moved"]]
        writer.stdin.write("\n")


def test_purging(stored, cleanup):
    archive = stored.backup()["archive"]
    done = cleanup(state="cleaned")
    assert cleanup(state="purged")["message"] == "0 files (0 B) removed from quarantine."
    with database(stored) as connection:
        connection.execute("INSERT INTO uploads VALUES ('/uploads/old.png')")
    planned = cleanup(check=True, state="purged", expiry_days=0)
    purged = cleanup(state="purged", expiry_days=0)
    assert planned["purged"] == purged["purged"] and purged["purged"]["files"] == 10 and purged["changed"]
    assert {reason: count["files"] for reason, count in purged["stay"].items()} == {"named": 1}
    assert [run["files"] for run in purged["quarantine"]] == [1]
    with database(stored) as connection:
        connection.execute("DELETE FROM uploads WHERE path = '/uploads/old.png'")
    os.rename(archive, archive + ".away")
    assert cleanup(state="purged", expiry_days=0)["stay"]["not_in_backup"]["files"] == 1
    os.rename(archive + ".away", archive)
    last = cleanup(state="cleaned", expiry_days=0)
    assert (last["purged"]["files"], last["quarantine"]) == (1, []) and done["files"] == 11


def test_a_file_that_was_changed_in_quarantine_is_neither_removed_nor_put_back(stored, cleanup):
    stored.backup()
    done = cleanup(state="cleaned", kinds=["renders"])
    (run,) = journal.load(stored.layout)
    path = os.path.join(run.files, run.entries[0].name)
    status = os.stat(path)
    with open(path, "r+b") as stream:
        stream.write(b"??")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    result = cleanup(state="restored", paths=[done["run"]])
    assert result["msg"] == (
        "1 file in quarantine: expected to go back, found that it was changed in quarantine. 2 went back. "
        "Move what is in the way, then run it again."
    )


def test_what_stores_name_stays_of_every_kind(stored, cleanup):
    stored.put("database/names.json", json.dumps(["app.1.log", "half.part", "p1/.source-upload-tmp/page.png", "job-1"]).encode())
    stored.backup()
    moved = [one["path"] for one in cleanup()["moved"]]
    assert moved and not {"logs/app.1.log", "uploads/half.part", "database/p1/.source-upload-tmp/page.png"} & {*moved}
    assert "uploads/render-jobs/job-1/clip.mp4" not in moved


def test_a_restore_replaces_nothing(stored, cleanup):
    stored.backup()
    cleanup(state="cleaned")
    stored.put("uploads/old.png", b"a new one")
    result = cleanup(state="restored", paths=["uploads/*"])
    assert result["failed"] and "another file with its name" in result["msg"] and result["left"] == {"taken": {"files": 1, "bytes": 1015}}
    assert pathlib.Path(stored.path("uploads/old.png")).read_bytes() == b"a new one"
    os.unlink(stored.path("uploads/old.png"))
    assert cleanup(state="restored", paths=["uploads/old.png"])["files"] == 1


def test_a_restore_without_the_folder(stored, cleanup):
    stored.backup()
    cleanup(state="cleaned", kinds=["renders"])
    os.rmdir(stored.path("uploads/render-jobs/job-1"))
    assert "its folder is gone" in cleanup(state="restored", paths=["*job-1*"])["msg"]
    assert "expected files of nothing.png, found none" in cleanup(state="restored", paths=["nothing.png"])["msg"]


def test_a_restore_goes_through_no_link(stored, cleanup, tmp_path):
    stored.backup()
    cleanup(state="cleaned", kinds=["renders"])
    outside = tmp_path / "outside"
    outside.mkdir()
    os.rename(stored.path("uploads/render-jobs/job-1"), tmp_path / "away")
    os.symlink(outside, stored.path("uploads/render-jobs/job-1"))
    result = cleanup(state="restored", paths=["*job-1*"])
    assert result["failed"] and result["left"]["changed"]["files"] == 1 and os.listdir(outside) == []
    assert [run["files"] for run in result["quarantine"]] == [3]


def test_only_what_a_verified_backup_holds(stored, cleanup):
    assert "Make one: mobius.ops.backup." in cleanup()["msg"]
    archive = stored.backup(components=["uploads"])["archive"]
    assert {one["path"].split("/")[0] for one in cleanup()["moved"]} == {"uploads"}
    os.unlink(archive + ".sha256")
    assert f"{archive}, which is unverified (no sidecar)" in cleanup(state="cleaned")["msg"]


@pytest.mark.parametrize(
    "name, content, kept",
    [
        ("projects.json", b'{"projects": [', "Error: "),
        ("empty.json", b"", "Error: "),
        ("locked.db", b"x" * 4096, "a kind of database that cannot be read here"),
        ("torn.bin", b"SQLite format 3\0" + b"x" * 4080, "DatabaseError"),
    ],
)
def test_a_store_that_cannot_be_read_is_an_error(stored, cleanup, monkeypatch, name, content, kept):
    monkeypatch.setattr(stores, "PATIENCE", 0.1)
    stored.backup()
    stored.put(f"database/{name}", content)
    result = cleanup(state="cleaned")
    assert result["failed"] and f"data/{name}" in result["msg"] and kept in result["msg"] and len(files(stored)) > 11
    assert cleanup(kinds=["temporary"])["failed"] and cleanup(kinds=["logs"])["files"] == 2


def test_state_that_is_kept_elsewhere_is_not_known(stored, cleanup):
    stored.backup()
    fs.write_json(external_state.kept(stored.layout), external_state.normalize({"dump": ["true"], "restore": ["true"]}, "mobius", False))
    assert "kept elsewhere (mobius_external_state)" in cleanup()["msg"]
    assert cleanup(kinds=["logs"])["files"] == 2


@pytest.mark.parametrize(
    "options, told",
    [
        ({"state": "restored"}, "state restored: expected paths to say which files are meant"),
        ({"days": -1}, "days of uploads: expected a number from 0, found -1"),
        ({"grace": -1}, "grace: expected a number from 0"),
        ({"max_bytes": -1}, "max_bytes: expected a number from 0"),
        ({"kinds": []}, "kinds: expected some of uploads, logs, temporary, renders, found an empty list"),
        ({"temporary": ["*"]}, "found '*', which fits every file"),
        ({"env": "a b"}, "expected 1 to 64 letters"),
        ({"quarantine": "{root}/shared/uploads/q"}, "expected an absolute path outside of the application's folders"),
    ],
)
def test_bad_requests_are_refused(stored, cleanup, options, told):
    options = {name: value.format(root=stored.root) if isinstance(value, str) else value for name, value in options.items()}
    result = cleanup(**options)
    assert result["failed"] and told in result["msg"]


def test_a_quarantine_that_is_no_folder_or_not_of_this_user(stored, cleanup):
    stored.backup()
    pathlib.Path(stored.layout.quarantine).touch()
    assert f"quarantine {stored.layout.quarantine}: expected a folder" in cleanup(state="cleaned")["msg"]
    os.unlink(stored.layout.quarantine)
    os.mkdir(stored.layout.quarantine)
    os.chmod(stored.layout.quarantine, 0o777)
    assert "a folder that only this user can write to" in cleanup(state="cleaned")["msg"]


def test_a_quarantine_that_went_is_told(stored, cleanup, tmp_path):
    stored.backup()
    cleanup(state="cleaned", quarantine=str(tmp_path / "q"), kinds=["logs"])
    os.rename(tmp_path / "q", tmp_path / "away")
    assert f"quarantine {tmp_path}/q of the run" in cleanup(state="cleaned")["msg"]


def test_a_component_on_another_mount_has_a_quarantine_of_its_own(stored, cleanup, monkeypatch, quick_clock):
    stored.backup()
    before, known = files(stored), mounts.points()
    monkeypatch.setattr(mounts, "points", lambda: known | {stored.layout.component("uploads")})
    done = cleanup(state="cleaned")
    assert [run["run"] for run in done["quarantine"]] == [done["run"], done["run"] + "-2"]
    assert sorted(run["files"] for run in done["quarantine"]) == [5, 6]
    assert len(os.listdir(stored.path("uploads/.quarantine/files"))) == 6
    assert not cleanup(state="cleaned")["changed"]
    with zipfile.ZipFile(stored.backup()["archive"]) as archive:  # it is no part of the state
        assert not [name for name in archive.namelist() if ".quarantine" in name]
    assert cleanup(state="restored", paths=[done["run"]])["files"] == 11
    assert files(stored) == before


def test_a_quarantine_in_a_component_survives_a_restore_there(stored, cleanup, monkeypatch, quick_clock):
    archive = stored.backup()["archive"]
    known = mounts.points()
    monkeypatch.setattr(mounts, "points", lambda: known | {stored.layout.component("uploads")})
    done = cleanup(state="cleaned", kinds=["uploads"])
    restored = stored.restore(archive, safety_backup=False)
    assert not restored.get("failed"), restored
    assert len(os.listdir(stored.path("uploads/.quarantine/files"))) == 4 and os.path.exists(stored.path("uploads/old.png"))
    assert cleanup(state="restored", paths=[done["run"]])["left"]["taken"]["files"] == 4


def test_a_file_system_that_is_not_the_one_that_was_told_is_no_loss(stored, cleanup, monkeypatch):
    stored.backup()
    before = files(stored)

    def refuse(*_words):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(moves, "rename", refuse)
    done = cleanup(state="cleaned")
    assert done["left"]["other_filesystem"]["files"] == 11 and files(stored) == before and not done["changed"] and done["quarantine"] == []


def test_without_renameat2_a_move_is_two_steps_and_a_kill_between_them_is_mended(stored, cleanup, monkeypatch):
    stored.backup()
    before = files(stored)
    monkeypatch.setattr(moves, "_renameat2", None)
    done = cleanup(state="cleaned")
    assert done["files"] == 11 and not {*ALL} & {*files(stored)}
    stored.put("uploads/old.png", b"a new one")
    assert cleanup(state="restored", paths=["uploads/old.png"])["left"]["taken"]["files"] == 1
    os.unlink(stored.path("uploads/old.png"))
    (run,) = journal.load(stored.layout)
    first = run.entries[0]
    os.link(os.path.join(run.files, first.name), stored.path(first.shown))  # as a kill leaves it
    assert cleanup(state="restored", paths=["*"])["files"] == 10
    assert files(stored) == before and os.listdir(run.files) == []


def test_what_is_mounted_below_a_component_is_not_entered(stored, cleanup, monkeypatch):
    stored.backup()
    known = mounts.points()
    monkeypatch.setattr(mounts, "points", lambda: known | {stored.path("uploads/games")})
    result = cleanup()
    assert "uploads/games/board.png" not in [one["path"] for one in result["moved"]] and result["left"]["mount"]["files"] == 1


def test_no_file_moves_while_a_backup_or_a_restore_runs(stored, cleanup):
    stored.backup()
    before = files(stored)
    with restore_journal.locked(stored.layout):  # as a backup does
        assert cleanup()["files"] == 11
        assert "found a backup or a restore that runs" in cleanup(state="cleaned")["msg"] and files(stored) == before
    done = cleanup(state="cleaned")
    with restore_journal.locked(stored.layout):
        assert "found a backup or a restore that runs" in cleanup(state="restored", paths=[done["run"]])["msg"]
    with restore_journal.locked(stored.layout, fcntl.LOCK_EX):  # as a restore does
        assert "found a backup or a restore that runs" in cleanup()["msg"]


def test_two_clean_ups_do_not_run_at_a_time(stored, cleanup):
    stored.backup()
    with cleanups._alone(stored.layout, False):
        assert "expected no other clean-up, found one that runs" in cleanup(state="cleaned")["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give folders to other users")
def test_folders_of_several_users(stored, cleanup):
    stored.backup()
    os.chown(stored.path("logs"), 65534, 65534)
    assert "Correct its owner" in cleanup()["msg"]


def killed_at(number, work):
    """Do the work in a process that is killed, with its helper or without, at its effect of this number; whether it was."""
    child = os.fork()
    if not child:
        me, left, real = os.getpid(), [number], {name: getattr(owner, name) for owner, name in EFFECTS}

        def before(name):
            def called(*words, **options):
                left[0] -= 1
                whom = number % 3  # the process, its helper, or both
                if not left[0]:
                    for pid in {0: [me], 1: [os.getpid()], 2: [me, os.getpid()]}[whom]:
                        os.kill(pid, signal.SIGKILL)
                return real[name](*words, **options)

            return called

        for owner, name in EFFECTS:
            setattr(owner, name, before(name))
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


#: What lasts: records of runs, and names of files, before and after.
EFFECTS = ((journal, "save"), (moves, "rename"), (moves, "_checked"), (os, "unlink"))


def test_a_kill_at_any_moment_leaves_each_file_at_one_place_and_recorded(stored, cleanup):
    stored.backup()
    before = files(stored)
    work = [lambda: cleanup(state="cleaned"), lambda: cleanup(state="restored", paths=["*"])]
    kills = 0
    for number in range(1, 28):
        for each in work:
            kills += killed_at(number, each)
            whole(stored, before)
        mended = cleanup(state="cleaned", limit=30)
        assert not mended.get("failed"), mended
        whole(stored, before)
        (run,) = journal.load(stored.layout)
        assert len(run.entries) <= 11
        for run in journal.load(stored.layout):
            cleanup(state="restored", paths=[run.run])
        assert files(stored) == before
    assert kills > 8


def test_owner_of_the_folders_is_who_works(stored):
    assert accounts.owner_of(stored.path("uploads")).uid == os.stat(stored.path("uploads")).st_uid
    assert scan.NOATIME & os.O_NOATIME
