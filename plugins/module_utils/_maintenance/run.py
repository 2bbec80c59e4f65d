# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run of maintenance: every step of a cadence, each by itself; then the page, the summary, and what is kept.

``run(layout, Request.read(mapping))`` is all of it. It needs nothing of Ansible.
"""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

from .._core import clock, dotenv, fs, interrupt, locks
from .._core.errors import InputError, OpsError, StateError
from .._core.html_page import count
from .._target import history, records
from .._target.layout import Layout
from .._target.progress import Meter
from . import bounded, monthly, opening, page, performance, quarterly, state, storage, trends, weekly
from . import summary as summary_message
from .findings import ATTENTION, DONE, FAILED, PLANNED, Cause, Context, Found
from .request import Request
from .trends import Told

#: Seconds to wait for another run: timers of several cadences may fire at once.
WAIT = 7200.0
#: Severity of the incident when a step could not be taken; of one that proves that data can be had back.
_NOT_TAKEN, _RECOVERY = 3, 2


class Step(t.NamedTuple):
    """A tick-box of the runbook."""

    name: str
    #: As the runbook has it.
    title: str
    work: t.Callable[[Context], Found]
    #: Whether it has the longer time limit.
    long: bool = False
    #: Whether it proves that data can be had back.
    grave: bool = False


STEPS: dict[str, tuple[Step, ...]] = {
    "weekly": (
        Step("log_patterns", "Review monitoring logs for patterns", weekly.log_patterns),
        Step("disk_space", "Check disk space usage", weekly.disk_space),
        Step("backup_integrity", "Verify backup integrity", weekly.backup_integrity, True, True),
        Step("dependencies", "Update dependencies if needed", weekly.dependencies),
        Step("log_rotation", "Review and rotate log files", weekly.log_rotation),
    ),
    "monthly": (
        Step("performance", "Performance analysis and optimization", performance.analysis),
        Step("security_patches", "Security patch review and application", monthly.security_patches, True),
        Step("capacity", "Capacity planning review", monthly.capacity),
        Step("documentation", "Documentation updates", monthly.documentation),
        Step("recovery_test", "Disaster recovery test", monthly.recovery_test, True, True),
    ),
    "quarterly": (
        Step("full_restore", "Full system backup and restore test", quarterly.full_restore, True, True),
        Step("security_audit", "Security audit", quarterly.security_audit),
        Step("benchmark", "Performance benchmarking", performance.benchmark),
        Step("cost", "Infrastructure cost review", quarterly.cost),
        Step("training", "Team training updates", quarterly.training),
    ),
}


@dataclasses.dataclass(frozen=True)
class Report:
    """What came of a run."""

    cadence: str
    env: str
    host: str
    started: str
    ended: str
    steps: tuple[Told, ...]
    message: str
    #: Path of the page; empty when it could not be written.
    page: str = ""
    #: Ids of incidents that are open because of what was found.
    incidents: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Channels that have taken the summary.
    summary_sent: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether every step was taken."""
        return all(step.status != FAILED for step in self.steps)


def chosen(request: Request) -> tuple[Step, ...]:
    """The steps of a request. :raises InputError: when it names one that its cadence has not."""
    steps = STEPS[request.cadence]
    names = [step.name for step in steps]
    unknown = [name for name in request.steps if name not in names]
    if unknown:
        raise InputError(f"steps of {request.cadence}", f"some of {', '.join(names)}", repr(unknown[0]), "Correct mobius_maintenance_steps")
    return tuple(step for step in steps if not request.steps or step.name in request.steps)


def run(layout: Layout, request: Request, meter: Meter | None = None, check: bool = False) -> Report:
    """Take every step of a cadence, whatever comes of the others.

    :param check: only tell which steps there are.
    :raises InputError: when the request cannot be done.
    :raises StateError: when the host was not set up, or another run does not end.
    """
    layout.require()
    steps, started, host = chosen(request), clock.iso(), os.uname().nodename
    if check:
        planned = tuple(Told(step.name, step.title, PLANNED, "It would be taken.") for step in steps)
        return Report(request.cadence, request.env, host, started, started, planned, f"{count(len(planned), 'step')} would be taken.")
    try:
        with interrupt.interruptible("maintenance"), locks.locked(layout.path("state", "maintenance.lock"), WAIT, 1.0):
            return _run(layout, request, steps, meter or Meter(), started)
    except BlockingIOError:
        raise StateError("maintenance", f"another run to end within {WAIT / 3600:g} h", "none", "Wait for it, or end it") from None


def _run(layout: Layout, request: Request, steps: tuple[Step, ...], meter: Meter, started: str) -> Report:
    past, note = state.load(layout)
    context = Context(layout, request, past.with_samples(storage.samples(Context(layout, request, past))))
    told, now = [], context.past
    for step in steps:
        found, seconds = _take(context, step, meter)
        causes = [dataclasses.replace(cause, new=_is_new(cause, context.before(step.name))) for cause in found.causes]
        more = {"evidence": list(found.evidence), "page": _page(layout, request)}
        causes = [opening.opened(layout, request, step.title, cause, more) for cause in causes]  # before it counts as known
        now = now.with_step(step.name, found.status, [*found.seen, *_subjects(causes)], found.figures)
        told.append(trends.told(step.name, step.title, dataclasses.replace(found, causes=tuple(causes)), past, now, seconds))
        state.save(layout, now)  # a run that is ended keeps what it had
    now = dataclasses.replace(now, runs={**now.runs, request.cadence: started})
    state.save(layout, now)
    return _conclude(layout, request, told, started, [note] if note else [])


def _take(context: Context, step: Step, meter: Meter) -> tuple[Found, float]:
    """A step in a process of its own; what came of it, and its seconds."""
    request, began = context.request, time.monotonic()
    meter.phase(step.name)
    try:
        answer = bounded.call(
            lambda inner: dataclasses.asdict(step.work(dataclasses.replace(context, meter=inner))),
            request.long_timeout if step.long else request.step_timeout,
            meter,
            step.name,
        )
        causes = tuple(Cause(**{**cause, "subjects": tuple(cause["subjects"])}) for cause in answer["causes"])
        found = Found(**{**answer, "evidence": tuple(answer["evidence"]), "seen": tuple(answer["seen"]), "causes": causes})
    except OpsError as error:
        severity = _RECOVERY if step.grave else _NOT_TAKEN
        text = f"The step was not taken: {error}"
        found = Found(FAILED, text, (), (Cause(f"step_{step.name}", severity, text, (step.name,)),), seen=context.past.seen(step.name))
    return found, round(time.monotonic() - began, 2)


def _subjects(causes: t.Iterable[Cause]) -> list[str]:
    return [f"cause:{cause.name}:{subject}" for cause in causes for subject in cause.subjects or ("",)]


def _is_new(cause: Cause, before: frozenset[str]) -> bool:
    """Whether the last run did not find it, or not of all subjects."""
    return not before.issuperset(_subjects([cause]))


def _page(layout: Layout, request: Request) -> str:
    return layout.path("reports", f"maintenance-{request.cadence}.html")


def _conclude(layout: Layout, request: Request, told: list[Told], started: str, notes: list[str]) -> Report:
    """The page, the event in the history, and the summary."""
    redactor, where = dotenv.Redactor(layout.env_file), _page(layout, request)
    shown = tuple(Told.read(redactor.value(dataclasses.asdict(step))) for step in told)
    ids = tuple(dict.fromkeys(cause.incident for step in shown for cause in step.causes if cause.incident))
    report = Report(
        request.cadence,
        request.env,
        os.uname().nodename,
        started,
        clock.iso(),
        shown,
        summary(request.cadence, shown, ids),
        where,
        ids,
        tuple(notes),
    )
    try:
        fs.write_text(where, page.render(report), 0o640)
    except OSError as error:
        report = dataclasses.replace(report, page="", warnings=(*report.warnings, f"{where}: the page was not written: {error.strerror}."))
    counts = {status: sum(step.status == status for step in shown) for status in (DONE, ATTENTION, FAILED)}
    history.record(layout, "maintenance", request.cadence, env=request.env, report=report.page, **counts)
    sent, trouble = summary_message.send(layout, request, report)
    return dataclasses.replace(report, summary_sent=sent, warnings=(*report.warnings, *([trouble] if trouble else [])))


def summary(cadence: str, steps: t.Sequence[Told], ids: t.Sequence[str]) -> str:
    """All of it in some sentences: how many steps, what failed, what needs attention, and which incidents are open."""
    done = sum(step.status == DONE for step in steps)
    text = f"{cadence.capitalize()} maintenance: {done} of {count(len(steps), 'step')} done."
    for word, status in (("Failed", FAILED), ("Attention", ATTENTION)):
        for step in steps:
            if step.status == status:
                text += f" {word}, {step.name.replace('_', ' ')}: {step.text}"
    return text + (f" Incidents: {', '.join(ids)}." if ids else "")


def last(layout: Layout) -> dict[str, str]:
    """Cadence -> time of its last run."""
    record = records.read(state.path(layout), records.MAINTENANCE)
    return dict(record["runs"]) if record else {}
