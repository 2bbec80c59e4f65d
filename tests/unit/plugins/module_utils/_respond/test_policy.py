# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which actions are tried for which cause, and when nothing is done."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._diagnose.rules import CERTAIN, LIKELY, Cause
from ansible_collections.mobius.ops.plugins.module_utils._respond import policy
from ansible_collections.mobius.ops.plugins.module_utils._respond.journal import Response

NOW = clock.parse("2026-11-27T12:00:00Z")


def cause(name, remedy="", confidence=CERTAIN):
    return Cause(name, confidence, f"{name}.", (), "Do something", remedy)


def response(ago, name="loop", actions=("restart",), outcome="mended", incident=""):
    return Response(clock.iso(NOW - datetime.timedelta(seconds=ago)), "Down", name, actions, outcome, incident)


@pytest.mark.parametrize(
    "causes, steps",
    [
        ((), ("restart", "rollback")),
        ((cause("loop", "restart"),), ("restart", "rollback")),
        ((cause("crash_loop"),), ("rollback",)),
        ((cause("dependency_missing"),), ("rollback",)),
        ((cause("stopped", "continue"),), ("mend", "restart")),
        ((cause("job_stuck", "jobs"),), ("mend",)),
        ((cause("folder_not_writable", "folders"),), ("mend",)),
        ((cause("disk_full"),), ()),
        ((cause("loop", "restart"), cause("job_stuck", "jobs")), ()),
        ((cause("loop", "restart"), cause("job_stuck", "jobs", LIKELY)), ("restart", "rollback")),
    ],
)
def test_each_cause_has_its_actions_the_gentlest_first(causes, steps):
    assert policy.ladder(causes, policy.ACTIONS, True) == steps
    assert policy.ladder(causes, policy.ACTIONS, False) == tuple(step for step in steps if step != "rollback")
    assert policy.ladder(causes, (), True) == ()
    assert set(policy.ladder(causes, ("rollback",), True)) <= {"rollback"}


@pytest.mark.parametrize(
    "past, kind",
    [
        ([], None),
        ([response(10)], "deferred"),
        ([response(299)], "deferred"),
        ([response(301)], None),
        ([response(10, "memory")], None),
        ([response(900), response(400)], "limit"),
        ([response(400, actions=(), outcome="handed_over", incident="INC-1")], "handed_over"),
        ([response(400, "memory", (), "handed_over")], None),
        ([response(-60)], "deferred"),
        ([response(400 + number, f"cause{number}") for number in range(6)], "limit"),
        ([response(400 + number, f"cause{number}") for number in range(5)], None),
    ],
)
def test_limits_by_what_was_done_in_the_last_hour(past, kind):
    found = policy.refusal(past, "loop", policy.Policy(policy.ACTIONS, 2, 300), NOW)
    assert (found.kind if found else None) == kind
    if kind == "handed_over":
        assert found.incident == "INC-1"


def test_a_limit_of_none_hands_everything_over():
    assert policy.refusal([], "loop", policy.Policy(policy.ACTIONS, 0, 0), NOW).kind == "limit"
