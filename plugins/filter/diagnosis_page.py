# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(diagnosis_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: diagnosis_page
short_description: Lay out a diagnosis as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Lists for people what M(mobius.ops.diagnosis) returned, and says in one word and one sentence what came of it.
options:
  _input:
    description: The result of M(mobius.ops.diagnosis), also of one that failed.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the cause
  ansible.builtin.debug:
    msg: "{{ (diagnosed | mobius.ops.diagnosis_page).page }}"
"""

RETURN = r"""
_value:
  description:
    - C(page), the text; C(outcome), one word; C(good), whether it is a good one; C(message), a sentence or two; C(names), the names of the
      causes.
  type: dict
"""

#: How the playbook may end.
OUTCOMES = ("nothing_found", "cause_found", "mended", "not_mended")
_FRAMES = 8


class Cause(t.TypedDict):
    """Why the service does not do its work."""

    name: str
    confidence: str
    text: str
    evidence: list[str]
    todo: str


class Stack(t.TypedDict):
    """Where a hung event loop is."""

    place: str
    frames: list[str]
    request: str | None


class SlowRoute(t.TypedDict):
    """A route whose answers took long; times in milliseconds."""

    route: str
    requests: int
    median: float
    p95: float


class Recent(t.TypedDict, total=False):
    """What the logs tell of the last minutes."""

    routes: list[SlowRoute]
    errors: list[str]


class Evidence(t.TypedDict, total=False):
    """What of all that was seen is shown."""

    recent: Recent


class Diagnosis(t.TypedDict, total=False):
    """The result of M(mobius.ops.diagnosis)."""

    causes: list[Cause]
    stack: Stack | None
    heap_snapshot: str
    evidence: Evidence
    well: bool
    fixed: str
    after: list[Cause]
    message: str


def cause_lines(cause: Cause) -> list[str]:
    """A cause with its evidence and what to do."""
    return [
        f"  {cause['name']}, {cause['confidence']}: {cause['text']}",
        *(f"    saw: {line}" for line in cause["evidence"]),
        f"    next: {cause['todo']}.",
    ]


def stack_lines(stack: Stack | None) -> list[str]:
    """Where a hung event loop is."""
    if not stack:
        return []
    request = [f"  request: {stack['request']}"] if stack["request"] else []
    return ["Where it hangs", f"  {stack['place']}", *request, *(f"    called from {frame}" for frame in stack["frames"][1:_FRAMES])]


def recent_lines(evidence: Evidence) -> list[str]:
    """What the logs tell of the last minutes."""
    recent = evidence.get("recent") or {}
    slow = [
        f"  {one['route']}: {one['median'] / 1000:.1f} s, p95 {one['p95'] / 1000:.1f} s, {one['requests']} requests"
        for one in recent.get("routes") or []
    ]
    return [
        *(["Slow routes of the last 15 minutes", *slow] if slow else []),
        *(["Errors of the last 15 minutes", *(f"  {line}" for line in recent["errors"])] if recent.get("errors") else []),
    ]


def verdict(result: Diagnosis) -> tuple[str, bool]:
    """Outcome, and whether it is good."""
    if "message" not in result:
        return "not_mended", False
    if result.get("fixed"):
        return ("not_mended", False) if result.get("after") else ("mended", True)
    return ("nothing_found", True) if result["well"] else ("cause_found", False)


def diagnosis_page(result: Diagnosis) -> dict[str, object]:
    """The page, and what comes of it."""
    causes, (outcome, good) = result.get("causes") or [], verdict(result)
    lines = ["Causes", *(line for cause in causes for line in cause_lines(cause))] if causes else []
    lines += stack_lines(result.get("stack"))
    lines += ["Heap snapshot", f"  {result['heap_snapshot']}"] if result.get("heap_snapshot") else []
    lines += recent_lines(result.get("evidence") or {})
    lines += ["Mended", f"  {result['fixed']}"] if result.get("fixed") else []
    lines += ["Still found", *(line for cause in result.get("after") or [] for line in cause_lines(cause))] if result.get("after") else []
    message = result.get("message") or task_result.cause(result, "The host could not be looked at.")
    return {
        "page": "\n".join(lines) or "Nothing was found.",
        "outcome": outcome,
        "good": good,
        "message": message,
        "names": [cause["name"] for cause in causes],
    }


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"diagnosis_page": diagnosis_page}
