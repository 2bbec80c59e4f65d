# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring about the schedule of a host: its record, its code, its timers."""

from __future__ import annotations

import dataclasses
import os
import sys
import typing as t

from .._backup import asked
from .._core import clock
from .._core.errors import InputError
from .._maintenance import summary
from .._people import plan as people_plan
from .._service import detach
from .._service import registry as service_registry
from .._target import tenancy
from .._target.layout import Layout
from . import job as program
from . import record, sampling, units, upkeep
from .ended import Wanted
from .jobs import CADENCES, JOBS
from .record import Planned, Schedule

OFF = ("", "off", "false", "no", "none")
_PYTHON = "/usr/bin/python3"
#: Where commands of a job are looked for.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be scheduled."""

    env: str
    service: str
    #: Job -> when, as systemd has it.
    calendars: t.Mapping[str, str]
    #: Module -> its options, all of them and in their types.
    options: t.Mapping[str, t.Any]


def calendars(given: t.Mapping[str, t.Any]) -> dict[str, str]:
    """When each job runs, without those that are off. :raises InputError: when there is no such job."""
    for name in given:
        if name not in JOBS:
            raise InputError(f"mobius_schedule: {str(name)[:60]!r} is no job", todo=f"Use some of {', '.join(JOBS)}")
    return {name: str(given[name]).strip() for name in JOBS if name in given and str(given[name]).strip().lower() not in OFF}


@dataclasses.dataclass(frozen=True)
class Plan:
    """A schedule with its units."""

    schedule: Schedule
    units: dict[str, str]


def plan(layout: Layout, request: Request, write: bool) -> Plan:
    """What the request asks for.

    :param write: whether the code is written.
    :raises OpsError: when it cannot be done, or a job could not do its work.
    """
    periods = {name: units.period(name, calendar) for name, calendar in request.calendars.items()}
    _require(layout, request)
    before = record.load(layout)
    (_python, *argv), environment = detach.command(layout, program, layout.root, write)
    environment = {
        "PATH": PATH,
        "MOBIUS_OPERATOR": "schedule",
        **{name: value for name, value in environment.items() if name.startswith("PYTHON")},
    }
    jobs, texts = {}, {}
    for name, calendar in request.calendars.items():
        options = {module: request.options[module] for module in JOBS[name].takes if request.options.get(module) is not None}
        old = before.jobs.get(name) if before else None
        since = old.since if old and old.calendar == calendar else clock.iso()
        jobs[name] = Planned(calendar, periods[name], since, options)
        unit = units.name_of(request.service, request.env, name)
        texts.update(units.texts(layout, unit, JOBS[name], calendar, [_interpreter(), *argv, name], environment, _outside(layout, options)))
    return Plan(Schedule(request.env, request.service, environment["PYTHONPATH"], jobs), texts)


def _interpreter() -> str:
    """This Python, by the name that it keeps when the distribution brings a newer one."""
    return _PYTHON if os.path.realpath(_PYTHON) == os.path.realpath(sys.executable) else sys.executable


def _require(layout: Layout, request: Request) -> None:
    """:raises OpsError: when a job could not do its work, for reasons that can be known now."""
    tenancy.require_env(layout, request.env)
    tenancy.require_own_units(layout, [units.name_of(request.service, request.env, name) for name in JOBS])
    if "backup" in request.calendars:
        asked.backup_request({**request.options["backup"], "env": request.env}, layout)
        if request.options.get("prune"):
            asked.prune_request({**request.options["prune"], "env": request.env}, layout)
    for cadence in CADENCES:
        if cadence in request.calendars:
            summary.check(layout, upkeep.request(cadence, Wanted(request.env, request.service, request.options)))
    if "escalate" in request.calendars:
        people_plan.load(layout)
    if "metrics" in request.calendars:
        sampling.Request.read(request.options["metrics"], request.service)
        service_registry.load(layout, request.service)


def _outside(layout: Layout, options: t.Mapping[str, t.Any]) -> list[str]:
    """Folders outside of the root that a job writes to."""
    found = [os.path.abspath(one["dest"]) for one in options.values() if one.get("dest")]
    return [path for path in dict.fromkeys(found) if not (path + os.sep).startswith(layout.root + os.sep)]


def known(layout: Layout, service: str, env: str) -> list[str]:
    """Names of all units that this root may have: of this request, and of the schedule that is there."""
    there = record.load(layout)
    pairs = dict.fromkeys([(service, env), *([(there.service, there.env)] if there else [])])
    return [units.name_of(*pair, name) for pair in pairs for name in dict.fromkeys([*JOBS, *(there.jobs if there else [])])]


def present(layout: Layout, request: Request, check_mode: bool) -> tuple[bool, Plan, Schedule | None]:
    """Schedule what is asked for; whether that changes something, the plan, and what was there."""
    units.require_systemd()
    before = record.load(layout)
    wanted = plan(layout, request, not check_mode)
    names = known(layout, request.service, request.env)
    changed = before != wanted.schedule or not units.complete(wanted.units, names)
    if changed and not check_mode:
        record.save(layout, wanted.schedule)
        units.apply(wanted.units, names)
    return changed, wanted, before


def absent(layout: Layout, service: str, env: str, check_mode: bool) -> tuple[bool, Schedule | None]:
    """Remove all timers; whether there was one, and the schedule that was there."""
    before, names = record.load(layout), known(layout, service, env)
    there = units.installed(names)
    if not check_mode:
        if there:
            units.apply({}, names)
        record.discard(layout)
    return bool(there or before), before
