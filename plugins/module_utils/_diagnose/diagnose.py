# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A diagnosis from beginning to end: what was seen, what it speaks for, and what was mended."""
from __future__ import annotations

import contextlib
import dataclasses
import time

from .._core.errors import OpsError
from .._incidents import opening
from .._service.node_service import Service
from .._target import history, incidents
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from . import evidence, inspector, remedies, rules
from .evidence import Evidence
from .inspector import Stack
from .rules import Cause

#: Seconds within which a service that was mended must be well, and between two looks.
SETTLES, PAUSE = 20.0, 0.5
#: What to do about code that is known.
_END_IT = (f"End that code alone with {rules.PLAY}diagnose -e mobius_fix=true -e mobius_diagnose_inspect=true "
           f"-e mobius_diagnose_interrupt=true, or restart the service with {rules.PLAY}restart")


@dataclasses.dataclass(frozen=True)
class Request:
    """What may be done to find out."""

    env: str
    #: Seconds for which processes are watched.
    window: float
    inspect: bool
    fix: bool


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was found, and what was done."""

    causes: tuple[Cause, ...]
    evidence: Evidence
    well: bool
    stack: Stack | None
    #: Why the inspector told nothing; empty when it did, or was not asked.
    not_inspected: str
    fixed: str
    after: tuple[Cause, ...] | None
    incident: str | None

    def message(self) -> str:
        """In some sentences."""
        if self.fixed and self.after is not None:
            left = f" Still found: {self.after[0].text} {self.after[0].todo}." if self.after else " The service is well."
            return f"{self.causes[0].text} {self.fixed}{left}"
        if self.well:
            return f"{self.evidence.service} is well: every check passes, and nothing was found."
        if not self.causes:
            return f"No cause was found, though {self.evidence.failed} of {self.evidence.checks} checks fail: {self.evidence.fault}."
        first, *others = self.causes
        where, todo = self.not_inspected, first.todo
        if self.stack:
            where = f"It is in {self.stack.place}{f', for {self.stack.request}' if self.stack.request else ''}."
            todo = _END_IT
        more = f"Also found: {', '.join(cause.name for cause in others)}." if others else ""
        return " ".join(filter(None, (first.text, where, f"{todo}.", more)))


def diagnose(layout: Layout, service: Service, asked: Request, allowed: remedies.Allowed) -> Diagnosis:
    """Look, name the cause, and mend it when that is asked for.

    :raises OpsError: when something is to be mended and cannot be; what was found is in its facts.
    """
    seen = evidence.gather(layout, service, allowed.checks, allowed.programs, asked.window)
    causes = tuple(rules.causes(seen))
    stack, refused = _inspected(service, causes, asked.inspect)
    found = Diagnosis(causes, seen, not causes and not seen.failed, stack, refused, "", None, None)
    if not asked.fix or found.well:
        return found
    try:
        cause = remedies.chosen(list(causes))
        done = remedies.apply(layout, service, cause, seen, allowed)
    except OpsError as error:
        error.facts = {**error.facts, "causes": [dataclasses.asdict(each) for each in causes], "evidence": seen.facts()}
        raise
    after = settled(layout, service, allowed, asked.window)
    with contextlib.suppress(OSError):
        history.record(layout, "mended", cause.text, cause=cause.name, done=done, left=[each.name for each in after])
    incident = opening.open_incident(layout, {
        "cause": f"diagnosis {cause.name}", "title": cause.text, "severity": 3 if not after else 2, "env": asked.env,
        "release": ReleaseStore(layout).live(), "summary": done,
        "evidence": {"cause": dataclasses.asdict(cause), "stack": dataclasses.asdict(stack) if stack else "not looked at",
                     "before": seen.facts(), "left": [each.text for each in after]}})
    if not after:
        why = f"the diagnosis has mended it ({done.rstrip('.')}), and found the service well"
        incidents.settle(layout, asked.env, f"diagnosis {cause.name}", why)
    return dataclasses.replace(found, fixed=done, after=after, incident=incident["id"])


def _inspected(service: Service, causes: tuple[Cause, ...], wanted: bool) -> tuple[Stack | None, str]:
    for cause in causes if wanted else ():
        if cause.name == "loop":  # one that waits in the system could not close its inspector again
            try:
                return inspector.look(cause.pid, service.place()), ""
            except OpsError as error:
                return None, str(error)
    return None, ""


def settled(layout: Layout, service: Service, allowed: remedies.Allowed, window: float) -> tuple[Cause, ...]:
    """The causes that are left, once the service is well or had its time; none when it is well."""
    deadline = time.monotonic() + SETTLES
    while True:
        seen = evidence.gather(layout, service, allowed.checks, allowed.programs, min(window, 1.0))
        left = rules.causes(seen)
        if (not left and not seen.failed) or time.monotonic() > deadline:
            unwell = Cause("unwell", rules.POSSIBLE, f"{seen.failed} of {seen.checks} checks fail.", (seen.fault,),
                           "Look at it with ansible-playbook mobius.ops.status")
            return tuple(left) or ((unwell,) if seen.failed else ())
        time.sleep(PAUSE)
