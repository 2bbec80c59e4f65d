# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of a clean-up, and what comes of it."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.cleanup_page import OUTCOMES, REASONS, cleanup_page

NOTHING = {
    "files": 0,
    "bytes": 0,
    "moved": [],
    "left": {},
    "stay": {},
    "purged": {"files": 0, "bytes": 0},
    "run": "",
    "archives": {},
    "quarantine": [],
    "mended": 0,
    "message": "No file may go.",
}
FILE = {"path": "uploads/a.png", "bytes": 2048, "kind": "uploads", "modified": "2026-09-01T00:00:00Z"}
RUN = {"run": "r-1", "when": "2026-11-27T09:00:00Z", "expires": "2026-12-04T09:00:00Z", "files": 2, "bytes": 4096}


def test_nothing_to_do():
    found = cleanup_page(NOTHING)
    assert (found["outcome"], found["good"], found["message"], found["page"]) == (
        "planned",
        True,
        "No file may go.",
        "Nothing is in quarantine.",
    )


def test_what_would_go_and_what_stays():
    left = {"named": {"files": 3, "bytes": 10}, "in_use": {"files": 7, "bytes": 0}}
    found = cleanup_page(
        {
            **NOTHING,
            "files": 30,
            "moved": [FILE] * 25,
            "archives": {"uploads": "b.zip", "logs": "b.zip"},
            "quarantine": [RUN],
            "left": left,
            "message": "30 files would go.",
        }
    )
    page = found["page"]
    assert page.startswith("Compared with b.zip\nWould move into quarantine\n") and "  and 10 more" in page
    assert page.index("a program has it open") < page.index("a database or a JSON store names it")
    assert "r-1" in page and "2026-12-04T09:00:00Z" in page and page.count("uploads/a.png") == 20
    assert found["message"] == "30 files would go. Do it with -e mobius_cleanup_state=cleaned."


def test_a_run_says_how_to_undo_it_and_that_nothing_is_free_yet():
    found = cleanup_page({**NOTHING, "files": 1, "moved": [FILE], "run": "r-1", "message": "1 file moved."}, "cleaned")
    assert found["outcome"] == "cleaned" and found["message"].startswith("1 file moved. The room is free once they expire. Undo it with")
    assert found["message"].endswith("run r-1.")


@pytest.mark.parametrize("state", ["cleaned", "restored", "purged"])
def test_check_mode_is_planned(state):
    assert cleanup_page(NOTHING, state, True)["outcome"] == "planned" and cleanup_page(NOTHING, state)["outcome"] == state


def test_a_restore_and_what_stays_in_quarantine():
    found = cleanup_page(
        {
            **NOTHING,
            "files": 1,
            "moved": [FILE],
            "msg": "1 file in quarantine: expected to go back, found a reason.",
            "stay": {"not_in_backup": {"files": 1, "bytes": 5}},
        },
        "restored",
    )
    assert (found["outcome"], found["good"]) == ("not_cleaned", False) and found["message"].startswith("1 file in quarantine")
    assert "Moved back" in found["page"] and "Stays in quarantine, although it has expired" in found["page"]


def test_a_refusal():
    found = cleanup_page({"msg": "env: expected another one."})
    assert found == {"page": "Nothing was moved.", "outcome": "not_cleaned", "good": False, "message": "env: expected another one."}
    assert cleanup_page({})["message"] == "The files could not be looked at." and found["outcome"] in OUTCOMES and all(REASONS.values())
