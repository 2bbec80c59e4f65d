# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the process that runs the application does: several looks at it within some seconds, by what the kernel tells (proc(5))."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import re
import time
import typing as t

from .._core import processes, wording
from .._service.node_service import Service

#: How often it is looked at.
LOOKS = 6
_TICKS = os.sysconf("SC_CLK_TCK")
#: Functions of the kernel in which an event loop waits for something to do.
_IDLE = re.compile(r"(?:do_|__x64_sys_|sys_)?(?:ep(?:oll)?_?p?(?:wait|oll)\d?)\w*|do_epoll_wait|schedule_hrtimeout_range\w*")
#: Numbers of the system calls that wait for events: epoll_wait, epoll_pwait and epoll_pwait2 of x86-64, then of arm64.
_WAITS = {"x86_64": {232, 281, 441}, "aarch64": {22, 441}}
_READS = {
    "x86_64": {0: "read", 17: "pread64", 19: "readv", 45: "recvfrom", 42: "connect", 43: "accept", 73: "flock", 72: "fcntl"},
    "aarch64": {63: "read", 67: "pread64", 65: "readv", 207: "recvfrom", 203: "connect", 202: "accept", 32: "flock", 25: "fcntl"},
}


@dataclasses.dataclass(frozen=True)
class Process:
    """The process of an instance that runs the application, over the window."""

    port: int
    release: str | None
    pid: int
    ticks: int
    #: Seconds since it started, at the last look, and between the first look and the last.
    age: float
    watched: float
    #: The state in every look, as ``ps`` has it: ``RRRRRR`` computes all the time.
    states: str
    #: Percent of one processor that its main thread used.
    cpu_pct: float
    #: What its main thread waits for in the kernel in most looks, and with what, such as ``read of /srv/x``; empty when it waits for
    #: events or runs.
    blocked_in: str
    #: Bytes of memory at each look.
    memory: tuple[int, ...]
    files: int
    files_limit: int
    #: Connections that it has not accepted yet.
    queue: int


class Main(t.NamedTuple):
    """The process of an instance that runs the application."""

    port: int
    release: str | None
    pid: int
    #: When it started (``processes.start_ticks``).
    ticks: int


def main_of(instance: Service) -> Main | None:
    """The process of an instance that listens on its port, else its first one."""
    facts = instance.status()
    pid = facts["pid"]
    if not pid:
        return None
    listening = [other for other in processes.listeners(instance.port) if other and pid in processes.parents(other)]
    found = (listening or [pid])[0]
    ticks = processes.start_ticks(found)
    return None if ticks is None else Main(instance.port, facts["release"], found, ticks)


class Look(t.NamedTuple):
    """A process at one moment."""

    at: float
    state: str
    cpu: float
    blocked: str
    memory: int


def looks(pids: list[int], window: float) -> dict[int, list[Look]]:
    """Processes at several moments within so many seconds; fewer of one that ends meanwhile."""
    found: dict[int, list[Look]] = {pid: [] for pid in pids}
    for number in range(LOOKS):
        for pid in pids:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = processes.stat_fields(pid)
                main = processes.thread_fields(pid)
                found[pid].append(
                    Look(time.monotonic(), fields[0], (int(main[11]) + int(main[12])) / _TICKS, _blocked_in(pid), processes.memory(pid))
                )
        if number < LOOKS - 1:
            time.sleep(window / (LOOKS - 1))
    return found


def process(main: Main, seen: list[Look]) -> Process:
    """What the looks at an instance's process come to."""
    first, last = seen[0], seen[-1]
    watched = max(last.at - first.at, 0.001)
    used = 100 * (last.cpu - first.cpu) / watched
    files, limit = _files(main.pid)
    return Process(
        *main,
        round(processes.age(main.pid), 1),
        round(watched, 3),
        "".join(look.state for look in seen),
        round(used, 1),
        _mostly([look.blocked for look in seen]),
        tuple(look.memory for look in seen),
        files,
        limit,
        processes.waiting_connections(main.port),
    )


def _mostly(found: list[str]) -> str:
    """What it waited for in two of three looks: one that waits again and again is seen in between, too."""
    name, number = collections.Counter(found).most_common(1)[0]
    return name if number * 3 >= len(found) * 2 else ""


def _blocked_in(pid: int) -> str:
    """What the main thread waits for, when that is not the next event (proc(5), ``syscall`` and ``wchan``)."""
    machine = os.uname().machine
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/syscall", encoding="ascii") as stream:
            words = stream.read().split()
        if words[0] == "running":
            return ""
        number = int(words[0])
        if number in _WAITS.get(machine, set()):
            return ""
        name = _READS.get(machine, {}).get(number)
        if name:
            return f"{name} of {_descriptor(pid, int(words[1], 16))}"
        return f"system call {number}"
    name = processes.waits_in(pid)
    return "" if _IDLE.fullmatch(name) else name


def _descriptor(pid: int, number: int) -> str:
    with contextlib.suppress(OSError):
        return wording.printable(os.readlink(f"/proc/{pid}/fd/{number}"))[:200]
    return f"descriptor {number}"


def _files(pid: int) -> tuple[int, int]:
    """Open files of a process, and how many it may have; 0 and 0 where that is not told."""
    with contextlib.suppress(OSError, ValueError):
        return len(os.listdir(f"/proc/{pid}/fd")), processes.files_limit(pid) or 0
    return 0, 0
