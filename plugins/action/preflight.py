# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure how far a target's clock is off, then let the module preflight judge; documented as that module."""

from __future__ import annotations

import time
import typing as t

from ansible.plugins.action import ActionBase


def skew(before: float, told: str, after: float) -> float | None:
    """Seconds that a clock is surely ahead of ours (behind below 0), when it told the time between *before* and *after*.

    What the way there and back takes is not counted against it. ``None`` when it told no time.
    """
    try:
        there = float(told.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return there - after if there > after else there - before if there < before else 0.0


class ActionModule(ActionBase):
    """Run the module with ``clock_skew``."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, object] | None = None) -> dict[str, object]:
        """Ask the time, then run the module."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        try:
            wanted = float(args.get("max_clock_skew") or 0) > 0
        except (TypeError, ValueError):
            wanted = False  # the module says what is wrong with it
        if wanted:
            before = time.time()
            answer = self._low_level_execute_command("date -u +%s.%N", sudoable=False)
            measured = skew(before, str(answer.get("stdout", "")), time.time())
            if measured is not None:
                args["clock_skew"] = measured
        return self._execute_module(module_name="mobius.ops.preflight", module_args=args, task_vars=task_vars)
