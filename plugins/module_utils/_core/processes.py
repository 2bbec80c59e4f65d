# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel tells about processes and ports, read from ``/proc``."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import typing as t

_LISTEN = "0A"
#: How often the owner of a socket is looked for, and seconds between two looks.
_LOOKS, _PAUSE = 10, 0.05
#: Bytes that are read of an environment; the kernel passes fewer.
_ENVIRONMENT = 8 * 1024 * 1024


def pids() -> t.Iterator[int]:
    """The ids of all processes that can be seen."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def stat_fields(pid: int) -> list[str]:
    """What ``/proc/PID/stat`` says after the program's name (proc(5), from field 3 on: state, parent, group, …).

    :raises OSError: when there is no such process.
    """
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()


def thread_fields(pid: int) -> list[str]:
    """The same of its main thread alone, in which Node runs JavaScript. :raises OSError: when there is no such process."""
    with open(f"/proc/{pid}/task/{pid}/stat", encoding="ascii", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; with its id it names one process for good.

    ``None`` when there is no such process, or only its zombie.
    """
    try:
        fields = stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def age(pid: int) -> float:
    """For how many seconds a process has run; 0 when there is none."""
    ticks = start_ticks(pid)
    return 0.0 if ticks is None else max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def is_alive(pid: int | None, ticks: int | None) -> bool:
    """Whether the very process that had this id and start time still runs."""
    return pid is not None and pid > 0 and ticks is not None and start_ticks(pid) == ticks


def working_dir(pid: int) -> str | None:
    """The folder that a process runs in, or ``None`` when it cannot be told."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def words(pid: int, limit: int) -> list[str]:
    """The words of a process's command, as far as *limit* bytes go; none when they cannot be told."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read(limit).decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def command_line(pid: int, limit: int = 120) -> str:
    """A process's command, at most *limit* characters; empty when it cannot be told."""
    return " ".join(words(pid, 4 * limit)).strip()[:limit]


def environment(pid: int) -> dict[str, str] | None:
    """The environment that a process was started with, or ``None`` when it cannot be told. The process may have changed it since."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            words = os.fsdecode(stream.read(_ENVIRONMENT)).split("\0")
    except OSError:
        return None
    return dict(word.split("=", 1) for word in words if "=" in word)


def parents(pid: int) -> t.Iterator[int]:
    """The process itself, then its ancestors."""
    while pid > 0:
        yield pid
        try:
            pid = int(stat_fields(pid)[1])
        except (OSError, IndexError, ValueError):
            return


def group(leader: int) -> list[int]:
    """The processes of a process group, whether or not its leader still lives."""
    found = []
    for pid in pids():
        with contextlib.suppress(OSError):
            if stat_fields(pid)[2] == str(leader):
                found.append(pid)
    return found


def started_by(pid: int, names: list[str]) -> list[int]:
    """Ids of the processes that a process has started, and that these have, and so on.

    :param names: programs that count; all of them when there is none.
    """
    found = []
    for other in pids():
        try:
            with open(f"/proc/{other}/comm", encoding="utf-8", errors="replace") as stream:
                known = not names or stream.read().strip() in names
        except OSError:
            continue
        if known and other != pid and pid in parents(other) and start_ticks(other) is not None:
            found.append(other)
    return found


def send(pid: int, ticks: int, *signals: int) -> bool:
    """Send signals to the very process that had this id and start time; whether it was there to get them.

    Where the kernel has them (Linux 5.3) a descriptor of the process is taken first, so that no signal goes to another one that gets the
    id meanwhile.
    """
    with contextlib.ExitStack() as stack:
        descriptor = None
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            stack.callback(os.close, descriptor)
        if not is_alive(pid, ticks):
            return False
        try:
            for number in signals:
                if descriptor is None:
                    os.kill(pid, number)
                else:
                    signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
    return True


def end_group(pid: int, ticks: int | None, timeout: float) -> None:
    """End a process and its group: SIGTERM, then SIGKILL for what is left after *timeout* seconds."""
    for number, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 5.0)):
        if not is_alive(pid, ticks):
            break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
        deadline = time.monotonic() + patience
        while is_alive(pid, ticks) and time.monotonic() < deadline:
            time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def listeners(port: int) -> list[int]:
    """Ids of the processes that listen on a TCP port; ``[0]`` when somebody does whose id is not ours to see.

    A process that is just ending has closed its files, and its socket is still there for a moment: who is not seen is looked for again.
    """
    for _try in range(_LOOKS):
        inodes = _listening(port)
        owners = sorted(_owners(inodes)) if inodes else []
        if owners or not inodes:
            return owners
        time.sleep(_PAUSE)
    return [0]


def waiting_connections(port: int) -> int:
    """Connections to a TCP port that the process which listens there has not accepted yet (``rx_queue`` of a listening socket)."""
    return sum(int(fields[4].rpartition(":")[2], 16) for fields in _sockets(port))


def _listening(port: int) -> set[str]:
    """The sockets that listen on a TCP port, as links in ``/proc/PID/fd`` name them."""
    return {f"socket:[{fields[9]}]" for fields in _sockets(port)}


def listening_sockets() -> t.Iterator[tuple[str, int, list[str]]]:
    """Each TCP socket that listens: its address in hexadecimal, its port, and all fields (proc(5), ``/proc/net/tcp``)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table, encoding="ascii") as stream:
            for line in list(stream)[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    address, _colon, port = fields[1].rpartition(":")
                    yield address, int(port, 16), fields


def _sockets(port: int) -> t.Iterator[list[str]]:
    """What the kernel tells of each socket that listens on a TCP port."""
    return (fields for _address, own, fields in listening_sockets() if own == port)


def _owners(inodes: set[str]) -> set[int]:
    found = set()
    for pid in pids():
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{number}") in inodes:
                        found.add(pid)
    return found


def port_answers(port: int, host: str = "127.0.0.1", timeout: float = 1.0) -> bool:
    """Whether a TCP connection to the port succeeds within *timeout* seconds."""
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False


def exit_text(code: int) -> str:
    """How a process ended, in words: ``status 1`` or ``SIGKILL``."""
    if code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def waits_in(pid: int) -> str:
    """The kernel's function that a process waits in (``wchan`` of proc(5)); empty when it does not, or that is not told."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/wchan", encoding="ascii", errors="replace") as stream:
        return stream.read(64).strip().strip("0")
    return ""


def files_limit(pid: int) -> int | None:
    """How many files a process may have open; ``None`` when it has no limit.

    :raises OSError: when there is no such process.
    :raises ValueError: when the kernel does not tell it.
    """
    with open(f"/proc/{pid}/limits", encoding="ascii", errors="replace") as stream:
        for line in stream:  # psutil's rlimit may only be asked of one's own
            if line.startswith("Max open files"):
                soft = line.split()[3]
                return None if soft == "unlimited" else int(soft)
    raise ValueError(f"/proc/{pid}/limits does not tell its limit of open files")


def memory(pid: int | None) -> int:
    """Bytes that a process has in memory (its resident set); 0 of none."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
