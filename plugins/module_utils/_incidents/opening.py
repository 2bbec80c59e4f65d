# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Open an incident, let it gather its evidence, and page its people. The record is on disk first, so nothing keeps it from being opened."""

from __future__ import annotations

import contextlib

from .._core.errors import OpsError
from .._people import service as people_service
from .._target import incident_log, incidents
from .._target.layout import Layout
from .._target.record_types import Incident
from . import evidence


def open_incident(layout: Layout, facts: incidents.Opening) -> Incident:
    """Open an incident with all evidence; the facts are those of ``_target.incidents.open_incident``."""
    return complete(layout, incidents.open_incident(layout, facts))


def complete(layout: Layout, record: Incident) -> Incident:
    """Gather the evidence of an incident that was opened, once; the record."""
    if any(event["what"] == incident_log.GATHERED for event in incident_log.events(record)):
        return record
    with contextlib.suppress(OpsError, OSError):
        return incidents.add_evidence(layout, record["id"], evidence.gather(layout, record["env"]))
    return record


def page(layout: Layout) -> str:
    """Page the people of open incidents now, without waiting for a timer; why that was not possible, or nothing."""
    try:
        people_service.escalated(layout)
    except (OpsError, OSError) as error:
        return str(error)
    return ""
