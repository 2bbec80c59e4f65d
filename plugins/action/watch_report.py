# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw on the controller what the module watch_report gathered, and write it to the target; documented as that module."""
from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.mobius.ops.plugins.plugin_utils import watch_charts, watch_page


class ActionModule(ActionBase):
    """Gather, draw, copy."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """The path of the page, and whether it is another one than before."""
        super().run(tmp, task_vars)
        if watch_charts.pygal is None:
            # A result instead of an exception, which failed_when does not reach: a page never changes what became of a deploy.
            return {"failed": True, "msg": "Python of the controller: expected the package pygal, which draws the charts, found none. "
                                           "Install it there, with pip install pygal, or leave pages out with mobius_report: false."}
        told = self._execute_module(module_name="mobius.ops.watch_report", module_args=dict(self._task.args), task_vars=task_vars)
        if told.get("failed") or "facts" not in told:
            return told
        facts = told.pop("facts")
        copied = self._copy(watch_page.render(facts), told["report"], task_vars)
        if copied.get("failed"):
            return {**told, "failed": True, "msg": f"{told['report']}: expected to write it, found: {copied.get('msg', 'no reason given')}"}
        watch = facts["watch"]
        return {**told, "changed": bool(copied.get("changed")), "watch_id": watch["id"], "verdict": watch["verdict"] or "",
                "summary": watch_page.summary(facts)}

    def _copy(self, page: str, path: str, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        task = self._task.copy()
        task.args = {"content": page, "dest": path, "mode": "0640"}
        task.diff = False
        action = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy", task=task, connection=self._connection, play_context=self._play_context, loader=self._loader,
            templar=self._templar, shared_loader_obj=self._shared_loader_obj)
        return action.run(task_vars=task_vars)
