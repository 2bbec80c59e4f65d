# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of a report of logs: it draws, copies, and says what kept it from that."""

from __future__ import annotations

from unittest import mock

import pytest
from support.log_results import result

from ansible_collections.mobius.ops.plugins.action import log_report
from ansible_collections.mobius.ops.plugins.plugin_utils import page_action, watch_charts


def act(told, copied=None):
    """Run the action with what the module and the copy told; the result, and what was given to the copy."""
    action = log_report.ActionModule.__new__(log_report.ActionModule)
    given = []
    action._task = mock.Mock(args={"root": "/opt/mobius"})
    action._task.copy = lambda: mock.Mock()
    action._connection = action._play_context = action._loader = action._templar = None
    action._execute_module = lambda **_words: told

    def load(name, task, **_words):
        given.append((name, task.args))
        return mock.Mock(run=lambda task_vars: copied or {"changed": True})

    action._shared_loader_obj = mock.Mock(action_loader=mock.Mock(get=load))
    with mock.patch.object(page_action.ActionBase, "run"):
        return action.run(task_vars={}), given


@pytest.mark.parametrize("changed", [True, False])
def test_the_page_is_copied(changed):
    found, ((name, args),) = act(result(), {"changed": changed})
    assert found == {**result(), "changed": changed}
    assert name == "ansible.legacy.copy" and (args["dest"], args["mode"]) == ("/opt/mobius/reports/logs.html", "0640")
    assert args["content"].startswith("<!doctype html>")


@pytest.mark.parametrize("told", [{"failed": True, "msg": "no"}, {"lines": 3}])
def test_without_a_page_what_the_module_says_goes_through(told):
    assert act(told) == (told, [])


def test_without_pygal_the_report_is_there_and_says_what_to_install():
    with mock.patch.object(watch_charts, "pygal", None):
        found, given = act(result())
    assert (found["report"], given, "failed" in found) == ("", [], False) and "pip install pygal" in found["report_trouble"]


def test_a_copy_that_failed_is_told_and_the_report_is_there():
    found, _given = act(result(), {"failed": True, "msg": "no space left"})
    assert (found["report"], found["lines"]) == ("", 1000)
    assert found["report_trouble"] == "The page /opt/mobius/reports/logs.html was not written: no space left"
