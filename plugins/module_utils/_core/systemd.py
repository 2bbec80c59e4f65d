# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd units of Node services: the hardened unit file, and what ``systemctl`` tells."""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import typing as t

from . import clock, commands, documents, fs, processes
from .errors import InputError, OpsError, ServiceError

UNIT_DIR = "/etc/systemd/system"
_WANTS = "multi-user.target.wants"
#: What the journal calls the end of a unit's process (SD_MESSAGE_UNIT_PROCESS_EXIT).
PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"
#: ``MemoryDenyWriteExecute`` is left out: V8 compiles to memory that it then executes.
SANDBOX = """\
NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
DevicePolicy=closed
PrivateMounts=true
PrivateUsers=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=true
KeyringMode=private
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
UMask=0027
"""
#: What a program that listens below port 1024 is given back.
LOW_PORT = """\
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
PrivateUsers=false
SystemCallFilter=@setuid
"""


#: Fact of a definition -> the line of the unit that limits the service with all that it starts, and what the line takes.
LIMITS = {
    "memory_max": ("MemoryMax", re.compile(r"\d+(\.\d+)?[KMGT]?|\d+%|infinity"), "bytes, such as 4G, or a share of the host's, as 50%"),
    "cpu_quota": ("CPUQuota", re.compile(r"[1-9]\d*(\.\d+)?%"), "a share of one processor, such as 150% for one and a half"),
    "cpu_weight": ("CPUWeight", re.compile(r"[1-9]\d{0,3}|10000"), "a number from 1 to 10000; others have 100"),
    "io_weight": ("IOWeight", re.compile(r"[1-9]\d{0,3}|10000"), "a number from 1 to 10000; others have 100"),
    "tasks_max": ("TasksMax", re.compile(r"[1-9]\d*|[1-9]\d?%|infinity"), "a number of processes and threads"),
}


def limits(given: dict[str, t.Any]) -> dict[str, str]:
    """The limits among the options that are set. :raises InputError: when systemd would not take one."""
    found = {name: str(given[name]).strip() for name in LIMITS if given.get(name) not in (None, "")}
    for name, text in found.items():
        if not LIMITS[name][1].fullmatch(text):
            raise InputError(f"mobius_{name}", LIMITS[name][2], repr(text), "Correct it, or leave it empty for no limit")
    return found


def literal(text: str) -> str:
    """A path where units take the rest of the line, with ``%`` taken literally."""
    return text.replace("%", "%%")


def _quote(text: str) -> str:
    """A word as unit files want it: quoted, with ``%`` taken literally."""
    return '"' + literal(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _argument(text: str) -> str:
    """A word of a command line, where ``$`` too would stand for something."""
    return _quote(text).replace("$", "$$")


def command_line(argv: list[str]) -> str:
    """The words of a command as units want them."""
    return " ".join(map(_argument, argv))


def render(spec: dict[str, t.Any]) -> str:
    """The text of the unit file of a service definition (``_service.definition.build_spec``)."""
    environment = "".join(f"Environment={_quote(f'{key}={value}')}\n" for key, value in sorted(spec["environment"].items()))
    account = f"User={spec['user']}\n" if spec["user"] else ""
    limited = "".join(f"{line}={spec[name]}\n" for name, (line, _form, _words) in LIMITS.items() if spec.get(name))
    guard = f"AssertPathExists=!{literal(spec['not_while'])}\n" if spec.get("not_while") else ""
    place = f"WorkingDirectory={literal(spec.get('app') or spec['working_dir'])}"
    if spec.get("app"):
        place += f"\nBindReadOnlyPaths={_bound(spec['working_dir'])}:{_bound(spec['app'])}"
    low_port = LOW_PORT if spec.get("privileged_port") else ""
    writable = "".join(f"ReadWritePaths={_quote(path)}\n" for path in spec["writable"])
    return f"""\
# Written by mobius.ops.node_service; changes are overwritten.
[Unit]
Description=MOBIUS application service {spec['name']}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec={spec['restart_window']}
StartLimitBurst={spec['restart_limit']}
{guard}
[Service]
Type=exec
{account}{place}
EnvironmentFile=-{literal(spec['env_file'])}
{environment}ExecStart={command_line(spec['command'])}
StandardOutput=journal
StandardError=journal
Restart=always
RestartSec={spec['restart_delay']}
TimeoutStopSec={spec['stop_timeout']}
KillMode=mixed
LimitNOFILE=16384
{limited}{SANDBOX}{low_port}{writable}
{_at_boot(spec)}"""


def _bound(path: str) -> str:
    """A path in a pair of paths, where a colon would end it."""
    return _quote(path).replace(":", "\\:")


def _at_boot(spec: dict[str, t.Any]) -> str:
    """Nothing to enable where another unit decides at boot whether this one is started."""
    if spec.get("boot_unit"):
        return f"# Not to be enabled: {spec['boot_unit']} starts the instance that serves.\n"
    return "[Install]\nWantedBy=multi-user.target\n"


def is_init() -> bool:
    """Whether systemd has booted this machine."""
    return os.path.isdir("/run/systemd/system")


def apart(argv: list[str], description: str) -> list[str]:
    """The argv that runs a program out of reach of the login session that starts it, under the same process id.

    A session may take all its processes along when it ends (``KillUserProcesses``). As root a scope of its own keeps
    a program; another user has to be in ``KillExcludeUsers``.
    """
    if os.getuid() or not is_init() or not shutil.which("systemd-run"):
        return argv
    return ["systemd-run", "--scope", "--quiet", "--collect", f"--description={description}", "--", *argv]


def systemctl(*words: str, check: bool = True) -> str:
    """Run ``systemctl`` and return what it prints. :raises ServiceError: when it fails and *check* is set."""
    done = commands.capture(["systemctl", "--no-ask-password", *words])
    if check and done.returncode:
        raise ServiceError("systemctl " + " ".join(words), "success", commands.cause(done),
                           f"Look at: journalctl -u {words[-1]}")
    return done.stdout


def read_unit(unit: str) -> str:
    """The unit file's text, empty when there is none."""
    try:
        with open(os.path.join(UNIT_DIR, unit), encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def write_unit(unit: str, text: str) -> None:
    """Put the unit file in place, and make systemd read it."""
    fs.write_text(os.path.join(UNIT_DIR, unit), text)
    systemctl("daemon-reload")


def enabled(unit: str) -> bool:
    """Whether systemd starts the unit at boot."""
    return os.path.lexists(os.path.join(UNIT_DIR, _WANTS, unit))


def enable(unit: str) -> None:
    """Let systemd start the unit at boot."""
    if not enabled(unit):
        systemctl("enable", unit)
        _keep_wants()


def disable(unit: str) -> None:
    """Let systemd no longer start the unit at boot. What runs goes on."""
    if enabled(unit):
        systemctl("disable", unit)
        _keep_wants()


def _keep_wants() -> None:
    """Links of systemd last through a power failure from now on; it does not see to that itself."""
    with contextlib.suppress(FileNotFoundError):
        fs.fsync_dir(os.path.join(UNIT_DIR, _WANTS))


def remove_unit(unit: str) -> None:
    """Take a unit file away. What runs goes on: it ends by itself."""
    if read_unit(unit):
        systemctl("disable", unit, check=False)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(UNIT_DIR, unit))
        systemctl("daemon-reload", check=False)


def program_unit(description: str, argv: list[str], environment: dict[str, str], log: str) -> str:
    """The text of a unit that keeps a program of ours running until it ends by itself: when it is killed, and after a reboot."""
    lines = "".join(f"Environment={_quote(f'{key}={value}')}\n" for key, value in sorted(environment.items()))
    return f"""\
# Written by mobius.ops; it removes itself.
[Unit]
Description={literal(description)}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
WorkingDirectory=/
{lines}ExecStart={command_line(argv)}
StandardOutput=append:{literal(log)}
StandardError=append:{literal(log)}
Restart=on-failure
RestartForceExitStatus=SIGTERM SIGINT SIGHUP
RestartSec=2
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def show(unit: str) -> dict[str, t.Any]:
    """``status``, ``pid``, ``started``, ``uptime`` (s), ``restarts`` and ``last_exit`` of a unit."""
    names = "ActiveState,SubState,MainPID,NRestarts,ExecMainCode,ExecMainStatus,ActiveEnterTimestampMonotonic,Result"
    lines = systemctl("show", unit, "--property", names, check=False).splitlines()
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    pid = int(facts.get("MainPID") or 0) or None
    since = int(facts.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    uptime = round(max(0.0, time.clock_gettime(time.CLOCK_MONOTONIC) - since), 1) if pid else 0
    return {
        "status": _state(facts), "pid": pid, "restarts": int(facts.get("NRestarts") or 0), "uptime": uptime,
        "started": clock.from_epoch(time.time() - uptime) if pid else None,
        "last_exit": _last_exit(unit, facts),
    }


def _last_exit(unit: str, facts: dict[str, str]) -> dict[str, t.Any] | None:
    """How a unit that did not simply run or stop ended last; from the journal, for systemd forgets it at a restart."""
    failed = facts.get("Result", "success") != "success"
    if not failed and not int(facts.get("NRestarts") or 0):
        return None
    try:
        entry = documents.parse("".join(_journal("json", 1, f"UNIT={unit}", f"MESSAGE_ID={PROCESS_EXIT}")))
        code = int(entry["EXIT_STATUS"])
        how = processes.exit_text(code if entry["EXIT_CODE"] == "exited" else -code)
        return {"when": clock.from_epoch(int(entry["__REALTIME_TIMESTAMP"]) / 1e6), "how": how}
    except (OpsError, ValueError, KeyError, TypeError):  # no journal, or nothing in it
        return {"when": None, "how": f"{facts['Result']}, status {facts.get('ExecMainStatus')}"} if failed else None


def printed(unit: str, lines: int, since: str = "") -> list[str]:
    """The last lines that a unit's processes printed.

    :param since: seconds since 1970 from which on; from the journal's beginning by default.
    """
    return _journal("cat", lines, *([f"--since=@{since}"] if since else []), f"_SYSTEMD_UNIT={unit}")


def _journal(output: str, lines: int, *matches: str) -> list[str]:
    argv = ["journalctl", "--quiet", "--no-pager", f"--output={output}", f"--lines={lines}", *matches]
    return commands.capture(argv).stdout.splitlines()


def _state(facts: dict[str, str]) -> str:
    active, sub = facts.get("ActiveState", "inactive"), facts.get("SubState", "")
    if active == "active":
        return "running"
    if sub == "auto-restart" or active == "activating":
        return "restarting"
    return "failed" if active == "failed" else "stopped"
