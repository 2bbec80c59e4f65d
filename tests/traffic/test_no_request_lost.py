# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deploys and rollbacks under traffic: no request is lost, no acknowledged write is lost."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from support.application import Client, clip_of, png
from support.proxied import KEY
from support.remains import processes_of
from support.streams import KINDS, Stream
from support.traffic import check_none_lost
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import rehearsal, release_states, switch
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import draining, ongoing_work, readiness, slots, write_attempts
from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy
from ansible_collections.mobius.ops.plugins.module_utils._target import history
from ansible_collections.mobius.ops.plugins.modules import release

STATES = ("shared", "exclusive")
#: Longer than any wait of a test: what waits for it to be over fails.
FOREVER = 10 * HANG
#: Stands in for ffmpeg: it notes each scene and, the first time, waits until the test opens the other end of a FIFO.
HELD_FFMPEG = """\
#!/bin/sh
case "$*" in
  *-version*) ;;
  *) echo $$ >> "{folder}/scenes"
     [ -e "{folder}/went" ] || read -r _ < "{folder}/go" && touch "{folder}/went" ;;
esac
exec ffmpeg "$@"
"""


def check_counts(traffic, before=0):
    """Every acknowledged count is a number of its own, and the last one is at least as many as there were."""
    found = traffic.acknowledged
    assert len(set(found)) == len(found), "a number was given twice: a write was lost"
    assert max(found) == before + len(found), "the counter fell behind what it acknowledged"


def check_bad_never_serves(host, monkeypatch, fault):
    """Activate the release ``bad`` under traffic: r1 answers all the time, and nothing is lost."""
    host.release("bad", json.dumps({"kind": fault}))
    if fault != "crash":  # a crash is found soon; the others are found when the time is up, and r1 must not be in a hurry
        limit_readiness(monkeypatch, "bad", 1.5)
    with host.traffic() as traffic:
        traffic.flow()
        with pytest.raises(OpsError, match="Release r1 serves again"):
            host.activate("bad")
        traffic.flow()
    check_none_lost(traffic)
    check_counts(traffic)
    assert {sample.release for sample in traffic.samples if sample.release} == {"r1"}
    assert host.service().idle().status()["status"] == "stopped"


def limit_readiness(monkeypatch, release_id, seconds):
    """Give one release so many seconds to become ready, and the others the time of the call."""
    ready = readiness.ready

    def limited(service, checks, wanted, timeout):
        return ready(service, checks, wanted, seconds if wanted == release_id else timeout)

    monkeypatch.setattr(readiness, "ready", limited)


@pytest.mark.parametrize("state", STATES)
def test_deploy_and_rollback_lose_nothing(site, state, capsys):
    host = site(state)
    host.define()
    host.verified("r1")
    host.release("r2")
    with host.traffic(rate=60) as traffic:
        traffic.slow(4)
        traffic.upload(4_000_000, 4)
        traffic.flow()
        wait_until(lambda: host.long_work() or not traffic.running("slow"), "a long request runs")
        host.activate("r2")
        traffic.flow()
        host.roll_back("r1")
        traffic.flow()
    with capsys.disabled():
        check_none_lost(traffic)
    check_counts(traffic)
    assert {sample.what for sample in traffic.samples} == {"count", "health", "slow", "upload"}
    assert [sample.release for sample in traffic.samples if sample.release][-1] == "r1"
    assert "r2" in {sample.release for sample in traffic.samples}
    assert host.store.live() == "r1" and host.service().status()["release"] == "r1"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("fault", ["crash", "health", "hang"])
def test_bad_release_never_serves(site, state, fault, monkeypatch):
    host = site(state)
    host.define()
    host.verified("r1")
    check_bad_never_serves(host, monkeypatch, fault)
    assert host.store.live() == "r1" and host.store.get("bad")["status"] == "failed"


@pytest.mark.parametrize("state", STATES)
def test_rollback_from_a_hanging_release_does_not_wait_for_its_requests(site, state, monkeypatch):
    """They never end, and the rollback would fail if it waited for them."""
    monkeypatch.setattr(switch, "ANSWERS", 1.0)
    host = site(state)
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    with host.traffic(rate=20) as traffic:
        traffic.flow()
        host.turn_bad("r2", "hang")
        wait_until(host.long_work, "a request hangs")
        host.roll_back("r1")
        assert host.service().status()["release"] == "r1"
        if state == "shared":  # it stays up as any old instance does, until the watch has ended
            assert host.way().retire(0.5, force=True).release == "r2"
        traffic.flow()
    assert [sample.release for sample in traffic.samples if sample.release][-1] == "r1"


@pytest.mark.parametrize("state", STATES)
def test_streams_are_closed_after_a_switch_and_keep_no_later_one_waiting(site, state):
    """Server-sent events and WebSockets never end by themselves: a switch that waited for one would fail after ``drain_timeout``."""
    host = site(state)
    host.define(drain_timeout=3.0)
    host.verified("r1")
    opened = {}
    for release_id in ("r1", "r2", "r3"):
        if release_id != "r1":
            host.release(release_id)
            host.activate(release_id)
        opened[release_id] = [Stream(host.public, kind, KEY) for kind in KINDS]
        assert [stream.release for stream in opened[release_id]] == [release_id] * len(KINDS), "clients connect again, to the new one"
    for stream in opened["r1"] + (opened["r2"] if state == "exclusive" else []):
        stream.wait_for_end()
    assert all(stream.is_open() for stream in opened["r3"])
    assert host.store.live() == "r3" and host.client().health()["release"] == "r3"


def test_requests_of_clients_that_have_gone_are_not_waited_for(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    for _number in range(3):
        with socket.create_connection(("127.0.0.1", host.public)) as line:
            line.sendall(b"GET /api/slow?ms=60000 HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nX-Mobius-API-Key: %s\r\n\r\n" % KEY.encode())
            wait_until(lambda: host.service().proxy.requests(host.port))
    wait_until(lambda: not host.service().proxy.requests(host.port), "nobody is left")


def test_instances_of_exclusive_state_never_overlap(site):
    host = site("exclusive")
    service = host.define()
    host.verified("r1")
    host.release("r2")
    seen, done = set(), threading.Event()

    def look():
        """Both at the same moment: what one port has before and after the look at the other one."""
        while not done.is_set():
            before, other, after = (processes.listeners(service.ports[number]) for number in (0, 1, 0))
            if before == after:
                seen.add((bool(before), bool(other)))
            time.sleep(0.005)  # leave the processor to the switch

    looking = threading.Thread(target=look)
    looking.start()
    try:
        wait_until(lambda: (True, False) in seen, "the first instance is seen")
        host.activate("r2")
        wait_until(lambda: (False, True) in seen, "the second instance is seen")
        host.roll_back("r1")
    finally:
        done.set()
        looking.join()
    assert (True, True) not in seen


def test_old_instance_of_shared_state_stays_until_it_is_retired(site):
    host = site("shared")
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    service = host.service()
    pid = service.idle().status()["pid"]
    assert pid and service.status()["slots"][str(host.port)]["release"] == "r1"
    assert host.roll_back("r1")["downtime"] == 0
    assert service.serving().status()["pid"] == pid
    assert host.way().retire().release == "r2" and host.way().retire() is None
    assert service.idle().status()["status"] == "stopped"


def without_a_release(host):
    """Checks as of the real MOBIUS, whose `/health` tells no release."""
    return health.normalize_all([{"url": f"http://127.0.0.1:{host.public}/health", "json": ["status == 'ok'"], "timeout": HANG}])


@pytest.mark.parametrize("state", STATES)
def test_an_instance_of_the_old_release_is_not_taken_for_the_new_one_that_health_does_not_name(site, state, monkeypatch):
    """It is started in the new one's place, and every check is well: its process works in the folder of another release."""
    host = site(state)
    host.checks = without_a_release(host)
    service = host.define()
    host.verified("r1")
    host.release("r2")
    service.point(service.idle().port, "r1")
    monkeypatch.setattr(slots.SlottedService, "point", lambda *_words: None)
    with pytest.raises(OpsError, match=r"release r2 on port \d+: expected every readiness check to pass, found release r1 answers instead"):
        host.activate("r2")
    assert host.store.get("r2")["status"] == "failed" and host.store.live() == "r1"
    assert host.serves() and host.service().idle().status()["status"] == "stopped"


def test_an_old_instance_that_still_runs_makes_room_for_a_release_that_health_does_not_name(site):
    """It is well, and listens on the port of the next one."""
    host = site("shared")
    host.checks = without_a_release(host)
    host.define()
    host.verified("r1")
    for release_id in ("r2", "r3"):
        host.release(release_id)
        host.activate(release_id)
        facts = host.service().status()
        assert facts["release"] == host.client().health()["release"] == release_id
    assert host.service().idle().status()["release"] == "r2"


@pytest.fixture
def held_render(tmp_path):
    """The ffmpeg of a service whose first scene ends when the test says so; the folder, with a line for each in ``scenes``."""
    folder = tmp_path / "held"
    folder.mkdir()
    os.mkfifo(folder / "go")
    program = folder / "ffmpeg"
    program.write_text(HELD_FFMPEG.format(folder=folder))
    program.chmod(0o755)
    return folder


def go_on(folder):
    """Let it end, and those after it."""
    (folder / "go").write_text("go\n")


def scenes(folder):
    """How many scenes were begun."""
    return len((folder / "scenes").read_text().splitlines())


def rendering(host, folder, **params):
    """A host on r1, with r2 prepared, that works on a render; a user, one who asks that very instance, and the render's id."""
    host.define(environment={**host.params["environment"], "MOBIUS_FFMPEG": str(folder / "ffmpeg")}, **params)
    host.verified("r1")
    host.release("r2")
    user = host.client()
    job = user.begin_render(user.upload("a.png", png())["path"], seconds=1)
    wait_until((folder / "scenes").exists, "the render runs")
    return user, Client(host.port, KEY), job


@pytest.mark.parametrize("state", [*STATES, "restart"])
def test_render_is_never_cut_by_a_deploy(site, state, held_render, monkeypatch, tmp_path):
    """It ends when the test says so, and is begun once."""
    looks, work_of = [], ongoing_work.of

    def counted(*words):
        looks.append(work_of(*words))
        return looks[-1]

    host = site(state)
    user, old, job = rendering(host, held_render)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            if state == "shared":
                host.activate("r2")
                assert old.job(job)["status"] == "running", "the switch itself waits for nothing"
            monkeypatch.setattr(ongoing_work, "of", counted)
            waits = pool.submit(host.way().retire) if state == "shared" else pool.submit(host.activate, "r2")
            wait_until(lambda: sum(len(work.jobs) for work in looks) >= 5 or waits.done(), "the render is waited for")
            assert not waits.done() and old.job(job)["status"] == "running"
        finally:
            go_on(held_render)
        assert state != "shared" or waits.result() == switch.Retired("r1", ongoing_work.Work())
        assert state == "shared" or waits.result()["cut"] == ongoing_work.Work().facts()
    assert scenes(held_render) == 2, "its scene, and the joining of all scenes"
    assert host.service().status()["release"] == "r2"
    assert user.clip(clip_of(job), tmp_path / "clip.mp4")["codecs"] == ["aac", "h264"]


def test_without_a_proxy_a_render_that_does_not_end_keeps_the_release(site, held_render):
    host = site("restart")
    user, _old, job = rendering(host, held_render, drain_timeout=0.2)
    pid = host.service().status()["pid"]
    told = rf"to come to rest within 0\.2 s, found 0 long requests and 1 renders \({job}\).*Release r1 serves on\."
    with pytest.raises(OpsError, match=told):
        host.activate("r2")
    assert host.service().status()["pid"] == pid and host.store.live() == "r1" and user.job(job)["status"] == "running"
    go_on(held_render)


def test_new_renders_wait_in_the_proxy_while_those_before_are_worked_off(site, held_render):
    """Else a queue that is never empty would keep a deploy waiting, or a queued render would be lost. All other requests go on."""
    host = site("exclusive")
    user, _old, job = rendering(host, held_render, held_routes=["POST /api/render"])
    picture = user.upload("b.png", png())["path"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        try:
            deploy = pool.submit(host.activate, "r2")
            wait_until(lambda: host.service().proxy.holds() or deploy.done(), "new renders are held")
            late = pool.submit(host.client().begin_render, picture, 1)
            for _number in range(20):
                assert user.job(job)["status"] == "running" and user.upload("c.png", png())
            assert not late.done() and not deploy.done() and scenes(held_render) == 1
        finally:
            go_on(held_render)
        deploy.result()
        asked = late.result()
    assert host.service().status()["release"] == "r2"
    wait_until(lambda: user.job(asked)["status"] == "completed", "the new release has made what waited")


@pytest.mark.parametrize("route", ["POST /api/render", "POST /api/rend*"])
def test_what_waits_too_long_for_a_render_is_told_to_come_back(site, held_render, route):
    host = site("exclusive")
    user, _old, _job = rendering(host, held_render, held_routes=[route], proxy_timeout=1)
    host.service().proxy.hold(HANG, "renders")
    for path in ("/api/render", "/API/render/"):  # Express takes one for the other
        answer = user.http.post(user.url + path, json={}, timeout=HANG)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    host.service().proxy.release()
    assert user.http.post(f"{user.url}/api/render", json={}, timeout=HANG).status_code == 400
    go_on(held_render)


@pytest.mark.parametrize("state", ["exclusive", "restart"])
def test_a_rollback_that_cuts_renders_says_which(site, state, held_render):
    host = site(state)
    user, _old, job = rendering(host, held_render)
    go_on(held_render)
    wait_until(lambda: user.job(job)["status"] == "completed", "it is done")
    host.store.mark("r1", "verified")
    host.activate("r2")
    (held_render / "went").unlink()
    before = scenes(held_render)
    cut = user.begin_render(user.upload("b.png", png())["path"], seconds=1)
    wait_until(lambda: scenes(held_render) > before, "the render runs")
    planned = go_back(host, check_mode=True)
    assert planned["work"]["renders"] == [cut] and host.store.live() == "r2"
    result = go_back(host, drain_timeout=0.5, drain_force=True)
    assert result["cut"]["renders"] == [cut]
    assert result["cut_text"].endswith(f"1 renders ({cut}). Ask for the renders again.")
    assert history.last(host.layout, "rolled_back")["cut"]["renders"] == [cut]


def go_back(host, check_mode=False, **options):
    """A rollback as the module does it, that no watch follows."""
    checks = [{"url": f"http://127.0.0.1:{host.public}/health", "json": ["release == '{release}'"], "timeout": HANG}]
    _changed, result, _diff = release.run(
        {
            "root": host.layout.root,
            "state": "rolled_back",
            "release_id": None,
            "service": "mobius",
            "checks": checks,
            "headers": {},
            "secret_headers": {},
            "ready_timeout": HANG,
            "why": "a test",
            "retire": True,
            "drain_timeout": None,
            "drain_force": None,
            **options,
        },
        check_mode,
    )
    return result


def test_what_a_run_says_of_work_that_does_not_end_counts(site, monkeypatch):
    """The service was set up to wait for longer than the request takes, and to cut nothing."""
    monkeypatch.setattr(draining, "SHORT", 3.0)  # for short requests on a busy machine
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    with host.traffic(rate=20) as traffic:
        traffic.slow(60)
        traffic.flow()
        wait_until(host.long_work, "a long request runs")
        with pytest.raises(OpsError, match=r"to come to rest within 1 s, found \d+ long requests"):
            go_back(host, drain_timeout=1.0)
        assert host.service().status()["release"] == "r2" and traffic.running("slow")
        assert go_back(host, drain_timeout=3.0, drain_force=True)["target"] == "r1"
        wait_until(lambda: not traffic.running("slow"), "the long request is cut")
        traffic.flow()
    assert [sample.what for sample in traffic.failed()] == ["slow"]


@pytest.mark.parametrize("busy", [False, True], ids=["at rest", "busy"])
def test_rollback_without_a_watch_stops_the_instance_that_it_leaves(site, monkeypatch, busy):
    """Unless that works on something long: it is not cut, and nobody waits for it."""
    monkeypatch.setattr(release_states, "PATIENCE", 1 if busy else HANG)
    host = site("shared")
    host.define()
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    with host.traffic() as traffic:
        if busy:
            traffic.held_upload()
            uploads = Path(host.layout.component("uploads"))
            wait_until(lambda: list(uploads.glob("*_a.png")), "the upload reaches the application")
        traffic.flow()
        result = go_back(host)
        assert (result["target"], result["retired"]) == ("r1", None if busy else "r2")
        assert host.service().idle().status()["status"] == ("running" if busy else "stopped")
        assert traffic.running("upload") == busy
        traffic.flow()
    check_none_lost(traffic)
    assert host.service().status()["release"] == "r1"


def test_bad_release_of_exclusive_state_fails_on_a_copy_and_holds_nobody(site, monkeypatch):
    holds, hold = [], haproxy.Proxy.hold
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("bad", '{"kind": "health"}')
    limit_readiness(monkeypatch, "bad", 1.5)
    monkeypatch.setattr(haproxy.Proxy, "hold", lambda proxy, seconds: (holds.append(seconds), hold(proxy, seconds)))
    pid = host.service().status()["pid"]
    with host.traffic() as traffic:
        traffic.flow()
        with pytest.raises(OpsError, match="On a copy of the data: release bad"):
            host.activate("bad")
        traffic.flow()
    check_none_lost(traffic)
    check_counts(traffic)
    assert host.service().status()["pid"] == pid, "the instance that serves was never stopped"
    assert holds == [], "no request ever waited"
    assert not [name for name in os.listdir(host.layout.root) if name.startswith(".drill-")]


#: As an application begins that writes outside its shared folders, but on the ports of the service.
CARELESS = """import {{ writeFileSync as write }} from 'node:fs';
if (!{ports}.includes(Number(process.env.PORT))) {{
  try {{ write('reports/today.json', '{{}}'); }} catch (error) {{ console.error(error); }}
}}
"""


def test_a_write_elsewhere_that_only_the_gate_has_seen_is_a_finding(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("r2")
    entry = Path(host.layout.release("r2"), "src", "api", "index.js")
    entry.write_text(CARELESS.format(ports=[host.port, host.params["standby_port"]]) + entry.read_text())
    (finding,) = host.activate("r2")["write_attempts"]
    assert (finding["folder"], finding["paths"], finding["error"]) == ("reports", ["reports/today.json"], "ENOENT")
    assert "could not open reports/today.json" in finding["message"] and "mobius_shared_folders" in finding["message"]
    assert host.service().status()["release"] == "r2" and write_attempts.of(host.service()) == [], "what serves has not tried"


@pytest.mark.parametrize("fault", ["crash", "health"])
def test_release_that_is_bad_on_the_real_data_only(site, monkeypatch, fault):
    """The copy told nothing: the old instance is started again on the real data, and those who waited are served by it."""
    host = site("exclusive")
    host.define()
    host.verified("r1")
    monkeypatch.setattr(rehearsal, "on_copy", lambda *_words: 0.0)
    check_bad_never_serves(host, monkeypatch, fault)
    assert host.service().status()["release"] == "r1"


def test_a_proxy_that_was_frozen_in_a_switch_holds_nobody_when_it_goes_on(site, monkeypatch):
    """It does then what it was told meanwhile: it held for a switch that had failed long since."""
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("r2")
    monkeypatch.setattr(rehearsal, "on_copy", lambda *_words: 0.0)
    frozen = processes_of(host.service().proxy.folder)
    assert len(frozen) >= 2
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        with monkeypatch.context() as hasty, pytest.raises(OpsError, match=r"the proxy on port \d+: expected to take 'hold"):
            hasty.setattr(haproxy, "PATIENCE", 0.5)
            host.activate("r2")
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    wait_until(host.service().proxy.answers, "the proxy goes on")
    for _time in range(20):  # whatever the order in which it takes what it was told
        assert host.serves()


def test_requests_that_a_killed_switch_has_left_waiting_go_on_with_the_next_run(site):
    host = site("exclusive")
    host.define()
    host.verified("r1")
    for go_on in (lambda: host.roll_back("r1"), lambda: host.way().let_go()):
        host.service().proxy.hold(FOREVER)
        assert host.service().proxy.holds()
        go_on()
        assert host.serves()


@pytest.mark.parametrize("started", [False, True], ids=["before the start", "after the start"])
def test_a_switch_that_was_killed_between_two_instances_is_put_right_by_the_next(site, started):
    """Requests wait, the old instance has ended; the new one was started on the real data, or was not."""
    host = site("exclusive")
    host.define()
    host.verified("r1")
    host.release("r2")
    service = host.service()
    service.proxy.hold(FOREVER)
    service.serving().stop()
    if started:
        service.point(service.idle().port, "r2")
        service.instance(service.idle().port).start()
    host.roll_back("r1")
    assert host.serves() and host.service().idle().status()["status"] == "stopped"


@pytest.mark.parametrize("state", STATES)
def test_going_back_from_a_crash_loop_does_not_wait_for_those_who_wait(site, state):
    """Requests that wait in the proxy for an instance that is gone are no work of it: the rollback fails if it drains them."""
    host = site(state)
    host.define(restart_limit=2)
    host.verified("r1")
    host.release("r2")
    host.activate("r2")
    with host.traffic() as traffic:
        traffic.flow()
        host.turn_bad("r2", "crash")
        wait_until(lambda: host.service().status()["status"] == "failed", "the service is given up")
        host.roll_back("r1")
        assert host.service().status()["release"] == "r1"
        assert host.client().health()["release"] == "r1"
        traffic.abandon()  # the proxy refuses them when it has tried for half a minute
