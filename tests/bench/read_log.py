# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lane of ``logs.py`` in a process of its own: ``read_log.py ROOT LOG DETAIL PROCESSES`` prints what the report counts, as JSON.
With ``searches`` for DETAIL it only searches each block for what the report of a text searches it for, and counts nothing.

It imports little beside the report, because what it imports is part of the seconds.
"""

from __future__ import annotations

import json
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".build", "collections"))

from ansible_collections.mobius.ops.plugins.module_utils._logs import formats, run, stream


def main(root: str, path: str, detail: str, processes: str) -> None:
    """Read a log, and tell."""
    found = run.read_and_report(
        {
            "root": root,
            "files": [path],
            "units": [],
            "service": "mobius",
            "page": False,
            "since": "",
            "slow_ms": 1000.0,
            "detail": detail,
            "rows": 1000,
            "processes": int(processes),
            "max_mb": 10**6,
            "keep_days": 3650,
            "addresses": "masked",
            "explain": False,
        },
        True,
    )
    [source] = found["sources"]
    writes = sum(one["count"] for one in found["writes"])  # there are fewer kinds of them than rows
    # Not ru_maxrss of this process, which also has the memory of the one that started it.
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    memory = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    print(json.dumps({"memory": memory, "counts": [source["lines"], source["failed"], source["refused"], writes, source["errors"]]}))


def search(path: str) -> None:
    """What no report of a text can do without: its lines, its requests, and what may be an error."""
    with stream.Reader(os.open(path, os.O_RDONLY), False, sys.maxsize) as reader:
        for block in reader.blocks():
            block.count(b"\n")
            formats.in_text(block)
            low = block.lower()
            for needle in formats.NEEDLES:
                low.count(needle)


if __name__ == "__main__":
    if "searches" in sys.argv:
        search(sys.argv[2])
    else:
        main(*sys.argv[1:])
