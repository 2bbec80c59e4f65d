# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The figures of a host, each held against the table of key metrics, with what to do when one is not normal.

A figure that cannot be had is ``unknown`` and says why; the others are told all the same.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import typing as t

from .._core import mounts, processes, wording
from .._core.errors import InputError, OpsError, StateError
from .._target.layout import Layout
from . import thresholds

try:
    import psutil
except ImportError:
    psutil = None  # type: ignore[assignment]

Table = dict[str, tuple[float, float]]


class Reading(t.TypedDict):
    """A figure of a host."""

    metric: str
    subject: str
    value: float | None


class Metric(Reading):
    """A figure that was held against the table."""

    unit: str
    status: str
    warning: float | None
    critical: float | None
    todo: str


class Metrics(t.TypedDict):
    """All figures of a host, and the worst status among them."""

    status: str
    metrics: list[Metric]


class Request(t.TypedDict, total=False):
    """What to measure; what is missing, empty or ``None`` is not looked at.

    ``window`` has the seconds over which the CPU is measured, ``thresholds`` what ``_observe.thresholds.merge`` returned; ``mounts`` are
    paths, of whose file systems each is told once, ``ports`` those that somebody should listen on, ``pid`` and ``restarts`` the
    service's; ``clock_reference`` has seconds since 1970 on the controller, just now. ``boot`` (seconds since 1970) replaces the kernel's.
    """

    window: float
    thresholds: Table | None
    mounts: list[str] | None
    ports: list[int] | None
    pid: int | None
    restarts: int | None
    clock_reference: float | None
    boot: float | None


UNITS = {"uptime_s": "s", "clock_offset_s": "s", "service_rss_bytes": "bytes"}
#: What to do about a figure that is not normal; ``{subject}`` and ``{value}`` are its own.
REMEDIES = {
    "cpu_pct": "Look for what takes the CPU with: ps aux --sort=-%cpu. When it is ffmpeg, a render runs: wait, or limit the service "
    "by mobius_cpu_quota.",
    "memory_pct": "Look for what takes the memory with: ps aux --sort=-rss. When it is the service, restart it with: ansible-playbook "
    "mobius.ops.restart, and limit it by mobius_memory_max.",
    "swap_pct": "Look for what takes the memory with: ps aux --sort=-rss. The host has less of it than its programs use.",
    "disk_pct": "Make room on {subject}, which is {value:g} % full: look for what takes it with du -xh --max-depth=2 {subject}; lower "
    "mobius_backup_keep_daily or mobius_keep_releases, or give it a larger disk.",
    "inodes_pct": "Remove files on {subject}, which has used {value:g} % of its inodes, so that it soon takes no new file whatever "
    "its room is: count them with du --inodes -x --max-depth=2 {subject}.",
    "load_per_core": "More wants to run than there are cores. Look with top: renders wait for the CPU, processes in state D for the disk.",
    "fds_pct": "Look for who holds files open with: lsof | awk '{{print $1}}' | sort | uniq -c | sort -n. A figure that only grows is "
    "a leak: restart that program.",
    "clock_offset_s": "Let both this host and the controller keep time (timedatectl set-ntp true, chrony): the stamps of backups and "
    "logs are wrong meanwhile.",
}
#: Seconds after which a file system that does not answer, such as one of a lost file server, is given up.
PATIENCE = 5.0
CGROUP = "/sys/fs/cgroup"
FILE_NR = "/proc/sys/fs/file-nr"
#: What a short page shows though it is normal.
KEY = ("cpu_pct", "memory_pct", "disk_pct", "uptime_s", "service_rss_bytes")


def collect(request: Request) -> Metrics:
    """Measure.

    :raises StateError: when the target lacks the Python library psutil.
    :raises InputError: when the window is not above 0.
    """
    now = time.time()  # before anything that takes time
    if psutil is None:
        raise StateError(
            "host metrics",
            "the Python library psutil on the target",
            "none",
            "Install the package python3-psutil there (mobius.ops.setup does)",
        )
    window = float(request.get("window") or 0)
    if window <= 0:
        raise InputError("host metrics", "a window above 0 seconds", f"{window:g}", "Correct it")
    table = request.get("thresholds") or thresholds.DEFAULTS
    pid, restarts, reference, boot = request.get("pid"), request.get("restarts"), request.get("clock_reference"), request.get("boot")
    plan: list[tuple[str, str, t.Callable[[], t.Any]]] = [
        ("cpu_pct", "", lambda: psutil.cpu_percent(window)),
        ("memory_pct", "", memory),
        ("swap_pct", "", lambda: psutil.swap_memory().percent),  # 0 where there is none
        ("load_per_core", "", load),
        ("fds_pct", "", system_fds),
        ("uptime_s", "", lambda: now - (boot or psutil.boot_time())),
    ]
    if reference is not None:
        plan.append(("clock_offset_s", "", lambda: now - float(reference)))
    metrics = [measured(metric, subject, how, table) for metric, subject, how in plan]
    metrics += disks(request.get("mounts") or [], table)
    metrics += [port(number) for number in request.get("ports") or []]
    if pid:
        metrics += [
            measured("fds_pct", "service", lambda: service_fds(pid), table),
            measured("service_rss_bytes", "", lambda: service_rss(pid), table),
        ]
    if restarts is not None:
        metrics.append(measured("service_restarts", "", lambda: int(restarts), table))
    return {"status": thresholds.worst(metric["status"] for metric in metrics), "metrics": metrics}


def measured(metric: str, subject: str, how: t.Callable[[], float], table: Table) -> Metric:
    """A metric of what *how* returns, graded; ``unknown`` with the reason when it fails."""
    try:
        value = how()
    except Exception as error:  # pylint: disable=broad-exception-caught  # one figure never costs the others
        return unmeasured(metric, subject, error, table)
    value = value if isinstance(value, int) else round(value, 2)
    size = abs(value) if metric == "clock_offset_s" else value
    status = thresholds.grade(metric, size, table) if metric in table else "normal"
    todo = "" if status == "normal" else REMEDIES[metric].format(subject=subject, value=value)
    return {**unmeasured(metric, subject, None, table), "value": value, "status": status, "todo": todo}


def unmeasured(metric: str, subject: str, error: Exception | None, table: Table) -> Metric:
    """A metric that has no value, and why."""
    warning, critical = table.get(metric, (None, None))
    return {
        "metric": metric,
        "subject": subject,
        "value": None,
        "unit": unit(metric),
        "status": "unknown",
        "warning": warning,
        "critical": critical,
        "todo": f"It could not be measured: {reason(error)}." if error else "",
    }


def unit(metric: str) -> str:
    """What a metric's value counts."""
    return "%" if metric.endswith("_pct") else UNITS.get(metric, "")


def reason(error: Exception) -> str:
    """Why something could not be measured, in a few words."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
    return str(error).rstrip(".") or type(error).__name__


def _text(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as stream:
        return stream.read()


def memory_of_group(folder: str) -> tuple[int, int]:
    """Bytes that a control group may have, and that it has. :raises OSError, ValueError: without cgroup v2, or without a limit."""
    limit, used = (int(_text(os.path.join(folder, name))) for name in ("memory.max", "memory.current"))
    return limit, used


def memory() -> float:
    """Percent of the memory that programs cannot have any more; of the container's limit where that is nearer."""
    whole = psutil.virtual_memory()
    host = (whole.total - whole.available) / whole.total * 100
    try:
        limit, used = memory_of_group(CGROUP)
        facts = dict(line.split() for line in _text(os.path.join(CGROUP, "memory.stat")).splitlines())
        return max(host, (used - int(facts["inactive_file"])) / limit * 100)
    except (OSError, ValueError, KeyError, ZeroDivisionError):  # no cgroup v2, or no limit: "max"
        return host


def load() -> float:
    """Processes that want to run, on average of five minutes, for each core."""
    return os.getloadavg()[1] / (psutil.cpu_count() or 1)


def system_fds() -> float:
    """Percent of the open files that the kernel allows in all."""
    used, _unused, most = (int(number) for number in _text(FILE_NR).split())
    return used / most * 100


def service_fds(pid: int) -> float:
    """Percent of the open files that the main process may have."""
    limit = processes.files_limit(pid)
    return 0.0 if limit is None else psutil.Process(pid).num_fds() / limit * 100


def service_rss(pid: int) -> int:
    """Bytes of memory of a process and all that it started; what they share counts for each."""
    main = psutil.Process(pid)
    total = main.memory_info().rss
    for child in main.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:  # it ended meanwhile
            continue
    return total


def port(number: int) -> Metric:
    """Whether somebody listens on a TCP port: 1 or 0."""
    made = measured("port_listening", str(number), lambda: int(bool(processes.listeners(int(number)))), {})
    if made["value"] == 0:
        made["status"] = "critical"
        made["todo"] = "Start the service with: ansible-playbook mobius.ops.restart. Who listens where: ss -tlnp."
    return made


def disks(paths: list[str], table: Table) -> list[Metric]:
    """``disk_pct`` and ``inodes_pct`` of the file systems that hold the paths, each once."""
    metrics: list[Metric] = []
    seen = set()
    for path in paths:
        try:
            device, point, facts = patient(functools.partial(look, path), path)
        except (OSError, OpsError) as error:
            metrics.append(unmeasured("disk_pct", path, error, table))
            continue
        if device in seen:
            continue
        seen.add(device)
        rows = [("disk_pct", facts.f_blocks - facts.f_bfree, facts.f_bavail)]
        if facts.f_files:  # some file systems have no fixed number of them
            rows.append(("inodes_pct", facts.f_files - facts.f_ffree, facts.f_favail))
        metrics += [measured(metric, point, functools.partial(share, used, left), table) for metric, used, left in rows]
    return metrics


def share(used: int, left: int) -> float:
    """Percent of what users can have that is used, as df tells it; what is reserved for root is not theirs."""
    return used / (used + left) * 100 if used + left else 0.0


def look(path: str) -> tuple[int, str, os.statvfs_result]:
    """The device of a file system that holds a path, where it is mounted, and its figures."""
    real = os.path.realpath(path)
    device = os.stat(real).st_dev
    points = [point for point in mounts.points() if (real + "/").startswith(point.rstrip("/") + "/")]
    return device, max(points, key=len, default=real), os.statvfs(real)


class Room(t.NamedTuple):
    """How much of a file system is used, and free for users, in bytes."""

    device: int
    mount: str
    used: int
    free: int


def room(path: str) -> Room:
    """The room of the file system that holds a path. :raises OSError, StateError: when it does not answer."""
    device, point, facts = patient(lambda: look(path), path)
    return Room(device, point, (facts.f_blocks - facts.f_bfree) * facts.f_frsize, facts.f_bavail * facts.f_frsize)


def patient(work: t.Callable[[], t.Any], path: str) -> t.Any:
    """What *work* returns or raises. :raises StateError: when it takes too long; a thread is left behind then."""
    done: list[tuple[t.Any, Exception | None]] = []

    def attempt() -> None:
        try:
            done.append((work(), None))
        except OSError as error:
            done.append((None, error))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not done:
        raise StateError(path, f"its file system to answer within {PATIENCE:g} s", "nothing", "Look at its mount, or at its file server")
    if done[0][1]:
        raise done[0][1]
    return done[0][0]


def places(layout: Layout) -> list[str]:
    """The folders of an application that may be on file systems of their own."""
    below = [os.path.join(layout.shared, name) for name in sorted(os.listdir(layout.shared))] if os.path.isdir(layout.shared) else []
    return [layout.root, *(path for path in [*below, layout.backups] if os.path.isdir(path) or os.path.islink(path))]


def summary(result: Metrics) -> str:
    """What is worst on a host, in a sentence, and what to do about it."""
    bad = [metric for metric in result["metrics"] if metric["status"] != "normal"]
    if not bad:
        return "Host normal."
    worst = [metric for metric in bad if metric["status"] == result["status"]]
    first = min(worst, key=lambda metric: metric["metric"] in ("cpu_pct", "load_per_core"))  # a render takes all of them, and ends
    more = f", and {len(bad) - 1} more not normal" if bad[1:] else ""
    return f"Host {result['status']}: {told(first)}{more}. {first['todo']}"


def told(metric: Metric) -> str:
    """A metric in a few words: ``disk_pct / 96.2 % (critical above 95)``."""
    words = [metric["metric"], metric["subject"], shown(metric) if metric["value"] is not None else "unknown"]
    limit = {"warning": metric.get("warning"), "critical": metric.get("critical")}.get(metric["status"])
    return " ".join(word for word in words if word) + (f" ({metric['status']} above {limit:g})" if limit is not None else "")


def shown(metric: Metric) -> str:
    """A metric's value as people read it."""
    value = metric["value"]
    if value is None:
        return "-"
    if metric["metric"] == "port_listening":
        return "listening" if value else "nobody listens"
    if metric["metric"] == "uptime_s":
        return wording.duration(value)
    return quantity(value, metric["unit"])


def quantity(value: float, unit: str) -> str:
    """A figure as people read it: ``70 MB``, ``27 min``, ``8.94 %``."""
    if unit == "bytes":
        return wording.human_size(value)
    return wording.duration(value) if unit == "s" and abs(value) >= 60 else f"{value:,g} {unit}".rstrip()
