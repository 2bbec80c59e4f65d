# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watch reads in the application's log: writes outside the shared folders, and the exception behind a failure.

Neither moves a verdict.
"""

from __future__ import annotations

import contextlib

from .._core.errors import OpsError
from .._observe import node_exceptions
from .._service import write_attempts
from .._service.node_service import Service
from .record import Record


def look(record: Record, service: Service | None) -> None:
    """Write down the writes elsewhere that the watch has not reported yet, each folder once."""
    before = record.state.get("write_attempts") or []
    found = write_attempts.joined(before, write_attempts.of(service)) if service else before
    for one in found[len(before) :]:
        record.mark("write_attempt", "WARN", one["message"])
    if len(found) > len(before):
        record.save(write_attempts=found)


def exception(record: Record, service: Service | None) -> str:
    """The last exception that the service printed since its start, in words for the end of a reason; empty when there is none."""
    with contextlib.suppress(OSError, OpsError):
        found = node_exceptions.last(record.redactor.text(service.printed()), service.place()) if service else ""
        return f"; the last exception in its log: {found}" if found else ""
    return ""
