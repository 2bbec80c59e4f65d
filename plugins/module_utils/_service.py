# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Node service on a target: its definition on disk, and what managers of services have in common.

A definition (``spec``) lies in ``state/service/<name>/spec.json``, without secrets, so that a watch or a rollback
that runs later and alone knows what to start.
"""
from __future__ import annotations

import abc
import contextlib
import os
import signal
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import (
    _app_path,
    _clock,
    _detach,
    _drift,
    _exceptions,
    _files,
    _processes,
    _records,
    _stores,
    _supervisor,
    _systemd,
    _tenancy,
)
from ansible_collections.mobius.ops.plugins.module_utils._errors import ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout, check_name

#: Seconds within which a supervisor must have said that it runs.
LAUNCH_TIMEOUT = 60.0
#: Bytes, and lines of a journal, that are read of what a service printed.
PRINTED, PRINTED_LINES = 256 * 1024, 1000


class Service(abc.ABC):
    """One service under its manager. Subclasses start, stop and inspect it."""

    def __init__(self, layout: Layout, spec: dict[str, t.Any]) -> None:
        self.layout = layout
        self.spec = spec
        self.name = spec["name"]
        self.folder = layout.path("state", "service", self.name)

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self.spec["port"]

    def saved(self) -> dict[str, t.Any] | None:
        """The definition on disk, or ``None``."""
        return _records.read(os.path.join(self.folder, "spec.json"), _records.SERVICE)

    def save(self) -> None:
        """Put the definition on disk."""
        os.makedirs(self.folder, exist_ok=True)
        _app_path.prepare(self.layout, self.spec)
        _files.write_json(os.path.join(self.folder, "spec.json"), self.spec)

    def release_of(self, pid: int | None) -> str | None:
        """The id of the release that a process runs from, told by its working folder."""
        return _app_path.release_of(pid, self.layout, self.spec.get("app")) if pid else None

    def way(self) -> str:
        """How the application gets to the folder in which it sees its release (``_app_path``)."""
        return _app_path.way(self.spec)

    def way_now(self) -> str:
        """How the process that runs got there."""
        return self.way()

    def require_port(self) -> None:
        """:raises StateError: when another program listens on the port."""
        self.require_nobody_else(self.port, "mobius_port")

    def require_definable(self) -> None:
        """:raises StateError: when its definition would take something from somebody else on this host."""
        if self.spec["manager"] == "systemd":
            _tenancy.require_own_units(self.layout, [part.name for part in self.parts()])

    def require_nobody_else(self, port: int, setting: str) -> None:
        """:raises StateError: when another program listens on a port that is the service's by a setting."""
        mine = self.status()["pid"]
        strangers = [pid for pid in _processes.listeners(port) if not mine or mine not in _processes.parents(pid)]
        if strangers:
            who = ", ".join(f"process {pid} ({_processes.command_line(pid)})" if pid else "another user's process"
                            for pid in strangers)
            raise StateError(f"port {port}", f"nobody or the service {self.name} to listen", who,
                             f"Stop that program or give another {setting}")

    @property
    def console(self) -> str:
        """Where an operator reads what the service printed: a path below the root, or words."""
        return os.path.relpath(self.spec["console_log"], self.layout.root)

    @property
    def log(self) -> str:
        """The same, complete: an absolute path, or a command."""
        return self.spec["console_log"]

    def _correct_paths(self) -> None:
        """Stored paths below a release of before lead to the folder that stays, while nobody else writes them."""
        if self.spec.get("app") and self.spec.get("state", "exclusive") == "exclusive":
            _stores.repair(self.layout, self.spec["app"])

    def evidence(self, lines: int = 15) -> list[str]:
        """The last lines that the service printed."""
        return _files.tail(self.spec["console_log"], lines)

    def printed(self) -> str:
        """What the service printed since it was started on purpose: the last ``PRINTED`` bytes of it, which the service's user chose."""
        return _files.read_end(self.spec["console_log"], PRINTED)

    def place(self) -> _exceptions.Place:
        """The folders in which the application sees its files."""
        folder = self.spec["working_dir"]
        return _exceptions.Place([self.spec.get("app") or "", folder, os.path.realpath(folder), self.layout.current])

    @abc.abstractmethod
    def status(self) -> dict[str, t.Any]:
        """``status`` (running, restarting, failed, stopped), ``pid``, ``uptime`` (s), ``restarts``, ``last_exit``…"""

    @abc.abstractmethod
    def start(self) -> None:
        """Start it when it does not run. :raises ServiceError: when the manager cannot."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop it, with everything it started."""

    def restart(self) -> None:
        """Stop, then start."""
        self.stop()
        self.start()

    def shut_down(self) -> None:
        """Stop it for longer, with all that stands in front of it."""
        self.stop()

    def restart_needed(self, changes: bool = False) -> list[str]:
        """Names of settings and variables that its process does not have yet (``_drift``).

        :param changes: whether this definition is about to be saved.
        """
        return _drift.restart_needed(self.spec, self.folder, self.status()["pid"], self._reader(), changes)

    def _reader(self) -> int | None:
        """The process that has read the definition, when it is not the service's own."""
        return None

    def serving(self) -> Service:
        """The instance that gets the requests: itself, where it has only one."""
        return self

    def direct(self, checks: list[dict[str, t.Any]], port: int) -> list[dict[str, t.Any]]:
        """The checks of this service, as they are put to the instance on a port."""
        return checks

    def requests(self, port: int) -> list[int]:
        """The ages in seconds of the requests that the instance on a port works on; without a proxy nobody sees them."""
        return []

    def runs(self) -> bool:
        """Whether a process of it runs, or is about to be started again."""
        facts = self.status()
        return bool(facts["pid"]) or facts["status"] == "restarting"

    def instances(self) -> list[Service]:
        """What may run the application."""
        return [self]

    def parts(self) -> list[Service]:
        """All that its manager knows of it by a name."""
        return [self]

    def discard(self) -> None:
        """Stop it, and make its manager forget it."""
        self.stop()

    def forget(self) -> None:
        """Remove what this definition has beside its parts, when it is no longer the definition."""
        return


class ProcessService(Service):
    """A service that a supervisor of this collection keeps running (``_supervisor``)."""

    def _read(self) -> dict[str, t.Any]:
        return _records.read(os.path.join(self.folder, "status.json"), _records.STATUS) or {}

    def printed(self) -> str:
        return _files.read_end(self.spec["console_log"], PRINTED, self._read().get("console_from", 0))

    def status(self) -> dict[str, t.Any]:
        facts = self._read()
        supervised = _processes.is_alive(facts.get("supervisor_pid"), facts.get("supervisor_ticks"))
        alive = _processes.is_alive(facts.get("pid"), facts.get("ticks"))
        state = facts.get("state", "stopped")
        if not supervised and state not in ("stopped", "failed"):
            state = "unsupervised" if alive else "killed"
        elif state == "running" and not alive:
            state = "restarting"
        started = facts.get("started") if alive else None
        return {
            "status": state, "pid": facts["pid"] if alive else None, "port": self.port, "manager": "process", "console": self.console,
            "started": started, "restarts": facts.get("restarts", 0), "last_exit": facts.get("last_exit"),
            "uptime": (_clock.now() - _clock.parse(started)).total_seconds() if started else 0,
            "release": self.release_of(facts["pid"]) if alive else None,
        }

    def start(self) -> None:
        self._await_launched()
        if self.status()["status"] in ("running", "restarting"):
            return
        self._end_remains()
        self.save()
        _drift.note(self.spec, self.folder)
        self._correct_paths()
        with _files.locked(self._launched, LAUNCH_TIMEOUT) as lock:
            pid = _detach.launch(self.layout, _supervisor, self.folder, os.path.join(self.folder, "supervisor.log"), keep=(lock,))
        deadline, ended = time.monotonic() + LAUNCH_TIMEOUT, False
        while time.monotonic() < deadline and not ended:
            ended = _processes.start_ticks(pid) is None
            facts = self._read()
            if facts.get("supervisor_pid") == pid and facts.get("state") != "starting":
                return
            time.sleep(0.02)
        log = " ".join(_files.tail(os.path.join(self.folder, "supervisor.log"), 3))
        raise ServiceError(f"service {self.name}", f"its supervisor to start within {LAUNCH_TIMEOUT:.0f} s",
                           log or "nothing from it", "Look into state/service/ below the root")

    def way_now(self) -> str:
        facts = self._read()
        if not _processes.is_alive(facts.get("pid"), facts.get("ticks")):
            return self.way()
        return facts.get("app_path", _app_path.MOVING)  # a supervisor of before that folder

    def _reader(self) -> int | None:
        facts = self._read()
        return facts["supervisor_pid"] if _processes.is_alive(facts.get("supervisor_pid"), facts.get("supervisor_ticks")) else None

    @property
    def _launched(self) -> str:
        """A lock that a supervisor has from before its first moment until its end."""
        return os.path.join(self.folder, "launched.lock")

    def _await_launched(self) -> None:
        """Wait until a supervisor can be seen that was started by a command that was killed right after that."""
        deadline = time.monotonic() + LAUNCH_TIMEOUT
        while (self._reader() is None or self._read().get("state") == "starting") and _files.is_locked(self._launched):
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)

    def _end_remains(self) -> None:
        """End a service that lost its supervisor, and the children of one that was killed with it."""
        facts = self._read()
        if _processes.is_alive(facts.get("pid"), facts.get("ticks")):
            _processes.end_group(facts["pid"], facts["ticks"], self.spec["stop_timeout"])
        for pid in _processes.group(facts["pid"]) if facts.get("pid") else []:
            if self.release_of(pid):  # else a stranger's group that got the old id
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self._await_launched()
        facts = self._read()
        pid, ticks = facts.get("supervisor_pid"), facts.get("supervisor_ticks")
        if _processes.is_alive(pid, ticks):
            _processes.end_group(pid, ticks, self.spec["stop_timeout"] + 5)
        self._end_remains()
        if facts and facts.get("state") != "stopped":
            with contextlib.suppress(OSError):  # a full disk keeps nobody from stopping it
                _files.write_json(os.path.join(self.folder, "status.json"), {**self._read(), "state": "stopped", "pid": None})


class SystemdService(Service):
    """A service that systemd runs as ``<name>.service``."""

    @property
    def unit(self) -> str:
        """The unit's name."""
        return self.name + ".service"

    @property
    def console(self) -> str:
        return f"the journal (journalctl -u {self.name})"

    @property
    def log(self) -> str:
        return f"journalctl -u {self.name}"

    def evidence(self, lines: int = 15) -> list[str]:
        return _systemd.printed(self.unit, lines)

    def printed(self) -> str:
        started = "".join(_files.tail(self._started_file, 1))
        return "\n".join(_systemd.printed(self.unit, PRINTED_LINES, started))[-PRINTED:]

    @property
    def _started_file(self) -> str:
        """When it was started on purpose; systemd remembers the last restart only."""
        return os.path.join(self.folder, "started")

    def way(self) -> str:
        return "mounted"

    def unit_current(self) -> bool:
        """Whether the unit file on disk is the one that the definition asks for."""
        return _systemd.read_unit(self.unit) == _systemd.render(self.spec)

    def save(self) -> None:
        super().save()
        if not self.unit_current():
            _systemd.write_unit(self.unit, _systemd.render(self.spec))
        if not self._started_by_another() and not _systemd.enabled(self.unit) and self.runs():
            _systemd.enable(self.unit)

    def _started_by_another(self) -> bool:
        """Whether another unit decides at boot whether this one is started."""
        return bool(self.spec.get("boot_unit"))

    def status(self) -> dict[str, t.Any]:
        facts = _systemd.show(self.unit)
        return {**facts, "port": self.port, "manager": "systemd", "console": self.console, "release": self.release_of(facts["pid"])}

    def start(self) -> None:
        self.save()
        runs = self.runs()
        if not runs:
            _drift.note(self.spec, self.folder)
            self._correct_paths()
            _files.write_text(self._started_file, f"{time.time():.3f}\n")
        if not self._started_by_another():
            _systemd.enable(self.unit)
        _systemd.systemctl("reset-failed", self.unit, check=False)
        _systemd.systemctl("start", self.unit)
        if not runs:
            _drift.claim(self.folder, self.status()["pid"])

    def stop(self) -> None:
        _systemd.systemctl("stop", self.unit, check=False)

    def discard(self) -> None:
        super().discard()
        _systemd.remove_unit(self.unit)


def service_for(layout: Layout, spec: dict[str, t.Any]) -> Service:
    """The service of a definition."""
    if spec.get("slots"):
        from ansible_collections.mobius.ops.plugins.module_utils._slots import SlottedService  # which is made of these

        return SlottedService(layout, spec)
    return (SystemdService if spec["manager"] == "systemd" else ProcessService)(layout, spec)


def load(layout: Layout, name: str) -> Service:
    """The service that was set up under a name. :raises StateError: when there is none."""
    path = layout.path("state", "service", check_name(name, "service name"), "spec.json")
    spec = _records.read(path, _records.SERVICE)
    if spec is None:
        raise StateError(f"service {name}", "a service that was set up", f"no {path}", "Run the playbook mobius.ops.setup first")
    return service_for(layout, {"app": layout.app, **spec})  # one of before that folder has it from its next start on
