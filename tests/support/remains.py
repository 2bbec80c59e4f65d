# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests leave running: the processes of a folder, found and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from support.waiting import HANG


def processes_of(root: str) -> list[int]:
    """Every process that runs below a folder, or names it in its command."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                command = stream.read()
            if pid != os.getpid() and command and (root.encode() in command or os.readlink(f"/proc/{pid}/cwd").startswith(root)):
                found.append(pid)
    return found


def kill(*pids: int) -> None:
    """SIGKILL to those of the processes that have not ended by themselves meanwhile."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end_all(root: str) -> None:
    """Kill every process of a root, supervisors before services, and see that none is left."""
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        left = processes_of(root)
        if not left:
            return
        kill(*left)
        time.sleep(0.02)
    raise AssertionError(f"processes of {root} are left: {processes_of(root)}")
