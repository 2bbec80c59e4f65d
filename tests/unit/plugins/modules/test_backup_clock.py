# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups that were made while the clock was wrong, and of files with odd times."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import catalog as backup_catalog
from ansible_collections.mobius.ops.plugins.module_utils._core import clock as core_clock
from ansible_collections.mobius.ops.plugins.module_utils._core import file_metadata
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import host as preflight_host
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import plan as drill_plan
from ansible_collections.mobius.ops.plugins.modules import backup_info, backup_prune

NOW, HOUR_AGO, FUTURE, PAST = "20261104_120000", "20261104_110000", "20361104_110000", "19700101_000100"


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock."""

    def at(stamp):
        monkeypatch.setattr(core_clock, "now", lambda: core_clock.from_stamp(stamp))

    return at


@pytest.fixture
def make(state_host, clock):
    """Makes an archive as of a moment; the clock is right again afterwards."""

    def archive(stamp, **options):
        clock(stamp)
        result = state_host.backup(**options)
        clock(NOW)
        assert result["archive"].endswith(f"{stamp}.zip")
        return result["archive"]

    return archive


@pytest.fixture
def info(state_host, run_module):
    """What backup_info returns."""
    return lambda **options: run_module(backup_info, {"root": state_host.root, "verify": "checksum", **options})


@pytest.fixture
def prune(state_host, run_module):
    """What backup_prune returns."""
    return lambda **options: run_module(backup_prune, {"root": state_host.root, "env": "production", **options})


def forget(state_host):
    """Lose the history, as a folder of copied archives has none."""
    os.unlink(state_host.layout.history)


@pytest.mark.parametrize("history", [True, False])
def test_an_archive_from_the_future_is_not_the_newest(state_host, make, info, history):
    future, right = make(FUTURE), make(HOUR_AGO)
    if not history:
        forget(state_host)
    result = info(max_age=2)
    assert [facts["archive"] for facts in result["backups"]] == [right, future]
    assert [facts["future"] for facts in result["backups"]] == [False, True]
    assert result["newest_verified"] == right and result["age"] == 3600 and result["well"]
    assert f"{future}: dated in the future. Check the host's clock" in result["message"]


def test_the_history_tells_that_an_archive_from_the_future_is_the_last_one(state_host, make, info):
    right, future = make(HOUR_AGO), make(FUTURE)
    assert [facts["archive"] for facts in info()["backups"]] == [future, right]
    assert drill_plan.choose(state_host.layout, drill_plan.Request("production", state_host.layout.backups, "/none")) == future
    forget(state_host)
    assert [facts["archive"] for facts in info()["backups"]] == [right, future]


def test_an_archive_from_the_future_satisfies_no_age(make, info):
    make(FUTURE)
    result = info(max_age=1)
    assert (result["well"], result["age"], result["newest_verified"]) == (False, None, None)
    assert "no archive that is not dated in the future is verified" in result["message"]


def test_the_preflight_accepts_no_archive_from_the_future(state_host, make):
    make(FUTURE)
    os.symlink("releases/v1", state_host.layout.current)
    row = preflight_host.backup(state_host.layout, state_host.layout.backups, "production", ["all"], 24)
    assert row["status"] == "failed" and "dated in the future" in str(row)


@pytest.mark.parametrize("verify", ["all", "newest"])
@pytest.mark.parametrize("history", [True, False])
def test_pruning_keeps_archives_from_the_future_and_does_not_count_them(state_host, make, prune, history, verify):
    future, old, right = make(FUTURE), make("20261103_110000"), make(HOUR_AGO)
    if not history:
        forget(state_host)
    result = prune(keep_last=1, verify=verify)
    assert [facts["archive"] for facts in result["removed"]] == [old]
    assert {facts["archive"]: facts["reasons"] for facts in result["kept"]} == {
        right: ["last", "newest verified"],
        future: ["dated in the future"],
    }
    assert any(f"{future} is dated in the future" in text for text in result["warnings"])


def test_pruning_keeps_the_archive_that_was_just_made_when_the_clock_is_behind(state_host, make, prune, clock):
    right, behind = make(HOUR_AGO), make(PAST)
    for now in (PAST, NOW):
        clock(now)
        assert behind not in [facts["archive"] for facts in prune(keep_last=1)["removed"]]
    assert os.path.exists(right) and os.path.exists(behind)


def test_while_the_clock_is_behind_no_archive_is_removed_as_an_old_one(state_host, make, prune, clock):
    archives = [make("20261101_110000"), make("20261102_110000"), make(HOUR_AGO)]
    clock(PAST)
    assert not prune(keep_last=1)["changed"]
    assert all(map(os.path.exists, archives))


def test_a_reused_archive_is_the_last_published_one(make, state_host, clock):
    make(FUTURE)
    make("20261103_110000")
    clock(NOW)
    assert state_host.backup()["reused"] > 0


def test_equal_stamps_sort_by_name_without_a_history(tmp_path):
    for name in ("dhash_a_20261104_110000.zip", "dhash_a_20261104_110000_safety.zip", "dhash_a_20261103_110000.zip"):
        (tmp_path / name).write_bytes(b"")
    assert [backup.safety for backup in backup_catalog.find(str(tmp_path))] == [True, False, False]


#: Times of files, in seconds: of 1600, 1900, 2263, 2400, 2446, and what the kernel can say at most.
SECONDS = (-11_676_096_000, -2_208_988_800, 9_246_182_400, 13_569_465_600, 15_021_072_000, 2**63 - 1, -(2**62))


@pytest.fixture(params=["disk", "memory"])
def host_on(request, tmp_path, state_host):
    """A host on a disk, which clips such times, and in memory, where file systems keep all."""
    folder = pathlib.Path("/dev/shm") if request.param == "memory" else tmp_path
    if not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} is not writable")
    root = tempfile.mkdtemp(dir=folder)
    yield type(state_host)(os.path.join(root, "mobius"))
    shutil.rmtree(root)


def test_every_time_that_a_file_system_holds_is_backed_up_and_comes_back(host_on):
    paths = [host_on.put(f"uploads/{seconds}", b"x") for seconds in SECONDS]
    os.mkdir(host_on.path("uploads/folder"))
    os.symlink("x", host_on.path("uploads/odd"))
    paths += [host_on.path("uploads/folder"), host_on.path("uploads/odd")]
    for path, seconds in zip(paths, (*SECONDS, SECONDS[3], SECONDS[0])):
        os.utime(path, ns=(seconds * 10**9 + 5,) * 2, follow_symlinks=False)
    before = [os.lstat(path).st_mtime_ns for path in paths]
    archive = host_on.backup()
    assert archive.get("status") == "verified", archive
    restored = host_on.restore(archive["archive"])
    assert not restored.get("failed") and restored["attributes_lost"] == [], restored
    assert [os.lstat(path).st_mtime_ns for path in paths] == before


def test_a_time_that_the_file_system_cannot_hold_is_told(state_host, monkeypatch):
    path = state_host.put("uploads/old", b"x")
    os.utime(path, (-86_400, -86_400))
    archive = state_host.backup()["archive"]
    real = os.utime
    monkeypatch.setattr(file_metadata.os, "utime", lambda file, ns, **more: real(file, ns=(max(0, ns[0]),) * 2, **more))
    lost = state_host.restore(archive)["attributes_lost"]
    assert [(note["name"], note["files"], note["first"]) for note in lost] == [("mtime", 1, "uploads/old")]
