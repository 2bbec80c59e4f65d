# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lines say, and when the next one is due."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.plugin_utils.progress_lines import Lines, amount, pause, span

COUNT = st.integers(0, 10**15)
PHASE = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["", "write", "another"]),
        "bytes": COUNT,
        "total_bytes": COUNT,
        "files": COUNT,
        "total_files": COUNT,
        "seconds": st.floats(0, 1e6),
    }
)


def phase(number=1, name="write", **counts):
    return {"number": number, "name": name, "bytes": 0, "files": 0, "total_bytes": 0, "total_files": 0, "seconds": 0.0, **counts}


def test_the_line_of_the_design():
    at = phase(bytes=312_400_000, total_bytes=498_000_000, files=3120, total_files=5070, seconds=3.25)
    assert Lines().of([at]) == ["writing 312 of 498 MB (62 %), 3,120 of 5,070 files, 96 MB/s, 2 s left"]


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({}, "writing"),
        ({"seconds": 61}, "writing for 1 min 1 s"),
        ({"name": "", "seconds": 7}, "at work for 7 s"),
        ({"name": "safety backup: verify", "files": 1}, "safety backup: verifying 1 files"),
        ({"name": "a word of its own", "files": 1}, "a word of its own 1 files"),
        ({"files": 12, "seconds": 5}, "writing 12 files"),
        ({"bytes": 2_500_000, "seconds": 1}, "writing 2.5 MB, 2.5 MB/s"),
        ({"total_bytes": 10**9, "seconds": 0.1}, "writing 0 of 1.0 GB (0 %)"),
        ({"total_bytes": 10**9, "seconds": 30}, "writing 0 of 1.0 GB (0 %), 0 MB/s"),
        ({"bytes": 10**9, "total_bytes": 10**9, "seconds": 10}, "writing 1.0 of 1.0 GB (100 %), 100 MB/s"),
        ({"bytes": 2 * 10**9, "total_bytes": 10**9, "seconds": 10}, "writing 2.0 of 1.0 GB (100 %), 200 MB/s"),
    ],
)
def test_what_is_not_known_is_left_out(counts, line):
    assert Lines().of([phase(**counts)]) == [line]


def test_the_rate_is_the_one_of_late():
    lines = Lines()
    lines.of([phase(bytes=500_000_000, total_bytes=10**9, seconds=5)])
    later = phase(bytes=510_000_000, total_bytes=10**9, seconds=15)
    assert lines.of([later]) == ["writing 0.5 of 1.0 GB (51 %), 1.0 MB/s, 8 min 10 s left"]


def test_a_standstill_is_told():
    lines = Lines()
    for seconds in (10, 20):
        lines.of([phase(bytes=5, total_bytes=10, seconds=seconds)])
    assert lines.of([phase(bytes=5, total_bytes=10, seconds=30)]) == ["writing 5 of 10 bytes (50 %), 0 MB/s"]


def test_a_phase_that_was_shown_gets_a_last_line():
    lines = Lines()
    lines.of([phase(1, seconds=5, bytes=10**8)])
    scanned = phase(2, "look", seconds=1)  # came and went between two lines
    shown = lines.of([phase(1, seconds=6.4, bytes=498 * 10**6, files=5070), scanned, phase(3, "verify", bytes=1, total_bytes=2, seconds=1)])
    assert shown == ["writing done: 498 MB, 5,070 files in 6 s, 78 MB/s", "verifying 1 of 2 bytes (50 %), 1 bytes/s, 1 s left"]
    verified = phase(3, "verify", bytes=2, seconds=2)
    assert lines.end([phase(1), scanned, verified], failed=False) == ["verifying done: 2 bytes in 2 s, 1 bytes/s"]


def test_of_failed_work_the_last_phase_was_not_done():
    lines = Lines()
    lines.of([phase(1, seconds=5)])
    assert lines.end([phase(1, seconds=6), phase(2)], failed=True) == ["writing done in 6 s"]
    assert Lines().end([phase(1)], failed=False) == [] == Lines().end([], failed=True)


@pytest.mark.parametrize(
    ("size", "total", "text"),
    [
        (0, 0, "0 bytes"),
        (999, 0, "999 bytes"),
        (1000, 0, "1.0 kB"),
        (96_000_000, 0, "96 MB"),
        (0, 498_000_000, "0 of 498 MB"),
        (2_100_000, 9_800_000_000, "0.0 of 9.8 GB"),
        (5 * 10**12, 0, "5.0 TB"),
        (10**16, 0, "10000 TB"),
    ],
)
def test_amounts(size, total, text):
    assert amount(size, total) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (100, "1 min 40 s"), (3600, "1 h"), (7500, "2 h 5 min"), (90000, "25 h")],
)
def test_spans(seconds, text):
    assert span(seconds) == text


def test_long_work_is_told_of_more_seldom():
    assert [pause(elapsed) for elapsed in (0, 59, 60, 299, 300, 10_000)] == [5, 5, 10, 10, 30, 30]


@given(st.lists(PHASE, min_size=1, max_size=6), st.booleans())
def test_any_record_makes_lines(phases, failed):
    lines, numbered = Lines(), [{**given_phase, "number": number} for number, given_phase in enumerate(phases)]
    shown = [line for end in range(1, len(numbered) + 1) for line in lines.of(numbered[:end])] + lines.end(numbered, failed)
    assert all(re.fullmatch(r"[ -~]+", line) and "None" not in line for line in shown)
