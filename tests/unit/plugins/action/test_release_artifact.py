# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Long builds are shown while they run, by real playbooks, and end with their playbook."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time

import pytest
from support.trial import Run
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.action import release_artifact
from ansible_collections.mobius.ops.plugins.action.release_artifact import QUIET, Live
from ansible_collections.mobius.ops.plugins.module_utils._core import interrupt

ROOT = pathlib.Path(__file__).resolve().parents[4]
SECRET = "sekret-of-the-build"


@pytest.fixture
def live(tmp_path):
    """``live(*entries)`` after *seconds* more: what is shown then."""
    now, shown, record = [0.0], [], tmp_path / "record"
    record.touch()
    watched = Live(str(record), shown.append, lambda: now[0])

    def look(seconds, *entries):
        now[0] += seconds
        with open(record, "a") as stream:
            stream.write("".join(json.dumps(entry) + "\n" for entry in entries))
        watched.look()
        found, shown[:] = list(shown), []
        return found

    look.record = record
    return look


def test_a_short_build_is_not_shown(live):
    assert live(QUIET - 1, {"phase": "fetching the source"}, {"line": "hello"}) == []


def test_a_long_build_is_shown_from_its_beginning_then_line_by_line(live):
    assert live(1, {"phase": "fetching the source"}, {"line": "hello"}) == []
    assert live(QUIET) == ["fetching the source …", "| hello"]
    assert live(0.2, {"line": "more"}) == ["| more"] and live(0.2) == []


def test_a_silent_phase_tells_now_and_then_that_it_goes_on(live):
    live(1, {"phase": "running npm run build"})
    assert live(QUIET) == ["running npm run build …"] and live(4) == []
    assert live(1) == ["running npm run build, for 10 s"] and live(1) == [] and live(60) == ["running npm run build, for 1 min 11 s"]
    assert live(29) == ["running npm run build, for 1 min 40 s"]


def test_a_line_that_is_not_whole_yet_waits_and_what_is_none_is_left_out(live):
    with open(live.record, "a") as stream:
        stream.write('garbage\n{"line": "be')
    assert live(QUIET) == []
    with open(live.record, "a") as stream:
        stream.write('gin"}\n')
    assert live(1) == ["| begin"]


def test_a_record_that_is_gone_shows_nothing(live):
    live.record.unlink()
    watched = Live(str(live.record), print)
    watched.look()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_ended_first_shows_the_line_that_it_has_begun(number):
    happened, showing = [], threading.Lock()

    def show():
        with showing:
            os.kill(os.getpid(), number)
            time.sleep(0.1)  # the handler would run meanwhile
            happened.append("shown")

    with interrupt.handling({number: lambda *_: happened.append("ended")}), release_artifact._not_while(showing):
        thread = threading.Thread(target=show)
        thread.start()
        thread.join()
        wait_until(lambda: "ended" in happened)
    assert happened == ["shown", "ended"] and not showing.locked()


def test_a_line_that_cannot_be_shown_does_not_keep_a_worker(monkeypatch):
    monkeypatch.setattr(release_artifact, "PATIENCE", 0.01)
    ended, showing = [], threading.Lock()
    with interrupt.handling({signal.SIGTERM: lambda *_: ended.append(True)}), showing, release_artifact._not_while(showing):
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: ended)
    assert ended


@pytest.fixture
def playbook(tmp_path):
    """``playbook(command)``: a playbook whose build runs this command, with a private environment."""
    source = tmp_path / "source"
    (source / "src/api").mkdir(parents=True)
    (source / "src/api/index.js").write_text("listen()")
    (source / "package.json").write_text("{}")
    short = tempfile.mkdtemp(prefix="b-")  # newer versions of Ansible have a socket in it, whose path must not be long
    (tmp_path / "tmp").symlink_to(short)

    def start(command, *options):
        task = {
            "mobius.ops.release_artifact": {
                "source": str(source),
                "version": "1.0",
                "store": str(tmp_path / "store"),
                "build_command": command,
                "environment": {"URL": "https://private.example", "API_TOKEN": SECRET},
            },
            "name": "Build",
            "register": "made",
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "connection": "local",
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [task, {"debug": {"var": "made.digest"}}],
        }
        (tmp_path / "play.yml").write_text(json.dumps([play]))
        environment = {
            **os.environ,
            "TMPDIR": short,
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
            "HOLD": str(tmp_path / "hold"),
            "STARTED": str(tmp_path / "started"),
        }
        return Run(
            [str(pathlib.Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "play.yml", *options], environment, tmp_path
        )

    yield start

    def removed():
        """What a playbook that was ended has started may be removing its own files at this moment."""
        shutil.rmtree(short, ignore_errors=True)
        return not os.path.exists(short)

    wait_until(removed, "the folder is gone")


HELD = [
    "sh",
    "-c",
    "echo begin to $URL with $API_TOKEN; touch $STARTED; while [ -e $HOLD ]; do sleep 0.1; done; "
    "mkdir -p client/build && echo x > client/build/index.html",
]


def test_lines_come_while_the_build_runs_and_the_environments_values_are_not_shown(playbook, tmp_path):
    (tmp_path / "hold").touch()
    run = playbook(HELD, "-vvv")
    wait_until(lambda: any("| begin" in line.text for line in run.lines) or run.process.poll() is not None, "a line of the build")
    assert not any(line.text.startswith("changed:") for line in run.lines), run.output
    (tmp_path / "hold").unlink()
    run.end()
    assert run.process.returncode == 0, run.output
    shown = [line.text for line in run.lines if line.text.startswith("[build] ")]
    assert shown[:1] == ["[build] fetching the source …"] and "[build] | begin to https://private.example with ********" in shown
    assert [line.text for line in run.lines if SECRET in line.text] == []
    assert "VALUE_NOT_SHOWN" in run.output or "invocation:" not in run.output  # newer versions of Ansible do not show it


def end_playbook(number):
    return lambda playbook: os.killpg(playbook, number)


def kill_worker(playbook):
    """Its module is told nothing."""
    for task in os.listdir(f"/proc/{playbook}/task"):
        for worker in pathlib.Path(f"/proc/{playbook}/task/{task}/children").read_text().split():
            os.kill(int(worker), signal.SIGKILL)


@pytest.mark.parametrize(
    "end", [end_playbook(signal.SIGINT), end_playbook(signal.SIGTERM), kill_worker], ids=["SIGINT", "SIGTERM", "killed worker"]
)
def test_a_playbook_that_is_ended_ends_its_build(playbook, tmp_path, end):
    (tmp_path / "hold").touch()
    run = playbook(HELD)
    wait_until(lambda: (tmp_path / "started").exists() or run.process.poll() is not None, "the build runs")
    assert os.listdir(tmp_path / "tmp"), run.output
    end(run.process.pid)
    run.process.wait(HANG)
    wait_until(lambda: not [name for name in os.listdir(tmp_path / "tmp") if name.startswith("mobius-")], "its folders are removed")
