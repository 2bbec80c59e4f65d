# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an instance works on: requests, renders, and what the application says of its queue.

A render is a program that the application has started, and what that one has started. MOBIUS keeps those that wait in memory, where
nobody sees them; an application that tells of them is asked (``busy_check``).
"""

from __future__ import annotations

import itertools
import os
import re
import typing as t

from .._core import expressions, fs, processes, wording
from .._core.errors import InputError
from .._observe import health, probe
from .._observe.exchange import Exchange
from .._target import records, shapes
from .._target.record_types import JobCheck
from .node_service import Service

#: A program that has run for so many seconds is a render, where short work does not count.
BRIEF = 0.5
#: Finds a render's id in the command of a program that works on it: MOBIUS gives each a folder of its own.
ID_PATTERN = r"render-jobs/([\w-]+)"
#: Names of jobs that a message tells.
TOLD = 10
#: Jobs that are counted at most: an application may tell of any number.
MOST = 1000
_CHECK = "busy.json"


class Render(t.NamedTuple):
    """A program that the application has started."""

    #: Its process, and when that started (``processes.start_ticks``): together they name one process for good.
    pid: int
    ticks: int
    #: The render's id where that can be told, else the program and its process.
    name: str


class Work(t.NamedTuple):
    """What runs at one moment."""

    #: How many HTTP requests.
    requests: int = 0
    #: One name for each job: its id where that can be told, else the program and its process.
    jobs: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requests or self.jobs)

    def __str__(self) -> str:
        named = ", ".join(self.jobs[:TOLD]) + (f" and {len(self.jobs) - TOLD} more" if len(self.jobs) > TOLD else "")
        return f"{self.requests} long requests and {len(self.jobs)} renders" + (f" ({named})" if named else "")

    def facts(self) -> dict[str, object]:
        """As results and records have it: ``requests``, a number, and ``renders``, a list of names."""
        return {"requests": self.requests, "renders": list(self.jobs)}


def lost(cut: t.Mapping[str, t.Any] | None) -> str:
    """What was cut, as a sentence; empty when nothing was."""
    work = Work(int((cut or {}).get("requests") or 0), tuple((cut or {}).get("renders") or ()))
    return f"Work was cut: {work}. Ask for the renders again." if work.jobs else f"Work was cut: {work}." if work else ""


def of(service: Service, instance: Service, age: int = 0) -> Work:
    """What an instance works on.

    One that does not run works on nothing: requests that are counted for it wait in the proxy, for whoever serves next.

    :param age: of requests at least, in seconds. A program that a short request starts counts when *age* is 0 only.
    """
    pid = instance.status()["pid"]
    if not pid:
        return Work()
    requests = [each for each in service.requests(instance.port) if each >= age]
    running = [each.name for each in renders(service, pid, service.spec.get("job_programs") or [], BRIEF if age else 0.0)]
    return Work(len(requests), tuple(dict.fromkeys([*running, *_told(service, instance)])))


def renders(service: Service, pid: int, programs: list[str], brief: float = 0.0) -> list[Render]:
    """The programs that a process of the service has started, and what these have, and so on.

    :param programs: names of programs that count; all of them when there is none.
    :param brief: programs that have run for fewer seconds do not count.
    """
    found = []
    for each in processes.started_by(pid, programs):
        ticks = processes.start_ticks(each)
        if ticks is not None and processes.age(each) >= brief:
            found.append(Render(each, ticks, _name(each, pid, service.spec.get("job_id_pattern") or ID_PATTERN)))
    return found


def _name(pid: int, service: int, pattern: str) -> str:
    """What a render is called in messages: by the program or one that has started it, up to the process of the service."""
    line = list(itertools.takewhile(lambda each: each != service, processes.parents(pid)))
    commands = [processes.command_line(each, limit=4096) for each in line]
    for found in filter(None, (re.search(pattern, command) for command in commands)):
        return wording.printable(found.group(found.lastindex or 0)[:80])
    return f"{wording.printable(os.path.basename(commands[-1].split(' ')[0])[:40]) or 'process'} {line[-1]}"


def check_pattern(pattern: str) -> str:
    """A pattern that finds ids. :raises InputError: when it is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError("job_id_pattern", "a regular expression", f"{pattern!r} ({error})", "Correct mobius_job_id_pattern") from error
    return pattern


def normalize(
    given: t.Mapping[str, t.Any] | None, headers: dict[str, str] | None, secret_headers: dict[str, str] | None
) -> JobCheck | None:
    """The question to the application in full form; ``None`` when there is none. :raises InputError: for a mistake in it."""
    if not given:
        return None
    check, expression = dict(given), str(given.get("jobs") or "")
    check.pop("jobs", None)
    if not expression:
        raise InputError(
            "busy_check", "jobs, a JMESPath expression that finds the number or the ids of the jobs", "none", "Correct mobius_busy_check"
        )
    expressions.require(f"busy_check, {expression}", expression)
    (full,) = health.normalize_all([{"name": "busy", **check}], headers, secret_headers)
    return {**full, "jobs": expression}


def check_of(service: Service) -> JobCheck | None:
    """The question to the application; ``None`` when it is not asked."""
    found: JobCheck | None = records.read(os.path.join(service.folder, _CHECK), records.BUSY)
    return found


def save_check(service: Service, check: JobCheck | None) -> None:
    """Keep the question beside the definition, for root only: it may have a key in its headers."""
    path = os.path.join(service.folder, _CHECK)
    if check:
        fs.write_json(path, check, 0o600)
    elif os.path.exists(path):
        os.unlink(path)


def is_asked(service: Service) -> bool:
    """Whether the application is asked for its jobs."""
    return os.path.exists(os.path.join(service.folder, _CHECK))


def _told(service: Service, instance: Service) -> tuple[str, ...]:
    """The jobs that the application tells of. One that does not answer may have some."""
    asked = check_of(service)
    if not asked:
        return ()
    [check] = service.direct([asked], instance.port) or [asked]
    with probe.session() as http:
        answer = Exchange(http)
        sample = probe.probe(check, answer)
    if sample["outcome"] not in ("ok", "slow"):
        return (f"some, for the busy check failed: {sample['error']}",)
    return _counted(expressions.search(asked["jobs"], answer.document(), "the busy check"))


def _counted(found: t.Any) -> tuple[str, ...]:
    """What the expression has found, as names."""
    if isinstance(found, list):
        return tuple(wording.one_line(str(each))[:80] for each in found[:MOST])
    if not shapes.number(found):
        return tuple(f"queued {number}" for number in range(1, min(int(found), MOST) + 1))
    return ("some, for the busy check found neither a number nor a list",)
