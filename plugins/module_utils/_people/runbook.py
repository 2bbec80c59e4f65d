# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the runbook says what to do about an incident."""

from __future__ import annotations

import re

from .._target import incident_log

#: The page in the collection's documentation.
PAGE = "docs/runbook.md"
#: Beginning of a cause -> heading of the page.
HEADINGS = (
    ("service_down", "Application Not Responding"),
    ("smoke tests", "Manual Health Checks"),
    ("release ", "Post-rollback Actions"),
    ("backup", "Backup and Recovery"),
    ("verify backups", "Backup and Recovery"),
    ("drill", "Backup and Recovery"),
    ("restore", "Backup and Recovery"),
    ("disk_critical", "Key Metrics"),
    ("host", "Key Metrics"),
    ("watch", "Automated Monitoring Commands"),
    ("diagnosis ", "Common Issues and Solutions"),
    ("alert ", "Common Issues and Solutions"),
    ("maintenance ", "Maintenance Procedures"),
)


def heading(cause: str, severity: int) -> str:
    """The heading that helps with a cause; of a cause that is not in the list that of its severity."""
    of_severity = f"Severity {severity} ({incident_log.level(severity).name.capitalize()})"
    return next((name for begin, name in HEADINGS if cause.startswith(begin)), of_severity)


def link(page: str, cause: str, severity: int) -> str:
    """The address of that heading.

    :param page: the address of the page; empty for its path in the documentation.
    """
    return f"{page or PAGE}#{re.sub(r'[^a-z0-9]+', '-', heading(cause, severity).lower()).strip('-')}"
