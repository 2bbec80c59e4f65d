# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The summary of a run as one message to people. It goes through the outbox, so it is tried again when a receiver is down."""

from __future__ import annotations

import typing as t

from .._core import clock, wording
from .._core.errors import OpsError, StateError
from .._core.html_page import count
from .._incidents import opening
from .._people import paging, plan
from .._people.outbox import SENT, Outbox
from .._people.plan import Plan
from .._target.layout import Layout
from .findings import ATTENTION, DONE, FAILED
from .request import ALWAYS, NEVER, Request
from .trends import Told

#: The setting with the names of those who get it; and the severity whose first level gets it without.
SETTING, _SEVERITY = "mobius_maintenance_summary_to", 4
#: Letters of a step's sentence.
_TEXT = 300


class Run(t.Protocol):
    """What a message needs of a report."""

    @property
    def cadence(self) -> str:
        """The list that was run."""

    @property
    def env(self) -> str:
        """Its environment."""

    @property
    def steps(self) -> tuple[Told, ...]:
        """What each step said."""

    @property
    def page(self) -> str:
        """Path of the page."""

    @property
    def incidents(self) -> tuple[str, ...]:
        """The incidents that it opened."""


def check(layout: Layout, request: Request) -> None:
    """:raises OpsError: when the setting names someone whom this host does not know."""
    if request.summary_to:
        paging.require_known(plan.load(layout), request.summary_to, SETTING)


def send(layout: Layout, request: Request, run: Run) -> tuple[tuple[str, ...], str]:
    """Send the summary where one is wanted; the channels that have taken it, and what is wrong in a sentence."""
    good = all(step.status == DONE for step in run.steps)
    if request.summary == NEVER or (good and request.summary != ALWAYS):
        return (), ""
    try:
        try:
            known = plan.load(layout)
        except StateError:
            if request.summary_to:
                raise
            return (), ""  # nobody is known, and nobody is wanted
        names = request.summary_to or _first_level(known)
        if not names:
            return (), ""
        posted = paging.post(layout, known, list(names), title(run, known), body(layout, run, known), clock.now(), SETTING)
    except (OpsError, OSError) as error:
        return (), f"The summary was not sent: {error}"
    return _outcome(layout, posted, opening.page(layout))


def _first_level(known: Plan) -> tuple[str, ...]:
    """Whom the mildest severity's own chain names first."""
    return next((level.notify for level in known.people.chains.get(_SEVERITY, ())), ())


def _outcome(layout: Layout, posted: paging.Posted, error: str) -> tuple[tuple[str, ...], str]:
    sent: list[str] = []
    waiting: list[str] = []
    box = Outbox(layout)
    for channel in posted.channels:
        try:
            found = box.read((posted.name, 0, channel))
        except OpsError as damage:
            return tuple(sent), f"The summary waits: {damage}"
        if found and found.status == SENT:
            sent.append(channel)
        else:
            waiting.append(f"{channel} ({found.error})" if found and found.error else channel)
    if not waiting:
        return tuple(sent), ""
    return tuple(sent), f"The summary waits for {wording.listed(waiting)}, and is tried again." + (f" {error}" if error else "")


def title(run: Run, known: Plan) -> str:
    """What the message says first."""
    counts = {status: sum(step.status == status for step in run.steps) for status in (FAILED, ATTENTION)}
    said = [f"{count(counts[FAILED], 'step')} failed"] * bool(counts[FAILED])
    said += [f"{count(counts[ATTENTION], 'step')} {'needs' if counts[ATTENTION] == 1 else 'need'} attention"] * bool(counts[ATTENTION])
    return f"{run.cadence.capitalize()} maintenance: {', '.join(said) or 'all is well'} ({run.env}, {known.host})"


def body(layout: Layout, run: Run, known: Plan) -> str:
    """Every step, what is open because of it, the next command and where the page is."""
    lines = [
        f"{word}: {step.title}: {wording.cut(step.text, _TEXT)}"
        for word, status in (("Failed", FAILED), ("Attention", ATTENTION))
        for step in run.steps
        if step.status == status
    ]
    done = [step.title for step in run.steps if step.status == DONE]
    lines += [f"Done: {'; '.join(done)}"] * bool(done)
    failed = any(step.status == FAILED for step in run.steps)
    if run.incidents:
        lines += [f"Incidents: {', '.join(run.incidents)}", f"Next: ansible-playbook mobius.ops.incidents -l {known.host}"]
    elif failed:
        lines.append(f"Next: ansible-playbook mobius.ops.maintenance -l {known.host} -e mobius_cadence={run.cadence}")
    return "\n".join(lines + [f"Page: {run.page} on {known.host}"] * bool(run.page))
