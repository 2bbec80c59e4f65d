# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The memory of a Node process from inside, by its inspector: how much of it JavaScript has, and a snapshot of it on request.

A snapshot stops the process while it is made, and takes about as much memory as the objects have once more (Node's documentation says
twice). So it is made only where that much is free. It has all that the process knows, secrets too: only root can read it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os

from .._core import clock, fs, processes, wording
from .._core.errors import StateError
from .._observe import host_metrics
from .._target.layout import Layout
from . import inspector
from .inspector import Session
from .websocket import Broken

#: How many times the memory of the process must be free, and seconds and bytes that a snapshot may take.
TIMES, PATIENCE, MOST = 2, 600.0, 4 * 1024**3


@dataclasses.dataclass(frozen=True)
class Heap:
    """The memory of a process, in bytes."""

    pid: int
    #: What objects of JavaScript have, and what V8 has for them.
    used: int
    whole: int
    #: What the process has beside that: buffers, native code, threads.
    outside: int

    def text(self) -> str:
        """In a sentence."""
        used, whole, outside = (wording.human_size(size) for size in (self.used, self.whole, self.outside))
        return f"Its JavaScript has {used} of a heap of {whole}; {outside} are outside of that, such as buffers."


def look(pid: int) -> Heap:
    """The memory of a process. :raises StateError: when it does not tell."""
    told = inspector.asked(pid, lambda session, _began: session.call("Runtime.getHeapUsage"))
    used, whole = (int(told[name]) if isinstance(told.get(name), (int, float)) else 0 for name in ("usedSize", "totalSize"))
    return Heap(pid, used, whole, max(0, processes.memory(pid) - whole))


def snapshot(layout: Layout, pid: int, free: int) -> str:
    """Make a snapshot of the heap: the path of the file.

    :param free: bytes of memory that programs can still have.
    :raises StateError: when memory or disk are short, or it fails. No file is left then, nor when a signal interrupts it.
    """
    needed = TIMES * processes.memory(pid)
    for where, left in (("the host", free), ("its unit (mobius_memory_max)", _unit_left(pid))):
        if left is not None and left < needed:
            raise StateError(
                f"a heap snapshot of process {pid}",
                f"{wording.human_size(needed)} of free memory",
                f"{wording.human_size(left)} in {where}",
                "Restart the service, and take it while the process is small",
            )
    fs.require_space(layout.root, needed, "a heap snapshot")
    folder = layout.path("state", "heap")
    os.makedirs(folder, 0o700, exist_ok=True)
    path = os.path.join(folder, f"{clock.now().strftime('%Y%m%dT%H%M%SZ')}-{pid}.heapsnapshot")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        inspector.asked(pid, lambda session, _began: _write(session, descriptor))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)
    return path


def _write(session: Session, descriptor: int) -> None:
    left = MOST
    parts = session.stream("HeapProfiler.takeHeapSnapshot", "HeapProfiler.addHeapSnapshotChunk", PATIENCE, reportProgress=False)
    try:
        for part in parts:
            data = str(part.get("chunk") or "").encode("utf-8", "replace")
            left -= len(data)
            if left < 0:
                raise Broken(f"its heap snapshot is larger than {wording.human_size(MOST)}")
            fs.write_all(descriptor, data)
    except BaseException:
        # Until all of it is sent, the process answers nothing else: its inspector could not be closed
        with contextlib.suppress(Broken):
            collections.deque(parts, maxlen=0)
        raise
    if left == MOST:
        raise Broken("it sends no heap snapshot")


def _unit_left(pid: int) -> int | None:
    """Bytes that the control group of a process may still have; ``None`` without a limit."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        with open(f"/proc/{pid}/cgroup", encoding="ascii", errors="replace") as stream:
            group = next(line.rstrip("\n")[3:] for line in stream if line.startswith("0::"))
        limit, used = host_metrics.memory_of_group(os.path.join(host_metrics.CGROUP, group.lstrip("/")))
        return max(0, limit - used)
    return None
