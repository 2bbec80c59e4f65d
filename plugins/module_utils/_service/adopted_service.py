# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service that this collection did not deploy: a unit of systemd that something else wrote, or whatever listens on a port.

It is asked, watched, backed up and cleaned up as others are. It has no releases, so nothing switches or rolls back.
"""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from .._core import accounts, clock, foreign, processes, systemd
from .._core.errors import InputError, StateError
from .._core.kinds import ServiceStatus, UnitStatus
from .._observe import node_exceptions
from .._target.layout import Layout, check_name
from .._target.record_types import ServiceSpec
from . import node_service

MANAGER = "adopted"
_UNIT = re.compile(r"[A-Za-z0-9:_.@-]{1,200}\.service")
#: What only a service has that this collection deploys.
DEPLOYED_ONLY = "deploy, rollback, and a drill that starts it: they need releases, which mobius.ops.setup and mobius.ops.deploy make"


def build_spec(layout: Layout, params: t.Mapping[str, t.Any]) -> ServiceSpec:
    """The definition of an adopted service, from the options of ``adopted_service``.

    :raises InputError: for what can be no unit of a service, and for one that systemd does not know.
    """
    name, unit = check_name(params["name"], "service name"), params["unit"] or ""
    if unit and not unit.endswith(".service"):
        unit += ".service"
    if unit and not _UNIT.fullmatch(unit):
        raise InputError(f"unit {params['unit']}", "the name of a unit, such as shop.service", "something else", "Correct mobius_adopted")
    if unit and not _is_known(unit):
        raise InputError(f"unit {unit}", "a unit that systemd of this host knows", "none", "Correct mobius_adopted, or leave unit out")
    return {
        "name": name,
        "manager": MANAGER,
        "unit": unit,
        "command": [],
        "working_dir": layout.root,
        "app": None,
        "environment": {},
        "env_file": layout.env_file,
        "port": params["port"],
        "host": params["host"],
        "user": None,
        "console_log": params["log"] or "",
        "stop_timeout": 90,
        "restart_delay": 1,
        "restart_limit": 10,
        "restart_window": 60,
        "writable": [],
        "slots": None,
        "job_programs": [],
    }


def _is_known(unit: str) -> bool:
    return systemd.is_init() and "LoadState=loaded" in systemd.systemctl("show", unit, "--property", "LoadState", check=False)


class AdoptedService(node_service.Service):
    """A service that something else starts and stops."""

    deployed = False

    @property
    def unit(self) -> str:
        """The unit of systemd, empty when only the port is known."""
        return self.spec.get("unit") or ""

    @property
    def console(self) -> str:
        if self.spec["console_log"]:
            return self.spec["console_log"]
        return f"the journal (journalctl -u {self.unit})" if self.unit else "wherever it prints to"

    @property
    def log(self) -> str:
        if self.spec["console_log"]:
            return self.spec["console_log"]
        return f"journalctl -u {self.unit}" if self.unit else "wherever it prints to"

    def evidence(self, lines: int = 15) -> list[str]:
        if self.spec["console_log"]:
            return foreign.tail(self.spec["console_log"], lines)
        return systemd.printed(self.unit, lines) if self.unit else []

    def printed(self) -> str:
        if self.spec["console_log"]:
            return foreign.read_end(self.spec["console_log"], node_service.PRINTED)
        return "\n".join(systemd.printed(self.unit, node_service.PRINTED_LINES))[-node_service.PRINTED :] if self.unit else ""

    def way(self) -> str:
        return ""  # it has its folder as it had it before

    def restart_needed(self, changes: bool = False) -> list[str]:
        return []  # what it was started with is not ours to know

    def release_of(self, pid: int | None) -> str | None:
        return None

    def save(self) -> None:
        os.makedirs(self.folder, exist_ok=True)
        self._write()

    def require_environment(self) -> None:
        return  # whoever starts it reads its settings

    def status(self) -> ServiceStatus:
        facts = systemd.show(self.unit) if self.unit else self._by_port()
        return {**facts, "port": self.port, "manager": MANAGER, "console": self.console, "release": None}

    def _by_port(self) -> UnitStatus:
        pid = next((pid for pid in processes.listeners(self.port) if pid), None)
        uptime = round(processes.age(pid), 1) if pid else 0
        return {
            "status": "running" if pid else "gone",
            "pid": pid,
            "restarts": 0,
            "uptime": uptime,
            "started": clock.from_epoch(clock.now().timestamp() - uptime) if pid else None,
            "last_exit": None,
        }

    def start(self) -> None:
        self.require_manageable()
        systemd.systemctl("reset-failed", self.unit, check=False)
        systemd.systemctl("start", self.unit)

    def stop(self) -> None:
        self.require_manageable()
        systemd.systemctl("stop", self.unit)

    def require_manageable(self) -> None:
        if not self.unit:
            raise StateError(
                f"service {self.name}",
                "a unit of systemd, by which it can be started and stopped",
                f"one that was adopted by its port ({self.port}) alone",
                "Do it where it is run, or give its unit in mobius_adopted",
            )

    def place(self) -> node_exceptions.Place:
        pid = self.status()["pid"]
        folder = (processes.working_dir(pid) if pid else None) or self.layout.root
        return node_exceptions.Place([folder])


def user_of(pid: int | None) -> str:
    """The name of the user that a process runs as; empty when it is gone, or when its user has no name."""
    with contextlib.suppress(OSError):
        return accounts.name_of(os.stat(f"/proc/{pid}").st_uid)
    return ""


def lacks(spec: ServiceSpec, components: t.Collection[str]) -> list[str]:
    """What does not work with an adopted service, and what it would need, a sentence each."""
    found = [DEPLOYED_ONLY]
    if not spec["unit"]:
        found.append("restart, stop, restore with the service, and mending by diagnose: they need its unit (mobius_adopted, unit)")
        if not spec["console_log"]:
            found.append("what it prints, for diagnose and incidents: it needs its unit or its log (mobius_adopted, log)")
    needed = {
        "database": "backups of its data",
        "uploads": "backups and clean-ups of uploads",
        "logs": "log reports and rotation",
        "config": "backups of its settings, and hiding its secrets in what is shown",
    }
    found += [f"{what}: folders in mobius_adopted has no {component}" for component, what in needed.items() if component not in components]
    return found
