# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses in URLs: an IPv6 address is in brackets, and an address that stands for all of the host is asked at its loopback."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import addresses
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import plan


@pytest.mark.parametrize(
    ("host", "netloc", "url"),
    [
        ("127.0.0.1", "127.0.0.1:80", "http://127.0.0.1:80"),
        ("localhost", "localhost:80", "http://localhost:80"),
        ("0.0.0.0", "0.0.0.0:80", "http://127.0.0.1:80"),
        ("*", "*:80", "http://127.0.0.1:80"),
        ("::1", "[::1]:80", "http://[::1]:80"),
        ("[::1]", "[::1]:80", "http://[::1]:80"),
        ("::", "[::]:80", "http://[::1]:80"),
        ("fd00::2", "[fd00::2]:80", "http://[fd00::2]:80"),
    ],
)
def test_hosts_with_ports(host, netloc, url):
    assert addresses.netloc(host, 80) == netloc
    assert addresses.url(host, 80) == url
    assert addresses.netloc(addresses.to_ask(host), 80) in url


@pytest.mark.parametrize("host", ["::1", "::"])
def test_a_drill_redirects_checks_of_a_service_on_ipv6(host):
    check = {"name": "health", "url": "http://[::1]:5001/health", "headers": {}}
    [found] = plan.redirect([check], "", {"host": host, "port": 5001}, 6001)
    assert found["url"] == "http://127.0.0.1:6001/health"
