# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.rollback_end import OUTCOMES, rollback_end

WENT = {"changed": True, "previous": "v2", "downtime": 0.3}
LOST = "Not reached: three. When back, run the same again with -e mobius_release_id=v1: that puts it right."


def facts(**other):
    """A rollback from v2 to v1 that went well, but for what is given."""
    return {
        "to": "v1",
        "killed_for": "",
        "named": False,
        "check_mode": False,
        "rescued": False,
        "failure": None,
        "failed": [],
        "lost_hosts": [],
        "incident": "",
        "done": WENT,
        "archive": "",
        "smoke": {},
        **other,
    }


CASES = [
    (facts(), "rolled_back", "went from v2 to v1, downtime 0.3 s; data untouched."),
    (facts(done={**WENT, "previous": None, "downtime": None}), "rolled_back", "went from no release to v1; data untouched."),
    (
        facts(done={**WENT, "finished": "an earlier rollback was finished"}),
        "rolled_back",
        "an earlier rollback was finished: went from v2 to v1, downtime 0.3 s; data untouched.",
    ),
    (
        facts(done={**WENT, "cut_text": "One render was cut."}),
        "rolled_back",
        "went from v2 to v1, downtime 0.3 s; stored data stays as it is. One render was cut.",
    ),
    (
        facts(done={**WENT, "safety_backup": "/b/s.zip"}, archive="/b/x.zip"),
        "rolled_back",
        "went from v2 to v1, downtime 0.3 s; data restored from /b/x.zip, what it replaced is in /b/s.zip.",
    ),
    (
        facts(done={"changed": True, "previous": "v1", "safety_backup": "/b/s.zip"}, archive="/b/x.zip"),
        "rolled_back",
        "release v1 stays; data restored from /b/x.zip, what it replaced is in /b/s.zip.",
    ),
    (facts(check_mode=True), "planned", "would go from v2 to v1; data untouched."),
    (facts(done={"changed": False}), "unchanged", "release v1 serves already; nothing was changed."),
    (
        facts(done={"changed": False}, killed_for="v1"),
        "unchanged",
        "release v1 serves already; nothing was changed. An earlier run of this "
        "rollback was cut short after its switch. To go back one more release, run it again.",
    ),
    (facts(done={"changed": False}, killed_for="v1", named=True), "unchanged", "release v1 serves already; nothing was changed."),
    (
        facts(lost_hosts=["three"], incident="INC-1"),
        "incomplete",
        f"went from v2 to v1, downtime 0.3 s; data untouched. {LOST} Incident INC-1.",
    ),
    (
        facts(rescued=True, failure="Put the earlier release into service: it does not start.", failed=["one"]),
        "failed",
        "Put the earlier release into service: it does not start.",
    ),
    (
        facts(rescued=True, failed=["two"], incident="INC-1"),
        "failed",
        "went from v2 to v1, downtime 0.3 s; data untouched. The rollback failed on two, so it was not smoke-tested here. Incident INC-1.",
    ),
    (
        facts(rescued=True, done={}),
        "failed",
        "nothing was changed here. The rollback failed elsewhere, so it was not smoke-tested here.",
    ),
]


@pytest.mark.parametrize("given, outcome, message", CASES)
def test_how_it_ended(given, outcome, message):
    ended = rollback_end(given)
    assert (ended["outcome"], ended["message"]) == (outcome, message)
    assert ended["lost"] == (LOST if given["lost_hosts"] else "")


def test_each_outcome_has_a_case():
    assert {outcome for _given, outcome, _message in CASES} == set(OUTCOMES)


def test_writes_elsewhere_are_told_once():
    attempts = [{"message": f"it wrote to /etc/{name}"} for name in "abcde"]
    ended = rollback_end(
        facts(
            done={**WENT, "write_attempts": attempts[:2]},
            smoke={"write_attempts": attempts[1:]},
            rescued=True,
            failure="it wrote to /etc/a",
        )
    )
    assert ended["message"] == "it wrote to /etc/a. WARNING: it wrote to /etc/b. it wrote to /etc/c. it wrote to /etc/d."
    assert ended["writes"] == [one["message"] for one in attempts]
