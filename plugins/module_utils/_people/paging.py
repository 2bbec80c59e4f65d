# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide which levels of which incidents are due, and put their messages into the outbox. Fit for a run each minute, or several at once."""

from __future__ import annotations

import dataclasses
import datetime
import os
import typing as t

from .._core import locks
from .._core.errors import InputError, OpsError, StateError
from .._target import history, incident_record, records
from .._target import incidents as target_incidents
from .._target.layout import Layout
from . import escalation, outbox, text
from .outbox import Outbox
from .plan import Plan
from .text import Incident

#: Seconds that another run may take to decide.
PATIENCE = 30.0
#: How long the messages of an incident that is over are kept.
KEEP = datetime.timedelta(days=30)
#: How the names of messages without an incident begin; a date follows.
POSTED = "MSG-"


@dataclasses.dataclass(frozen=True)
class Decided:
    """What a run has decided."""

    #: Incident and number of each level that was paged, from 1.
    paged: tuple[tuple[str, int], ...]
    #: Incidents that are open and whose chain reaches nobody.
    unreached: tuple[str, ...]


def incidents(layout: Layout, findings: records.Findings) -> t.Iterator[Incident]:
    """Every incident of the host."""
    for name in incident_record.names(layout):
        found = text.incident(layout, name, findings.add)
        if found:
            yield found


def decide(layout: Layout, plan: Plan, now: datetime.datetime, findings: records.Findings) -> Decided:
    """Page every level that is due: note the decision, then write its messages. Messages that an earlier run failed to write are made up.

    :raises StateError: when another run decides for longer than :data:`PATIENCE`.
    """
    box = Outbox(layout)
    box.make()
    try:
        with locks.locked(box.lock(), PATIENCE):
            return _decide(layout, plan, box, now, findings)
    except BlockingIOError as error:
        raise StateError(
            "the outbox: another run has been deciding for too long", todo="Find out why it hangs; it holds " + box.lock()
        ) from error


def _decide(layout: Layout, plan: Plan, box: Outbox, now: datetime.datetime, findings: records.Findings) -> Decided:
    box.sweep()
    there = set(box.names())
    box.forget([name for name in there if name[0].startswith(POSTED) and name[0] < f"{POSTED}{now - KEEP:%Y%m%d}"])
    paged: list[tuple[str, int]] = []
    unreached, telling = [], True
    for each in incidents(layout, findings):
        if each.since < plan.since:
            continue
        if not each.active and not each.forced:
            if now - each.since > KEEP:
                box.forget([name for name in there if text.id_of(name[0]) == each.id])
            continue
        decided = findings.without(lambda one=each: box.decisions(one.key), {})  # type: ignore[misc]
        levels = escalation.chain(plan.people, each.severity)
        pages = escalation.due(plan.people, levels, each.since, decided, now) if each.active else []
        pages += escalation.forced(plan.people, levels, each.forced, {*decided, *(page.level for page in pages)}, now)
        if pages:
            decided = {**decided, **{page.level: page for page in pages}}
            box.decide(each.key, decided.values())
            paged += [(each.id, page.level + 1) for page in pages if page.channels]
            _note(layout, each, pages)
        for page in decided.values():
            for channel in page.channels:
                if each.wants(page.level) and (each.key, page.level, channel) not in there:
                    box.add(outbox.message(each.key, page.level, channel, page.due, now))
        telling = telling and _tell(layout, each, decided.values())
        if levels and not decided and not any(escalation.reaches(plan.people, level, now) for level in levels):
            unreached.append(each.id)
    return Decided(tuple(paged), tuple(unreached))


def _note(layout: Layout, each: Incident, pages: list[escalation.Page]) -> None:
    for page in pages:
        why = "" if page.channels else "skipped: it reaches nobody"
        history.record(layout, "paged", why, incident=each.id, level=page.level + 1, channels=list(page.channels))


def _tell(layout: Layout, each: Incident, pages: t.Iterable[escalation.Page]) -> bool:
    """Add to the incident's record what was paged, also what an earlier run did not come to. Paging does not depend on it.

    :returns: whether to go on with other incidents: not while another process hangs with their lock.
    """
    missing = [page for page in pages if page.level + 1 not in each.paged]
    if missing and not each.damaged:
        try:
            target_incidents.note_pages(layout, each.id, [{"level": page.level + 1, "channels": list(page.channels)} for page in missing])
        except incident_record.BusyError:
            return False
        except (OpsError, OSError):
            return True
    return True


class Posted(t.NamedTuple):
    """A message without an incident: its name in the outbox, and the channels that it goes to."""

    name: str
    channels: tuple[str, ...]


def require_known(plan: Plan, names: t.Iterable[str], option: str) -> None:
    """:raises InputError: when one of the names is not a schedule, person or channel."""
    known = {*plan.people.channels, *plan.people.people, *plan.people.schedules}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"{option}: {unknown[0][:60]!r} is not a schedule, person or channel", todo=f"Use one of {', '.join(sorted(known))}"
        )


def post(layout: Layout, plan: Plan, names: list[str], title: str, body: str, now: datetime.datetime, option: str = "to") -> Posted:
    """Put a message without an incident into the outbox, for schedules, people and channels.

    :param option: what gave the names.
    :raises InputError: when a name is unknown, or nobody is reached.
    """
    require_known(plan, names, option)
    channels = escalation.reaches(plan.people, escalation.Level(0, tuple(names)), now)
    if not channels:
        raise InputError(f"{option}: {', '.join(names) or 'an empty list'} reaches no channel now", todo="Name a channel")
    box = Outbox(layout)
    box.make()
    name = f"{POSTED}{now:%Y%m%d-%H%M%S}-{os.urandom(4).hex()}"
    for channel in channels:
        box.add(outbox.message(name, 0, channel, now, now, title=title, body=body))
    return Posted(name, channels)
