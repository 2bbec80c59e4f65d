# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(preflight_page)."""

from __future__ import annotations

import textwrap
import typing as t

from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: preflight_page
short_description: Lay out the result of a preflight as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a table for people of what M(mobius.ops.preflight) returned, what failed first, each with what to do.
options:
  _input:
    description: The result of M(mobius.ops.preflight).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the table
  ansible.builtin.debug:
    msg: "{{ preflight_report | mobius.ops.preflight_page }}"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

#: What an operator has to look at comes first.
ORDER = ("failed", "waived", "passed", "skipped")
WIDTH = 110


class Waived(t.TypedDict):
    """Who waived which checks, when and why."""

    who: str
    why: str
    when: str
    checks: list[str]


class Preflight(t.TypedDict, total=False):
    """The result of a preflight; each check has its name, status, what was found and expected, and what to do."""

    checks: list[dict[str, str]]
    passed: bool
    waived_by: Waived | None


def block(one: dict[str, str], width: int) -> list[str]:
    """The lines of a check: what was found; when it did not pass, what was expected, and what to do."""
    mark = one["status"].upper() if one["status"] in ("failed", "waived") else one["status"]
    head = f"  {mark:<7}  {one['name']:<{width}}  "
    lines = textwrap.wrap(one["found"], WIDTH - len(head), break_long_words=False, break_on_hyphens=False) or [""]
    if one["status"] in ("failed", "waived"):
        told = {"expected": one["expected"], "to do": one["remedy"] if one["status"] == "failed" else ""}
        for label, text in told.items():
            if text:
                lines += textwrap.wrap(
                    f"{label}: {text}", WIDTH - len(head), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
                )
    return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]


def preflight_page(result: Preflight) -> str:
    """A line that says how many failed, and below it a line or more a check."""
    rows = sorted(result.get("checks") or [], key=lambda one: ORDER.index(one["status"]))
    if not rows:
        return task_result.cause(result, "no check was made")
    counts = [f"{sum(one['status'] == status for one in rows)} {status}" for status in ORDER]
    lines = [("MAY BEGIN: " if result.get("passed") else "MAY NOT BEGIN: ") + ", ".join(counts)]
    by = result.get("waived_by")
    if by:
        lines.append(f"{', '.join(by['checks'])} waived by {by['who']}, {by['when']}: {by['why']}")
    width = max(len(one["name"]) for one in rows)
    return "\n".join([*lines, "", *(line for one in rows for line in block(one, width))])


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"preflight_page": preflight_page}
