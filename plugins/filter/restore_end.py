# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a restore ended: in one word, and in sentences."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: restore_end
positional: archive, check_mode
short_description: How a restore ended, in one word and in sentences
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Derives the outcome from what M(mobius.ops.backup_restore) returned.
options:
  _input:
    description: The result of M(mobius.ops.backup_restore), also of one that failed.
    type: dict
    required: true
  archive:
    description: Path of the archive that was restored; empty when an interrupted restore was only brought to its end.
    type: str
    required: true
  check_mode:
    description: Whether nothing was changed.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Tell how the restore ended
  ansible.builtin.debug:
    msg: "{{ (restored | mobius.ops.restore_end('/srv/mobius/backups/dhash_production_20261127_030000.zip', ansible_check_mode)).message }}"
"""

RETURN = r"""
_value:
  description: V(outcome), one word, as C(mobius_outcome) has it. V(message), sentences for people.
  type: dict
"""

#: Every outcome.
OUTCOMES = ("restored", "recovered", "planned", "swapped_back", "not_serving", "failed")


class Restore(t.TypedDict, total=False):
    """What M(mobius.ops.backup_restore) returns, also when it failed; ``downtime`` in seconds."""

    failed: bool
    restored: list[str]
    serving: bool
    downtime: float | None
    safety_backup: str | None
    previous: str | None
    undone: list[str]
    kept: list[str]
    unmigrated: list[str]
    watch: str | None


def restore_end(task: Restore, archive: str, check_mode: bool) -> dict[str, str]:
    """How a restore ended."""
    outcome = _outcome(task, check_mode)
    said = [_story(task, archive, outcome)]
    undone, previous = task.get("undone") or [], task.get("previous")
    if undone and archive:
        said.append("An earlier restore that was interrupted was undone first.")
    if task.get("kept"):
        said.append(f"What is kept: {', '.join(task['kept'])}.")
    if previous and previous in (task.get("unmigrated") or []) and not check_mode:
        said.append(f"Release {previous} is live on data from before its migration: deploy it again, which migrates.")
    if task.get("watch"):
        said.append("Its watch was ended; watch on with mobius.ops.monitor.")
    return {"outcome": outcome, "message": " ".join(said)}


def _outcome(task: Restore, check_mode: bool) -> str:
    """In one word. One that was refused stopped nothing, so it has no downtime."""
    if task.get("failed"):
        if task.get("downtime") is None:
            return "failed"
        return "swapped_back" if task["serving"] else "not_serving"
    if check_mode:
        return "planned"
    return "restored" if task["restored"] else "recovered"


def _story(task: Restore, archive: str, outcome: str) -> str:
    """The sentences that differ by the outcome."""
    if task.get("failed"):
        return task_result.cause(task)
    names = ", ".join(task["restored"])
    if outcome == "planned":
        return f"would restore {names} from {archive}; nothing was changed."
    if outcome == "restored":
        stopped = "the service was stopped before and stays so: start it with mobius.ops.restart"
        serves = f"downtime {task['downtime']} s" if task["serving"] else stopped
        return f"{names} restored from {archive}, {serves}; what was replaced is in {task['safety_backup']}."
    return f"a restore that was interrupted {'is undone' if task.get('undone') else 'has come to its end'}."


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Its name."""
        return {"restore_end": restore_end}
