# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of a preflight: how far a clock is off."""

from __future__ import annotations

import time
from unittest import mock

import pytest

from ansible_collections.mobius.ops.plugins.action import preflight


@pytest.mark.parametrize(
    ("told", "skew"),
    [
        ("100.5", 0.0),
        ("100", 0.0),
        ("103\n", 0.0),
        ("110.25", 7.25),
        ("95", -5.0),
        ("Welcome\n110.25\n", 7.25),
        ("", None),
        ("100.%N", None),
    ],
)
def test_the_way_there_is_not_counted(told, skew):
    assert preflight.skew(100.0, told, 103.0) == skew


@pytest.fixture
def act():
    """Run the action; what the module was given."""

    def run(stdout, **args):
        action = preflight.ActionModule.__new__(preflight.ActionModule)
        action._task = mock.Mock(args=args)
        asked = []
        action._low_level_execute_command = lambda command, sudoable: asked.append(command) or {"stdout": stdout}
        action._execute_module = lambda module_name, module_args, task_vars: module_args
        with mock.patch.object(preflight.ActionBase, "run"):
            return action.run(task_vars={}), asked

    return run


def test_the_module_gets_the_difference(act, monkeypatch):
    now = time.time()
    monkeypatch.setattr(preflight.time, "time", lambda: now)
    given, _asked = act(f"{now + 60}", max_clock_skew="5")
    assert given["clock_skew"] == pytest.approx(60)


def test_a_clock_that_tells_nothing_is_left_out(act):
    assert "clock_skew" not in act("date: not found", max_clock_skew=5)[0]


@pytest.mark.parametrize("limit", [0, "0", None, "soon"])
def test_nobody_is_asked_when_the_check_is_off(act, limit):
    given, asked = act("1", max_clock_skew=limit)
    assert not asked and "clock_skew" not in given
