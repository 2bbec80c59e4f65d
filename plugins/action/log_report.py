# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw on the controller what the module log_report counted, and write it to the target; documented as that module."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import log_page, watch_charts
from ansible_collections.mobius.ops.plugins.plugin_utils.page_action import PageAction

#: What is said instead of a page. It is no failure: the report itself is there.
NO_PYGAL = (
    "The page was not written: the controller's Python has no package pygal, which draws the charts. "
    "Install it there with pip install pygal, or set mobius_report: false."
)


class ActionModule(PageAction):
    """Count, draw, copy."""

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, object] | None = None) -> dict[str, object]:
        """The module's result, with the path of the page and why there is none."""
        super().run(tmp, task_vars)
        told = self._execute_module(module_name="mobius.ops.log_report", module_args=dict(self._task.args), task_vars=task_vars)
        if told.get("failed") or not told.get("report"):
            return told
        if watch_charts.pygal is None:
            return {**told, "report": "", "report_trouble": NO_PYGAL}
        copied = self.copy_page(log_page.render(told), told["report"], task_vars)
        if copied.get("failed"):
            why = f"The page {told['report']} was not written: {copied.get('msg', 'no reason given')}"
            return {**told, "report": "", "report_trouble": why}
        return {**told, "changed": bool(copied.get("changed"))}
