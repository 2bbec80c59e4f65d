# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Made-up state files, HTTP answers, suites, artifacts, logs, backups and databases: no traceback, no hang, no more than 300 MB.

A few fixed cases here; FUZZ_SECONDS=1200 tries others for so long, each target at a time (``make test-fuzz``).
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest
from support.waiting import HANG

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
#: Cases of each target when no time is given.
CASES = {"records": 60, "answers": 200, "suites": 300, "tars": 200, "logs": 40, "archives": 25, "databases": 15}


def kept() -> t.Iterator[tuple[str, str, str]]:
    """The cases that failed once."""
    for line in (HERE / "seeds.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            target, seed, number = line.split()[:3]
            yield target, seed, number


def run(target: str, *options: str) -> dict[str, t.Any]:
    """What a run of cases has to say; the test fails when one of them failed."""
    done = subprocess.run(
        [sys.executable, str(HERE / "run.py"), target, *options], capture_output=True, text=True, check=False, timeout=HANG + 2 * SECONDS
    )
    assert done.returncode == 0, done.stderr[-6000:] + done.stdout[-500:]
    found: dict[str, t.Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("target, seed, number", kept())
def test_what_failed_once(target, seed, number):
    assert run(target, "--seed", seed, "--first", number, "--cases", "1")["cases"] == 1


@pytest.mark.parametrize("target", CASES)
def test_made_up_input(target):
    options = ["--seconds", str(SECONDS), "--seed", str(time.time())] if SECONDS else ["--cases", str(CASES[target])]
    found = run(target, *options)
    print(found)
    assert found["cases"] >= (1 if SECONDS else CASES[target]) and len(found["ends"]) > 1, found
