# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service that systemd runs as ``<name>.service``."""

from __future__ import annotations

import os
import time

from .._core import foreign, fs, systemd
from .._core.kinds import ServiceStatus
from . import drift, env_start, node_service, unit_file


class SystemdService(node_service.Service):
    """One service under systemd."""

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
        return systemd.printed(self.unit, lines)

    def printed(self) -> str:
        started = "".join(foreign.tail(self._started_file, 1))
        return "\n".join(systemd.printed(self.unit, node_service.PRINTED_LINES, started))[-node_service.PRINTED :]

    @property
    def _started_file(self) -> str:
        """When it was started on purpose; systemd remembers the last restart only."""
        return os.path.join(self.folder, "started")

    def way(self) -> str:
        return "mounted"

    def unit_current(self) -> bool:
        """Whether the unit file on disk is the one that the definition asks for, with what it names."""
        return env_start.current(self.spec) and systemd.read_unit(self.unit) == unit_file.render(self.spec)

    def save(self) -> None:
        super().save()
        env_start.prepare(self.spec)
        if not self.unit_current():
            systemd.write_unit(self.unit, unit_file.render(self.spec))
        if not self._started_by_another() and not systemd.enabled(self.unit) and self.runs():
            systemd.enable(self.unit)

    def _started_by_another(self) -> bool:
        """Whether another unit decides at boot whether this one is started."""
        return bool(self.spec.get("boot_unit"))

    def status(self) -> ServiceStatus:
        facts = systemd.show(self.unit)
        return {**facts, "port": self.port, "manager": "systemd", "console": self.console, "release": self.release_of(facts["pid"])}

    def start(self) -> None:
        self.save()
        runs = self.runs()
        if not runs:
            drift.note(self.spec, self.folder)
            self._correct_paths()
            fs.write_text(self._started_file, f"{time.time():.3f}\n")
        if not self._started_by_another():
            systemd.enable(self.unit)
        systemd.systemctl("reset-failed", self.unit, check=False)
        systemd.systemctl("start", self.unit)
        if not runs:
            drift.claim(self.folder, self.status()["pid"])

    def stop(self) -> None:
        systemd.systemctl("stop", self.unit, check=False)

    def discard(self) -> None:
        super().discard()
        systemd.remove_unit(self.unit)
