# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of a report: it draws, copies, and says what kept it from that."""

from __future__ import annotations

from unittest import mock

import pytest
from support import watches

from ansible_collections.mobius.ops.plugins.action import watch_report
from ansible_collections.mobius.ops.plugins.module_utils._watch import report as watch_report_file
from ansible_collections.mobius.ops.plugins.plugin_utils import page_action, watch_charts


@pytest.fixture
def act(host):
    """Run the action with what the module and the copy told; the result, and what was given to the copy."""

    def run(told=None, copied=None):
        action = watch_report.ActionModule.__new__(watch_report.ActionModule)
        given = []
        action._task = mock.Mock(args={"root": host.root})
        action._task.copy = lambda: mock.Mock()
        action._connection = action._play_context = action._loader = action._templar = None
        action._execute_module = lambda **_words: told or {"report": "/r/watch.html", "facts": watch_report_file.gather(host.layout)}

        def load(name, task, **_words):
            given.append((name, task.args))
            return mock.Mock(run=lambda task_vars: copied or {"changed": True})

        action._shared_loader_obj = mock.Mock(action_loader=mock.Mock(get=load))
        with mock.patch.object(page_action.ActionBase, "run"):
            return action.run(task_vars={}), given

    return run


@pytest.mark.parametrize("changed", [True, False])
def test_the_page_is_copied(host, act, changed):
    folder = watches.put(host)
    result, ((name, args),) = act(copied={"changed": changed, "diff": "long"})
    assert result == {
        "report": "/r/watch.html",
        "changed": changed,
        "watch_id": folder.id,
        "verdict": "healthy",
        "summary": "Healthy: release v2 serves",
    }
    assert name == "ansible.legacy.copy" and (args["dest"], args["mode"]) == ("/r/watch.html", "0640")
    assert args["content"].startswith("<!doctype html>")


def test_without_pygal_it_says_what_to_install(act):
    with mock.patch.object(watch_charts, "pygal", None):
        result, given = act()
    assert result["failed"] and "expected the package pygal, which draws" in result["msg"] and given == []


def test_what_the_module_says_goes_through(act):
    assert act(told={"failed": True, "msg": "no watch"}) == ({"failed": True, "msg": "no watch"}, [])


def test_a_copy_that_failed_is_told(host, act):
    watches.put(host)
    result, _given = act(copied={"failed": True, "msg": "no space left"})
    assert result["failed"] and result["msg"] == "/r/watch.html: expected to write it, found: no space left"
