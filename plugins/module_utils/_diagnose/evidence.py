# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gathers in one go what tells why a service does not do its work: by utilisation, saturation and errors of each resource (the USE method).

All of it takes a few seconds, whatever hangs. Nothing is changed, but for a file of one byte in each folder of the service, made and
removed with the rights of its user.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import functools
import os
import time
import typing as t

from .._core import accounts, as_user, dotenv, fs, wording
from .._core.errors import OpsError
from .._core.kinds import ServiceStatus
from .._jobs import listing
from .._logs import recent, serving
from .._logs.recent import Recent
from .._observe import health, host_metrics, node_exceptions
from .._service.node_service import Service
from .._target import shared_folders
from .._target.layout import Layout
from .._target.record_types import Check
from . import process_looks
from .process_looks import Process

#: Seconds between the first look and the last.
WINDOW = 3.0
#: Seconds that a check may take here, and that trying a folder may.
ANSWER, TRY = 4.0, 5.0
#: Seconds for which a process that was started again, and does not answer, is taken for one that will end again.
YOUNG = 60.0
#: Seconds of the logs that are looked at, and milliseconds from which on an answer is slow.
RECENT, SLOW_MS = 900.0, 2000.0
#: A file system with less room, in bytes and in inodes, counts as full.
ROOM, INODES = 1024 * 1024, 8


@dataclasses.dataclass(frozen=True)
class Disk:
    """The file system of a folder."""

    path: str
    #: Bytes and inodes that users can still have; no number of inodes where the file system has no limit.
    room: int
    inodes: int | None


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder that the application writes to, tried as its user."""

    path: str
    #: Name of the error, such as ``EACCES``; empty when it takes a file.
    error: str


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What was seen."""

    service: str
    #: As the manager has it: running, restarting, failed, stopped, killed (with its supervisor).
    status: str
    restarts: int
    #: Whether its manager has just started it again and it does not answer yet: it may end the next moment.
    crashing: bool
    uptime: float
    last_exit: str
    #: Why it ended last, or the last exception that it printed; empty when it printed none.
    exception: str
    processes: tuple[Process, ...]
    #: Other programs that listen on its ports, in words.
    strangers: tuple[str, ...]
    #: How many of the checks failed, of how many, the first failure, and whether it was silence.
    failed: int
    checks: int
    fault: str
    silent: bool
    disks: tuple[Disk, ...]
    folders: tuple[Folder, ...]
    #: Programs such as ffmpeg that it has started (``_jobs.listing``).
    jobs: tuple[listing.Watched, ...]
    #: Bytes that programs can still have, and that there are.
    memory_free: int
    memory_whole: int
    #: What the logs tell of the last minutes, since the last deploy at most.
    recent: Recent = dataclasses.field(default_factory=Recent)

    def facts(self) -> dict[str, object]:
        """As a result has it."""
        return dataclasses.asdict(self)


def gather(layout: Layout, service: Service, checks: list[Check], programs: list[str], window: float = WINDOW) -> Evidence:
    """Look at everything.

    :param checks: normalized checks of the service.
    :param programs: names of programs that are jobs.
    :param window: seconds between the first and the last look.
    """
    facts = service.status()
    mains = [main for instance in service.instances() for main in [process_looks.main_of(instance)] if main]
    quick: list[Check] = [{**check, "timeout": min(float(check["timeout"]), ANSWER), "attempts": 1} for check in checks]
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        # the helper of another user is forked before there are other threads
        folders = tuple(_tried(layout, service))
        asked = pool.submit(health.sample_all, quick if mains else [])
        jobs = pool.submit(lambda: listing.watched(listing.listed(service, programs), window))
        looks = pool.submit(process_looks.looks, [main.pid for main in mains], window)
        samples, seen = asked.result(), looks.result()
        working = tuple(jobs.result())
    free, whole = _memory()
    bad = [sample for sample in samples if sample["outcome"] == "failed"]
    silent = bool(bad) and all(sample["kind"] == "timeout" for sample in bad)
    crashing = _crashing(facts, service.status(), bool(bad) and not silent)
    return Evidence(
        service.name,
        facts["status"],
        int(facts["restarts"] or 0),
        crashing,
        float(facts["uptime"] or 0),
        str(facts["last_exit"] or ""),
        _exception(service, facts["status"] == "running" and not crashing),
        tuple(process_looks.process(main, seen[main.pid]) for main in mains if seen[main.pid]),
        tuple(f"{who} on port {instance.port}" for instance in service.instances() for who in instance.strangers(instance.port)),
        len(bad),
        len(samples),
        wording.printable(health.first_fault(samples)),
        silent,
        tuple(_disks(layout)),
        folders,
        working,
        free,
        whole,
        _recent(layout),
    )


def _recent(layout: Layout) -> Recent:
    with contextlib.suppress(OpsError, OSError):  # a record that is damaged, or a disk that does not answer
        past = serving.Past(layout)
        moment = max(time.time() - RECENT, past.last_deploy or 0)
        return recent.look([layout.path("shared", "logs", "*.log")], moment, SLOW_MS, past, dotenv.Redactor(layout.env_file).text)
    return Recent()


def _crashing(first: ServiceStatus, last: ServiceStatus, refused: bool) -> bool:
    """Whether a service that runs in a look ends again and again: most of a short life is the start, in which it looks well.

    :param refused: whether checks failed otherwise than by silence.
    """
    if first["status"] != "running" or last["status"] == "stopped":
        return False
    again = int(last["restarts"] or 0) > int(first["restarts"] or 0) or last["status"] in ("restarting", "failed")
    return again or bool(refused and last["restarts"] and float(last["uptime"] or 0) < YOUNG)


def _exception(service: Service, runs: bool) -> str:
    printed, place = service.printed(), service.place()
    return node_exceptions.last(printed, place) if runs else node_exceptions.ending(printed, place)


def _disks(layout: Layout) -> t.Iterator[Disk]:
    seen = set()
    for path in host_metrics.places(layout):
        with contextlib.suppress(OSError, OpsError):
            device, point, facts = host_metrics.patient(functools.partial(host_metrics.look, path), path)
            if device not in seen:
                seen.add(device)
                yield Disk(point, facts.f_bavail * facts.f_frsize, facts.f_favail if facts.f_files else None)


def _tried(layout: Layout, service: Service) -> t.Iterator[Folder]:
    links = shared_folders.links(layout, shared_folders.load(layout))
    places = sorted({place for path, place in links.items() if path != shared_folders.ENV[0]})
    try:
        errors = as_user.run(accounts.named(service.spec["user"]), try_folders, places, seconds=TRY, written=4096)
    except (OpsError, OSError, as_user.Failed) as error:
        errors = [wording.printable(str(error))] * len(places)
    return (Folder(place, error) for place, error in zip(places, errors))


def try_folders(places: list[str]) -> list[str]:
    """Make and remove a file of one byte in each folder: the name of the error of each, empty where it worked."""
    return [_try_folder(place) for place in places]


def _try_folder(place: str) -> str:
    name = f".mobius-try-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
            try:
                fs.write_all(descriptor, b"x")
            finally:
                os.close(descriptor)
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


def _memory() -> tuple[int, int]:
    """Bytes that programs can still have, and that there are (proc(5), ``meminfo``)."""
    with contextlib.suppress(OSError, ValueError, KeyError), open("/proc/meminfo", encoding="ascii") as stream:
        facts = {name: int(rest.split()[0]) * 1024 for name, _colon, rest in (line.partition(":") for line in stream)}
        return facts["MemAvailable"], facts["MemTotal"]
    return 0, 0
