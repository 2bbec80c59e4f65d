# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the drill's instance of the application runs: as a child in a mount namespace, or as a transient unit of systemd.

Whatever runs for a drill is known by its mark and ended by its process id, also when the drill itself was killed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time

from ..._core import accounts, clock, commands, dotenv_rules, foreign, fs, processes, systemd
from ..._core.errors import ServiceError
from ..._core.kinds import ServiceStatus
from ..._target import app_path
from ..._target.layout import Layout
from .. import detach, env_start, node_service, unit_file
from . import app, sandbox
from .app import MARK

#: File of the scratch folder with the id of the instance's process, which leads a group.
_LEADER = "instance.pid"
#: What is special between quotes in a property of systemd that holds paths.
_IN_PATHS = '\\"'


class Instance(node_service.Service):
    """What both ways to run it have in common."""

    #: How it is kept from the live data, when it is.
    mechanism = ""
    #: Where what it printed is kept beyond its end.
    log = "the report"

    def __init__(self, layout: Layout, spec: sandbox.InstanceSpec) -> None:
        super().__init__(layout, spec)
        self.copy = spec

    @property
    def live_root(self) -> str:
        return self.copy["guarded"]

    @property
    def console(self) -> str:
        return "the report"

    def isolation(self, pid: int) -> str:
        """How a process is kept from the live data, found out by looking at them with its eyes."""
        seen, live = f"/proc/{pid}/root", Layout(self.live_root)
        folders = [path for path in (live.root, live.releases, live.deps, live.backups, live.state) if os.path.isdir(path)]
        try:
            kept = os.path.samefile(seen + live.shared, self.layout.shared) and all(
                os.statvfs(seen + path).f_flag & os.ST_RDONLY for path in folders
            )
        except OSError:
            kept = False
        if kept:
            return self.mechanism
        user = self.spec["user"]
        return "user_only" if user and pwd.getpwnam(user).pw_uid != os.getuid() else "none"

    def require_isolation(self, pid: int) -> str:
        """:raises ServiceError: when it works on the live data because nothing keeps it from them."""
        found = self.isolation(pid)
        if found in ("user_only", "none") and self.copy["required"]:
            raise ServiceError(
                "the drill's instance",
                "to be kept from the live data, because " + self.copy["required"],
                f"isolation {found}",
                "Run the drill on a host that allows mount namespaces",
            )
        return found


class ProcessInstance(Instance):
    """A child of the drill, which the kernel ends when the drill is gone."""

    mechanism = "mount_namespace"
    child: subprocess.Popen[bytes] | None = None
    ticks: int | None = None

    def start(self) -> None:
        os.makedirs(self.folder, mode=0o700)
        path = os.path.join(self.folder, "sandbox.json")
        fs.write_json(path, self.spec, 0o600)
        argv, env = detach.command(self.layout, sandbox, path)
        with foreign.append_stream(self.spec["console_log"]) as console:
            self.child = commands.start(argv, "/", {**env, MARK: self.layout.root}, console)
        self.ticks = processes.start_ticks(self.child.pid)
        fs.write_text(self.layout.path(_LEADER), str(self.child.pid), 0o600)

    def status(self) -> ServiceStatus:
        code = self.child.poll() if self.child else None
        pid = self.child.pid if self.child and code is None else None
        return {
            "status": "running" if pid else "failed" if code is not None else "stopped",
            "pid": pid,
            "restarts": 0,
            "last_exit": {"when": clock.iso(), "how": processes.exit_text(code)} if code is not None else None,
            "release": self.release_of(pid),
        }

    def stop(self) -> None:
        if self.child:
            processes.end_group(self.child.pid, self.ticks, self.spec["stop_timeout"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(timeout=5)


class UnitInstance(Instance):
    """A transient unit of systemd in the sandbox of the service, under a time limit of its own."""

    mechanism = "systemd"
    #: Seconds after which systemd ends it, whatever became of the drill.
    lifetime = 3600.0

    @property
    def unit(self) -> str:
        """The unit's name, told by the scratch folder's."""
        return unit_of(self.layout.root)

    def start(self) -> None:
        settings = "".join(f"{key}={_quoted(value)}\n" for key, value in sorted(self.spec["environment"].items()))
        env_file = self.layout.path("drill.env")
        fs.write_text(env_file, settings, 0o600)
        argv = ["systemd-run", f"--unit={self.unit}", f"--description=Drill of {self.spec['name']}", "--service-type=exec"]
        argv += [f"--property={line}" for line in [*unit_file.SANDBOX.splitlines(), *self._properties(env_file)]]
        env_start.prepare(self.spec)
        if self.spec["user"]:
            dotenv_rules.let_in(accounts.named(self.spec["user"]).gid, self.spec["env_file"])
        done = commands.capture([*argv, "--", *env_start.argv(self.spec)], "/", "the drill's instance")
        if done.returncode:
            raise ServiceError(f"unit {self.unit}", "to be started", commands.ending(done), f"Look at: journalctl -u {self.unit}")

    def evidence(self, lines: int = 15) -> list[str]:
        return super().evidence(lines) or systemd.printed(self.unit, lines)

    def _properties(self, env_file: str) -> list[str]:
        spec, log = self.copy, self.spec["console_log"]
        found = [
            f"WorkingDirectory={spec['app'] or spec['working_dir']}",
            f"EnvironmentFile={env_file}",
            f"StandardOutput=append:{log}",
            f"StandardError=append:{log}",
            f"RuntimeMaxSec={self.lifetime:.0f}",
            f"TimeoutStopSec={spec['stop_timeout']}",
            "KillMode=mixed",
            f"ReadWritePaths={_quoted(spec['writable'][0], _IN_PATHS)}",
        ]
        binds = {path: folder for path, folder in spec["instead"].items() if path not in app.TEMPORARY}
        found += [f"BindPaths={_quoted(folder, _IN_PATHS)}:{_quoted(path, _IN_PATHS)}" for path, folder in binds.items()]
        found += [f"User={spec['user']}"] if spec["user"] else []
        found += [f"MemoryMax={spec['memory_max']}"] if spec["memory_max"] else []
        return found + ([] if "/tmp" in spec["instead"] else ["PrivateTmp=false"])

    def status(self) -> ServiceStatus:
        facts = systemd.show(self.unit)
        return {**facts, "release": self.release_of(facts["pid"])}

    def stop(self) -> None:
        _end_unit(self.unit)


def _quoted(text: str, special: str = '\\"$`') -> str:
    """A value in double quotes as systemd reads it in a file of variables, or (with *special*) in a property."""
    for letter in special:
        text = text.replace(letter, "\\" + letter)
    return f'"{text}"'


def unit_of(scratch: str) -> str:
    """The name of the transient unit that a scratch folder's instance has."""
    return "mobius-" + os.path.basename(scratch).lstrip(".") + ".service"


def _end_unit(unit: str) -> None:
    systemd.systemctl("stop", unit, check=False)
    systemd.systemctl("reset-failed", unit, check=False)


def instance_for(scratch: Layout, spec: sandbox.InstanceSpec, lifetime: float) -> Instance:
    """An instance under the manager that the service has."""
    if spec["manager"] == "systemd":
        made = UnitInstance(scratch, spec)
        made.lifetime = lifetime
        return made
    return ProcessInstance(scratch, spec)


def processes_of(scratch: str) -> list[int]:
    """The processes of a drill, and nobody else's: those with its mark, and those of the instance's group that work in its folder."""
    mark = f"{MARK}={scratch}".encode()
    leader = "".join(foreign.tail(os.path.join(scratch, _LEADER), 1))
    family = processes.group(int(leader)) if leader else []
    found = [pid for pid in family if _works_in(pid, scratch)]
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as stream:
            if mark in stream.read().split(b"\0"):
                found.append(pid)
    return sorted(set(found) - {os.getpid()})


def _works_in(pid: int, scratch: str) -> bool:
    """Whether a process works below the scratch folder, or where it sees the release from there."""
    if sandbox.below(processes.working_dir(pid) or "", scratch):
        return True
    return os.path.isdir(Layout(scratch).releases) and app_path.release_of(pid, Layout(scratch), None) is not None


def end_strays(scratch: str, patience: float = 5.0) -> list[int]:
    """Kill what is left of a drill's processes; their ids."""
    ended: set[int] = set()
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        left = processes_of(scratch)
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended.update(left)
        time.sleep(0.02)
    return sorted(ended)


def end_remains(scratch: str) -> list[int]:
    """End everything that a killed drill left running; ids of the processes."""
    left = processes_of(scratch)
    if systemd.is_init() and not os.getuid():
        _end_unit(unit_of(scratch))
    return sorted({*left, *end_strays(scratch)})
