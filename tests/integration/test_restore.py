"""Data goes back by the playbook restore, with the real application: well, ill, killed in the midst."""
from __future__ import annotations

import os
import shutil
import signal

import pytest
from support.application import png

FIRST, SECOND = png(grey=11), png(grey=99)
#: A setting with which the application calls itself ill.
FAULT = 'MOBIUS_FAULT={"kind": "health"}\n'


@pytest.fixture(scope="module")
def ready(site):
    """A site with v1 live."""
    return site.deployed("v1")


@pytest.fixture
def env_file(ready):
    """The application's settings, as they were after the test."""
    path = ready.root / "shared" / "config" / ".env"
    before = path.read_text()
    yield path
    path.write_text(before)


def uploads(site):
    """Names and contents of what users see."""
    client = site.client()
    return {item["name"]: client.get(item["url"]).content for item in client.get("/api/uploads").json()["uploads"]}


@pytest.fixture
def archive(ready):
    """A backup; the upload first.png is in it."""
    ready.client().upload("first.png", FIRST)
    return ready.play("backup").stats["mobius_backup"]


@pytest.fixture
def late(ready, archive):
    """Where an upload is found that came after the backup."""
    return ready.client().upload("second.png", SECOND)["url"]


def answer(site, path):
    """The HTTP status of a path."""
    return site.client().get(path).status_code


def debris(site):
    """What a restore that is over leaves nowhere."""
    return [path.name for folder in ("shared", "state") for path in (site.root / folder).iterdir()
            if path.name.startswith((".", "restore."))]


def test_uploads_and_database_are_back_and_the_service_is_well(ready, archive, late, says):
    before = uploads(ready)
    assert {"first.png", "second.png"} <= set(before)
    planned = ready.play("restore", "--check", "--diff", mobius_backup=archive)
    assert (planned.status, planned.outcome) == (0, "planned") and uploads(ready) == before
    assert says(planned, f"would restore config, database, uploads, generated, logs from {archive}; nothing was changed.")
    result = ready.play("restore", mobius_backup=archive, mobius_components="database,uploads")
    assert (result.status, result.outcome) == (0, "restored"), result.output
    assert says(result, "Restores database,uploads as of 2") and says(result, "what was written since then is lost from the service.")
    assert result.output.index("is lost from the") < result.output.index("Put the data back")
    after = uploads(ready)
    assert after["first.png"] == FIRST and "second.png" not in after and answer(ready, late) == 404
    assert ready.client().health()["status"] == "ok" and 0 < float(result.stats["mobius_downtime"]) < 10
    assert result.stats["mobius_restored"] == ["database", "uploads"] and debris(ready) == []
    again = ready.play("restore", mobius_backup=result.stats["mobius_safety_backup"])
    assert (again.outcome, uploads(ready)) == ("restored", before)
    assert ready.play("status").outcome == "well"


def test_newest(ready, archive, says):
    result = ready.play("restore", mobius_backup="newest", mobius_components="uploads")
    assert (result.outcome, result.stats["mobius_backup"]) == ("restored", archive)
    other = ready.play("restore", mobius_backup="newest", mobius_backup_dir=str(ready.folder))
    assert other.status == 2 and says(other, f"expected a backup of env local in {ready.folder}, found none")


def test_data_that_the_application_is_not_well_on_is_not_kept(ready, env_file, says):
    good = env_file.read_text()
    env_file.write_text(good + FAULT)
    bad = ready.play("backup").stats["mobius_backup"]
    env_file.write_text(good)
    image = ready.client().upload("kept.png", FIRST)
    result = ready.play("restore", mobius_backup=bad, mobius_ready_timeout="10")
    assert (result.status, result.outcome) == (2, "swapped_back"), result.output
    assert says(result, "health: status 503") and says(result, "What was there before serves again.")
    assert ready.client().health()["status"] == "ok" and ready.client().get(image["url"]).content == FIRST
    assert env_file.read_text() == good and os.path.exists(result.stats["mobius_safety_backup"]) and debris(ready) == []
    assert ready.history()[-1]["what"] == "restore_failed"


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
        holders = [int(fields[4]) for fields in map(str.split, stream)
                   if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}")]
    assert len(holders) == 1
    os.kill(holders[0], signal.SIGKILL)
    output = run.communicate()[0]
    assert run.returncode != 0, output
    site.outputs.append(output)


def test_killed_while_it_waits_for_the_service_the_next_run_puts_back_what_was_there(ready, env_file, eventually, says):
    good = env_file.read_text()
    env_file.write_text(good + FAULT)
    bad = ready.play("backup").stats["mobius_backup"]
    env_file.write_text(good)
    before = uploads(ready)
    killed(ready, "trial", eventually, is_ill, mobius_backup=bad, mobius_ready_timeout=60)
    assert FAULT in env_file.read_text()
    result = ready.play("restore", mobius_ready_timeout=10)
    assert (result.status, result.outcome) == (0, "recovered"), result.output
    assert says(result, "a restore that was interrupted is undone. What is kept: ")
    assert env_file.read_text() == good and uploads(ready) == before and ready.client().health()["status"] == "ok"
    for path in (ready.root / "shared").glob(".kept-*"):
        shutil.rmtree(path)
    assert debris(ready) == []


def test_killed_early_the_next_restore_is_as_if_nothing_had_been(ready, archive, late, eventually):
    killed(ready, "staging", eventually, mobius_backup=archive)
    assert ready.client().health()["status"] == "ok"
    result = ready.play("restore", mobius_backup=archive)
    assert (result.status, result.outcome) == (0, "restored") and answer(ready, late) == 404 and debris(ready) == []


def test_refusals_change_nothing(ready, archive, says, tmp_path):
    alone = tmp_path / os.path.basename(archive)
    shutil.copy(archive, alone)
    before = ready.tree()
    for sentence, extra in {
            "expected a backup of env staging, found one of env local. To do this on purpose, set allow_env (mobius_restore_allow_env) to "
            "'local onto staging'.": {"mobius_backup": archive, "mobius_env": "staging"},
            "mobius_backup: expected the path of a backup, or 'newest', found nothing": {},
            f"archive {ready.root}/none.zip: expected a file, found nothing": {"mobius_backup": f"{ready.root}/none.zip"},
            f"expected its checksum in {alone.name}.sha256, found no such file": {"mobius_backup": str(alone)},
            "components: expected some of all, config": {"mobius_backup": archive, "mobius_components": "databse"}}.items():
        result = ready.play("restore", **extra)
        assert (result.status, result.outcome) == (2, "failed") and says(result, sentence), result.output
    assert ready.tree() == before
    done = ready.play("restore", mobius_backup=str(alone), mobius_restore_allow_unverified="true", mobius_env="staging",
                      mobius_restore_allow_env="local onto staging")
    assert done.outcome == "restored" and "dhash_staging_" in done.stats["mobius_safety_backup"]


def test_a_service_that_was_stopped_stays_stopped(ready, archive, late, says):
    assert ready.play("stop").outcome == "stopped"
    result = ready.play("restore", mobius_backup=archive)
    assert (result.status, result.outcome) == (0, "restored")
    assert says(result, "the service was stopped before and stays so: start it with mobius.ops.restart")
    assert ready.service()["state"] == "stopped"
    assert ready.play("restart").outcome == "restarted"
    assert answer(ready, late) == 404


def test_no_secret_appears_anywhere(ready):
    for number, output in enumerate(ready.outputs):
        assert ready.secret() not in output, f"output {number}"
