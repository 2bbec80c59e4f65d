# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deploys and rollbacks under traffic: no request is lost, no acknowledged write is lost."""
from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from support.application import png
from support.remains import processes_of
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils import _blue_green, _gate, _health, _processes, _proxy
from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError
from ansible_collections.mobius.ops.plugins.modules import release

STATES = ("shared", "exclusive")


def check_counts(traffic, before=0):
    """Every acknowledged count is a number of its own, and the last one is at least as many as there were."""
    found = traffic.acknowledged
    assert len(set(found)) == len(found), "a number was given twice: a write was lost"
    assert max(found) == before + len(found), "the counter fell behind what it acknowledged"


def check_none_lost(traffic):
    print(f"\n{traffic.figures()}")
    assert traffic.failed() == []


def check_bad_never_serves(host):
    """Activate the release ``bad`` under traffic: r1 answers all the time, and nothing is lost."""
    with host.traffic() as traffic:
        time.sleep(0.5)
        with pytest.raises(OpsError, match="Release r1 serves again"):
            host.activate("bad", timeout=3)
        time.sleep(0.5)
    check_none_lost(traffic)
    check_counts(traffic)
    assert {sample.release for sample in traffic.samples if sample.release} == {"r1"}


@pytest.mark.parametrize("state", STATES)
def test_deploy_and_rollback_lose_nothing(site, state, capsys):
    host = site(state)
    host.define()
    host.verified("r1")
    host.release("r2")
    with host.traffic(rate=60) as traffic:
        time.sleep(1)
        traffic.slow(6)
        traffic.upload(4_000_000, 5)
        time.sleep(0.5)
        deployed = host.activate("r2")
        time.sleep(1)
        back = host.roll_back("r1")
        time.sleep(1)
    with capsys.disabled():
        check_none_lost(traffic)
    check_counts(traffic)
    assert {sample.what for sample in traffic.samples} == {"count", "health", "slow", "upload"}
    assert [sample.release for sample in traffic.samples if sample.release][-1] == "r1"
    assert "r2" in {sample.release for sample in traffic.samples}
    assert host.store.live() == "r1" and host.service().status()["release"] == "r1"
    longest = max(sample.seconds for sample in traffic.samples if sample.what in ("count", "health"))
    assert longest <= max(deployed["ready_after"], back["ready_after"]) + 2 + host.params["stop_timeout"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("fault", ['{"kind": "crash"}', '{"kind": "health"}', '{"kind": "hang"}'], ids=["crash", "health", "hang"])
def test_bad_release_never_serves(site, state, fault):
    host = site(state)
    host.define()
    host.verified("r1")
    host.release("bad", fault)
    check_bad_never_serves(host)
    assert host.store.live() == "r1" and host.store.get("bad")["status"] == "failed"
    assert host.service().idle().status()["status"] == "stopped"


@pytest.mark.parametrize("state", STATES)
def test_a_release_that_hangs_is_gone_back_from_at_once(site, state):
    """Its requests never end, and new ones come all the time: there is nothing to wait for."""
    host = site(state)
    host.define()
    host.verified("r1")
    host.release("r2", '{"kind": "hang", "after": 6}')
    host.activate("r2")
    with host.traffic(rate=20) as traffic:
        health = host.checks[0]["url"]
        wait_until(lambda: _health.sample_all(_health.normalize_all([{"url": health, "timeout": 0.5}]))[0]["outcome"] == "failed")
        time.sleep(3)
        began = time.monotonic()
        host.roll_back("r1")
        took = time.monotonic() - began
        time.sleep(1)
        if state == "shared":  # it stays up as any old instance does, until the watch has ended
            assert _blue_green.retire(host.service(), 0.5, force=True) == "r2"
    assert took < (2 if state == "shared" else 8) and host.service().status()["release"] == "r1"
    assert [sample.release for sample in traffic.samples if sample.release][-1] == "r1"


def test_requests_of_clients_that_have_gone_are_not_waited_for(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    for _number in range(3):
        with socket.create_connection(("127.0.0.1", host.public)) as line:
            line.sendall(b"GET /api/slow?ms=60000 HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n")
            wait_until(lambda: host.service().proxy.requests(host.port))
    wait_until(lambda: not host.service().proxy.requests(host.port), "nobody is left")


def test_instances_of_exclusive_state_never_overlap(site):
    host = site("exclusive")
    service = host.define()
    host.verified("r1")
    host.release("r2")
    seen, done = set(), threading.Event()

    def look():
        while not done.is_set():
            seen.add(tuple(bool(_processes.listeners(port)) for port in service.ports))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        host.activate("r2")
        host.roll_back("r1")
    finally:
        done.set()
        looking.join()
    assert {(True, False), (False, True)} <= seen and (True, True) not in seen


def test_old_instance_of_shared_state_stays_until_it_is_retired(site):
    host = site("shared")
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    service = host.service()
    pid = service.idle().status()["pid"]
    assert pid and service.status()["slots"][str(host.port)]["release"] == "r1"
    began = time.monotonic()
    facts = host.roll_back("r1")
    assert time.monotonic() - began < 2 and facts["downtime"] == 0
    assert service.serving().status()["pid"] == pid
    assert _blue_green.retire(service) == "r2" and _blue_green.retire(service) is None
    assert service.idle().status()["status"] == "stopped"


@pytest.mark.parametrize("state", STATES)
def test_render_is_never_cut_by_a_deploy(site, state):
    """It takes six seconds by the clock, so one that was cut and begun anew would not be done when these are over."""
    host = site(state)
    host.define()
    host.verified("r1")
    host.release("r2")
    user = host.client()
    job = user.begin_render(user.upload("a.png", png())["id"], seconds=6, realtime=True)
    wait_until(lambda: _processes.started_by(host.service().serving().status()["pid"], ["ffmpeg"]))
    began = time.monotonic()
    host.activate("r2")
    if state == "shared":
        assert user.job(job)["status"] == "running", "the switch itself waits for nothing"
        assert _blue_green.retire(host.service()) == "r1"
    assert time.monotonic() - began > 3 and user.job(job)["status"] == "done"
    assert host.service().status()["release"] == "r2" and user.get(user.job(job)["url"]).status_code == 200


def go_back(host, **options):
    """A rollback as the module does it, that no watch follows."""
    checks = [{"url": f"http://127.0.0.1:{host.public}/health", "json": ["release == '{release}'"]}]
    _changed, result, _diff = release.run({
        "root": host.layout.root, "state": "rolled_back", "release_id": None, "service": "mobius", "checks": checks, "headers": {},
        "secret_headers": {}, "ready_timeout": 20, "why": "a test", "retire": True, "drain_timeout": None, "drain_force": None, **options},
        False)
    return result


def test_what_a_run_says_of_work_that_does_not_end_counts(site):
    """The service was set up to wait for a minute, and to cut nothing."""
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    with host.traffic(rate=20) as traffic:
        traffic.slow(25)
        wait_until(lambda: _blue_green.work_of(host.service(), host.service().serving(), _blue_green.LONG)[0])
        began = time.monotonic()
        with pytest.raises(OpsError, match="to come to rest within 1 s, found 1 long requests"):
            go_back(host, drain_timeout=1.0)
        assert host.service().status()["release"] == "r2" and time.monotonic() - began < 8
        assert go_back(host, drain_timeout=1.0, drain_force=True)["target"] == "r1"
        assert time.monotonic() - began < 16
    assert [sample.what for sample in traffic.failed()] == ["slow"]


@pytest.mark.parametrize("busy", [False, True], ids=["at rest", "busy"])
def test_rollback_without_a_watch_stops_the_instance_that_it_leaves(site, monkeypatch, busy):
    """Unless that works on something long: it is not cut, and nobody waits for it."""
    monkeypatch.setattr(release, "PATIENCE", 1)
    host = site("shared")
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    with host.traffic() as traffic:
        if busy:
            traffic.slow(8)
        time.sleep(1)
        result = go_back(host)
        assert (result["target"], result["retired"]) == ("r1", None if busy else "r2")
        assert host.service().idle().status()["status"] == ("running" if busy else "stopped")
    check_none_lost(traffic)
    assert host.service().status()["release"] == "r1"


def test_bad_release_of_exclusive_state_fails_on_a_copy_and_holds_nobody(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("bad", '{"kind": "health"}')
    pid = host.service().status()["pid"]
    with host.traffic() as traffic:
        time.sleep(0.5)
        with pytest.raises(OpsError, match="On a copy of the data: release bad"):
            host.activate("bad", timeout=3)
    check_none_lost(traffic)
    check_counts(traffic)
    assert host.service().status()["pid"] == pid, "the instance that serves was never stopped"
    assert max(sample.seconds for sample in traffic.samples) < 1.5
    assert not [name for name in os.listdir(host.layout.root) if name.startswith(".drill-")]


@pytest.mark.parametrize("fault", ['{"kind": "crash"}', '{"kind": "health"}'], ids=["crash", "health"])
def test_release_that_is_bad_on_the_real_data_only(site, monkeypatch, fault):
    """The copy told nothing: the old instance is started again on the real data, and those who waited are served by it."""
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("bad", fault)
    monkeypatch.setattr(_gate, "on_copy", lambda *_words: 0.0)
    check_bad_never_serves(host)
    assert host.service().idle().status()["status"] == "stopped" and host.service().status()["release"] == "r1"


def quick(host):
    """Whether a request goes through at once."""
    began = time.monotonic()
    return host.client().health()["release"] == "r1" and time.monotonic() - began < 2


def test_a_proxy_that_was_frozen_in_a_switch_holds_nobody_when_it_goes_on(site, monkeypatch):
    """It does then what it was told meanwhile: it held for a switch that had failed long since."""
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("r2")
    monkeypatch.setattr(_gate, "on_copy", lambda *_words: 0.0)
    monkeypatch.setattr(_proxy, "PATIENCE", 1.0)
    frozen = processes_of(host.service().proxy.folder)
    assert len(frozen) >= 2
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(OpsError, match=r"the proxy on port \d+: expected to take 'hold"):
            host.activate("r2")
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    assert quick(host)


def test_requests_that_a_killed_switch_has_left_waiting_go_on_with_the_next_run(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    for go_on in (lambda: host.roll_back("r1"), lambda: _blue_green.let_go(host.store, host.service())):
        host.service().proxy.hold(30)
        assert host.service().proxy.holds()
        go_on()
        assert not host.service().proxy.holds() and quick(host)


@pytest.mark.parametrize("started", [False, True], ids=["before the start", "after the start"])
def test_a_switch_that_was_killed_between_two_instances_is_put_right_by_the_next(site, started):
    """Requests wait, the old instance has ended; the new one was started on the real data, or was not."""
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("r2")
    service = host.service()
    service.proxy.hold(40)
    service.serving().stop()
    if started:
        service.point(service.idle().port, "r2")
        service.instance(service.idle().port).start()
    host.roll_back("r1")
    assert quick(host) and host.service().idle().status()["status"] == "stopped"


@pytest.mark.parametrize("state", STATES)
def test_going_back_from_a_crash_loop_does_not_wait_for_those_who_wait(site, state):
    """Requests that wait in the proxy for an instance that is gone are no work of it: there is nothing to drain."""
    host = site(state)
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    with host.traffic() as traffic:
        time.sleep(0.5)
        Path(host.layout.release("r2"), "fault.json").write_text('{"kind": "crash"}')
        wait_until(lambda: host.service().status()["status"] == "failed")
        began = time.monotonic()
        host.roll_back("r1")
        elapsed = time.monotonic() - began
    assert elapsed < 10 and host.service().status()["release"] == "r1"
    assert [sample.release for sample in traffic.samples if sample.release][-1] == "r1"
