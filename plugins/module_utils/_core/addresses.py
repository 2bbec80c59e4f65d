# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts and ports as URLs and configurations have them: an IPv6 address is in brackets."""

from __future__ import annotations

#: Addresses that stand for every address of the host, and the one to ask instead.
_LOOPBACK_OF = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def bare(host: str) -> str:
    """The host without brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def to_ask(host: str) -> str:
    """The host to connect to, without brackets, for a service that listens on *host*."""
    return _LOOPBACK_OF.get(bare(host), bare(host))


def netloc(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    return f"[{bare(host)}]:{port}" if ":" in bare(host) else f"{host}:{port}"


def url(host: str, port: int) -> str:
    """The URL, without a path, that asks a service which listens on *host*."""
    return f"http://{netloc(to_ask(host), port)}"
