# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(backup_page)."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.mobius.ops.plugins.filter.status_page import made_for, remarks, table
from ansible_collections.mobius.ops.plugins.module_utils._backup.backup_types import BackupFacts
from ansible_collections.mobius.ops.plugins.module_utils._core.wording import human_size

DOCUMENTATION = r"""
name: backup_page
short_description: Lay out the backups of a host as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a table for people of what M(mobius.ops.backup_info) returned, one line an archive, newest first.
options:
  _input:
    description: The backups that M(mobius.ops.backup_info) returned.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the backups
  ansible.builtin.debug:
    msg: "{{ info.backups | mobius.ops.backup_page }}"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""


def backup_page(backups: list[BackupFacts]) -> str:
    """The folder, and below it a line an archive."""
    folders = sorted({os.path.dirname(backup["archive"]) for backup in backups})
    head = ["archive", "created", "size", "release", "status", "reason", "for"]
    return "\n".join(
        [
            *(f"In {folder}" for folder in folders),
            *table(
                head,
                [
                    [
                        os.path.basename(backup["archive"]),
                        backup["created"],
                        human_size(backup["size"]) if backup["size"] is not None else "-",
                        backup["release"],
                        backup["status"],
                        remarks(backup),
                        made_for(backup),
                    ]
                    for backup in backups
                ],
            ),
        ]
    )


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"backup_page": backup_page}
