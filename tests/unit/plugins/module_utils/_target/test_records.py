# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records and their shapes. Every record damaged in every way: tests/unit/plugins/modules/test_damaged_records.py."""
from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._target import records

SHAPE = {"id": records.text, "at?": (records.moment, None), "list": [{"n": records.count}], "times": {str: [records.number]}}
GOOD = {"id": "a", "list": [{"n": 1, "more": None}], "times": {"x": [1, 2.5]}, "later": {"deep": [1]}}


@pytest.mark.parametrize("change, fault", [
    ({}, ""), ({"at": None}, ""), ({"at": "2026-01-01T00:00:00Z"}, ""),
    ({"id": 7}, "a whole number in id instead of a text"), ({"id": "a\0b"}, "another one in id instead of a text"),
    ({"at": "soon"}, "a text in at instead of a time such as 2026-11-23T16:00:00Z"),
    ({"list": {}}, "an object in list instead of a list"), ({"list": [{}]}, "no list.0.n"),
    ({"list": [{"n": True}]}, "true or false in list.0.n instead of a whole number"),
    ({"list": [{"n": 1.5}]}, "a number in list.0.n instead of a whole number"),
    ({"times": {"x": [float("nan")]}}, "another one in times.x.0 instead of a number"),
    ({"times": {"x": [float("inf")]}}, "another one in times.x.0 instead of a number"),
    ({"times": {"x": [10**400]}}, "a whole number in times.x.0 instead of a number"),
])
def test_a_fault_is_named_with_its_place(change, fault):
    assert records.fault({**GOOD, **change}, SHAPE) == fault


def test_what_lacks_is_named():
    assert records.fault({"list": [], "times": {}}, SHAPE) == "no id"
    assert records.fault([], SHAPE) == "a list instead of an object"


def test_a_record_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.json"
    with open(path, "wb") as stream:
        stream.truncate(100 * 10**9)
    with pytest.raises(IntegrityError, match=r"a.json: expected the note of a drill, found a larger file. Remove folders"):
        records.read(str(path), records.DRILL)


def test_none_is_none(tmp_path):
    assert records.read(str(tmp_path / "a.json"), records.DRILL) is None


def test_a_line_without_end_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(fs, "RECORD_LIMIT", 100)
    path = tmp_path / "lines"
    path.write_bytes(b"one\n" + b"x" * 1000 + b"\ntwo\n" + b"y" * 150)
    assert list(records.lines(str(path))) == [b"one\n", b"two\n"]
