# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore a backup, and show how far that is; documented as the module C(backup_restore)."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.plugin_utils.background import BackgroundAction


class ActionModule(BackgroundAction):
    """The module, shown live."""
