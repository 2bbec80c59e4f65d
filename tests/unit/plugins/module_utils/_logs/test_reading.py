"""Only what is new is read, however logs are rotated; the counts are those of one look at everything."""

from __future__ import annotations

import gzip
import os
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._logs import marks, reading, totals
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

AT = clock.parse("2026-11-26T08:00:00Z").timestamp()


class Logs:
    """A folder with an application's log, and what the runs know of it."""

    def __init__(self, root):
        self.layout, self.folder = Layout(str(root / "mobius")), root / "logs"
        self.folder.mkdir()
        self.written = 0

    def path(self, name="app.log"):
        return str(self.folder / name)

    def write(self, count=100, name="app.log"):
        with open(self.path(name), "ab") as stream:
            for number in range(self.written, self.written + count):
                stream.write(f"{clock.from_epoch(AT + number)} ERROR job {number} failed because of {'x' * (number % 40)}\n".encode())
        self.written += count

    def read(self, **more):
        """Read what is new, and keep it; (lines so far, bytes that were read)."""
        state, note = marks.load(self.layout, 1000)
        assert not note
        wanted = reading.Wanted([self.path("*.log*")], [], 0, 1000, "exact", **{"processes": 1, "most": 1 << 40, **more})
        found = reading.read(wanted, state)
        marks.save(self.layout, found.state, "2026-01-01")
        self.last = found
        return self.lines(found.state.totals), sum(one.bytes for one in found.done.told)

    @staticmethod
    def lines(found):
        return sum(day.lines for days in found.values() for day in days.values())


@pytest.fixture
def logs(tmp_path):
    return Logs(tmp_path)


def size(logs, name="app.log"):
    return os.path.getsize(logs.path(name))


def test_the_next_run_reads_only_what_is_new(logs):
    logs.write(5000)
    assert logs.read() == (5000, size(logs))
    assert logs.read() == (5000, 0)
    before = size(logs)
    logs.write(50)
    assert logs.read() == (5050, size(logs) - before)
    day = logs.last.state.totals[logs.path()]["2026-11-26"]
    assert sum(group.count for group in day.groups.values()) == 5050 and sum(slot.errors for slot in day.slots.values()) == 5050


def test_a_line_that_is_half_written_is_read_when_it_is_whole(logs):
    logs.write(10)
    with open(logs.path(), "ab") as stream:
        stream.write(b"2026-11-26T09:00:00Z ERROR ha")
        stream.flush()
        assert logs.read()[0] == 10
        stream.write(b"lf\n")
    assert logs.read()[0] == 11 and "half" in logs.last.state.totals[logs.path()]["2026-11-26"].groups


def rename(logs):
    for number in (2, 1):
        if os.path.exists(logs.path(f"app.log.{number}")):
            os.rename(logs.path(f"app.log.{number}"), logs.path(f"app.log.{number + 1}"))
    os.rename(logs.path(), logs.path("app.log.1"))


def copy_and_truncate(logs):
    shutil.copy2(logs.path(), logs.path("app.log.1"))
    os.truncate(logs.path(), 0)


def pack(logs):
    rename(logs)
    packed(logs, "app.log.1")


def packed(logs, name):
    with open(logs.path(name), "rb") as plain, gzip.open(logs.path(f"{name}.gz"), "wb") as stream:
        shutil.copyfileobj(plain, stream)
    os.unlink(logs.path(name))


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate, pack])
@pytest.mark.parametrize("unread", [0, 70])
@pytest.mark.parametrize("after", [0, 30, 3000])
def test_rotation_loses_no_line_and_counts_none_twice(logs, rotate, unread, after):
    logs.write(2000)
    assert logs.read()[0] == 2000
    logs.write(unread)
    rotate(logs)
    logs.write(after)
    assert logs.read()[0] == 2000 + unread + after
    assert list(logs.last.state.totals) == [logs.path()]
    logs.write(5)
    assert logs.read()[0] == 2005 + unread + after


def test_a_log_that_is_rotated_then_packed_is_not_read_again(logs):
    logs.write(2000)
    logs.read()
    rename(logs)
    logs.write(10)
    logs.read()
    packed(logs, "app.log.1")
    assert logs.read() == (2010, 0)
    assert logs.read() == (2010, 0) and logs.last.done.told == []


def test_a_truncated_log_is_read_from_its_beginning(logs):
    logs.write(2000)
    logs.read()
    os.truncate(logs.path(), 0)
    logs.write(3000)  # longer than before
    assert logs.read()[0] == 5000


def test_a_packed_file_with_another_beginning_of_the_same_length_is_another(logs):
    logs.write(2000)
    logs.read()
    rename(logs)
    with open(logs.path("app.log.1"), "rb") as stream:
        lines = stream.read().splitlines(keepends=True)
    with gzip.open(logs.path("app.log.1.gz"), "wb") as stream:
        stream.write(b"".join(lines[:30] + lines[31:] + lines[30:31]))
    os.unlink(logs.path("app.log.1"))
    assert logs.read()[0] == 4000


def test_the_last_line_of_a_rotated_log_needs_no_end(logs):
    logs.write(10)
    logs.read()
    with open(logs.path(), "ab") as stream:
        stream.write(b"2026-11-26T09:00:00Z ERROR killed")
    rename(logs)
    assert logs.read()[0] == 11 and logs.read()[0] == 11


def test_two_logs_that_begin_alike_are_two(logs):
    logs.write(100)
    shutil.copy(logs.path(), logs.path("console.log"))
    assert logs.read()[0] == 200
    logs.write(7)
    logs.write(9, "console.log")
    assert logs.read()[0] == 216 and logs.read()[1] == 0


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_count_the_same(logs, monkeypatch, processes):
    monkeypatch.setattr(reading, "_PART", 50_000)
    logs.write(9000)
    logs.write(3000, "other.log")
    assert logs.read(processes=processes)[0] == 12_000
    one = reading.read(reading.Wanted([logs.path("*.log*")], [], 0, 1000, "exact", 1, 1 << 40), marks.State())
    assert logs.last.state.totals == one.state.totals and len(logs.last.done.told) > 3
    assert logs.read(processes=processes) == (12_000, 0)


def test_a_run_that_may_not_read_everything_leaves_the_rest_to_the_next(logs):
    logs.write(3000)
    logs.write(3000, "other.log")
    first = logs.read(most=100_000)[0]
    assert 0 < first < 3000 and {one.path for one in logs.last.done.passed} == {logs.path(), logs.path("other.log")}
    seen = [first]
    while seen[-1] < 6000:
        seen.append(logs.read(most=100_000)[0])
        assert seen[-1] > seen[-2]
    assert seen[-1] == 6000 and logs.last.done.passed == []


def test_old_days_are_dropped(logs):
    logs.write(10)
    logs.read()
    marks.save(logs.layout, marks.load(logs.layout, 1000)[0], "2026-11-27")
    assert logs.read() == (0, 0)


def test_a_state_that_would_be_too_long_loses_its_oldest_days(logs, monkeypatch):
    state = marks.State(slow_ms=1000)
    state.totals["a"] = {
        f"2026-11-{number:02}": totals.Day(lines=1, groups={"x" * 200 + str(each): totals.Group(1) for each in range(100)})
        for number in range(1, 29)
    }
    monkeypatch.setattr(marks, "LIMIT", 300_000)
    marks.save(logs.layout, state, "")
    days = list(marks.load(logs.layout, 1000)[0].totals["a"])
    assert days[-1] == "2026-11-28" and 3 < len(days) < 20 and os.path.getsize(marks.path(logs.layout)) <= 300_001


def test_a_state_of_another_limit_for_slow_requests_is_not_used(logs):
    logs.write(10)
    logs.read()
    state, note = marks.load(logs.layout, 500)
    assert state == marks.State() and note.startswith("The logs are read from their beginning: slow_ms")


def test_a_file_that_vanishes_while_it_is_read_fails_nothing(logs, monkeypatch):
    logs.write(10)
    real = reading.formats.sniff
    monkeypatch.setattr(reading.formats, "sniff", lambda data: (os.path.exists(logs.path()) and rename(logs), real(data))[1])
    assert logs.read()[0] == 0 and logs.last.done.passed[0].path == logs.path()
    assert logs.read()[0] == 10


def test_a_log_with_the_same_beginning_that_was_begun_anew_is_read_from_there(logs):
    banner = b"".join(b"2026-11-26T08:00:00Z INFO line %d of a banner\n" % number for number in range(40))
    for count in (100, 300):
        with open(logs.path(), "wb") as stream:
            stream.write(banner)
        logs.write(count)
        lines = logs.read()[0]
    assert lines == 40 + 100 + 40 + 300


def test_two_packed_logs_that_begin_alike_are_two(logs):
    for name, own in (("a.log.1.gz", 500), ("b.log.1.gz", 3000)):
        text = b"".join(b"2026-11-26T08:00:00Z INFO line %d of both\n" % number for number in range(2000))
        text += b"".join(b"2026-11-26T08:00:00Z INFO %d in %s\n" % (number, name.encode()) for number in range(own))
        with gzip.open(logs.path(name), "wb") as stream:
            stream.write(text)
    for _number in range(12):
        lines = logs.read(most=60_000)[0]
    assert lines == 2500 + 5000 and logs.last.done.passed == []
