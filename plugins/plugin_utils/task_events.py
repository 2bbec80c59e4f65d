# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What callbacks read from tasks and results, by the names of every ansible-core."""

from __future__ import annotations

import typing as t

from . import step_lines


def step_of(task: t.Any) -> str:
    """The step that a task belongs to: what its variables or its file say; of a task outside of this collection, its name."""
    told = task.get_vars().get("mobius_step")
    if told:
        return str(told)
    path = task.get_path() or ""
    if "/mobius/ops/" in path or (task._role is not None and task._role._role_collection == "mobius.ops"):
        return step_lines.step_at(path)
    return task.get_name().rpartition(" : ")[2]


def parts(result: t.Any) -> tuple[t.Any, str, dict[str, object]]:
    """Task, host and a copy of the result, from which the default callback takes parts away; by the names of every core."""
    if hasattr(result, "task"):
        return result.task, result.host.get_name(), dict(result.result)
    return result._task, result._host.get_name(), dict(result._result)
