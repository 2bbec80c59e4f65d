# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(maintenance_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: maintenance_page
short_description: Lay out a run of maintenance as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Lists for people what M(mobius.ops.maintenance) returned, and gives the outcome in one word and the summary.
positional: _input
options:
  _input:
    description: The result of M(mobius.ops.maintenance), also of one that failed.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the steps
  ansible.builtin.debug:
    msg: "{{ (maintenance_found | mobius.ops.maintenance_page).page }}"
"""

RETURN = r"""
_value:
  description:
    - C(page), the text; C(outcome), one word; C(good), whether it is a good one; C(message), the summary; C(attention), the names of the
      steps that need attention or failed.
  type: dict
"""

#: How the playbook may end.
OUTCOMES = ("all_done", "attention_needed", "steps_failed", "planned", "not_run")
#: Lines of evidence that the page of text shows of a step that is not done.
_EVIDENCE = 6


class Cause(t.TypedDict):
    """What a step found wrong, and the id of its incident, which may be empty."""

    name: str
    incident: str


class Step(t.TypedDict):
    """A step that was taken; ``trend`` in words, empty in the first run."""

    name: str
    title: str
    status: str
    text: str
    evidence: list[str]
    trend: str
    causes: list[Cause]


class Maintenance(t.TypedDict, total=False):
    """What M(mobius.ops.maintenance) returns; without steps when it failed."""

    steps: list[Step]
    page: str
    summary_sent: list[str]
    message: str


def step_lines(step: Step) -> list[str]:
    """A step with what is to know about it."""
    lines = [f"{step['status'].upper():<10} {step['title']}", f"           {step['text']}"]
    lines += [f"           {step['trend']}"] if step["trend"] else []
    if step["status"] in ("attention", "failed"):
        evidence = list(step["evidence"])
        lines += [f"             saw: {line}" for line in evidence[:_EVIDENCE]]
        lines += [f"             and {len(evidence) - _EVIDENCE} more on the page"] if len(evidence) > _EVIDENCE else []
    lines += [f"             {cause['incident']}: {cause['name'].replace('_', ' ')}" for cause in step["causes"] if cause["incident"]]
    return lines


def maintenance_page(result: Maintenance) -> dict[str, object]:
    """The page, and what comes of it."""
    if "steps" not in result:
        message = task_result.cause(result, "Maintenance could not be run.")
        return {"page": message, "outcome": "not_run", "good": False, "message": message, "attention": []}
    statuses = [step["status"] for step in result["steps"]]
    outcome = next(
        (
            word
            for status, word in (("failed", "steps_failed"), ("attention", "attention_needed"), ("planned", "planned"))
            if status in statuses
        ),
        "all_done",
    )
    where = f" Page: {result['page']}." if result["page"] else ""
    where += f" The summary was sent through {', '.join(result['summary_sent'])}." if result.get("summary_sent") else ""
    return {
        "page": "\n".join(line for step in result["steps"] for line in step_lines(step)),
        "outcome": outcome,
        "good": outcome != "steps_failed",
        "message": result["message"] + where,
        "attention": [step["name"] for step in result["steps"] if step["status"] in ("attention", "failed")],
    }


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"maintenance_page": maintenance_page}
