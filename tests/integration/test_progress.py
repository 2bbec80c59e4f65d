"""A big backup shows live how far it is, through ansible-playbook and as a job; it outlives its controller, and a killed one is told."""
from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import time

import ansible_runner
import pytest
from support.playbooks import ROOT
from support.trial import Run

pytestmark = pytest.mark.slow
#: MB that shrink a little and take the hardest compression some 15 s, and MB of media that is stored.
TEXT, FILM = 350, 50
LINE = re.compile(r"\[\S+\] backup: writing \d+ of (4\d\d) MB \((\d+) %\), \d of [23] files, [\d.]+ MB/s(, (\d+ min )?\d+ s left)?")


@pytest.fixture(scope="module")
def big(site, tmp_path_factory):
    """A site that has much to back up, and a home of its own for what jobs leave; every backup reads and packs all of it."""
    assert site.play("setup").outcome == "set_up"
    uploads = site.root / "shared" / "uploads"
    with open(uploads / "text.bin", "wb") as text, open(uploads / "film.mp4", "wb") as film:
        for _time in range(TEXT):
            text.write(base64.b64encode(os.urandom(750_000)))
        for _time in range(FILM):
            film.write(os.urandom(1_000_000))
    site.jobs = tmp_path_factory.mktemp("jobs")
    site.operator.settings.update(mobius_backup_level=9, mobius_backup_full_every=0, mobius_backup_prune=False,
                                  ansible_async_dir=str(site.jobs))
    return site


@pytest.fixture
def running(big):
    """``running(playbook)``: a playbook whose lines are there as they come; ended after the test, with the work that it began."""
    runs = []

    def start(playbook, **extra):
        runs.append(Run(big.operator.command(playbook, **extra), big.operator.environment(), ROOT))
        return runs[-1]

    yield start
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
    for path in big.jobs.glob("*.json"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
    for path in big.jobs.iterdir():
        path.unlink()


def shares(lines):
    """Percentages of the lines that tell of writing."""
    return [int(LINE.fullmatch(line).group(2)) for line in lines if LINE.fullmatch(line)]


def worker(site, eventually):
    """The process that makes the backup."""
    path = eventually(lambda: list(site.jobs.glob("mobius.ops-*.json")))[0]
    return json.loads(path.read_text())["pid"]


def gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def test_lines_come_while_it_works(big, running):
    run = running("backup").end(180)
    assert run.process.returncode == 0, run.output
    told = [line for line in run.lines if LINE.fullmatch(line.text)]
    assert told, run.output
    parts = shares(line.text for line in told)
    assert parts == sorted(set(parts)) and parts[0] < 90
    gaps = [after.at - before.at for before, after in zip(told, told[1:])]
    assert all(3 < gap < 20 for gap in gaps), gaps
    assert run.lines[-1].at - told[0].at > 1, "the first line came at the end only"
    assert any(re.search(r"\] backup: writing done: 4\d\d MB, [23] files in \d+ s, \d+ MB/s$", line.text) for line in run.lines), run.output
    assert list(big.jobs.iterdir()) == []


def test_nothing_is_told_when_none_is_asked_for(big, running):
    run = running("backup", mobius_progress="none", mobius_backup_level=1).end(180)
    assert run.process.returncode == 0 and not run.progress(), run.output


def test_as_a_job_of_awx(big, tmp_path):
    survey = {name: value if isinstance(value, str) else str(value).lower() for name, value in big.operator.settings.items()}
    (tmp_path / "survey.json").write_text(json.dumps(survey))
    came = []
    run = ansible_runner.run(
        private_data_dir=str(tmp_path), project_dir=str(ROOT), inventory=str(ROOT / "inventories" / "local"), playbook="mobius.ops.backup",
        cmdline=f"--extra-vars @{tmp_path}/survey.json", envvars=big.operator.environment(), quiet=True,
        event_handler=lambda event: came.extend((time.monotonic(), line) for line in event["stdout"].splitlines()))
    assert run.rc == 0, run.stdout.read()
    plain = [(at, re.sub(r"\x1b\[[\d;]*m", "", line)) for at, line in came]
    told = [at for at, line in plain if LINE.fullmatch(line)]
    assert told and plain[-1][0] - told[0] > 1, plain  # while it worked, and not all at its end


def test_the_controller_is_killed_and_the_backup_is_made(big, running, eventually):
    before = set((big.root / "backups").glob("*.zip"))
    run = running("backup")
    pid = worker(big, eventually)
    eventually(lambda: shares(line.text for line in run.lines))
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert not gone(pid) and set((big.root / "backups").glob("*.zip")) == before
    for _time in range(3):
        with contextlib.suppress(AssertionError):
            eventually(lambda: gone(pid))
    made = set((big.root / "backups").glob("*.zip")) - before
    assert len(made) == 1 and gone(pid)
    assert big.play("verify_backups").outcome == "verified"


def test_killed_work_is_told_and_swept(big, running, eventually, says):
    before = set(os.listdir(big.root / "backups"))
    run = running("backup")
    pid = worker(big, eventually)
    eventually(lambda: shares(line.text for line in run.lines))
    os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    run.end(30)
    assert time.monotonic() - begin < 10 and run.process.returncode == 2
    text = " ".join(run.output.split())
    assert "the work in the background, write: expected that it leaves a result, found that its process is gone." in text, text
    left = set(os.listdir(big.root / "backups")) - before
    assert left and all(name.startswith(".") for name in left)
    assert big.play("backup", mobius_backup_level=1).outcome == "backed_up"
    assert not [name for name in os.listdir(big.root / "backups") if name.startswith(".")]
    assert list(big.jobs.iterdir()) == []
