# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The spark line of a watch."""
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.action.monitor import BARS, spark

ROUND = st.fixed_dictionaries({"ms": st.floats(0, 1e5), "outcome": st.sampled_from(["ok", "slow", "failed", "error", "no_data"])})


def rounds(*pairs):
    return [{"ms": ms, "outcome": outcome} for ms, outcome in pairs]


def test_bars_follow_the_latency_and_failures_are_crosses():
    assert spark(rounds((1, "ok"), (50, "ok"), (100, "slow"), (5000, "failed"), (3, "error"))) == "▁▄█××"
    assert spark([]) == "" and spark(rounds((0, "ok"))) == "▁"


def test_only_the_last_are_shown():
    assert spark(rounds((1000, "ok"), *[(10, "ok")] * 5), width=5) == "█████"


@given(st.lists(ROUND, max_size=40))
def test_one_sign_a_round(recent):
    line = spark(recent)
    assert len(line) == min(20, len(recent)) and set(line) <= set(BARS + "×")
