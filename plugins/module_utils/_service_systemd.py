# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service that systemd runs as ``<name>.service``."""
from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _drift, _files, _service, _systemd


class SystemdService(_service.Service):
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
        return _systemd.printed(self.unit, lines)

    def printed(self) -> str:
        started = "".join(_files.tail(self._started_file, 1))
        return "\n".join(_systemd.printed(self.unit, _service.PRINTED_LINES, started))[-_service.PRINTED:]

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
