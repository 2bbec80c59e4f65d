# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What actions have in common that draw a page on the controller and write it to the target."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase


class PageAction(ActionBase):
    """An action that writes a page."""

    _requires_connection = True

    def copy_page(self, page: str, path: str, task_vars: t.Mapping[str, object] | None) -> dict[str, object]:
        """Write a page to the target, where its group may read it; what the copy returned."""
        task = self._task.copy()
        task.args = {"content": page, "dest": path, "mode": "0640"}
        task.diff = False
        action = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.copy",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return action.run(task_vars=task_vars)
