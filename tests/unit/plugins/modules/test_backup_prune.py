# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup_prune, on real archives of many days."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import zipfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import retention as backup_retention
from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive.reader import Archive
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._target import releases, restore_journal
from ansible_collections.mobius.ops.plugins.modules import backup_prune, checksum

#: Three on one day, then one a day, oldest first.
STAMPS = ("20261101_060000", "20261101_120000", "20261101_180000", "20261102_060000", "20261103_060000", "20261104_060000")
#: The moment at which they are pruned.
LATER = "20261201_000000"


@pytest.fixture
def make(state_host, monkeypatch):
    """Makes an archive as of a moment; its path."""

    def archive(stamp, **options):
        monkeypatch.setattr(clock, "now", lambda: clock.from_stamp(stamp))
        result = state_host.backup(**{"components": ["config"], **options})
        monkeypatch.setattr(clock, "now", lambda: clock.from_stamp(LATER))
        assert result["archive"].endswith(f"{stamp}.zip")
        return result["archive"]

    return archive


@pytest.fixture
def six(make):
    """Six archives, oldest first."""
    return [make(stamp) for stamp in STAMPS]


@pytest.fixture
def prune(state_host, run_module):
    """Runs the module."""

    def run(check=False, **options):
        return run_module(backup_prune, {"root": state_host.root, "env": "production", **options}, check=check)

    return run


def damage(path):
    """Change one bit in the content of a file in the archive."""
    with zipfile.ZipFile(path) as archive:
        info = max(archive.infolist()[1:], key=lambda member: member.compress_size)
    with open(path, "r+b") as stream:
        stream.seek(info.header_offset + 30 + len(info.filename) + info.compress_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 4]))


def left(state_host):
    """Every name in the backup folder."""
    return sorted(os.listdir(state_host.layout.backups))


def names(*archives):
    """What belongs to archives."""
    return sorted(os.path.basename(archive) + suffix for archive in archives for suffix in ("", ".sha256"))


def of(listed):
    return [facts["archive"] for facts in listed]


def release(state_host, release_id, sequence, **facts):
    store = releases.ReleaseStore(state_host.layout)
    os.makedirs(state_host.layout.release(release_id))
    store.save({**store.new_record(id=release_id), "sequence": sequence, "status": "verified", **facts})
    return store


def test_the_rules(state_host, six, prune):
    result = prune(keep_last=1, keep_daily=3)
    assert result["changed"] and of(result["kept"]) == [six[5], six[4], six[3]]
    assert result["kept"][0]["reasons"] == ["last", "daily 2026-11-04", "newest verified"]
    assert of(result["removed"]) == [six[2], six[1], six[0]]
    assert left(state_host) == names(*six[3:])
    assert result["message"].startswith("3 archives removed (") and result["message"].endswith(", 3 kept")
    assert result["unsound"] == [] and six[0] not in json.dumps(result.get("warnings", []))


def test_freed_is_what_the_disk_gets_back(state_host, six, prune):
    before = sum(os.path.getsize(os.path.join(state_host.layout.backups, name)) for name in left(state_host))
    result = prune(keep_last=2)
    after = sum(os.path.getsize(os.path.join(state_host.layout.backups, name)) for name in left(state_host))
    assert result["freed"] == before - after > 0


def test_a_second_run_changes_nothing(state_host, six, prune, snapshot):
    prune(keep_daily=2)
    before = snapshot(state_host.root)
    result = prune(keep_daily="2")
    assert not result["changed"] and result["message"] == "0 archives removed (0 B), 2 kept"
    assert snapshot(state_host.root) == before


def test_check_mode_writes_nothing_and_shows_the_plan(state_host, six, prune, snapshot):
    os.unlink(six[1] + ".sha256")
    open(os.path.join(state_host.layout.backups, "dhash_production_20250101_000000.zip.sha256"), "wb").close()
    before = snapshot(state_host.root)
    planned = prune(check=True, keep_last=1, keep_weekly=2)
    assert snapshot(state_host.root) == before
    assert planned["changed"]
    assert "dhash_production_20261102_060000.zip  (no rule keeps it)" in planned["diff"]["before"]
    assert "20261102" not in planned["diff"]["after"]
    assert "dhash_production_20261101_180000.zip  (weekly 2026-W44)" in planned["diff"]["after"]
    assert "dhash_production_20261101_120000.zip  (unverified)" in planned["diff"]["after"]
    assert "dhash_production_20250101_000000.zip.sha256  (belongs to no archive)" in planned["diff"]["before"]
    done = prune(keep_last=1, keep_weekly=2)
    assert {key: done[key] for key in ("kept", "removed", "unsound", "swept", "freed", "diff")} == {
        key: planned[key] for key in ("kept", "removed", "unsound", "swept", "freed", "diff")
    }
    assert planned["message"].startswith("3 archives would be removed (") and done["message"].startswith("3 archives removed (")


def test_history(state_host, six, prune):
    freed = prune(keep_last=4)["freed"]
    with open(state_host.layout.history, encoding="utf-8") as stream:
        event = [json.loads(line) for line in stream][-1]
    assert (event["what"], event["env"], event["kept"], event["freed"]) == ("backups_pruned", "production", 4, freed)
    assert event["removed"] == [os.path.basename(path) for path in six[:2]]


def test_other_environments_and_other_files_are_left_alone(state_host, six, prune, make):
    others = [make("20200101_000000", env="staging"), make("20200102_000000", env="staging")]
    strangers = [
        "notes.txt",
        "dhash_production_2026.zip",
        "dhash_production_20200101_000000.zip.gpg",
        "manual.zip.sha256",
        "dhash_staging_20190101_000000.zip.sha256",
        "dhash_staging_20190101_000000.zip.incomplete",
    ]
    for name in strangers:
        open(os.path.join(state_host.layout.backups, name), "wb").close()
    prune(keep_last=1)
    assert left(state_host) == sorted(names(six[5], *others) + strangers)


def test_another_folder(state_host, six, prune, tmp_path):
    shutil.copytree(state_host.layout.backups, tmp_path / "copies")
    prune(keep_last=1, dest=str(tmp_path / "copies"))
    assert sorted(os.listdir(tmp_path / "copies")) == names(six[5]) and left(state_host) == names(*six)


def test_a_damaged_archive_neither_counts_nor_goes(state_host, six, prune):
    damage(six[4])
    os.unlink(six[2] + ".sha256")
    result = prune(keep_daily=3)
    assert of(result["kept"]) == [six[5], six[3], six[1]]
    assert of(result["removed"]) == [six[0]]
    assert [(facts["archive"], facts["status"]) for facts in result["unsound"]] == [(six[4], "corrupt"), (six[2], "unverified")]
    assert "expected SHA-256" in result["unsound"][0]["reason"] and result["unsound"][1]["reason"] == "no sidecar"
    said = json.dumps(result["warnings"])
    assert f"{six[4]} is corrupt (archive" in said and f"{six[2]} is unverified (no sidecar). It is neither counted nor" in said
    assert result["message"].endswith("3 kept, 2 not verified and left alone")
    assert set(names(*six[1:])) - {os.path.basename(six[2]) + ".sha256"} == set(left(state_host))


def test_the_newest_verified_one_stays_though_newer_ones_are_damaged(state_host, six, prune):
    for path in six[3:]:
        damage(path)
    for verify in ("newest", "all"):
        result = prune(keep_last=1, verify=verify)
        assert of(result["kept"]) == [six[2]] and result["kept"][0]["reasons"] == ["last", "newest verified"]
        assert os.path.exists(six[2])


@pytest.mark.parametrize("verify", ["all", "newest"])
def test_without_a_verified_archive_nothing_goes(state_host, six, prune, snapshot, verify):
    for path in six[1:]:
        damage(path)
    os.unlink(six[0] + ".sha256")
    before = snapshot(state_host.root)
    result = prune(keep_last=1, verify=verify)
    assert result["failed"] and "expected at least one verified archive before any is removed, found none among 6" in result["msg"]
    assert "Nothing was removed." in result["msg"]
    assert snapshot(state_host.root) == before


def test_an_empty_folder_is_no_fault(state_host, prune):
    result = prune(keep_last=1)
    assert not result.get("failed") and not result["changed"] and result["kept"] == []


@pytest.mark.parametrize("verify", ["all", "newest"])
def test_safety_backups_are_counted_apart(state_host, six, prune, verify, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: clock.from_stamp("20261105_060000"))
    first = state_host.restore(six[4])["safety_backup"]
    monkeypatch.setattr(clock, "now", lambda: clock.from_stamp("20261106_060000"))
    second = state_host.restore(six[4])["safety_backup"]
    result = prune(keep_last=1, verify=verify)
    assert of(result["kept"]) == [second, six[5]] and first in of(result["removed"])
    assert left(state_host) == names(six[5], second)


def test_newest_reads_no_more_than_it_must(six, prune, monkeypatch):
    real, read = Archive.sha256, []
    monkeypatch.setattr(Archive, "sha256", lambda self: (read.append(self.path), real(self))[1])
    damage(six[5])
    result = prune(check=True, keep_last=2, verify="newest")
    assert read == [six[5], six[4]] and of(result["kept"]) == [six[4], six[3]]
    assert of(result["unsound"]) == [six[5]]
    read.clear()
    prune(check=True, keep_last=2, verify="all")
    assert sorted(read) == six


def test_what_the_live_release_and_the_rollback_target_name_stays(state_host, six, prune):
    release(state_host, "v1", 1, backup=six[0])
    release(state_host, "v2", 2, status="rolled_back", backup=six[1])
    store = release(state_host, "v3", 3, backup=os.path.join("/elsewhere", os.path.basename(six[2])))
    store.point("v3")
    result = prune(keep_last=1)
    assert {facts["archive"]: facts["reasons"] for facts in result["kept"]} == {
        six[5]: ["last", "newest verified"],
        six[2]: ["named by the live release v3"],
        six[0]: ["named by the rollback target v1"],
    }
    assert left(state_host) == names(six[0], six[2], six[5])


def test_a_record_that_cannot_be_read_stops_it(state_host, six, prune, snapshot):
    store = release(state_host, "v1", 1, backup=six[0])
    store.point("v1")
    fs.write_text(os.path.join(state_host.layout.release("v1"), releases.RECORD), "{")
    before = snapshot(state_host.layout.backups)
    result = prune(keep_last=1)
    assert result["failed"] and "expected the record of a release, found" in result["msg"]
    assert snapshot(state_host.layout.backups) == before


def test_leftovers_go(state_host, six, prune):
    folder = state_host.layout.backups
    doomed = [
        "dhash_production_20261030_000000.zip.sha256",
        "dhash_production_20261030_000000.zip.sha256.sig",
        "dhash_production_20261103_000000.zip.incomplete",
    ]
    spared = [
        "dhash_production_20261105_000000.zip.incomplete",
        "dhash_production_20261106_000000.zip.sha256",
        ".dhash_production_20261106_000000.zip.partial",
    ]
    for name in doomed + spared:
        with open(os.path.join(folder, name), "wb") as stream:
            stream.write(b"12345")
    result = prune(keep_last=6)
    assert result["changed"] and result["swept"] == [os.path.join(folder, name) for name in doomed]
    assert result["freed"] == 15 and result["removed"] == []
    assert left(state_host) == sorted(names(*six) + spared)


def test_signatures_go_with_their_archive(state_host, six, prune, keys):
    for path in six:
        with open(path + signature.SUFFIX, "wb") as stream:
            stream.write(signature.sign(keys.private, path, fs.sha256_file(path)))
    prune(keep_last=1, allowed_signers=keys.allowed())
    assert left(state_host) == sorted([*names(six[5]), os.path.basename(six[5]) + ".sha256.sig"])


def test_an_archive_without_its_signature_does_not_count(state_host, six, prune, keys, run_module):
    for path in six[:5]:
        with open(path + signature.SUFFIX, "wb") as stream:
            stream.write(signature.sign(keys.private, path, fs.sha256_file(path)))
    damage(six[4])
    run_module(checksum, {"paths": [six[4]]})
    result = prune(keep_last=1, allowed_signers=keys.allowed())
    assert of(result["kept"]) == [six[3]]
    assert [facts["status"] for facts in result["unsound"]] == ["unverified", "corrupt"]
    assert prune(keep_last=1, allowed_signers="/nowhere")["failed"]


def test_not_while_a_restore_runs(state_host, six, prune):
    with restore_journal.locked(state_host.layout, fcntl.LOCK_EX):
        result = prune(keep_last=1)
    assert result["failed"] and "a backup or a restore that runs" in result["msg"]
    assert left(state_host) == names(*six)


def test_beside_a_backup_that_runs(state_host, six, prune):
    with restore_journal.locked(state_host.layout):
        assert not prune(keep_last=1).get("failed")


def test_not_after_a_restore_was_interrupted(state_host, six, prune):
    restore_journal.Journal.begin(state_host.layout, components=["config"]).enter("swapping")
    result = prune(keep_last=1)
    assert result["failed"] and "a restore that was interrupted" in result["msg"]
    assert left(state_host) == names(*six)


def test_not_twice_at_once(state_host, six, prune):
    with backup_retention.alone(state_host.layout.backups):
        result = prune(keep_last=1)
    assert result["failed"] and "nobody else who removes archives" in result["msg"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "0 in all of them, which would give up every archive"),
        ({"keep_last": "0", "keep_daily": 0}, "Say how many are to stay"),
        ({"keep_last": 1, "keep_weekly": -1}, "keep_weekly: expected 0 or more archives, found -1"),
        ({"keep_last": "many"}, "keep_last"),
        ({"keep_last": 1, "env": "../x"}, "env '../x'"),
        ({"keep_last": 1, "dest": "/nowhere/at/all"}, "backup folder /nowhere/at/all: expected a folder"),
        ({"keep_last": 1, "verify": "some"}, "all, newest"),
        ({"keep_last": 1, "root": "/nowhere"}, "a host that was set up"),
    ],
)
def test_bad_input(six, prune, state_host, options, words):
    result = prune(**options)
    assert result["failed"] and words in result["msg"]
    assert left(state_host) == names(*six)


def killed_at(work, step):
    """Do *work* in a child that is killed just before its n-th removal or sync: whether it came to that."""
    child = os.fork()
    if child == 0:
        count = [0]

        def hook(event, arguments):
            if event == "os.remove" or (event == "open" and arguments[2] & os.O_DIRECTORY):
                count[0] += 1
                if count[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_every_step(state_host, six, prune, keys):
    for path in six:
        with open(path + signature.SUFFIX, "wb") as stream:
            stream.write(signature.sign(keys.private, path, fs.sha256_file(path)))
    copy = state_host.root + "-copy"
    shutil.copytree(state_host.layout.backups, copy)
    step, asked = 0, {"verify": "checksum", "allowed_signers": keys.allowed()}
    while True:
        step += 1
        died = killed_at(lambda: prune(keep_last=2), step)
        listed = state_host.info(**asked)
        assert {backup["status"] for backup in listed} == {"verified"}, step
        assert of(listed)[:2] == six[:3:-1]
        assert of(listed) == six[::-1][: len(listed)], "the oldest go first"
        if not died:
            break
        prune(keep_last=2, allowed_signers=keys.allowed())
        assert left(state_host) == sorted([*names(*six[4:]), *(os.path.basename(path) + ".sha256.sig" for path in six[4:])]), step
        shutil.rmtree(state_host.layout.backups)
        shutil.copytree(copy, state_host.layout.backups)
    assert step > 20


def test_archives_of_other_components_are_counted_apart(state_host, six, prune, make):
    """The runbook's backup of the logs, made after the nightly one, must not take its place."""
    logs = [make(f"2026110{day}_230000", components=["logs"]) for day in (1, 2, 4)]
    os.unlink(state_host.layout.history)  # the order is that of the names then
    for verify in ("newest", "all"):
        result = prune(check=verify == "newest", keep_daily=2, verify=verify)
        assert of(result["kept"]) == [logs[2], six[5], six[4], logs[1]]
        assert [facts["reasons"][-1] for facts in result["kept"]].count("newest verified") == 2
    assert left(state_host) == names(six[4], six[5], logs[1], logs[2])


def test_newest_reads_until_one_of_each_set_of_components_is_verified(state_host, six, prune, make, monkeypatch):
    logs = [make(f"2026110{day}_230000", components=["logs"]) for day in (1, 2)]
    os.unlink(state_host.layout.history)
    damage(logs[1])
    real, read = Archive.sha256, []
    monkeypatch.setattr(Archive, "sha256", lambda self: (read.append(self.path), real(self))[1])
    prune(check=True, keep_last=1, verify="newest")
    assert read == [six[5], logs[1], logs[0]]


def test_an_archive_kept_aside_stays_until_there_is_a_whole_one_of_the_same(state_host, make, prune):
    aside = make("20261101_060000", components=["config", "logs"])
    os.rename(aside, aside + ".incomplete")
    make("20261102_060000", components=["logs"])
    assert prune(keep_last=1)["swept"] == [aside + ".sha256"]
    make("20261103_060000", components=["config", "uploads", "logs"])
    assert prune(keep_last=1)["swept"] == [aside + ".incomplete"]
