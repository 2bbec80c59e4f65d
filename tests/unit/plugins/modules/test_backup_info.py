# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup_info."""
from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils import _backups
from ansible_collections.mobius.ops.plugins.modules import backup_info


def flip(path, offset=-200):
    with open(path, "r+b") as stream:
        stream.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 4]))


@pytest.fixture
def three(state_host, quick_clock):
    """Three archives, oldest first."""
    return [state_host.backup(components=["config", "uploads"], env=env)["archive"]
            for env in ("production", "staging", "production")]


def test_newest_first_with_facts(state_host, three):
    listed = state_host.info()
    assert [backup["archive"] for backup in listed] == three[::-1]
    first = listed[0]
    assert first["components"] == ["config", "uploads"] and first["size"] == os.path.getsize(three[2])
    assert first["created"].endswith("Z") and first["release"] is None and first["problems"] == 0
    assert [backup["env"] for backup in listed] == ["production", "staging", "production"]
    assert {(backup["status"], backup["reason"]) for backup in listed} == {("unverified", "not checked")}


def test_filters(state_host, three):
    assert [backup["archive"] for backup in state_host.info(env="production")] == [three[2], three[0]]
    assert [backup["archive"] for backup in state_host.info(limit=1)] == [three[2]]
    assert state_host.info(env="nothing") == []


@pytest.mark.parametrize("verify", ["checksum", "deep"])
def test_statuses(state_host, three, verify):
    os.unlink(three[1] + ".sha256")
    flip(three[2], 20_000)
    by_path = {backup["archive"]: backup for backup in state_host.info(verify=verify)}
    assert (by_path[three[0]]["status"], by_path[three[0]]["reason"]) == ("verified", "")
    assert by_path[three[1]]["status"] == "unverified" and "no sidecar" in by_path[three[1]]["reason"]
    assert by_path[three[2]]["status"] == "corrupt" and three[2] in by_path[three[2]]["reason"]


def test_none_does_not_say_verified_nor_read_content(state_host, three):
    flip(three[2], 20_000)
    os.unlink(three[1] + ".sha256")
    assert [backup["reason"] for backup in state_host.info()] == ["not checked", "no sidecar", "not checked"]


def test_deep_finds_what_a_wrong_sidecar_hides(state_host, three, run_module):
    from ansible_collections.mobius.ops.plugins.modules import checksum

    flip(three[2], 40_000)
    run_module(checksum, {"paths": [three[2]]})
    assert state_host.info(verify="checksum")[0]["status"] == "verified"
    deep = state_host.info(verify="deep")[0]
    assert deep["status"] == "corrupt" and "checksum differs" in deep["reason"] and "uploads/" in deep["reason"]


def test_a_damaged_sidecar(state_host, three):
    for offset in (0, 63, 64, 70, -1):
        with open(three[0] + ".sha256", "rb") as stream:
            good = stream.read()
        flip(three[0] + ".sha256", offset)
        assert state_host.info(verify="checksum")[-1]["status"] == "corrupt", offset
        with open(three[0] + ".sha256", "wb") as stream:
            stream.write(good)
    assert state_host.info(verify="checksum")[-1]["status"] == "verified"


def test_other_names_are_not_offered(state_host, three):
    folder = state_host.layout.backups
    for name in (".dhash_production_20260101_000000.zip.partial", "dhash_production_20260101_000000.zip.sha256",
                 "dhash_production_2026.zip", "dhash_production_20269999_000000.zip", "other.zip"):
        shutil.copy(three[0], os.path.join(folder, name))
    assert len(state_host.info()) == 3


def test_a_renamed_archive_is_corrupt_for_its_env(state_host, three):
    os.rename(three[0], three[0].replace("production", "staging"))
    listed = {backup["archive"]: backup for backup in state_host.info(env="staging")}
    assert listed[three[0].replace("production", "staging")]["status"] == "corrupt"


def test_a_folder_with_the_name_of_an_archive(state_host, three):
    os.mkdir(os.path.join(state_host.layout.backups, "dhash_production_20200101_000000.zip"))
    assert state_host.info(verify="deep")[-1]["status"] == "corrupt"


def test_nothing_changes(state_host, three, snapshot, run_module):
    before = snapshot(state_host.root)
    state_host.info(verify="deep")
    run_module(backup_info, {"dest": state_host.layout.backups, "verify": "deep"}, check=True)
    assert snapshot(state_host.root) == before


@pytest.mark.parametrize("options, words", [
    ({}, "root, dest"),
    ({"dest": "/nowhere/at/all"}, "backup folder /nowhere/at/all"),
    ({"dest": "/tmp", "limit": 0}, "1 or more"),
    ({"dest": "/tmp", "verify": "some"}, "none, checksum, deep"),
])
def test_bad_input(run_module, options, words):
    result = run_module(backup_info, options)
    assert result["failed"] and words in result["msg"]


def test_latest(state_host, three):
    assert _backups.latest(state_host.layout, "production") == three[2]
    os.unlink(three[2] + ".sha256")
    assert _backups.latest(state_host.layout, "production") == three[0]
    assert _backups.latest(state_host.layout, "nothing") is None
