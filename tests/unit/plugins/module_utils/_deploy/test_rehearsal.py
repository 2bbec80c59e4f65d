# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of the data on which a release is tried."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import threading

import pytest
from support import trees
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, walk
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import rehearsal, tree_copy

DEEP = 1100


@pytest.fixture
def data(tmp_path):
    """A component with a store, a database and a folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "projects.json").write_text('{"projects": []}')
    (folder / "clips").mkdir(mode=0o750)
    (folder / "clips" / "a.txt").write_text("clip")
    (folder / "clips" / "a.txt").chmod(0o640)
    (folder / "latest").symlink_to("clips/a.txt")
    with contextlib.closing(sqlite3.connect(folder / "mobius.db")) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
    return folder


def copied(data, tmp_path):
    rehearsal.copy(str(data), str(tmp_path / "copy"), accounts.own())
    return tmp_path / "copy"


def test_all_files_are_copied_with_mode_and_time(data, tmp_path):
    os.utime(data / "clips" / "a.txt", ns=(1, 10**18))
    copy = copied(data, tmp_path)
    assert sorted(os.listdir(copy)) == ["clips", "latest", "mobius.db", "projects.json"]
    assert os.readlink(copy / "latest") == "clips/a.txt"
    status = (copy / "clips" / "a.txt").stat()
    assert (copy / "clips" / "a.txt").read_text() == "clip" and status.st_mode & 0o7777 == 0o640 and status.st_mtime_ns == 10**18
    assert (copy / "clips").stat().st_mode & 0o777 == 0o750


def test_set_uid_and_set_gid_are_not_copied(data, tmp_path):
    (data / "tool").write_text("x")
    (data / "tool").chmod(0o6755)
    assert (copied(data, tmp_path) / "tool").stat().st_mode & 0o7777 == 0o755


def test_pipes_and_sockets_are_left_out(data, tmp_path):
    os.mkfifo(data / "pipe")
    os.mkfifo(data / "store.json")
    with socket.socket(socket.AF_UNIX) as listener:
        with _moved_to(data):
            listener.bind("socket")
        copy = copied(data, tmp_path)
    assert sorted(os.listdir(copy)) == ["clips", "latest", "mobius.db", "projects.json"]


@contextlib.contextmanager
def _moved_to(folder):
    """Its path may be too long for a socket's name."""
    before = os.getcwd()
    os.chdir(folder)
    yield
    os.chdir(before)


def test_deeply_nested_folders_are_copied_measured_and_removed(tmp_path):
    (tmp_path / "data").mkdir()
    trees.nest(str(tmp_path / "data"), DEEP, b"x" * 5000)
    copy = copied(tmp_path / "data", tmp_path)
    assert len(list(walk.walk(str(copy)))) == DEEP + 1
    assert walk.size(str(copy)) == 5000
    for path in (copy, tmp_path / "data"):
        walk.remove(str(path))
    assert os.listdir(tmp_path) == []


def test_stores_that_are_renamed_into_place_all_the_time(data, tmp_path):
    over, writes = threading.Event(), [0]

    def write():
        while not over.is_set():
            for name in ("projects.json", "clips/index.json"):
                (data / (name + ".tmp")).write_text(json.dumps({"n": [writes[0]] * 5000}))
                (data / (name + ".tmp")).rename(data / name)
            writes[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(10):
            seen = writes[0]
            walk.size(str(data))
            rehearsal.copy(str(data), str(tmp_path / f"copy{number}"), accounts.own())
            json.loads((tmp_path / f"copy{number}" / "projects.json").read_text())
            wait_until(lambda seen=seen: writes[0] > seen, "the stores are written again")
    finally:
        over.set()
        writer.join()


def test_files_that_vanish_are_left_out(data, tmp_path, monkeypatch):
    (data / "projects.json.tmp").write_text("{")
    entries, parent = walk._entries, os.getpid()

    def late(descriptor):
        found = list(entries(descriptor))
        if os.getpid() == parent:
            return found
        with contextlib.suppress(FileNotFoundError):
            os.unlink(data / "projects.json.tmp")
        return found

    monkeypatch.setattr(walk, "_entries", late)
    assert "projects.json.tmp" not in os.listdir(copied(data, tmp_path))


def test_a_file_that_becomes_a_link_is_left_out(data, tmp_path, monkeypatch):
    (tmp_path / "decoy").write_text("decoy")
    entries, parent = walk._entries, os.getpid()

    def late(descriptor):
        found = list(entries(descriptor))
        if os.getpid() != parent and "a.txt" in [name for name, _status in found]:
            os.unlink(data / "clips" / "a.txt")
            os.symlink(tmp_path / "decoy", data / "clips" / "a.txt")
        return found

    monkeypatch.setattr(walk, "_entries", late)
    assert os.listdir(copied(data, tmp_path) / "clips") == []


def test_a_store_that_is_never_whole_fails(data, tmp_path, monkeypatch):
    monkeypatch.setattr(tree_copy, "PATIENCE", 0.0)
    (data / "projects.json").write_text("{")
    with pytest.raises(StateError, match=r"store .*/projects\.json: expected a JSON document, found none, or a part of one"):
        copied(data, tmp_path)


def test_a_large_store_is_not_parsed_and_a_sparse_file_stays_sparse(data, tmp_path):
    (data / "large.json").write_text(json.dumps([0] * 3_000_000))
    with open(data / "sparse", "wb") as stream:
        stream.truncate(10**8)
    copy = copied(data, tmp_path)
    assert (copy / "large.json").stat().st_size == (data / "large.json").stat().st_size
    assert (copy / "sparse").stat().st_size == 10**8 and (copy / "sparse").stat().st_blocks * 512 < 10**7


def test_a_damaged_database_fails(data, tmp_path):
    (data / "other.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 9000)
    with pytest.raises(IntegrityError, match=r"other\.db: expected a database that SQLite can read"):
        copied(data, tmp_path)


def test_a_copy_that_cannot_be_written_fails(data, tmp_path, monkeypatch):
    (data / "mobius.db").unlink()
    monkeypatch.setattr(rehearsal, "_MARGIN", -31)
    with pytest.raises(StateError, match=r"folder .*/data: expected to be copied, found .*File too large"):
        copied(data, tmp_path)
