# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runbook's monthly tasks but performance: patches, capacity, documentation, and the recovery test."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import typing as t

from .._backup import signature
from .._core import dotenv, foreign, systemd, wording
from .._core.errors import OpsError
from .._core.html_page import count
from .._observe import health
from .._restore.drill import drill
from .._restore.drill import plan as drill_plan
from .._restore.drill.drill_types import Step
from .._service import registry as service_registry
from .._service import unit_file
from .._service.node_service import Service
from .._target.releases import ReleaseStore
from . import packages, storage, weekly
from .findings import DONE, FAILED, Cause, Context, Found, judged, listed, many
from .forecast import DiskFacts, Forecast, ForecastFacts, Sample, forecast

#: Where an application documents its variables.
EXAMPLES = (".env.example", ".env.sample", "env.example")
_NAME = re.compile(r"^(#?)\s*(?:export\s+)?([A-Z][A-Z0-9_]*)=", re.M)


def security_patches(context: Context) -> Found:
    """What apt, needrestart and npm have to tell; only what is new since the last run asks for attention.

    Nothing is installed unless the request asks for it, and then only security patches of Debian.
    """
    problems: list[str] = []
    before = context.before("security_patches")
    applied = packages.tried(lambda: _applied(context), problems, [])
    patches = packages.tried(packages.patches, problems, [])
    security = [one for one in patches if one.security]
    age = packages.tried(packages.age_of_lists, problems, None)
    if age is None or age > context.request.apt_days:
        told = "were never fetched" if age is None else f"are {age:.0f} days old"
        problems.append(f"The lists of Debian's packages {told}, so newer patches are not known here. Run: apt-get update.")
    waiting = packages.tried(packages.restarts, problems, ([], False))
    names = [*waiting[0], *(["kernel"] if waiting[1] else [])] if waiting else []
    vulnerable: list[packages.Vulnerable] = []
    for folder in packages.folders(os.path.realpath(context.layout.current)):
        vulnerable += packages.tried(packages.Npm(folder, context.request.npm_environment).vulnerable, problems, [])
    restart = [name for name in names if f"restart:{name}" not in before]
    sentences = [f"An upgrade is not in effect yet, because these were not restarted: {listed(restart)}."] if restart else []
    seen = [
        *(f"patch:{one.name}:{one.new}" for one in security),
        *(f"vulnerable:{one.name}" for one in vulnerable),
        *(f"restart:{name}" for name in names),
        *(sorted(before) if problems else []),
    ]  # what could not be asked is still known
    lines = [f"applied: {one.told()}" for one in applied] + [f"security: {one.told()}" for one in security]
    lines += [f"npm: {one.told()}" for one in vulnerable]
    lines.append(f"{count(len(patches) - len(security), 'further upgrade')} of Debian without a security fix")
    lines.append(_restarts(waiting is None, names))
    well = f"{many(applied, 'security patch of Debian', 'was were', 'security patches of Debian')} applied. " if applied else ""
    well += f"Nothing is new since the last run; {len(security)} of Debian and {len(vulnerable)} of npm are known."
    return judged(
        [*sentences, *problems],
        _new_packages(security, vulnerable, before),
        well,
        evidence=lines,
        seen=tuple(seen),
        figures={"security_patches": float(len(security)), "vulnerable": float(len(vulnerable))},
    )


def _restarts(unknown: bool, names: list[str]) -> str:
    if unknown:
        return "needrestart is not installed, so nothing tells which services run old code"
    return f"needrestart: {listed(names, 9) or 'nothing'} to restart"


def _applied(context: Context) -> list[packages.Patch]:
    """The security patches that were installed, when that is asked for."""
    security = [one for one in packages.patches() if one.security] if context.request.apply_patches else []
    if security:
        context.meter.phase("apply", 0, len(security))
        packages.apply(security)
    return security


def _new_packages(security: list[packages.Patch], vulnerable: list[packages.Vulnerable], before: frozenset[str]) -> list[Cause]:
    """Causes of what the last run did not report."""
    new = [one for one in security if f"patch:{one.name}:{one.new}" not in before]
    causes = (
        [
            Cause(
                "security_patch",
                3,
                f"{many(new, 'security patch of Debian', more='security patches of Debian')} new: "
                f"{listed([one.told() for one in new])}. Apply with: apt-get upgrade, in a "
                "maintenance window.",
                tuple(f"{one.name} {one.new}" for one in new),
            )
        ]
        if new
        else []
    )
    cause = weekly.vulnerability([one for one in vulnerable if f"vulnerable:{one.name}" not in before])
    return causes + ([cause] if cause else [])


def capacity(context: Context) -> Found:
    """When each file system is full."""
    causes: list[Cause] = []
    lines: list[str] = []
    figures: dict[str, float] = {}
    drawn: list[DiskFacts] = []
    sentences = []
    for disk in storage.disks(context):
        samples = of_disk(context, disk)
        found = forecast(samples, disk.free)
        lines.append(f"{disk.mount}: {wording.human_size(disk.used)} of {wording.human_size(disk.size)} used; {told(found)}")
        drawn.append(
            {
                "mount": disk.mount,
                "used": disk.used,
                "size": disk.size,
                "samples": [list(one) for one in samples],
                "forecast": t.cast(ForecastFacts, dataclasses.asdict(found)),
                "told": told(found),
            }
        )
        if found.likely is not None and found.likely < context.request.disk_days:
            causes.append(
                Cause(
                    "disk_will_be_full",
                    2 if found.likely < 7 else 3,
                    f"{disk.mount} {told(found)}. Make room, lower what is kept, or give it a larger disk.",
                    (disk.mount,),
                )
            )
        elif found.kind == "uncertain":
            sentences.append(f"{disk.mount} {told(found)}.")
        if found.days is not None:
            figures[f"{disk.mount} full_in_days"] = round(found.days, 1)
        figures[f"{disk.mount} used_bytes"] = float(disk.used)
    sizes = storage.parts(context)
    lines += [f"{name}: {wording.human_size(size)}" for name, size in sizes.items() if size]
    figures.update({f"{name}_bytes": float(size) for name, size in sizes.items()})
    well = " ".join(f"{one['mount']} {one['told']}." for one in drawn) or "No file system was found."
    return judged(sentences, causes, well, evidence=lines, figures=figures, details={"disks": drawn})


def of_disk(context: Context, disk: storage.Disk) -> list[Sample]:
    """One sample a day: of earlier runs, where there is none of watches, and of now."""
    days = storage.of_watches(context.layout, disk)
    days.update({one.day: float(one.used) for one in context.past.samples if one.mount == disk.mount})
    return [Sample(datetime.date.fromisoformat(day).toordinal(), used) for day, used in sorted(days.items())]


def told(found: Forecast) -> str:
    """A forecast in words."""
    if found.kind == "too_few":
        return f"has too few samples for a forecast: {found.samples} of 7 days, one is added by each run and each watch"
    if found.kind == "steady":
        return "is not going to be full within ten years"
    days = [f"{days:.0f}" if days is not None else "never" for days in (found.soonest, found.latest)]
    when = f"will be full in about {found.days:.0f} days ({days[0]} to {days[1]})" if found.days is not None else "does not grow"
    growth = f"{wording.human_size(abs(found.rate))} a day{' less' if found.rate < 0 else ''}"
    if found.kind == "uncertain":
        other = f"{wording.human_size(abs(found.second))} a day{' less' if found.second < 0 else ''}"
        return f"{when}, which is uncertain: the steps of the days tell {growth}, their smoothed trend {other}"
    return f"{when}, at {growth}"


def documentation(context: Context) -> Found:
    """Whether what is written down is what runs: settings, unit, release, and the variables that the application documents."""
    layout = context.layout
    service = service_registry.load(layout, context.request.service)
    causes, lines = [], []
    drifted = service.restart_needed()
    if drifted:
        causes.append(Cause("setting_drifted", 3, f"{wording.restart_needed(drifted)}", tuple(drifted)))
    causes += _unit(service)
    live, running = ReleaseStore(layout).live(), service.status().get("release")
    if running and live and running != live:
        causes.append(
            Cause(
                "release_drifted", 2, f"Release {running} runs, and {live} should. Run the deploy or the rollback again.", (str(running),)
            )
        )
    lacking, unknown = _variables(context)
    if lacking:
        text = f".env lacks {listed(lacking)}, which the release documents. Set {'it' if len(lacking) == 1 else 'them'} in mobius_dotenv."
        causes.append(Cause("variable_missing", 0, text, tuple(lacking)))
    lines += [f"set in .env, and not documented by the release: {name}" for name in unknown]
    lines.append(f"release {live or 'none'}, running {running or 'none'}; changed settings without a restart: {len(drifted)}")
    return judged(
        [],
        causes,
        "Settings, unit, release and documented variables are what runs.",
        evidence=lines,
        figures={"drifted": float(len(causes))},
    )


def _unit(service: Service) -> list[Cause]:
    single = service.spec["manager"] == "systemd" and not service.spec.get("slots")
    name = f"{service.name}.service"
    unit = systemd.read_unit(name) if single else ""
    if not unit or unit == unit_file.render(service.spec):
        return []
    return [Cause("unit_drifted", 3, f"The unit {name} is not what the settings make. Run: mobius.ops.setup.", (name,))]


def _variables(context: Context) -> tuple[list[str], list[str]]:
    """Variables that a release documents and ``.env`` has not, and the reverse; nothing of a release that documents none."""
    release = os.path.realpath(context.layout.current)
    texts = [foreign.read_end(os.path.join(release, name), foreign.SMALL) for name in EXAMPLES]
    found = _NAME.findall(next(filter(None, texts), ""))
    with contextlib.suppress(OpsError):
        given = set(dotenv.read(context.layout.env_file))
        needed = {name for mark, name in found if not mark}
        return sorted(needed - given - dotenv.PUBLIC), sorted(given - {name for _mark, name in found} - dotenv.PUBLIC) if found else []
    return [], []


def recovery_test(context: Context) -> Found:
    """The newest backup is restored beside the live data, compared, opened, and started."""
    return drilled(context, None)


def drilled(context: Context, archive: str | None) -> Found:
    """A drill of an archive, of the newest one by default. A service that something else deploys has no release that could be started."""
    request, layout = context.request, context.layout
    starts = request.drill_start and service_registry.load(layout, request.service).deployed
    policy = signature.policy(request.allowed_signers or None, request.signer)
    checks = health.normalize_all(list(request.drill_checks or request.checks), request.headers, request.secret_headers)
    facts = drill.drill(
        layout,
        drill_plan.Request(
            request.env,
            context.backups,
            request.drill_scratch or layout.root,
            archive,
            request.drill_allow_env or None,
            policy,
            request.service if starts else None,
            request.drill_port,
            request.drill_environment,
            checks,
            request.base_url,
            request.ready_timeout,
            request.long_timeout * 0.9,
        ),
        context.meter,
    )
    lines = [*map(_step, facts["steps"]), *(f"note: {note}" for note in facts["notes"]), f"report: {facts['report']}"]
    if facts["verdict"] != "passed":
        text = f"The drill of {facts['archive'] or facts['env']} failed at the step {facts['step']}: {facts['reason']}"
        return Found(FAILED, text, tuple(lines), (Cause("restore_failed", 2, text, (facts["archive"] or "",)),))
    started = "and the application was well on them" if facts["application"] else "and the application was left out"
    text = (
        f"{os.path.basename(facts['archive'] or '')} can be restored: {count(facts['files'], 'file')} compared, "
        f"{count(len(facts['databases']), 'database')} opened, {started}; recovery time {facts['recovery_time']:.1f} s."
    )
    figures = {"recovery_time_s": facts["recovery_time"] or 0.0, "restored_bytes": float(facts["bytes"])}
    return Found(DONE, text, tuple(lines), figures=figures)


def _step(step: Step) -> str:
    return f"{step['name']}: {step['status']}" + (f", {step['elapsed']:.1f} s" if step["elapsed"] is not None else "")
