# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The timers of a host's jobs under systemd: a ``.service`` and a ``.timer`` for each job."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import typing as t

from .._core import clock, commands, fs, systemd
from .._core.errors import InputError, StateError
from .._service import unit_file
from .._target.layout import Layout
from .jobs import Job

_WANTS = "timers.target.wants"
#: Runs of a calendar that are looked at for the longest time between two.
_ITERATIONS = 30
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= UTC)")
_CALENDAR = re.compile(r"[ -$&-~]{1,200}")  # printable, without the percent sign, which units expand
_SERVICE = """\
# Written by mobius.ops.schedule; changes are overwritten.
[Unit]
Description={description}
After=network-online.target
Wants=network-online.target
ConditionPathExists={record}

[Service]
Type=oneshot
WorkingDirectory=/
{environment}ExecStart={command}
TimeoutStartSec={limit:.0f}
TimeoutStopSec=30
SyslogIdentifier={name}
{gentle}{sandbox}"""
_GENTLE = """\
Nice=10
IOSchedulingClass=idle
"""
#: Helpers of backups limit themselves by ``prlimit64``, which is none of ``@resources``.
_SANDBOX = (
    unit_file.CLOSED
    + """\
AmbientCapabilities=
ProtectHome=read-only
ProtectProc=invisible
PrivateTmp=true
RemoveIPC=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
MemoryDenyWriteExecute=true
SystemCallFilter=~@resources
"""
)
_TIMER = """\
# Written by mobius.ops.schedule; changes are overwritten.
[Unit]
Description={description}

[Timer]
OnCalendar={calendar}
Persistent=true
RandomizedDelaySec={delay:.0f}
AccuracySec={accuracy:.0f}
Unit={name}.service

[Install]
WantedBy=timers.target
"""


def require_systemd() -> None:
    """:raises StateError: when nothing here can run timers."""
    if os.geteuid() or not systemd.is_init():
        found = "this host runs no systemd" if not systemd.is_init() else "timers of systemd need root"
        raise StateError(
            f"timers: {found}",
            todo="Use a schedule of AWX, or cron on the controller, such as: * * * * * "
            "ansible-playbook mobius.ops.escalate, and 15 2 * * * ansible-playbook mobius.ops.backup",
        )


def period(job: str, calendar: str) -> float:
    """The longest time between two of the next runs, in seconds. :raises InputError: when systemd knows no such calendar."""
    subject = f"mobius_schedule, {job}"
    todo = "Give one such as *-*-* 02:15 or Mon 04:00 (systemd.time(7)), or off"
    if not _CALENDAR.fullmatch(calendar):
        raise InputError(f"{subject}: {calendar[:60]!r} is no calendar event of systemd", todo=todo)
    done = commands.capture(
        ["systemd-analyze", "calendar", f"--iterations={_ITERATIONS}", "--", calendar],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
        what=subject,
    )
    if done.returncode:
        raise InputError(f"{subject}: {calendar[:60]!r} is no calendar event of systemd", todo=todo)
    runs = [_moment(text) for text in _MOMENT.findall(done.stdout)]
    if len(runs) < 2:
        raise InputError(f"{subject}: {calendar!r} does not come again", todo=todo)
    return max((after - before).total_seconds() for before, after in zip(runs, runs[1:]))


def name_of(service: str, env: str, job: str) -> str:
    """The name of a job's units, without their suffix."""
    return f"{service}-{env}-{job}"


def texts(
    layout: Layout, name: str, job: Job, calendar: str, argv: list[str], environment: dict[str, str], writable: t.Iterable[str]
) -> dict[str, str]:
    """Unit file -> text of a job's two units.

    :param writable: folders outside of the root that it writes to.
    """
    lines = "".join(f"Environment={systemd.quote(f'{key}={value}')}\n" for key, value in sorted(environment.items()))
    places = [layout.root, *(f"-{path}" for path in writable)]  # one that is missing is for the job to tell
    paths = "".join(f"ReadWritePaths={systemd.quote(path)}\n" for path in places)
    sandbox = _SANDBOX + f"CapabilityBoundingSet={job.capabilities}\n{paths}"
    description = f"mobius.ops {job.what} of {layout.root}"
    return {
        f"{name}.service": _SERVICE.format(
            description=systemd.literal(description),
            record=systemd.literal(layout.path("state", "schedule.json")),
            environment=lines,
            command=systemd.command_line(argv),
            limit=job.limit + job.patience,
            name=name,
            gentle=_GENTLE if job.heavy else "",
            sandbox="" if job.free else sandbox,
        ),
        f"{name}.timer": _TIMER.format(
            description=systemd.literal(f"When to run: {description}"),
            calendar=calendar,
            delay=job.delay,
            accuracy=60 if job.heavy else 1,
            name=name,
        ),
    }


def installed(names: t.Iterable[str]) -> dict[str, str]:
    """Unit file -> text of those units that are there."""
    files = [f"{name}.{suffix}" for name in names for suffix in ("service", "timer")]
    return {file: text for file, text in ((file, systemd.read_unit(file)) for file in files) if text}


def apply(wanted: dict[str, str], known: t.Iterable[str]) -> None:
    """Write the units that are wanted, start their timers, and remove the others.

    :param known: names of all units, without their suffix, that may be there. A job that runs goes on.
    :raises ServiceError: when systemd does not take one.
    """
    there = installed(known)
    gone = [file for file in there if file not in wanted]
    for file in gone:
        if file.endswith(".timer"):
            systemd.systemctl("stop", file, check=False)
            systemd.systemctl("disable", file, check=False)
    for file in gone:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(systemd.UNIT_DIR, file))
    changed = [file for file in wanted if there.get(file) != wanted[file]]
    for file in changed:
        fs.write_text(os.path.join(systemd.UNIT_DIR, file), wanted[file])
    if gone or changed:
        systemd.systemctl("daemon-reload")
    for file in (file for file in wanted if file.endswith(".timer")):
        if not _enabled(file):
            systemd.systemctl("enable", file)
        if file in changed or not active(file):
            systemd.systemctl("restart", file)
    with contextlib.suppress(FileNotFoundError):  # links of systemd last through a power failure from now on
        fs.fsync_dir(os.path.join(systemd.UNIT_DIR, _WANTS))


def complete(wanted: dict[str, str], known: t.Iterable[str]) -> bool:
    """Whether exactly the units that are wanted are in place, and their timers run."""
    timers = [file for file in wanted if file.endswith(".timer")]
    return installed(known) == wanted and all(_enabled(file) and active(file) for file in timers)


def _enabled(timer: str) -> bool:
    return os.path.lexists(os.path.join(systemd.UNIT_DIR, _WANTS, timer))


def active(timer: str) -> bool:
    """Whether systemd runs a timer."""
    return "ActiveState=active" in systemd.systemctl("show", timer, "--property=ActiveState", check=False).splitlines()


def next_run(timer: str) -> str | None:
    """When a timer elapses next; ``None`` when that cannot be told, as while its job runs."""
    done = commands.capture(
        ["systemctl", "--no-ask-password", "show", timer, "--property=NextElapseUSecRealtime"],
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    )
    found = _MOMENT.search(done.stdout)
    return clock.iso(_moment(found.group())) if found else None


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
