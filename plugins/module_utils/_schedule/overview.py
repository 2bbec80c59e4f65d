# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host does by itself, as an operator reads it: when each job runs next, how its last run ended, what is overdue."""

from __future__ import annotations

import dataclasses
import datetime

from .._core import clock, html_page, systemd, wording
from .._target import records
from .._target.layout import Layout
from . import record, units
from .jobs import JOBS
from .record import Planned, Run, Schedule

#: Seconds that a run may be late on a busy host.
_SLACK = 60.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One job."""

    job: str
    calendar: str
    #: ``None`` where that cannot be told, as while it runs.
    next: str | None
    #: When its last run ended, or began.
    last: str | None
    #: ``scheduled`` before its first run, ``running``, ``done``, ``skipped``, ``failed``, ``killed``, ``overdue``, or ``stopped`` when its
    #: timer does not run.
    state: str
    outcome: str
    message: str
    seconds: float | None
    incident: str | None
    last_good: str | None
    good: bool


def rows(layout: Layout, findings: records.Findings, now: datetime.datetime | None = None) -> list[Row]:
    """Every job of a host; none when nothing is scheduled."""
    schedule = findings.without(lambda: record.load(layout), None)
    if schedule is None:
        return []
    moment = now or clock.now()
    order = [*(name for name in JOBS if name in schedule.jobs), *(name for name in schedule.jobs if name not in JOBS)]
    return [_row(layout, schedule, name, schedule.jobs[name], findings, moment) for name in order]


def _row(layout: Layout, schedule: Schedule, name: str, planned: Planned, findings: records.Findings, now: datetime.datetime) -> Row:
    run: Run | None = findings.without(lambda: record.last(layout, name), None)
    timer = units.name_of(schedule.service, schedule.env, name) + ".timer"
    state = run.state() if run else "scheduled"
    if state not in ("running", "failed", "killed") and late(name, planned, run, now):
        state = "overdue"
    following = None
    if systemd.is_init():
        if units.active(timer):
            following = units.next_run(timer)
        else:
            state = "stopped"
    good = state in ("scheduled", "running", "done", "skipped")
    last = (run.ended or run.began) if run else None
    return Row(
        name,
        planned.calendar,
        following,
        last,
        state,
        run.outcome if run else "",
        run.message if run else "",
        run.seconds if run else None,
        run.incident if run else None,
        run.last_good if run else None,
        good,
    )


def allowed(name: str) -> float:
    """Seconds that a job of :data:`JOBS` may take from its time to the end of its run."""
    job = JOBS[name]
    return job.delay + job.patience + job.limit + _SLACK


def late(name: str, planned: Planned, run: Run | None, now: datetime.datetime) -> bool:
    """Whether a job should have done its work again by now."""
    if planned.period is None or name not in JOBS:
        return False
    since = max(planned.since, run.last_good if run and run.last_good else planned.since)
    return (now - clock.parse(since)).total_seconds() > planned.period + allowed(name)


def sentence(found: list[Row]) -> str:
    """What is wrong with them and what to do, or that nothing is."""
    bad = [one for one in found if not one.good]
    if not found:
        return "Nothing is scheduled."
    if not bad:
        are = "is" if len(found) == 1 else "are"
        return f"{html_page.count(len(found), 'job')} {are} scheduled: {', '.join(one.job for one in found)}."
    return " ".join(map(_told, bad))


def _told(one: Row) -> str:
    if one.state == "stopped":
        return f"The timer of {one.job} does not run. Run: ansible-playbook mobius.ops.schedule."
    if one.state == "overdue":
        return f"The job {one.job} is overdue: it last did its work {one.last_good or 'never'}. Look at: systemctl list-timers."
    what = f"The job {one.job} {'was killed' if one.state == 'killed' else 'failed'}"
    return f"{what}: {wording.cut(one.message, 400)}" if one.message else f"{what}. Look at: journalctl -u '*-{one.job}.service'"


def facts(found: list[Row]) -> list[dict[str, object]]:
    """The rows as results have them."""
    return [dataclasses.asdict(one) for one in found]
