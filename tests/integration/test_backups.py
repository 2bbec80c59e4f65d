"""Backups of a running application: verified, judged by age, given up by rules."""

from __future__ import annotations

import datetime
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from support.application import png

from ansible_collections.mobius.ops.plugins.module_utils._core import checksums, fs

pytestmark = pytest.mark.xdist_group("backups")


@pytest.fixture(scope="module")
def made(shared_served, tmp_path_factory):
    """A site with a release that serves, an upload, and the archives of its deploy and of now; and a folder with copies of both."""
    shared_served.client().upload("board.png", png())
    assert shared_served.play("backup").outcome == "backed_up"
    copies = tmp_path_factory.mktemp("copies") / "backups"
    shutil.copytree(shared_served.root / "backups", copies)
    return shared_served, copies


@pytest.fixture
def running(made):
    """That site, with those two archives and no others."""
    site, copies = made
    shutil.rmtree(site.root / "backups")
    shutil.copytree(copies, site.root / "backups")
    return site


def backups(site) -> list[Path]:
    """Every archive, newest first."""
    return sorted((site.root / "backups").glob("dhash_local_*.zip"), reverse=True)


def aged(site, archive: Path, days: int) -> Path:
    """The same archive as one that was made some days before: its name, its manifest and its sidecar say so."""
    made = datetime.datetime.strptime(archive.stem[-15:], "%Y%m%d_%H%M%S") - datetime.timedelta(days=days)
    older = archive.with_name(f"dhash_local_{made:%Y%m%d_%H%M%S}.zip")
    shutil.copy(archive, older)
    checksums.write(str(older), fs.sha256_file(str(older)))
    return older


def flip(path: Path, offset: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def middle_of_a_member(path: Path) -> int:
    """An offset inside of the content of the largest member."""
    with zipfile.ZipFile(path) as archive:
        info = max(archive.infolist()[1:], key=lambda member: member.compress_size)
        return info.header_offset + 30 + len(info.filename) + info.compress_size // 2


def forget_incidents(site):
    for path in (site.root / "incidents").iterdir():
        path.unlink()


def test_verify_tells_when_there_is_none(bare, says):
    result = bare.play("verify_backups")
    assert (result.status, result.outcome) == (2, "not_verified")
    assert says(result, "NOT_VERIFIED: no archive is verified, there is none at all. Make one: mobius.ops.backup.")


def test_backup_says_what_became_of_the_old_ones(running, says):
    result = running.play("backup")
    assert (result.status, result.outcome) == (0, "backed_up")
    assert says(result, "; 0 archives removed (0 B), ") and len(backups(running)) == 3


@pytest.mark.parametrize("level", ["checksum", "deep"])
def test_verify(running, says, level):
    forget_incidents(running)  # one that an earlier test has left open would be resolved
    tree = running.tree()
    result = running.play("verify_backups", mobius_verify_level=level, mobius_backup_max_age="1")
    assert (result.status, result.outcome, result.changed()) == (0, "verified", 0)
    newest = backups(running)[0]
    assert result.stats["mobius_backup"] == str(newest) and 0 <= float(result.stats["mobius_backup_age"]) < 3600
    assert says(result, f"VERIFIED: 2 verified; the newest verified archive is {newest}")
    for archive in backups(running):
        [line] = [line for line in result.output.splitlines() if line.strip().startswith(archive.name)]
        words = line.split()
        assert "verified" in words and ("ordinary" in words or "deploy: before the deploy of v1-" in line)
    assert "v1-" in line or "  -  " in line  # the first backup was made when nothing served yet
    assert running.tree() == tree


def test_a_sidecar_that_is_missing_is_shown_and_no_failure(running):
    sidecar = Path(f"{backups(running)[1]}.sha256")
    content = sidecar.read_bytes()
    sidecar.unlink()
    result = running.play("verify_backups")
    sidecar.write_bytes(content)
    assert (result.status, result.outcome) == (0, "verified")
    assert "unverified  no sidecar" in result.output


def test_one_flipped_byte_fails_and_is_named(running, says):
    forget_incidents(running)
    archive = backups(running)[1]
    offset = middle_of_a_member(archive)
    flip(archive, offset)
    result = running.play("verify_backups")
    assert (result.status, result.outcome) == (2, "not_verified")
    assert says(result, f"NOT_VERIFIED: 1 of 2 archives corrupt, the newest of them: archive {archive}: expected SHA-256")
    assert result.stats["mobius_backup"] == str(backups(running)[0])
    (incident,) = running.incidents()
    assert (incident["id"], incident["cause"], incident["status"]) == (result.stats["mobius_incident"], "verify backups", "open")
    checksums.write(str(archive), fs.sha256_file(str(archive)))
    assert running.play("verify_backups").outcome == "verified"  # whoever writes a new sidecar fools a checksum
    result = running.play("verify_backups", mobius_verify_level="deep")
    assert (result.status, result.outcome) == (2, "not_verified")
    flip(archive, offset)
    checksums.write(str(archive), fs.sha256_file(str(archive)))
    assert running.play("verify_backups").outcome == "verified"
    (incident,) = running.incidents()  # one cause is one incident
    assert [event["what"] for event in incident["events"]] == ["opened", "gathered", "resolved", "reopened", "again", "resolved"]


def test_a_backup_that_fails_opens_an_incident_and_the_next_one_that_is_made_resolves_it(running, says):
    forget_incidents(running)
    result = running.play("backup", mobius_backup_dir="/dev/null/backups")
    assert (result.status, result.outcome) == (2, "failed"), result.output
    (incident,) = running.incidents()
    assert (incident["cause"], incident["severity"], incident["status"]) == ("backup", 3, "open")
    assert says(result, f"Incident {incident['id']}."), result.output
    assert running.play("backup").outcome == "backed_up"
    (incident,) = running.incidents()
    assert (incident["cause"], incident["status"]) == ("backup", "resolved") and incident["events"][-1]["itself"]


def test_the_newest_one_may_be_too_old(running, says):
    young = backups(running)
    old = aged(running, young[0], 3)
    for archive in young:
        for path in (archive, Path(f"{archive}.sha256")):
            path.unlink()
    assert running.play("verify_backups").outcome == "verified"
    result = running.play("verify_backups", mobius_backup_max_age="71.5")
    assert (result.status, result.outcome) == (2, "not_verified")
    assert says(result, f"the newest verified archive is {old}, 3 d old, and 71.5 h are allowed. Make one: mobius.ops.backup.")


def test_check_mode_shows_what_would_be_given_up_and_what_the_live_release_names_outlives_the_rules(running, says):
    for days in (10, 11, 40):
        aged(running, backups(running)[0], days)
    tree, count = running.tree(), len(backups(running))
    result = running.play(
        "backup",
        "--check",
        "--diff",
        mobius_backup_keep_last="2",
        mobius_backup_keep_daily="0",
        mobius_backup_keep_weekly=0,
        mobius_backup_keep_monthly=0,
    )
    assert (result.status, result.outcome) == (0, "backed_up")
    assert says(result, f"; {count - 2} archives would be removed (")
    assert "(no rule keeps it)" in result.output
    assert running.tree() == tree

    known = len(running.history())
    named = Path(running.record(running.live())["backup"])
    before = set(backups(running))
    result = running.play(
        "backup", mobius_backup_keep_last="1", mobius_backup_keep_daily="0", mobius_backup_keep_weekly="0", mobius_backup_keep_monthly="2"
    )
    assert (result.status, result.outcome) == (0, "backed_up")
    left, made = set(backups(running)), Path(result.stats["mobius_backup"])
    assert made in left and named in left
    assert len(left) == 3 and before - left  # the new one, the one of the month before, the one that is named
    assert {Path(f"{path}.sha256").exists() for path in left} == {True}
    assert len(list((running.root / "backups").iterdir())) == 2 * len(left)
    [event] = [event for event in running.history()[known:] if event["what"] == "backups_pruned"]
    assert {running.root / "backups" / name for name in event["removed"]} == before - left and event["kept"] == len(left)


def test_retention_can_be_turned_off(running):
    before = set(backups(running))
    result = running.play("backup", mobius_backup_prune="false", mobius_backup_keep_last=1, mobius_backup_keep_monthly=0)
    assert result.outcome == "backed_up" and set(backups(running)) == before | {Path(result.stats["mobius_backup"])}


def test_a_deploy_gives_up_none(served):
    for days in (10, 11):
        aged(served, backups(served)[0], days)
    before = set(backups(served))
    result = served.deploy(
        "v2", mobius_backup_keep_last=1, mobius_backup_keep_daily=0, mobius_backup_keep_weekly=0, mobius_backup_keep_monthly=0
    )
    assert result.outcome == "deployed" and set(backups(served)) == before | {Path(result.stats["mobius_backup"])}


def test_when_old_ones_cannot_go_the_new_one_is_named_and_the_playbook_fails(running, says):
    before = set(backups(running))
    result = running.play(
        "backup", mobius_backup_keep_last=0, mobius_backup_keep_daily=0, mobius_backup_keep_weekly=0, mobius_backup_keep_monthly=0
    )
    assert (result.status, result.outcome) == (2, "not_pruned")
    made = Path(result.stats["mobius_backup"])
    assert set(backups(running)) == before | {made}
    assert says(result, "Old archives stay: retention: expected a number above 0 in one of keep_last, keep_daily")


def test_signatures(running, says, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / "sign"], check=True)
    allowed = keys / "allowed"
    allowed.write_text(f'ops namespaces="mobius-backup" {(keys / "sign.pub").read_text()}')
    asked = {"mobius_backup_allowed_signers": str(allowed), "mobius_backup_signer": "ops"}
    result = running.play("verify_backups", **asked)
    assert (result.status, result.outcome) == (2, "not_verified") and "unverified  no signature" in result.output
    sidecars = [f"{path}.sha256" for path in backups(running)]
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", keys / "sign", "-n", "mobius-backup", *sidecars], check=True, stderr=subprocess.DEVNULL
    )
    result = running.play("backup", mobius_backup_sign_key=str(keys / "sign"), **asked)
    assert result.outcome == "backed_up" and Path(result.stats["mobius_backup"] + ".sha256.sig").stat().st_mode & 0o777 == 0o600
    assert running.play("verify_backups", **asked).outcome == "verified"
    archive = Path(result.stats["mobius_backup"])
    flip(archive, middle_of_a_member(archive))
    checksums.write(str(archive), fs.sha256_file(str(archive)))
    result = running.play("verify_backups", **asked)
    assert (result.status, result.outcome) == (2, "not_verified")
    assert says(result, f"archive {archive}: expected a signature of it by ops, found a wrong one")
    result = running.play("backup", mobius_backup_sign_key=str(allowed), **asked)
    assert (result.status, result.outcome) == (2, "failed") and says(result, f"signing key {allowed}: expected a")


def test_mistyped_settings(running, says):
    result = running.play("verify_backups", mobius_verify_level="none", mobius_backup_keep_last="all")
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, "mobius_verify_level: expected one of checksum, deep")
    assert says(result, "mobius_backup_keep_last: expected a whole number")
    result = running.play("verify_backups", mobius_backup_max_age="-1")
    assert (result.status, result.outcome) == (2, "failed") and says(result, "max_age: expected 0 or more hours")
