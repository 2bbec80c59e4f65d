# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drill a restore, and show how far it is; documented as the module C(backup_drill)."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.plugin_utils.background import BackgroundAction


class ActionModule(BackgroundAction):
    """The module, shown live."""
