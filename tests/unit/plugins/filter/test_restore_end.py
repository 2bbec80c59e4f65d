# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.restore_end import OUTCOMES, restore_end

DONE = {"failed": False, "restored": ["data", "uploads"], "serving": True, "downtime": 2.5, "safety_backup": "/b/s.zip"}
RESTORED = "data, uploads restored from /b/x.zip, downtime 2.5 s; what was replaced is in /b/s.zip."
CASES = [
    (DONE, "/b/x.zip", False, "restored", RESTORED),
    (
        {**DONE, "serving": False},
        "/b/x.zip",
        False,
        "restored",
        "data, uploads restored from /b/x.zip, the service was stopped before and "
        "stays so: start it with mobius.ops.restart; what was replaced is in /b/s.zip.",
    ),
    (
        {**DONE, "undone": ["data"], "kept": ["/srv/kept"], "watch": "w-1", "previous": "v1", "unmigrated": ["v1"]},
        "/b/x.zip",
        False,
        "restored",
        f"{RESTORED} An earlier restore that was interrupted was undone first. What is kept: /srv/kept. Release v1 is live on "
        f"data from before its "
        "migration: deploy it again, which migrates. Its watch was ended; watch on with mobius.ops.monitor.",
    ),
    ({**DONE, "previous": "v2", "unmigrated": ["v1"]}, "/b/x.zip", False, "restored", RESTORED),
    (
        {**DONE, "previous": "v1", "unmigrated": ["v1"]},
        "/b/x.zip",
        True,
        "planned",
        "would restore data, uploads from /b/x.zip; nothing was changed.",
    ),
    ({**DONE, "restored": [], "undone": ["data"]}, "", False, "recovered", "a restore that was interrupted is undone."),
    ({**DONE, "restored": [], "undone": []}, "", False, "recovered", "a restore that was interrupted has come to its end."),
    ({"failed": True, "msg": "the archive is corrupt."}, "/b/x.zip", False, "failed", "the archive is corrupt."),
    (
        {"failed": True, "msg": "it does not start.", "downtime": 9.0, "serving": True},
        "/b/x.zip",
        False,
        "swapped_back",
        "it does not start.",
    ),
    (
        {"failed": True, "msg": "it does not start.", "downtime": 9.0, "serving": False},
        "/b/x.zip",
        False,
        "not_serving",
        "it does not start.",
    ),
]


@pytest.mark.parametrize("task, archive, check_mode, outcome, message", CASES)
def test_how_it_ended(task, archive, check_mode, outcome, message):
    assert restore_end(task, archive, check_mode) == {"outcome": outcome, "message": message}


def test_each_outcome_has_a_case():
    assert {case[3] for case in CASES} == set(OUTCOMES)
