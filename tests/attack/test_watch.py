# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A watch that goes back by itself, on a host whose user may do everything in its folders. Under systemd it does so in its sandbox."""

from __future__ import annotations

import os
import subprocess

import pytest
from support import attack
from support.waiting import HANG, wait_until

#: Says who ran it, in a file of the data.
NOTE = 'import os, sys; open("../../shared/data/" + sys.argv[1], "w").write(str(os.getuid()))'


@pytest.fixture(params=[False, True], ids=["plain", "migrated"])
def host(request, target):
    """A host on which r2 serves after r1, with or without a migration that can be undone."""
    made = target(proxied=True)
    made.setup()
    made.deploy("r1")
    made.prepare("r2").good()
    if request.param:
        command = ["/usr/bin/python3", "-c", NOTE]
        made.module(
            "release_migration",
            release_id="r2",
            service="mobius",
            kind="reversible",
            command=[*command, "up"],
            down_command=[*command, "down"],
        ).good()
    made.activate("r2").good()
    made.migrates = request.param
    return made


def capabilities():
    """What the units of watches are allowed, as systemd says it."""
    argv = ["systemctl", "list-units", "--plain", "--no-legend", "mobius-watch-*"]
    units = subprocess.run(argv, capture_output=True, text=True, check=True)
    names = [line.split()[0] for line in units.stdout.splitlines()]
    argv = ["systemctl", "show", "--property=CapabilityBoundingSet", *names]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_a_watch_goes_back_and_undoes_the_migration_as_the_services_user(host, attacker):
    check = {"name": "is r1", "url": f"http://127.0.0.1:{host.public}/health", "timeout": HANG, "json": ["release == 'r1'"]}
    confined = attack.MANAGER == "systemd"
    host.module(
        "monitor",
        env="test",
        state="started",
        service="mobius",
        checks=[check],
        duration=3600,
        interval=1,
        retry_interval=1,
        failure_threshold=30 if confined else 2,
        requests=1,
    ).good()
    if confined:
        assert ("cap_setuid" in capabilities()) == host.migrates
    wait_until(lambda: host.module("monitor", env="test", state="followed").settled().result.get("verdict"), what="the watch has ended")
    assert host.last.result["verdict"] == "rolled_back", host.last.output
    assert os.path.basename(os.readlink(host.path("current"))) == "r1"
    for name in ("up", "down"):
        noted = host.shared("data", name)
        assert noted.exists() == host.migrates and (not host.migrates or noted.read_text() == str(attacker.uid))
