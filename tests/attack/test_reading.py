# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What operations read of a service: pipes, links, devices, folders and huge files in its log folder neither hang nor fill root's memory.

Every operation ends with a result or a sentence, and no decoy is read.
"""

from __future__ import annotations

import os

import pytest
from support import attack
from support.ports import free_port
from support.waiting import wait_until

KINDS = ("pipe", "link", "device", "socket", "folder", "sparse")
#: Pairs of the kind, and whether there is a proxy, that ``make test`` runs too.
SHORT = (("pipe", True), ("folder", False))


def operations(host):
    """Name -> what it runs; the service serves r2, and r1 is a rollback target."""
    check = {"name": "gone", "url": f"http://127.0.0.1:{free_port()}/health", "timeout": 1}
    return {
        "status": lambda: host.module("node_service_info", checks=host.checks),
        "releases": lambda: host.module("release_info"),
        "host": lambda: host.module("host_metrics", service="mobius", window=0.1),
        "preflight": lambda: host.module("preflight", programs={}, encoders=[], min_free_mb=1),
        "smoke": lambda: host.module(
            "smoke_test", suite=[{"name": "health", "url": "/health"}], service="mobius", base_url=f"http://127.0.0.1:{host.public}"
        ),
        "watch": lambda: host.module(
            "monitor",
            env="test",
            checks=[check],
            duration=2,
            interval=0.2,
            retry_interval=0.1,
            failure_threshold=1,
            auto_rollback=False,
            metrics_interval=0.5,
        ),
        "report": lambda: host.module("watch_report"),
        "logs": lambda: host.module("log_report", explain=True, files=[f"{host.shared('logs')}/*"]),
        "incident": lambda: host.module("incident", env="test", title="the log is none", severity=2),
        "weekly": lambda: host.module(
            "maintenance",
            request={
                "cadence": "weekly",
                "env": "test",
                "log_files": [f"{host.shared('logs')}/*"],
                "steps": ["log_patterns", "log_rotation"],
            },
        ),
        "quarterly": lambda: host.module(
            "maintenance",
            request={"cadence": "quarterly", "env": "test", "log_files": [f"{host.shared('logs')}/*"], "steps": ["security_audit", "cost"]},
        ),
        "setup": lambda: (host.layout(), host.define())[1],
        "restart": lambda: host.define(state="restarted"),
        "rollback": lambda: host.roll_back("r1"),
        "prune": lambda: host.module("release", state="pruned", keep=0),
        "stop": lambda: host.define(state="stopped"),
        "start": lambda: host.define(state="started"),
    }


@pytest.mark.parametrize(
    "kind, proxied",
    [
        pytest.param(kind, proxied, id=f"{kind}-{('one', 'proxied')[proxied]}", marks=() if (kind, proxied) in SHORT else pytest.mark.full)
        for kind in KINDS
        for proxied in (False, True)
    ],
)
def test_a_log_that_is_none(target, attacker, decoys, kind, proxied):
    host = target(proxied=proxied)
    host.setup()
    for release_id in ("r1", "r2"):
        host.deploy(release_id)
    logs = host.shared("logs")
    names = [
        name
        for name in ("console.log", "app.log", "proxy.log", *(f"console-{port}.log" for port in host.definition_ports()))
        if name in ("console.log", "app.log") or proxied
    ]
    for name, operation in operations(host).items():
        attacker.does(attack.PLANT, logs, kind, decoys.secret, *names)
        done = operation().settled()
        assert done.peak < attack.MEMORY, name
        assert name in ("smoke", "watch") or not done.result.get("failed"), (name, done.result)
    decoys.require_unread(*host.printed, *everything_of(host))
    wait_until(lambda: host.module("node_service_info", checks=host.checks).good()["well"], what="the service is well")


def everything_of(host):
    """The text of every file that root has written: records, logs, incidents and reports."""
    for folder in ("state", "monitor_logs", "incidents", "reports"):
        for place, _dirs, names in os.walk(host.path(folder)):
            for name in names:
                with open(os.path.join(place, name), encoding="utf-8", errors="replace") as stream:
                    yield stream.read()
