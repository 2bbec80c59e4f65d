# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A diagnosis from beginning to end: what was seen, what it speaks for, and what was mended."""

from __future__ import annotations

import contextlib
import dataclasses
import time

from .._core.errors import OpsError, StateError
from .._incidents import opening
from .._service.node_service import Service
from .._target import history, incidents
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from . import evidence, heap, inspector, remedies, rules
from .evidence import Evidence
from .heap import Heap
from .inspector import Stack
from .rules import Cause

#: Seconds within which a service that was mended must be well, and between two looks.
SETTLES, PAUSE = 20.0, 0.5
#: What to do about code that is known.
_END_IT = (
    f"End that code alone with {rules.PLAY}diagnose -e mobius_fix=true -e mobius_diagnose_inspect=true "
    f"-e mobius_diagnose_interrupt=true, or restart the service with {rules.PLAY}restart"
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What may be done to find out."""

    env: str
    #: Seconds for which processes are watched.
    window: float
    inspect: bool
    fix: bool
    #: Make a snapshot of the heap of the process, with ``inspect``.
    snapshot: bool = False
    #: What all hosts of a run share; empty for one host.
    fleet: str = ""


@dataclasses.dataclass(frozen=True)
class Inside:
    """What Node's inspector told; empty where it was not asked."""

    stack: Stack | None = None
    heap: Heap | None = None
    #: The path of a snapshot of the heap.
    snapshot: str = ""
    #: Why it told nothing.
    refused: str = ""


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was found, and what was done."""

    causes: tuple[Cause, ...]
    evidence: Evidence
    well: bool
    inside: Inside
    fixed: str
    after: tuple[Cause, ...] | None
    incident: str | None

    def message(self) -> str:
        """In some sentences."""
        if self.fixed and self.after is not None:
            left = f" Still found: {self.after[0].text} {self.after[0].todo}." if self.after else " The service is well."
            return f"{self.causes[0].text} {self.fixed}{left}"
        inside = self.inside
        kept = f"Heap snapshot: {inside.snapshot}." if inside.snapshot else ""
        if self.well:
            said = f"{self.evidence.service} is well: every check passes, and nothing was found."
            return " ".join(filter(None, (said, inside.refused, kept)))
        if not self.causes:
            return f"No cause was found, though {self.evidence.failed} of {self.evidence.checks} checks fail: {self.evidence.fault}."
        first, *others = self.causes
        where, todo = inside.refused, first.todo
        if inside.stack:
            where = f"It is in {inside.stack.place}{f', for {inside.stack.request}' if inside.stack.request else ''}."
            todo = _END_IT
        more = f"Also found: {', '.join(cause.name for cause in others)}." if others else ""
        return " ".join(filter(None, (first.text, inside.heap.text() if inside.heap else "", where, f"{todo}.", kept, more)))


def diagnose(layout: Layout, service: Service, asked: Request, allowed: remedies.Allowed) -> Diagnosis:
    """Look, name the cause, and mend it when that is asked for.

    :raises OpsError: when something is to be mended and cannot be; what was found is in its facts.
    """
    seen = evidence.gather(layout, service, allowed.checks, allowed.programs, asked.window)
    causes = tuple(rules.causes(seen))
    inside = _inspected(layout, service, causes, seen, asked)
    stack = inside.stack
    found = Diagnosis(causes, seen, not causes and not seen.failed, inside, "", None, None)
    if not asked.fix or found.well:
        return found
    try:
        cause = remedies.chosen(list(causes))
        done, after = _mended(layout, service, cause, seen, allowed, asked.window)
    except OpsError as error:
        error.facts = {**error.facts, "causes": [dataclasses.asdict(each) for each in causes], "evidence": seen.facts()}
        raise
    with contextlib.suppress(OSError):
        history.record(layout, "mended", cause.text, cause=cause.name, done=done, left=[each.name for each in after])
    incident = opening.open_incident(
        layout,
        {
            "cause": f"diagnosis {cause.name}",
            "fleet": asked.fleet,
            "title": cause.text,
            "severity": 3 if not after else 2,
            "env": asked.env,
            "release": ReleaseStore(layout).live(),
            "summary": done,
            "evidence": {
                "cause": dataclasses.asdict(cause),
                "stack": dataclasses.asdict(stack) if stack else "not looked at",
                "before": seen.facts(),
                "left": [each.text for each in after],
            },
        },
    )
    if not after:
        why = f"the diagnosis has mended it ({done.rstrip('.')}), and found the service well"
        incidents.settle(layout, asked.env, f"diagnosis {cause.name}", why)
    return dataclasses.replace(found, fixed=done, after=after, incident=incident["id"])


def _mended(
    layout: Layout, service: Service, cause: Cause, seen: Evidence, allowed: remedies.Allowed, window: float
) -> tuple[str, tuple[Cause, ...]]:
    """What was done, and what is left. A process that does not go on when its code was ended is restarted."""
    done = remedies.apply(layout, service, cause, seen, allowed)
    after = settled(layout, service, allowed, window)
    if after and cause.name == "loop" and allowed.interrupt:
        more = remedies.apply(layout, service, cause, seen, dataclasses.replace(allowed, interrupt=False))
        return f"{done} It did not go on: {after[0].text} {more}", settled(layout, service, allowed, window)
    return done, after


def _inspected(layout: Layout, service: Service, causes: tuple[Cause, ...], seen: Evidence, asked: Request) -> Inside:
    """What the inspector tells; a process that waits in the system could not close it again, so it is not asked."""
    stack, heap_now, made = None, None, ""
    by_name = {cause.name: cause for cause in causes}
    hung = by_name.keys() & {"blocking_call", "stopped"}
    largest = max(seen.processes, key=lambda each: each.memory, default=None)
    try:
        if asked.inspect and "loop" in by_name:
            stack = inspector.look(by_name["loop"].pid, service.place())
        elif asked.inspect and not hung and "memory" in by_name and by_name["memory"].pid:
            heap_now = heap.look(by_name["memory"].pid)
        if asked.snapshot and asked.inspect:
            if hung or stack or not largest:
                raise StateError("a heap snapshot", "a process that answers", ", ".join(by_name) or "none", "Take it when it does")
            made = heap.snapshot(layout, largest.pid, seen.memory_free)
    except OpsError as error:
        return Inside(stack, heap_now, made, str(error))
    return Inside(stack, heap_now, made)


def settled(layout: Layout, service: Service, allowed: remedies.Allowed, window: float) -> tuple[Cause, ...]:
    """The causes that are left, once the service is well or had its time; none when it is well."""
    deadline = time.monotonic() + SETTLES
    while True:
        seen = evidence.gather(layout, service, allowed.checks, allowed.programs, min(window, 1.0))
        left = rules.causes(seen)
        if (not left and not seen.failed) or time.monotonic() > deadline:
            unwell = Cause(
                "unwell",
                rules.POSSIBLE,
                f"{seen.failed} of {seen.checks} checks fail.",
                (seen.fault,),
                "Look at it with ansible-playbook mobius.ops.status",
            )
            return tuple(left) or ((unwell,) if seen.failed else ())
        time.sleep(PAUSE)
