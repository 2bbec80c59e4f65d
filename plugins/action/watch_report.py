# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw on the controller what the module watch_report gathered, and write it to the target; documented as that module."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import watch_charts, watch_page
from ansible_collections.mobius.ops.plugins.plugin_utils.page_action import PageAction


class ActionModule(PageAction):
    """Gather, draw, copy."""

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, object] | None = None) -> dict[str, object]:
        """The path of the page, and whether it is another one than before."""
        super().run(tmp, task_vars)
        if watch_charts.pygal is None:
            # A result instead of an exception, which failed_when does not reach: a page never changes what became of a deploy.
            return {
                "failed": True,
                "msg": "Python of the controller: expected the package pygal, which draws the charts, found none. "
                "Install it there, with pip install pygal, or leave pages out with mobius_report: false.",
            }
        told = self._execute_module(module_name="mobius.ops.watch_report", module_args=dict(self._task.args), task_vars=task_vars)
        if told.get("failed") or "facts" not in told:
            return told
        facts = told.pop("facts")
        copied = self.copy_page(watch_page.render(facts), told["report"], task_vars)
        if copied.get("failed"):
            return {**told, "failed": True, "msg": f"{told['report']}: expected to write it, found: {copied.get('msg', 'no reason given')}"}
        watch = facts["watch"]
        return {
            **told,
            "changed": bool(copied.get("changed")),
            "watch_id": watch["id"],
            "verdict": watch["verdict"] or "",
            "summary": watch_page.summary(facts),
        }
