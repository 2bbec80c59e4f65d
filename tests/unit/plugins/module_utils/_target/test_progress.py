# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A record is whole whenever it is read, counts from many threads are right, and no disk can stop the work."""

from __future__ import annotations

import os
import stat
import threading

import pytest
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._target import progress


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "record.json")


def test_a_record_of_phases(path):
    meter = progress.Recorder(path)
    meter.phase("scanning", 0, 10)
    meter.add(files=10)
    meter.phase("writing", 1000, 2)
    meter.add(600, 1)
    meter.write()
    record = progress.read(path)
    assert (record["pid"], record["ticks"]) == (os.getpid(), processes.start_ticks(os.getpid()))
    assert [{**phase, "seconds": 0} for phase in record["phases"]] == [
        {"number": 1, "name": "scanning", "bytes": 0, "files": 10, "total_bytes": 0, "total_files": 10, "seconds": 0},
        {"number": 2, "name": "writing", "bytes": 600, "files": 1, "total_bytes": 1000, "total_files": 2, "seconds": 0},
    ]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_new_record_has_a_phase(path):
    progress.Recorder(path)
    assert [phase["number"] for phase in progress.read(path)["phases"]] == [0]


def test_many_phases_do_not_grow_the_record(path):
    meter = progress.Recorder(path)
    for number in range(500):
        meter.phase(f"phase {number}")
    meter.write()
    assert [phase["number"] for phase in progress.read(path)["phases"]] == list(range(480, 501))


def test_threads_lose_nothing_and_a_reader_sees_whole_records(path, monkeypatch):
    monkeypatch.setattr(progress, "PERIOD", 0.001)
    meter = progress.Recorder(path).start()
    meter.phase("writing", 80_000, 8)
    threads = [threading.Thread(target=lambda: [meter.add(1) for _time in range(10_000)] and meter.add(0, 1)) for _thread in range(8)]
    for thread in threads:
        thread.start()
    for _time in range(500):
        assert progress.read(path) is not None, "a part of a record was read"
    for thread in threads:
        thread.join()
    meter.write()
    assert progress.read(path)["phases"][-1]["bytes"] == 80_000 and progress.read(path)["phases"][-1]["files"] == 8


@pytest.fixture
def written(monkeypatch, path):
    """How often the record was written, by ``os.replace``; the threads of other tests' meters go on writing theirs."""
    paths, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (replace(source, target), paths.append(target) if target == path else None))
    return paths


def test_it_is_cheap(path, written):
    """``add`` is that of the silent meter, and writes nothing."""
    assert progress.Recorder.add is progress.Meter.add
    meter = progress.Recorder(path)
    for _time in range(10_000):
        meter.add(1, 1)
    assert written == [path] and meter.files == 10_000  # the first one, with no counts yet


def test_it_is_written_twice_a_second_at_most(path, written):
    """Once per pause of 0.5 s, however much is counted."""
    pauses, go_on = [], threading.Semaphore(0)
    meter = progress.Recorder(path, lambda seconds: (pauses.append(seconds), go_on.acquire())).start()
    for number in range(1, 5):
        wait_until(lambda number=number: len(pauses) == number)
        for _time in range(1000):
            meter.add(1)
        assert len(written) == number and pauses == [0.5] * number
        go_on.release()
    wait_until(lambda: len(written) == 5)
    assert progress.read(path)["phases"][-1]["bytes"] == 4000


@pytest.mark.parametrize("place", ["none/record.json", "file/record.json"])
def test_a_record_that_cannot_be_written_stops_nothing(tmp_path, place):
    (tmp_path / "file").touch()
    meter = progress.Recorder(str(tmp_path / place))
    meter.phase("writing")
    meter.add(1)
    meter.write()
    assert meter.bytes == 1 and progress.read(meter.path) is None


def test_links_are_not_written_through(tmp_path, path):
    os.symlink(tmp_path / "target", path + ".tmp")
    progress.Recorder(path)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"phases": 1}'])
def test_what_is_no_record(path, text):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    assert progress.read(path) is None


def test_options_choose_the_meter(path):
    assert type(progress.meter({})) is type(progress.meter({"progress_file": None})) is progress.Meter
    assert isinstance(progress.meter({"progress_file": path}), progress.Recorder)


def test_a_share_counts_what_is_done_twice_once():
    whole = progress.Meter()
    share = progress.Share(whole, 100)
    for size in (30, 30, 60, 60):
        share.add(size)
    assert (whole.bytes, whole.files) == (100, 0)
    share.end()
    assert (whole.bytes, whole.files) == (100, 1)


def test_a_share_is_full_in_the_end():
    whole = progress.Meter()
    progress.Share(whole, 70).end()
    empty = progress.Share(whole, 0)
    empty.add(5)
    empty.end()
    assert (whole.bytes, whole.files) == (70, 2)


def test_phases_of_a_share_are_scaled_and_stay_its_own():
    whole = progress.Meter()
    whole.phase("verify", 1000, 2)
    share = progress.Share(whole, 500)
    share.phase("another", 2000, 9)
    share.add(200, 3)
    assert (whole.name, whole.bytes, whole.files) == ("verify", 50, 0)
    share.phase("nothing known")
    share.add(1)
    assert whole.bytes == 50
