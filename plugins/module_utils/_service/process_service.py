# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service that a supervisor of this collection keeps running (``_service.supervisor``), where there is no systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from .._core import clock, foreign, fs, locks, processes
from .._core.errors import ServiceError
from .._core.kinds import ServiceStatus
from .._target import app_path, records
from .._target.record_types import Supervised
from . import detach, drift, node_service, supervisor

#: Seconds within which a supervisor must have said that it runs.
LAUNCH_TIMEOUT = 60.0


class ProcessService(node_service.Service):
    """One service under its own supervisor."""

    def _read(self) -> Supervised:
        found: Supervised | None = records.read(os.path.join(self.folder, "status.json"), records.STATUS)
        return found or {}

    def printed(self) -> str:
        return foreign.read_end(self.spec["console_log"], node_service.PRINTED, self._read().get("console_from", 0))

    def status(self) -> ServiceStatus:
        facts = self._read()
        supervised = processes.is_alive(facts.get("supervisor_pid"), facts.get("supervisor_ticks"))
        alive = processes.is_alive(facts.get("pid"), facts.get("ticks"))
        state = facts.get("state", "stopped")
        if not supervised and state not in ("stopped", "failed"):
            state = "unsupervised" if alive else "killed"
        elif state == "running" and not alive:
            state = "restarting"
        started = facts.get("started") if alive else None
        return {
            "status": state,
            "pid": facts["pid"] if alive else None,
            "port": self.port,
            "manager": "process",
            "console": self.console,
            "started": started,
            "restarts": facts.get("restarts", 0),
            "last_exit": facts.get("last_exit"),
            "uptime": (clock.now() - clock.parse(started)).total_seconds() if started else 0,
            "release": self.release_of(facts["pid"]) if alive else None,
        }

    def start(self) -> None:
        self._await_launched()
        if self.status()["status"] in ("running", "restarting"):
            return
        self._end_remains()
        self.save()
        drift.note(self.spec, self.folder)
        self._correct_paths()
        with locks.locked(self._launched, LAUNCH_TIMEOUT) as lock:
            pid = detach.launch(self.layout, supervisor, self.folder, os.path.join(self.folder, "supervisor.log"), keep=(lock,))
        deadline, ended = time.monotonic() + LAUNCH_TIMEOUT, False
        while time.monotonic() < deadline and not ended:
            ended = processes.start_ticks(pid) is None
            facts = self._read()
            if facts.get("supervisor_pid") == pid and facts.get("state") != "starting":
                return
            time.sleep(0.02)
        log = " ".join(foreign.tail(os.path.join(self.folder, "supervisor.log"), 3))
        raise ServiceError(
            f"service {self.name}",
            f"its supervisor to start within {LAUNCH_TIMEOUT:.0f} s",
            log or "nothing from it",
            "Look into state/service/ below the root",
        )

    def way_now(self) -> str:
        facts = self._read()
        if not processes.is_alive(facts.get("pid"), facts.get("ticks")):
            return self.way()
        return facts.get("app_path", app_path.MOVING)  # a supervisor of before that folder

    def _reader(self) -> int | None:
        facts = self._read()
        return facts["supervisor_pid"] if processes.is_alive(facts.get("supervisor_pid"), facts.get("supervisor_ticks")) else None

    @property
    def _launched(self) -> str:
        """A lock that a supervisor has from before its first moment until its end."""
        return os.path.join(self.folder, "launched.lock")

    def _await_launched(self) -> None:
        """Wait until a supervisor can be seen that was started by a command that was killed right after that."""
        deadline = time.monotonic() + LAUNCH_TIMEOUT
        while (self._reader() is None or self._read().get("state") == "starting") and locks.is_locked(self._launched):
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)

    def _end_remains(self) -> None:
        """End a service that lost its supervisor, and the children of one that was killed with it."""
        facts = self._read()
        leader, ticks = facts.get("pid"), facts.get("ticks")
        if leader and processes.is_alive(leader, ticks):
            processes.end_group(leader, ticks, self.spec["stop_timeout"])
        for pid in processes.group(leader) if leader else []:
            if self.release_of(pid):  # else a stranger's group that got the old id
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        self._await_launched()
        facts = self._read()
        supervisor_pid, ticks = facts.get("supervisor_pid"), facts.get("supervisor_ticks")
        if supervisor_pid and processes.is_alive(supervisor_pid, ticks):
            processes.end_group(supervisor_pid, ticks, self.spec["stop_timeout"] + 5)
        self._end_remains()
        if facts and facts.get("state") != "stopped":
            with contextlib.suppress(OSError):  # a full disk keeps nobody from stopping it
                fs.write_json(os.path.join(self.folder, "status.json"), {**self._read(), "state": "stopped", "pid": None})
