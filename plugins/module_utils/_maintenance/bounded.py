# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a step in a process of its own that is ended when it takes too long, so that no step keeps the others from running.

The process is forked: it has all code and all rights already. It answers by lines of JSON: how far it is, then what came of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import time
import typing as t
import warnings

from .._core import documents, interrupt, processes
from .._core.errors import OpsError, StateError
from .._target.progress import Meter

#: Seconds that a step has to clear up before it is killed, and bytes that it may answer.
GRACE = 10.0
MOST = 16 * 1024**2
#: Seconds between two lines that say how far a step is.
_PERIOD = 0.5


class Reporting(Meter):
    """A meter of the step's process, which tells the other one how far it is."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._to, self._told, self._writing = descriptor, 0.0, threading.Lock()

    def phase(self, name: str, total_bytes: int = 0, total_files: int = 0) -> None:
        """Begin a phase."""
        super().phase(name, total_bytes, total_files)
        self._tell("phase", name, total_bytes, total_files)

    def add(self, size: int = 0, files: int = 0) -> None:
        """So many bytes and files more are done."""
        super().add(size, files)
        if time.monotonic() - self._told >= _PERIOD:
            self._tell("done", self.bytes, self.files)

    def _tell(self, *words: t.Any) -> None:
        self._told = time.monotonic()
        with self._writing, contextlib.suppress(OSError):
            _write(self._to, list(words))


def call(work: t.Callable[[Meter], t.Any], seconds: float, meter: Meter, name: str) -> t.Any:
    """What *work* returns, which JSON can hold.

    :param seconds: it may take.
    :param meter: shows the phases of the step.
    :param name: of the step, for messages.
    :raises StateError: when it takes longer, raises an error, or its process ends.
    """
    answers, theirs = os.pipe()
    try:
        pid = _fork()
        if not pid:
            os.close(answers)
            _serve(work, theirs)
    finally:
        os.close(theirs)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    try:
        return _result(_follow(answers, time.monotonic() + seconds, meter, name), name, seconds)
    finally:
        os.close(answers)
        _end(pid)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child uses no lock that one of them may hold
        return os.fork()


def _serve(work: t.Callable[[Meter], t.Any], descriptor: int) -> t.NoReturn:
    """The forked process."""
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)  # a module's result goes there
        try:
            with interrupt.interruptible("the step"):
                said: list[t.Any] = ["result", work(Reporting(descriptor))]
        except OpsError as error:
            said = ["error", str(error)]
        except OSError as error:
            said = ["error", f"{error.filename or 'the system'}: {error.strerror or error}."]
        except Exception as error:  # whatever it is, it is what came of the step
            said = ["error", f"an error of the collection, {type(error).__name__}: {error}. Report it with this sentence."]
        _write(descriptor, said)
    finally:
        os._exit(0)


def _write(descriptor: int, words: list[t.Any]) -> None:
    content = json.dumps(words).encode("ascii") + b"\n"
    while content:
        content = content[os.write(descriptor, content) :]


def _follow(answers: int, deadline: float, meter: Meter, name: str) -> list[t.Any] | None:
    """The last line of a step, what came of it; ``None`` when the time is up. Lines before it go to the meter."""
    waiting, last, poll = b"", ["error", "its process ended."], select.poll()
    poll.register(answers, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        chunk = os.read(answers, 65536)
        if not chunk:
            return last
        waiting += chunk
        if len(waiting) > MOST:
            return ["error", "it says more than it may."]
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            last = documents.parse(line)
            if last[0] == "phase":
                meter.phase(f"{name}: {last[1]}", last[2], last[3])
            elif last[0] == "done":
                meter.add(last[1] - meter.bytes, last[2] - meter.files)
            else:
                return last


def _result(last: list[t.Any] | None, name: str, seconds: float) -> t.Any:
    if last is None:
        raise StateError(
            f"step {name}",
            f"an end within {seconds:g} s",
            "none, so it was ended",
            "Look what it waits for, or raise mobius_maintenance_step_timeout or mobius_maintenance_long_timeout",
        )
    if last[0] != "result":
        error = StateError(f"step {name}")
        error.say(str(last[1]))
        raise error
    return last[1]


def _end(pid: int) -> None:
    """End the process with all that it has started, and have it clear up first when it still works."""
    deadline = time.monotonic() + GRACE
    if not _over(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while not _over(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _over(pid: int) -> bool:
    """Whether it has ended; it is not reaped yet, so that its number is still its group's."""
    return processes.start_ticks(pid) is None or os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
