"""Runs commands and tells what they cost."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import tempfile
import time
import typing as t

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A command that ended otherwise than it should; nothing that was measured is worth anything then."""


@dataclasses.dataclass
class Cost:
    """What one run cost: seconds, seconds of all cores, bytes."""

    wall: float
    cpu: float
    #: Largest resident size of one of its processes.
    peak: int
    #: Seconds until what it wrote was on disk, after it had ended.
    sync: float = 0.0
    #: Cores that other processes of the machine kept busy meanwhile.
    foreign: float = 0.0
    size: int = 0


def busy() -> float:
    """CPU seconds of the whole machine so far."""
    try:
        with open("/proc/stat", encoding="ascii") as stream:
            numbers = [int(word) for word in stream.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    return (sum(numbers) - numbers[3] - numbers[4]) / TICKS  # without idle and waiting for the disk


@contextlib.contextmanager
def started(command: list[str], **options: t.Any) -> t.Iterator[subprocess.Popen[bytes]]:
    """A process with its own group; the group does not outlive the block."""
    process = subprocess.Popen(command, stdin=options.pop("stdin", subprocess.DEVNULL), start_new_session=True, **options)
    try:
        yield process
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.returncode is None:
            process.wait()
        raise


def cost(command: list[str], cwd: str, environment: dict[str, str]) -> tuple[Cost, str]:
    """Run a command in a fresh process; what it cost, and what it said. :raises Failed: when its exit status is not 0."""
    with tempfile.TemporaryFile() as output:
        others, began = busy(), time.monotonic()
        with started(command, cwd=cwd, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT) as process:
            _pid, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall, others = time.monotonic() - began, busy() - others
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode:
        raise Failed(f"{' '.join(command)}\nended with {process.returncode}:\n{said[-3000:]}")
    cpu = used.ru_utime + used.ru_stime
    return Cost(wall, cpu, used.ru_maxrss * 1024, foreign=max(0.0, others - cpu) / wall if wall else 0.0), said


def wait_for_quiet(patience: float) -> None:
    """Wait until other processes use less than a fifth of a core, at most so many seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = busy()
        time.sleep(1)
        if busy() - before < 0.2:
            return


def flush(folder: str) -> float:
    """Seconds until all that was written to a folder's file system is on disk."""
    began = time.monotonic()
    run(["sync", "-f", folder])
    return time.monotonic() - began


def run(command: list[str], **options: t.Any) -> str:
    """Run a helper that is not measured; its output."""
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as process:
        said = process.communicate()[0].decode(errors="replace")
    if process.returncode:
        raise Failed(f"{' '.join(command)}\nended with {process.returncode}:\n{said[-3000:]}")
    return said


def warm(paths: t.Iterable[str]) -> None:
    """Read files and trees once, so that every run finds them in memory."""
    buffer = bytearray(1024 * 1024)
    for path in paths:
        below = (os.path.join(folder, name) for folder, _dirs, names in os.walk(path) for name in names)
        for name in [path] if os.path.isfile(path) else below:
            if not os.path.islink(name):
                with open(name, "rb", buffering=0) as stream:
                    while stream.readinto(buffer):
                        pass


def prefer(pid: int, nice: int) -> None:
    """Set the priority of a process's session, which Linux weighs before those of processes (sched(7), autogroups).

    This process leaves the session that it was started in first, so that nothing else gets that priority.
    """
    if pid == os.getpid() and nice and os.getsid(0) != pid:
        with contextlib.suppress(PermissionError):  # it leads a group of processes
            os.setsid()
    with contextlib.suppress(OSError), open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as stream:
        stream.write(str(nice))
