# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Feed one part of the collection with made-up input: no traceback, no hang, no more than 300 MB.

Usage: run.py TARGET [--seed TEXT] [--first NUMBER] [--cases NUMBER] [--seconds SECONDS]

Each case depends on the target, the seed and its number only. A case that fails is printed with the words that repeat it; put them
into seeds.txt, which every run begins with. Result: one JSON object.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import pathlib
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / ".build" / "collections")]

from support.corruption import no_hang  # noqa: E402

TARGETS = ("records", "answers", "suites", "tars", "logs", "archives", "databases")
#: Bytes of private memory.
MEMORY = 300 * 10**6
#: Seconds that a case may take on a machine that does twenty other things.
LONGEST = 120


def target(name: str, folder: str) -> t.Any:
    """The target of the file of that name."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Target(folder)


def main() -> int:
    """Run cases until there are enough; the exit status tells whether one failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seed", default="2026")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    folder = tempfile.mkdtemp(prefix="mobius-fuzz-")
    began, number, ends = time.monotonic(), given.first, collections.Counter()
    try:
        tried = target(given.target, folder)
        while number < given.first + given.cases or time.monotonic() - began < given.seconds:
            try:
                with no_hang(LONGEST):
                    ends[tried.case(random.Random(f"{given.target} {given.seed} {number}"))] += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                traceback.print_exc()
                print(f"repeat it with: run.py {given.target} --seed {given.seed} --first {number} --cases 1", file=sys.stderr)
                return 1
            number += 1
        tried.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # Not ru_maxrss, which also has the memory of the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1000
    print(
        json.dumps(
            {
                "target": given.target,
                "cases": number - given.first,
                "seconds": round(time.monotonic() - began, 1),
                "peak_mb": round(peak),
                "ends": dict(ends),
            }
        )
    )
    return 0 if peak < MEMORY / 10**6 else 1


if __name__ == "__main__":
    sys.exit(main())
