# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One open incident for each cause, however often a run finds it."""
from __future__ import annotations

import dataclasses
import os
import typing as t

from .._core.errors import IntegrityError
from .._target import incidents, records
from .._target.layout import Layout
from .findings import Cause

#: Name of a cause in the evidence of its incident.
KEY = "maintenance_cause"
#: A cause of this severity or worse opens an incident whenever none is open; a milder one only when it is new.
ALWAYS = 2


def is_open(layout: Layout, cause: str) -> str:
    """The id of the open incident of a cause; empty when there is none. Damaged records are passed over."""
    for name in sorted(os.listdir(layout.incidents)) if os.path.isdir(layout.incidents) else []:
        if not name.endswith(".json"):
            continue
        try:
            record = records.read(os.path.join(layout.incidents, name), records.INCIDENT)
        except (IntegrityError, OSError):
            continue
        if isinstance(record, dict) and record.get("status") == "open" and (record.get("evidence") or {}).get(KEY) == cause:
            return name[:-len(".json")]
    return ""


def opened(layout: Layout, env: str, step: str, cause: Cause, more: dict[str, t.Any]) -> Cause:
    """The cause with its incident, which is opened when it has weight and none is open."""
    found = is_open(layout, cause.name) if cause.severity else ""
    if cause.severity and not found and (cause.new or cause.severity <= ALWAYS):
        record = incidents.open_incident(layout, {
            "title": f"Maintenance: {cause.text.split('. ')[0].rstrip('.')}", "severity": cause.severity, "env": env, "summary": cause.text,
            "evidence": {KEY: cause.name, "step": step, "subjects": list(cause.subjects), **more}})
        found = record["id"]
    return dataclasses.replace(cause, incident=found)
