# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real, detached watches of a real service that turns bad."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import detach
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents as target_incidents
from ansible_collections.mobius.ops.plugins.module_utils._target import switch_journal
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import folders as watch_folders
from ansible_collections.mobius.ops.plugins.module_utils._watch import latency_baseline, watcher


@pytest.fixture
def watch(host):
    """Start a watch whose intervals are short."""

    def start(**options):
        spec = {
            "env": "test",
            "service": "mobius",
            "duration": 0.5,
            "interval": 0.08,
            "retry_interval": 0.05,
            "initial_delay": 0,
            "failure_threshold": 3,
            "error_threshold": 3,
            "restart_limit": 3,
            "auto_rollback": True,
            "ready_timeout": HANG,
            "checks": host.checks,
            **options,
        }
        return watch_control.start(host.layout, spec, watcher)

    return start


@pytest.fixture
def altered(monkeypatch):
    """``altered(code)``: run this code at the start of every watch process."""
    command = detach.command

    def alter(code):
        def with_code(layout, util, argument):
            argv, env = command(layout, util, argument)
            if util is watcher:
                lines = [
                    "import os, sys, time, types",
                    f"from {detach.PACKAGE}._observe import health",
                    f"from {detach.PACKAGE}._watch import host_check, watcher",
                    f"sys.argv = ['watch', {argument!r}]",
                    textwrap.dedent(code),
                    "watcher.main()",
                ]
                argv = [sys.executable, "-c", "\n".join(lines)]
            return argv, env

        monkeypatch.setattr(detach, "command", with_code)

    return alter


#: A watch's clock is advanced by its pauses only.
OWN_CLOCK = """
        now = [0.0]
        watcher.time = host_check.time = types.SimpleNamespace(
            monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
"""


@pytest.fixture
def own_clock(altered):
    """Advance the clock of a watch by its pauses only: the number of rounds does not depend on the machine."""
    altered(OWN_CLOCK)


@pytest.fixture
def ended(wait_until):
    """Wait for the end of a watch; its state."""

    def wait(folder):
        wait_until(lambda: folder.state()["status"] not in ("starting", "running"), "the watch ends")
        return folder.state()

    return wait


@pytest.fixture
def two(host):
    """r1 is verified; r2 is live, active, and serves."""
    host.live("r1")
    host.live("r2", status="active")
    return host.serve()


def log_of(folder):
    with open(folder.spec()["log_file"]) as stream:
        return stream.read()


def incidents(host):
    found = []
    for name in sorted(os.listdir(host.layout.incidents)):
        if name.endswith(".json"):
            found.append(fs.read_json(os.path.join(host.layout.incidents, name)))
    return found


def metrics_of(folder):
    with open(folder.spec()["metrics_file"], encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def last_event(host, what="watch"):
    return [event for event in host.history() if event["what"] == what][-1]


def test_a_healthy_release_is_verified(host, two, own_clock, watch, ended):
    folder = watch()
    state = ended(folder)
    assert (state["verdict"], state["trigger"], state["incident"]) == ("healthy", "", None)
    assert state["samples"]["ok"] == state["rounds"] == 7 and state["samples"]["availability_pct"] == 100.0
    assert host.statuses() == {"r1": "verified", "r2": "verified"}
    assert last_event(host)["verdict"] == "healthy" and incidents(host) == []
    assert "ends: healthy" in log_of(folder) and " INFO round 1 ok response time " in log_of(folder)


def test_a_release_that_is_verified_resolves_the_incidents_of_earlier_ones(host, two, own_clock, watch, ended):
    facts = {"title": "v0 was bad", "severity": 2, "env": "test"}
    mine, other = (target_incidents.open_incident(host.layout, {**facts, "cause": cause})["id"] for cause in ("release v0", "host"))
    for name in (mine, other):
        path = host.layout.path("incidents", name + ".json")
        record = fs.read_json(path)
        record["opened"] = record["events"][0]["when"] = "2026-01-01T00:00:00Z"
        fs.write_json(path, record)
    folder = watch(env="test")
    assert ended(folder)["verdict"] == "healthy"
    found = {record["id"]: record for record in incidents(host)}
    assert (found[mine]["status"], found[other]["status"]) == ("resolved", "open")
    assert found[mine]["events"][-1]["why"] == f"release r2 was verified by watch {folder.id}" and found[mine]["events"][-1]["itself"]


def test_a_release_that_turns_bad_is_rolled_back_and_everything_is_written_down(host, two, watch, ended, wait_until, secret):
    folder = watch(duration=10 * HANG, fleet="2026-11-26 web1 web2")
    wait_until(lambda: folder.state().get("rounds", 0) >= 2)
    host.mode("r2", "bad")
    state = ended(folder)
    assert state["verdict"] == "rolled_back" and "3 consecutive failed checks" in state["trigger"]
    assert state["rollback"]["from"] == "r2" and state["rollback"]["to"] == "r1" and state["rollback"]["downtime"] > 0
    assert host.store.live() == "r1" and host.statuses() == {"r1": "verified", "r2": "rolled_back"}
    assert two.status()["release"] == "r1" and two.status()["status"] == "running"
    (incident,) = incidents(host)
    assert incident["id"] == state["incident"] and incident["severity"] == 2
    assert incident["evidence"]["samples"][-1]["outcome"] == "failed" and incident["evidence"]["console"]
    assert incident["id"].startswith("INC-20261126-F"), "each host of the run gives it this id"
    assert (incident["cause"], incident["events"][0]["reached"]) == ("release r2", ["stability"]) and incident["rollback"]
    assert [event["what"] for event in incident["events"]] == ["opened", "gathered"] and incident["evidence"]["failing_samples"]
    assert last_event(host)["verdict"] == "rolled_back" and last_event(host, "rolled_back")["target"] == "r1"
    assert "rolled back to release r1" in log_of(folder) and "failure 3 of 3" in log_of(folder)
    with open(folder.spec()["metrics_file"]) as stream:
        lines = [json.loads(line) for line in stream]
    rounds = [line for line in lines if line["what"] == "round"]
    assert [line["outcome"] for line in rounds[-3:]] == ["failed"] * 3 and rounds[-1]["evidence"][0]["status"] == 500
    assert all(check["check"] == "health" and check["max_ms"] >= check["p50_ms"] >= 0 for line in rounds for check in line["checks"])
    assert [line["mark"] for line in lines if line["what"] == "mark"] == ["begins", "rolling_back", "rolled_back", "ends"]
    # the service prints its key and answers with it: it is in the application's own log only
    assert host.files_with(secret) == ["shared/logs/console.log"]
    assert "********" in json.dumps(incident)


def test_a_secret_with_signs_that_json_escapes_is_hidden_too(host, watch, ended, web):
    host.live("r1")
    odd = 'pässwörd-with-"marks"'
    fs.write_text(host.layout.env_file, f"KEY={odd}\n")
    web.answers["/health"] = (500, f"the key is {odd}")
    ended(watch(service="", checks=health.normalize_all([{"url": web.base + "/health"}])))
    escaped = json.dumps(odd)[1:-1]
    assert host.files_with(odd) == [] and host.files_with(escaped) == []


def test_without_a_target_it_is_frozen_and_severity_1(host, watch, ended):
    host.live("r1", status="active", mode="bad")
    host.serve()
    state = ended(watch(duration=10 * HANG))
    assert state["verdict"] == "frozen" and host.store.live() == "r1"
    (incident,) = incidents(host)
    assert incident["severity"] == 1 and "a verified release older than the live one" in incident["summary"]
    assert host.statuses() == {"r1": "active"}


def test_an_unhealthy_target_is_frozen_and_nothing_loops(host, two, watch, ended):
    host.mode("r1", "bad")
    host.mode("r2", "bad")
    state = ended(watch(duration=10 * HANG, ready_timeout=0.4))
    assert state["verdict"] == "frozen" and host.store.live() == "r1"
    assert [incident["severity"] for incident in incidents(host)] == [1]
    assert len([event for event in host.history() if event["what"] == "rolled_back"]) == 1


def test_a_forward_only_migration_is_not_rolled_back(host, watch, ended):
    host.live("r1")
    host.live("r2", status="active", migration="forward_only", mode="bad")
    service = host.serve()
    state = ended(watch(duration=10 * HANG))
    assert state["verdict"] == "frozen" and host.store.live() == "r2" and service.status()["release"] == "r2"
    assert incidents(host)[0]["severity"] == 1 and "forward-only" in incidents(host)[0]["summary"]


def test_without_auto_rollback_it_raises_one_alarm_and_goes_on(host, two, own_clock, watch, ended):
    host.mode("r2", "bad")
    state = ended(watch(auto_rollback=False))
    assert state["verdict"] == "degraded" and state["rounds"] >= 3
    assert [incident["severity"] for incident in incidents(host)] == [2]
    assert host.store.live() == "r2" and host.statuses()["r2"] == "active"


def test_an_alarm_that_passed_is_still_told_at_the_end(host, own_clock, watch, ended, web):
    host.live("r1", status="active")
    answers = iter([500] + [200] * 1000)
    web.answers["/health"] = lambda handler, _body: handler.send(next(answers), "")
    checks = health.normalize_all([{"url": web.base + "/health"}])
    state = ended(watch(service="", checks=checks, auto_rollback=False, failure_threshold=1, duration=0.9, interval=0.01))
    assert state["samples"]["failed"] == 1 and state["incident"]
    assert state["verdict"] == "degraded" and host.statuses() == {"r1": "active"}


def test_two_failures_and_a_success_do_not_roll_back(host, own_clock, watch, ended, web):
    host.live("r1")
    host.live("r2", status="active")
    answers = iter([500, 500, 200, 500, 500] + [200] * 1000)
    web.answers["/health"] = lambda handler, _body: handler.send(next(answers), "")
    state = ended(watch(service="", checks=health.normalize_all([{"url": web.base + "/health"}])))
    assert state["verdict"] == "degraded" and state["samples"]["failed"] == 4 and host.store.live() == "r2"


def test_what_cannot_be_measured_never_rolls_back(host, own_clock, watch, ended):
    host.live("r1")
    host.live("r2", status="active")
    state = ended(watch(service="", checks=health.normalize_all([{"url": f"http://{'x' * 70}.example/"}])))
    assert state["verdict"] == "inconclusive" and host.store.live() == "r2"
    (incident,) = incidents(host)
    assert incident["severity"] == 2 and "could not be measured" in incident["evidence"]["trigger"]


def test_a_crash_loop_is_rolled_back_though_checks_pass_in_between(host, two, watch, ended, wait_until, web):
    checks = health.normalize_all([{"url": web.base + "/health"}])
    folder = watch(duration=10 * HANG, restart_limit=2, checks=checks)
    for number in (1, 2):
        os.kill(wait_until(lambda: two.status()["pid"]), signal.SIGKILL)
        wait_until(lambda number=number: two.status()["restarts"] >= number or host.store.live() == "r1")
    state = ended(folder)
    assert state["verdict"] == "rolled_back" and "crash loop: the service was restarted 2 times" in state["trigger"]


DENIED = "Error: EACCES: permission denied, open 'cache/x.json'"


def prints(host, release_id, text):
    """Let a release print something when it starts."""
    path = os.path.join(host.layout.release(release_id), "app.py")
    with open(path, encoding="utf-8") as stream:
        fs.write_text(path, f"print({text!r}, flush=True)\n" + stream.read())


@pytest.fixture
def busy(altered):
    """Each round takes 0.4 s of a watch's clock."""
    altered(
        OWN_CLOCK
        + """
        done = watcher.Watcher.round
        def slow(self):
            action = done(self)
            now[0] += 0.4
            return action
        watcher.Watcher.round = slow
    """
    )


def test_a_busy_host_gets_as_many_rounds_as_a_rollback_takes(two, busy, watch, ended):
    state = ended(watch(duration=0.5, interval=0.1, failure_threshold=3))
    assert (state["verdict"], state["rounds"]) == ("healthy", 3), state["trigger"]


def test_a_busy_host_whose_release_is_bad_goes_back_after_its_window(host, two, busy, watch, ended):
    host.mode("r2", "bad")
    state = ended(watch(duration=0.5, interval=0.1, failure_threshold=3))
    assert (state["verdict"], state["rounds"], host.store.live()) == ("rolled_back", 3, "r1"), state["trigger"]


def test_a_window_without_room_for_them_calls_nothing_good(two, busy, watch, ended):
    state = ended(watch(duration=0.5, interval=0.3, failure_threshold=3))
    assert (state["verdict"], state["rounds"]) == ("inconclusive", 2) and "only 2 rounds were measured" in state["trigger"]


def test_a_write_outside_the_shared_folders_is_recorded_once_and_moves_no_verdict(host, own_clock, watch, ended):
    host.live("r1")
    prints(host, "r1", DENIED)
    host.serve()
    folder = watch()
    state = ended(folder)
    assert state["verdict"] == "healthy" and state["rounds"] > 1
    (found,) = state["write_attempts"]
    assert (found["folder"], found["paths"]) == ("cache", ["cache/x.json"])
    assert log_of(folder).count(found["message"]) == 1 and "- {path: cache, component: generated, folder: .cache}" in log_of(folder)
    (mark,) = [row for row in metrics_of(folder) if row.get("mark") == "write_attempt"]
    assert mark["text"] == found["message"]


def test_a_write_is_recorded_by_a_watch_that_is_ended_before_its_first_round(host, watch):
    host.live("r1")
    prints(host, "r1", DENIED)
    host.serve()
    folder = watch(duration=10 * HANG, initial_delay=10 * HANG)
    watch_control.stop(host.layout, "the deploy failed")
    assert [one["folder"] for one in folder.state()["write_attempts"]] == ["cache"]


def test_the_exception_behind_a_failure_is_in_the_reason_of_a_rollback(host, two, watch, ended, secret):
    prints(host, "r2", f"TypeError: no table {secret}\n    at load ({host.layout.release('r2')}/src/api/store.js:7:3)")
    two.restart()
    host.mode("r2", "bad")
    state = ended(watch(duration=10 * HANG))
    assert state["verdict"] == "rolled_back"
    assert state["trigger"].endswith("; the last exception in its log: TypeError: no table ******** (src/api/store.js:7:3)")
    assert incidents(host)[0]["evidence"]["trigger"] == state["trigger"]


def test_it_stops_when_told_and_says_why(host, two, watch, ended):
    folder = watch(duration=10 * HANG)
    assert watch_control.stop(host.layout, "stopped by ada") == folder.id
    state = folder.state()
    assert (state["status"], state["verdict"], state["trigger"]) == ("finished", "inconclusive", "stopped by ada")
    assert host.statuses()["r2"] == "active" and last_event(host)["why"] == "stopped by ada"
    assert watch_control.stop(host.layout, "again") is None


def test_a_new_watch_ends_the_one_before(host, two, watch, ended):
    first, second = watch(duration=10 * HANG), watch(duration=10 * HANG)
    assert first.state()["trigger"] == "superseded by a new watch" and second.state()["status"] == "running"
    assert watch_folders.latest(host.layout).id == second.id != first.id


def test_a_killed_watch_is_lost_not_running(host, two, watch, ended):
    folder = watch(duration=10 * HANG)
    os.kill(folder.state()["pid"], signal.SIGKILL)
    state = ended(folder)
    assert (state["status"], state["verdict"], state["trigger"]) == ("lost", "inconclusive", "the watching process was killed")
    assert watch_control.follow(host.layout, None, 0, HANG)["state"]["status"] == "lost"
    assert watch_control.stop(host.layout, "x") is None


def test_a_stranger_with_the_watchs_process_id_is_not_the_watch(host, two, watch, ended):
    folder = watch(duration=10 * HANG)
    watch_control.stop(host.layout, "x")
    folder.save_state({**folder.state(), "status": "running", "verdict": None, "pid": os.getpid(), "ticks": 1})
    assert folder.state()["status"] == "lost"


def test_it_is_a_process_of_its_own_session(host, two, watch):
    pid = watch(duration=10 * HANG).state()["pid"]
    assert os.getsid(pid) == pid != os.getsid(0)


def test_a_release_that_goes_live_ends_the_watch_of_the_one_before(host, two, watch, ended):
    folder = watch(duration=10 * HANG)
    host.live("r3", status="active")
    state = ended(folder)
    assert state["verdict"] == "inconclusive" and state["trigger"] == "release r3 is live now, not r2"


def test_a_release_that_goes_live_while_the_watch_decides_is_not_rolled_back(host, two, watch, ended, wait_until):
    host.mode("r2", "bad")
    with host.store.switching():  # as a deploy that is about to switch
        folder = watch(duration=10 * HANG)
        wait_until(lambda: folder.state().get("rolling_back"))
        host.live("r3", status="active")
    state = ended(folder)
    assert state["verdict"] == "inconclusive" and "found r3" in state["trigger"]
    assert host.store.live() == "r3" and host.statuses()["r3"] == "active" and incidents(host) == []


def test_stop_waits_for_a_rollback_that_goes_on(host, two, watch, wait_until, monkeypatch):
    host.mode("r2", "bad")
    with host.store.switching():
        folder = watch(duration=10 * HANG)
        wait_until(lambda: folder.state().get("rolling_back"))
        monkeypatch.setattr(watch_control, "STOP_TIMEOUT", 0)  # so it can only wait for the rollback
        stopper = threading.Thread(target=watch_control.stop, args=(host.layout, "x"))
        stopper.start()
        stopper.join(0.3)
        assert stopper.is_alive()
    stopper.join()
    assert folder.state()["verdict"] == "rolled_back"


def test_a_file_that_cannot_be_written_does_not_end_the_watch(host, two, watch, ended, wait_until):
    folder = watch(duration=10 * HANG)
    wait_until(lambda: folder.state()["rounds"] >= 1)
    os.unlink(folder.spec()["metrics_file"])
    os.mkdir(folder.spec()["metrics_file"])
    wait_until(lambda: folder.state()["rounds"] >= 3)
    host.mode("r2", "bad")
    assert ended(folder)["verdict"] == "rolled_back" and host.store.live() == "r1"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB for the host, unmounted after it. The packed code takes 6 when this process has loaded every util."""
    folder = tmp_path / "host"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("mounting a small file system takes root, on a machine that allows it")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path):
    """Write until the disk is full."""
    with open(path, "wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(4096))


def test_a_release_that_fills_the_disk_is_rolled_back(small_disk, host, two, watch, ended, wait_until):
    folder = watch(duration=10 * HANG)
    wait_until(lambda: folder.state()["rounds"] >= 1)
    release = small_disk / "releases" / "r2"
    (release / "next").write_text("bad")
    fill(small_disk / "shared" / "out" / "endless.mp4")
    assert os.statvfs(small_disk).f_bavail == 0
    os.replace(release / "next", release / "mode")
    wait_until(lambda: host.store.live() == "r1")
    state = ended(folder)
    assert state["verdict"] == "rolled_back" and two.status()["release"] == "r1"
    assert host.statuses()["r2"] == "rolled_back" and incidents(host)[0]["severity"] == 2


def test_an_error_of_the_disk_while_rolling_back_is_frozen_and_severity_1(host, two, watch, ended):
    host.mode("r2", "bad")
    os.mkdir(host.layout.path("state", "switch.lock"))
    state = ended(watch(duration=10 * HANG))
    assert state["verdict"] == "frozen" and incidents(host)[0]["severity"] == 1
    assert "switch.lock" in incidents(host)[0]["summary"]


def test_words_of_the_watch_are_not_taken_for_secrets(host, two, own_clock, watch, ended):
    fs.write_text(host.layout.env_file, "A=running\nB=finished\nC=healthy\nMOBIUS_API_KEYS=sekret\nNODE_ENV=production\n")
    folder = watch(env="production")
    assert folder.state()["status"] in ("running", "finished")
    assert ended(folder)["verdict"] == "healthy"
    assert "monitor-production-" in folder.spec()["log_file"]


def test_following_gives_each_line_once(host, two, own_clock, watch, ended):
    folder = watch()
    lines, offset = [], 0
    while True:
        found = watch_control.follow(host.layout, folder.id, offset, HANG)
        lines, offset = lines + found["lines"], found["offset"]
        if found["state"]["status"] == "finished" and not found["lines"]:
            break
    assert "\n".join(lines) + "\n" == log_of(folder)
    assert offset == os.path.getsize(found["log_file"])


def test_following_waits_for_whole_lines_and_not_longer_than_told(host, tmp_path):
    path = tmp_path / "log"
    assert watch_control._new_lines(str(path), 0) == ([], 0, False)
    path.write_bytes(b"eins\nzwei\nhal")
    assert watch_control._new_lines(str(path), 0) == (["eins", "zwei"], 10, False)
    assert watch_control._new_lines(str(path), 10) == ([], 10, False)
    path.write_bytes("eins\nzwei\nhalb ü\n".encode())
    assert watch_control._new_lines(str(path), 10) == (["halb ü"], path.stat().st_size, False)
    path.write_bytes(b"0123456789\n" * 6000)
    lines, end, more = watch_control._new_lines(str(path), 0)
    assert (len(lines), end, more) == (5957, 65527, True)
    assert watch_control._new_lines(str(path), end) == (["0123456789"] * 43, 66000, False)


@pytest.mark.parametrize("watch_id", [None, "20260101_000000", ".", "..", "../service"])
def test_nothing_to_follow(host, watch_id):
    os.makedirs(host.layout.path("state", "service"))
    if watch_id:
        os.makedirs(host.layout.path("state", "watch"))
    with pytest.raises(StateError, match="one to follow, found none"):
        watch_control.follow(host.layout, watch_id, 0, 0)


@pytest.mark.parametrize("name", ["duration", "interval", "retry_interval", "failure_threshold", "error_threshold", "restart_limit"])
def test_times_and_limits_that_make_no_sense(host, watch, name):
    with pytest.raises(InputError, match=f"watch option {name}: expected a number above 0, found 0"):
        watch(**{name: 0})
    assert watch_folders.latest(host.layout) is None


def test_an_error_rate_of_a_fifth_is_rolled_back(host, two, watch, ended, web):
    numbers = iter(range(10**6))
    web.answers["/health"] = lambda handler, _body: handler.send(500 if next(numbers) % 5 == 0 else 200, "")
    state = ended(watch(checks=health.normalize_all([{"name": "api", "url": web.base + "/health"}]), requests=30, duration=10 * HANG))
    assert state["verdict"] == "rolled_back" and state["trigger"].startswith("api: error rate 20 %"), state
    assert host.store.live() == "r1" and state["rounds"] <= 5


def test_answers_that_are_slower_than_before_are_rolled_back(host, two, watch, ended, web):
    late = [0.003]
    web.answers["/health"] = lambda handler, _body: (time.sleep(late[0]), handler.send(200, ""))
    checks = health.normalize_all([{"name": "api", "url": web.base + "/health"}])
    before = latency_baseline.take(host.layout, checks, "r1")
    late[0] = max(0.1, max(before["checks"]["api"]) / 1000 * 4)  # far above what the machine's load explains
    folder = watch(checks=checks, requests=30, duration=10 * HANG)
    state = ended(folder)
    assert state["verdict"] == "rolled_back" and "over the baseline of" in state["trigger"], state
    assert state["baseline"]["api"]["requests"] == 150 and state["samples"]["p50_ms"] > 90


def test_a_watch_that_was_interrupted_goes_on(host, two, watch, ended, wait_until):
    """As systemd does it after a kill or a reboot: the same program, with the same folder."""
    folder = watch(duration=10 * HANG)
    wait_until(lambda: folder.state().get("rounds", 0) >= 2)
    os.kill(folder.state()["pid"], signal.SIGKILL)
    wait_until(lambda: folder.state()["status"] == "lost")
    before = folder.saved()
    detach.launch(host.layout, watcher, folder.path, os.path.join(folder.path, "watcher.log"))
    wait_until(lambda: folder.state()["status"] == "running" and folder.state()["rounds"] > before["rounds"])
    state = folder.state()
    assert state["resumed"] == 1 and state["started"] == before["started"] and state["left"] <= before["left"]
    assert "goes on after it was interrupted" in log_of(folder) and state["samples"]["ok"] > before["samples"]["ok"]
    host.mode("r2", "bad")
    assert ended(folder)["verdict"] == "rolled_back" and host.store.live() == "r1"
    assert [event["verdict"] for event in host.history() if event["what"] == "watch"] == ["rolled_back"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: "{",
        lambda state: json.dumps({name: value for name, value in state.items() if name != "rounds"}),
        lambda state: json.dumps({**state, "decision": {"verdict": "healthy"}}),
        lambda state: json.dumps({**state, "samples": {"ok": 3}}),
        lambda state: json.dumps({**state, "times": {"fast": 3}}),
        lambda state: json.dumps({**state, "times": {"20000": 3}}),
        lambda state: json.dumps({**state, "write_attempts": "x"}),
    ],
    ids=["no JSON", "without rounds", "another decision", "part of the samples", "other times", "far times", "no list"],
)
def test_a_watch_that_cannot_go_on_from_its_state_begins_anew(host, two, watch, ended, wait_until, damage):
    folder = watch(duration=10 * HANG)
    interrupted(host, folder, wait_until)
    path = Path(folder.path, "state.json")
    path.write_text(damage(folder.saved()))
    detach.launch(host.layout, watcher, folder.path, os.path.join(folder.path, "watcher.log"))
    wait_until(lambda: "begins anew" in log_of(folder) and folder.state()["status"] == "running" and folder.state()["rounds"] > 1)
    assert f"its state is damaged, so it begins anew ({path}: " in log_of(folder) and folder.state()["resumed"] == 0
    host.mode("r2", "bad")
    assert ended(folder)["verdict"] == "rolled_back" and host.store.live() == "r1"


def test_a_watch_that_begins_anew_waits_for_a_service_that_starts_at_the_same_time(host, two, watch, wait_until):
    """As after a reboot."""
    folder = watch(duration=10 * HANG, ready_timeout=10 * HANG)
    interrupted(host, folder, wait_until)
    Path(folder.path, "state.json").write_text("{")
    host.mode("r2", "bad")
    detach.launch(host.layout, watcher, folder.path, os.path.join(folder.path, "watcher.log"))
    wait_until(lambda: "begins anew" in log_of(folder))
    with pytest.raises(AssertionError):
        wait_until(lambda: folder.state()["rounds"], timeout=1)
    host.mode("r2", "ok")
    wait_until(lambda: folder.state()["rounds"] > 3)
    state = folder.state()
    assert host.store.live() == "r2" and state["status"] == "running" and state["samples"]["failed"] == 0


def interrupted(host, folder, wait_until, **state):
    """Kill a watch; what its state is changed to, as if time had passed."""
    wait_until(lambda: folder.state().get("rounds", 0) >= 2)
    os.kill(folder.state()["pid"], signal.SIGKILL)
    wait_until(lambda: folder.state()["status"] == "lost")
    folder.save_state({**folder.saved(), **state})


@pytest.fixture
def impatient(altered):
    """Shorten the wait for a healthy service after a resume. The wait in a rollback keeps its limit."""
    altered("""
        wait_for, first = health.wait_for, [0.3]

        def wait(checks, timeout, *words, **options):
            return wait_for(checks, first.pop() if first else timeout, *words, **options)
        health.wait_for = wait
    """)


def test_the_time_in_which_nobody_watched_does_not_count(host, two, watch, ended, wait_until, impatient):
    """The host was down for longer than the window, and what it serves then is bad."""
    folder = watch(duration=10 * HANG)
    interrupted(host, folder, wait_until, started="2026-01-01T00:00:00Z")
    host.mode("r2", "bad")
    gone_back(host, two, begun_again(host, folder, ended, wait_until))


def test_never_is_it_the_end_before_anything_was_seen(host, two, watch, ended, wait_until, impatient):
    folder = watch(duration=10 * HANG)
    interrupted(host, folder, wait_until, left=0)
    fs.write_json(os.path.join(folder.path, "spec.json"), {**folder.spec(), "interval": 10 * HANG}, mode=0o600)
    host.mode("r2", "bad")
    gone_back(host, two, begun_again(host, folder, ended, wait_until))


def test_an_alarm_is_not_forgotten_by_an_interruption(host, two, watch, ended, wait_until):
    folder = watch(duration=10 * HANG, auto_rollback=False)
    host.mode("r2", "bad")
    wait_until(lambda: folder.state().get("incident"))
    host.mode("r2", "ok")
    interrupted(host, folder, wait_until, left=0.5)
    saved = folder.saved()  # by its counts alone it would be healthy
    folder.save_state({**saved, "samples": {**saved["samples"], "failed": 0, "ok": 100}})
    state = begun_again(host, folder, ended, wait_until)
    assert state["verdict"] == "degraded" and "consecutive failed checks" in state["trigger"], state
    assert host.statuses()["r2"] == "active" and len(incidents(host)) == 1


def test_a_process_that_is_told_to_end_says_so(host, two, watch, ended):
    folder = watch(duration=10 * HANG)
    os.kill(folder.state()["pid"], signal.SIGTERM)
    state = ended(folder)
    assert (state["status"], state["verdict"]) == ("finished", "inconclusive") and "SIGTERM" in state["trigger"]
    assert "SIGTERM" in log_of(folder) and "SIGTERM" in last_event(host)["why"]


def test_a_watch_that_begins_too_late_is_given_up(host, two, watch, altered, ended, monkeypatch):
    altered("""
        while not os.path.exists(os.path.join(sys.argv[1], "stop")):
            time.sleep(0.02)
    """)
    monkeypatch.setattr(watch_folders, "LAUNCH_TIMEOUT", 0.01)
    with pytest.raises(ServiceError, match="expected to begin within 0 s"):
        watch(duration=10 * HANG)
    folder = watch_folders.latest(host.layout)
    monkeypatch.setattr(watch_folders, "LAUNCH_TIMEOUT", HANG)
    state = ended(folder)
    assert (state["verdict"], state["rounds"]) == ("inconclusive", 0) and "did not begin in time" in state["trigger"], state


def test_a_watch_that_begins_is_stopped_too(host, two, watch, ended, monkeypatch):
    folder = watch_folders.create(host.layout, {"env": "test", "service": "mobius", "duration": 60, "interval": 1, "initial_delay": 0})
    assert folder.state()["status"] == "starting"
    monkeypatch.setattr(watch_control, "STOP_TIMEOUT", 0.2)
    assert watch_control.stop(host.layout, "for a test") == folder.id
    with open(os.path.join(folder.path, "stop")) as stream:
        assert stream.read() == "for a test"


SHORT_SPEC = {"env": "test", "service": "mobius", "duration": 60, "interval": 1, "initial_delay": 0}


def test_a_watch_whose_start_is_killed_is_none_and_the_next_one_clears_up(host, two, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", lambda *_names: os._exit(0))
        child = os.fork()
        if not child:
            watch_folders.create(host.layout, dict(SHORT_SPEC))
        os.waitpid(child, 0)
    place = host.layout.path("state", "watch")
    assert len(os.listdir(place)) == 1 and watch_folders.latest(host.layout) is None and watch_folders.ids(host.layout) == []
    folder = watch_folders.create(host.layout, dict(SHORT_SPEC))
    assert os.listdir(place) == [folder.id] and os.listdir(folder.path) == ["spec.json"]


def test_watches_of_one_second_have_ids_of_their_own(host, two, monkeypatch):
    first, second = "20261128_100000", "20261128_100001"
    stamps = iter([first, first, second])
    monkeypatch.setattr(watch_folders.clock, "stamp", lambda: next(stamps))
    assert [watch_folders.create(host.layout, dict(SHORT_SPEC)).id for _number in range(2)] == [first, second]
    assert watch_folders.ids(host.layout) == sorted(os.listdir(host.layout.path("state", "watch"))) == [first, second]


def test_a_watch_that_cannot_be_kept_is_told(host, two, monkeypatch):
    def full(_from, _to):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        watch_folders.create(host.layout, dict(SHORT_SPEC))
    assert os.listdir(host.layout.path("state", "watch")) == []


def test_a_folder_without_a_definition_is_no_watch(host, two):
    os.makedirs(host.layout.path("state", "watch", "20261128_100000"))
    assert watch_folders.latest(host.layout) is None and not watch_control.stop(host.layout, "for a test")


@pytest.mark.parametrize(
    "weaker, words", [({"duration": 20}, "one of 20 s"), ({"auto_rollback": False}, f"one of {10 * HANG:g} s without rollback")]
)
def test_a_weaker_watch_does_not_take_the_place_of_one_that_guards(host, two, watch, ended, weaker, words):
    folder = watch(duration=10 * HANG)
    with pytest.raises(StateError, match=f"guards release r2 for another .* s: expected a new watch .*, found {words}"):
        watch(**{"duration": 10 * HANG, **weaker})
    assert folder.state()["status"] == "running"
    watch_control.stop(host.layout, "for a test")
    assert watch(**weaker).state()["status"] in watch_folders.GOING


def test_what_the_summary_says_of_uptime_and_latency(host, two, own_clock, watch, ended, web):
    answers = iter(["ok"] * 3 + ["bad"])
    web.answers["/up"] = lambda handler, _body: handler.send(200 if next(answers, "ok") == "ok" else 500)
    state = ended(watch(duration=1, checks=health.normalize_all([{"name": "api", "url": web.base + "/up"}])))
    assert state["samples"]["failed"] == 1 and state["samples"]["availability_pct"] < 100
    assert state["samples"]["uptime_status"] == "critical"
    assert state["latency"] == {"api": "inconclusive: there is no baseline"}


def killed_in_its_rollback(host, folder, wait_until, live):
    """Kill a watch as soon as it goes back and *live* is the live release."""
    host.mode("r2", "bad")
    wait_until(lambda: folder.state().get("rolling_back") and host.store.live() == live)
    os.kill(folder.state()["pid"], signal.SIGKILL)
    wait_until(lambda: folder.state()["status"] == "lost")


def begun_again(host, folder, ended, wait_until):
    detach.launch(host.layout, watcher, folder.path, os.path.join(folder.path, "watcher.log"))
    wait_until(lambda: (folder.saved() or {}).get("resumed"))
    return ended(folder)


def gone_back(host, two, state):
    assert (state["verdict"], state["rollback"]["to"], host.store.live()) == ("rolled_back", "r1", "r1"), state
    assert "3 consecutive failed checks" in state["trigger"] and host.statuses() == {"r1": "verified", "r2": "rolled_back"}
    assert (two.status()["status"], two.status()["release"]) == ("running", "r1")
    assert len(incidents(host)) == 1 and last_event(host)["verdict"] == "rolled_back"
    assert len([event for event in host.history() if event["what"] == "rolled_back"]) == 1


def test_a_rollback_that_is_interrupted_before_its_switch_is_done(host, two, watch, ended, wait_until):
    folder = watch(duration=10 * HANG)
    with host.store.switching():  # it waits for this
        killed_in_its_rollback(host, folder, wait_until, "r2")
    gone_back(host, two, begun_again(host, folder, ended, wait_until))


@pytest.mark.parametrize("left", ["running", "stopped"])
def test_a_rollback_that_is_interrupted_in_its_switch_is_finished(host, two, watch, ended, wait_until, left):
    """The link is changed, and the old release is not known to be well: it runs, or it does not."""
    host.mode("r1", "bad")  # waited for
    folder = watch(duration=10 * HANG, ready_timeout=10 * HANG)
    killed_in_its_rollback(host, folder, wait_until, "r1")
    host.mode("r1", "ok")
    if left == "stopped":
        two.stop()
    gone_back(host, two, begun_again(host, folder, ended, wait_until))


def test_a_rollback_that_is_interrupted_and_cannot_be_finished_is_told(host, two, watch, ended, wait_until):
    host.mode("r1", "bad")
    folder = watch(duration=10 * HANG, ready_timeout=10 * HANG)
    killed_in_its_rollback(host, folder, wait_until, "r1")
    fs.write_json(os.path.join(folder.path, "spec.json"), {**folder.spec(), "ready_timeout": 0.5}, mode=0o600)
    state = begun_again(host, folder, ended, wait_until)
    assert state["verdict"] == "frozen" and incidents(host)[0]["severity"] == 1, state


@pytest.mark.parametrize("well", [True, False])
def test_a_rollback_that_is_interrupted_after_its_end_is_not_done_twice(host, two, watch, ended, wait_until, well):
    """Killed between its incident and its last line."""
    host.mode("r1", "ok" if well else "bad")
    folder = watch(duration=10 * HANG, ready_timeout=HANG if well else 0.4)
    host.mode("r2", "bad")
    before = ended(folder)
    verdict = "rolled_back" if well else "frozen"
    assert before["verdict"] == before["decided"] == verdict
    folder.save_state({**before, "status": "running", "rolling_back": "r1", "verdict": None})
    after, restarts = begun_again(host, folder, ended, wait_until), two.status()["restarts"]
    assert (after["verdict"], after["resumed"], after["incident"]) == (verdict, 1, before["incident"])
    assert len(incidents(host)) == 1 and two.status()["restarts"] == restarts
    assert len([event for event in host.history() if event["what"] == "rolled_back"]) == 1


def cut_short(host, target="r1"):
    """A rollback of r2 whose process was killed."""
    switch_journal.Journal.new(host.layout, "rollback", "r2", target, "bad uploads", "mobius").write()


@pytest.mark.parametrize("switched", [True, False])
def test_a_new_watch_finishes_a_rollback_that_was_interrupted_before(host, two, own_clock, watch, ended, switched):
    cut_short(host)
    if switched:
        host.store.point("r1")
    folder = watch()
    state = ended(folder)
    assert (state["verdict"], state["release"], host.store.live()) == ("healthy", "r1", "r1")
    assert "WARN finished the rollback of r2 to r1 that was interrupted" in log_of(folder)
    assert host.statuses() == {"r1": "verified", "r2": "rolled_back"} and switch_journal.unfinished(host.layout) is None
    assert two.status()["release"] == "r1"


def test_a_watch_that_may_not_roll_back_only_says_what_does(host, two, own_clock, watch, ended):
    cut_short(host)
    folder = watch(auto_rollback=False)
    ended(folder)
    assert "WARN The rollback of r2 to r1 was interrupted" in log_of(folder) and host.store.live() == "r2"


def test_a_damaged_journal_does_not_keep_a_watch_from_rolling_back(host, two, watch, ended):
    with open(switch_journal.path(host.layout), "w", encoding="ascii") as stream:
        stream.write("{")
    host.mode("r2", "bad")
    folder = watch(duration=10 * HANG)
    assert ended(folder)["verdict"] == "rolled_back" and "expected the intent of a switch, found " in log_of(folder)
    assert host.store.live() == "r1" and switch_journal.unfinished(host.layout) is None


def test_another_release_that_went_live_after_an_interrupted_rollback_is_left_alone(host, two, watch, ended, wait_until):
    folder = watch(duration=10 * HANG)
    with host.store.switching():
        killed_in_its_rollback(host, folder, wait_until, "r2")
    host.live("r3", status="active")
    state = begun_again(host, folder, ended, wait_until)
    assert (state["verdict"], host.store.live()) == ("inconclusive", "r3") and "r3" in state["trigger"]


def test_a_watch_that_has_ended_does_not_begin_again(host, two, own_clock, watch, ended):
    folder = watch()
    state = ended(folder)
    assert (
        subprocess.run(
            [sys.executable, "-m", watcher.__name__, folder.path],
            env={**os.environ, "PYTHONPATH": detach.code_archive(host.layout)},
            check=False,
        ).returncode
        == 0
    )
    assert folder.state() == state


def test_old_logs_are_removed_and_those_of_others_are_not(host, two, own_clock, watch, ended):
    logs = host.layout.monitor_logs
    mine = [f"{kind}-test-2026010{day}_000000.{end}" for day in range(1, 5) for kind, end in (("monitor", "log"), ("metrics", "jsonl"))]
    others = ["monitor-test-2-20260101_000000.log", "notes.txt"]
    for name in mine + others:
        fs.write_text(os.path.join(logs, name), "")
    watches = host.layout.path("state", "watch")
    for day in range(1, 5):
        os.makedirs(os.path.join(watches, f"2026010{day}_000000"))
        os.utime(os.path.join(watches, f"2026010{day}_000000"), (0, 0))  # a fresh one counts as starting
    folder = watch(keep=3)
    ended(folder)
    assert sorted(os.listdir(watches)) == ["20260103_000000", "20260104_000000", folder.id]
    left = sorted(os.listdir(logs))
    assert set(others) < set(left) and len([name for name in left if name.startswith("monitor-test-20")]) == 3
    assert mine[-2] in left and mine[0] not in left


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("error_rate_pct", 100, "a percentage below 100, found 100"),
        ("latency_pct", -1, "0 or a number above it, found -1"),
        ("window_failures", 11, "at most window_rounds"),
        ("requests", 0, "a number above 0, found 0"),
    ],
)
def test_limits_that_make_no_sense(host, watch, name, value, sentence):
    with pytest.raises(InputError, match=f"watch option {name}: expected {sentence}"):
        watch(window_rounds=10, **{name: value})


def test_the_host_is_looked_at_and_what_stays_critical_opens_one_incident(host, two, own_clock, watch, ended):
    """Thresholds that every host is over."""
    folder = watch(metrics_interval=0.1, thresholds={"disk_pct": [0, 0]}, duration=0.2)
    state = ended(folder)
    with open(folder.spec()["metrics_file"]) as stream:
        looks = [line for line in map(json.loads, stream) if line["what"] == "host"]
    assert len(looks) == 2 and looks[0]["status"] == state["host"] == "critical"
    assert "host metrics critical: " in log_of(folder) and "disk_pct" in log_of(folder)
    (incident,) = incidents(host)
    assert incident["severity"] == 3 and "Make room on" in incident["summary"]
    assert state["verdict"] == "healthy" and host.store.live() == "r2", "a full disk is no matter of the release"


def test_without_psutil_the_watch_goes_on(host, two, ended, wait_until):
    folder = watch_folders.create(
        host.layout,
        {
            "env": "test",
            "service": "mobius",
            "duration": 0.5,
            "interval": 0.1,
            "retry_interval": 0.1,
            "initial_delay": 0,
            "failure_threshold": 3,
            "error_threshold": 3,
            "restart_limit": 3,
            "auto_rollback": True,
            "ready_timeout": HANG,
            "metrics_interval": 0.1,
            "checks": host.checks,
        },
    )
    lines = f"import sys; sys.modules['psutil'] = None; sys.argv = ['watch', {folder.path!r}]; from {watcher.__name__} import main; main()"
    assert (
        subprocess.run(
            [sys.executable, "-c", lines], env={**os.environ, "PYTHONPATH": detach.code_archive(host.layout)}, check=False
        ).returncode
        == 0
    )
    assert folder.state()["verdict"] == "healthy"
    assert "host metrics unknown: host metrics: expected the Python library psutil" in log_of(folder)
