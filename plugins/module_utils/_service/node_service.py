# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Node service on a target: its definition on disk, and what managers of services have in common.

A definition (``spec``) lies in ``state/service/<name>/spec.json``, without secrets, so that a watch or a rollback
that runs later and alone knows what to start.
"""

from __future__ import annotations

import abc
import os

from .._core import foreign, fs, processes, wording
from .._core.errors import StateError
from .._core.kinds import ServiceStatus
from .._observe import node_exceptions
from .._target import app_path, json_stores, records, tenancy
from .._target.layout import Layout
from .._target.record_types import Check, ServiceSpec
from . import drift, env_start

#: Bytes, and lines of a journal, that are read of what a service printed.
PRINTED, PRINTED_LINES = 256 * 1024, 1000


class Service(abc.ABC):
    """One service under its manager. Subclasses start, stop and inspect it."""

    #: Whether this collection deploys it, so that it has releases.
    deployed = True

    def __init__(self, layout: Layout, spec: ServiceSpec) -> None:
        self.layout = layout
        self.spec = spec
        self.name = spec["name"]
        self.folder = layout.path("state", "service", self.name)

    @property
    def live_root(self) -> str:
        """The root of the application that it is, or is a copy of."""
        return self.layout.root

    @property
    def port(self) -> int:
        """The TCP port that it listens on."""
        return self.spec["port"]

    def saved(self) -> ServiceSpec | None:
        """The definition on disk, or ``None``."""
        found: ServiceSpec | None = records.read(os.path.join(self.folder, "spec.json"), records.SERVICE)
        return found

    def save(self) -> None:
        """Put the definition on disk."""
        os.makedirs(self.folder, exist_ok=True)
        app_path.prepare(self.layout, self.spec)
        self._write()

    def _write(self) -> None:
        fs.write_json(os.path.join(self.folder, "spec.json"), self.spec)

    def release_of(self, pid: int | None) -> str | None:
        """The id of the release that a process runs from, told by its working folder."""
        return app_path.release_of(pid, self.layout, self.spec.get("app")) if pid else None

    def way(self) -> str:
        """How the application gets to the folder in which it sees its release (``_target.app_path``)."""
        return app_path.way(self.spec)

    def way_now(self) -> str:
        """How the process that runs got there."""
        return self.way()

    def require_port(self) -> None:
        """:raises StateError: when another program listens on the port."""
        self.require_nobody_else(self.port, "mobius_port")

    def require_definable(self) -> None:
        """:raises StateError: when its definition would take something from somebody else on this host."""
        if self.spec["manager"] == "systemd":
            tenancy.require_own_units(self.layout, [part.name for part in self.parts()])

    def require_manageable(self) -> None:
        """:raises StateError: when it cannot be started and stopped from here."""
        return

    def require_environment(self) -> None:
        """:raises StateError: when it would not start with its ``.env``."""
        env_start.require(self.spec)

    def require_nobody_else(self, port: int, setting: str) -> None:
        """:raises StateError: when another program listens on a port that is the service's by a setting."""
        strangers = self.strangers(port)
        if strangers:
            raise StateError(
                f"port {port}",
                f"nobody or the service {self.name} to listen",
                ", ".join(strangers),
                f"Stop that program or give another {setting}",
            )

    def strangers(self, port: int) -> list[str]:
        """Other programs that listen on a port, in words."""
        mine = self.status()["pid"]
        return [
            f"process {pid} ({wording.printable(processes.command_line(pid))})" if pid else "another user's process"
            for pid in processes.listeners(port)
            if not mine or mine not in processes.parents(pid)
        ]

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
        app = self.spec.get("app")
        if app and self.spec.get("state", "exclusive") == "exclusive":
            json_stores.repair(self.layout, app)

    def evidence(self, lines: int = 15) -> list[str]:
        """The last lines that the service printed."""
        return foreign.tail(self.spec["console_log"], lines)

    def printed(self) -> str:
        """What the service printed since it was started on purpose: the last ``PRINTED`` bytes of it, which the service's user chose."""
        return foreign.read_end(self.spec["console_log"], PRINTED)

    def place(self) -> node_exceptions.Place:
        """The folders in which the application sees its files."""
        folder = self.spec["working_dir"]
        return node_exceptions.Place([self.spec.get("app") or "", folder, os.path.realpath(folder), self.layout.current])

    @abc.abstractmethod
    def status(self) -> ServiceStatus:
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
        """Names of settings and variables that its process does not have yet (``_service.drift``).

        :param changes: whether this definition is about to be saved.
        """
        return drift.restart_needed(self.spec, self.folder, self.status()["pid"], self._reader(), changes)

    def _reader(self) -> int | None:
        """The process that has read the definition, when it is not the service's own."""
        return None

    def serving(self) -> Service:
        """The instance that gets the requests: itself, where it has only one."""
        return self

    def direct(self, checks: list[Check], port: int) -> list[Check]:
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

    def await_front(self) -> None:
        """Wait until what stands in front of it answers, as after a boot. :raises ServiceError: when it does not."""
        return

    def discard(self) -> None:
        """Stop it, and make its manager forget it."""
        self.stop()

    def forget(self) -> None:
        """Remove what this definition has beside its parts, when it is no longer the definition."""
        return
