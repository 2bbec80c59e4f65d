# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup on real folders, real databases and a real full disk."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import drafts as backup_drafts
from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import file_reader as archive_file_reader
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import listing as archive_listing
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._target import history, restore_journal

ALL = ["config", "database", "uploads", "generated", "logs"]


def manifest_of(archive):
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist()[0] == "MANIFEST.json"
        return json.loads(opened.read("MANIFEST.json"))


def entry_of(archive, path):
    return next(entry for entry in manifest_of(archive)["entries"] if entry["path"] == path)


def only_kept_aside(state_host, result):
    """Whether a failed backup left one incomplete archive, readable, and nothing that is offered."""
    assert result["status"] == "incomplete" and result["aside"].endswith(".zip.incomplete")
    assert os.listdir(state_host.layout.backups) == [os.path.basename(result["aside"])]
    assert manifest_of(result["aside"])["incomplete"] is True and state_host.info() == []
    return True


@pytest.fixture
def impatient(monkeypatch):
    """Files that move are read again without a pause."""
    monkeypatch.setattr(archive_file_reader, "PAUSE", 0)


def after_scan(monkeypatch, action):
    """Do something between the plan and the reading."""
    scan = archive_listing.scan

    def scan_and_act(*arguments):
        plan = scan(*arguments)
        action()
        return plan

    monkeypatch.setattr(archive_listing, "scan", scan_and_act)


def while_reading(monkeypatch, action):
    """Do something each time when a file's content was read."""
    blocks = archive_file_reader.blocks

    def read_and_act(*arguments):
        yield from blocks(*arguments)
        action()

    monkeypatch.setattr(archive_file_reader, "blocks", read_and_act)


def while_listing(monkeypatch, action, times=1):
    """Do something just before the folder ``uploads/later`` is listed, so many times."""
    listdir, calls = os.listdir, []

    def act_and_list(path):
        shown = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)
        if shown.endswith("uploads/later") and len(calls) < times:
            calls.append(path)
            action(len(calls))
        return listdir(path)

    monkeypatch.setattr(archive_listing.os, "listdir", act_and_list)
    return calls


@pytest.mark.parametrize("age", [0, 3600], ids=["changed just before", "old"])
def test_file_that_moves_to_a_folder_that_was_listed_is_taken(state_host, monkeypatch, age):
    path = state_host.put("uploads/later/x", b"content")
    earlier = os.path.dirname(state_host.put("uploads/earlier/y", b"y"))
    for folder in (earlier, os.path.dirname(path)):
        os.utime(folder, (time.time() - age, time.time() - age))
    calls = while_listing(monkeypatch, lambda number: os.rename(path, os.path.join(earlier, "x")))
    result = state_host.backup()
    assert calls and result["problems"] == []
    assert entry_of(result["archive"], "uploads/earlier/x")["size"] == 7


def test_file_that_never_rests_is_a_problem(state_host, monkeypatch):
    path = state_host.put("uploads/later/x", b"content")

    def act(number):
        os.utime(state_host.put(f"uploads/later/frame-{number}", b"new"))
        if number == 3:  # gone, or where the listing is not: nobody can tell
            os.unlink(path)

    while_listing(monkeypatch, act, times=99)
    assert "names in it changed whenever it was listed" in state_host.backup(allow_changed=True)["problems"][0]["reason"]


def test_new_files_while_listing_are_no_problem(state_host, monkeypatch):
    state_host.put("uploads/later/x", b"content")
    while_listing(monkeypatch, lambda number: os.utime(state_host.put(f"uploads/later/frame-{number}", b"new")), times=99)
    assert state_host.backup()["problems"] == []


def test_result_and_what_other_tools_say(state_host):
    os.symlink("releases/r-1", state_host.layout.current)
    state_host.database().close()
    result = state_host.backup()
    assert result["changed"] and result["status"] == "verified" and result["release"] == "r-1"
    assert result["components"] == ALL and result["problems"] == result["left_out"] == result["empty"] == []
    assert result["size"] == os.path.getsize(result["archive"]) and result["elapsed"] > 0
    assert result["sha256"] == fs.sha256_file(result["archive"])
    name, folder = os.path.basename(result["archive"]), state_host.layout.backups
    assert sorted(os.listdir(folder)) == [name, name + ".sha256"]
    assert all(stat.S_IMODE(os.stat(os.path.join(folder, each)).st_mode) == 0o600 for each in os.listdir(folder))
    assert subprocess.run(["sha256sum", "-c", name + ".sha256"], cwd=folder, check=False).returncode == 0
    if shutil.which("unzip"):
        assert subprocess.run(["unzip", "-tqq", result["archive"]], check=False).returncode == 0
    with zipfile.ZipFile(result["archive"]) as archive:
        assert archive.testzip() is None
        kinds = {info.filename: info.compress_type for info in archive.infolist()}
    assert kinds["uploads/rules.txt"] == zipfile.ZIP_DEFLATED and kinds["generated/clip.mp4"] == zipfile.ZIP_STORED
    event = history.events(state_host.layout)[-1]
    assert event["what"] == "backup" and event["archive"] == result["archive"] and event["sha256"] == result["sha256"]


def test_manifest_tells_the_truth(state_host):
    path = state_host.put("uploads/old.txt", b"x", 0o640)
    os.utime(path, ns=(0, 5))
    result = state_host.backup()
    manifest = manifest_of(result["archive"])
    assert manifest["schema"] == 1 and manifest["env"] == "production" and manifest["components"] == ALL
    assert manifest["name"] == os.path.basename(result["archive"]) and len(manifest["entries"]) == result["entries"]
    entry = entry_of(result["archive"], "uploads/old.txt")
    assert (entry["mode"], entry["mtime_ns"], entry["size"], entry["uid"]) == ("0640", 5, 1, os.getuid())
    link = entry_of(result["archive"], "uploads/link")
    assert (link["type"], link["target"]) == ("symlink", "rules.txt")


def test_chosen_components_dest_and_level(state_host, tmp_path):
    dest = tmp_path / "elsewhere"
    dest.mkdir()
    sizes = []
    for number, level in enumerate((1, 9)):
        result = state_host.backup(components=["logs", "config"], dest=str(dest), level=level)
        assert os.path.dirname(result["archive"]) == str(dest) and result["components"] == ["config", "logs"]
        assert len(list(dest.iterdir())) == 2 * (number + 1)
        sizes.append(result["size"])
    assert sizes[1] < sizes[0]
    assert os.listdir(state_host.layout.backups) == []


def test_missing_component_folder_is_noted(state_host):
    shutil.rmtree(state_host.path("config"))
    result = state_host.backup(components=["config", "logs"])
    assert result["empty"] == ["config"] and result["components"] == ["logs"]


def test_specials_are_skipped_and_listed(state_host):
    os.mkfifo(state_host.path("uploads/pipe"))
    result = state_host.backup()
    assert result["left_out"] == [{"path": "uploads/pipe", "reason": "a named pipe has no content"}]


def test_check_mode_writes_nothing(state_host, snapshot):
    state_host.database().close()
    before = snapshot(state_host.root)
    result = state_host.backup(check=True)
    assert result["changed"] and result["status"] == "planned" and result["entries"] > 5
    assert os.path.basename(result["archive"]) in result["diff"]["after"]
    assert snapshot(state_host.root) == before


def test_sources_are_left_as_they_are(state_host, snapshot):
    state_host.database().close()
    before = snapshot(state_host.layout.shared)
    assert not state_host.backup().get("failed")
    assert snapshot(state_host.layout.shared) == before


def test_no_secret_in_the_output(state_host, quick_clock):
    made = state_host.backup()
    outputs = [made, state_host.info(verify="deep"), state_host.restore(made["archive"]), state_host.backup(check=True)]
    with open(state_host.layout.history) as stream:
        assert "sekret" not in json.dumps(outputs) + stream.read()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"components": ["uplods"]}, "'uplods'"),
        ({"components": []}, "an empty list"),
        ({"env": "pro/duction"}, "env 'pro/duction'"),
        ({"level": 0}, "a number from 1 to 9"),
        ({"level": 10}, "a number from 1 to 9"),
        ({"dest": "/nowhere/at/all"}, "/nowhere/at/all"),
    ],
)
def test_bad_input(state_host, snapshot, options, words):
    before = snapshot(state_host.root)
    result = state_host.backup(**options)
    assert result["failed"] and words in result["msg"] and "\n" not in result["msg"]
    assert snapshot(state_host.root) == before


def test_a_host_that_was_not_set_up(state_host):
    shutil.rmtree(state_host.layout.state)
    assert "mobius.ops.setup" in state_host.backup()["msg"]
    os.mkdir(state_host.layout.state)
    shutil.rmtree(state_host.layout.shared)
    assert "mobius.ops.setup" in state_host.backup()["msg"]


def test_dest_inside_a_component(state_host):
    assert "inside of component uploads" in state_host.backup(dest=state_host.path("uploads/games"))["msg"]


def test_a_component_that_is_a_link(state_host, tmp_path):
    shutil.rmtree(state_host.path("uploads"))
    os.symlink(tmp_path, state_host.path("uploads"))
    assert "a symbolic link" in state_host.backup()["msg"]


def test_space_is_checked_first(state_host, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    result = state_host.backup()
    assert "free for the archive" in result["msg"] and os.listdir(state_host.layout.backups) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_disk_that_fills_up(state_host, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this machine does not allow mounting")
    try:
        earlier = state_host.backup(dest=str(disk), components=["config"])["archive"]
        state_host.put("uploads/large.bin", os.urandom(6_000_000))
        monkeypatch.setattr(fs, "require_space", lambda *_arguments: None)
        result = state_host.backup(dest=str(disk))
        assert result["failed"] and "room for the archive" in result["msg"] and str(disk) in result["msg"]
        assert sorted(os.listdir(disk)) == [os.path.basename(earlier), os.path.basename(earlier) + ".sha256"]
        assert [backup["status"] for backup in state_host.info(dest=str(disk), verify="deep")] == ["verified"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_log_that_grows_is_taken_up_to_its_first_size(state_host, monkeypatch):
    log = state_host.path("logs/app.log")
    size = os.path.getsize(log)

    def grow():
        with open(log, "ab") as stream:
            stream.write(b"INFO more\n")

    while_reading(monkeypatch, grow)
    result = state_host.backup(components=["logs"])
    assert not result.get("failed") and entry_of(result["archive"], "logs/app.log")["size"] == size


def test_a_file_that_always_changes_fails_the_backup(state_host, monkeypatch, impatient):
    def grow():
        with open(state_host.path("uploads/rules.txt"), "ab") as stream:
            stream.write(b"more")

    while_reading(monkeypatch, grow)
    result = state_host.backup()
    assert result["failed"] and "uploads/rules.txt (it changed while it was read)" in result["msg"]
    assert "1 that could not" in result["msg"] and "allow_changed" in result["msg"]
    assert result["problems"] == [{"path": "uploads/rules.txt", "reason": "it changed while it was read"}]
    assert only_kept_aside(state_host, result)
    accepted = state_host.backup(allow_changed=True)
    assert not accepted.get("failed") and len(accepted["problems"]) == 1
    assert entry_of(accepted["archive"], "uploads/rules.txt")["changed"] is True
    assert state_host.info(verify="deep")[0]["problems"] == 1
    assert state_host.info(verify="deep")[0]["status"] == "verified"


def test_a_file_that_changes_once_is_read_again(state_host, monkeypatch, impatient):
    path, done = state_host.path("uploads/rules.txt"), []

    def shrink():
        if not done:
            done.append(os.truncate(path, 5))

    while_reading(monkeypatch, lambda: shrink() if os.path.getsize(path) else None)
    after_scan(monkeypatch, lambda: None)
    result = state_host.backup()
    assert not result.get("failed") and entry_of(result["archive"], "uploads/rules.txt")["size"] in (5, 126000)
    with zipfile.ZipFile(result["archive"]) as archive:
        assert len(archive.read("uploads/rules.txt")) == entry_of(result["archive"], "uploads/rules.txt")["size"]


def test_a_writer_thread_never_gets_a_torn_file_into_an_archive(state_host, quick_clock):
    path, stop = state_host.path("uploads/torn.bin"), threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number = (number + 1) % 250
            with open(path, "wb") as stream:
                stream.write(bytes([number]) * 400_000)
            stop.wait(0.1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        results = [state_host.backup(components=["uploads"]) for _run in range(4)]
    finally:
        stop.set()
        writer.join()
    for result in results:
        if not result.get("failed"):
            with zipfile.ZipFile(result["archive"]) as archive:
                content = archive.read("uploads/torn.bin") if "uploads/torn.bin" in archive.namelist() else b""
            assert len(content) in (0, 400_000) and len(set(content)) <= 1


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_that_vanishes_or_becomes_a_link(state_host, monkeypatch, impatient, replace):
    path = state_host.path("uploads/rules.txt")

    def act():
        if os.path.lexists(path):
            os.unlink(path)
            if replace:
                os.symlink(state_host.path("config/.env"), path)

    after_scan(monkeypatch, act)
    result = state_host.backup(components=["uploads"])
    assert result["failed"] and result["problems"][0]["path"] == "uploads/rules.txt"
    assert "cannot be read" in result["problems"][0]["reason"] and only_kept_aside(state_host, result)


@pytest.mark.parametrize("name, good", [("projects.json.tmp", True), ("projects.json.81723", True), ("other.json.tmp", False)])
def test_the_next_content_of_a_store_is_not_missed_when_it_takes_its_name(state_host, monkeypatch, impatient, name, good):
    """A file beside a store that is named after it; of another one that goes nobody knows what went with it."""
    store, draft = state_host.path("database/projects.json"), state_host.path(f"database/{name}")
    for path in (store, draft):
        with open(path, "w") as stream:
            stream.write('{"projects": []}')
    after_scan(monkeypatch, lambda: os.replace(draft, store))
    result = state_host.backup(components=["database"])
    if good:
        assert result["status"] == "verified" and not result["problems"]
        assert entry_of(result["archive"], "database/projects.json")
    else:
        assert result["failed"] and result["problems"][0]["path"] == f"database/{name}"


def test_a_folder_that_becomes_a_link_is_not_followed(state_host, monkeypatch, impatient):
    def act():
        os.rename(state_host.path("uploads/games"), state_host.path("uploads/away"))
        os.symlink(state_host.path("config"), state_host.path("uploads/games"))

    after_scan(monkeypatch, act)
    result = state_host.backup(components=["uploads"])
    assert result["problems"][0]["path"] == "uploads/games/board.png"


def test_what_was_written_is_read_back(state_host, monkeypatch):
    sync = backup_drafts.Draft.sync

    def sync_and_damage(draft):
        sync(draft)
        with open(draft.partial, "r+b") as stream:
            stream.seek(-40_000, os.SEEK_END)
            byte = stream.read(1)
            stream.seek(-1, os.SEEK_CUR)
            stream.write(bytes([byte[0] ^ 1]))

    monkeypatch.setattr(backup_drafts.Draft, "sync", sync_and_damage)
    result = state_host.backup()
    assert result["failed"] and "checksum differs" in result["msg"]
    assert os.listdir(state_host.layout.backups) == [] and state_host.info() == []


WRITER = """
import random, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=3600)
database.execute("PRAGMA journal_mode=" + sys.argv[2])
print("ready", flush=True)
while True:
    a, b = random.sample(range(10), 2)
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE account SET amount = amount - 7 WHERE id = ?", (a,))
    database.execute("UPDATE account SET amount = amount + 7 WHERE id = ?", (b,))
    database.execute("COMMIT")
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_database_under_a_busy_writer(state_host, new_state_host, tmp_path, quick_clock, journal):
    state_host.database(journal=journal).close()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, state_host.path("database/mobius.db"), journal], stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"ready\n"
        made = [state_host.backup(components=["database"]) for _run in range(5)]
    finally:
        writer.kill()
        writer.wait()
    other = new_state_host(tmp_path / "other")
    for result in made:
        assert not result.get("failed"), result
        assert not other.restore(result["archive"], safety_backup=False).get("failed")
        folder = other.path("database")
        assert sorted(os.listdir(folder)) == ["mobius.db", "projects.json"]
        with contextlib.closing(sqlite3.connect(f"file:{folder}/mobius.db?mode=ro&immutable=1", uri=True)) as database:
            assert database.execute("SELECT sum(amount), count(*) FROM account").fetchone() == (1000, 10)
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_by_its_header_not_its_name(state_host):
    state_host.database("uploads/holiday.jpg").close()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, state_host.path("uploads/holiday.jpg"), "wal"], stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"ready\n"
        result = state_host.backup()
    finally:
        writer.kill()
        writer.wait()
    assert entry_of(result["archive"], "uploads/holiday.jpg")["sqlite"] is True
    assert not [entry for entry in manifest_of(result["archive"])["entries"] if "-wal" in entry["path"]]


def test_a_damaged_database_fails_the_backup(state_host):
    state_host.database(journal="delete").close()
    with open(state_host.path("database/mobius.db"), "r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 4096)
    result = state_host.backup()
    assert result["failed"] and "database/mobius.db" in result["msg"]
    accepted = state_host.backup(allow_changed=True)
    assert entry_of(accepted["archive"], "database/mobius.db")["changed"] is True


def test_an_upload_that_only_looks_like_a_database_is_a_file(state_host):
    state_host.put("uploads/fake.db", b"SQLite format 3\0" + b"nothing" * 100)
    result = state_host.backup()
    assert not result.get("failed") and "sqlite" not in entry_of(result["archive"], "uploads/fake.db")


def test_a_sidecar_of_a_lost_archive_does_not_get_in_the_way(state_host):
    first = state_host.backup()["archive"]
    os.unlink(first)
    second = state_host.backup()["archive"]
    assert second != first and state_host.info(verify="checksum")[0]["status"] == "verified"


def test_writers_at_the_same_moment_get_names_of_their_own(state_host):
    code = (
        "import sys\nfrom ansible_collections.mobius.ops.plugins.modules import backup\n"
        "print(backup.run({'root': sys.argv[1], 'env': 'production', 'components': ['all'], 'dest': None,"
        " 'level': 1, 'full_every': 7, 'never_reuse': [], 'allow_changed': False, 'allow_shrunk': False, 'sign_key': None,"
        " 'purpose': 'ordinary', 'why': ''}, False)[1]['archive'])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    runs = [subprocess.Popen([sys.executable, "-c", code, state_host.root], env=environment, stdout=subprocess.PIPE) for _run in range(3)]
    archives = {run.communicate()[0].decode().strip() for run in runs}
    assert len(archives) == 3 and state_host.debris() == []
    listed = state_host.info(verify="deep")
    assert {backup["archive"] for backup in listed} == archives
    assert {backup["status"] for backup in listed} == {"verified"}


def test_not_beside_a_restore(state_host):
    with restore_journal.locked(state_host.layout, fcntl.LOCK_EX):
        assert "a backup or a restore that runs" in state_host.backup()["msg"]


def test_a_living_writer_is_not_swept(state_host, quick_clock):
    with backup_drafts.drafted(state_host.layout.backups, "production") as draft:
        assert not state_host.backup().get("failed")
        assert os.path.exists(draft.partial)
    assert state_host.debris() == []


def test_thousands_of_files_stay_in_order(state_host):
    for number in range(1200):
        state_host.put(f"uploads/many/{number % 40}/{number}.txt", b"%d" % number)
    result = state_host.backup(components=["uploads"])
    assert result["entries"] == 1200 + 41 + 5


def test_a_signed_archive(state_host, keys):
    result = state_host.backup(sign_key=keys.private)
    assert result["signature"] == result["archive"] + ".sha256.sig" and os.stat(result["signature"]).st_mode & 0o777 == 0o600
    line = (
        f"ssh-keygen -Y verify -f {keys.allowed()} -I mobius-backup -n mobius-backup -s $a.sha256.sig < $a.sha256 && sha256sum -c $a.sha256"
    )
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=os.path.dirname(result["archive"]),
        check=False,
        capture_output=True,
        env={**os.environ, "a": os.path.basename(result["archive"])},
    )
    assert done.returncode == 0, done.stderr
    [listed] = state_host.info(verify="deep", allowed_signers=keys.allowed())
    assert listed["status"] == "verified"
    assert sorted(os.listdir(state_host.layout.backups)) == sorted(
        os.path.basename(result["archive"]) + suffix for suffix in ("", ".sha256", ".sha256.sig")
    )


def test_without_a_key_there_is_no_signature(state_host, keys):
    assert state_host.backup()["signature"] is None
    [listed] = state_host.info(verify="checksum", allowed_signers=keys.allowed())
    assert (listed["status"], listed["reason"]) == ("unverified", "no signature")


@pytest.mark.parametrize("check", [False, True])
def test_a_key_that_cannot_sign_fails_before_anything_is_read(state_host, keys, snapshot, check):
    before = snapshot(state_host.root)
    locked = keys.make("locked", passphrase="something long")
    result = state_host.backup(check, sign_key=locked)
    assert result["failed"] and "a private key without a passphrase" in result["msg"]
    os.chmod(keys.private, 0o644)
    result = state_host.backup(check, sign_key=keys.private)
    assert result["failed"] and "only its owner can read (mode 0600), found mode 0644" in result["msg"]
    assert snapshot(state_host.root) == before


def test_check_mode_makes_no_signature(state_host, keys, snapshot):
    before = snapshot(state_host.root)
    assert state_host.backup(True, sign_key=keys.private)["signature"] is None
    assert snapshot(state_host.root) == before


def test_a_name_that_a_signature_has_is_taken(state_host, keys, monkeypatch):
    """The signature of an archive that is gone must not become that of another one."""
    monkeypatch.setattr(backup_drafts, "NAME_PATIENCE", 0.2)
    monkeypatch.setattr(clock, "stamp", lambda moment=None: "20261123_160000")
    open(os.path.join(state_host.layout.backups, "dhash_production_20261123_160000.zip.sha256.sig"), "wb").close()
    result = state_host.backup(sign_key=keys.private)
    assert result["failed"] and "a free name for an archive" in result["msg"]


def resign(archive, key):
    with open(archive + signature.SUFFIX, "wb") as stream:
        stream.write(signature.sign(key, archive, fs.sha256_file(archive)))


@pytest.mark.parametrize(
    "spoil, reuses",
    [
        (lambda archive, keys: None, True),
        (lambda archive, keys: resign(archive, keys.other), False),
        (lambda archive, keys: os.unlink(archive + signature.SUFFIX), False),
        (lambda archive, keys: (os.unlink(archive + signature.SUFFIX), os.symlink("/nowhere", archive + signature.SUFFIX)), False),
    ],
    ids=["own", "other key", "unsigned", "dangling"],
)
def test_nothing_is_copied_from_an_archive_that_this_key_has_not_signed(state_host, keys, quick_clock, spoil, reuses):
    """Else whoever can write into the folder would get his own content signed by the next backup."""
    first = state_host.backup(sign_key=keys.private)
    spoil(first["archive"], keys)
    assert bool(state_host.backup(sign_key=keys.private)["reused"]) is reuses
    assert state_host.backup()["reused"]
