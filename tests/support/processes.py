# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection's modules as real processes that a test can kill, stop, trace and limit."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import typing as t

from support.waiting import HANG, wait_until

STRACE = shutil.which("strace")


@dataclasses.dataclass
class Ended:
    """How a module's process ended."""

    #: Exit status, or the signal's number below zero.
    status: int
    #: What it printed, when that is JSON.
    result: dict[str, t.Any] | None
    errors: str
    #: The most memory that it had, in bytes.
    peak: int
    #: Seconds of processor time that it took.
    cpu: float

    @property
    def killed(self) -> bool:
        """Whether a signal that it could not handle ended it: SIGKILL, or the one that says that its processor time is over."""
        return self.status in (-signal.SIGKILL, -signal.SIGPROF)

    def good(self) -> dict[str, t.Any]:
        """The result of a module that succeeded; the test fails when it did not."""
        assert self.status == 0 and self.result is not None and not self.result.get("failed"), self
        return self.result

    def sentence(self) -> str:
        """The message of a module that refused: one clear sentence, no traceback, no crash."""
        assert self.status == 1 and self.result is not None, self
        assert self.result.get("failed") is True and "exception" not in self.result, self
        message = self.result["msg"]
        assert "\n" not in message and message.endswith(".") and ": " in message, message
        assert "Traceback" not in self.errors and "Error(" not in message, (message, self.errors)
        return message


class Process:
    """A module that runs."""

    def __init__(self, runner: Runner, pid: int, output: str, hold: str | None) -> None:
        self._runner, self.pid, self._output, self._hold = runner, pid, output, hold

    def release(self) -> None:
        """Let a process go on that was started with ``hold=True``."""
        wait_until(self._let_go, what="a module that waits")

    def _let_go(self) -> bool:
        assert self._hold
        try:
            os.close(os.open(self._hold, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # it does not wait yet, or it was killed already
            return not self.running()
        return True

    def signal(self, number: int) -> None:
        """Send it a signal; a process that has ended is not yet reaped, so its number is still its own."""
        os.kill(self.pid, number)

    def _state(self) -> str:
        with open(f"/proc/{self.pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0]

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._state() != "Z"

    def stopped(self) -> bool:
        """Whether it waits for SIGCONT."""
        return self._state() == "T"

    def steps(self) -> list[str]:
        """The steps that a process took that was started with ``step=0``."""
        with open(self._output + ".steps") as stream:
            return json.load(stream)

    def wait(self, timeout: float = HANG) -> Ended:
        """Wait for its end; a process that hangs is killed and fails the test."""
        answer = self._runner.ask(do="wait", pid=self.pid, timeout=timeout)
        if not answer:
            self.signal(signal.SIGKILL)
            self._runner.ask(do="wait", pid=self.pid, timeout=HANG)
            raise AssertionError(f"a module did not end within {timeout} s: {self._output}")
        with open(self._output) as stream, open(self._output + ".err", errors="replace") as errors:
            text, said = stream.read(), errors.read()
        try:
            result = json.loads(text)
        except ValueError:
            result = None
        return Ended(answer["status"], result, said, answer["peak"], answer["cpu"])


class Runner:
    """Starts modules. Each run believes that it is at least a second later than the one before.

    So archives, whose names hold a second, need not wait for a free name; and more than that it never adds.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        #: How many seconds later than it is the newest run believed it to be.
        self.ahead = 0
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "support.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def ask(self, **command: t.Any) -> dict[str, t.Any]:
        """One question to the process that forks."""
        assert self._zygote.stdin and self._zygote.stdout
        self._zygote.stdin.write(json.dumps(command) + "\n")
        return json.loads(self._zygote.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._zygote.stdin
        self._zygote.stdin.close()
        self._zygote.wait(HANG)

    def start(self, module: str, options: dict[str, t.Any], check: bool = False, hold: bool = False, **how: t.Any) -> Process:
        """Start a module.

        :param hold: wait for :meth:`Process.release` before the work begins.
        :param how: ``uid``, ``memory`` (bytes of address space), ``environment``, ``step`` (it kills itself there) and ``event``
            (of that kind only), ``cpu`` (it is killed after so many seconds of processor time), ``stop`` (it stops just before it makes
            the first file whose name fits this pattern).
        """
        self.ahead += 1
        place = tempfile.mkdtemp(dir=self.folder)
        os.chmod(place, 0o755)
        arguments, output = os.path.join(place, "arguments.json"), os.path.join(place, "output")
        with open(arguments, "w") as stream:
            json.dump({"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check, "_ansible_diff": True}}, stream)
        for path in (output, output + ".err"):
            open(path, "w").close()
        os.chmod(arguments, 0o644)  # other users read it, whatever the umask
        fifo = os.path.join(place, "hold") if hold else None
        if fifo:
            os.mkfifo(fifo)
            os.chmod(fifo, 0o644)
        pid = self.ask(do="run", module=module, arguments=arguments, output=output, hold=fifo, later=self.ahead, **how)["pid"]
        return Process(self, pid, output, fifo)

    def run(self, module: str, options: dict[str, t.Any], check: bool = False, timeout: float = HANG, **how: t.Any) -> Ended:
        """Run a module to its end."""
        return self.start(module, options, check, **how).wait(timeout)


@contextlib.contextmanager
def traced(process: Process, *options: str, log: str) -> t.Iterator[None]:
    """Let strace hold a process that waits; it goes on inside of the block, and strace has ended after it."""
    assert STRACE
    command = [STRACE, "-f", "-qq", "-o", log, *options, "-p", str(process.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: tracer.poll() is not None or _tracer_of(process.pid), what="strace attaches")
        assert tracer.poll() is None or not process.running(), tracer.stderr and tracer.stderr.read()
        process.release()
        yield
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(HANG)
        if tracer.poll() is None:
            tracer.kill()
        tracer.communicate()


def _tracer_of(pid: int) -> int:
    with open(f"/proc/{pid}/status") as stream:
        return int(next(line.split()[1] for line in stream if line.startswith("TracerPid:")))


def calls_of(process: Process, calls: str, log: str) -> tuple[Ended, dict[str, int]]:
    """Run a held process to its end and count its system calls by name: of the thread that made most of them.

    strace, too, counts for each thread by itself.
    """
    with traced(process, "-e", "trace=" + calls, log=log):
        ended = process.wait()
    with open(log, errors="replace") as stream:
        made = collections.Counter(re.findall(r"^(\d+) +(\w+)\(", stream.read(), re.MULTILINE))
    most: dict[str, int] = {}
    for (_thread, name), count in made.items():
        most[name] = max(count, most.get(name, 0))
    return ended, most
