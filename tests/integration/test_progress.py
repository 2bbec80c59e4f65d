"""A big backup shows live how far it is, through ansible-playbook and as a job; it outlives its controller, and a killed one is told."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal

import ansible_runner
import pytest
from support.playbooks import ROOT
from support.trial import Run
from support.waiting import HANG, when

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("progress")]
#: MB that shrink a little and take the hardest compression some seconds, and MB of media that is stored.
TEXT, FILM = 100, 20
LINE = re.compile(r"\[\S+\] backup: writing \d+ of 12\d MB \((\d+) %\), \d of [23] files(, [\d.]+ \w+/s)?(, [\w ]+ left)?")


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
    site.operator.settings.update(
        mobius_backup_level=9, mobius_backup_full_every=0, mobius_backup_prune=False, ansible_async_dir=str(site.jobs)
    )
    return site


@pytest.fixture
def running(big):
    """``running(playbook)``: a playbook whose lines are there as they come; ended after the test, with the work that it began."""
    runs = []
    for path in [*big.jobs.iterdir(), *(big.root / "backups").glob(".*")]:
        path.unlink()

    def start(playbook, **extra):
        runs.append(Run(big.operator.command(playbook, **extra), big.operator.environment(), ROOT))
        return runs[-1]

    yield start
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
    for path in big.jobs.glob("*.json"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.killpg(json.loads(path.read_text())["pid"], signal.SIGKILL)


def shares(lines):
    """Percentages of the lines that tell of writing."""
    return [int(LINE.fullmatch(line).group(1)) for line in lines if LINE.fullmatch(line)]


def writing(site):
    """The process that makes the backup, when it is in the midst of writing."""
    for path in site.jobs.glob("mobius.ops-*.json"):
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(path.read_text())
            phase = record["phases"][-1]
            if phase["name"] == "write" and 0 < phase["bytes"] < 0.8 * phase["total_bytes"]:
                return record["pid"]
    return None


def halted(site, eventually):
    """The process that makes the backup, stopped while it writes: so it goes on for as long as a test wants, on any machine."""
    pid = eventually(lambda: writing(site), "the backup writes")
    os.killpg(pid, signal.SIGSTOP)
    return pid


def archives(site):
    """The archives that are there."""
    return set((site.root / "backups").glob("*.zip"))


def gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def test_lines_come_while_it_works(big, running, eventually):
    before, run = archives(big), running("backup")
    pid = halted(big, eventually)
    eventually(lambda: shares(line.text for line in run.lines), "a line while it works")
    assert run.process.poll() is None and archives(big) == before, "the first line came at the end only"
    os.killpg(pid, signal.SIGCONT)
    run.end(HANG)
    assert run.process.returncode == 0, run.output
    parts = shares(line.text for line in run.lines)
    assert parts == sorted(parts) and parts[0] < 90, run.output
    done = r"\] backup: writing done: 12\d MB, [23] files in (\d+ min )?\d+ s, [\d.]+ \w+/s$"
    assert any(re.search(done, line.text) for line in run.lines), run.output
    assert len(archives(big) - before) == 1 and list(big.jobs.iterdir()) == []


def test_nothing_is_told_when_none_is_asked_for(big, running, eventually):
    run = running("backup", mobius_progress="none", mobius_backup_level=1).end(HANG)
    assert run.process.returncode == 0 and not run.progress(), run.output


def test_as_a_job_of_awx(big, running, tmp_path):
    settings = big.operator.settings
    survey = {name: value if isinstance(value, (str, dict)) else str(value).lower() for name, value in settings.items()}
    (tmp_path / "survey.json").write_text(json.dumps(survey))
    told, stopped = [], []

    def halt():
        pid = writing(big)
        if pid:
            stopped.append(pid)
            os.killpg(pid, signal.SIGSTOP)
        return pid

    def hear(event):
        """Let it go on at the first line that tells how far it is."""
        lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in event["stdout"].splitlines()]
        if shares(lines) and not told:
            told.append((not gone(stopped[0]), archives(big)))
            os.killpg(stopped[0], signal.SIGCONT)
        return True

    before = archives(big)
    with when(halt, lambda: None):
        run = ansible_runner.run(
            private_data_dir=str(tmp_path),
            project_dir=str(ROOT),
            inventory=str(ROOT / "inventories" / "local"),
            playbook="mobius.ops.backup",
            cmdline=f"--extra-vars @{tmp_path}/survey.json",
            envvars=big.operator.environment(),
            quiet=True,
            event_handler=hear,
        )
    assert run.rc == 0, run.stdout.read()
    assert told == [(True, before)] and len(archives(big) - before) == 1, "lines came while it worked, and not all at its end"


def test_the_controller_is_killed_and_the_backup_is_made(big, running, eventually):
    before, run = archives(big), running("backup")
    pid = halted(big, eventually)
    eventually(lambda: shares(line.text for line in run.lines), "a line while it works")
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert not gone(pid) and archives(big) == before
    os.killpg(pid, signal.SIGCONT)
    eventually(lambda: gone(pid))
    assert len(archives(big) - before) == 1
    assert big.play("verify_backups").outcome == "verified"


def test_killed_work_is_told_and_swept(big, running, eventually):
    before = set(os.listdir(big.root / "backups"))
    run = running("backup")
    pid = halted(big, eventually)
    eventually(lambda: shares(line.text for line in run.lines), "a line while it works")
    os.killpg(pid, signal.SIGKILL)
    run.end(HANG)
    assert run.process.returncode == 2, run.output
    text = " ".join(run.output.split())
    assert "the work in the background, write: expected that it leaves a result, found that its process is gone." in text, text
    left = set(os.listdir(big.root / "backups")) - before
    assert left and all(name.startswith(".") for name in left)
    assert big.play("backup", mobius_backup_level=1).outcome == "backed_up"
    assert not [name for name in os.listdir(big.root / "backups") if name.startswith(".")]
    assert list(big.jobs.iterdir()) == []
