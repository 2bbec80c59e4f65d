# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sparse files: only what they hold on the disk counts, and a hole comes back as a hole."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import zipfile

import pytest
from support import trees
from support.raw_zip import forged

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import database_copies
from ansible_collections.mobius.ops.plugins.module_utils._core import accounts
from ansible_collections.mobius.ops.plugins.module_utils._deploy import tree_copy

MB = 1024 * 1024
Usage = collections.namedtuple("Usage", "total used free")
#: Names of content that is packed already, that is not, and of a database.
NAMES = ("uploads/disk.mp4", "uploads/disk.img", "generated/small.png", "logs/wtmp")


def put_sparse(host, name, size, data=b""):
    """A hole of so many bytes, with data in its middle."""
    path = host.put(name, b"")
    with open(path, "r+b") as stream:
        os.pwrite(stream.fileno(), data, size // 8192 * 4096)
        stream.truncate(size)
    os.utime(path, ns=(10**18, 10**18))
    return path


def held(path):
    """Bytes on the disk; what was written just now is given its blocks first."""
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
        return os.fstat(stream.fileno()).st_blocks * 512


@pytest.fixture
def sparse(state_host):
    """A host with 256 MB in four files that hold hardly anything."""
    paths = [
        put_sparse(state_host, name, size, data)
        for name, size, data in zip(NAMES, (128 * MB, 64 * MB + 1, MB // 2, 64 * MB), (os.urandom(10_000), b"", os.urandom(5_000), b"x"))
    ]
    if any(held(path) > 64 * 1024 for path in paths):
        pytest.skip("the file system of the test has no holes")
    return state_host


@pytest.fixture
def little_room(monkeypatch):
    """Every file system has 16 MB free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 10**12, 16 * MB))


@pytest.mark.parametrize("level", [1, 6])
def test_holes_need_no_room_and_come_back(sparse, little_room, quick_clock, level):
    before = trees.facts(sparse.layout.shared)
    made = sparse.backup(level=level)
    assert made.get("status") == "verified", made
    assert made["size"] < 4 * MB
    for name in NAMES:
        sparse.put(name, b"other")
    restored = sparse.restore(made["archive"])
    assert not restored.get("failed"), restored
    after = trees.facts(sparse.layout.shared)
    for name in NAMES:
        where = os.path.relpath(sparse.path(name), sparse.layout.shared)
        assert after[where] == before[where]
        assert held(sparse.path(name)) <= 64 * 1024, name
    again = sparse.backup(level=level, full_every=7)
    assert again["status"] == "verified"
    sparse.restore(again["archive"])
    assert trees.facts(sparse.layout.shared) == after and held(sparse.path(NAMES[0])) <= 64 * 1024


def test_a_copied_member_keeps_its_holes(sparse, little_room, quick_clock):
    sparse.backup()
    second = sparse.backup()
    assert second["reused"] >= len(NAMES)
    sparse.restore(second["archive"])
    assert all(held(sparse.path(name)) <= 64 * 1024 for name in NAMES)


def test_what_is_allocated_stays_allocated(state_host):
    """A program may have reserved its room by writing zeros."""
    path = state_host.put("database/reserved.db-log", bytes(3 * MB))
    archive = state_host.backup()["archive"]
    state_host.put("database/reserved.db-log", b"")
    state_host.restore(archive)
    assert held(path) >= 3 * MB


def test_hundreds_of_gigabytes_that_are_a_hole_are_no_want_of_room(state_host, monkeypatch):
    """As a plan: to read so much takes minutes."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**13, 10**13, 4 * 10**9))
    put_sparse(state_host, "uploads/disk.img", 400 * 10**9)
    planned = state_host.backup(check=True)
    assert not planned.get("failed"), planned


def test_data_that_does_not_fit_is_still_refused(sparse, little_room):
    sparse.put("uploads/film.mp4", os.urandom(17 * MB))
    refused = sparse.backup()
    assert refused["failed"] and "free for the archive" in refused["msg"], refused


def test_a_restore_of_data_that_does_not_fit_is_still_refused(sparse, monkeypatch):
    sparse.put("uploads/film.mp4", os.urandom(17 * MB))
    archive = sparse.backup()["archive"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 10**12, 16 * MB))
    refused = sparse.restore(archive)
    assert refused["failed"] and "the restored files beside the present ones" in refused["msg"], refused


def test_the_manifest_tells_how_much_is_data(sparse):
    archive = sparse.backup()["archive"]
    with zipfile.ZipFile(archive) as opened:
        entries = {entry["path"]: entry for entry in json.loads(opened.read("MANIFEST.json"))["entries"]}
    assert [entries[name]["data"] for name in NAMES] == [12288, 0, 8192, 4096]
    assert "data" not in entries["uploads/rules.txt"]


@pytest.mark.parametrize(("data", "good"), [(8192, True), (5000, False)])
def test_a_manifest_that_tells_of_less_data_than_comes_is_refused(state_host, snapshot, tmp_path, data, good):
    """Room was asked for that much only."""
    made = forged()
    made.add("logs/hole", content=bytes(MB) + b"x" * 8192 + bytes(MB), deflated=True, data=data)
    archive = str(tmp_path / "forged.zip")
    with open(archive, "wb") as stream:
        stream.write(made.content())
    before = snapshot(state_host.layout.shared)
    result = state_host.restore(archive, allow_unverified=True)
    if good:
        assert not result.get("failed") and held(state_host.path("logs/hole")) <= 8192, result
    else:
        assert result["failed"] and "5000 bytes of data and holes else" in result["msg"], result
        assert snapshot(state_host.layout.shared) == before and state_host.debris() == []


def test_other_tools_get_the_same_bytes(sparse):
    archive = sparse.backup()["archive"]
    for name in NAMES:
        with zipfile.ZipFile(archive) as opened, opened.open(name) as member:
            digest = hashlib.sha256()
            for chunk in iter(lambda: member.read(MB), b""):
                digest.update(chunk)
            assert digest.hexdigest() == trees.sha256(sparse.path(name))


def test_a_database_with_holes_is_checked_in_little_room(state_host, little_room, quick_clock):
    """Free pages of a database need not be on the disk: after fallocate --dig-holes they are not."""
    path = state_host.path("database/vault.db")
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA secure_delete=ON")
        database.execute("CREATE TABLE blob (content)")
        database.execute("INSERT INTO blob VALUES (zeroblob(?))", (48 * MB,))
        database.commit()
        database.execute("DELETE FROM blob")
    _dig(path)
    os.utime(path, ns=(10**18, 10**18))
    if held(path) > 4 * MB:
        pytest.skip("the file system of the test has no holes")
    digest = trees.sha256(path)
    made = state_host.backup()
    assert made.get("status") == "verified", made
    restored = state_host.restore(made["archive"])
    assert not restored.get("failed"), restored
    assert trees.sha256(path) == digest and held(path) <= 4 * MB


def _dig(path):
    """Write a file anew, with holes for its zeros."""
    with open(path, "rb") as stream, open(path + ".new", "wb") as new:
        for chunk in iter(lambda: stream.read(4096), b""):
            if chunk.strip(b"\0"):
                new.write(chunk)
            else:
                new.seek(len(chunk), os.SEEK_CUR)
        new.truncate(stream.tell())
    os.rename(path + ".new", path)


def test_a_copy_of_a_database_for_its_check_has_holes(tmp_path):
    """The helper's work files are as large as what they hold."""
    account = accounts.own()
    with database_copies.Databases(account, [str(tmp_path)]) as databases:
        databases._open()
        with databases._put(iter([b"x" * 10, bytes(8 * MB), b"y" * 10])) as (path, size, descriptor):
            assert size == 8 * MB + 20 and os.fstat(descriptor).st_size == size
            assert held(path) <= 64 * 1024
            with open(path, "rb") as stream:
                assert stream.read() == b"x" * 10 + bytes(8 * MB) + b"y" * 10


def test_a_copy_of_a_tree_has_holes_of_any_size(tmp_path):
    """The copy that migrations are rehearsed on."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    content = b"a" * 4096 + bytes(256 * 1024) + b"b" * 100 + bytes(100_000)
    (source / "file").write_bytes(content)
    tree_copy.copy(str(source), str(target))
    assert (target / "file").read_bytes() == content
    assert held(target / "file") <= 32 * 1024
