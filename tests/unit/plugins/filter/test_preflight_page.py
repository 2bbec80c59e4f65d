# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter preflight_page."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.filter.preflight_page import FilterModule, preflight_page


def row(name, status, found="found", remedy=""):
    return {"name": name, "status": status, "found": found, "expected": "wanted", "remedy": remedy}


def test_what_failed_comes_first_with_what_to_do():
    page = preflight_page(
        {
            "passed": False,
            "waived_by": {"who": "anna", "why": "hotfix", "when": "W", "checks": ["ci"]},
            "checks": [
                row("node", "passed", "v20"),
                row("lock", "skipped", "none"),
                row("ci", "waived", "red", "wait"),
                row("disk", "failed", "1 MB", "free some"),
            ],
        }
    )
    assert page.splitlines() == [
        "MAY NOT BEGIN: 1 failed, 1 waived, 1 passed, 1 skipped",
        "ci waived by anna, W: hotfix",
        "",
        "  FAILED   disk  1 MB",
        "                 expected: wanted",
        "                 to do: free some",
        "  WAIVED   ci    red",
        "                 expected: wanted",
        "  passed   node  v20",
        "  skipped  lock  none",
    ]


def test_long_lines_are_folded():
    page = preflight_page({"passed": False, "waived_by": None, "checks": [row("port", "failed", "word " * 60, "do " * 60)]})
    assert all(len(line) <= 110 for line in page.splitlines()) and len(page.splitlines()) > 6


def test_without_checks_the_reason_is_shown():
    assert preflight_page({"msg": "root /x: not set up."}) == "root /x: not set up."
    assert preflight_page({}) == "no check was made"
    assert FilterModule().filters() == {"preflight_page": preflight_page}
