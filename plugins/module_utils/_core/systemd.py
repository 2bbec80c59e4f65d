# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd: how units are written, found and told apart, and what ``systemctl`` and the journal tell of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from . import clock, commands, documents, fs, processes
from .errors import OpsError, ServiceError
from .kinds import Exit, UnitStatus

UNIT_DIR = "/etc/systemd/system"
_WANTS = "multi-user.target.wants"
#: What the journal calls the end of a unit's process (SD_MESSAGE_UNIT_PROCESS_EXIT).
PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"


def literal(text: str) -> str:
    """A path where units take the rest of the line, with ``%`` taken literally."""
    return text.replace("%", "%%")


def quote(text: str) -> str:
    """A word as unit files want it: quoted, with ``%`` taken literally."""
    return '"' + literal(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _argument(text: str) -> str:
    """A word of a command line, where ``$`` too would stand for something."""
    return quote(text).replace("$", "$$")


def command_line(argv: list[str]) -> str:
    """The words of a command as units want them."""
    return " ".join(map(_argument, argv))


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
        raise ServiceError("systemctl " + " ".join(words), "success", commands.cause(done), f"Look at: journalctl -u {words[-1]}")
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


def show(unit: str) -> UnitStatus:
    """``status``, ``pid``, ``started``, ``uptime`` (s), ``restarts`` and ``last_exit`` of a unit."""
    names = "ActiveState,SubState,MainPID,NRestarts,ExecMainCode,ExecMainStatus,ActiveEnterTimestampMonotonic,Result,Job"
    lines = systemctl("show", unit, "--property", names, check=False).splitlines()
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    pid = int(facts.get("MainPID") or 0) or None
    since = int(facts.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    uptime = round(max(0.0, time.clock_gettime(time.CLOCK_MONOTONIC) - since), 1) if pid else 0
    return {
        "status": _state(facts),
        "pid": pid,
        "restarts": int(facts.get("NRestarts") or 0),
        "uptime": uptime,
        "started": clock.from_epoch(time.time() - uptime) if pid else None,
        "last_exit": _last_exit(unit, facts),
    }


def _last_exit(unit: str, facts: dict[str, str]) -> Exit | None:
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
    """One word. A unit whose process ended by itself is deactivating before it is started again, and inactive, with a job, right before."""
    active, asked = facts.get("ActiveState", "inactive"), bool(facts.get("Job"))
    if active == "active":
        return "running"
    if active == "activating" or (active == "deactivating" and not asked) or (active == "inactive" and asked):
        return "restarting"
    return "failed" if active == "failed" else "stopped"
