# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One open incident for each cause, however often a run finds it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._target import incidents
from .._target.layout import Layout
from .findings import Cause
from .request import Request

#: A cause of this severity or worse opens an incident whenever none is open; a milder one only when it is new.
ALWAYS = 2


def key(cause: str) -> str:
    """The cause that an incident is of."""
    return f"maintenance {cause}"


def opened(layout: Layout, request: Request, step: str, cause: Cause, more: t.Mapping[str, object]) -> Cause:
    """The cause with its incident, which is opened when it has weight and none is open."""
    known = incidents.open_of_cause(layout, request.env, key(cause.name)) if cause.severity else None
    found = str(known["id"]) if known else ""
    if cause.severity and not found and (cause.new or cause.severity <= ALWAYS):
        record = incidents.open_incident(
            layout,
            {
                "title": f"Maintenance: {cause.text.split('. ')[0].rstrip('.')}",
                "severity": cause.severity,
                "env": request.env,
                "fleet": request.fleet,
                "summary": cause.text,
                "cause": key(cause.name),
                "evidence": {"step": step, "subjects": list(cause.subjects), **more},
            },
        )
        found = record["id"]
    return dataclasses.replace(cause, incident=found)
