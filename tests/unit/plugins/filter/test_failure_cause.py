# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(failure_cause). What it says of every kind of result is tested where it lives: test_task_result.py."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter import failure_cause

BROKEN = {
    "failed": True,
    "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n",
    "module_stdout": "",
    "msg": "The module interpreter '/usr/bin/python3' was not found.",
    "rc": 127,
}


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ({"msg": "No space left on device.", "failed": True}, "No space left on device."),
        (BROKEN, "/bin/sh: 1: /usr/bin/python3: not found (The module interpreter '/usr/bin/python3' was not found.)"),
        ({"msg": "One or more items failed", "results": [{}, {"failed": True, "msg": "No.", "item": "b"}]}, "No. (item b)"),
        ({}, "no reason given"),
    ],
)
def test_the_cause(result, why):
    assert failure_cause.FilterModule().filters()["failure_cause"](result) == why
