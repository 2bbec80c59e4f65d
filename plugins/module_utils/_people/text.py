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
from .._target import records
from .._target.incidents import SEVERITIES
from .._target.layout import Layout
from .outbox import Message
from .plan import Plan

#: Letters of a summary that are sent.
_SUMMARY = 1200


@dataclasses.dataclass(frozen=True)
class Incident:
    """What a message needs of an incident."""

    id: str
    title: str
    severity: int
    opened: datetime.datetime
    #: Whether it is still to be paged: neither acknowledged nor closed.
    active: bool = True
    env: str = ""
    release: str = ""
    summary: str = ""
    backup: str = ""


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
        return Incident(incident_id, "an incident whose record is damaged", 1, written)
    if told is None:  # removed a moment ago
        return None
    values = {name: told.get(name) for name in ("title", "env", "release", "summary")}
    values["backup"] = (told.get("evidence") or {}).get("backup")
    said = {name: value if isinstance(value, str) else "" for name, value in values.items()}
    severity = told.get("severity")
    active = not told.get("acknowledged") and told.get("status", "open") == "open"
    try:
        opened = clock.parse(told.get("opened"))
    except (TypeError, ValueError):
        opened = written
    return Incident(incident_id, said.pop("title") or "an incident without a title",
                    severity if severity in tuple(SEVERITIES) and not isinstance(severity, bool) else 1, opened, active, **said)


def render(layout: Layout, plan: Plan, each: Message, about: Incident | None, now: datetime.datetime,
           redactor: dotenv.Redactor) -> tuple[str, str]:
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
    name, env = SEVERITIES[about.severity]["name"], about.env or plan.env
    age = wording.duration(max(0, int((now - about.opened).total_seconds() // 60)) * 60)
    rerun = f"-l {plan.host}"
    return f"SEV{about.severity} {name}: {about.title} ({env}, {plan.host})", [
        f"Severity {about.severity} ({name}), {env}, {plan.host}",
        f"Affected: {about.title}" + (f" (release {about.release})" if about.release else ""),
        f"Since: {clock.iso(about.opened)} ({age})",
        f"Known and done: {wording.cut(about.summary, _SUMMARY)}" if about.summary else "",
        f"Backup: {about.backup}" if about.backup and about.backup != "none" else "",
        f"Next: ansible-playbook mobius.ops.status {rerun}",
        f"Acknowledge: ansible-playbook mobius.ops.escalate {rerun} -e mobius_acknowledge={about.id}",
        f"Report: {plan.link.replace('{incident}', about.id)}" if plan.link else "",
        f"Record: {os.path.join(layout.incidents, about.id + '.md')} on {plan.host}",
        f"{about.id}, level {each.level + 1}",
    ]
