# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files with several names that are written while they are backed up: all names have one content."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zipfile

import pytest
from support import trees

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import database_copies, deflate, file_reader
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import listing as archive_listing


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Files that move are read again without a pause."""
    monkeypatch.setattr(file_reader, "PAUSE", 0)


@pytest.fixture(params=["small", "large"])
def size(request):
    """Bytes of a file that is read in one piece, and of one that is not."""
    return {"small": 9000, "large": 3 * deflate.BLOCK}[request.param]


def when_read(monkeypatch, action):
    """Do something each time when a file's content was read."""
    blocks = file_reader.blocks

    def read_and_act(*arguments):
        yield from blocks(*arguments)
        action()

    monkeypatch.setattr(file_reader, "blocks", read_and_act)


def after_scan(monkeypatch, action):
    """Do something between the plan and the reading."""
    scan = archive_listing.scan

    def scan_and_act(*arguments):
        plan = scan(*arguments)
        action()
        return plan

    monkeypatch.setattr(archive_listing, "scan", scan_and_act)


def several(host, content, *names):
    """A file with these names, long at rest."""
    first = host.put(names[0], content)
    for name in names[1:]:
        os.makedirs(os.path.dirname(host.path(name)), exist_ok=True)
        os.link(first, host.path(name))
    return first


def entries_of(archive, *names):
    with zipfile.ZipFile(archive) as opened:
        found = {entry["path"]: entry for entry in json.loads(opened.read("MANIFEST.json"))["entries"]}
        return [found[name] for name in names], [opened.read(name) for name in names]


def all_one(host, archive, *names):
    """Whether the archive has one content for all names, and a restore makes them one file."""
    entries, contents = entries_of(archive, *names)
    assert len({(entry["sha256"], entry["size"], entry["hardlink"]) for entry in entries}) == 1, entries
    assert len(set(contents)) == 1
    assert not host.restore(archive).get("failed")
    assert len({os.stat(host.path(name)).st_ino for name in names}) == 1
    return entries


@pytest.mark.parametrize(
    "names",
    [("logs/app.log", "logs/current.log", "logs/old/app.log"), ("uploads/app.log", "logs/current.log"), ("logs/a.log", "generated/b.log")],
)
def test_a_growing_log_with_several_names_is_whole(state_host, monkeypatch, quick_clock, size, names):
    os.unlink(state_host.path("logs/app.log"))
    path = several(state_host, b"x" * (size - 1) + b"\n", *names)

    def grow():
        with open(path, "ab") as stream:
            stream.write(b"INFO more\n")

    when_read(monkeypatch, grow)
    made = state_host.backup()
    monkeypatch.undo()
    assert made.get("status") == "verified" and made["problems"] == [], made
    all_one(state_host, made["archive"], *names)


@pytest.mark.parametrize("names", [("uploads/1.bin", "uploads/2.bin", "uploads/3.bin"), ("uploads/a.txt", "generated/z.txt")])
def test_an_upload_that_is_always_written_is_one_problem_and_can_be_accepted(state_host, monkeypatch, quick_clock, size, names):
    path, number = several(state_host, b"a" * size, *names), iter(range(10**6))

    def write():
        with open(path, "r+b") as stream:
            stream.write(b"%d" % next(number))

    when_read(monkeypatch, write)
    refused = state_host.backup()
    assert refused["failed"] and refused["status"] == "incomplete", refused
    assert [problem["path"] for problem in refused["problems"]] == [names[0]]
    accepted = state_host.backup(allow_changed=True)
    monkeypatch.undo()
    assert accepted.get("status") == "verified" and len(accepted["problems"]) == 1, accepted
    assert {facts["status"] for facts in state_host.info(verify="deep")} == {"verified"}
    assert all(entry["changed"] for entry in all_one(state_host, accepted["archive"], *names))


def test_a_write_between_the_readings_of_two_names_is_no_problem(state_host, monkeypatch, quick_clock, size):
    """The names in between take a while."""
    path = several(state_host, b"a" * size, "uploads/1.txt", "uploads/3.txt")
    middle = state_host.put("uploads/2.txt", b"m" * size)
    opened = file_reader.Folders.opened

    @contextlib.contextmanager
    def open_and_write(self, source):
        with opened(self, source) as descriptor:
            if source.path == middle:
                with open(path, "r+b") as stream:
                    stream.write(b"b")
            yield descriptor

    monkeypatch.setattr(file_reader.Folders, "opened", open_and_write)
    made = state_host.backup()
    monkeypatch.undo()
    assert made.get("status") == "verified" and made["problems"] == [], made
    all_one(state_host, made["archive"], "uploads/1.txt", "uploads/3.txt")


def test_a_name_that_another_file_took_meanwhile_has_its_own_content(state_host, monkeypatch, quick_clock, size):
    several(state_host, b"a" * size, "uploads/1.txt", "uploads/2.txt", "uploads/3.txt")
    state_host.put("uploads/new", b"b" * (size + 1))
    after_scan(monkeypatch, lambda: os.replace(state_host.path("uploads/new"), state_host.path("uploads/2.txt")))
    made = state_host.backup(allow_changed=True)
    monkeypatch.undo()
    assert [problem["path"] for problem in made["problems"]] == ["uploads/new"], made
    entries, contents = entries_of(made["archive"], "uploads/1.txt", "uploads/2.txt", "uploads/3.txt")
    assert contents == [b"a" * size, b"b" * (size + 1), b"a" * size]
    assert entries[0]["hardlink"] == entries[2]["hardlink"] and "hardlink" not in entries[1]
    assert not state_host.restore(made["archive"]).get("failed")


def test_a_name_that_is_gone_is_a_problem_and_the_others_are_not(state_host, monkeypatch, size):
    several(state_host, b"a" * size, "uploads/1.txt", "uploads/2.txt", "uploads/3.txt")
    after_scan(monkeypatch, lambda: os.unlink(state_host.path("uploads/2.txt")))
    made = state_host.backup(allow_changed=True)
    assert [problem["path"] for problem in made["problems"]] == ["uploads/2.txt"], made
    entries_of(made["archive"], "uploads/1.txt", "uploads/3.txt")


def test_unchanged_names_are_copied_from_the_archive_before(state_host, quick_clock, size):
    names = ("uploads/1.txt", "uploads/2.txt", "generated/3.txt")
    several(state_host, b"a" * size, *names)
    before = trees.facts(state_host.layout.shared)
    first = state_host.backup()
    second = state_host.backup()
    assert second["reused"] - first["reused"] >= len(names)
    all_one(state_host, second["archive"], *names)
    assert trees.facts(state_host.layout.shared) == before


@pytest.mark.parametrize("component", ["uploads", "database"])
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_database_at_rest_keeps_its_names(state_host, quick_clock, component, mode):
    names = (f"{component}/one.db", f"{component}/other.db", "generated/third.db")
    with contextlib.closing(sqlite3.connect(state_host.path(names[0]))) as database, database:
        database.execute(f"PRAGMA journal_mode={mode}")
        database.execute("CREATE TABLE account (id INTEGER)")
    os.utime(state_host.path(names[0]), ns=(10**18, 10**18))
    for name in names[1:]:
        os.link(state_host.path(names[0]), state_host.path(name))
    made = state_host.backup()
    assert made.get("status") == "verified" and made["problems"] == [], made
    all_one(state_host, made["archive"], *names)
    again = state_host.backup()
    assert again["status"] == "verified"
    all_one(state_host, again["archive"], *names)


@pytest.mark.parametrize("component", ["uploads", "database"])
def test_a_database_in_use_with_several_names_is_no_reason_to_fail(state_host, monkeypatch, quick_clock, component):
    """SQLite copies it for each name, and its copies may differ."""
    database = state_host.database(f"{component}/one.db", journal="delete")
    os.link(state_host.path(f"{component}/one.db"), state_host.path(f"{component}/other.db"))
    copied, amounts = database_copies.Databases.copied, iter(range(10**6))

    @contextlib.contextmanager
    def write_and_copy(self, *arguments):
        database.execute("UPDATE account SET amount = ?", (next(amounts),))
        with copied(self, *arguments) as copy:
            yield copy

    monkeypatch.setattr(database_copies.Databases, "copied", write_and_copy)
    monkeypatch.setattr(file_reader, "unrest", lambda _status: 1000.0)
    made = state_host.backup(components=[component])
    monkeypatch.undo()
    database.close()
    assert made.get("status") == "verified" and made["problems"] == [], made
    entries, contents = entries_of(made["archive"], f"{component}/one.db", f"{component}/other.db")
    assert contents[0] != contents[1] and "hardlink" not in entries[1]
    assert {facts["status"] for facts in state_host.info(verify="deep")} == {"verified"}
    assert not state_host.restore(made["archive"]).get("failed")
