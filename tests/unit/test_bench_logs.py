"""The benchmark of the log report runs, and its counts are awk's."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench" / "logs.py"


def test_a_lane_that_took_no_tick_of_the_processor_has_no_ratio(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH.parent))
    bench = runpy.run_path(str(BENCH))
    nothing, took = bench["Took"](0.01, 0.0), bench["Took"](0.03, 0.02)
    seconds = {"greps": [nothing], "exact, 1 process": [took]}
    lines, missed = bench["table"]("nginx", 10**6, seconds, 1.0)
    assert "3.00 x" in lines[2] and "nan x" in lines[2], lines
    assert missed == [] and "| 3.00 | 0.02 | nan |" in bench["page"]("nginx", seconds, 1.0)[1]


@pytest.mark.parametrize("kind", ["nginx", "pino", "app"])
def test_counts_are_those_of_awk(tmp_path, kind):
    done = subprocess.run(
        [sys.executable, str(BENCH), "--size", "2M", "--rounds", "1", "--only", kind, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "" and done.returncode in (0, 1)  # so small logs take no longer than the start of a process
    for lane in ("greps", "sampled, 1 process", "exact, 2 processes", "1 % more"):
        assert f"  {lane} " in done.stdout, done.stdout
    assert ("  its searches alone " in done.stdout) == (kind == "app")
    assert "counted" not in done.stdout and not list(tmp_path.iterdir())
