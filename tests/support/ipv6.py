# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether tests can use the loopback of IPv6."""

from __future__ import annotations

import socket

import pytest


def here() -> bool:
    """Whether a server can listen on ``::1``."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not here(), reason="this machine has no address ::1")
