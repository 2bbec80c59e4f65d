# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's side of the deploy lock, with the module's answers played."""

from __future__ import annotations

import os
import subprocess
import types

import pytest

from ansible_collections.mobius.ops.plugins.action.deploy_lock import ActionModule
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock


@pytest.fixture
def ask(monkeypatch):
    """``ask(answers, check=False, **options)``: the result, and what the module was asked each time."""

    def run(answers, check=False, **options):
        asked = []
        action = ActionModule.__new__(ActionModule)
        action._task = types.SimpleNamespace(args=options, check_mode=check)
        monkeypatch.setattr("ansible.plugins.action.ActionBase.run", lambda *_args: {})
        monkeypatch.setattr(action, "_module", lambda args, _vars: asked.append(dict(args)) or answers[len(asked) - 1])
        return action.run(task_vars={}), asked

    return run


def refused(process, token="t1"):
    return {"failed": True, "msg": "held", "lock": {"token": token, "process": process}}


@pytest.fixture
def ended():
    """The name of a process that has ended."""
    child = subprocess.Popen(["sleep", "60"])
    name = deploy_lock.process_name(child.pid)
    child.kill()
    child.wait()
    return name


def test_it_tells_the_process_of_the_run(ask):
    result, [asked] = ask([{"lock": {}, "waited": 0.0}], root="/r", reason="r", wait="5")
    assert asked == {"root": "/r", "reason": "r", "host": os.uname().nodename, "process": deploy_lock.process_name(os.getppid())}
    assert result["waited"] == 0.0


def test_a_lock_of_a_process_that_has_ended_is_taken_over_by_its_token(ask, ended):
    result, asked = ask([refused(ended), {"lock": {}, "waited": 0.0}], root="/r")
    assert [args.get("gone") for args in asked] == [None, "t1"] and "failed" not in result


def test_one_that_lives_or_is_unknown_is_waited_for_and_then_told(ask, ended):
    living = deploy_lock.process_name(os.getpid())
    assert ask([refused(living)], root="/r")[0]["failed"]
    assert ask([refused("")], root="/r")[0]["failed"]
    result, asked = ask([refused(living), refused(living), refused(ended), {"lock": {}, "waited": 3.0}], root="/r", wait=60)
    assert [args.get("wait") for args in asked] == [None, 10.0, 10.0, None] and asked[3]["gone"] == "t1" and "failed" not in result


def test_a_look_does_not_wait_and_a_stranded_lock_is_available(ask, ended):
    assert ask([refused(deploy_lock.process_name(os.getpid()))], state="available", root="/r", wait=60)[0]["failed"]
    result, asked = ask([refused(ended), {"lock": {}}], state="available", root="/r")
    assert [args.get("gone") for args in asked] == [None, "t1"] and "failed" not in result


@pytest.mark.parametrize(
    "options, check", [({"state": "free", "token": "t"}, False), ({"state": "forced"}, False), ({}, True), ({"wait": "soon"}, False)]
)
def test_everything_else_is_the_modules(ask, options, check):
    _result, asked = ask([{"failed": True, "msg": "m"}], check, root="/r", **options)
    assert asked == [{"root": "/r", **options}]


def test_a_renewal_is_never_tried_twice(ask, ended):
    result, asked = ask([refused(ended)], root="/r", token="t9", wait=60)
    assert result["failed"] and len(asked) == 1
