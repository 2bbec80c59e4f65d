# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules node_service and node_service_info on real processes."""

from __future__ import annotations

import itertools
import os
import signal
import socket

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import fs, processes, systemd
from ansible_collections.mobius.ops.plugins.module_utils._deploy import ways
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import json_stores
from ansible_collections.mobius.ops.plugins.modules import node_service, node_service_info

pytestmark = pytest.mark.usefixtures("any_latency")


@pytest.fixture
def do(host, run_module):
    def run(state, check=False, define=True, **options):
        given = host.params(**{"ready_timeout": HANG, **options}) if define else {"root": host.root, "ready_timeout": HANG, **options}
        return run_module(node_service, {**given, "state": state}, check)

    return run


@pytest.fixture
def info(host, run_module):
    return lambda **options: run_module(node_service_info, {"root": host.root, "checks": host.raw_checks, **options})


def test_defined_started_restarted_stopped(do, host, secret):
    host.live("r1")
    assert do("present")["changed"] and not do("present")["changed"]
    first = do("started", checks=host.raw_checks)
    assert first["changed"] and first["status"] == "running" and first["release"] == "r1" and first["ready_after"] >= 0
    assert first["diff"]["before"]["status"] == "stopped" and first["diff"]["after"]["status"] == "running"
    again = do("started")
    assert not again["changed"] and again["pid"] == first["pid"]
    third = do("restarted", define=False, checks=host.raw_checks)
    assert third["changed"] and third["pid"] != first["pid"]
    assert do("stopped", define=False)["status"] == "stopped" and not do("stopped", define=False)["changed"]
    assert secret not in str([first, third])


@pytest.mark.parametrize("state", ["present", "started", "restarted"])
def test_a_file_that_would_leave_the_application_half_configured_stops_nothing(do, host, state):
    host.live("r1")
    pid = do("started", checks=host.raw_checks)["pid"]
    fs.write_text(host.layout.env_file, "A=1\nMY KEY=s3cret\n")
    refused = do(state, environment={"FLAG": "1"})
    assert f"{host.layout.env_file}: expected NAME=value in line 2, with a name of" in refused["msg"] and "s3cret" not in str(refused)
    assert service_registry.load(host.layout, "mobius").status()["pid"] == pid
    stopped = do("stopped", define=False)
    assert stopped["status"] == "stopped" and stopped["changed"], "a stop asks for no such file"


def test_a_supervisor_starts_nothing_with_a_file_that_is_no_good(do, host, wait_until):
    """As after a crash, when no playbook looks at the file: it says why, and gives up as with any other service that does not start."""
    host.live("r1")
    pid = do("started", checks=host.raw_checks)["pid"]
    fs.write_text(host.layout.env_file, "MY KEY=s3cret\n")
    os.kill(pid, signal.SIGKILL)
    service = service_registry.load(host.layout, "mobius")
    wait_until(lambda: service.status()["status"] == "failed")
    said = "".join(service.evidence())
    assert "cannot start" in said and f"{host.layout.env_file}: expected NAME=value in line 1" in said and "s3cret" not in said
    fs.write_text(host.layout.env_file, "A=1\n")
    assert do("started", checks=host.raw_checks)["status"] == "running"


def test_what_is_asked_of_the_application_is_kept_for_root_and_is_part_of_the_definition(do, host):
    host.live("r1")
    check = {"url": f"http://127.0.0.1:{host.port}/jobs", "jobs": "length(jobs)"}
    do("present")
    for more, path in (({"busy_check": check, "secret_headers": {"X-Key": "secret-key"}}, True), ({}, False)):
        assert do("present", **more)["changed"] and not do("present", **more)["changed"]
        kept = os.path.join(host.layout.state, "service", "mobius", "busy.json")
        assert os.path.exists(kept) == path and (not path or os.stat(kept).st_mode & 0o777 == 0o600)
    assert "secret-key" not in str(do("present", busy_check=check, secret_headers={"X-Key": "secret-key"}))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"busy_check": {"url": "http://127.0.0.1/"}}, "busy_check: expected jobs, a JMESPath expression"),
        ({"job_id_pattern": "a("}, "job_id_pattern: expected a regular expression"),
        ({"held_routes": ["/api/render"], "proxy_port": 1, "standby_port": 2}, "held_routes: expected a method and a path, such as"),
        ({"held_routes": ["POST /a }\n bind :1"], "proxy_port": 1, "standby_port": 2}, "held_routes: expected a method and a path"),
    ],
)
def test_mistakes_in_what_is_waited_for_change_nothing(do, host, snapshot, options, words):
    host.live("r1")
    before = snapshot(host.root)
    assert words in do("present", **options)["msg"] and snapshot(host.root) == before


def test_a_running_service_is_restarted_when_its_definition_changed(do, host):
    host.live("r1")
    first = do("started", checks=host.raw_checks)
    second = do("started", checks=host.raw_checks, environment={"MORE": "1"})
    assert second["changed"] and second["pid"] != first["pid"]
    assert second["diff"]["before"]["definition"] != second["diff"]["after"]["definition"]


def test_values_of_yaml_reach_the_service_as_an_env_file_has_them(do, host):
    """As those of ``mobius_dotenv``: no Python's ``True``, and none for null."""
    do("present", environment={"FAST": True, "SLOW": False, "EMPTY": None, "LIMIT": 5001, "TEXT": "True"})
    found = service_registry.load(host.layout, "mobius").spec["environment"]
    assert {name: found.get(name) for name in ("FAST", "SLOW", "EMPTY", "LIMIT", "TEXT")} == {
        "FAST": "true",
        "SLOW": "false",
        "EMPTY": None,
        "LIMIT": "5001",
        "TEXT": "True",
    }


@pytest.mark.parametrize("state", ["present", "started", "restarted", "stopped"])
def test_check_mode_writes_nothing(do, host, snapshot, state):
    host.live("r1")
    before = snapshot(host.root)
    result = do(state, check=True)
    assert result["changed"] and result["diff"]["before"]["definition"] is None and result["diff"]["after"]["definition"]
    assert snapshot(host.root) == before and host.processes() == []


def test_check_mode_does_not_stop_what_runs(do, host):
    host.live("r1")
    pid = do("started", checks=host.raw_checks)["pid"]
    assert do("stopped", check=True)["pid"] == pid and do("restarted", check=True)["pid"] == pid


def test_one_that_does_not_become_ready_fails_with_its_last_lines(do, host, secret):
    host.live("r1", mode="crash")
    result = do("started", checks=host.raw_checks, ready_timeout=HANG)
    assert "expected every readiness check to pass" in result["msg"] and "last: status 3" in result["msg"]
    assert "starts with key ********" in result["evidence"] and secret not in str(result)


@pytest.mark.parametrize(
    "live, define, options, words",
    [
        (True, False, {}, "service mobius: expected a service that was set up"),
        (False, True, {}, "service mobius: expected a live release to run, found none."),
        (True, True, {"command": ["no-such-node"]}, "expected the program 'no-such-node' on the target"),
        (True, True, {"name": "a/b"}, "service name 'a/b'"),
        (True, True, {"checks": [{"url": "x"}]}, "expected a url with http:// or https://"),
    ],
)
def test_bad_input_changes_nothing(do, host, snapshot, live, define, options, words):
    if live:
        host.live("r1")
    before = snapshot(host.root)
    result = do("started", define=define, **options)
    assert result["failed"] and words in result["msg"]
    assert snapshot(host.root) == before


def test_a_port_in_use_by_a_stranger_changes_nothing(do, host, snapshot):
    host.live("r1")
    before = snapshot(host.root)
    with socket.create_server(("127.0.0.1", host.port)):
        result = do("started")
    assert f"port {host.port}: expected nobody or the service mobius to listen, found process {os.getpid()}" in result["msg"]
    assert result["msg"].endswith("Stop that program or give another mobius_port.")
    assert snapshot(host.root) == before


@pytest.mark.parametrize("state", ["started", "restarted"])
def test_a_torn_store_is_not_started_on(do, host, snapshot, monkeypatch, state):
    host.live("r1")
    with open(os.path.join(host.layout.component("database"), "projects.json"), "w") as stream:
        stream.write('{"projects": [')
    monkeypatch.setattr(json_stores, "PATIENCE", 0)
    before = snapshot(host.root)
    result = do(state, checks=host.raw_checks)
    assert "projects.json: expected a JSON document, found none: " in result["msg"] and snapshot(host.root) == before
    assert do(state, checks=host.raw_checks, allow_torn_stores=True)["status"] == "running"


def test_info_is_well(do, info, host, snapshot):
    host.live("r1")
    do("started", checks=host.raw_checks)
    before = snapshot(host.root)
    result = info()
    assert result["well"] and not result["changed"] and "release r1)." in result["message"]
    assert result["health"]["status"] == "normal" and result["health"]["results"][0]["outcome"] == "ok"
    assert snapshot(host.root) == before


def test_info_after_a_kill_has_the_words_that_an_operator_needs(do, info, host, wait_until):
    host.live("r1")
    os.kill(do("started", checks=host.raw_checks)["pid"], signal.SIGKILL)
    wait_until(lambda: info()["health"]["status"] == "normal")
    result = info()
    assert not result["well"] and "SIGKILL" in result["message"] and "restarted" in result["message"]


def test_info_of_a_stopped_and_of_a_sick_service(do, info, host, secret):
    host.live("r1")
    do("started", checks=host.raw_checks)
    host.mode("r1", "bad")
    sick = info()
    assert not sick["well"] and "UNHEALTHY: health: status 500" in sick["message"] and secret not in str(sick)
    assert sick["health"]["status"] == "critical" and sick["health"]["results"][0]["evidence"]
    do("stopped")
    stopped = info()
    assert "DOWN: it was stopped" in stopped["message"] and stopped["health"]["results"] == []
    assert "expected a service that was set up" in info(name="other")["msg"]


@pytest.mark.parametrize("state", ["present", "started", "restarted", "stopped"])
def test_check_mode_on_a_host_that_was_not_set_up(run_module, tmp_path, state):
    options = {"root": str(tmp_path / "m"), "port": 5001, "command": ["no-such-program"], "state": state}
    result = run_module(node_service, options, check=True)
    assert result["changed"] if state == "present" else "expected a host that was set up" in result["msg"]
    assert "expected a host that was set up" in run_module(node_service, options)["msg"] and os.listdir(tmp_path) == []


@pytest.fixture
def proxied(do, host, free_port):
    """A service behind a proxy whose second instance serves; the options that defined it."""
    options = {"proxy_port": free_port(), "standby_port": free_port()}
    host.live("r1")
    host.release("r2")
    do("present", **options)
    checks = [{**host.raw_checks[0], "url": f"http://127.0.0.1:{options['proxy_port']}/health"}]
    for release in ("r1", "r2"):
        ways.of(host.store, service_registry.load(host.layout, "mobius"), health.normalize_all(checks), HANG).switch(release)
    return {**options, "checks": checks}


@pytest.mark.parametrize(
    "changed, words",
    [
        (["standby_port"], "to port {port} and {new} behind the proxy on port {proxy_port} under process"),
        (["port"], "to port {new} and {standby_port} behind the proxy on port {proxy_port} under process"),
        (["proxy_port"], "to port {port} and {standby_port} behind the proxy on port {new} under process"),
        ([], "to port {port} under process"),
    ],
    ids=["standby", "first", "proxy", "none"],
)
def test_what_runs_is_not_lost_by_other_ports(do, host, snapshot, proxied, free_port, changed, words):
    new = free_port()
    numbers = {"port": host.port, **proxied, "new": new}
    given = {**proxied, **dict.fromkeys(changed, new)} if changed else {}
    before = snapshot(host.root)
    for state, check in itertools.product(["present", "started", "restarted", "stopped"], [True, False]):
        said = do(state, check=check, **given)["msg"]
        assert (
            f"service mobius: expected that nothing of it runs when it is moved from port {host.port} and {proxied['standby_port']} "
            f"behind the proxy on port {proxied['proxy_port']} under process {words.format(**numbers)}, "
            f"found mobius@{proxied['standby_port']} running on port {proxied['standby_port']}. Nothing was changed."
        ) in said
        assert said.endswith("End it first: mobius.ops.stop, then mobius.ops.setup, then mobius.ops.restart.")
        assert snapshot(host.root) == before
    assert not do("started", check=True, define=False)["changed"]


@pytest.mark.parametrize("changed", ["standby_port", "port", "proxy_port"])
def test_other_ports_after_a_stop(do, host, proxied, free_port, changed):
    """As the refusal says. Nothing is left of the old ones, and the live release serves."""
    do("stopped", define=False)
    old, options = {"port": host.port, **proxied}, {**proxied, changed: free_port()}
    host.port = options.pop("port", host.port)
    options["checks"] = [{**host.raw_checks[0], "url": f"http://127.0.0.1:{options['proxy_port']}/health"}]
    assert do("present", **options)["changed"] and not do("present", **options)["changed"]
    result = do("restarted", define=False, checks=options["checks"])
    assert result["release"] == "r2" and result["port"] in (host.port, options["standby_port"]), result
    kept = {"mobius", "mobius-proxy", f"mobius@{host.port}", f"mobius@{options['standby_port']}"}
    assert set(os.listdir(host.layout.path("state", "service"))) == kept
    assert changed == "proxy_port" or str(old[changed]) not in os.listdir(host.layout.slots)


def test_a_proxy_that_runs_alone_is_stopped(do, host, proxied):
    """As after a first deploy that failed: no instance runs, and the proxy listens."""
    service = service_registry.load(host.layout, "mobius")
    for instance in service.instances():
        instance.stop()
    assert do("stopped", check=True, define=False)["changed"]
    assert do("stopped", define=False)["changed"] and not service.proxy.answers()
    assert not do("stopped", define=False)["changed"]


def test_from_one_service_to_a_proxy_and_back(do, host, free_port):
    """The service goes on when it gets a proxy on its own port, and when that is taken back before anything was switched."""
    host.live("r1")
    pid = do("started", checks=host.raw_checks)["pid"]
    options = {"proxy_port": free_port(), "standby_port": free_port()}
    refused = do("present", **options, port=free_port())
    assert f"moved from port {host.port} under process to port" in refused["msg"]
    assert f"found mobius running on port {host.port}." in refused["msg"]
    assert do("present", **options)["pid"] == pid
    assert do("present")["pid"] == pid and not do("present")["changed"]
    assert os.listdir(host.layout.path("state", "service")) == ["mobius"]


def test_another_port_of_one_service_takes_effect_with_its_next_start(do, host, free_port):
    host.live("r1")
    do("started", checks=host.raw_checks)
    old, host.port = host.port, free_port()
    assert do("present")["changed"]
    assert do("restarted", define=False, checks=host.raw_checks)["port"] == host.port
    assert not processes.listeners(old)


def test_a_proxy_that_is_refused_leaves_the_definition(do, host, free_port):
    host.live("r1")
    before = do("started", checks=host.raw_checks)["pid"]
    result = do("present", proxy_port=free_port(), standby_port=free_port(), proxy_certificate=host.layout.path("none.pem"))
    assert "expected one that HAProxy accepts" in result["msg"]
    again = do("present")
    assert not again["changed"] and again["pid"] == before and "slots" not in again


def test_another_manager_does_not_lose_what_runs(do, host, monkeypatch):
    host.live("r1")
    do("started", checks=host.raw_checks)
    monkeypatch.setattr(systemd, "show", lambda _unit: {"status": "stopped", "pid": None})
    result = do("present", manager="systemd")
    assert f"under process to port {host.port} under systemd, found mobius running" in result["msg"]


def test_it_names_what_a_running_process_lacks(do, host, secret):
    host.live("r1")
    first = do("started", checks=host.raw_checks)
    assert first["restart_needed"] == [] and first["restart_message"] == ""
    fs.write_text(host.layout.env_file, "MOBIUS_API_KEYS=rotated-key\n", 0o600)
    planned = do("present", check=True, environment={"MORE": "1"}, stop_timeout=7)
    assert planned["changed"] and planned["restart_needed"] == ["MOBIUS_API_KEYS", "MORE", "mobius_stop_timeout"]
    assert do("present")["restart_needed"] == ["MOBIUS_API_KEYS"]
    again = do("restarted", define=False, checks=host.raw_checks)
    assert again["restart_needed"] == [] and again["downtime"] > 0 and again["pid"] != first["pid"]
    assert secret not in str([planned, again]) and "rotated-key" not in str([planned, again])


def test_of_two_instances_the_one_that_serves_counts(do, host, proxied):
    assert do("present", **proxied)["restart_needed"] == []
    fs.write_text(host.layout.env_file, "MOBIUS_API_KEYS=rotated-key\n", 0o600)
    assert do("present", **proxied)["restart_needed"] == ["MOBIUS_API_KEYS"]
    assert do("restarted", define=False, checks=proxied["checks"])["restart_needed"] == []


def test_a_restart_behind_the_proxy_without_checks(do, host, proxied):
    pid = do("started", **proxied)["pid"]
    assert do("restarted", define=False)["pid"] not in (None, pid)
