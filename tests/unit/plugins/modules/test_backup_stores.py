# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Databases and stores of several files in a backup: what is at rest comes back as it was, and nothing torn is called verified."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import zipfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import file_reader as archive_file_reader
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import groups as archive_groups
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import listing as archive_listing
from ansible_collections.mobius.ops.plugins.module_utils._core import sqlite, torn_json

#: A database that is not SQLite's to read, as SQLCipher's are.
FOREIGN = bytes(range(7, 256)) * 40


def entries_of(archive):
    with zipfile.ZipFile(archive) as opened:
        return {entry["path"]: entry for entry in json.loads(opened.read("MANIFEST.json"))["entries"]}


def hashes(folder):
    found = {}
    for where, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found[os.path.relpath(path, folder)] = hashlib.sha256(read(path)).hexdigest()
    return found


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def database(path, *statements, wal=False, after=b""):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
        for statement in (f"PRAGMA journal_mode={'wal' if wal else 'delete'}", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)"):
            made.execute(statement)
        for statement in statements:
            made.execute(statement)
    with open(path, "ab") as stream:
        stream.write(after)


def made(host, **options):
    result = host.backup(**options)
    assert not result.get("failed"), result["msg"]
    return result


def touch(path):
    """Change a file's content and its times."""
    with open(path, "r+b") as stream:
        stream.write(os.urandom(8))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(archive_file_reader, "PAUSE", 0)


def after_reading(monkeypatch, name, action):
    """Do something each time when a file of that name was read."""
    blocks = archive_file_reader.blocks

    def read_and_act(descriptor, size):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        yield from blocks(descriptor, size)
        if os.path.basename(path) == name:
            action()

    monkeypatch.setattr(archive_file_reader, "blocks", read_and_act)


@pytest.mark.parametrize("component", ["uploads", "database"])
@pytest.mark.parametrize("wal", [False, True])
def test_a_database_at_rest_comes_back_as_the_same_bytes(state_host, quick_clock, component, wal):
    for name, extra in (("one.gpkg", []), ("two.gpkg", ["DELETE FROM t", "VACUUM", "INSERT INTO t VALUES (1)"])):
        database(state_host.path(f"{component}/{name}"), *extra, wal=wal)
    database(state_host.path(f"{component}/more.bin"), wal=wal, after=b"a container's trailer " * 11)
    before = hashes(state_host.layout.shared)
    first, second = made(state_host), made(state_host)
    assert first["problems"] == [] and "warnings" not in first
    assert second["reused"] == sum(entry["type"] == "file" for entry in entries_of(second["archive"]).values())
    assert {one["status"] for one in state_host.info(verify="deep")} == {"verified"}
    for archive in (first["archive"], second["archive"]):
        shutil.rmtree(state_host.path(component))
        os.mkdir(state_host.path(component))
        assert not state_host.restore(archive, safety_backup=False).get("failed")
        assert hashes(state_host.layout.shared) == before


def test_no_sql_of_an_upload_at_rest_runs(state_host, monkeypatch):
    def refused(*_words, **_options):
        raise AssertionError("a helper was asked")

    monkeypatch.setattr("ansible_collections.mobius.ops.plugins.module_utils._core.as_user.Helper.call", refused)
    database(state_host.path("uploads/a.db"))
    assert "sqlite" not in entries_of(made(state_host)["archive"])["uploads/a.db"]


@pytest.mark.parametrize("component", ["uploads", "database"])
def test_files_of_users_beside_a_database_stay(state_host, component):
    database(state_host.path(f"{component}/notes.db"))
    for suffix, content in (("-journal", b"Dear diary\n" * 20), ("-wal", b"my notes on walls\n"), ("-shm", b"")):
        state_host.put(f"{component}/notes.db{suffix}", content)
    before = hashes(state_host.layout.shared)
    result = made(state_host)
    assert result["problems"] == []
    assert not state_host.restore(result["archive"], safety_backup=False).get("failed")
    assert hashes(state_host.layout.shared) == before


def test_beside_a_database_in_use_only_what_is_sqlites_is_left_out(state_host):
    path = state_host.path("database/a.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (x)")
        state_host.put("database/a.db-journal", b"a user's own file\n")
        entries = entries_of(made(state_host)["archive"])
    assert {name for name in entries if name.startswith("database/a.db")} == {"database/a.db", "database/a.db-journal"}
    assert entries["database/a.db"]["sqlite"] is True and entries["database/a.db"]["journal_mode"] == "wal"


def test_a_database_that_is_being_written_is_not_taken_as_a_file(state_host):
    """A writer without a journal on the disk leaves no trace but its lock."""
    path = state_host.path("uploads/a.db")
    database(path)
    child = os.fork()
    if not child:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=memory")
        connection.execute("BEGIN EXCLUSIVE")
        open(path + ".ready", "w").close()
        os.read(0, 0)
        while os.path.exists(path + ".ready"):
            os.sched_yield()
        os._exit(0)
    try:
        while not os.path.exists(path + ".ready"):
            os.sched_yield()
        descriptor = os.open(path, os.O_RDONLY)
        assert sqlite.is_written(descriptor)
        os.close(descriptor)
    finally:
        os.unlink(path + ".ready")
        os.waitpid(child, 0)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_store_whose_parts_change_between_them_is_a_problem(state_host, monkeypatch, impatient, suffix):
    """On 8a3192d such an archive was verified without a word."""
    main, beside = (state_host.put("database/vault" + each, FOREIGN) for each in ("", suffix))
    after_reading(monkeypatch, "vault", lambda: touch(beside))
    result = state_host.backup()
    assert result["failed"] and [problem["path"] for problem in result["problems"]] == ["database/vault"]
    assert "kept in several files (vault, vault" in result["problems"][0]["reason"] and "mobius_external_state" in result["msg"]
    accepted = made(state_host, allow_changed=True)
    entries = entries_of(accepted["archive"])
    assert all(entries[f"database/vault{each}"]["changed"] is True for each in ("", suffix))
    assert os.path.exists(main)


@pytest.mark.parametrize("change", ["changed", "new", "gone", "main"])
def test_a_store_that_changes_once_is_taken_as_one_state(state_host, monkeypatch, impatient, change):
    main, wal = state_host.put("database/vault", FOREIGN), state_host.path("database/vault-wal")
    if change != "new":
        state_host.put("database/vault-wal", FOREIGN)
    calls = []

    def act():
        if calls:
            return
        calls.append(change)
        if change == "gone":
            os.unlink(wal)
        elif change == "new":
            state_host.put("database/vault-wal", b"new")
            touch(main)
        else:
            touch(main if change == "main" else wal)

    if change == "new":
        state_host.put("database/vault-shm", b"\0" * 100)
    after_reading(monkeypatch, "vault", act)
    result = made(state_host)
    assert calls and result["problems"] == []
    with zipfile.ZipFile(result["archive"]) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if name.startswith("database/vault")}
    live = {
        name: read(state_host.path(name))
        for name in (f"database/{each}" for each in os.listdir(state_host.path("database")))
        if name.startswith("database/vault")
    }
    assert found == live


@pytest.mark.parametrize("gone", ["vault", "store"])
def test_a_store_that_is_gone_is_a_problem(state_host, monkeypatch, impatient, gone):
    state_host.put("database/vault", FOREIGN)
    state_host.put("database/vault-wal", FOREIGN)
    state_host.put("database/store/data.mdb", FOREIGN)
    scan = archive_listing.scan

    def scan_and_remove(*words):
        plan = scan(*words)
        path = state_host.path(f"database/{gone}")
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        return plan

    monkeypatch.setattr(archive_listing, "scan", scan_and_remove)
    result = state_host.backup()
    assert result["failed"] and "cannot be read" in result["problems"][0]["reason"]


FOLDERS = {
    "LMDB": ["data.mdb", "lock.mdb"],
    "LevelDB or RocksDB": ["000003.log", "000005.ldb", "CURRENT", "MANIFEST-000002"],
    "PostgreSQL": ["PG_VERSION", "base/1/1255", "global/pg_control", "pg_wal/000000010000000000000001"],
    "MySQL": ["app/t.ibd", "ib_logfile0", "ibdata1"],
    "MongoDB": ["WiredTiger.wt", "collection-0.wt", "journal/WiredTigerLog.1"],
}


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize("where", ["database/store/", "database/"])
def test_a_folder_that_is_a_database_is_one_state(state_host, monkeypatch, impatient, kind, where):
    for name in FOLDERS[kind]:
        state_host.put(where + name, FOREIGN)
    state_host.database().close()
    first = made(state_host)
    assert first["problems"] == []
    assert {where + name for name in FOLDERS[kind]} <= set(entries_of(first["archive"]))
    assert entries_of(first["archive"])["database/mobius.db"]["sqlite"] is True
    assert not state_host.restore(first["archive"], safety_backup=False).get("failed")
    after_reading(monkeypatch, os.path.basename(FOLDERS[kind][-1]), lambda: touch(state_host.path(where + FOLDERS[kind][0])))
    touch(state_host.path(where + FOLDERS[kind][-1]))
    result = state_host.backup()
    assert result["failed"] and len(result["problems"]) == 1
    assert f"it is a {kind} database, and parts of it changed" in result["problems"][0]["reason"]


def test_what_is_written_through_memory_is_read_every_time(state_host, quick_clock):
    state_host.put("database/data.mdb", FOREIGN)
    state_host.put("database/lock.mdb", b"lock")
    made(state_host)
    entries = entries_of(made(state_host)["archive"])
    assert made(state_host)["reused"] == sum(entry["type"] == "file" for entry in entries.values()) - 2


def test_groups_keep_every_source_once_and_folders_first(state_host):
    for kind, names in FOLDERS.items():
        for name in names:
            state_host.put(f"uploads/{kind}/{name}", b"x")
    for name in ("a", "a-wal", "a-wal-shm", "b-wal", "c", "c-journal", "c-b"):
        state_host.put("uploads/" + name, b"x")
    database(state_host.path("uploads/PostgreSQL/own.db"))
    plan = archive_listing.scan(state_host.layout, ["uploads"])
    flat = []
    for each in archive_groups.gather(plan.sources):
        flat += each.members if isinstance(each, archive_groups.Group) else [each]
    assert sorted(source.name for source in flat) == sorted(source.name for source in plan.sources)
    seen = set()
    for source in flat:
        assert source.relative == "" or os.path.dirname(source.name) in seen
        seen.add(source.name)


def test_a_journal_that_comes_and_goes_is_nobodys_loss(state_host, monkeypatch):
    state_host.put("uploads/later/vault", FOREIGN)
    path, listdir, calls = state_host.path("uploads/later/vault-journal"), os.listdir, []

    def flap(folder):
        names = listdir(folder)
        shown = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) else str(folder)
        if shown.endswith("uploads/later"):
            calls.append(folder)
            if os.path.exists(path):
                os.unlink(path)
            elif len(calls) < 40:
                open(path, "w").close()
        return names

    monkeypatch.setattr(archive_listing.os, "listdir", flap)
    assert made(state_host)["problems"] == [] and calls


@pytest.mark.parametrize("become", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("content", [b"small", b"large" * 500_000])
def test_a_file_that_becomes_something_else_is_a_problem(state_host, monkeypatch, impatient, become, content):
    """On 8a3192d it was an empty file in a verified archive."""
    path, scan = state_host.put("uploads/turns", content), archive_listing.scan

    def scan_and_turn(*words):
        plan = scan(*words)
        os.unlink(path)
        become(path)
        return plan

    monkeypatch.setattr(archive_listing, "scan", scan_and_turn)
    result = state_host.backup()
    assert result["failed"] and result["problems"] == [{"path": "uploads/turns", "reason": "it cannot be read: not a regular file"}]


def test_a_database_with_the_applications_own_collation_is_taken_by_sqlite_also_when_changes_are_allowed(state_host):
    """On 8a3192d ``allow_changed`` stored torn files over the sound copy."""
    path = state_host.path("database/a.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_collation("icu", lambda one, other: (one < other) - (one > other))
        for statement in (
            "PRAGMA journal_mode=wal",
            "CREATE TABLE t (x TEXT COLLATE icu)",
            "CREATE INDEX i ON t (x)",
            "INSERT INTO t VALUES ('a'), ('b')",
        ):
            connection.execute(statement)
        for options in ({}, {"allow_changed": True}):
            result = made(state_host, **options)
            entry = entries_of(result["archive"])["database/a.db"]
            assert result["problems"] == [] and entry["sqlite"] is True and "changed" not in entry
            assert result["warnings"] == ["database/a.db could not be checked in full: it needs the collation icu"]
    assert {one["status"] for one in state_host.info(verify="deep")} == {"verified"}


def test_damage_in_such_a_database_is_a_problem(state_host):
    database(state_host.path("database/a.db"), "CREATE INDEX i ON t (x)")
    with open(state_host.path("database/a.db"), "r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 4096)
    assert state_host.backup()["problems"][0]["path"] == "database/a.db"


WHOLE = {
    "byte-order mark": b"\xef\xbb\xbf" + b'{"a": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "lines": b'{"a": 1}\n{"a": 2}\n',
    "comments": b'// mine\n{"a": 1} // that is all\n',
    "empty": b"",
    "nested": b"[" * 3000 + b"]" * 3000,
    "number": b"[" + b"7" * 5000 + b"]",
    "not": b"no JSON at all",
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_json_store_at_rest_is_taken_whatever_it_contains(state_host, kind):
    state_host.put("database/projects.json", WHOLE[kind])
    state_host.put("database/._projects.json", b"\0\5\x16\7" + b"\0" * 60)
    result = made(state_host)
    assert result["problems"] == [] and "warnings" not in result
    with zipfile.ZipFile(result["archive"]) as archive:
        assert archive.read("database/projects.json") == WHOLE[kind]


def test_a_json_store_that_is_cut_and_rests_is_taken_with_a_warning(state_host):
    state_host.put("database/projects.json", b'{"projects": [')
    result = made(state_host)
    assert result["problems"] == []
    assert result["warnings"] == ["database/projects.json does not end as a JSON document does; it rests, so it was taken as it is"]


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbf{" + b" " * 5000 + b"}\n", ("[" + " " * 3000 + "]").encode("utf-16"), b"{" + b" " * (3 * 2048 - 2) + b"}\n"]
)
def test_a_json_store_above_what_is_parsed_is_judged_by_its_ends(state_host, monkeypatch, content):
    """Exactly some blocks and one byte more, a byte-order mark, and UTF-16: on 8a3192d these were torn."""
    monkeypatch.setattr(torn_json, "PARSED", 1024)
    monkeypatch.setattr(archive_file_reader, "SMALL", 2048)
    monkeypatch.setattr(archive_file_reader, "writes_now", lambda _status: True)
    state_host.put("database/projects.json", content)
    assert made(state_host)["problems"] == []


@pytest.mark.parametrize("nanoseconds, age, rests", [(0, 0.1, False), (0, 1.9, False), (0, 2.1, True), (1, 0.01, False), (1, 0.1, True)])
def test_rest_takes_longer_where_times_are_whole_seconds(monkeypatch, nanoseconds, age, rests):
    changed = 1_800_000_000 * 10**9 + nanoseconds
    monkeypatch.setattr(archive_file_reader.time, "time_ns", lambda: changed + int(age * 1e9))
    status = os.stat_result((0o100644, 1, 1, 1, 0, 0, 5, 0, 0, 0), {"st_atime_ns": 0, "st_mtime_ns": 0, "st_ctime_ns": changed})
    assert (archive_file_reader.unrest(status) == 0) is rests
    if not rests:
        assert archive_file_reader.unrest(status) <= (2.02 if not nanoseconds else 0.02)


def test_a_change_within_the_same_second_is_seen_where_times_are_whole_seconds(state_host, quick_clock, monkeypatch):
    """On 8a3192d the old member was copied from the archive before."""
    path = state_host.put("uploads/coarse.txt", b"first")
    second, fstat, lstat = int(os.stat(path).st_mtime), os.fstat, os.stat

    def rounded(status):
        if status.st_ino != lstat(path).st_ino:
            return status
        return os.stat_result(
            (*status[:7], second, second, second), dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), second * 10**9)
        )

    monkeypatch.setattr(archive_file_reader.os, "fstat", lambda descriptor: rounded(fstat(descriptor)))
    monkeypatch.setattr(archive_file_reader.time, "time_ns", lambda: second * 10**9 + 10**8)
    monkeypatch.setattr(archive_file_reader.time, "sleep", lambda _seconds: None)
    entry = entries_of(made(state_host)["archive"])["uploads/coarse.txt"]
    assert "inode" not in entry and "ctime_ns" not in entry  # so that the next backup reads it again


def test_what_does_not_rest_is_read_twice(state_host, monkeypatch, impatient):
    """Two states of a file can have the same times."""
    path = state_host.put("uploads/restless.txt", b"first")
    times = os.stat(path)
    monkeypatch.setattr(archive_file_reader, "all_settled", lambda look, most=0.0: (look(), False))
    monkeypatch.setattr(archive_file_reader, "identity", lambda status: (status.st_ino, status.st_size))
    calls = []

    def act():
        calls.append(1)
        with open(path, "r+b") as stream:
            stream.write(b"%05d" % len(calls))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    after_reading(monkeypatch, "restless.txt", act)
    result = state_host.backup()
    assert result["failed"] and result["problems"] == [{"path": "uploads/restless.txt", "reason": "it changed while it was read"}]
