# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of the deploy lock: it tells which process asks, and knows when the process of a stranded lock has ended.

Only here that can be looked up. Documented as the module C(deploy_lock).
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock

#: Seconds that one call on the target waits, so that a holder that dies meanwhile is noticed.
PATIENCE = 10.0


class Answer(t.TypedDict, total=False):
    """What the module answered; ``waited`` in seconds."""

    failed: bool
    lock: deploy_lock.Shown | None
    waited: float


class ActionModule(ActionBase):
    """Run the module; a lock that is stranded by an earlier run on this controller is taken over, or counts as available."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, object] | None = None) -> Answer:
        """Ask for the lock until it is had, or the time is up."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        state = args.get("state", "held")
        if state not in ("held", "available") or (state == "held" and self._task.check_mode):
            return self._module(args, task_vars)
        # the parent of this worker is the run itself, and lives as long as the lock is needed
        args = {"host": deploy_lock.here(), "process": deploy_lock.process_name(os.getppid()), **args}
        try:
            wait = float(args.pop("wait", 0) or 0)
        except (TypeError, ValueError):
            return self._module(self._task.args, task_vars)  # the module says what is wrong with it
        wait = wait if state == "held" else 0
        began, first = time.monotonic(), self._module(args, task_vars)
        result = first
        while result.get("failed") and (lock := result.get("lock")) and not args.get("token"):
            left = wait - (time.monotonic() - began)
            gone = deploy_lock.is_gone(lock.get("process", ""))
            if not gone and left <= 0:
                return result
            result = self._module({**args, **({"gone": lock["token"]} if gone else {"wait": min(left, PATIENCE)})}, task_vars)
        return result if result is first else {**result, "waited": round(time.monotonic() - began, 1)}

    def _module(self, args: t.Mapping[str, object], task_vars: t.Mapping[str, object] | None) -> Answer:
        return self._execute_module(module_name="mobius.ops.deploy_lock", module_args=args, task_vars=task_vars)
