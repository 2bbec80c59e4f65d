# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one JSON parser."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import documents


@pytest.mark.parametrize("depth, good", [(1, True), (100, True), (101, False), (990, False), (5000, False), (200_000, False)])
@pytest.mark.parametrize("opens, closes", [("[", "]"), ('{"a":', "1}")])
def test_depth_has_a_limit_of_its_own(depth, good, opens, closes):
    text = opens * depth + (closes * depth if opens == "[" else "1" + "}" * depth)
    if good:
        assert documents.parse(text) is not None
    else:
        with pytest.raises(ValueError, match="nested deeper than 100 levels"):
            documents.parse(text)


def test_what_is_cut_deep_inside_is_no_crash():
    with pytest.raises(ValueError):
        documents.parse("[" * 200_000)


def test_bytes_that_are_no_text():
    with pytest.raises(ValueError, match="not UTF-8"):
        documents.parse(b'{"a": "\xff"}')


def test_halves_of_characters_in_an_answer_are_replaced():
    assert documents.answer('{"\\ud800": ["\\udfffx", "\\ud83d\\ude00", "é"]}') == {"???": ["???x", "😀", "é"]} or documents.answer(
        '["\\udfffx"]'
    ) == ["\N{REPLACEMENT CHARACTER}" * 3 + "x"]
    assert documents.answer("[" * 5000) is None and documents.answer("no") is None
