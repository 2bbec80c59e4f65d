# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shapes of values, and what is said of a value that has another one."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._target import shapes

SHAPE = {"id": shapes.text, "at?": (shapes.moment, None), "list": [{"n": shapes.count}], "times": {str: [shapes.number]}}
GOOD = {"id": "a", "list": [{"n": 1, "more": None}], "times": {"x": [1, 2.5]}, "later": {"deep": [1]}}


@pytest.mark.parametrize(
    "change, fault",
    [
        ({}, ""),
        ({"at": None}, ""),
        ({"at": "2026-01-01T00:00:00Z"}, ""),
        ({"id": 7}, "a whole number in id instead of a text"),
        ({"id": "a\0b"}, "another one in id instead of a text"),
        ({"at": "soon"}, "a text in at instead of a time such as 2026-11-23T16:00:00Z"),
        ({"list": {}}, "an object in list instead of a list"),
        ({"list": [{}]}, "no list.0.n"),
        ({"list": [{"n": True}]}, "true or false in list.0.n instead of a whole number"),
        ({"list": [{"n": 1.5}]}, "a number in list.0.n instead of a whole number"),
        ({"times": {"x": [float("nan")]}}, "another one in times.x.0 instead of a number"),
        ({"times": {"x": [float("inf")]}}, "another one in times.x.0 instead of a number"),
        ({"times": {"x": [10**400]}}, "a whole number in times.x.0 instead of a number"),
    ],
)
def test_a_fault_is_named_with_its_place(change, fault):
    assert shapes.fault({**GOOD, **change}, SHAPE) == fault


def test_what_lacks_is_named():
    assert shapes.fault({"list": [], "times": {}}, SHAPE) == "no id"
    assert shapes.fault([], SHAPE) == "a list instead of an object"
