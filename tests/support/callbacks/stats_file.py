"""Writes what a playbook left with `set_stats` to a file, as AWX keeps it for the next node of a workflow."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: stats_file
type: notification
short_description: Write set_stats to the file that MOBIUS_STATS_FILE names
description: Writes set_stats to the file that the environment variable MOBIUS_STATS_FILE names, as JSON.
"""


class CallbackModule(CallbackBase):
    """At the end of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "stats_file"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_stats(self, stats):
        """Write what is not of a single host."""
        with open(os.environ["MOBIUS_STATS_FILE"], "w", encoding="utf-8") as stream:
            json.dump(stats.custom.get("_run", {}), stream, default=str)
