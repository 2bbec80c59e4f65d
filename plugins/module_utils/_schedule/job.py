# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that systemd starts when a job is due: ``python -m …_schedule.job ROOT NAME``. Nothing of Ansible is needed for it.

It leaves a record of each run, opens an incident when a job fails that must not, and pages at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
import traceback
import typing as t

from .._core import clock, dotenv, locks, wording
from .._core.errors import InputError, IntegrityError, OpsError
from .._incidents import opening
from .._target import deploy_lock
from .._target.layout import Layout
from . import overview, record, troubles
from .ended import Ended, Wanted
from .jobs import JOBS, Job
from .record import Run

#: Seconds between two looks whether a deploy has ended.
PAUSE = 5.0
#: Seconds to wait for another run of the job, which may only be looked at.
PATIENCE = 5.0
KILLED = "was ended before its end: it was killed, took too long, or the host was restarted"


def main() -> None:
    """``python -m …_schedule.job ROOT NAME``"""
    try:
        status = run(Layout(sys.argv[1]), sys.argv[2])
    except OpsError as error:
        raise SystemExit(str(error)) from error
    raise SystemExit(status)


def run(layout: Layout, name: str) -> int:
    """Run a job that is scheduled; its exit status. :raises OpsError: when it is not."""
    job, schedule = JOBS.get(name), record.require(layout)
    planned = schedule.jobs.get(name)
    if job is None or planned is None:
        raise InputError(f"job {name[:60]!r}: this host has no such job", todo=f"Use one of {', '.join(schedule.jobs) or 'none'}")
    wanted = Wanted(schedule.env, schedule.service, planned.options)
    record.make_folder(layout)
    try:
        with _lock(layout, name, PATIENCE):
            return _alone(layout, job, wanted)
    except BlockingIOError:
        sys.stdout.write(f"{name}: another run of it has not ended.\n")
        return 0


def _lock(layout: Layout, name: str, patience: float) -> t.ContextManager[int]:
    """Whoever runs a job holds it, and whoever notes that a run was killed."""
    return locks.locked(os.path.join(record.folder(layout), f".{name}.lock"), patience)


def _alone(layout: Layout, job: Job, wanted: Wanted) -> int:
    before = _last(layout, job.name)
    opened = [_settle(layout, wanted, before)]
    if job.watches:
        opened += [_settle_other(layout, wanted, name) for name in JOBS if name != job.name]
        opened += [_miss(layout, wanted, name) for name in JOBS]
    begun, began = record.begun(layout, job.name, before), time.monotonic()
    record.note(layout, begun)
    ended = _done(layout, job, wanted)
    redactor = dotenv.Redactor(layout.env_file)
    message = wording.clean(redactor.text(ended.message))
    status = 0 if ended.good or ended.good is None else 1
    now = clock.iso()
    run_ = dataclasses.replace(
        begun,
        ended=now,
        outcome=ended.outcome,
        message=message,
        good=ended.good,
        status=status,
        seconds=round(time.monotonic() - began, 1),
        last_good=now if ended.good else begun.last_good,
    )
    incident, new = _told(layout, job, wanted, dataclasses.replace(ended, message=message))
    record.note(layout, dataclasses.replace(run_, incident=incident))
    if new or any(opened):
        trouble = opening.page(layout)
        message += f" Nobody was paged: {trouble}" if trouble else ""
    sys.stdout.write(f"{ended.outcome.upper()}: {message}\n")
    return status


def _last(layout: Layout, name: str) -> Run | None:
    with contextlib.suppress(IntegrityError):  # the record of this run replaces it
        return record.last(layout, name)
    return None


def _done(layout: Layout, job: Job, wanted: Wanted) -> Ended:
    """Do the job. What goes wrong in it is how it ended."""
    holder = _wait(layout, job.patience) if job.heavy else ""
    if holder:
        return Ended("skipped", f"{job.name} waited {job.patience / 60:.0f} min and was left out: {holder}.", None)
    try:
        return job.run(layout, wanted)
    except OpsError as error:
        return Ended("failed", str(error), False, evidence=_evidence(error))
    except Exception as error:  # of our own making; the record must not say that it still runs
        traceback.print_exc()
        return Ended("failed", f"{job.name} ended with {type(error).__name__}: {error}", False)


def _evidence(error: OpsError) -> dict[str, object]:
    return {name: value for name, value in error.facts.items() if name in ("problems", "aside", "left_out")}


def _wait(layout: Layout, patience: float) -> str:
    """Wait until no deploy holds the host; who does, when that takes too long."""
    deadline = time.monotonic() + patience
    while True:
        lock = deploy_lock.DeployLock(layout).look()
        if lock is None or lock.get("expired"):
            return ""
        if time.monotonic() >= deadline:
            return lock.get("fault") or deploy_lock.DeployLock.holder(lock)
        time.sleep(min(PAUSE, max(0.0, deadline - time.monotonic())))


def _told(layout: Layout, job: Job, wanted: Wanted, ended: Ended) -> tuple[str | None, bool]:
    """Open and resolve incidents; the first one that is open, and whether one is new."""
    found = [*ended.troubles]
    if ended.good is False and job.severity:
        found.insert(0, troubles.of_failure(job.name, f"{job.what} failed", job.severity, ended.message, ended.evidence))
    gone = [*ended.over, *([troubles.cause(job.name)] if ended.good and job.severity else [])]
    for cause in gone:
        troubles.over(layout, wanted, cause, f"it is over: {ended.message}")
    opened = [troubles.open_once(layout, wanted, each) for each in found]
    return opened[0][0] if opened else None, any(new for _id, new in opened)


def _settle_other(layout: Layout, wanted: Wanted, name: str) -> bool:
    """Settle the last run of another job, unless it runs."""
    with contextlib.suppress(BlockingIOError), _lock(layout, name, 0):
        return _settle(layout, wanted, _last(layout, name))
    return False


def _miss(layout: Layout, wanted: Wanted, name: str) -> bool:
    """Open an incident for a job that has not done its work for too long, whatever keeps it from running; whether that is new.

    After a boot, systemd gets the time to make up for what was missed.
    """
    job, planned, run_ = JOBS[name], record.require(layout).jobs.get(name), _last(layout, name)
    if planned is None or job.severity is None or (run_ and run_.state() == "running") or deploy_lock.uptime() < overview.allowed(name):
        return False
    if not overview.late(name, planned, run_, clock.now()):
        return False
    since = run_.last_good if run_ and run_.last_good else "never"
    unit = f"{wanted.service}-{wanted.env}-{name}"
    message = f"The {job.what} is overdue: it last did its work {since}. Look at: systemctl status {unit}.timer {unit}.service"
    return troubles.open_once(layout, wanted, troubles.of_failure(name, f"{job.what} is overdue", job.severity, message, {}))[1]


def _settle(layout: Layout, wanted: Wanted, before: Run | None) -> bool:
    """Note of a run that never ended that it was killed, and open an incident for it; whether that is new."""
    job = JOBS.get(before.job) if before else None
    if before is None or job is None or before.state() != "killed":
        return False
    message = f"The {job.what} that began at {before.began} {KILLED}. Look at: journalctl -u '*-{wanted.env}-{job.name}.service'"
    incident, new = None, False
    if job.severity:
        incident, new = troubles.open_once(layout, wanted, troubles.of_failure(job.name, f"{job.what} failed", job.severity, message, {}))
    record.note(layout, dataclasses.replace(before, ended=clock.iso(), outcome="killed", message=message, good=False, incident=incident))
    return new


if __name__ == "__main__":
    main()
