# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What real databases and JSON files name."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._cleanup import stores, words
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError


@pytest.fixture
def data(tmp_path):
    return tmp_path


@pytest.fixture
def names(data, monkeypatch):
    """Whether a name is in the stores."""
    monkeypatch.setattr(stores, "PATIENCE", 0.2)
    made = stores.Stores(str(data))

    def ask(name):
        made._valid_until = 0.0
        made.refresh()
        return made.name(words.handles(name, (), False))

    ask.stores = made
    return ask


def database(path, *statements):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_json_by_value_keys_and_ids(data, names):
    (data / "deep").mkdir()
    (data / "deep" / "x.json").write_text(json.dumps({"key.png": [{"a": ["größe.png"]}], "id": 1700000000000, "n": 7}))
    assert names("key.png") and names("größe.png") and names("1700000000000.mp4") and not names("7.png")


def test_json_that_is_nested_too_deeply_is_an_error(data, names):
    (data / "y.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(StateError, match=r"y\.json"):
        names("a.png")


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_every_cell_of_every_table(data, names, mode):
    database(
        data / "any.name",
        f"PRAGMA journal_mode={mode}",
        'CREATE TABLE "odd "" name" (a TEXT, b BLOB, c INTEGER)',
        "CREATE TABLE w (k TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE VIRTUAL TABLE f USING fts4(body)",
        """INSERT INTO "odd "" name" VALUES ('{"p": "\\/uploads\\/cell.png"}', x'626c6f622e706e67', 1700000000001)""",
        "INSERT INTO w VALUES ('key.png')",
        "INSERT INTO f VALUES ('found.png')",
    )
    before = sorted(os.listdir(data))
    assert all(names(name) for name in ("cell.png", "blob.png", "key.png", "found.png", "1700000000001.mp4")) and not names("other.png")
    assert sorted(os.listdir(data)) == before


def test_only_what_changed_is_read_again(data, names, monkeypatch):
    database(data / "a.db", "CREATE TABLE t (x)", "INSERT INTO t VALUES ('a.png')")
    (data / "b.json").write_text('["b.png"]')
    for path in data.iterdir():
        os.utime(path, ns=(10**18,) * 2)
    assert names("a.png") and names("b.png")
    read = []
    for kind in ("_json", "_database"):
        real = getattr(stores, kind)
        monkeypatch.setattr(stores, kind, lambda name, *words, real=real: read.append(name) or real(name, *words))
    names.stores._hot.clear()
    assert names("a.png") and read == []
    database(data / "a.db", "DELETE FROM t", "INSERT INTO t VALUES ('c.png')")
    (data / "new.json").write_text('["d.png"]')
    assert names("c.png") and names("d.png") and not names("a.png")
    assert set(read) == {"a.db", "new.json"}
    os.unlink(data / "b.json")
    assert not names("b.png")


def test_a_store_that_changed_just_before_it_was_read_is_read_again(data, names):
    path = data / "b.json"
    path.write_text('["b.png"]')
    assert names("b.png")
    status = path.stat()
    path.write_text('["c.png"]')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    names.stores._known["b.json"] = ((stores._state(path.stat()),), names.stores._known["b.json"][1])  # as within one tick
    assert names("c.png")


def test_a_store_that_is_being_written_is_waited_for(data, names, monkeypatch):
    monkeypatch.setattr(stores, "PATIENCE", 60.0)
    path = data / "b.json"
    path.write_text('["b.p')
    real = time.sleep
    monkeypatch.setattr(stores.time, "sleep", lambda seconds: path.write_text('["b.png"]') and real(0))
    assert names("b.png")


def test_a_database_beside_a_busy_writer(data, names):
    database(data / "a.db", "PRAGMA journal_mode=wal", "CREATE TABLE t (x)", "INSERT INTO t VALUES ('first.png')")
    code = (
        "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\nprint('on', flush=True)\nn = 0\n"
        "while True:\n n += 1\n d.execute(\"INSERT INTO t VALUES ('n%d.png')\" % n)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(data / "a.db")], stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        try:
            for _time in range(10):
                assert names("first.png")
        finally:
            writer.kill()
    with contextlib.closing(sqlite3.connect(data / "a.db")) as connection:
        (last,) = connection.execute("SELECT x FROM t ORDER BY rowid DESC LIMIT 1").fetchone()
    assert names(last)


def test_what_nothing_here_reads_is_an_error_unless_it_is_empty(data, names):
    (data / "app.db").write_bytes(b"")
    assert not names("a.png")
    (data / "app.db").write_bytes(b"encrypted" * 1000)
    with pytest.raises(StateError, match=r"app\.db: expected a store that can be read"):
        names("a.png")


def test_a_hot_journal_is_an_error(data, names):
    database(data / "a.db", "CREATE TABLE t (x)", "INSERT INTO t VALUES ('a.png')")
    with contextlib.closing(sqlite3.connect(data / "a.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,) for _number in range(300)])
        (data / "b.db").write_bytes((data / "a.db").read_bytes())
        (data / "b.db-journal").write_bytes((data / "a.db-journal").read_bytes())
        connection.execute("ROLLBACK")
    with pytest.raises(StateError, match=r"b\.db"):
        names("a.png")


def test_links_and_pipes_are_no_stores(data, names, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "x.json"
    other.write_text('["a.png"]')
    (data / "link.json").symlink_to(other)
    (data / "folder.json").mkdir()
    os.mkfifo(data / "pipe.json")
    done = threading.Event()
    threading.Thread(target=lambda: (names("a.png"), done.set()), daemon=True).start()
    assert done.wait(60) and not names("a.png")


def test_no_folder_names_nothing(tmp_path):
    made = stores.Stores(str(tmp_path / "none"))
    made.refresh()
    assert not made.name(words.handles("a.png", (), False))
