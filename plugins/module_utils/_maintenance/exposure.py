# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a host other hosts and programs may reach: TCP ports, and how far systemd confines the service."""

from __future__ import annotations

import contextlib
import re

from .._core import commands, processes, systemd
from .._core.errors import OpsError
from .._core.html_page import count
from .._logs import run as logs_run
from .._service import registry as service_registry
from .findings import Cause, Context, listed

Part = tuple[list[Cause], list[str]]
_EXPOSURE = re.compile(r"Overall exposure level for (\S+): ([\d.]+)")


def ports(context: Context) -> Part:
    """TCP ports that other hosts may reach and that are not expected."""
    expected = set(context.request.open_ports)
    with contextlib.suppress(OpsError):
        spec = service_registry.load(context.layout, context.request.service).spec
        proxy = spec.get("proxy")
        expected.update([proxy["port"]] if proxy else [spec["port"]] if spec["host"] not in ("127.0.0.1", "::1", "localhost") else [])
    found = {port: _program(port) for port in sorted(exposed())}
    more = [port for port in found if port not in expected]
    lines = [
        f"port {port}, {program or 'an unknown program'}" + ("" if port in expected else ", not expected")
        for port, program in found.items()
    ]
    if not more:
        return [], [*lines, f"ports: {len(found)} are open to other hosts, all of them expected"]
    words = listed([f"{port} ({found[port] or 'an unknown program'})" for port in more])
    return [
        Cause(
            "port_open",
            3,
            f"Other hosts may reach {count(len(more), 'port')} that no setting expects: {words}. Close "
            f"{'it' if len(more) == 1 else 'them'}, or add to mobius_maintenance_open_ports.",
            tuple(map(str, more)),
        )
    ], lines


def exposed() -> set[int]:
    """TCP ports on which somebody listens for other hosts."""
    return {port for address, port, _fields in processes.listening_sockets() if not _loopback(address)}


def _loopback(address: str) -> bool:
    """Whether an address of the kernel's tables, in hexadecimal of the host's byte order, is one of this host only."""
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    raw = b"".join(words)
    mapped = raw[12:] if raw[:12] == b"\0" * 10 + b"\xff\xff" else raw
    return (len(mapped) == 4 and mapped[0] == 127) or raw == b"\0" * 15 + b"\1"


def _program(port: int) -> str:
    owners = [pid for pid in processes.listeners(port) if pid]
    return processes.command_line(owners[0], 60) if owners else ""


def units(context: Context) -> Part:
    """How exposed the units of the service are, by systemd's own judgement."""
    names = logs_run.units_of(context.layout, context.request.service)
    if not names or not systemd.is_init():
        return [], ["units: systemd does not run the service"]
    causes, lines = [], []
    for name in names:
        done = commands.capture(["systemd-analyze", "security", "--no-pager", name], what="systemd-analyze", timeout=60)
        level = exposure(done.stdout)
        lines.append(f"unit {name}: exposure {level if level is not None else 'unknown'} of 10")
        if level is not None and level > context.request.unit_exposure:
            causes.append(
                Cause(
                    "unit_exposed",
                    3,
                    f"Unit {name} has an exposure of {level:g}, and "
                    f"{context.request.unit_exposure:g} is allowed. Look at: systemd-analyze security {name}.",
                    (name,),
                )
            )
    return causes, lines


def exposure(printed: str) -> float | None:
    """The level that systemd-analyze ends with."""
    match = _EXPOSURE.search(printed)
    return float(match[2]) if match else None
