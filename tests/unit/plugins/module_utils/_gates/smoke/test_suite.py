# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps of a smoke suite as data."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import expressions
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import suite as smoke_suite


@pytest.mark.parametrize(
    "value, filled",
    [
        ("/a/{id}/b", "/a/7/b"),
        ("{id}", 7),
        ({"a": ["{name}", "{id}", 1, None]}, {"a": ["x", 7, 1, None]}),
        ('{"seconds": 2, "of": "{name}"}', '{"seconds": 2, "of": "x"}'),
        ("{unknown} {{name}}", "{unknown} {x}"),
        ("{flag} {list}", "true [1]"),
    ],
)
def test_what_is_known_is_filled_in(value, filled):
    assert smoke_suite.fill(value, {"id": 7, "name": "x", "flag": True, "list": [1]}) == filled


def test_quotes_in_an_expression():
    assert smoke_suite.fill("a == '{x}'", {"x": "it's"}, quoted=True) == "a == 'it\\'s'"
    assert expressions.search(smoke_suite.fill("a == '{x}'", {"x": "it's"}, quoted=True), {"a": "it's"}) is True
    with pytest.raises(InputError, match="a value without a backslash"):
        smoke_suite.fill("a == '{x}'", {"x": "\\"}, quoted=True)


@pytest.mark.parametrize(
    "url, base, whole",
    [
        ("/a", "http://h:1", "http://h:1/a"),
        ("a", "http://h/p/", "http://h/p/a"),
        ("https://o/a", "http://h", "https://o/a"),
        ("/a", "", "/a"),
    ],
)
def test_addresses(url, base, whole):
    assert smoke_suite.absolute(url, base) == whole


def test_what_a_method_that_changes_something_gets():
    settings = smoke_suite.Settings("http://h", attempts=3, timeout=9)
    get, post, head = smoke_suite.plan(
        [
            {"name": "a", "url": "/"},
            {"name": "b", "url": "/", "upload": {"field": "f"}},
            {"name": "c", "url": "/", "method": "head", "timeout": 1},
        ],
        settings,
    )
    assert [(step["method"], step["attempts"], step["check"]["timeout"]) for step in (get, post, head)] == [
        ("GET", 3, 9.0),
        ("POST", 1, 9.0),
        ("HEAD", 3, 1.0),
    ]


def test_expressions_that_find_nothing_and_a_library_that_is_not_there(monkeypatch):
    assert expressions.search("a.b", {"a": 1}) is None and expressions.search("length(a)", {"a": 1}) is None
    monkeypatch.setattr(expressions, "jmespath", None)
    with pytest.raises(StateError, match="python3-jmespath"):
        expressions.search("a", {})
