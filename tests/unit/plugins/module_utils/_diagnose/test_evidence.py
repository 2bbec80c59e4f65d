# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read out of what was seen."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._diagnose import evidence, process_looks

RUNS = {"status": "running", "restarts": 4, "uptime": 3.0}


@pytest.mark.parametrize(
    "first, last, refused, crashing",
    [
        (RUNS, {**RUNS, "uptime": 6.0}, True, True),  # it starts, and has ended four times before
        (RUNS, {**RUNS, "uptime": 6.0}, False, False),  # it is well by now, or hangs
        (RUNS, {**RUNS, "uptime": 300.0}, True, False),  # its restarts are long past
        ({**RUNS, "restarts": 0}, {**RUNS, "restarts": 0}, True, False),  # it was started by a person
        (RUNS, {**RUNS, "restarts": 5, "uptime": 1.0}, False, True),  # it has ended meanwhile
        (RUNS, {**RUNS, "status": "restarting", "uptime": None}, False, True),
        (RUNS, {**RUNS, "status": "failed", "uptime": None}, False, True),
        (RUNS, {**RUNS, "status": "stopped", "uptime": None}, True, False),  # by a person
        ({**RUNS, "status": "restarting"}, {**RUNS, "restarts": 5}, True, False),  # its status tells that already
    ],
)
def test_a_service_that_ends_again_and_again_is_known_also_while_it_starts(first, last, refused, crashing):
    assert evidence._crashing(first, last, refused) is crashing


@pytest.mark.parametrize(
    "found, name",
    [
        (["read of /x"] * 6, "read of /x"),
        (["system call 202", "", "system call 202", "system call 202", "system call 202", "system call 202"], "system call 202"),
        (["read of /x", "", "read of /y", "", "read of /x", ""], ""),
        (["read of /x"] * 3 + ["read of /y"] * 3, ""),
        ([""] * 6, ""),
    ],
)
def test_a_process_that_waits_again_and_again_is_blocked(found, name):
    assert process_looks._mostly(found) == name
