# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(logs_page)."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.mobius.ops.plugins.filter.status_page import table
from ansible_collections.mobius.ops.plugins.module_utils._core.wording import cut, human_size
from ansible_collections.mobius.ops.plugins.module_utils._logs.report_types import Answered, ErrorGroup, Explained, RouteFigures
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result
from ansible_collections.mobius.ops.plugins.plugin_utils.log_types import LogReport

DOCUMENTATION = r"""
name: logs_page
short_description: Lay out the report of logs as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes tables for people of what M(mobius.ops.log_report) returned, and says in one word and one sentence what came of it.
positional: _input
options:
  _input:
    description: The result of M(mobius.ops.log_report), also of one that failed.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is in the logs
  ansible.builtin.debug:
    msg: "{{ (logs_found | mobius.ops.logs_page).page }}"
"""

RETURN = r"""
_value:
  description:
    - C(page), the text; C(outcome), one word; C(good), whether it is a good one; C(message), a sentence or two; C(new), the templates of
      errors that are new since the last deploy.
  type: dict
"""

#: How the playbook may end.
OUTCOMES = ("no_errors", "errors_found", "new_errors_found", "no_logs", "not_read")
#: Characters of a template, of a route and of a line, and rows of each table.
_TEMPLATE = 76
_ROUTE = 44
_LINE = 110
_ROWS = 12
#: Lines that are shown of each kind of difference; the page with charts has more of them.
_EXAMPLES = 5


def name_of(source: str) -> str:
    """A log by the end of its path."""
    return os.path.basename(source) or source


def ms(value: float | None) -> str | None:
    """Milliseconds, as short as they tell enough."""
    return None if value is None else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def errors(found: list[ErrorGroup]) -> list[str]:
    """Errors by template."""
    rows = [
        [
            one["count"],
            ("NEW " if one["new"] else "") + cut(one["template"], _TEMPLATE),
            one["first"] or None,
            one["last"] or None,
            one["release"] or None,
            one["incident"] or None,
        ]
        for one in found
    ]
    return table(["lines", "error", "first", "last", "release", "incident"], rows)


def routes(found: list[RouteFigures]) -> list[str]:
    """Routes with their times."""
    timed = [one for one in found if one["timed"]]
    rows = [
        [
            ("" if one["exact"] else "~") + str(one["requests"]),
            cut(one["route"], _ROUTE),
            one["slow"],
            ms(one["p50_ms"]),
            ms(one["p95_ms"]),
            ms(one["p99_ms"]),
            name_of(one["source"]),
        ]
        for one in timed
    ]
    return table(["requests", "route", "slow", "p50", "p95", "p99", "log"], rows)


def counted(found: list[Answered]) -> list[str]:
    """Requests by route and status."""
    return table(
        ["requests", "route", "status", "log"],
        [[one["count"], cut(one["route"], _ROUTE), one["status"] or None, name_of(one["source"])] for one in found],
    )


def explained(found: dict[str, Explained]) -> list[str]:
    """How the greps of the runbook and the report differ."""
    said = {"errors": "grep -i error", "times": 'grep "response.*time"', "writes": 'grep "POST\\|PUT\\|DELETE"'}
    lines = table(
        ["lines of", "both find", "only the grep", "only the report"],
        [[said[name], one["both"], one["grep_only"], one["report_only"]] for name, one in found.items()],
    )
    for name, one in found.items():
        for found_by in ("grep", "report"):
            those = [each for each in one["lines"] if each["found_by"] == found_by]
            lines += [
                f"  {name}: only the {found_by} finds {name_of(each['file'])}:{each['number']}: {cut(each['line'], _LINE)}"
                for each in those[:_EXAMPLES]
            ]
    return lines


def page_of(result: LogReport, rows: int = _ROWS) -> list[str]:
    """The lines of the page."""
    logs = [
        [name_of(one["source"]), one["lines"], one["requests"], one["failed"], one["refused"], one["errors"], one["malformed"]]
        for one in result["sources"]
    ]
    lines = ["Logs", *table(["log", "lines", "requests", "5xx", "4xx", "error lines", "malformed"], logs)]
    lines += ["Errors", *errors(result["errors"][:rows])]
    lines += ["  " + f"and {result['error_groups'] - rows} more"] if result["error_groups"] > rows else []
    lines += ["Requests that failed", *counted(result["failures"][:rows])] if result["failures"] else []
    lines += ["Routes, by the time they take together", *routes(result["routes"][:rows])] if result["routes"] else []
    lines += ["Writes", *counted(result["writes"][:rows])] if result["writes"] else []
    clients = [[one["writes"], one["client"], name_of(one["source"])] for one in result["clients"][:rows]]
    lines += ["Who wrote", *table(["writes", "client", "log"], clients)] if clients else []
    lines += ["Greps of the runbook", *explained(result["explained"])] if result.get("explained") else []
    lines += [
        f"Read: {human_size(sum(one['bytes'] for one in result['read']))} of {len(result['read'])} files"
        + (", details of a sample" if result["sampled"] else "")
    ]
    lines += [f"  {one['path']}: {one['trouble']}" for one in result["read"] if one["trouble"]]
    lines += [f"  {one['path']}: {one['why']}" for one in result["passed"]]
    return lines


def logs_page(result: LogReport) -> dict[str, object]:
    """The page, and what comes of it."""
    if "sources" not in result:
        message = task_result.cause(result, "The logs could not be read.")
        return {"page": message, "outcome": "not_read", "good": False, "message": message, "new": []}
    failed = any(one["failed"] for one in result["sources"])  # requests that were answered by 5xx, which may leave no line of an error
    outcome = (
        "no_logs"
        if not result["lines"]
        else "new_errors_found"
        if result["new_errors"]
        else "errors_found"
        if result["errors"] or failed
        else "no_errors"
    )
    where = f" Page: {result['report']}." if result.get("report") else ""
    trouble = f" {result['report_trouble']}" if result.get("report_trouble") else ""
    return {
        "page": "\n".join(page_of(result)),
        "outcome": outcome,
        "good": True,
        "message": result["message"] + where + trouble,
        "new": result["new_errors"],
    }


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"logs_page": logs_page}
