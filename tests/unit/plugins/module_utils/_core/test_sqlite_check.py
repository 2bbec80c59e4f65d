# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is damage in a SQLite database, and what only its application can judge."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import sqlite, sqlite_check
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError

SCHEMA = "PRAGMA writable_schema=ON"
ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO t(x) SELECT hex(i * 7919) FROM n"
#: What only an application has, and what the remark names.
FOREIGN = {
    "collation": (["CREATE TABLE t (x TEXT COLLATE icu)", "CREATE INDEX i ON t (x)", ROWS], "the collation icu"),
    "function in an index": (["CREATE TABLE t (x)", "CREATE INDEX i ON t (slug(x))", ROWS], "the function slug"),
    "unique function": (["CREATE TABLE t (x)", "CREATE UNIQUE INDEX i ON t (slug(x))", ROWS], "the function slug"),
    "generated column": (["CREATE TABLE t (x, y TEXT GENERATED ALWAYS AS (slug(x)) VIRTUAL)", ROWS], "the function slug"),
    "view of a newer SQLite": (
        [
            "CREATE TABLE t (x)",
            ROWS,
            "CREATE VIEW v AS SELECT x FROM t",
            SCHEMA,
            "UPDATE sqlite_master SET sql = 'CREATE VIEW v AS SELECT x FROM t NEWER WORDS HERE' WHERE name = 'v'",
        ],
        "a newer SQLite for v",
    ),
    "table of a newer SQLite": (
        [
            "CREATE TABLE t (x)",
            "CREATE TABLE u (x)",
            ROWS,
            SCHEMA,
            "UPDATE sqlite_master SET sql = 'CREATE TABLE u (x) NEWER' WHERE name = 'u'",
        ],
        "a newer SQLite for u",
    ),
    "all at once": (
        [
            "CREATE TABLE t (x TEXT COLLATE icu)",
            "CREATE INDEX i ON t (slug(x), x)",
            ROWS,
            "CREATE VIEW v AS SELECT 1",
            SCHEMA,
            "UPDATE sqlite_master SET sql = 'CREATE VIEW v AS NEWER' WHERE name = 'v'",
        ],
        "the collation icu",
    ),
}
MODULE = [
    "CREATE TABLE t (x)",
    ROWS,
    SCHEMA,
    "INSERT INTO sqlite_master VALUES ('table', 'vectors', 'vectors', 0, 'CREATE VIRTUAL TABLE vectors USING vec0(embedding float[4])')",
]
NOT_NULL = [
    "CREATE TABLE t (x)",
    ROWS,
    "INSERT INTO t VALUES (NULL), (NULL)",
    SCHEMA,
    "UPDATE sqlite_master SET sql = 'CREATE TABLE t (x NOT NULL)'",
]
CHECKED = ["CREATE TABLE t (x CHECK (x <> 'bad'))", "PRAGMA ignore_check_constraints=ON", ROWS, "INSERT INTO t VALUES ('bad')"]


def slug(value):
    return str(value).lower()


def make(path, statements, wal=False):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.create_collation("icu", lambda one, other: (one < other) - (one > other))
        database.create_function("slug", 1, slug, deterministic=True)
        for statement in [f"PRAGMA journal_mode={'wal' if wal else 'delete'}", *statements]:
            database.execute(statement)
    return str(path)


def count(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(SCHEMA)
        return database.execute("SELECT count(x) FROM t NOT INDEXED").fetchone()[0]


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_cannot_be_checked_is_copied_and_named(tmp_path, kind, wal):
    statements, lack = FOREIGN[kind]
    source, target = make(tmp_path / "a.db", statements, wal), str(tmp_path / "copy.db")
    [remark] = sqlite.copy(source, target)
    assert remark.startswith("could not be checked in full: it needs ") and lack in remark
    assert count(target) == 300 and sqlite.header(target)[18:20] == b"\x01\x01"
    assert sorted(os.listdir(tmp_path)) == ["a.db", "copy.db"]


def test_a_module_that_is_missing_is_no_damage(tmp_path):
    source, target = make(tmp_path / "a.db", MODULE), str(tmp_path / "copy.db")
    sqlite.copy(source, target)
    assert count(target) == 300
    assert sqlite_check.examine(target, "a.db", 30) == {"t": 300, "vectors": None}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_drill_goes_on_with_what_cannot_be_checked(tmp_path, kind):
    path = make(tmp_path / "a.db", FOREIGN[kind][0])
    assert sqlite_check.examine(path, "a.db", 30)["t"] in (300, None)


@pytest.mark.parametrize("kind", FOREIGN)
def test_damage_is_found_all_the_same(tmp_path, kind):
    path = make(tmp_path / "a.db", FOREIGN[kind][0])
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(SCHEMA)
        [root] = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 't'").fetchone()
        [page] = database.execute("PRAGMA page_size").fetchone()
    with open(path, "r+b") as stream:
        stream.seek(page * (root - 1) + 8 if root > 1 else page + 100)
        stream.write(b"\xff" * 600)
    with pytest.raises(IntegrityError):
        sqlite.copy(path, str(tmp_path / "copy.db"))
    with pytest.raises(IntegrityError):
        sqlite_check.check(path, "a.db")


def test_a_schema_that_makes_no_sense_is_damage(tmp_path):
    path = make(tmp_path / "a.db", ["CREATE TABLE t (x)", SCHEMA, "UPDATE sqlite_master SET rootpage = 77"])
    with pytest.raises(IntegrityError, match="malformed"):
        sqlite_check.check(path, "a.db")


@pytest.mark.parametrize("statements, rows, what", [(NOT_NULL, 2, "NULL value in t.x"), (CHECKED, 1, "CHECK constraint failed in t")])
def test_rows_that_break_a_rule_are_a_remark(tmp_path, statements, rows, what):
    path = make(tmp_path / "a.db", statements)
    assert sqlite_check.check(path, "a.db", True) == [f"breaks a rule of its own tables in {rows} rows ({what})"]
    assert sqlite.copy(path, str(tmp_path / "copy.db"), True)
    with open(path, "r+b") as stream:  # and damage beside them is damage
        stream.seek(4096 + 8)
        stream.write(b"\xff" * 600)
    with pytest.raises(IntegrityError):
        sqlite_check.check(path, "a.db", True)


def test_a_costly_constraint_costs_its_share_of_time_only(tmp_path, monkeypatch):
    """On 8a3192d ten rows took a minute."""
    monkeypatch.setattr(sqlite_check, "STRANGER_SECONDS", 0.3)
    monkeypatch.setattr(sqlite_check, "_STEPS", 100)
    path = make(
        tmp_path / "a.db",
        [
            "CREATE TABLE t (x CHECK (length(hex(zeroblob(100 + x * 20000000))) >= 0))",
            "PRAGMA ignore_check_constraints=ON",
            "INSERT INTO t VALUES " + ", ".join(["(1)"] * 9),
        ],
    )
    assert os.path.getsize(path) == 8192
    assert sqlite_check.check(path, "a.db", stranger=True) == []  # its constraints are not looked at
    assert sqlite_check.check(path, "a.db", True, stranger=True) == [
        "could not be checked in full: it needs its CHECK constraints, in the time that there is"
    ]


def test_an_upload_gets_less_time_than_a_database_of_the_application():
    assert sqlite_check.seconds(8192, stranger=True) < 6 < sqlite_check.seconds(8192)


def test_a_wal_database_that_only_a_writer_could_open_is_recovered_in_the_copy(tmp_path, monkeypatch):
    """Its folder is read-only and its ``-shm`` is gone, so SQLite cannot read it in its place."""
    live, source = tmp_path / "live", tmp_path / "source"
    live.mkdir()
    source.mkdir()
    with contextlib.closing(sqlite3.connect(live / "a.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=wal")
        database.execute("CREATE TABLE t (x)")
        database.execute(ROWS)
        for name in ("a.db", "a.db-wal"):
            (source / name).write_bytes((live / name).read_bytes())
    backup = sqlite._backup

    def refused(path, target, more=""):
        if not more:
            raise sqlite3.OperationalError("unable to open database file")
        backup(path, target, more)

    monkeypatch.setattr(sqlite, "_backup", refused)  # as it is for a user who may not write there; root may
    assert sqlite.copy(str(source / "a.db"), str(tmp_path / "copy.db")) == []
    assert count(tmp_path / "copy.db") == 300
    assert sorted(os.listdir(source)) == ["a.db", "a.db-wal"]
    assert sorted(name for name in os.listdir(tmp_path) if name.startswith("copy")) == ["copy.db"]
