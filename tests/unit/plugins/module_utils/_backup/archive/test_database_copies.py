# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Databases that may be made to harm: a helper copies and checks them, within limits and with their user's rights."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from support.damage import hot_journal
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import database_copies
from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, as_user, sqlite, sqlite_check, threads
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import compare as drill_compare
from ansible_collections.mobius.ops.plugins.module_utils._target import progress

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read another user's databases")


def make(path, *statements, text=("x",)):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements or ("CREATE TABLE t (x)", "INSERT INTO t VALUES ('content')"):
            database.execute(statement, text if "?" in statement else ())


#: An index whose check computes for long, and one that needs 1.6 GB.
ENDLESS, LARGE = (
    (
        "CREATE TABLE t (x)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT 0 FROM n",
        "CREATE INDEX i ON t (length(hex(zeroblob(x))) >= 0)",
        "PRAGMA writable_schema=ON",
        f"UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t (length(hex(zeroblob({size} + x))) >= 0)' WHERE name = 'i'",
    )
    for size in (10_000_000, 400_000_000)
)
SLOW = (
    "CREATE TABLE t (x)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) INSERT INTO t SELECT i FROM n",
)
#: What the check says names a table whose name is no UTF-8.
ODD = (
    "CREATE TABLE t (x)",
    "INSERT INTO t VALUES (NULL)",
    "PRAGMA writable_schema=ON",
    "UPDATE sqlite_master SET name = CAST(x'74ff' AS TEXT), tbl_name = CAST(x'74ff' AS TEXT), "
    "sql = CAST('CREATE TABLE \"t' || x'ff' || '\" (x NOT NULL)' AS TEXT)",
)


@pytest.fixture
def place():
    """A folder that other users may pass through."""
    with tempfile.TemporaryDirectory(prefix="mobius-databases-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def data(place):
    """A component's folder; as root, that of another user."""
    folder = place / "data"
    folder.mkdir(mode=0o750)
    return folder


@pytest.fixture
def databases(place):
    """The helper; it leaves nothing."""
    with database_copies.Databases(accounts.named("nobody"), [str(place)]) as made:
        yield made
    assert os.listdir(place) in ([], ["data"])


def give(folder):
    """Let everything belong to the service's user."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


@pytest.fixture
def quick(monkeypatch):
    """Limits that are reached soon."""
    monkeypatch.setattr(sqlite_check, "SECONDS", 0.5)
    monkeypatch.setattr(sqlite, "PATIENCE", 0.5)
    monkeypatch.setattr(database_copies, "GRACE", 0.5)


def content(descriptor, tmp_path):
    with open(tmp_path / "taken.db", "wb") as target, open(descriptor, "rb", closefd=False) as source:
        shutil.copyfileobj(source, target)
    with contextlib.closing(sqlite3.connect(tmp_path / "taken.db")) as database:
        return database.execute("SELECT x FROM t").fetchall()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_copy_of_a_database(data, databases, tmp_path, journal):
    make(data / "a.db", f"PRAGMA journal_mode={journal}", "CREATE TABLE t (x)", "INSERT INTO t VALUES ('content')")
    give(data)
    for _time in range(2):
        with databases.copied(str(data), "a.db", 4096) as (descriptor, wal, remarks):
            assert content(descriptor, tmp_path) == [("content",)] and wal == (journal == "wal") and not remarks
    assert os.listdir(data) == ["a.db"]


@ROOT
@pytest.mark.parametrize("closed", ["data", "data/a.db"])
def test_a_database_that_its_user_does_not_reach_is_brought(place, data, databases, tmp_path, closed):
    make(data / "a.db")
    give(data)
    (place / closed).chmod(0o700)
    os.chown(place / closed, 0, 0)
    with databases.copied(str(data), "a.db", 4096) as (descriptor, wal, remarks):
        assert content(descriptor, tmp_path) == [("content",)] and not wal and not remarks
    assert databases.ask(str(data), "a.db", sqlite_check.examine, "a.db", HANG, seconds=HANG) == {"t": 1}


@ROOT
def test_a_folder_that_became_a_link_leads_nowhere(place, data, databases):
    (place / "foreign").mkdir(mode=0o700)
    make(place / "foreign" / "a.db")
    (data / "sub").symlink_to(place / "foreign")
    give(data)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"), databases.copied(str(data), "sub/a.db", 4096):
        pass
    shutil.rmtree(place / "foreign")


@ROOT
@pytest.mark.parametrize("what", ["link", "hard link", "folder", "pipe", "large"])
def test_what_the_user_puts_in_place_of_the_copy_is_refused(place, data, databases, monkeypatch, what):
    make(data / "a.db")
    give(data)
    (place / "secret").write_text("secret")
    asked = databases._copy

    def exchanged(*words):
        asked(*words)
        copy = os.path.join(databases._path, "w", "copy")
        if what == "large":
            os.truncate(copy, 10**9)
            return False
        os.unlink(copy)
        {"link": os.symlink, "hard link": os.link, "folder": lambda _from, to: os.mkdir(to), "pipe": lambda _from, to: os.mkfifo(to)}[what](
            place / "secret", copy
        )
        return False

    monkeypatch.setattr(databases, "_copy", exchanged)
    with pytest.raises(IntegrityError, match="expected a copy of it, found"), databases.copied(str(data), "a.db", 4096):
        pass
    os.unlink(place / "secret")


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm", ""])
def test_a_pipe_beside_a_database_or_in_its_place(data, databases, suffix):
    make(data / "a.db")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(data / ("a.db" + suffix if suffix else "a.db"))
    os.mkfifo(data / ("a.db" + suffix))
    give(data)
    with pytest.raises(IntegrityError, match="expected a file, found something else"), databases.copied(str(data), "a.db", 4096):
        pass


def test_a_journal_that_names_a_super_journal_removes_nothing(place, data, databases):
    (data / "victim").write_text("stays")
    hot_journal(data / "a.db", data / "victim")
    give(data)
    before = {name: (data / name).read_bytes() for name in os.listdir(data)}
    with (
        pytest.raises(IntegrityError, match="names a super-journal, a file that SQLite would remove"),
        databases.copied(str(data), "a.db", 4096),
    ):
        pass
    assert {name: (data / name).read_bytes() for name in os.listdir(data)} == before


@pytest.mark.parametrize(
    "statements, found", [(ENDLESS, "more than|does not end"), (LARGE, "memory|too big"), (SLOW, "does not end within|more than")]
)
def test_a_check_is_limited(data, databases, quick, monkeypatch, statements, found):
    make(data / "a.db", *statements)
    give(data)
    if statements is SLOW:
        monkeypatch.setattr(sqlite_check, "SECONDS", 0.0)
        monkeypatch.setattr(sqlite_check, "SPEED", 1e12)
        monkeypatch.setattr(sqlite_check, "_STEPS", 100)
    with pytest.raises(IntegrityError, match=found), databases.copied(str(data), "a.db", 4096):
        pass
    with pytest.raises(IntegrityError, match=found):
        databases.check([(data / "a.db").read_bytes()], "a.db")
    make(data / "b.db")
    give(data)
    assert databases.ask(str(data), "b.db", sqlite_check.examine, "b.db", HANG, seconds=HANG) == {"t": 1}


def test_a_drill_is_limited_too(data):
    make(data / "a.db", *LARGE)
    with pytest.raises(IntegrityError, match=r"database a\.db: expected"):
        drill_compare.databases(str(data), accounts.stranger(), time.monotonic() + HANG, progress.Meter())


def test_a_name_that_is_no_text_can_be_reported(data, databases):
    make(data / "a.db", *ODD)
    give(data)
    with databases.copied(str(data), "a.db", 4096) as copy:
        assert copy.remarks == ["breaks a rule of its own tables in 1 rows (NULL value in t\ufffd.x)"]


def test_names_that_are_no_text_are_counted_as_tables(data):
    make(data / "a.db", *ODD[:1], *ODD[2:3], ODD[3].replace(" NOT NULL", ""))
    [found] = drill_compare.databases(str(data), accounts.stranger(), time.monotonic() + HANG, progress.Meter())
    assert found["tables"] == 1 and found["counts"] == {"t\ufffd": None}


def test_several_threads_check_databases_at_once(data, databases):
    make(data / "a.db")
    content = (data / "a.db").read_bytes()
    damaged = content[:4096] + b"x" * 4096
    threads.in_threads(lambda number: databases.check([content], f"{number}.db"), range(40))
    with pytest.raises(IntegrityError, match=r"^7\.db: "):
        threads.in_threads(lambda number: databases.check([damaged if number == 7 else content], f"{number}.db"), range(9))


def test_a_helper_that_ends_is_a_problem_of_its_database(data, databases, monkeypatch):
    make(data / "a.db")
    give(data)

    def failed(*_words, **_options):
        raise as_user.Failed("its process ended")

    monkeypatch.setattr(databases._helper, "call", failed)
    with (
        pytest.raises(IntegrityError, match="a database that SQLite can read, found its process ended"),
        databases.copied(str(data), "a.db", 4096),
    ):
        pass


def test_folders_of_killed_runs_are_removed(place):
    from ansible_collections.mobius.ops.plugins.module_utils._core import scratch

    old = place / (database_copies.PREFIX + "old")
    (old / "w").mkdir(parents=True)
    with scratch.scratch(database_copies.PREFIX, str(place)) as used:
        assert scratch.sweep(str(place)) == [str(old)]
        assert os.listdir(place) == [os.path.basename(used.path)]
