# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup_info."""

from __future__ import annotations

import datetime
import os
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import catalog as backup_catalog
from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import manifest as archive_manifest
from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.modules import backup_info, checksum


def flip(path, offset=-200):
    with open(path, "r+b") as stream:
        stream.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 4]))


@pytest.fixture
def three(state_host, quick_clock):
    """Three archives, oldest first."""
    return [state_host.backup(components=["config", "uploads"], env=env)["archive"] for env in ("production", "staging", "production")]


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
    flip(three[2], 40_000)
    run_module(checksum, {"paths": [three[2]]})
    assert state_host.info(verify="checksum")[0]["status"] == "verified"
    deep = state_host.info(verify="deep")[0]
    assert deep["status"] == "corrupt" and "checksum differs" in deep["reason"] and "uploads/" in deep["reason"]


@pytest.mark.parametrize(
    "at, put, status",
    [
        (0, "another digit", "corrupt"),
        (63, "another digit", "corrupt"),
        (63, "g", "unverified"),
        (64, "$", "unverified"),
        (70, "$", "unverified"),
        (-1, "$", "unverified"),
    ],
)
def test_a_damaged_sidecar(state_host, three, at, put, status):
    sidecar = three[0] + ".sha256"
    with open(sidecar, "rb") as stream:
        good = stream.read()
    bad = bytearray(good)
    bad[at] = ord(put if len(put) == 1 else "0" if bad[at] != ord("0") else "1")
    with open(sidecar, "wb") as stream:
        stream.write(bad)
    assert state_host.info(verify="checksum")[-1]["status"] == status
    with open(sidecar, "wb") as stream:
        stream.write(good)
    assert state_host.info(verify="checksum")[-1]["status"] == "verified"


def test_other_names_are_not_offered(state_host, three):
    folder = state_host.layout.backups
    for name in (
        ".dhash_production_20260101_000000.zip.partial",
        "dhash_production_20260101_000000.zip.sha256",
        "dhash_production_2026.zip",
        "dhash_production_20269999_000000.zip",
        "other.zip",
    ):
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


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "root, dest"),
        ({"dest": "/nowhere/at/all"}, "backup folder /nowhere/at/all"),
        ({"dest": "/tmp", "limit": 0}, "1 or more"),
        ({"dest": "/tmp", "max_age": -1}, "0 or more hours, found -1"),
        ({"dest": "/tmp", "verify": "some"}, "none, checksum, deep"),
    ],
)
def test_bad_input(run_module, options, words):
    result = run_module(backup_info, options)
    assert result["failed"] and words in result["msg"]


# --- what an archive is for


@pytest.fixture
def restored(state_host, quick_clock):
    """A backup, and the safety backup of the bad data that a restore of it replaced; their paths."""
    good = state_host.backup()["archive"]
    state_host.put("database/projects.json", b'{"projects": "bad"}')
    return good, state_host.restore(good)["safety_backup"]


@pytest.fixture
def as_before(monkeypatch):
    """Archives are made as they were before their manifests and names said what they are for."""
    encode, name = archive_manifest.encode, backup_catalog.file_name
    monkeypatch.setattr(
        archive_manifest,
        "encode",
        lambda manifest: encode({key: value for key, value in manifest.items() if key not in ("purpose", "why")}),
    )
    monkeypatch.setattr(backup_catalog, "file_name", lambda env, stamp, _safety=False: name(env, stamp))


def test_each_archive_says_what_it_is_for(state_host, restored):
    good, bad = restored
    deploy = state_host.backup(purpose="deploy", why="before the deploy of v2")["archive"]
    name = os.path.basename(good)
    reasons = (f"before the restore of {name}", f"what the restore of {name} replaced, as of the stop")  # when a tick is unsure
    why = [backup["why"] for backup in state_host.info()]
    assert [(backup["archive"], backup["purpose"]) for backup in state_host.info()] == [
        (deploy, "deploy"),
        (bad, "safety"),
        (good, "ordinary"),
    ]
    assert (why[0], why[2]) == ("before the deploy of v2", "") and why[1] in reasons
    assert bad.endswith("_safety.zip") and os.path.exists(bad + ".sha256")
    assert not any(made.endswith("_safety.zip") for made in (good, deploy))
    assert {backup["purpose"] for backup in state_host.info(verify="deep")} == {"deploy", "safety", "ordinary"}


def test_the_newest_one_is_no_safety_backup(state_host, restored):
    good, bad = restored
    assert [backup["archive"] for backup in state_host.info(limit=1)] == [bad]
    assert [backup["archive"] for backup in state_host.info(limit=1, skip_safety=True)] == [good]
    assert [backup["archive"] for backup in state_host.info(skip_safety=True, components=["database"])] == [good]
    flip(bad, 40)
    assert [backup["archive"] for backup in state_host.info(skip_safety=True)] == [good]  # damaged, it is known by its name


def test_old_safety_backups_are_known_by_the_history(state_host, as_before, restored, run_module):
    good, bad = restored
    assert "safety" not in os.path.basename(bad)
    assert [(backup["archive"], backup["purpose"]) for backup in state_host.info()] == [(bad, "safety"), (good, "ordinary")]
    assert [backup["archive"] for backup in state_host.info(skip_safety=True)] == [good]
    listed = run_module(backup_info, {"dest": state_host.layout.backups, "skip_safety": True})["backups"]
    assert [backup["purpose"] for backup in listed] == ["unknown", "unknown"]  # without a root there is no history


def test_a_safety_backup_that_is_named_is_restored(state_host, restored):
    bad = restored[1]
    assert state_host.restore(bad)["restored"]
    with open(state_host.path("database/projects.json"), encoding="utf-8") as stream:
        assert "bad" in stream.read()


def test_a_safety_backup_does_not_make_the_backups_well(state_host, restored, run_module):
    good = restored[0]
    result = judged(state_host, run_module)
    assert (result["well"], result["newest_verified"]) == (True, good)
    assert result["message"].startswith(f"2 verified (1 safety); the newest verified archive is {good}, ")
    os.unlink(good + ".sha256")
    result = judged(state_host, run_module)
    assert (result["well"], result["newest_verified"]) == (False, None)
    assert result["message"] == "only safety backups are verified. Make one: mobius.ops.backup."


def sign(archive, key):
    with open(archive + signature.SUFFIX, "wb") as stream:
        stream.write(signature.sign(key, archive, fs.sha256_file(archive)))


@pytest.fixture
def signed(three, keys):
    """The three archives, all of them signed."""
    for archive in three:
        sign(archive, keys.private)
    return three


@pytest.mark.parametrize("verify", ["checksum", "deep"])
def test_signatures(state_host, signed, keys, verify, run_module):
    asked = {"verify": verify, "allowed_signers": keys.allowed()}
    assert {backup["status"] for backup in state_host.info(**asked)} == {"verified"}
    os.unlink(signed[0] + ".sha256.sig")
    flip(signed[1], 40_000)
    run_module(checksum, {"paths": [signed[1]]})  # the sidecar of who has changed it
    by_path = {backup["archive"]: backup for backup in state_host.info(**asked)}
    assert (by_path[signed[0]]["status"], by_path[signed[0]]["reason"].partition(";")[0]) == ("unverified", "no signature")
    reason = "a signature of it by mobius-backup" if verify == "checksum" else "(its checksum differs) in uploads/"  # which member
    assert by_path[signed[1]]["status"] == "corrupt" and reason in by_path[signed[1]]["reason"]
    assert by_path[signed[2]]["status"] == "verified"
    os.unlink(signed[0] + ".sha256")
    assert "no sidecar and no signature" in state_host.info(**asked)[-1]["reason"]


def test_another_signer_than_the_one_asked_for(state_host, signed, keys):
    sign(signed[2], keys.other)
    asked = {"verify": "checksum", "allowed_signers": keys.allowed()}
    assert [backup["status"] for backup in state_host.info(**asked)] == ["corrupt", "verified", "verified"]
    assert {backup["status"] for backup in state_host.info(**asked, signer="somebody")} == {"corrupt"}


def test_a_signature_without_a_sidecar_is_checked_all_the_same(state_host, signed, keys):
    asked = {"verify": "checksum", "allowed_signers": keys.allowed()}
    os.unlink(signed[2] + ".sha256")
    assert (state_host.info(**asked)[0]["status"], state_host.info(**asked)[0]["reason"]) == ("unverified", "no sidecar")
    flip(signed[2], 40_000)
    assert state_host.info(**asked)[0]["status"] == "corrupt"


def test_signatures_are_not_read_at_level_none(state_host, signed, keys):
    os.unlink(signed[0] + ".sha256.sig")
    sign(signed[1], keys.other)
    assert [backup["reason"] for backup in state_host.info(allowed_signers=keys.allowed())] == [
        "not checked",
        "not checked",
        "no signature",
    ]


def test_signatures_that_nobody_can_check_are_no_fault_of_the_archives(run_module, state_host, signed, keys, monkeypatch, tmp_path):
    asked = {"root": state_host.root, "verify": "checksum", "allowed_signers": keys.allowed()}
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run_module(backup_info, asked)
    assert result["failed"] and "the program ssh-keygen on the target, found none" in result["msg"]
    monkeypatch.undo()
    result = run_module(backup_info, {**asked, "allowed_signers": str(tmp_path / "none")})
    assert result["failed"] and "a file that can be read, found none" in result["msg"]


def test_archives_of_chosen_components(state_host, quick_clock, run_module):
    shutil.rmtree(state_host.path("generated"))
    every, logs = state_host.backup()["archive"], state_host.backup(components=["logs"])["archive"]

    def listed(**options):
        return [backup["archive"] for backup in state_host.info(**options)]

    assert listed() == listed(components=["logs"]) == [logs, every]
    assert listed(components=["all"]) == listed(components="all", limit=1) == listed(components=["database", "generated"]) == [every]
    with open(logs, "r+b") as stream:
        stream.truncate(300)
    assert listed(components=["all"], limit=1) == [logs]
    asked = run_module(backup_info, {"root": state_host.root, "components": ["everything"]})
    assert asked["failed"] and "'everything'" in asked["msg"]


def judged(state_host, run_module, **options):
    result = run_module(backup_info, {"root": state_host.root, "env": "production", "verify": "checksum", **options})
    assert not result.get("failed"), result
    return result


def test_well(state_host, three, run_module):
    result = judged(state_host, run_module)
    assert result["well"] is True and result["newest_verified"] == three[2]
    assert result["message"] == f"2 verified; the newest verified archive is {three[2]}, {result['age']:.0f} s old."
    assert "well" not in run_module(backup_info, {"root": state_host.root})


def test_not_well_when_one_is_corrupt(state_host, three, run_module):
    flip(three[0], 20_000)
    result = judged(state_host, run_module)
    assert result["well"] is False and result["newest_verified"] == three[2]
    assert result["message"].startswith(f"1 of 2 archives corrupt, the newest of them: archive {three[0]}: expected SHA-256")
    assert f"1 verified, 1 corrupt; the newest verified archive is {three[2]}, " in result["message"]


def test_not_well_without_a_verified_one(state_host, three, run_module):
    for archive in three:
        os.unlink(archive + ".sha256")
    result = judged(state_host, run_module)
    assert (result["well"], result["newest_verified"], result["age"]) == (False, None, None)
    assert result["message"] == "no archive is verified. Make one: mobius.ops.backup."
    assert (
        judged(state_host, run_module, env="none")["message"]
        == "no archive is verified, there is none at all. Make one: mobius.ops.backup."
    )


def test_an_unverified_one_beside_is_told(state_host, three, run_module):
    os.unlink(three[0] + ".sha256")
    result = judged(state_host, run_module)
    assert result["well"] is True and result["message"].startswith("1 verified, 1 unverified; ")


def test_too_old(state_host, three, run_module, monkeypatch):
    made = backup_catalog.parse(three[2]).created
    monkeypatch.setattr(clock, "now", lambda: clock.parse(made) + datetime.timedelta(hours=25))
    assert judged(state_host, run_module, max_age="25")["well"] is True
    assert judged(state_host, run_module)["well"] is True
    result = judged(state_host, run_module, max_age="24.5")
    assert result["well"] is False and result["age"] == 25 * 3600
    assert result["message"].endswith("25 h old, and 24.5 h are allowed. Make one: mobius.ops.backup.")


def test_the_newest_verified_one_counts_and_not_the_newest(state_host, three, run_module, monkeypatch):
    made = backup_catalog.parse(three[2]).created
    os.unlink(three[2] + ".sha256")
    monkeypatch.setattr(clock, "now", lambda: clock.parse(made) + datetime.timedelta(hours=1))
    result = judged(state_host, run_module, max_age=1)
    assert result["well"] is False and result["newest_verified"] == three[0]


def test_a_backup_of_some_components_does_not_make_the_others_younger(state_host, three, run_module, monkeypatch):
    at = clock.parse(backup_catalog.parse(three[2]).created) + datetime.timedelta(hours=25)
    monkeypatch.setattr(clock, "now", lambda: at)
    newest = state_host.backup(components=["config", "logs"])["archive"]
    monkeypatch.setattr(clock, "now", lambda: at + datetime.timedelta(hours=1))
    result = judged(state_host, run_module, max_age=24)
    assert (result["well"], result["newest_verified"], result["age"]) == (False, newest, 26 * 3600)
    assert result["message"] == (
        f"3 verified; the newest verified archive is {newest}, 60 min old, of uploads it is {three[2]}, "
        "26 h old, and 24 h are allowed. Make one: mobius.ops.backup."
    )
    assert judged(state_host, run_module, max_age=26)["well"] is True


def test_a_sidecar_that_another_tool_wrote_is_read(state_host):
    made = state_host.backup()
    name = os.path.basename(made["archive"])
    with open(made["archive"] + ".sha256", "w", newline="") as stream:
        stream.write(f"SHA256 (./{name}) = {made['sha256'].upper()}\r\n")
    assert [facts["status"] for facts in state_host.info(verify="checksum")] == ["verified"]
    assert not state_host.restore(made["archive"]).get("failed")


def test_a_sidecar_in_no_known_form_is_not_called_damage_of_the_archive(state_host):
    made = state_host.backup()
    with open(made["archive"] + ".sha256", "w") as stream:
        stream.write(f"{made['sha256']}  another.zip\n")
    [facts] = state_host.info(verify="checksum")
    assert facts["status"] == "unverified" and "line of sha256sum" in facts["reason"]
    refused = state_host.restore(made["archive"])
    assert refused["failed"] and "Fetch the sidecar again" in refused["msg"]
