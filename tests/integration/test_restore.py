"""Data goes back by the playbook restore, with the real application: well, ill, killed in the midst."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
from support.application import png
from support.waiting import PATIENCE

FIRST, SECOND = png(grey=11), png(grey=99)
#: A setting with which the application calls itself ill.
FAULT = 'MOBIUS_FAULT={"kind": "health"}\n'


@pytest.fixture
def env_file(served):
    """The application's settings."""
    return served.root / "shared" / "config" / ".env"


def uploads(site):
    """Names and contents of what users see."""
    client = site.client()
    return {item["name"]: client.get(item["path"]).content for item in client.get("/api/uploads").json()["uploads"]}


@pytest.fixture
def archive(served):
    """A backup; the upload first.png is in it."""
    served.client().upload("first.png", FIRST)
    return served.play("backup").stats["mobius_backup"]


@pytest.fixture
def late(served, archive):
    """Where an upload is found that came after the backup."""
    return served.client().upload("second.png", SECOND)["path"]


def lost(site, path):
    """Whether a file is not served any more."""
    return site.client().file(path) is None


def debris(site):
    """What a restore that is over leaves nowhere."""
    return [
        path.name for folder in ("shared", "state") for path in (site.root / folder).iterdir() if path.name.startswith((".", "restore."))
    ]


def test_uploads_and_database_are_back_and_the_service_is_well(served, archive, late, says):
    before = uploads(served)
    assert {"first.png", "second.png"} <= set(before)
    planned = served.play("restore", "--check", "--diff", mobius_backup=archive)
    assert (planned.status, planned.outcome) == (0, "planned") and uploads(served) == before
    assert says(planned, f"would restore config, database, uploads, generated, logs from {archive}; nothing was changed.")
    result = served.play("restore", mobius_backup=archive, mobius_components="database,uploads")
    assert (result.status, result.outcome) == (0, "restored"), result.output
    assert says(result, "Restores database,uploads as of 2") and says(result, "what was written since then is lost from the service.")
    assert result.output.index("is lost from the") < result.output.index("Put the data back")
    after = uploads(served)
    assert after["first.png"] == FIRST and "second.png" not in after and lost(served, late)
    assert served.client().health()["status"] == "ok" and float(result.stats["mobius_downtime"]) > 0
    assert result.stats["mobius_restored"] == ["database", "uploads"] and debris(served) == []
    again = served.play("restore", mobius_backup=result.stats["mobius_safety_backup"])
    assert (again.outcome, uploads(served)) == ("restored", before)
    newest = served.play("restore", "--check", mobius_backup="newest")  # not what a restore replaced
    assert (newest.outcome, newest.stats["mobius_backup"]) == ("planned", archive)
    status = served.play("status")
    assert status.outcome == "well" and says(status, "_safety.zip verified") and says(status, "deploy: before the deploy of")
    assert says(status, f"the restore of {os.path.basename(archive)}")  # before it, or what it replaced


def test_data_that_the_application_is_not_well_on_is_not_kept(served, env_file, says):
    good = env_file.read_text()
    env_file.write_text(good + FAULT)
    bad = served.play("backup").stats["mobius_backup"]
    env_file.write_text(good)
    image = served.client().upload("kept.png", FIRST)
    result = served.play("restore", mobius_backup=bad, mobius_ready_timeout=int(20 * PATIENCE))
    assert (result.status, result.outcome) == (2, "swapped_back"), result.output
    assert says(result, "health: status 503") and says(result, "What was there before serves again.")
    assert served.client().health()["status"] == "ok" and served.client().file(image["path"]) == FIRST
    assert env_file.read_text() == good and os.path.exists(result.stats["mobius_safety_backup"]) and debris(served) == []
    assert served.history()[-1]["what"] == "restore_failed"

    env_file.write_text(good + FAULT)  # what is there now would be ill as well, once it is started anew
    result = served.play("restore", mobius_backup=bad, mobius_ready_timeout=3)
    assert (result.status, result.outcome) == (2, "not_serving"), result.output
    (incident,) = [json.loads(path.read_text()) for path in (served.root / "incidents").glob("INC-*.json")]
    assert (incident["cause"], incident["severity"], incident["status"]) == ("restore", 1, "open")
    assert "status 503" in incident["summary"] and os.path.exists(incident["evidence"]["backup"])


def is_ill(site):
    """Whether the application answers, and says that it is not well."""
    try:
        return site.client().health()["status"] == "failing"
    except OSError:
        return False


def killed(site, phase, eventually, until=lambda _site: True, **extra):
    """A restore whose module is killed on the host in a phase; the controller sees it fail."""
    run = site.operator.start("restore", **extra)
    eventually(lambda: (site.root / "state" / f"restore.{phase}.json").exists() and until(site))
    inode = (site.root / "shared").stat().st_ino
    with open("/proc/locks") as stream:
        holders = [int(fields[4]) for fields in map(str.split, stream) if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")]
    assert len(holders) == 1
    os.kill(holders[0], signal.SIGKILL)
    output = run.communicate()[0]
    assert run.returncode != 0, output
    site.outputs.append(output)


def test_killed_while_it_waits_for_the_service_the_next_run_puts_back_what_was_there(served, env_file, eventually, says):
    good = env_file.read_text()
    env_file.write_text(good + FAULT)
    bad = served.play("backup").stats["mobius_backup"]
    env_file.write_text(good)
    before = uploads(served)
    killed(served, "trial", eventually, is_ill, mobius_backup=bad)
    assert FAULT in env_file.read_text()
    result = served.play("restore", mobius_ready_timeout=int(20 * PATIENCE))  # for so long the restored data may become well after all
    assert (result.status, result.outcome) == (0, "recovered"), result.output
    assert says(result, "a restore that was interrupted is undone. What is kept: ")
    assert env_file.read_text() == good and uploads(served) == before and served.client().health()["status"] == "ok"
    for path in (served.root / "shared").glob(".kept-*"):
        shutil.rmtree(path)
    assert debris(served) == []


def test_killed_early_the_next_restore_is_as_if_nothing_had_been(served, eventually):
    """It is killed while it unpacks, for which a large file leaves time enough."""
    with open(served.root / "shared" / "uploads" / "large.bin", "wb") as stream:
        stream.truncate(150_000_000)
    archive = served.play("backup").stats["mobius_backup"]
    late = served.client().upload("second.png", SECOND)["path"]
    killed(served, "staging", eventually, mobius_backup=archive)
    assert served.client().health()["status"] == "ok"
    result = served.play("restore", mobius_backup=archive)
    assert (result.status, result.outcome) == (0, "restored") and lost(served, late) and debris(served) == []


def test_the_newest_one_and_what_is_refused(served, archive, says, tmp_path):
    result = served.play("restore", mobius_backup="newest", mobius_components="uploads")
    assert (result.outcome, result.stats["mobius_backup"]) == ("restored", archive)
    other = served.play("restore", mobius_backup="newest", mobius_backup_dir=str(served.folder))
    assert other.status == 2 and says(other, f"expected a backup of env local in {served.folder}, found none")

    alone = tmp_path / os.path.basename(archive)
    shutil.copy(archive, alone)
    (served.root / "state" / "env.json").unlink()  # from here on it passes for a root of another environment, too
    before = served.tree()
    for sentence, extra in {
        "expected a backup of env staging, found one of env local. To do this on purpose, set allow_env (mobius_restore_allow_env) to "
        "'local onto staging'.": {"mobius_backup": archive, "mobius_env": "staging"},
        "mobius_backup: expected the path of a backup, or 'newest', found nothing": {},
        f"archive {served.root}/none.zip: expected a file, found nothing": {"mobius_backup": f"{served.root}/none.zip"},
        f"expected its checksum in {alone.name}.sha256, found no such file": {"mobius_backup": str(alone)},
        "components: expected some of all, config": {"mobius_backup": archive, "mobius_components": "databse"},
    }.items():
        result = served.play("restore", **extra)
        assert (result.status, result.outcome) == (2, "failed") and says(result, sentence), result.output
    assert served.tree() == before
    done = served.play(
        "restore",
        mobius_backup=str(alone),
        mobius_restore_allow_unverified="true",
        mobius_env="staging",
        mobius_restore_allow_env="local onto staging",
    )
    assert done.outcome == "restored" and "dhash_staging_" in done.stats["mobius_safety_backup"]


def test_a_service_that_was_stopped_stays_stopped(served, archive, late, says):
    assert served.play("stop").outcome == "stopped"
    result = served.play("restore", mobius_backup=archive)
    assert (result.status, result.outcome) == (0, "restored")
    assert says(result, "the service was stopped before and stays so: start it with mobius.ops.restart")
    assert served.service()["state"] == "stopped"
    assert served.play("restart").outcome == "restarted"
    assert lost(served, late)
    for number, output in enumerate(served.outputs):
        assert served.secret() not in output, f"output {number}"
