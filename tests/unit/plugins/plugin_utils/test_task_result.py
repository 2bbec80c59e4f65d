# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the result of a task says."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.plugin_utils import task_result


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (
            {"msg": "One or more items failed", "results": [{"item": "a"}, {"item": "b", "failed": True, "msg": "no such file"}]},
            "no such file (item b)",
        ),
        ({"msg": "All items completed", "results": [{"item": ["x"], "unreachable": True, "msg": "refused"}]}, "refused (item x)"),
        ({"msg": "non-zero return code", "stderr": "ls: no such file\n"}, "ls: no such file"),
        ({"msg": "non-zero return code"}, "non-zero return code"),
        ({"msg": " it is full "}, "it is full"),
        ({"msg": "", "stderr": "no such file"}, "no such file"),
        ({}, "no reason given"),
        (
            {
                "msg": "Module result deserialization failed: No start of json char found",
                "module_stderr": "sh: 1: python3.13: not found\n",
            },
            "sh: 1: python3.13: not found (Module result deserialization failed: No start of json char found)",
        ),
        (
            {"msg": "The module failed in the background: no room", "module_stderr": "no room"},
            "The module failed in the background: no room",
        ),
    ],
)
def test_the_cause(facts, why):
    assert task_result.cause(facts) == why


def test_what_to_say_otherwise():
    assert task_result.cause({"changed": False}, "the host gave no answer") == "the host gave no answer"
