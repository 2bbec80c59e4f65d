# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes outside the shared folders, as a watch finds them in what the application prints. They are warnings, and move no verdict."""
from __future__ import annotations

from ansible_collections.mobius.ops.plugins.module_utils import _write_attempts
from ansible_collections.mobius.ops.plugins.module_utils._service import Service
from ansible_collections.mobius.ops.plugins.module_utils._watch_record import Record


def look(record: Record, service: Service | None) -> None:
    """Write down the findings that the watch has not told yet, each folder once."""
    before = record.state.get("write_attempts") or []
    found = _write_attempts.joined(before, _write_attempts.of(service)) if service else before
    for one in found[len(before):]:
        record.mark("write_attempt", "WARN", one["message"])
    if len(found) > len(before):
        record.save(write_attempts=found)
