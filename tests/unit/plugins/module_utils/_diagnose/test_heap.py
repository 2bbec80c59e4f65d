# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The memory of a real Node from inside, and a snapshot of it, only where there is room."""

from __future__ import annotations

import json
import os
import signal
import stat

import pytest
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import fs, interrupt, processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import heap, inspector
from ansible_collections.mobius.ops.plugins.module_utils._observe import host_metrics
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

pytestmark = pytest.mark.slow
GB = 1024**3


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "root" / "state").mkdir(parents=True)
    return Layout(str(tmp_path / "root"))


def left(layout):
    folder = layout.path("state", "heap")
    return os.listdir(folder) if os.path.isdir(folder) else []


def test_how_much_memory_javascript_has(node):
    server = node()
    found = heap.look(server.pid)
    assert 10**6 < found.used <= found.whole < 10**9 and found.outside > 10**6 and found.pid == server.pid
    assert "of a heap of" in found.text() and found.text().endswith(".")
    wait_until(lambda: not processes.listeners(server.inspector))


def test_a_snapshot_is_whole_and_only_roots(node, layout):
    server = node()
    path = heap.snapshot(layout, server.pid, 64 * GB)
    with open(path, encoding="utf-8") as stream:
        told = json.load(stream)
    assert len(told["nodes"]) == told["snapshot"]["node_count"] * len(told["snapshot"]["meta"]["node_fields"])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert server.get() == b"ok" and not processes.listeners(server.inspector)


def test_none_is_made_when_memory_or_disk_are_short(node, layout, monkeypatch):
    server = node()
    with pytest.raises(StateError, match=r"of free memory, found 1\.0 MB in the host"):
        heap.snapshot(layout, server.pid, 10**6)
    monkeypatch.setattr(heap, "_unit_left", lambda pid: 10**6)
    with pytest.raises(StateError, match=r"in its unit \(mobius_memory_max\)"):
        heap.snapshot(layout, server.pid, 64 * GB)
    monkeypatch.setattr(heap, "_unit_left", lambda pid: None)
    monkeypatch.setattr(heap, "TIMES", 10**9)
    with pytest.raises(StateError, match="a heap snapshot"):
        heap.snapshot(layout, server.pid, 10**30)
    assert left(layout) == [] and server.get() == b"ok"


def full(_descriptor, _data):
    raise OSError(28, "No space left on device")


def interrupted(_descriptor, _data):
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    "where, name, value, error, words",
    [
        (heap, "MOST", 1000, StateError, "is larger than"),
        (fs, "write_all", full, OSError, "No space left"),
        (fs, "write_all", interrupted, StateError, "the diagnosis.*SIGTERM"),
    ],
    ids=["larger", "full disk", "interrupted"],
)
def test_one_that_does_not_end_well_is_read_to_its_end_and_leaves_nothing(node, layout, monkeypatch, where, name, value, error, words):
    stream, read = inspector.Session.stream, []

    def noted(self, *arguments, **options):
        yield from stream(self, *arguments, **options)
        read.append("all of it")

    server = node()
    monkeypatch.setattr(inspector.Session, "stream", noted)
    monkeypatch.setattr(where, name, value)
    with pytest.raises(error, match=words), interrupt.interruptible("the diagnosis"):
        heap.snapshot(layout, server.pid, 64 * GB)
    assert read == ["all of it"]  # until then it answers nothing else
    assert left(layout) == [] and not processes.listeners(server.inspector)
    assert server.get() == b"ok"


def test_one_that_takes_too_long_leaves_no_file_and_no_open_inspector(node, layout, monkeypatch):
    server = node()
    monkeypatch.setattr(heap, "PATIENCE", 0.0)
    with pytest.raises(StateError, match="does not answer in time"):
        heap.snapshot(layout, server.pid, 64 * GB)
    assert left(layout) == [] and not processes.listeners(server.inspector)


@pytest.mark.parametrize(
    "texts, found", [((("memory.max", "1000"), ("memory.current", "400")), 600), ((("memory.max", "max"),), None), ((), None)]
)
def test_what_the_unit_may_still_have(tmp_path, monkeypatch, texts, found):
    with open("/proc/self/cgroup", encoding="ascii") as stream:
        group = next((line.rstrip("\n")[3:] for line in stream if line.startswith("0::")), None)
    if group is None:
        pytest.skip("this host has no unified control groups")
    folder = tmp_path / group.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts:
        (folder / name).write_text(text + "\n")
    monkeypatch.setattr(host_metrics, "CGROUP", str(tmp_path))
    assert heap._unit_left(os.getpid()) == found


def test_a_process_that_refuses_is_told(node, monkeypatch):
    server = node()
    with pytest.raises(StateError, match="it refuses"):
        inspector.asked(server.pid, lambda session, _began: list(session.stream("HeapProfiler.nothing", "x", 5.0)))
    assert not processes.listeners(server.inspector)
