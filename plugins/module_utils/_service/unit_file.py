# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unit files of a service, of its watch, and of other programs of this collection: hardened, and limited as it was asked for."""

from __future__ import annotations

import os
import re
import typing as t

from .._core import systemd
from .._core.errors import InputError
from .._target.record_types import Limits, ServiceSpec
from . import env_start

#: What no program of these units needs.
CLOSED = """\
NoNewPrivileges=true
ProtectSystem=strict
PrivateDevices=true
DevicePolicy=closed
PrivateMounts=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
KeyringMode=private
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
#: ``MemoryDenyWriteExecute`` is left out: V8 compiles to memory that it then executes.
SANDBOX = (
    CLOSED
    + """\
CapabilityBoundingSet=
AmbientCapabilities=
ProtectHome=true
PrivateTmp=true
PrivateUsers=true
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=~@privileged
UMask=0027
"""
)
#: What a program that listens below port 1024 is given back.
LOW_PORT = """\
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
PrivateUsers=false
SystemCallFilter=@setuid
"""
#: Takes away what a watch does not need. It runs as root, because it writes and starts units, and looks into processes of other users, whom
#: CAP_SYS_PTRACE shows to it: ``ProtectProc`` hides them from what it starts as the service's user.
WATCH_SANDBOX = (
    CLOSED
    + """\
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_SYS_PTRACE
ProtectHome=read-only
ProtectProc=invisible
PrivateTmp=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=~@resources
"""
)
#: What a watch is given back that may have to undo a migration: becoming the service's user, and ending what runs as that user too long.
BECOMES_USER = "CapabilityBoundingSet=CAP_KILL CAP_SETGID CAP_SETUID\n"
#: Fact of a definition -> the line of the unit that limits the service with all that it starts, and what the line takes.
LIMITS = {
    "memory_max": ("MemoryMax", re.compile(r"\d+(\.\d+)?[KMGT]?|\d+%|infinity"), "bytes, such as 4G, or a share of the host's, as 50%"),
    "cpu_quota": ("CPUQuota", re.compile(r"[1-9]\d*(\.\d+)?%"), "a share of one processor, such as 150% for one and a half"),
    "cpu_weight": ("CPUWeight", re.compile(r"[1-9]\d{0,3}|10000"), "a number from 1 to 10000; others have 100"),
    "io_weight": ("IOWeight", re.compile(r"[1-9]\d{0,3}|10000"), "a number from 1 to 10000; others have 100"),
    "tasks_max": ("TasksMax", re.compile(r"[1-9]\d*|[1-9]\d?%|infinity"), "a number of processes and threads"),
}


def limits(given: t.Mapping[str, object]) -> Limits:
    """The limits among the options that are set. :raises InputError: when systemd would not take one."""
    found = {name: str(given[name]).strip() for name in LIMITS if given.get(name) not in (None, "")}
    for name, text in found.items():
        if not LIMITS[name][1].fullmatch(text):
            raise InputError(f"mobius_{name}", LIMITS[name][2], repr(text), "Correct it, or leave it empty for no limit")
    return t.cast(Limits, found)


def render(spec: ServiceSpec) -> str:
    """The text of the unit file of a service definition (``_service.definition.build_spec``)."""
    environment = "".join(f"Environment={systemd.quote(f'{key}={value}')}\n" for key, value in sorted(spec["environment"].items()))
    account = f"User={spec['user']}\n" if spec["user"] else ""
    whole: t.Mapping[str, object] = spec
    limited = "".join(f"{line}={whole[name]}\n" for name, (line, _form, _words) in LIMITS.items() if whole.get(name))
    not_while, app = spec.get("not_while"), spec.get("app")
    guard = f"AssertPathExists=!{systemd.literal(not_while)}\n" if not_while else ""
    place = f"WorkingDirectory={systemd.literal(app or spec['working_dir'])}"
    if app:
        place += f"\nBindReadOnlyPaths={_bound(spec['working_dir'])}:{_bound(app)}"
    before = env_start.before(spec)
    let_in = f"ExecStartPre=-+{systemd.command_line(before)}\n" if before else ""
    low_port = LOW_PORT if spec.get("privileged_port") else ""
    writable = "".join(f"ReadWritePaths={systemd.quote(path)}\n" for path in spec["writable"])
    return f"""\
# Written by mobius.ops.node_service; changes are overwritten.
[Unit]
Description=MOBIUS application service {spec["name"]}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec={spec["restart_window"]}
StartLimitBurst={spec["restart_limit"]}
{guard}
[Service]
Type=exec
{account}{place}
{environment}{let_in}ExecStart={systemd.command_line(env_start.argv(spec))}
SyslogIdentifier={systemd.literal(os.path.basename(spec["command"][0]))}
StandardOutput=journal
StandardError=journal
Restart=always
RestartSec={spec["restart_delay"]}
TimeoutStopSec={spec["stop_timeout"]}
KillMode=mixed
LimitNOFILE=16384
{limited}{SANDBOX}{low_port}{writable}
{_at_boot(spec)}"""


def _bound(path: str) -> str:
    """A path in a pair of paths, where a colon would end it."""
    return systemd.quote(path).replace(":", "\\:")


def _at_boot(spec: ServiceSpec) -> str:
    """Nothing to enable where another unit decides at boot whether this one is started."""
    if spec.get("boot_unit"):
        return f"# Not to be enabled: {spec['boot_unit']} starts the instance that serves.\n"
    return "[Install]\nWantedBy=multi-user.target\n"


def program_unit(
    description: str, argv: list[str], environment: dict[str, str], log: str, writable: t.Sequence[str] = (), becomes_user: bool = False
) -> str:
    """The text of a unit that keeps a program of ours running until it ends by itself: when it is killed, and after a reboot.

    :param writable: folders that it may write to, in the sandbox of a watch; without any it has no sandbox.
    :param becomes_user: whether it may run commands as the service's user in there.
    """
    sandbox = WATCH_SANDBOX + BECOMES_USER * becomes_user + "".join(f"ReadWritePaths={systemd.quote(path)}\n" for path in writable)
    sandbox = sandbox if writable else ""
    lines = "".join(f"Environment={systemd.quote(f'{key}={value}')}\n" for key, value in sorted(environment.items()))
    return f"""\
# Written by mobius.ops; it removes itself.
[Unit]
Description={systemd.literal(description)}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
WorkingDirectory=/
{lines}ExecStart={systemd.command_line(argv)}
StandardOutput=append:{systemd.literal(log)}
StandardError=append:{systemd.literal(log)}
Restart=on-failure
RestartForceExitStatus=SIGTERM SIGINT SIGHUP
RestartSec=2
KillMode=process
{sandbox}
[Install]
WantedBy=multi-user.target
"""
