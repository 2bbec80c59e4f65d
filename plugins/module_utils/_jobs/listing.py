# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs of a service: programs such as ffmpeg that its instances have started, and whether each gets on.

A job is looked at twice. It is *stuck* when meanwhile it used no processor time, wrote no bytes, and its output got no longer; *stopped*
when it was told to stop (SIGSTOP) and has not gone on; *slow* when it used less than a tenth of one processor; else it is *working*.
Less than a thousandth of one processor counts as none: one that waits for a connection looks for it ten times a second. What a job
writes and says was chosen by the service's user: it is only counted, bounded, and shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
import time
import typing as t

from .._core import processes, redaction, wording
from .._service import ongoing_work
from .._service.node_service import Service

#: What a job can be found to be, worst first.
VERDICTS = ("stuck", "stopped", "slow", "working")
#: A job that uses less than this share of one processor is slow, or idle.
SLOW, IDLE = 0.1, 0.001
#: Bytes that are read of the end of a progress file, and letters that are shown of a command.
_PROGRESS, _COMMAND = 4096, 1000
#: Descriptors of a process that are looked at.
_MOST = 64
_TICKS = os.sysconf("SC_CLK_TCK")
_OUT_TIME = re.compile(rb"^out_time_(?:us|ms)=(\d{1,18})$", re.MULTILINE)  # both are microseconds


@dataclasses.dataclass(frozen=True)
class Job:
    """One program at work."""

    pid: int
    #: When it started (``processes.start_ticks``): with the process id it names one process for good.
    ticks: int
    #: The render's id where that can be told, else the program and its process.
    name: str
    #: The TCP port of the instance that it works for, and the release that instance runs.
    port: int
    release: str | None
    #: The process that has started it, and its command.
    parent: int
    parent_command: str
    command: str
    #: When it was listed, how many seconds it had run.
    age: float


@dataclasses.dataclass(frozen=True)
class Output:
    """A file that a job writes."""

    path: str
    #: What tells the file from another one of that name: its device and inode.
    file: tuple[int, int]
    size: int


@dataclasses.dataclass(frozen=True)
class Sample:
    """How far a job was at one moment."""

    #: Seconds of a clock that only goes on.
    at: float
    #: The state of its process, as ``ps`` has it: R, S, D, T, ….
    state: str
    #: Seconds of processor time so far.
    cpu: float
    #: Bytes written so far; ``None`` where the kernel tells it to others only.
    written: int | None
    outputs: tuple[Output, ...]
    #: Microseconds of output so far, where the job keeps a progress file.
    out_time: int | None
    #: The kernel's function that it waits in; empty when it does not, or that is not told.
    waits_in: str


def listed(service: Service, programs: list[str]) -> list[Job]:
    """The jobs of all instances of a service, oldest first.

    :param programs: the names of programs that are jobs, such as ``ffmpeg``.
    """
    found = []
    for instance in service.instances():
        facts = instance.status()
        for each in ongoing_work.renders(service, facts["pid"], programs) if facts["pid"] else ():
            parent = next(iter(list(processes.parents(each.pid))[1:]), 0)
            found.append(
                Job(
                    each.pid,
                    each.ticks,
                    each.name,
                    instance.port,
                    facts["release"],
                    parent,
                    _command(parent),
                    _command(each.pid),
                    processes.age(each.pid),
                )
            )
    return sorted(found, key=lambda job: (job.ticks, job.pid))


def _command(pid: int) -> str:
    return wording.printable(redaction.without_passwords(processes.command_line(pid, limit=_COMMAND)))


def sample(job: Job) -> Sample | None:
    """How far a job is now; ``None`` when it has ended."""
    figures = _stat(job.pid)
    if figures is None or not processes.is_alive(job.pid, job.ticks):
        return None
    state, cpu = figures
    outputs, progress = files(job.pid)
    return Sample(
        time.monotonic(),
        state,
        cpu,
        _written(job.pid),
        tuple(outputs.values()),
        None if progress is None else _out_time(job.pid, progress),
        processes.waits_in(job.pid),
    )


def _stat(pid: int) -> tuple[str, float] | None:
    """State and seconds of processor time (proc(5), fields 3, 14 and 15 of ``stat``; finer where the kernel counts nanoseconds)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = processes.stat_fields(pid)
        return fields[0], _nanoseconds(pid) / 1e9 or (int(fields[11]) + int(fields[12])) / _TICKS
    return None


def _nanoseconds(pid: int) -> int:
    """Processor time of the threads that live: a clock of ticks misses those that work for less than one. 0 where it is not told."""
    total = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as stream:
                total += int(stream.read().split()[0])
    return total


def _written(pid: int) -> int | None:
    """Bytes that it has passed to write(2) so far: ``wchar`` of proc(5)."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/io", encoding="ascii") as stream:
        return int(dict(line.split(": ") for line in stream.read().splitlines())["wchar"])
    return None


def files(pid: int) -> tuple[dict[int, Output], int | None]:
    """The files that a process writes, by descriptor, and the descriptor of its progress file, if it keeps one."""
    found, progress = dict(_written_files(pid)), _progress_file(pid)
    number = next((number for number, output in found.items() if output.path == progress), None)
    return {each: output for each, output in found.items() if each != number}, number


def _written_files(pid: int) -> t.Iterator[tuple[int, Output]]:
    """Descriptors of the regular files that a process writes and that have a name, but for its standard output and errors."""
    with contextlib.suppress(OSError):
        for number in sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd") if int(name) > 2)[:_MOST]:
            with contextlib.suppress(OSError, ValueError):
                place = f"/proc/{pid}/fd/{number}"
                status, path = os.stat(place), os.readlink(place)
                with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as stream:
                    flags = int(next((line.split()[1] for line in stream if line.startswith("flags:")), "0"), 8)
                if stat.S_ISREG(status.st_mode) and status.st_nlink and flags & os.O_ACCMODE != os.O_RDONLY:
                    yield number, Output(path, (status.st_dev, status.st_ino), status.st_size)


def _progress_file(pid: int) -> str:
    """The path of the file that ``-progress`` names in its command; empty when it names none."""
    words = processes.words(pid, 256 * 1024)
    named = next((after for word, after in zip(words, words[1:]) if word == "-progress"), "").removeprefix("file:")
    return os.path.normpath(os.path.join(processes.working_dir(pid) or "/", named)) if named else ""


def opened(pid: int, number: int) -> int:
    """A descriptor of the file behind a descriptor of a process, whatever the file's name stands for by now.

    :raises OSError: when it cannot be had, or is no regular file.
    """
    descriptor = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"descriptor {number} of process {pid} is no file any more")
    return descriptor


def _out_time(pid: int, number: int) -> int | None:
    """The last ``out_time`` in a file that the process writes."""
    with contextlib.suppress(OSError):
        descriptor = opened(pid, number)
        try:
            found = _OUT_TIME.findall(os.pread(descriptor, _PROGRESS, max(0, os.fstat(descriptor).st_size - _PROGRESS)))
        finally:
            os.close(descriptor)
        return int(found[-1]) if found else None
    return None


def judge(before: Sample, after: Sample) -> str:
    """What a job is, by two samples (:data:`VERDICTS`)."""
    if not _moved(before, after):
        return "stopped" if "T" in (before.state.upper(), after.state.upper()) else "stuck"
    return "slow" if (after.cpu - before.cpu) / max(after.at - before.at, 0.001) < SLOW else "working"


def _moved(before: Sample, after: Sample) -> bool:
    """Whether anything got on between two samples. Threads that ended took their time along, so that it may be less."""
    worked = abs(after.cpu - before.cpu) > IDLE * (after.at - before.at)
    return (
        worked
        or (after.written, after.out_time) != (before.written, before.out_time)
        or {(each.file, each.size) for each in after.outputs} != {(each.file, each.size) for each in before.outputs}
    )


class File(t.TypedDict):
    """A file that a job writes; ``size`` in bytes."""

    path: str
    size: int


class Watched(t.TypedDict):
    """A job as results have it, with what two looks at it have shown."""

    pid: int
    ticks: int
    name: str
    port: int
    release: str | None
    parent: int
    parent_command: str
    command: str
    age: float
    verdict: str
    state: str
    waits_in: str
    cpu_s: float
    cpu_pct: float
    written_per_s: int | None
    speed: float | None
    out_s: float | None
    outputs: list[File]


def watched(jobs: list[Job], window: float, sleep: t.Callable[[float], t.Any] = time.sleep) -> list[Watched]:
    """Each job with what it is, from two samples that are so many seconds apart; one that ended meanwhile is left out.

    Without a window nothing is judged: two samples that lie next to each other tell nothing.
    """
    first = {job: sample(job) for job in jobs}
    if window and any(first.values()):
        sleep(window)
    found = []
    for job, before in first.items():
        after = sample(job) if before and window else before
        if before and after:
            told = facts(job, before, after)
            if not window:
                told["verdict"] = ""
            found.append(told)
    return sorted(found, key=lambda one: VERDICTS.index(one["verdict"]) if one["verdict"] else 0)


def facts(job: Job, before: Sample, after: Sample) -> Watched:
    """A job as results have it."""
    seconds = max(after.at - before.at, 0.001)
    written = None if after.written is None or before.written is None else round((after.written - before.written) / seconds)
    out = None if after.out_time is None or before.out_time is None else round((after.out_time - before.out_time) / 1e6 / seconds, 2)
    return {
        "pid": job.pid,
        "ticks": job.ticks,
        "name": job.name,
        "port": job.port,
        "release": job.release,
        "parent": job.parent,
        "parent_command": job.parent_command,
        "command": job.command,
        "age": job.age,
        "verdict": judge(before, after),
        "state": after.state,
        "waits_in": after.waits_in,
        "cpu_s": round(after.cpu, 2),
        "cpu_pct": round(100 * (after.cpu - before.cpu) / seconds, 1),
        "written_per_s": written,
        "speed": out,
        "out_s": None if after.out_time is None else round(after.out_time / 1e6, 1),
        "outputs": [{"path": wording.printable(each.path), "size": each.size} for each in after.outputs],
    }
