# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which of two instances systemd starts at boot: the one that the proxy's map names.

A switch changes that in one rename. Two units that are enabled and disabled would be two changes, and a host that is
rebooted between them would start both instances, or none.
"""

from __future__ import annotations

from .._core import systemd
from . import unit_file

_UNIT = """\
# Written by mobius.ops.node_service; changes are overwritten.
[Unit]
Description=MOBIUS start of the instance of {name} that serves
After=network-online.target
Wants=network-online.target
ConditionPathExists={current}

[Service]
Type=oneshot
TimeoutStartSec=30
ExecStart={command}
{sandbox}

[Install]
WantedBy=multi-user.target
"""
#: It reads one file, and asks systemd over its socket to start a unit; as root, but without a capability.
_SANDBOX = (
    unit_file.CLOSED
    + """\
CapabilityBoundingSet=
AmbientCapabilities=
ProtectHome=read-only
PrivateNetwork=true
IPAddressDeny=any
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX
MemoryDenyWriteExecute=true
SystemCallFilter=~@privileged @resources
UMask=0077"""
)
#: Nothing of the map gets into the command, it only chooses between two. On a host of an earlier version the service's user can change it.
_SCRIPT = 'port={first}; grep -qsx "live {second}" "$0" && port={second}; exec systemctl start --no-block "{name}@$port.service"'


class Boot:
    """The unit that starts the instance that serves, at boot.

    :param ports: of the two instances; the first one is started when the map names none.
    :param current: the link to the live release; without one there is nothing to start.
    """

    def __init__(self, name: str, ports: list[int], map_path: str, current: str) -> None:
        self.unit = f"{name}-boot.service"
        script = _SCRIPT.format(name=name, first=ports[0], second=ports[1])
        command = systemd.command_line(["/bin/sh", "-c", script, map_path])
        self._text = _UNIT.format(name=name, current=systemd.literal(current), command=command, sandbox=_SANDBOX)

    def current(self) -> bool:
        """Whether it is in place, and enabled."""
        return systemd.read_unit(self.unit) == self._text and systemd.enabled(self.unit)

    def save(self) -> None:
        """Put it in place, and enable it."""
        if systemd.read_unit(self.unit) != self._text:
            systemd.write_unit(self.unit, self._text)
        systemd.enable(self.unit)

    def discard(self) -> None:
        """Take it away."""
        systemd.remove_unit(self.unit)
