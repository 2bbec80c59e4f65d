# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host does by itself, and what became of it: ``state/schedule.json``, and ``state/schedule/<job>.json`` of each job's last run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from .._core import clock, fs, processes
from .._core.errors import StateError
from .._target import records
from .._target.layout import Layout

Options = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Planned:
    """One job of a host."""

    #: When it runs, as systemd has it (systemd.time(7), "Calendar events").
    calendar: str
    #: Seconds between two runs at most; ``None`` where that could not be told.
    period: float | None
    #: Since when it is scheduled so.
    since: str
    #: What its module would be given.
    options: Options


@dataclasses.dataclass(frozen=True)
class Schedule:
    """All jobs of a host."""

    env: str
    service: str
    #: The zip file with the code that they run.
    code: str
    jobs: t.Mapping[str, Planned]


def path(layout: Layout) -> str:
    """Where the schedule is."""
    return layout.path("state", "schedule.json")


def load(layout: Layout) -> Schedule | None:
    """The schedule of a host; ``None`` when there is none. :raises IntegrityError: when its record is damaged."""
    found = records.read(path(layout), records.SCHEDULE)
    if found is None:
        return None
    return Schedule(
        found["env"],
        found["service"],
        found["code"],
        {name: Planned(**{each.name: job[each.name] for each in dataclasses.fields(Planned)}) for name, job in found["jobs"].items()},
    )


def require(layout: Layout) -> Schedule:
    """The schedule of a host. :raises StateError: when there is none."""
    found = load(layout)
    if found is None:
        raise StateError(f"root {layout.root}: no schedule", todo="Run the playbook mobius.ops.schedule first")
    return found


def save(layout: Layout, schedule: Schedule) -> None:
    """Put it on disk. Only root reads it: the options may hold headers that are secret."""
    fs.write_json(path(layout), dataclasses.asdict(schedule), 0o600)


def discard(layout: Layout) -> None:
    """Remove it. What became of runs stays."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(layout))
        fs.fsync_dir(layout.state)


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a job: that it began, or how it ended."""

    job: str
    began: str
    pid: int | None = None
    ticks: int | None = None
    #: ``None`` while it runs, and of one that was killed.
    ended: str | None = None
    #: One word, as the playbook of the job has it.
    outcome: str = ""
    message: str = ""
    #: ``None`` of a run that neither did its work nor failed, such as one that a deploy kept from it.
    good: bool | None = None
    seconds: float | None = None
    #: Exit status.
    status: int | None = None
    #: When it last did its work.
    last_good: str | None = None
    incident: str | None = None

    def state(self) -> str:
        """``running``, ``killed``, ``done``, ``skipped`` or ``failed``."""
        if self.ended is None:
            alive = self.pid is not None and processes.is_alive(self.pid, self.ticks)
            return "running" if alive else "killed"
        return "skipped" if self.good is None else "done" if self.good else "failed"


def folder(layout: Layout) -> str:
    """The folder of what became of runs."""
    return layout.path("state", "schedule")


def make_folder(layout: Layout) -> None:
    """Have that folder, which only root reads."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder(layout), 0o700)


def last(layout: Layout, job: str) -> Run | None:
    """The last run of a job; ``None`` when there was none. :raises IntegrityError: when its record is damaged."""
    found = records.read(os.path.join(folder(layout), f"{job}.json"), records.RUN)
    if found is None:
        return None
    return Run(**{each.name: found[each.name] for each in dataclasses.fields(Run) if each.name in found and found[each.name] is not None})


def note(layout: Layout, run: Run) -> None:
    """Put a run on disk."""
    make_folder(layout)
    fs.write_json(os.path.join(folder(layout), f"{run.job}.json"), dataclasses.asdict(run), 0o600)


def begun(layout: Layout, job: str, before: Run | None) -> Run:
    """A run of this process that begins now."""
    return Run(job, clock.iso(), os.getpid(), processes.start_ticks(os.getpid()), last_good=before.last_good if before else None)
