# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shapes of values that come from JSON, and what is wrong with a value that has another one.

A shape is a type, a tuple of alternatives (``None`` among them where there may be no value), a list of one shape, ``{str: shape}`` for
an object with any names, ``{"name": shape, "name?": shape}`` for one with these, the second of which may be missing, or a function that
says what it expects, or nothing when the value is right.
"""

from __future__ import annotations

import datetime
import re
import typing as t

from .._core import clock

#: No count, time or size is larger.
_MOST = 2**53
_WORDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


def number(value: t.Any) -> str:
    """A number that can be counted with: not NaN, not infinite."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and -_MOST <= value <= _MOST
    return "" if good else "a number"


def count(value: t.Any) -> str:
    """A whole number."""
    return "" if isinstance(value, int) and not number(value) else "a whole number"


def wide(value: t.Any) -> str:
    """A whole number of 64 bits, such as a time in nanoseconds."""
    good = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return "" if good else "a whole number"


def text(value: t.Any) -> str:
    """A text that may be a part of a path or a command."""
    return "" if isinstance(value, str) and "\0" not in value else "a text"


def histogram(value: t.Any) -> str:
    """What ``_core.stats.Histogram`` has counted: bucket, a number that JSON made a text, -> count."""
    good = isinstance(value, dict) and all(
        re.fullmatch(r"-?[0-9]{1,4}", bucket) and not count(many) and many >= 0 for bucket, many in value.items()
    )
    return "" if good else "counts of numbered buckets"


def moment(value: t.Any) -> str:
    """A time as ``_core.clock.iso`` writes it."""
    try:
        clock.parse(value)
    except (TypeError, ValueError):
        return "a time such as 2026-11-23T16:00:00Z"
    return ""


def day(value: t.Any) -> str:
    """A day such as 2026-11-27."""
    try:
        datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        return "a day such as 2026-11-27"
    return ""


def fault(value: t.Any, shape: t.Any, where: str = "") -> str:
    """What is wrong with a value, such as ``a list in checks.0.url instead of a text``; empty when nothing."""
    if isinstance(shape, tuple):
        faults = [fault(value, each, where) for each in shape]
        return "" if "" in faults else faults[0]
    if isinstance(shape, dict):
        return _object_fault(value, shape, where) if isinstance(value, dict) else _instead(value, where, _WORDS[dict])
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _instead(value, where, _WORDS[list])
        return next(filter(None, (fault(item, shape[0], f"{where}.{at}") for at, item in enumerate(value))), "")
    if shape is None or isinstance(shape, type):
        kind = type(None) if shape is None else shape
        return "" if isinstance(value, kind) else _instead(value, where, _WORDS.get(kind, "another value"))
    expected = shape(value)
    return _instead(value, where, expected) if expected else ""


def _object_fault(value: dict[str, t.Any], shape: dict[t.Any, t.Any], where: str) -> str:
    if str in shape:
        bad = next((name for name, item in value.items() if fault(item, shape[str])), None)
        return "" if bad is None else fault(value[bad], shape[str], f"{where}.{bad}")
    for name, each in shape.items():
        key = name.rstrip("?")
        if key in value:
            found = fault(value[key], each, f"{where}.{key}")
            if found:
                return found
        elif key == name:
            return f"no {(where + '.' + key).lstrip('.')[:80]}"
    return ""


def _instead(value: t.Any, where: str, expected: str) -> str:
    found = _WORDS.get(type(value), "another value")
    found = "another one" if found == expected else found
    return f"{found}{' in ' + where[1:81] if where else ''} instead of {expected}"
