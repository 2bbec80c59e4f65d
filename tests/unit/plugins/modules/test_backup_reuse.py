# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Full archives at incremental cost: what is copied from the archive before, what is read anew, and how it is packed."""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import zipfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import create as backup_create
from ansible_collections.mobius.ops.plugins.module_utils._backup import drafts as backup_drafts
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import deflate
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import file_reader as archive_file_reader
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, threads
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import COMPONENTS

REST = 1_700_000_000_000_000_000
TEXT = b"".join(
    b"%d GET /api/render/%d/status 200 in %d ms\n" % (number, number * 7919 % 9973, number * 31 % 777) for number in range(90_000)
)


def manifest_of(archive):
    with zipfile.ZipFile(archive) as opened:
        return json.loads(opened.read("MANIFEST.json"))


def entries_of(archive):
    return {entry["path"]: entry for entry in manifest_of(archive)["entries"]}


@pytest.fixture
def filled(state_host, quick_clock):
    """A host with small and large, loose and packed files, all long at rest."""
    state_host.put("uploads/large.txt", TEXT)
    state_host.put("uploads/large.bin", random.Random(1).randbytes(2_500_000))
    state_host.put("uploads/small without suffix", random.Random(2).randbytes(200_000))
    state_host.put("logs/small.log", TEXT[:50_000])
    for folder, _dirs, names in os.walk(state_host.layout.shared):
        for name in names:
            os.utime(os.path.join(folder, name), ns=(REST, REST), follow_symlinks=False)
    return state_host


def made(host, **options):
    result = host.backup(**options)
    assert not result.get("failed"), result["msg"]
    return result


def files_of(archive):
    return [entry for entry in entries_of(archive).values() if entry["type"] == "file"]


def test_unchanged_members_are_copied_and_each_archive_stands_alone(filled):
    first, second = made(filled), made(filled)
    assert first["reused"] == 0 and second["reused"] == len(files_of(second["archive"]))
    assert manifest_of(second["archive"])["reused"] == second["reused"]
    assert first["full"] == second["full"] == manifest_of(second["archive"])["full"]
    os.unlink(first["archive"])
    os.unlink(first["archive"] + ".sha256")
    assert filled.info(verify="deep")[0]["status"] == "verified"
    with zipfile.ZipFile(second["archive"]) as archive:
        assert archive.testzip() is None and archive.read("uploads/large.txt") == TEXT
    assert subprocess.run(["unzip", "-tqq", second["archive"]], check=False).returncode == 0


@pytest.mark.parametrize("change", ["content", "mode", "new file of the same name"])
def test_what_changed_is_read_though_its_size_and_time_are_the_same(filled, change):
    made(filled)
    path = filled.path("uploads/large.txt")
    if change == "content":
        with open(path, "r+b") as stream:
            stream.write(b"other")
    elif change == "mode":
        os.chmod(path, 0o600)
    else:
        shutil.copy2(path, path + ".new")
        os.rename(path + ".new", path)
    os.utime(path, ns=(REST, REST))
    second = made(filled)
    assert second["reused"] == len(files_of(second["archive"])) - 1
    with open(path, "rb") as stream:
        assert entries_of(second["archive"])["uploads/large.txt"]["sha256"] == hashlib.sha256(stream.read()).hexdigest()


def test_everything_is_read_again_when_it_is_due(filled, monkeypatch):
    first = made(filled)
    assert made(filled, full_every=0)["reused"] == 0
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + datetime.timedelta(days=6, hours=23))
    late = made(filled)
    assert late["reused"] > 5 and late["full"] != first["full"]  # the one with full_every=0 read everything
    monkeypatch.setattr(clock, "now", lambda: now() + datetime.timedelta(days=7, hours=1))
    due = made(filled)
    assert due["reused"] == 0 and due["full"] == manifest_of(due["archive"])["created"]


def test_nothing_is_copied_from_an_archive_of_the_future(filled, monkeypatch):
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + datetime.timedelta(days=2))
    made(filled)
    monkeypatch.setattr(clock, "now", now)
    assert made(filled)["reused"] == 0


def test_another_level_and_other_components_are_packed_anew(filled):
    made(filled, level=1)
    assert made(filled, level=9)["reused"] == 0
    made(filled, components=["logs"])
    every = made(filled, level=9)
    assert every["reused"] == len(files_of(every["archive"]))  # from the one before the logs, which holds them all


def test_an_archive_without_its_sidecar_is_not_copied_from(filled):
    os.unlink(made(filled)["archive"] + ".sha256")
    assert made(filled)["reused"] == 0


def flip(archive, names):
    """Change one bit of the bytes of some members."""
    with zipfile.ZipFile(archive) as opened:
        infos = [opened.getinfo(name) for name in names]
    with open(archive, "r+b") as stream:
        for info in infos:
            stream.seek(info.header_offset + 30 + len(info.filename) + info.compress_size // 2)
            byte = stream.read(1)
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte[0] ^ 4]))


@pytest.mark.parametrize("name", ["uploads/large.txt", "uploads/rules.txt"])
def test_damaged_members_of_the_earlier_archive_are_read_anew_and_told(filled, name):
    first = made(filled)
    flip(first["archive"], [name])
    second = made(filled)
    assert second["reused"] == len(files_of(second["archive"])) - 1
    assert f"{name} in an earlier archive is damaged, so it was read anew" in str(second["warnings"])
    states = {each["archive"]: each["status"] for each in filled.info(verify="deep")}
    assert states == {first["archive"]: "corrupt", second["archive"]: "verified"}


def test_every_damaged_member_is_read_anew_at_once(filled):
    names = ["uploads/large.txt", "uploads/large.bin", "uploads/rules.txt", "logs/small.log"]
    flip(made(filled)["archive"], names)
    second = made(filled)
    assert second["reused"] == len(files_of(second["archive"])) - len(names)
    assert sum("is damaged, so it was read anew" in warning for warning in second["warnings"]) == len(names)
    assert filled.info(verify="deep")[0]["status"] == "verified"


def test_what_changes_while_a_damaged_member_is_noticed_is_in_the_archive(filled, monkeypatch):
    """The archive is written twice then, and the second time holds what is there by then."""
    flip(made(filled)["archive"], ["uploads/large.txt"])
    empty = backup_drafts.Draft.empty

    def meanwhile(draft):
        filled.put("uploads/late.txt", b"late")
        os.unlink(filled.path("uploads/large.bin"))
        empty(draft)

    monkeypatch.setattr(backup_drafts.Draft, "empty", meanwhile)
    archive = made(filled)["archive"]
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None and opened.read("uploads/late.txt") == b"late" and opened.read("uploads/large.txt") == TEXT
        assert "uploads/large.bin" not in opened.namelist()


def test_a_member_that_is_damaged_while_it_is_copied_fails_the_backup(filled, monkeypatch):
    """The earlier archive is sound, so the disk or the memory is not: nothing is published."""
    first = made(filled)
    sync = backup_drafts.Draft.sync

    def damaged(draft):
        sync(draft)
        flip(draft.partial, ["uploads/large.txt"])

    monkeypatch.setattr(backup_drafts.Draft, "sync", damaged)
    result = filled.backup()
    assert result["failed"] and "stored bytes that are not what was written" in result["msg"] and "uploads/large.txt" in result["msg"]
    assert [backup["archive"] for backup in filled.info()] == [first["archive"]]


@pytest.mark.parametrize("copied", [0, 1000])
def test_what_the_kernel_does_not_copy_is_read_and_written(filled, monkeypatch, copied):
    """As between two file systems; or it begins, and then does not go on."""
    made(filled)
    kernel, calls = os.copy_file_range, []

    def refuse(source, target, size, *offsets):
        calls.append(size)
        if copied and len(calls) % 2:
            return kernel(source, target, min(size, copied), *offsets)
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    second = made(filled)
    assert calls and second["reused"] == len(files_of(second["archive"])) and "warnings" not in second
    assert filled.info(verify="deep")[0]["status"] == "verified"


def test_a_member_that_cannot_be_read_in_the_earlier_archive_is_read_anew(filled, monkeypatch):
    first = made(filled)
    with zipfile.ZipFile(first["archive"]) as opened:
        begin = opened.getinfo("uploads/rules.txt").header_offset + 30 + len("uploads/rules.txt")
    pread, status = os.pread, os.stat(first["archive"])

    def broken(descriptor, size, offset):
        if offset == begin and os.path.samestat(os.fstat(descriptor), status):
            raise OSError(errno.EIO, "Input/output error")
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", broken)
    second = made(filled)
    monkeypatch.undo()
    assert second["reused"] == len(files_of(second["archive"])) - 1
    assert "uploads/rules.txt in an earlier archive is damaged, so it was read anew" in str(second["warnings"])
    assert filled.info(verify="deep")[0]["status"] == "verified"


def test_a_damaged_manifest_of_the_earlier_archive(filled):
    first = made(filled)
    with open(first["archive"], "r+b") as stream:
        stream.seek(200)
        stream.write(b"\0")
    assert made(filled)["reused"] == 0


#: Has a database open, as an application has: in another process, for SQLite's locks do not survive a fork.
HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("CREATE TABLE IF NOT EXISTS other (a)")
print("ready", flush=True)
sys.stdin.read()
database.close()
"""


def test_a_database_at_rest_is_copied_and_one_in_use_is_not(filled):
    database = filled.database()
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE IF NOT EXISTS more (a)")
    database.close()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, filled.path("database/mobius.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"ready\n"
    paths = [path for path, entry in entries_of(made(filled)["archive"]).items() if entry.get("sqlite")]
    assert len(paths) == 1
    again = made(filled)
    assert again["reused"] == len(files_of(again["archive"])) - 1  # its -wal may hold more
    holder.communicate()
    made(filled)
    at_rest = made(filled)
    assert at_rest["reused"] == len(files_of(at_rest["archive"]))
    entry = entries_of(at_rest["archive"])[paths[0]]
    assert entry["as_is"] is True and "journal_mode" not in entry  # the bytes of the file say it


@pytest.mark.parametrize("isal", [False, True])
def test_blocks_packed_at_once_are_one_stream(filled, isal):
    if isal:
        pytest.importorskip("isal")
    request = backup_create.Request(env="production", components=list(COMPONENTS), dest=filled.layout.backups, isal=isal)
    assert len(TEXT) > 2 * deflate.BLOCK
    result = backup_create.create(filled.layout, request)
    with zipfile.ZipFile(result["archive"]) as archive:
        info = archive.getinfo("uploads/large.txt")
        assert info.compress_type == zipfile.ZIP_DEFLATED and archive.read(info) == TEXT
        assert info.compress_size < len(TEXT) / 2


def test_libraries(monkeypatch):
    pytest.importorskip("isal")
    assert deflate.Deflater(6).library == "isal" and deflate.Deflater(9).library == "zlib"
    assert deflate.Deflater(6, isal=False).library == "zlib"
    monkeypatch.setattr(deflate, "isal_zlib", None)
    assert deflate.Deflater(6).library == "zlib" and deflate.crc32(b"a") == 0xE8B7BE43


@pytest.mark.parametrize("size", [200_000, 2_500_000])
def test_large_content_is_tried_in_several_places(filled, size):
    """A text behind the picture in its head still shrinks, and what is packed but for its head does not."""
    noise = random.Random(3).randbytes(size)
    filled.put("uploads/text behind a picture", noise[: size // 5] + TEXT[: size - size // 5])
    filled.put("uploads/packed behind a text", TEXT[:4000] + noise[4000:])
    archive = made(filled, level=5)["archive"]
    with zipfile.ZipFile(archive) as opened:
        methods = {info.filename: info.compress_type for info in opened.infolist()}
    assert methods["uploads/text behind a picture"] == zipfile.ZIP_DEFLATED
    assert methods["uploads/packed behind a text"] == zipfile.ZIP_STORED


def test_what_does_not_shrink_is_stored_whatever_its_name(filled):
    archive = made(filled)["archive"]
    with zipfile.ZipFile(archive) as opened:
        methods = {info.filename: info.compress_type for info in opened.infolist()}
    assert methods["uploads/large.bin"] == methods["uploads/small without suffix"] == zipfile.ZIP_STORED
    assert methods["uploads/large.txt"] == methods["logs/small.log"] == zipfile.ZIP_DEFLATED


def test_hard_links_and_attributes_are_in_the_manifest(filled):
    os.link(filled.path("uploads/rules.txt"), filled.path("generated/same.txt"))
    with_attributes = True
    try:
        os.setxattr(filled.path("uploads/rules.txt"), "user.origin", b"\0\xff")
        os.setxattr(filled.path("uploads/games"), "user.folder", b"")
    except OSError:
        with_attributes = False
    entries = entries_of(made(filled)["archive"])
    one, other = entries["uploads/rules.txt"], entries["generated/same.txt"]
    assert one["hardlink"] == other["hardlink"] == 1 and one["sha256"] == other["sha256"]
    assert not any("hardlink" in entry for path, entry in entries.items() if path not in ("uploads/rules.txt", "generated/same.txt"))
    if with_attributes:
        assert one["xattrs"] == {"user.origin": "AP8="} and entries["uploads/games"]["xattrs"] == {"user.folder": ""}
    again = made(filled)
    assert again["reused"] == len(files_of(again["archive"]))


def test_one_name_of_a_file_alone_is_no_link(filled):
    os.link(filled.path("uploads/rules.txt"), filled.path("generated/same.txt"))
    assert "hardlink" not in entries_of(made(filled, components=["uploads"])["archive"])["uploads/rules.txt"]


REWRITER = """
import json, sys, time
number = 0

while True:
    number += 1
    content = json.dumps({"number": number, "projects": ["p" * 100] * 3000})
    with open(sys.argv[1], "w") as stream:
        stream.write(content[:70000])
        stream.flush()
        time.sleep(0.002)
        stream.write(content[70000:])
    print("ready", flush=True)
    time.sleep(0.15)
"""


def test_a_json_store_that_is_rewritten_in_place_is_a_whole_document(filled):
    path = filled.put("database/projects.json", b"{}")
    with subprocess.Popen([sys.executable, "-c", REWRITER, path], stdout=subprocess.PIPE) as writer:
        try:
            writer.stdout.readline()
            whole = 0
            while whole < 8:
                result = filled.backup(components=["database"])
                if result["status"] == "incomplete":  # every attempt read a torn file, as on a busy machine
                    assert [problem["path"] for problem in result["problems"]] == ["database/projects.json"]
                    continue
                with zipfile.ZipFile(result["archive"]) as archive:
                    assert len(json.loads(archive.read("database/projects.json"))["projects"]) == 3000
                whole += 1
        finally:
            writer.kill()


@pytest.mark.parametrize("megabytes", [0.5, 1, 1.5, 3, 4, 4.5, 9])
def test_a_whole_json_store_of_any_size_is_taken_without_a_word(filled, megabytes):
    """Parsed as one block, as several, or judged by its ends; once, ten thousand projects were taken for a torn file."""
    project = json.dumps({"name": "x" * 200}).encode()
    filled.put("database/projects.json", b'{"projects": [' + b",".join([project] * int(megabytes * 2**20 / len(project))) + b"]}\n")
    assert made(filled)["problems"] == []


@pytest.mark.parametrize(
    "content", [b'{"half": ', b"[" + b"1," * 3_000_000, b"[" * 200_000, b"[" + b"1," * 1_000_000 + b"1", b"[" + b"1," * 1_000_000 + b"}]"]
)
def test_a_json_store_that_is_torn_whenever_it_was_just_written_makes_the_backup_incomplete(filled, monkeypatch, content):
    monkeypatch.setattr(archive_file_reader, "PAUSE", 0)
    monkeypatch.setattr(archive_file_reader, "writes_now", lambda _status: True)
    filled.put("database/projects.json", content)
    result = filled.backup()
    assert result["status"] == "incomplete"
    assert result["problems"] == [{"path": "database/projects.json", "reason": "it is no JSON document"}]
    accepted = made(filled, allow_changed=True)
    assert entries_of(accepted["archive"])["database/projects.json"]["changed"] is True
    assert made(filled, components=["uploads"])["problems"] == []


def test_json_outside_of_the_database_is_anybodys(filled):
    filled.put("uploads/broken.json", b"{")
    assert made(filled)["problems"] == []


def test_only_the_newest_incomplete_archive_is_kept(filled, monkeypatch):
    monkeypatch.setattr(archive_file_reader, "PAUSE", 0)
    monkeypatch.setattr(archive_file_reader, "writes_now", lambda _status: True)
    filled.put("database/projects.json", b"{")
    kept = [filled.backup()["aside"] for _run in range(2)][1]
    assert [name for name in os.listdir(filled.layout.backups) if "incomplete" in name] == [os.path.basename(kept)]
    filled.put("database/projects.json", b"{}")
    assert made(filled)["reused"] == 0  # nothing is copied from what was kept aside


def test_a_member_that_changes_right_after_it_was_read_is_not_taken_for_unchanged(filled):
    """Within one tick of the clock two contents can have one time: such a file is read again."""
    path = filled.put("uploads/fresh.txt", b"first")
    stop = threading.Event()

    def rewrite():
        while not stop.wait(0.003):
            with open(path, "wb") as stream:
                stream.write(b"%05d" % random.randrange(10**5))

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        filled.backup(components=["uploads"])
    finally:
        stop.set()
        writer.join()
    result = made(filled, components=["uploads"], allow_changed=True)
    with zipfile.ZipFile(result["archive"]) as archive, open(path, "rb") as stream:
        assert archive.read("uploads/fresh.txt") == stream.read()


@pytest.mark.parametrize("value", [-1, "-3"])
def test_full_every_is_a_number_of_days(filled, value):
    result = filled.backup(full_every=value)
    assert result["failed"] and "full_every: expected a number of days from 0" in result["msg"]


def test_turns_are_short_only_while_threads_work():
    before = sys.getswitchinterval()
    with threads.brisk():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before


def test_a_damaged_database_is_kept_as_the_file_that_it_is(filled):
    database = filled.database()
    database.executescript("CREATE TABLE big (a); CREATE INDEX by_a ON big (a);")
    database.executemany("INSERT INTO big VALUES (?)", [(str(number) * 9,) for number in range(3000)])
    database.commit()
    database.close()
    path = filled.path("database/mobius.db")
    with open(path, "r+b") as stream:
        stream.seek(4096 * 5 + 2000)
        stream.write(b"\0" * 3000)
    result = filled.backup(allow_changed=True)
    entry = entries_of(result["archive"])["database/mobius.db"]
    assert "sqlite" not in entry and entry["changed"] is True and "integrity_check" in result["problems"][0]["reason"]


def test_what_is_never_reused_is_read_every_time(filled):
    filled.put("uploads/maps/one.bin", b"one")
    made(filled)
    again = made(filled, never_reuse=["uploads/maps/", "uploads/rules.txt"])
    assert again["reused"] == len(files_of(again["archive"])) - 2


@pytest.mark.parametrize("path", ["../maps", "maps", "/uploads", ""])
def test_what_is_never_reused_is_a_path_in_the_archive(filled, path):
    assert "never_reuse: expected paths in the archive, such as uploads/maps" in filled.backup(never_reuse=[path])["msg"]
