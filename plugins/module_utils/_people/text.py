# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of a message, written when it is sent, so that it says what is so by then."""

from __future__ import annotations

import dataclasses
import datetime
import os
import typing as t

from .._core import clock, dotenv, wording
from .._core.errors import IntegrityError
from .._target import incident_log, records
from .._target.layout import Layout
from . import runbook
from .outbox import Message
from .plan import Plan

#: Letters of a summary that are sent.
_SUMMARY = 1200
#: What follows the id in the key of an incident that was reopened; a number follows.
_ROUND = "_r"


@dataclasses.dataclass(frozen=True)
class Incident:
    """What a message needs of an incident."""

    id: str
    title: str
    severity: int
    opened: datetime.datetime
    #: Whether its levels are still to be paged: it is neither acknowledged nor resolved.
    active: bool = True
    env: str = ""
    release: str = ""
    cause: str = ""
    summary: str = ""
    backup: str = ""
    affected: str = ""
    #: What was done, in some words each.
    done: tuple[str, ...] = ()
    #: How often it was reopened, and when for the last time. Each time its levels are paged from the first one again.
    round: int = 0
    reopened: datetime.datetime | None = None
    #: Levels that its record knows to be paged, from 1.
    paged: frozenset[int] = frozenset()
    #: Levels that were escalated to by hand, from 1 -> when. They are paged although it is acknowledged.
    forced: t.Mapping[int, datetime.datetime] = dataclasses.field(default_factory=dict)
    damaged: bool = False

    @property
    def key(self) -> str:
        """Its name in the outbox."""
        return f"{self.id}{_ROUND}{self.round}" if self.round else self.id

    @property
    def since(self) -> datetime.datetime:
        """When the minutes of its levels begin."""
        return self.reopened or self.opened

    def wants(self, level: int) -> bool:
        """Whether a level, from 0, is still to be paged."""
        return self.active or level + 1 in self.forced


def of_message(layout: Layout, key: str) -> Incident | None:
    """The incident of a message; it wants none of the messages of a round that is over."""
    name, _mark, number = key.partition(_ROUND)
    found = incident(layout, name)
    over = found is not None and not found.damaged and str(found.round or "") != number
    return dataclasses.replace(found, active=False, forced={}) if found and over else found


def id_of(key: str) -> str:
    """The id of the incident with a key."""
    return key.partition(_ROUND)[0]


def incident(layout: Layout, incident_id: str, found: t.Callable[[IntegrityError], t.Any] = lambda error: None) -> Incident | None:
    """An incident from its record; ``None`` when there is none. A damaged one counts as severity 1, opened when the file was written.

    :param found: gets the error of a damaged record.
    """
    path = os.path.join(layout.incidents, incident_id + ".json")
    try:
        written = datetime.datetime.fromtimestamp(int(os.lstat(path).st_mtime), datetime.timezone.utc)
    except FileNotFoundError:
        return None
    try:
        told = records.read(path, records.INCIDENT)
    except IntegrityError as error:
        found(error)
        return Incident(incident_id, "an incident whose record is damaged", 1, written, damaged=True)
    if told is None:  # removed a moment ago
        return None
    values = {name: told.get(name) for name in ("env", "release", "cause")}
    values["backup"] = (told.get("evidence") or {}).get("backup")
    said = {name: value if isinstance(value, str) else "" for name, value in values.items()}
    state = incident_log.state(told)
    return Incident(
        incident_id,
        state.title or "an incident without a title",
        incident_log.number(state.severity),
        state.opened or written,
        state.status == "open",
        env=said["env"],
        release=said["release"],
        cause=said["cause"],
        backup=said["backup"],
        summary=state.summary,
        affected=state.affected,
        done=state.done,
        round=state.round,
        reopened=state.since if state.round else None,
        paged=state.paged,
        forced=state.forced if state.status in ("open", incident_log.ACKNOWLEDGED) else {},
    )


def render(
    layout: Layout, plan: Plan, each: Message, about: Incident | None, now: datetime.datetime, redactor: dotenv.Redactor
) -> tuple[str, str]:
    """Title and body of a message."""
    late = max(0, int((now - each.due).total_seconds() // 60))
    mark = f" [delayed by {late} min]" if late else ""
    instead = [f"Sent here because the channel {each.fallback_of} failed."] if each.fallback_of else []
    if about is None:
        title, lines = each.title, [each.body]
    else:
        title, lines = _of_incident(layout, plan, each, about, now)
    body = "\n".join(filter(None, [*lines, *instead, f"Key: {each.key}"]))
    return wording.one_line(redactor.text(title + mark)), "\n".join(map(wording.printable, redactor.text(body).splitlines()))


def _of_incident(layout: Layout, plan: Plan, each: Message, about: Incident, now: datetime.datetime) -> tuple[str, list[str]]:
    name, env = incident_log.level(about.severity).name, about.env or plan.env
    known = "; ".join(filter(None, [about.summary, *about.done]))
    age = wording.duration(max(0, int((now - about.opened).total_seconds() // 60)) * 60)
    rerun = f"-l {plan.host}"
    return f"SEV{about.severity} {name}: {about.title} ({env}, {plan.host})", [
        f"Severity {about.severity} ({name}), {env}, {plan.host}",
        f"Affected: {about.affected or about.title}" + (f" (release {about.release})" if about.release else ""),
        f"Since: {clock.iso(about.opened)} ({age})",
        f"Known and done: {wording.cut(known, _SUMMARY)}" if known else "",
        f"Backup: {about.backup}" if about.backup and about.backup != "none" else "",
        f"Next: ansible-playbook mobius.ops.status {rerun}",
        f"Acknowledge: ansible-playbook mobius.ops.escalate {rerun} -e mobius_acknowledge={about.id}",
        f"Runbook: {runbook.link(plan.runbook, about.cause, about.severity)}",
        f"Report: {plan.link.replace('{incident}', about.id)}" if plan.link else "",
        f"Record: {os.path.join(layout.incidents, about.id + '.md')} on {plan.host}",
        f"{about.id}, level {each.level + 1}",
    ]
