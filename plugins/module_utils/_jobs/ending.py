# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait for jobs, or end them: first so that what they have made stays playable, then by force.

ffmpeg finishes its file after SIGTERM. One that was stopped does not see that signal before SIGCONT, so it gets both. Only SIGKILL ends
one that waits for input; what such a job leaves of an mp4 cannot be played.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
import typing as t

from .._core import processes, wording
from .._core.errors import StateError
from .._service import supervisor
from .._service.node_service import Service
from .._target.progress import Meter
from . import ffmpeg, listing
from .listing import Job, Output, Watched

#: Seconds between two looks, and that the kernel has to end a process that was killed.
PAUSE, KILLED = 0.1, 10.0


class Result(t.TypedDict):
    """A file that a job wrote; ``size`` in bytes."""

    path: str
    size: int
    kept: bool
    error: str


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a job ended."""

    job: Job
    #: ``stopped`` after SIGTERM, ``killed`` after SIGKILL, ``gone`` before either, ``runs`` when it did not end.
    how: str
    seconds: float
    #: Files that it wrote: ``path``, ``size`` in bytes, whether it is ``kept`` by the application, and ``error``, why it cannot be
    #: decoded; empty when it can.
    results: tuple[Result, ...]


def drain(service: Service, programs: list[str], wanted: t.Callable[[Job], bool], timeout: float, meter: Meter, quiet: float) -> list[Job]:
    """Wait until none of some jobs runs; those that are left at the end of the time.

    :param wanted: which jobs are meant, also of those that begin meanwhile.
    :param quiet: seconds without one after which they count as done; renders pause between two programs.
    """
    deadline, since, shown = time.monotonic() + timeout, time.monotonic(), -1
    while True:
        left = [job for job in listing.listed(service, programs) if wanted(job)]
        now = time.monotonic()
        since = now if left else since
        if not left and now - since >= min(quiet, timeout):
            return []
        if now >= deadline:
            return left
        if len(left) != shown:
            shown = len(left)
            meter.phase(f"waiting for {shown} to end" if shown else "waiting whether another begins")
        time.sleep(PAUSE)


def end(service: Service, job: Job, timeout: float, force: bool, look: float) -> Ended:
    """End a job.

    :param timeout: seconds that it has to end by itself after SIGTERM.
    :param force: whether it gets SIGKILL then.
    :param look: seconds that decoding each of its files may take; they are not looked at when 0.
    """
    began, program = time.monotonic(), _program(job.pid)
    with contextlib.ExitStack() as stack:
        held = list(_held(job, stack)) if look else []
        if not processes.send(job.pid, job.ticks, signal.SIGTERM, signal.SIGCONT):
            return Ended(job, "gone", 0.0, ())
        how = "stopped"
        if not _gone(job, timeout) and force:
            how = "killed"
            processes.send(job.pid, job.ticks, signal.SIGKILL)
        if not _gone(job, KILLED if how == "killed" else 0.0):
            how = "runs"
        seconds = round(time.monotonic() - began, 2)
        results = () if how == "runs" else tuple(_result(service, output, content, program, look) for output, content in held)
    return Ended(job, how, seconds, results)


def _held(job: Job, stack: contextlib.ExitStack) -> t.Iterator[tuple[Output, t.BinaryIO]]:
    """The files that a job writes, open: the application may remove them as soon as the job has ended."""
    for number, output in listing.files(job.pid)[0].items():
        with contextlib.suppress(OSError):
            yield output, stack.enter_context(os.fdopen(listing.opened(job.pid, number), "rb"))


def _program(pid: int) -> str:
    """The program that a process runs, to look at its files with the same one; the host's where only the service sees that."""
    with contextlib.suppress(OSError):
        path = os.readlink(f"/proc/{pid}/exe")
        if os.path.exists(path):
            return path
    return "ffmpeg"


def _gone(job: Job, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while processes.is_alive(job.pid, job.ticks):
        if time.monotonic() >= deadline:
            return False
        time.sleep(PAUSE / 10)
    return True


def _result(service: Service, output: Output, content: t.BinaryIO, program: str, look: float) -> Result:
    """What a file is worth. It is decoded with the rights of the service's user, who has made it."""
    error = ffmpeg.decode(program, "file:/proc/self/fd/0", look, stdin=content, **supervisor.account(service.spec.get("user")))
    status = os.fstat(content.fileno())
    return {"path": wording.printable(output.path), "size": status.st_size, "kept": bool(status.st_nlink), "error": error}


def chosen(jobs: t.Sequence[Watched], names: list[str], verdicts: list[str]) -> list[Watched]:
    """The jobs that are meant, of those that ``listing.watched`` has found.

    :param names: ids of renders or of processes; of any when there is none.
    :param verdicts: what they have to be found to be; anything when there is none.
    :raises StateError: when a name is none of a job's.
    """
    known = {str(field) for job in jobs for field in (job["name"], job["pid"])}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise StateError(
            f"job {unknown[0]}",
            "a render's id or a process id of a job that runs",
            ", ".join(sorted(known)) or "none at all",
            "Look with mobius.ops.ffmpeg, it may have ended",
        )
    return [
        job
        for job in jobs
        if (not names or job["name"] in names or str(job["pid"]) in names) and (not verdicts or job["verdict"] in verdicts)
    ]
