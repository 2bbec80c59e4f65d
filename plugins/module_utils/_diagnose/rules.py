# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which cause what was seen speaks for: one row a cause, with its evidence, the next command and the remedy.

Source: the runbook's "Common Issues and Solutions" and "System Diagnostics". What follows from another cause is not named as one: a disk
that is full also keeps uploads from being written.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._core import wording
from .evidence import INODES, ROOM, SLOW_MS, Evidence
from .process_looks import Process

#: Percent of one processor that a main thread which computes all the time gets also on a crowded host, where it mostly waits for its turn.
BUSY = 2.0
#: A memory that grows by this share, and by so many bytes a second, in every look, leaks. Requests that come in make Node's heap grow by
#: less between two collections.
GROWTH, GROWTH_BYTES = 0.05, 8 * 1024**2
#: Seconds after its start in which a process may grow: it reads its code.
STARTS = 10.0
#: Answers of the last minutes from which on their times tell something.
ANSWERS = 10
#: Left of the host's memory, below which it is short.
SHORT = 0.05
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
_ORDER = (CERTAIN, LIKELY, POSSIBLE)
_MISSING = re.compile(r"Cannot find (?:module|package)|ERR_MODULE_NOT_FOUND|ERR_DLOPEN_FAILED|NODE_MODULE_VERSION|invalid ELF header")
_HEAP = re.compile(r"heap out of memory|ERR_MEMORY_ALLOCATION_FAILED|Allocation failed", re.IGNORECASE)
_TAKEN = re.compile(r"EADDRINUSE")
PLAY = "ansible-playbook mobius.ops."
_LEAKS = f"Restart it with {PLAY}restart; a release that leaks is gone back from with {PLAY}rollback"


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a service does not do its work."""

    name: str
    #: ``certain``, ``likely`` or ``possible``.
    confidence: str
    #: In a sentence.
    text: str
    #: What was seen that speaks for it.
    evidence: tuple[str, ...]
    #: What to do next, a sentence with a command.
    todo: str
    #: How it can be mended (``_diagnose.remedies``): restart, continue, folders, jobs; empty when that is a person's to decide.
    remedy: str = ""
    #: The process that it is about.
    pid: int = 0


@dataclasses.dataclass(frozen=True)
class Rule:
    """A cause, how to find it, and what it explains."""

    name: str
    find: t.Callable[[Evidence], Cause | None]
    #: Causes that follow from this one.
    explains: tuple[str, ...] = ()


def causes(seen: Evidence) -> list[Cause]:
    """The causes that the evidence speaks for, the surest first; none that another one explains."""
    found = {rule.name: cause for rule in RULES for cause in [rule.find(seen)] if cause}
    explained = {name for rule in RULES if rule.name in found for name in rule.explains}
    left = [cause for name, cause in found.items() if name not in explained]
    return sorted(left, key=lambda cause: _ORDER.index(cause.confidence))


def _runs(seen: Evidence) -> bool:
    """Whether it runs, and not only until it ends again."""
    return seen.status == "running" and not seen.crashing


def _port_taken(seen: Evidence) -> Cause | None:
    if not seen.strangers or (_runs(seen) and not _TAKEN.search(seen.exception)):
        return None
    return Cause(
        "port_taken",
        CERTAIN,
        f"Another program has the port of {seen.service}.",
        tuple(seen.strangers),
        "Stop that program, or give the service another mobius_port, then run " + PLAY + "restart",
    )


def _dependency_missing(seen: Evidence) -> Cause | None:
    if _runs(seen) or not _MISSING.search(seen.exception):
        return None
    return Cause(
        "dependency_missing",
        CERTAIN,
        "A module that the release needs is missing, or is for another Node.",
        (seen.exception,),
        f"Go back with {PLAY}rollback, or deploy the release again with its dependencies",
    )


def _disk_full(seen: Evidence) -> Cause | None:
    full = [f"{disk.path} has {wording.human_size(disk.room)} left" for disk in seen.disks if disk.room < ROOM]
    full += [f"{folder.path}: {folder.error}" for folder in seen.folders if folder.error == "EDQUOT"]
    todo = (
        f"See what may go with {PLAY}cleanup, and what takes the room with du -xh --max-depth=2; old releases and backups go by "
        "mobius_keep_releases and mobius_backup_keep_daily"
    )
    return Cause("disk_full", CERTAIN, "The disk is full.", tuple(full), todo) if full else None


def _inodes_full(seen: Evidence) -> Cause | None:
    full = [f"{disk.path} has {disk.inodes} inodes left" for disk in seen.disks if disk.inodes is not None and disk.inodes < INODES]
    return (
        Cause(
            "inodes_full",
            CERTAIN,
            "The file system takes no more files: its inodes are used up.",
            tuple(full),
            "Remove files: du --inodes -x --max-depth=2 counts them",
        )
        if full
        else None
    )


def _folder_not_writable(seen: Evidence) -> Cause | None:
    bad = [f"{folder.path}: {folder.error}" for folder in seen.folders if folder.error in ("EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR")]
    if not bad:
        return None
    readonly = any(line.endswith("EROFS") for line in bad)
    return Cause(
        "folder_not_writable",
        CERTAIN,
        "The service's user cannot write into a folder of the application.",
        tuple(bad),
        "Mount it for writing" if readonly else f"Set its owner and mode again with {PLAY}setup",
        "" if readonly else "folders",
    )


def _files_exhausted(seen: Evidence) -> Cause | None:
    for each in seen.processes:
        if each.files_limit and each.files >= each.files_limit - 2:
            return Cause(
                "files_exhausted",
                CERTAIN,
                f"Process {each.pid} has as many files open as it may.",
                (f"{each.files} of {each.files_limit} open files",),
                f"Restart it with {PLAY}restart; what leaks them is in ls -l /proc/{each.pid}/fd",
                "restart",
                each.pid,
            )
    return None


def _stopped(seen: Evidence) -> Cause | None:
    for each in seen.processes:
        if set(each.states) <= {"T", "t"} and each.states:
            return Cause(
                "stopped",
                CERTAIN,
                f"Process {each.pid} was stopped (SIGSTOP) and has not gone on.",
                (f"state {each.states[0]}",),
                f"Let it go on: kill -CONT {each.pid}",
                "continue",
                each.pid,
            )
    return None


def _loop(seen: Evidence) -> Cause | None:
    each = _silent(seen)
    if not each or not _computes(each):
        return None
    evidence = [f"its main thread used {each.cpu_pct:.0f} % of a processor", seen.fault]
    if each.queue:
        evidence.append(f"{each.queue} connections wait to be accepted")
    return Cause(
        "loop",
        LIKELY,
        f"The event loop of process {each.pid} hangs in JavaScript.",
        tuple(evidence),
        f"See where with {PLAY}diagnose -e mobius_diagnose_inspect=true, or restart it with {PLAY}restart",
        "restart",
        each.pid,
    )


def _blocking_call(seen: Evidence) -> Cause | None:
    each = _silent(seen)
    if not each or not each.blocked_in or _computes(each):
        return None
    return Cause(
        "blocking_call",
        LIKELY,
        f"The event loop of process {each.pid} waits in the system: {each.blocked_in}.",
        (f"blocked in {each.blocked_in} in most looks", seen.fault),
        f"Look at what it waits for, or restart it with {PLAY}restart",
        "restart",
        each.pid,
    )


def _computes(each: Process) -> bool:
    """Whether it ran, or was ready to, in most looks."""
    return each.cpu_pct >= BUSY and each.states.count("R") * 2 >= len(each.states)


def _silent(seen: Evidence) -> Process | None:
    """The process that accepts connections and answers none of them."""
    if not seen.silent:
        return None
    return max(seen.processes, key=lambda each: (each.queue, each.cpu_pct), default=None)


def _memory(seen: Evidence) -> Cause | None:
    if _HEAP.search(seen.exception):
        return Cause("memory", CERTAIN, "The application ran out of memory.", (seen.exception,), _LEAKS, "restart")
    for each in (each for each in seen.processes if each.age >= STARTS and not seen.crashing):
        grown = each.memory[-1] - each.memory[0] if each.memory else 0
        steady = all(later >= earlier for earlier, later in zip(each.memory, each.memory[1:]))
        if steady and grown > max(GROWTH * each.memory[0], GROWTH_BYTES * each.watched):
            return Cause(
                "memory",
                LIKELY,
                f"The memory of process {each.pid} grows without a pause.",
                (f"{wording.human_size(each.memory[0])} to {wording.human_size(each.memory[-1])} within some seconds",),
                _LEAKS,
                "restart",
                each.pid,
            )
    if seen.memory_whole and seen.memory_free < SHORT * seen.memory_whole:
        return Cause(
            "memory",
            POSSIBLE,
            "The host is short of memory.",
            (f"{wording.human_size(seen.memory_free)} of {wording.human_size(seen.memory_whole)} can still be had",),
            "Look what takes it: ps aux --sort=-rss",
        )
    return None


def _slow(seen: Evidence) -> Cause | None:
    """The service as a whole; a route that is slow by itself may be one that has much to do."""
    recent = seen.recent
    if recent.timed < ANSWERS or recent.slow * 2 < recent.timed:
        return None
    evidence = [
        f"{recent.slow} of {recent.timed} answers took {SLOW_MS / 1000:g} s or more",
        *(f"{one.route}: {one.median / 1000:.1f} s in the middle of {one.requests} requests" for one in recent.routes[:3]),
    ]
    return Cause(
        "slow",
        POSSIBLE,
        f"{seen.service} answers slowly.",
        tuple(evidence),
        f"See which routes with {PLAY}logs -e mobius_log_since=60m, and whether a release made it so",
    )


def _job(verdict: str, text: str, todo: str) -> t.Callable[[Evidence], Cause | None]:
    def find(seen: Evidence) -> Cause | None:
        jobs = [job for job in seen.jobs if job["verdict"] == verdict]
        return (
            Cause(
                f"job_{verdict}",
                LIKELY,
                text.format(name=jobs[0]["name"]),
                tuple(f"{job['name']} (process {job['pid']}): {job['command'][:100]}" for job in jobs),
                todo,
                "jobs",
            )
            if jobs
            else None
        )

    return find


def _crash_loop(seen: Evidence) -> Cause | None:
    if seen.crashing or seen.status == "restarting" or (seen.status == "failed" and seen.restarts):
        return Cause(
            "crash_loop",
            LIKELY,
            f"{seen.service} ends again and again ({seen.restarts} restarts).",
            _ended(seen),
            f"Go back with {PLAY}rollback",
        )
    return None


def _not_running(seen: Evidence) -> Cause | None:
    if seen.status == "gone":
        return Cause("not_running", LIKELY, f"{seen.service} does not run.", _ended(seen), "Start it where it is run")
    if seen.status in ("stopped", "failed", "killed") and not seen.processes:
        return Cause("not_running", LIKELY, f"{seen.service} does not run.", _ended(seen), f"Start it with {PLAY}restart", "restart")
    return None


def _ended(seen: Evidence) -> tuple[str, ...]:
    return (f"it is {seen.status}", *filter(None, (seen.exception, seen.last_exit)))


# fmt: off
#: Every cause. What stands in the last column follows from it, and is not named beside it.
RULES = (
    Rule("port_taken", _port_taken, ("crash_loop", "not_running")),
    Rule("dependency_missing", _dependency_missing, ("crash_loop", "not_running")),
    Rule("disk_full", _disk_full, ("crash_loop", "job_stuck", "not_running")),
    Rule("inodes_full", _inodes_full, ("crash_loop", "job_stuck", "not_running")),
    Rule("folder_not_writable", _folder_not_writable, ("crash_loop",)),
    Rule("files_exhausted", _files_exhausted, ("loop", "blocking_call")),
    Rule("stopped", _stopped, ("loop", "blocking_call", "job_stuck", "slow")),
    Rule("loop", _loop, ("slow",)),
    Rule("blocking_call", _blocking_call, ("slow",)),
    Rule("memory", _memory, ("crash_loop", "not_running")),
    Rule("job_stuck", _job("stuck", "Render {name} is stuck: it uses no processor and writes nothing.",
                           f"End it with {PLAY}ffmpeg -e mobius_ffmpeg_state=stopped -e mobius_ffmpeg_only=stuck")),
    Rule("job_stopped", _job("stopped", "Render {name} was stopped (SIGSTOP) and has not gone on.",
                             f"End it with {PLAY}ffmpeg -e mobius_ffmpeg_state=stopped -e mobius_ffmpeg_only=stopped")),
    Rule("slow", _slow),
    Rule("crash_loop", _crash_loop, ("not_running",)),
    Rule("not_running", _not_running),
)
# fmt: on
