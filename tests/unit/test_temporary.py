# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs of tests at the same time do not take each other's files away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support import temporary
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes


def test_another_run_leaves_this_one_its_rights(tmp_path):
    """A user who may enter the folders of this run still may when another run has begun."""
    ours = [folder for folder in tmp_path.parents if folder.name.startswith(("mobius-tests-", "pytest-of-"))]
    assert len(ours) == 2
    for folder in ours:
        os.chmod(folder, os.stat(folder).st_mode | 0o011)
    (tmp_path / "test_other.py").write_text("def test_other(tmp_path):\n    print(f'in {tmp_path}')\n")
    options = ["-q", "-s", "-p", "support.temporary", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "in /" in done.stdout, done.stdout + done.stderr
    assert str(ours[-1]) not in done.stdout.partition("in /")[2]
    assert all(os.stat(folder).st_mode & 0o011 == 0o011 for folder in ours)


INTERRUPTED = """
import subprocess, time

def test_other(tmp_path):
    left = subprocess.Popen(["sleep", "600"], cwd=tmp_path, start_new_session=True)
    with open("left", "w") as stream:
        stream.write(str(left.pid))
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_leaves_no_service(tmp_path, number):
    (tmp_path / "test_other.py").write_text(INTERRUPTED)
    options = ["-q", "-n", "1", "-p", "support.temporary", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: (tmp_path / "left").exists() and (tmp_path / "left").read_text(), "the test runs")
    left = int((tmp_path / "left").read_text())
    assert processes.start_ticks(left)
    os.kill(run.pid, number)
    assert run.wait(HANG) == pytest.ExitCode.INTERRUPTED
    wait_until(lambda: processes.start_ticks(left) is None, "its service has ended")


def test_the_newest_runs_stay_to_be_looked_at(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = [f"mobius-tests-{dead.pid}{number:07}" for number in range(temporary.KEPT + 2)]
    for number, name in enumerate(names):
        (tmp_path / name / "sub").mkdir(parents=True)
        os.utime(tmp_path / name, (number, number))
    others = [f"mobius-tests-{os.getpid()}", "mobius-tests-mine"]
    for name in others:
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (0, 0))
    temporary.sweep(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted(others + names[2:])
