# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Do jobs in several processes that are copies of this one, and send back what each has found."""

from __future__ import annotations

import os
import pickle
import typing as t

from .._core import fs, processes
from .._core.errors import StateError

Job = t.TypeVar("Job")
Result = t.TypeVar("Result")


def each(do: t.Callable[[Job], Result], jobs: list[Job], copies: int) -> t.Iterator[Result]:
    """The results of jobs, in their order within a process. The n-th process does each n-th job.

    :raises StateError: when a process ended without its results.
    """
    if copies < 2 or len(jobs) < 2:
        yield from map(do, jobs)
        return
    started = [_start(do, jobs[number::copies]) for number in range(1, min(copies, len(jobs)))]
    try:
        yield from map(do, jobs[::copies])
    finally:
        answers = [_answer(pid, source) for pid, source in started]
    for found in answers:
        yield from found


def _start(do: t.Callable[[Job], Result], jobs: list[Job]) -> tuple[int, int]:
    source, sink = os.pipe()
    pid = os.fork()
    if pid:
        os.close(sink)
        return pid, source
    status = 1
    try:
        os.close(source)
        fs.write_all(sink, pickle.dumps([do(job) for job in jobs]))
        status = 0
    finally:
        os._exit(status)


def _answer(pid: int, source: int) -> list[t.Any]:
    with os.fdopen(source, "rb") as stream:
        data = stream.read()
    _pid, status = os.waitpid(pid, 0)
    if status or not data:
        raise StateError(
            "a process that reads logs",
            "its results",
            processes.exit_text(os.waitstatus_to_exitcode(status)),
            "Run it with processes: 1 to see why, or when memory is short",
        )
    return t.cast(list, pickle.loads(data))  # from a copy of this very process
