# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service of two instances, each on a port and a slot of its own, behind a proxy that knows which of them serves.

``slots/<port>`` names the release that an instance runs. To all others it is one service: its status is that of the
instance that serves.

Under systemd neither instance is enabled. What a reboot starts is decided at boot, by the proxy's map (``_service.boot_unit``).
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
import urllib.parse

from .._core import addresses, fs, processes, systemd
from .._core.errors import ServiceError
from .._core.kinds import ServiceStatus, Slot
from .._observe import node_exceptions
from .._target.layout import Layout
from .._target.record_types import Check, ProxySettings, ServiceSpec
from . import boot_unit, node_service
from .managers import single_service
from .proxy.config import KEPT_ALIVE, PROGRAM, RUN
from .proxy.haproxy import Proxy


class SlottedService(node_service.Service):
    """Two instances and their proxy."""

    def __init__(self, layout: Layout, spec: ServiceSpec) -> None:
        super().__init__(layout, spec)
        self.ports = t.cast(list[int], spec["slots"])
        self.proxy = Proxy(layout, t.cast(ProxySettings, spec["proxy"]), self.ports, spec["host"], spec["user"])
        #: How the service ran before it had two instances; on the first port.
        self._plain = single_service(layout, spec)
        self._front = single_service(layout, self._front_spec())
        self._boot = boot_unit.Boot(self.name, self.ports, self.proxy.map_path, layout.current)

    def _front_spec(self) -> ServiceSpec:
        spec, proxy = self.spec, self.proxy.settings
        return {
            **spec,
            "name": f"{self.name}-proxy",
            "command": self.proxy.command(),
            "working_dir": self.proxy.folder,
            "app": None,
            "environment": {},
            "env_file": os.devnull,
            "port": proxy["port"],
            "host": proxy["host"],
            "console_log": os.path.join(self.layout.component("logs"), "proxy.log"),
            "writable": [self.proxy.path(RUN)],
            "memory_max": None,
            "not_while": None,
            "privileged_port": proxy["port"] < 1024,
        }

    def instance(self, port: int) -> node_service.Service:
        """The instance on a port; the service of before, as long as that runs there."""
        if port == self.spec["port"] and self._plain.runs():
            return self._plain
        return self._named(port)

    def _named(self, port: int) -> node_service.Service:
        """The instance on a port, by its own name."""
        log = os.path.join(self.layout.component("logs"), f"console-{port}.log")
        return single_service(
            self.layout,
            {
                **self.spec,
                "name": f"{self.name}@{port}",
                "port": port,
                "working_dir": self.slot(port),
                "console_log": log,
                "boot_unit": self._boot.unit,
                "environment": {**self.spec["environment"], "PORT": str(port)},
            },
        )

    def slot(self, port: int) -> str:
        """The link that names the release of an instance."""
        return os.path.join(self.layout.slots, str(port))

    def point(self, port: int, release_id: str) -> None:
        """Make an instance run a release from its next start on."""
        fs.atomic_symlink(os.path.join("..", "releases", release_id), self.slot(port))

    def _live(self) -> str:
        """The id of the live release."""
        return os.path.basename(os.readlink(self.layout.current))

    def launch(self, port: int, release_id: str) -> node_service.Service:
        """Start the instance on a port, on a release."""
        self._settle()
        self.point(port, release_id)
        started = self._named(port)
        started.start()
        return started

    def serving(self) -> node_service.Service:
        return self.instance(self.proxy.live())

    def idle(self) -> node_service.Service:
        """The other one."""
        live = self.proxy.live()
        return self.instance(next(port for port in self.ports if port != live))

    def direct(self, checks: list[Check], port: int) -> list[Check]:
        """The checks of this service, put to one instance instead of the proxy; checks of other addresses are left out."""
        own = self.proxy.addresses()
        found: list[Check] = []
        for check in checks:
            parts = urllib.parse.urlsplit(check["url"])
            if f"{parts.scheme}://{parts.netloc}" in own:
                netloc = addresses.netloc(addresses.to_ask(self.spec["host"]), port)
                found.append({**check, "url": parts._replace(scheme="http", netloc=netloc).geturl()})
        return found

    def requests(self, port: int) -> list[int]:
        return self.proxy.requests(port)

    def save(self) -> None:
        self._require_proxy_ports()  # a proxy that does not get a new port in a reload takes nobody's requests for two seconds
        anew = not self._saved_slots() or self.proxy.astray()  # then the first port is the one that serves
        first = self._first()
        changed = self.proxy.save(anew, first)
        for port in self.ports:
            self._named(port).save()
        if anew and os.path.islink(self.layout.current):
            self.point(first, self._live())
        super().save()
        self._settle()
        self._load(changed)

    def _saved_slots(self) -> list[int]:
        saved = self.saved()
        return (saved.get("slots") if saved else None) or []

    def _first(self) -> int:
        """The port that serves when no map can be trusted: of the instance that runs alone, else the first one."""
        running = [port for port in self.ports if self._named(port).runs()] if self._saved_slots() == self.ports else []
        return running[0] if len(running) == 1 else self.ports[0]

    def _load(self, changed: bool) -> None:
        """Let the proxy run with the configuration on disk. One that can be told nothing, such as one whose socket is gone, starts anew."""
        running = self._front.status()["pid"]
        if running:
            try:
                self.proxy.wait()
            except ServiceError:
                self._front.stop()
                running = None
        self._front.save()
        if not running:
            self._start_front()
        elif changed:
            self.proxy.reload(running)
        self.proxy.wait()
        self.proxy.place.finish()

    def _start_front(self) -> None:
        self.proxy.place.free_socket()
        self._front.start()

    def await_front(self) -> None:
        """Wait for the proxy."""
        self.proxy.wait()

    def bring_up_to_date(self) -> None:
        """Before a switch: the files of a proxy that an earlier version has set up belong to root from now on. No request is lost."""
        if not self.proxy.place.is_taken():
            self._load(self.proxy.save(first=self._first()))
        if self.spec["state"] == "exclusive":
            self._outlive_workers()

    def _outlive_workers(self) -> None:
        """Until a worker that a reload has replaced is gone, for as long as a connection without a request may stay.

        It goes on with its connections, is told of no hold, and would ask the instance that has ended by then.
        """
        deadline = time.monotonic() + KEPT_ALIVE
        while time.monotonic() < deadline:
            master = self._front.status()["pid"]
            if not master or len(processes.started_by(master, [PROGRAM])) < 2:
                return
            time.sleep(0.05)

    def require_definable(self) -> None:
        super().require_definable()
        self._require_proxy_ports()

    def _require_proxy_ports(self) -> None:
        self._front.require_nobody_else(self._front.port, "mobius_proxy_port")
        check_port = self.proxy.settings.get("check_port")
        if check_port:
            self._front.require_nobody_else(check_port, "mobius_proxy_check_port")

    def unit_current(self) -> bool:
        """Whether what lies beside the definition is what it asks for, and the proxy runs."""
        parts = [self._front, *map(self._named, self.ports)]
        current = all(getattr(part, "unit_current", lambda: True)() for part in parts)
        return current and self._settled() and not self.proxy.differs() and self.proxy.answers()

    def _settle(self) -> None:
        """From now on a reboot starts the instance that serves and no other one, and not the service of before."""
        release = self._plain.status()["release"]
        if release:  # whoever starts the first port from now on starts what runs there
            self.point(self.spec["port"], release)
        if self.spec["manager"] != "systemd":
            return
        for unit in self._strays():
            systemd.disable(unit)
        if not self._plain.runs():
            systemd.remove_unit(self._strays()[0])
        self._boot.save()

    def _settled(self) -> bool:
        if self.spec["manager"] != "systemd":
            return True
        left = systemd.read_unit(self._strays()[0]) and not self._plain.runs()
        return self._boot.current() and not left and not any(map(systemd.enabled, self._strays()))

    def _strays(self) -> list[str]:
        """Units that must not be enabled: of the service of before, and of the instances."""
        return [f"{name}.service" for name in (self.name, *(self._named(port).name for port in self.ports))]

    def way(self) -> str:
        return self._plain.way()

    def way_now(self) -> str:
        return self.serving().way_now()

    def require_port(self) -> None:
        for part in map(self.instance, self.ports):
            part.require_port()
        self._require_proxy_ports()

    @property
    def console(self) -> str:
        return self.serving().console

    @property
    def log(self) -> str:
        return self.serving().log

    def evidence(self, lines: int = 15) -> list[str]:
        return self.serving().evidence(lines)

    def printed(self) -> str:
        return self.serving().printed()

    def place(self) -> node_exceptions.Place:
        return self.serving().place()

    def status(self) -> ServiceStatus:
        live = self.serving()
        slots: dict[str, Slot] = {}
        for port in self.ports:
            facts = self.instance(port).status()
            slots[str(port)] = {"status": facts["status"], "release": facts["release"], "serves": port == live.port}
        return {**live.status(), "slots": slots}

    def start(self) -> None:
        """Start the instance that serves, on the live release, and the proxy when it does not run."""
        if not self._front.status()["pid"]:
            self._start_front()
            self.proxy.wait()
        live = self.serving()
        if live.status()["status"] not in ("running", "restarting"):
            if self.spec["state"] == "exclusive":
                self.idle().stop()  # a switch that was killed may have started it, and two must never run
            self.launch(live.port, self._live())

    def stop(self) -> None:
        """Stop both instances. The proxy stays, and keeps requests waiting for half a minute."""
        for port in self.ports:
            self.instance(port).stop()

    def shut_down(self) -> None:
        self._front.stop()
        self.stop()

    def restart_needed(self, changes: bool = False) -> list[str]:
        return self.serving().restart_needed(changes)

    def instances(self) -> list[node_service.Service]:
        return [self.instance(port) for port in self.ports]

    def parts(self) -> list[node_service.Service]:
        return [self._plain, *map(self._named, self.ports), self._front]

    def forget(self) -> None:
        self._boot.discard()
        for port in self.ports:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.slot(port))
