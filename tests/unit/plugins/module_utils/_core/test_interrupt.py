# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A signal ends what waits without a limit, also one that the kernel gives to another thread than the one that waits."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import commands, interrupt, locks
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError

#: Seconds that what is waited for takes by itself, which a signal has to end before.
LONG = 20


@pytest.fixture(autouse=True)
def heard():
    """A shell script's background job ignores SIGINT, and one under nohup SIGHUP; what is ignored stays so."""
    with interrupt.handling(dict.fromkeys(interrupt.SIGNALS, signal.SIG_DFL)):
        yield


@pytest.fixture
def work(tmp_path):
    """A command that says ``begun``, and leaves a file when it comes to its end by itself."""
    yield ["sh", "-c", f"touch begun; echo begun; sleep {LONG}; touch ended"]
    assert not (tmp_path / "ended").exists()


def interrupted(wait, began):
    """Have another thread get SIGTERM once *wait* has begun, which has to end with it."""

    def waits():
        with open(f"/proc/self/task/{os.getpid()}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] == "S"

    def get():
        wait_until(began)
        wait_until(waits, "the main thread waits")
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    thread = threading.Thread(target=get)
    thread.start()
    try:
        with pytest.raises(StateError, match=r"the work: expected to run to its end, found SIGTERM"), interrupt.interruptible("the work"):
            wait()
    finally:
        thread.join()


def test_a_command_whose_output_is_kept(work, tmp_path):
    interrupted(lambda: commands.capture(work, str(tmp_path)), (tmp_path / "begun").exists)


def test_a_command_whose_output_is_shown(work, tmp_path):
    shown = []
    interrupted(lambda: commands.run_live(work, str(tmp_path), "work", dict(os.environ), "todo", shown.append, str), lambda: shown)
    assert shown == ["begun"]


def test_a_lock_that_another_one_has(tmp_path):
    def wait():
        with locks.locked(str(tmp_path / "lock")):
            pytest.fail("it was free")

    with open(tmp_path / "lock", "a") as holder:
        locks.take(holder)
        later = threading.Timer(LONG, holder.close)
        later.start()
        interrupted(wait, lambda: True)
        later.cancel()


def test_a_second_signal_does_not_disturb_the_clearing_up(tmp_path):
    cleared = []
    with pytest.raises(StateError, match="SIGINT"), interrupt.interruptible("the work"):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("it went on")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleared.append(True)
    assert cleared


def test_what_is_not_divided_ends_first():
    ended = []
    with pytest.raises(StateError, match="SIGHUP"), interrupt.interruptible("the work"):
        with interrupt.undivided():
            os.kill(os.getpid(), signal.SIGHUP)
            ended.append(True)
        pytest.fail("it went on")
    assert ended


def test_work_whose_reader_is_gone(work, tmp_path):
    reader, writer = os.pipe()
    later = threading.Thread(target=lambda: (wait_until((tmp_path / "begun").exists), os.close(reader)))
    later.start()
    with (
        pytest.raises(StateError, match="the work: expected to run to its end, found SIGTERM"),
        interrupt.interruptible("the work", writer),
    ):
        commands.capture(work, str(tmp_path))
    later.join()
    os.close(writer)


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_work_goes_on_while_somebody_may_read(tmp_path, kind):
    reader, writer = os.pipe() if kind == "pipe" else (os.open("/", os.O_PATH), os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY))
    with interrupt.interruptible("the work", writer):
        assert commands.capture(["sleep", str(2 * interrupt._LOOK)]).returncode == 0
    os.close(reader)
    os.close(writer)
