# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Escalate an incident by hand: the next level of its chain is paged by the next run of the paging."""

from __future__ import annotations

import os

from .._core.errors import StateError
from .._people import escalation, plan, text
from .._people.outbox import Outbox
from .._target import incident_log, incident_record, incidents
from .._target.layout import Layout
from .._target.record_types import Incident


def escalate(layout: Layout, incident_id: str, why: str, check_mode: bool) -> tuple[bool, Incident, str]:
    """Note that the next level is to be paged; whether that changed something, the record, and what comes of it.

    :raises StateError: when there is no such incident, it is over, or all of its levels were paged.
    """
    number = next_level(layout, incident_id)
    changed, record = incidents.change(layout, incident_id, incident_log.ESCALATED, check_mode, why=why, level=number)
    rule = incident_log.level(record["severity"])
    said = (
        f"the next run of mobius.ops.escalate pages level {number}"
        if number
        else (f"this host has no chain for it, so call by yourself: {rule.escalation}; channel {rule.channel}")
    )
    return changed, record, f"{incident_id} is escalated: {said}."


def next_level(layout: Layout, incident_id: str) -> int:
    """The number of the level after all that were paged or escalated to, from 1; 0 when this host has no chain.

    :raises StateError: when all levels were.
    """
    incident_record.read(layout, incident_id)
    about = text.incident(layout, incident_id)
    if about is None or not os.path.lexists(plan.record_path(layout)):
        return 0
    levels = escalation.chain(plan.load(layout).people, about.severity)
    used = {*(level + 1 for level in Outbox(layout).decisions(about.key)), *about.paged, *about.forced}
    number = max(used, default=0) + 1
    if levels and number > len(levels):
        raise StateError(
            f"incident {incident_id}: all {len(levels)} levels of its chain were paged",
            todo="Call the people that ansible-playbook mobius.ops.contacts shows",
        )
    return number if levels else 0
