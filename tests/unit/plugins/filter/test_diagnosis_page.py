# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A diagnosis as a page, and how the playbook ends."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.diagnosis_page import OUTCOMES, FilterModule

CAUSE = {
    "name": "loop",
    "confidence": "likely",
    "text": "It hangs.",
    "evidence": ["98 %"],
    "todo": "Restart it",
    "remedy": "restart",
    "pid": 4,
}
STACK = {"place": "spin (a.js:1:2)", "frames": ["spin (a.js:1:2)", "handle (b.js:3:4)"], "request": "GET /x", "seconds": 0.2}
FOUND = {"message": "It hangs. Restart it.", "causes": [CAUSE], "well": False, "fixed": "", "stack": STACK}
page = FilterModule().filters()["diagnosis_page"]


@pytest.mark.parametrize(
    "result, outcome, good",
    [
        ({**FOUND, "causes": [], "well": True}, "nothing_found", True),
        (FOUND, "cause_found", False),
        ({**FOUND, "causes": []}, "cause_found", False),
        ({**FOUND, "fixed": "Restarted.", "after": []}, "mended", True),
        ({**FOUND, "fixed": "Restarted.", "after": [CAUSE]}, "not_mended", False),
        ({"msg": "two causes", "failed": False}, "not_mended", False),
    ],
)
def test_how_it_ends(result, outcome, good):
    made = page(result)
    assert (made["outcome"], made["good"]) == (outcome, good) and outcome in OUTCOMES
    assert made["message"] == (result.get("message") or result["msg"]) and made["page"]


def test_the_page_tells_cause_evidence_next_command_and_place():
    assert page({**FOUND, "fixed": "Restarted.", "after": [CAUSE]})["page"].splitlines() == [
        "Causes",
        "  loop, likely: It hangs.",
        "    saw: 98 %",
        "    next: Restart it.",
        "Where it hangs",
        "  spin (a.js:1:2)",
        "  request: GET /x",
        "    called from handle (b.js:3:4)",
        "Mended",
        "  Restarted.",
        "Still found",
        "  loop, likely: It hangs.",
        "    saw: 98 %",
        "    next: Restart it.",
    ]
    assert page(FOUND)["names"] == ["loop"]
