# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mends a cause that was found, by the gentlest means that do: nothing is ended by its name, and no release or data is touched."""

from __future__ import annotations

import dataclasses
import os
import signal
import stat

from .._core import accounts, foreign, processes
from .._core.errors import StateError
from .._deploy import restart as deploy_restart
from .._deploy import ways
from .._jobs import ending, listing
from .._service.node_service import Service
from .._target import shared_folders
from .._target.layout import Layout
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from . import inspector
from .evidence import Evidence
from .rules import Cause

#: Seconds that a job has to end after SIGTERM.
JOB = 10.0


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What may be done, and with what the service is checked after a restart."""

    #: End the code that a hung event loop is in, instead of a restart: that request is lost, and no other.
    interrupt: bool
    checks: list[Check]
    #: Seconds until it must be ready.
    timeout: float
    programs: list[str]


def chosen(causes: list[Cause]) -> Cause:
    """The cause to mend. :raises StateError: when there is none, two compete, or it is a person's to mend."""
    if not causes:
        raise StateError("the service", "a cause that can be mended", "none", "Look at the evidence, and at mobius.ops.status")
    first = causes[0]
    rivals = [cause for cause in causes[1:] if cause.confidence == first.confidence and cause.remedy != first.remedy]
    if rivals:
        raise StateError(
            "the service",
            "one cause to mend",
            " and ".join([first.name, *(cause.name for cause in rivals)]),
            f"Mend them one by one: {first.todo}. Then {rivals[0].todo[0].lower()}{rivals[0].todo[1:]}",
        )
    if not first.remedy:
        raise StateError(f"cause {first.name}", "one that can be mended here", "one that is for a person to mend", first.todo)
    return first


def apply(layout: Layout, service: Service, cause: Cause, seen: Evidence, allowed: Allowed) -> str:
    """Mend a cause; what was done, in a sentence. :raises OpsError: when it cannot be done."""
    if cause.remedy == "continue":
        ticks = processes.start_ticks(cause.pid)
        if ticks is None or not processes.send(cause.pid, ticks, signal.SIGCONT):
            raise StateError(f"process {cause.pid}", "to be there still", "that it has ended", "Run this again")
        return f"Process {cause.pid} goes on (SIGCONT)."
    if cause.remedy == "jobs":
        return _end_jobs(service, cause, allowed)
    if cause.remedy == "folders":
        return _mend_folders(layout, service, seen)
    if cause.name == "loop" and allowed.interrupt:
        stack = inspector.look(cause.pid, service.place(), interrupt=True)
        return f"The code was ended that the event loop was in: {stack.place}{f', {stack.request}' if stack.request else ''}."
    deploy_restart.restart(ways.of(ReleaseStore(layout), service, allowed.checks, allowed.timeout))
    return f"{service.name} was restarted."


def _end_jobs(service: Service, cause: Cause, allowed: Allowed) -> str:
    verdict = cause.name.removeprefix("job_")
    found = listing.listed(service, allowed.programs)
    meant = {(job["pid"], job["ticks"]) for job in listing.watched(found, _window(cause)) if job["verdict"] == verdict}
    ended = [ending.end(service, job, JOB, True, 0.0) for job in found if (job.pid, job.ticks) in meant]
    if not ended:
        raise StateError("the render", f"to be {verdict} still", "that it goes on, or has ended", "Run this again")
    return "Ended " + ", ".join(f"{one.job.name} ({one.how})" for one in ended) + "."


def _window(cause: Cause) -> float:
    """Seconds for which a job is watched once more before it is ended: one that is stuck is ended for good."""
    return 5.0 if cause.name == "job_stuck" else 1.0


def _mend_folders(layout: Layout, service: Service, seen: Evidence) -> str:
    """Make what lacks, and give the service's user back its folders."""
    account = accounts.named(service.spec["user"])
    entries = shared_folders.load(layout)
    done = []
    for component in dict.fromkeys(entry["component"] for entry in entries):
        base = layout.component(component)
        bad = [one for one in seen.folders if one.error and (one.path == base or one.path.startswith(base + os.sep))]
        if not bad:
            continue
        _settle(base, "", account)
        shared_folders.complete(base, entries, component)
        for one in bad:
            _settle(base, os.path.relpath(one.path, base) if one.path != base else "", account)
            done.append(one.path)
    return "Owner and mode were set again of " + ", ".join(done) + "."


def _settle(base: str, beneath: str, account: accounts.Account) -> None:
    with foreign.folder(base, beneath) as descriptor:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o777
        foreign.settle(descriptor, account.uid, account.gid, mode | 0o700)
