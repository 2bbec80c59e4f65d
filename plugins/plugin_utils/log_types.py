# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What M(mobius.ops.log_report) returns, for mypy: at run time it is a dictionary."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.module_utils._logs.report_types import Report


class LogReport(Report, total=False):
    """A report as the controller has it. ``report_trouble`` says why there is no page."""

    report_trouble: str
