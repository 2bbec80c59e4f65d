# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restarts under traffic: no request is lost, and one that fails holds nobody."""

from __future__ import annotations

import os
import signal

import pytest
from support.proxied import KEY
from support.traffic import check_none_lost
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import blue_green, rehearsal, switch
from ansible_collections.mobius.ops.plugins.module_utils._service import readiness
from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy
from ansible_collections.mobius.ops.plugins.modules import node_service

STATES = ("shared", "exclusive")
#: What the module node_service has beside the options of a test.
NODE_SERVICE = {
    "name": "mobius",
    "port": None,
    "headers": {},
    "secret_headers": {},
    "allow_torn_stores": False,
    "drain_timeout": None,
    "drain_force": None,
}


def check_all_counted(traffic):
    """No request failed, and no number was given twice or left out."""
    check_none_lost(traffic)
    assert sorted(traffic.acknowledged) == list(range(1, len(traffic.acknowledged) + 1))


def restart(host, **options):
    """A restart as the playbook does it."""
    checks = [{"url": f"http://127.0.0.1:{host.public}/health", "json": ["release == '{release}'"], "timeout": HANG}]
    given = {"root": host.layout.root, "state": "restarted", "checks": checks, "ready_timeout": HANG, **options}
    return node_service.run({**NODE_SERVICE, **given}, False)[1]


def rotate(host, key=KEY):
    """Set another environment for the next start."""
    fs.write_text(host.layout.env_file, f"MOBIUS_API_KEYS={key}\nMOBIUS_CORS_ORIGINS=*\nROTATED=yes\n", 0o600)


@pytest.mark.parametrize("state", STATES)
def test_restart_loses_nothing_and_brings_changed_secrets(site, state, capsys):
    host = site(state)
    host.define()
    host.verified("r1")
    first = host.service().status()["pid"]
    with host.traffic() as traffic:
        traffic.slow(4)
        traffic.upload(4_000_000, 4)
        traffic.flow()
        wait_until(lambda: host.long_work() or not traffic.running("slow"), "a long request runs")
        rotate(host)
        assert host.service().restart_needed() == ["ROTATED"]
        result = restart(host)
        traffic.flow()
        assert result["pid"] not in (None, first) and result["release"] == "r1" and result["restart_needed"] == []
        assert host.service().idle().status()["status"] == "stopped"
        again = restart(host)
        assert again["pid"] != result["pid"]
        traffic.flow()
    with capsys.disabled():
        check_all_counted(traffic)
    assert {sample.what for sample in traffic.samples} == {"count", "health", "slow", "upload"}
    assert again["port"] != result["port"]
    assert result["downtime"] == 0 and (result["held"] > 0) == (state == "exclusive")
    assert host.store.live() == "r1" and host.service().status()["release"] == "r1"


@pytest.mark.parametrize("state", STATES)
def test_restart_with_settings_that_do_not_start_leaves_the_old_process(site, state, monkeypatch):
    """The application refuses an empty key. With exclusive state that is found on a copy of the data, and nothing is held."""
    holds, hold = [], haproxy.Proxy.hold
    monkeypatch.setattr(haproxy.Proxy, "hold", lambda proxy, *words: (holds.append(words), hold(proxy, *words)))
    host = site(state)
    host.define()
    host.verified("r1")
    first = host.service().status()["pid"]
    with host.traffic() as traffic:
        traffic.flow()
        rotate(host, "")
        with pytest.raises(OpsError, match=r"expected every readiness check to pass.* Nothing was stopped: the old process serves on\."):
            restart(host)
        traffic.flow()
    check_all_counted(traffic)
    assert host.service().status()["pid"] == first and host.service().idle().status()["status"] == "stopped"
    assert holds == [] and not host.service().proxy.holds()


def test_restart_whose_new_process_fails_starts_the_old_one_again(site, monkeypatch):
    ready = readiness.ready

    def fails_once(service, checks, wanted, timeout):
        monkeypatch.setattr(readiness, "ready", ready)
        raise ServiceError(f"release {wanted}", "every readiness check to pass", "a test", "Wait")

    host = site("exclusive")
    host.define()
    host.verified("r1")
    port, first = host.service().status()["port"], host.service().status()["pid"]
    with host.traffic() as traffic:
        traffic.flow()
        monkeypatch.setattr(readiness, "ready", fails_once)
        with pytest.raises(OpsError, match=rf"found a test\. Wait\. Release r1 was started again on port {port} and serves\."):
            restart(host)
        traffic.flow()
    check_all_counted(traffic)
    assert host.service().status()["port"] == port and host.service().status()["pid"] not in (None, first)
    assert not host.service().proxy.holds()


def test_restart_that_nothing_survives_holds_nobody(site, monkeypatch):
    """The copy told nothing: neither the new process nor the old one starts with these settings."""
    monkeypatch.setattr(rehearsal, "on_copy", lambda *_words: 0.0)
    host = site("exclusive")
    host.define(restart_limit=1)
    host.verified("r1")
    rotate(host, "")
    with pytest.raises(OpsError, match="Release r1 was started again and is not well either"):
        restart(host)
    assert not host.service().proxy.holds()
    rotate(host)
    assert restart(host)["release"] == "r1" and host.serves()


def test_restart_waits_for_long_work_or_says_what_runs(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    first = host.service().status()["pid"]
    with host.traffic(rate=20) as traffic:
        traffic.slow(60)
        traffic.flow()
        wait_until(host.long_work, "a long request runs")
        with pytest.raises(OpsError, match=r"to come to rest within 1 s, found \d+ long requests.* Nothing was stopped"):
            restart(host, drain_timeout=1.0)
        assert host.service().status()["pid"] == first and traffic.running("slow")
        again = restart(host, drain_timeout=3.0, drain_force=True)
        assert again["pid"] != first and again["cut_text"].startswith("Work was cut: 1 "), again["cut_text"]
        traffic.flow()
    assert [sample.what for sample in traffic.failed()] == ["slow"]


@pytest.mark.parametrize("state", STATES)
def test_restart_of_a_hanging_process_does_not_wait_for_its_requests(site, state, monkeypatch):
    monkeypatch.setattr(switch, "ANSWERS", 1.0)
    host = site(state)
    host.define()
    host.verified("r1")
    first = host.service().status()["pid"]
    os.kill(first, signal.SIGSTOP)
    assert restart(host)["pid"] not in (None, first) and host.serves()
    assert host.service().idle().status()["status"] == "stopped"


def test_restart_in_the_midst_of_a_switch_waits_for_nobody(site, monkeypatch):
    """It is the emergency brake: it stops both instances and starts the one that serves."""
    monkeypatch.setattr(blue_green, "PATIENCE", 0.1)
    host = site("exclusive")
    host.define()
    host.verified("r1")
    first = host.service().status()["pid"]
    with host.store.switching():
        result = restart(host)
    assert result["pid"] not in (None, first) and result["downtime"] > 0 and host.serves()
