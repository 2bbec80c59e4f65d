"""Work for several threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import threads

#: Eight threads that allocate at the same moment; then the address space that glibc has put aside for pools, in pieces of 64 MiB.
SCRIPT = """
import os, threading
from ansible_collections.mobius.ops.plugins.module_utils._core import threads
os.cpu_count = lambda: 8
together = threading.Barrier(8)

def work(_number):
    together.wait()
    return [bytes(50_000) for _piece in range(100)]

kept = threads.in_threads(work, range(8))
with open("/proc/self/maps") as stream:
    spans = [line.split()[0].split("-") for line in stream if "---p" in line and len(line.split()) < 6]
print(sum(int(end, 16) - int(begin, 16) > 2 ** 25 for begin, end in spans))
"""


@pytest.mark.parametrize(
    "sizes, lengths",
    [
        ([], []),
        ([1], [1]),
        ([0] * 64, [64]),
        ([0] * 65, [64, 1]),
        ([4 * 1024 * 1024, 1, 1], [1, 2]),
        ([2 * 1024 * 1024] * 3, [2, 1]),
    ],
)
def test_batches_are_of_so_many_files_or_bytes_and_nothing_is_left_out(sizes, lengths):
    entries = [{"path": str(number), "size": size} for number, size in enumerate(sizes)]
    found = list(threads.batches(entries))
    assert [len(batch) for batch in found] == lengths and [entry for batch in found for entry in batch] == entries


def test_results_come_in_order_and_the_first_error_ends_it():
    assert threads.in_threads(lambda number: number * 2, range(50)) == list(range(0, 100, 2))
    with pytest.raises(ZeroDivisionError):
        threads.in_threads(lambda number: 1 // number, [1, 0, 1])
    assert threads.begin(lambda: 7).result() == 7


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.maxsize < 2**32, reason="another C library has other pools")
def test_threads_share_memory():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 2
