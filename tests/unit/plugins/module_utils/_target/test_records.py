# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records. Every record damaged in every way: tests/unit/plugins/modules/test_damaged_records.py."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._target import records


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
