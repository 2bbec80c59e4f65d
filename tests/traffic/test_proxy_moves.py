# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A proxy that an earlier version has set up: its files become root's under traffic, and no request is lost."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat

import pytest
from support.traffic import check_none_lost

from ansible_collections.mobius.ops.plugins.module_utils._core import foreign, fs
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight.host import proxy as preflight


def of_before(host):
    """Let the proxy run as an earlier version had it: the socket beside the configuration, the folder the service's user's."""
    proxy, front = host.service().proxy, host.service()._front
    front.stop()
    shutil.rmtree(proxy.path("run"))
    fs.write_text(proxy.path("haproxy.cfg"), proxy.current().replace("unix@run/admin.sock", "unix@admin.sock"))
    if not os.geteuid():
        nobody = pwd.getpwnam("nobody")
        os.chown(proxy.folder, nobody.pw_uid, nobody.pw_gid)
    front.start()
    proxy.wait()
    assert not proxy.place.is_taken() and stat.S_ISSOCK(os.lstat(proxy.path("admin.sock")).st_mode)
    return proxy


def check_moved(proxy, ports):
    """The folder is as this version has it, and an earlier version's watch finds the socket too."""
    assert proxy.place.is_taken() and not proxy.differs()
    status = os.stat(proxy.folder)
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 0o750)
    assert stat.S_ISSOCK(os.lstat(proxy.path("run/admin.sock")).st_mode)
    with foreign.folder(proxy.folder) as place, socket.socket(socket.AF_UNIX) as admin:
        admin.connect(f"/proc/self/fd/{place}/admin.sock")
    assert proxy.live() in ports


@pytest.mark.parametrize("how", ["setup", "deploy", "rollback"])
@pytest.mark.parametrize("state", ["shared", "exclusive"])
def test_a_proxy_of_an_earlier_version(site, state, how):
    host = site(state)
    host.define()
    host.verified("r1")
    if how == "rollback":
        host.verified("r2")
    proxy = of_before(host)
    row = preflight(host.layout, "mobius")
    assert row["status"] == "passed", row
    before = {"setup": "r1", "deploy": "r2", "rollback": "r1"}[how]
    with host.traffic() as traffic:
        traffic.flow()
        if how == "setup":
            host.define()
        elif how == "deploy":
            host.release("r2")
            host.activate("r2")
        else:
            host.roll_back("r1")
        traffic.flow()
    check_none_lost(traffic)
    assert host.client().health()["release"] == before
    check_moved(proxy, proxy.ports)


def test_a_configuration_that_is_refused_leaves_everything_as_an_earlier_version_had_it(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    proxy = of_before(host)
    text, live = proxy.current(), proxy.live()
    with pytest.raises(Exception, match="one that HAProxy accepts"):
        host.define(proxy_certificate=host.layout.path("no.pem"), proxy_check_port=host.port + 1 if host.port < 65535 else 1)
    assert not proxy.place.is_taken() and (proxy.current(), proxy.live()) == (text, live)
    assert host.client().health()["release"] == "r1"
