# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A job's files: room for the result on a full disk, what is swept, and what is told when a record is missing.

How modules work in the background is tested by playbooks, in tests/unit/plugins/action/test_background.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._ansible import background
from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import progress

NAME = "mobius.ops-0123456789abcdef.json"


@pytest.fixture
def job(tmp_path):
    return background.Job(str(tmp_path / "jobs" / NAME))


FILL = '''
def fill(folder):
    """Write until there is no room."""
    with open(os.path.join(folder, "full"), "wb", 0) as stream:
        try:
            while True:
                stream.write(bytes(512))
        except OSError:
            pass
'''


def program(text: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a program that has the utils; its last line of output is JSON."""
    begin = (
        f"import json, os, sys\nsys.path[:] = {sys.path!r}\n"
        "from ansible_collections.mobius.ops.plugins.module_utils._ansible import background\n" + FILL
    )
    return subprocess.run([sys.executable, "-c", begin + textwrap.dedent(text), *arguments], capture_output=True, text=True, check=False)


WORK = """
    job = background.Job(sys.argv[1])
    begun = job.begin()
    if not begun:
        {work}
        sys.exit(3)
    ended = job.wait(*begun, 600)
    assert (ended.status, ended.errors) == ({status}, b""), ended
    print(json.dumps(ended.output.decode()))
    job.remove()
"""


def test_output_and_status_of_the_child(job):
    done = program(WORK.format(work="print('the result')", status=3), job.path)
    assert json.loads(done.stdout) == "the result\n", done.stderr
    assert os.listdir(os.path.dirname(job.path)) == []


def test_the_signal_that_ended_it(job):
    done = program(WORK.format(work="os.kill(os.getpid(), 9)", status=-9), job.path)
    assert json.loads(done.stdout) == "", done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small disk")
def test_a_result_finds_room_when_the_disk_is_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        done = program(WORK.format(work="fill(os.path.dirname(sys.argv[1])); print('the result' * 1000)", status=3), str(disk / NAME))
        assert json.loads(done.stdout) == "the result" * 1000 + "\n", done.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_room_is_set_aside_for_the_result(job):
    assert os.path.getsize(_made(job).output) == background.RESERVED


def _made(job: background.Job) -> background.Job:
    assert program("background.Job(sys.argv[1]).begin() or os._exit(0)", job.path).returncode == 0
    return job


def test_nothing_is_begun_where_no_room_can_be_set_aside(job):
    done = program(
        """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            background.Job(sys.argv[1]).begin()
        except OSError as error:
            print(json.dumps(error.errno))
    """,
        job.path,
    )
    assert json.loads(done.stdout), done.stderr


def test_work_that_was_begun_is_not_begun_again(job):
    _made(job)
    assert job.exists()
    with pytest.raises(FileExistsError):
        job.begin()


def test_looking_at_work_that_nobody_knows(job):
    with pytest.raises(StateError) as caught:
        job.look(0)
    assert str(caught.value) == (
        f"the work in the background: expected its record {job.path}, found none. Look what came of it: "
        "mobius.ops.backup_info and the history on the target tell."
    )


def test_looking_until_the_end_and_no_longer(job):
    os.makedirs(os.path.dirname(job.path))
    with subprocess.Popen(["sleep", "infinity"]) as process:
        record = {"pid": process.pid, "ticks": processes.start_ticks(process.pid), "phases": [{"number": 0}]}
        with open(job.path, "w", encoding="utf-8") as stream:
            json.dump(record, stream)
        assert job.look(0.2) is None
        process.send_signal(signal.SIGKILL)
        assert job.look(10 * HANG) == background.Ended(b"", b"", None)


def test_a_process_of_the_same_id_is_not_the_work(job):
    os.makedirs(os.path.dirname(job.path))
    with open(job.path, "w", encoding="utf-8") as stream:
        json.dump({"pid": os.getpid(), "ticks": 1, "phases": [{"number": 0}]}, stream)
    assert job.look(10 * HANG) == background.Ended(b"", b"", None)


def test_what_is_left_of_ended_work_is_swept_in_a_week(tmp_path):
    old = time.time() - background.FORGOTTEN - 1
    dead, alive, new = (f"mobius.ops-{letter * 16}.json" for letter in "abc")
    for name in (dead, dead + ".out", dead + ".err", alive + ".out", new + ".out", "j123.456", "mobius.ops-notes.json", alive):
        (tmp_path / name).write_text(json.dumps({"pid": 2**22 + 1, "ticks": 1, "phases": []}))
    progress.Recorder(str(tmp_path / alive))
    for path in tmp_path.iterdir():
        if not path.name.startswith(new):
            os.utime(path, (old, old))
    background.sweep(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {alive, alive + ".out", new + ".out", "j123.456", "mobius.ops-notes.json"}
