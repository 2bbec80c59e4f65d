# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each mistyped setting gets one sentence; strings, as surveys send them, are right."""
from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.action.settings import mistake


@pytest.mark.parametrize(("value", "option"), [
    ("300", {"type": "int"}), (300, {"type": "int"}), ("0.5", {"type": "float"}), ("true", {"type": "bool"}), ("no", {"type": "bool"}),
    ("config,logs", {"type": "list", "elements": "str"}), (["1", 2], {"type": "list", "elements": "int"}), ({}, {"type": "dict"}),
    ("", {"type": "str"}), ("auto", {"choices": ["auto", "systemd"]}), ("5", {"type": "int", "choices": [5]}), ("~/x", {"type": "path"}),
])
def test_right_values(value, option):
    assert mistake("mobius_x", value, option) == ""


@pytest.mark.parametrize(("value", "option", "sentence"), [
    ("abc", {"type": "int"}, "mobius_x: expected a whole number, found 'abc'. Correct it."),
    ("long", {"type": "float"}, "mobius_x: expected a number, found 'long'. Correct it."),
    ("maybe", {"type": "bool"}, "mobius_x: expected true or false, found 'maybe'. Correct it."),
    ("x", {"type": "dict"}, "mobius_x: expected a dictionary, found 'x'. Correct it."),
    ({"a": 1}, {"type": "list"}, "mobius_x: expected a list, found {'a': 1}. Correct it."),
    (["x"], {"type": "list", "elements": "dict"}, "mobius_x: expected a list, each a dictionary, found ['x']. Correct it."),
    ("upstart", {"choices": ["auto", "systemd"]}, "mobius_x: expected one of auto, systemd, found 'upstart'. Correct it."),
])
def test_mistakes(value, option, sentence):
    assert mistake("mobius_x", value, option) == sentence
