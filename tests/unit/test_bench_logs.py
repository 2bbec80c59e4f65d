"""The benchmark of the log report runs, and its counts are awk's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench" / "logs.py"


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
    assert "counted" not in done.stdout and not list(tmp_path.iterdir())
