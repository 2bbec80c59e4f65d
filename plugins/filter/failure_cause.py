# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(failure_cause)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: failure_cause
positional: otherwise
short_description: Why a task failed, in one text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Gives the message of a failed task. Where Ansible says only that something went wrong, it gives what the program or the broken module
    printed, and of a loop the cause of the first item that failed.
options:
  _input:
    description: The result of a task, such as C(ansible_failed_result).
    type: dict
    required: true
  otherwise:
    description: What to say when the result gives no reason.
    type: str
    default: no reason given
"""

EXAMPLES = r"""
- name: Keep what failed
  ansible.builtin.set_fact:
    why: "{{ ansible_failed_task.name }}: {{ ansible_failed_result | mobius.ops.failure_cause }}"
"""

RETURN = r"""
_value:
  description: The cause.
  type: str
"""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"failure_cause": task_result.cause}
