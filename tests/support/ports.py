# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Free TCP ports that no other test takes before they are used."""

from __future__ import annotations

import collections
import os
import random
import socket

#: Ports that the kernel gives to nobody who asks for any port start below this one.
_LOWEST = 10_000
#: One abstract socket a port: other test processes, of any user, see that the port is reserved. The oldest are given up, because files
#: that are open at once are limited; their tests have ended long since.
_reserved: collections.deque[socket.socket] = collections.deque(maxlen=256)


def _range() -> range:
    """The unprivileged ports that are not handed out at random to outgoing connections."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as stream:
            lowest = int(stream.read().split()[0])
    except OSError:
        lowest = 32_768
    return range(_LOWEST, lowest) if lowest - _LOWEST > 5_000 else range(1_025, 32_768)


def _reserve(port: int) -> bool:
    """Reserve a port among test processes, and check that no process listens on it."""
    token = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        token.bind(f"\0mobius-test-port-{port}")
        with socket.socket() as probe:
            probe.bind(("", port))
    except OSError:
        token.close()
        return False
    _reserved.append(token)
    return True


def free_ports(count: int) -> list[int]:
    """Free ports, reserved for the test that asked."""
    found: list[int] = []
    chance = random.Random(os.urandom(8))  # never the same order as another worker, whatever seeded the tests
    for port in chance.sample(_range(), len(_range())):
        if len(found) == count:
            break
        if _reserve(port):
            found.append(port)
    assert len(found) == count, "no free ports are left"
    return found


def free_port() -> int:
    """One free port, reserved for the test that asked."""
    return free_ports(1)[0]
