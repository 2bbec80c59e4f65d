# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter dotenv: what it writes is what is read."""

from __future__ import annotations

import os
import tempfile

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.filter import dotenv
from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv as core_dotenv

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
VALUES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=30)


def read(text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, ".env")
        with open(path, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        return core_dotenv.read(path)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_is_written_is_read_back_or_refused(values):
    try:
        text = dotenv.dotenv(values)
    except AnsibleFilterError:
        assert any(letter in value for value in values.values() for letter in "\n\r'\"\\") or any(
            value != value.strip() for value in values.values()
        )
    else:
        assert read(text) == values


def test_lines_are_sorted_and_values_are_texts():
    assert dotenv.dotenv({"PORT": 5001, "DEBUG": True, "TRACE": False, "A": "", "B": None}) == "A=\nDEBUG=true\nPORT=5001\nTRACE=false\n"
    assert dotenv.dotenv({"A": "a#b", "B": "`b`", "C": "a $b"}) == "A='a#b'\nB='`b`'\nC=a $b\n"
    assert dotenv.dotenv({}) == ""
    assert dotenv.FilterModule().filters()["dotenv"] is dotenv.dotenv


@pytest.mark.parametrize(
    "values",
    [
        {"1A": "x"},
        {"A-B": "x"},
        {"": "x"},
        {"A\n": "x"},
        {"A": "x\ny"},
        {"A": "it's"},
        {"A": " x"},
        {"A": 'a"b'},
        {"A": "a\\b"},
        {"A": "x\0y"},
        "A=1",
    ],
)
def test_what_such_a_file_cannot_hold_is_refused_without_showing_the_value(values):
    with pytest.raises(AnsibleFilterError, match="mobius_dotenv: expected") as caught:
        dotenv.dotenv(values)
    if isinstance(values, dict) and "A" in values:
        assert values["A"] not in str(caught.value)
