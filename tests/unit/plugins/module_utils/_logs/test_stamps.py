"""Times of lines, and parts of a block by time."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._logs import stamps
from ansible_collections.mobius.ops.plugins.module_utils._logs.totals import SLOT

AT = clock.parse("2026-11-27T08:33:54Z").timestamp()


@pytest.mark.parametrize(
    "stamp, line",
    [
        (stamps.of_iso, b"2026-11-27T08:33:54.123Z ERROR x"),
        (stamps.of_iso, b"2026-11-27T09:33:54+01:00 x"),
        (stamps.of_iso, b"[2026-11-27 08:33:54,123] x"),
        (stamps.of_iso, b"2026/11/27 08:33:54 [error] 1#1: x"),
        (stamps.of_iso, b"web1 node[12]: 2026-11-27T08:33:54Z x"),
        (stamps.of_clf, b'10.0.0.1 - - [27/Nov/2026:08:33:54 +0000] "GET /'),
        (stamps.of_clf, b"::1 - bob [27/Nov/2026:03:03:54 -0530] "),
        (stamps.of_pino, b'{"level":30,"time":1795768434123,"pid":1}'),
        (stamps.of_pino, b'{"level":30,"time":"2026-11-27T08:33:54.123Z"}'),
        (stamps.of_pino, b'{"level":30,"time":1795768434}'),
    ],
)
def test_times(stamp, line):
    assert int(stamp(line + b"\n", 0)) == AT


@pytest.mark.parametrize(
    "stamp, line",
    [
        (stamps.of_iso, b"no time"),
        (stamps.of_iso, b"2026-13-27T08:33:54Z x"),
        (stamps.of_iso, b"2026-11-27T28:33:54Z x"),
        (stamps.of_clf, b"[27/Foo/2026:08:33:54 +0000]"),
        (stamps.of_pino, b'{"time":"soon"}'),
        (stamps.of_pino, b"{}"),
        (stamps.of_iso, b"\x00\xff" * 40),
        (stamps.of_iso, b"short\n2026-11-27T08:33:54Z of the next line"),
    ],
)
def test_what_is_no_time(stamp, line):
    assert stamp(line, 0) is None


def at(seconds, text=b"x"):
    return clock.from_epoch(AT + seconds).encode() + b" " + text + b"\n"


def test_the_beginning_of_a_moment_is_found():
    data = b"".join(at(number) + b"    at a frame\n" for number in range(500))
    for second in (0, 1, 77, 499):
        assert data[stamps.since(data, AT + second, stamps.of_iso) :].startswith(at(second))
    assert stamps.since(data, AT + 500, stamps.of_iso) == len(data)


def test_parts_are_the_slots_with_the_lines_that_tell_no_time():
    data = b"".join(at(number * 7) + b"    at a frame\n" for number in range(2000))
    parts = list(stamps.parts(data, stamps.of_iso))
    assert b"".join(lines for _at, lines in parts) == data
    for when, lines in parts:
        times = [stamps.of_iso(line) for line in lines.split(b"\n")[0::2] if line]
        assert {time // SLOT for time in times} == {when // SLOT} and lines.endswith(b"frame\n")
    assert len({when // SLOT for when, _lines in parts}) == len(parts) > 20


def test_lines_without_any_time_are_one_part():
    assert list(stamps.parts(b"a\nb\n", stamps.of_iso)) == [(None, b"a\nb\n")]


def test_a_block_in_disorder_has_an_end():
    data = b"".join(at((number * 7919) % 900_000) for number in range(5000))
    assert b"".join(lines for _at, lines in stamps.parts(data, stamps.of_iso)) == data
