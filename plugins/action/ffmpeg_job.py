# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""List, await, stop or kill ffmpeg jobs, and show how long it takes; documented as the module C(ffmpeg_job)."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.plugin_utils.background import BackgroundAction


class ActionModule(BackgroundAction):
    """The module, shown live."""
