"""What is kept between runs."""

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import state
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.state import Past, Used


def test_what_is_saved_is_loaded(host):
    past = Past({"weekly": "2026-11-27T05:00:00Z"}).with_step("cost", "done", ["a", "a", "b"], {"x_bytes": 1.0})
    past = past.with_step("cost", "attention", ["c"], {"x_bytes": 2.0, "y": 3.0}).with_samples([Used("2999-01-01", "/", 5, 10)])
    state.save(host.layout, past)
    assert state.load(host.layout) == (past, "") and stat.S_IMODE(os.stat(state.path(host.layout)).st_mode) == 0o600
    kept = past.steps["cost"]
    assert (kept.status, kept.seen, [point[1] for point in kept.figures["x_bytes"]]) == ("attention", ("c",), [1.0, 2.0])


def test_nothing_grows_without_end(monkeypatch):
    monkeypatch.setattr(state, "RUNS", 3)
    monkeypatch.setattr(state, "SEEN", 2)
    past = Past()
    for number in range(9):
        past = past.with_step("cost", "done", map(str, range(9)), {"x": float(number)})
    assert [point[1] for point in past.steps["cost"].figures["x"]] == [6.0, 7.0, 8.0] and past.seen("cost") == ("0", "1")
    old = past.with_samples([Used("2001-01-01", "/", 1, 2), Used("2999-01-01", "/", 1, 2)])
    assert [one.day for one in old.samples] == ["2999-01-01"]


def test_the_last_sample_of_a_day_counts():
    past = Past().with_samples([Used("2999-01-01", "/", 1, 9), Used("2999-01-01", "/srv", 2, 9)])
    assert [one.used for one in past.with_samples([Used("2999-01-01", "/", 7, 9)]).samples] == [7, 2]


@pytest.mark.parametrize(
    "content", ["{", '{"runs": {}, "steps": [], "samples": []}', '{"runs": {}, "steps": {}, "samples": [{"day": "soon"}]}']
)
def test_a_damaged_file_is_moved_aside_and_said(host, content):
    fs.write_text(state.path(host.layout), content)
    past, note = state.load(host.layout)
    assert past == Past() and "what maintenance found in its last runs" in note and note.endswith("and trends begin with this run.")
    assert os.path.exists(state.path(host.layout) + ".damaged") and state.load(host.layout) == (Past(), "")
