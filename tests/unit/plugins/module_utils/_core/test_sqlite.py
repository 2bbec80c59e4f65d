# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of SQLite databases in every state that an application can leave them in."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import sqlite
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError

#: Dies in the middle of a transaction of which a part is in the database file already.
KILLED = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode=" + sys.argv[2])
database.execute("PRAGMA cache_size=2")
database.execute("PRAGMA cache_spill=1")
database.execute("CREATE TABLE t (x)")
database.executemany("INSERT INTO t VALUES (?)", [("before" * 200,)] * 300)
database.execute("BEGIN")
database.execute("UPDATE t SET x = ?", ("after" * 200,))
os.kill(os.getpid(), signal.SIGKILL)
"""


def rows(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return set(database.execute("SELECT substr(x, 1, 6), count(*) FROM t GROUP BY 1"))


@pytest.mark.parametrize("journal, beside", [("delete", "-journal"), ("wal", "-wal")])
def test_after_the_application_was_killed(tmp_path, journal, beside):
    source, target = str(tmp_path / "live.db"), str(tmp_path / "copy.db")
    done = subprocess.run([sys.executable, "-c", KILLED, source, journal], check=False)
    assert done.returncode == -signal.SIGKILL and os.path.getsize(source + beside) > 0
    before = sqlite._state(source), sqlite._state(source + beside)
    sqlite.copy(source, target)
    assert rows(target) == {("before", 300)}
    assert sorted(name for name in os.listdir(tmp_path) if name.startswith("copy")) == ["copy.db"]
    assert (sqlite._state(source), sqlite._state(source + beside)) == before
    assert os.stat(target).st_mode & 0o777 == 0o600


def test_the_copy_needs_nothing_beside_it(state_host, tmp_path):
    connection = state_host.database()
    target = str(tmp_path / "copy.db")
    sqlite.copy(state_host.path("database/mobius.db"), target)
    connection.close()
    assert sqlite.header(target)[18:20] == b"\x01\x01"
    assert os.listdir(tmp_path).count("copy.db-wal") == 0


def test_reading_a_resting_database_leaves_nothing_beside_it(state_host, tmp_path):
    state_host.database().close()
    before = os.listdir(state_host.path("database"))
    sqlite.copy(state_host.path("database/mobius.db"), str(tmp_path / "copy.db"))
    assert sorted(os.listdir(state_host.path("database"))) == sorted(before)


def test_a_writer_that_comes_meanwhile_is_seen(state_host, tmp_path, monkeypatch):
    state_host.database().close()
    source, calls = state_host.path("database/mobius.db"), []
    backup = sqlite._backup

    def backup_then_write(path, target, more=""):
        backup(path, target, more)
        calls.append(more)
        if len(calls) == 1:
            with contextlib.closing(sqlite3.connect(source)) as database, database:
                database.execute("UPDATE account SET amount = 0 WHERE id = 1")

    monkeypatch.setattr(sqlite, "_backup", backup_then_write)
    sqlite.copy(source, str(tmp_path / "copy.db"))
    assert calls == ["&immutable=1", ""]
    with contextlib.closing(sqlite3.connect(str(tmp_path / "copy.db"))) as database:
        assert database.execute("SELECT sum(amount) FROM account").fetchone() == (900,)


def test_a_database_that_stays_locked(state_host, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "PATIENCE", 0.2)
    connection = state_host.database(journal="delete")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(IntegrityError, match="locked"):
        sqlite.copy(state_host.path("database/mobius.db"), str(tmp_path / "copy.db"))
    connection.close()
    assert not os.path.exists(tmp_path / "copy.db")


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 9000])
def test_no_database_after_its_header(tmp_path, content):
    source = tmp_path / "bad.db"
    source.write_bytes(content)
    with pytest.raises(IntegrityError):
        sqlite.copy(str(source), str(tmp_path / "copy.db"))
    assert sorted(os.listdir(tmp_path)) == ["bad.db"]


def test_header_of_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("/etc/passwd", tmp_path / "link")
    assert [sqlite.header(str(tmp_path / name)) for name in ("pipe", "link", "gone", ".")] == [b""] * 4
