# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The spark line of a watch, and what is asked of the target to follow one (its answers are made up here)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.action import monitor
from ansible_collections.mobius.ops.plugins.action.monitor import BARS, spark


@pytest.fixture
def follow(monkeypatch, tmp_path):
    """Follow a watch whose answers are given; the result, what was asked, and what was shown."""
    monkeypatch.setattr(monitor.C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    shown = []
    monkeypatch.setattr(monitor.display, "display", lambda text, **_options: shown.append(text))

    def run(*answers, begun=None, hosts=1, **args):
        asked, left = [], list(answers)
        action = monitor.ActionModule.__new__(monitor.ActionModule)
        action._module = lambda args, _vars: asked.append(args) or left.pop(0)
        variables = {"inventory_hostname": "h", "ansible_play_hosts_all": ["h"] * hosts}
        return action._follow(begun, {"root": "/r", **args}, variables), asked, shown

    return run


def answer(*lines, offset=0, **facts):
    return {"watch": {"id": "w1", "recent": []}, "lines": list(lines), "offset": offset, "more": False, "verdict": None, **facts}


def test_a_watch_that_is_named_is_the_one_that_is_followed(follow):
    result, asked, shown = follow(
        answer("one", offset=7), answer("two", offset=9, verdict="healthy"), watch_id="w1", offset=3, state="followed"
    )
    assert asked == [
        {"root": "/r", "state": "followed", "patience": 0, "watch_id": "w1", "offset": 3},
        {"root": "/r", "state": "followed", "patience": 10, "watch_id": "w1", "offset": 7},
    ]
    assert result["verdict"] == "healthy" and shown[1:] == ["[h] one", "[h] two"]


def test_a_long_log_is_shown_to_its_end_though_the_verdict_is_known(follow):
    result, asked, shown = follow(answer("one", offset=1, verdict="healthy", more=True), answer("ends", offset=2, verdict="healthy"))
    assert len(asked) == 2 and shown[1:] == ["[h] one", "[h] ends"] and result["offset"] == 2


@pytest.mark.parametrize("hosts, progress, seen", [(3, "auto", 3), (4, "auto", 2), (4, "all", 3), (1, "changes", 2), (1, "none", 0)])
def test_of_many_hosts_only_what_is_not_well_is_shown(follow, hosts, progress, seen):
    lines = ["T INFO round 1 ok response time 1 ms", "T ERROR round 2 failed", "T INFO watch w1 ends: healthy"]
    shown = follow(answer(*lines, verdict="healthy"), hosts=hosts, progress=progress)[2]
    assert len([line for line in shown if line.startswith("[h] ")]) == seen


def test_a_verdict_of_its_own_counts_more_than_another_hosts(follow, tmp_path):
    action = monitor.ActionModule.__new__(monitor.ActionModule)
    action._mark("r1").touch()
    begun = answer("one", verdict="rolled_back", more=True)
    result, asked, _shown = follow(answer("ends", verdict="rolled_back"), begun=begun, together="r1")
    assert result["verdict"] == "rolled_back" and len(asked) == 1
    result, asked, _shown = follow(begun=answer("one"), together="r1")
    assert result["verdict"] == "elsewhere" and asked == []


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
