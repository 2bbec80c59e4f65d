# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What /proc tells of real processes and ports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import processes


@pytest.fixture
def spawn():
    """Start a shell command in a session of its own; it is gone after the test."""
    started = []

    def run(command):
        started.append(subprocess.Popen(["sh", "-c", command], start_new_session=True, cwd="/tmp"))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_process_is_itself_only_with_its_start_time(spawn):
    process = spawn("exec sleep 86430")
    ticks = processes.start_ticks(process.pid)
    assert processes.is_alive(process.pid, ticks)
    assert not processes.is_alive(process.pid, ticks + 1)
    assert not processes.is_alive(process.pid, None)
    assert not processes.is_alive(None, ticks)


def name_of(pid):
    with open(f"/proc/{pid}/comm") as stream:
        return stream.read().strip()


def test_a_zombie_is_not_alive(spawn, wait_until):
    process = spawn("exec sleep 86430")
    ticks = processes.start_ticks(process.pid)
    process.kill()
    wait_until(lambda: not processes.is_alive(process.pid, ticks))
    assert os.path.exists(f"/proc/{process.pid}") and processes.start_ticks(process.pid) is None
    process.wait()
    assert processes.start_ticks(process.pid) is None


def test_folder_command_and_parents(spawn, wait_until):
    process = spawn("exec sleep 86431")
    wait_until(lambda: processes.command_line(process.pid) == "sleep 86431")
    assert processes.working_dir(process.pid) == os.path.realpath("/tmp")
    assert list(processes.parents(process.pid))[:2] == [process.pid, os.getpid()]
    gone = 2**22 + 1
    assert processes.working_dir(gone) is None and processes.command_line(gone) == ""
    assert list(processes.parents(gone)) == [gone]


def test_everything_that_a_process_has_started_counts(spawn, wait_until):
    process = spawn("sh -c 'sleep 86433 & wait' & wait")
    wait_until(lambda: "sleep" in map(name_of, processes.started_by(process.pid, [])))
    found = processes.started_by(process.pid, [])
    assert sorted(map(name_of, found)) == ["sh", "sleep"] and process.pid not in found
    assert [name_of(pid) for pid in processes.started_by(process.pid, ["sleep", "ffmpeg"])] == ["sleep"]
    assert processes.started_by(process.pid, ["ffmpeg"]) == []
    assert all(0 <= processes.age(pid) < HANG for pid in found) and processes.age(2**22 + 1) == 0


def test_a_group_ends_with_what_ignores_the_gentle_way(spawn, wait_until, tmp_path):
    process = spawn(f"trap '' TERM; sleep 86432 & echo $! > {tmp_path}/child; while :; do sleep 0.05; done")
    wait_until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    child = int((tmp_path / "child").read_text())
    processes.end_group(process.pid, processes.start_ticks(process.pid), 0.2)
    process.wait()
    wait_until(lambda: processes.start_ticks(child) is None)


def test_the_gentle_way_comes_first(spawn, wait_until, tmp_path):
    process = spawn(f"trap 'echo bye > {tmp_path}/bye; exit 0' TERM; echo > {tmp_path}/ready; while :; do sleep 0.02; done")
    wait_until((tmp_path / "ready").exists)
    processes.end_group(process.pid, processes.start_ticks(process.pid), HANG)
    assert process.wait() == 0 and (tmp_path / "bye").exists()


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_listens(family, address):
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"no {address} on this machine")
    with server:
        port = server.getsockname()[1]
        assert processes.listeners(port) == [os.getpid()]
    assert processes.listeners(port) == []


def test_a_socket_whose_process_is_just_ending_is_looked_at_again(monkeypatch):
    owners = [set(), set(), {7}]
    monkeypatch.setattr(processes, "_listening", lambda _port: {"socket:[1]"})
    monkeypatch.setattr(processes, "_owners", lambda _inodes: owners.pop(0) if owners else set())
    assert processes.listeners(1) == [7] and processes.listeners(1) == [0]
    monkeypatch.setattr(processes, "_listening", lambda _port: set())
    assert processes.listeners(1) == []


def test_a_connection_is_no_listener(web):
    with socket.create_connection(("127.0.0.1", web.port)) as client:
        assert processes.listeners(client.getsockname()[1]) == []
