# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(smoke_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.filter.status_page import table
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke.smoke_types import Test
from ansible_collections.mobius.ops.plugins.plugin_utils import task_result

DOCUMENTATION = r"""
name: smoke_page
short_description: Lay out the result of smoke tests as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a table for people of what M(mobius.ops.smoke_test) returned, what failed first, with every attempt of a test that needed several.
options:
  _input:
    description: The result of M(mobius.ops.smoke_test).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the table
  ansible.builtin.debug:
    msg: "{{ smoke_report | mobius.ops.smoke_page }}"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

ORDER = ("failed", "flaky", "skipped", "passed")


class Smoke(t.TypedDict, total=False):
    """The result of M(mobius.ops.smoke_test): a count of each word, ``elapsed`` in seconds, and why an address that was made stays."""

    tests: list[Test]
    passed: bool
    counts: dict[str, int]
    elapsed: float
    base_url: str
    release: str | None
    left: dict[str, str]


def mark(test: Test) -> str:
    """How a test ended, in a word."""
    return "flaky" if test["flaky"] else test["status"]


def told(test: Test) -> str:
    """What there is to say of a test."""
    earlier = [one["error"] for one in test["attempts"] if one["outcome"] != "ok"]
    if test["flaky"]:
        return f"{test['found']}; before: {'; '.join(earlier)}"
    if test["status"] == "failed" and len(earlier) > 1:
        return f"{test['reason']} ({len(earlier)} attempts: {'; '.join(earlier)})"
    return test["reason"] or test["found"]


def smoke_page(result: Smoke) -> str:
    """A line with the counts, the table, and what stays of what the tests made."""
    tests = result.get("tests")
    if not tests:
        return task_result.cause(result, "no test ran")
    shown = ("failed", "passed", "skipped", "flaky")
    lines = [
        ("PASSED: " if result["passed"] else "FAILED: ")
        + ", ".join(f"{result['counts'][key]} {key}" for key in shown)
        + f"; {result['elapsed']:.1f} s, {result['base_url'] or 'this host'}, release {result['release'] or 'unknown'}",
        "",
    ]
    ordered = sorted(tests, key=lambda test: ORDER.index(mark(test)))
    lines += table(
        ["test", "status", "tries", "seconds", ""],
        [
            [test["name"], mark(test).replace("failed", "FAILED"), len(test["attempts"]) or "", f"{test['seconds']:.1f}", told(test)]
            for test in ordered
        ],
    )
    lines += [f"  stays: {url} ({why})" for url, why in result["left"].items()]
    return "\n".join(lines)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"smoke_page": smoke_page}
