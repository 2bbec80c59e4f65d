# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tests of the molecule scenarios can be loaded. They run on their own, without `tests/conftest.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/tests") if any(path.glob("test_*.py")))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_they_can_be_loaded(scenario):
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, f"molecule/{scenario}/tests"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "::test_" in done.stdout, done.stdout + done.stderr


def test_there_are_some():
    assert {"default", "cluster", "faults"} <= set(SCENARIOS)
