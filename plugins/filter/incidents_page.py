# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(incidents_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.filter.status_page import due, table
from ansible_collections.mobius.ops.plugins.module_utils._core.wording import cut, listed, one_line
from ansible_collections.mobius.ops.plugins.module_utils._target.incident_list import Summary
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result
from ansible_collections.mobius.ops.plugins.plugin_utils.status_types import Incidents, WholeIncident

DOCUMENTATION = r"""
name: incidents_page
short_description: Lay out the incidents of all hosts as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a table for people of what M(mobius.ops.incident_info) returned on each host. An incident of a fleet is in it once.
positional: _input, id
options:
  _input:
    description: The result of M(mobius.ops.incident_info) by host, also of one that failed.
    type: dict
    required: true
  id:
    description: The incident that was asked for; its clocks and its timeline are shown then.
    type: str
    default: ""
  show:
    description: What was asked for, as O(show) of M(mobius.ops.incident_info).
    type: str
    default: open
  review:
    description: Whether to show the template of the review too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the incidents of one host
  ansible.builtin.debug:
    msg: "{{ ({'web1': listed} | mobius.ops.incidents_page).page }}"
"""

RETURN = r"""
_value:
  description:
    - C(page), the text; C(outcome), one word; C(good), whether it is a good one; C(message), a sentence or two; C(ids), the incidents of
      the list; C(hosts), the hosts that have the incident that was asked for; C(problem), why it cannot be changed.
  type: dict
"""

#: How the playbook may end.
OUTCOMES = ("no_incidents", "incidents_listed", "incident_shown", "overdue", "not_found", "not_read")
_TITLE = 60


def merged(results: dict[str, Incidents]) -> list[tuple[list[str], Summary]]:
    """Incidents with the hosts that have them; those of a fleet once, with the worst severity and all that is late."""
    found: dict[tuple[str, str], tuple[list[str], Summary]] = {}
    for host, result in results.items():
        for one in result.get("incidents") or []:
            key = (one["id"], one["fleet"] or host)
            hosts, known = found.get(key, ([], one))
            found[key] = ([*hosts, host], min(known, one, key=lambda each: (each["severity"], -len(each["overdue"]))))
    return sorted(sorted(found.values(), key=lambda each: str(each[1]["opened"]), reverse=True), key=lambda each: int(each[1]["severity"]))


def rows(found: list[tuple[list[str], Summary]]) -> list[str]:
    """The table."""
    return table(
        ["id", "severity", "status", "phase", "opened", "hosts", "taken by", "due", "what"],
        [
            [
                one["id"],
                f"{one['severity']} {one['severity_name']}",
                one["status"],
                one["phase"],
                one["opened"] or None,
                listed(hosts, 4),
                one["acknowledged_by"] or None,
                due(one),
                cut(one_line(one["title"]), _TITLE) + (f" ({one['again']} times again)" if one["again"] else ""),
            ]
            for hosts, one in found
        ],
    )


def in_full(one: WholeIncident) -> list[str]:
    """An incident with clocks and timeline."""
    clocks = [[each["name"], each["due"], each["met"] or ("OVERDUE" if each["overdue"] else None)] for each in one["clocks"]]
    return [
        "",
        "Clocks",
        *table(["what", "by", "done"], clocks),
        "",
        "Timeline",
        *(f"  {line}" for line in one["timeline"]),
        f"  Evidence: {one['record']['path'][: -len('.json')]}.md",
    ]


def _failed(results: dict[str, Incidents]) -> list[str]:
    """Hosts that gave no answer, with the reason."""
    return [f"{host}: {task_result.cause(result, 'it gave no answer.')}" for host, result in results.items() if "incidents" not in result]


def _asked(results: dict[str, Incidents], name: str) -> tuple[list[str], str]:
    """Hosts that have an incident, and why it cannot be changed."""
    having = {host: one["summary"] for host, result in results.items() if (one := result.get("incident"))}
    if not name:
        return [], "mobius_incident: none was given. Choose one that mobius.ops.incidents shows."
    failed = _failed(results)
    if not having and failed:
        return [], " ".join(failed)
    if not having:
        return [], f"{name}: no host of this run has such an incident. Choose one that mobius.ops.incidents shows."
    keys = {summary["fleet"] or host for host, summary in having.items()}
    if len(keys) > 1:
        return list(having), f"{name}: this is not the same incident on {listed(list(having))}. Give -l with one of them."
    return list(having), ""


def incidents_page(results: dict[str, Incidents], id: str = "", show: str = "open", review: bool = False) -> dict[str, object]:
    """The page, and what comes of it."""
    failed = _failed(results)
    found = merged(results)
    hosts, problem = _asked(results, id)
    damaged = [f"{host}: {finding}" for host, result in results.items() for finding in result.get("findings") or []]
    lines = [f"Incidents: {show}", *rows(found), *(f"  Damaged: {each}" for each in damaged)]
    shown = results[hosts[0]].get("incident") if id and hosts else None
    if shown:
        lines = [f"Incident {id}", *rows([(hosts, shown["summary"])]), *in_full(shown), *(["", shown["review"]] if review else [])]
    outcome = _outcome(failed, id, problem, show, found)
    good = outcome in ("no_incidents", "incidents_listed", "incident_shown")
    if id and problem:
        said = "" if problem == " ".join(failed) else problem
    else:
        said = f"{id}: {shown['summary']['status']}." if shown else _said(found, show)
    return {
        "page": "\n".join(lines),
        "outcome": outcome,
        "good": good,
        "message": " ".join(filter(None, [*failed, said, *damaged])),
        "ids": [one["id"] for _hosts, one in found],
        "hosts": hosts,
        "problem": problem,
    }


def _outcome(failed: list[str], name: str, problem: str, show: str, found: list[t.Any]) -> str:
    if failed:
        return "not_read"
    if name:
        return "not_found" if problem else "incident_shown"
    return "no_incidents" if not found else "overdue" if show == "overdue" else "incidents_listed"


def _said(found: list[tuple[list[str], Summary]], show: str) -> str:
    if not found:
        return {"overdue": "Nothing is overdue.", "open": "No incident is open."}.get(show, "There are no incidents.")
    late = [one["id"] for _hosts, one in found if one["overdue"]]
    worst = found[0][1]
    more = f"; overdue: {listed(late, 5)}" if late else ""
    count = f"{len(found)} incident" + ("s" if len(found) > 1 else "")
    return f"{count}, the worst {worst['id']} (severity {worst['severity']}, {worst['status']}): {one_line(worst['title'])}{more}."


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"incidents_page": incidents_page}
