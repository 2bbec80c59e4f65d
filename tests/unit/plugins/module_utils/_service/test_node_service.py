# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A supervised service: real processes that are killed, crash, ignore SIGTERM, and leave children."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
import stat
import sys
import urllib.request

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, ServiceError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, detach, supervisor, systemd_service
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry


def status(service):
    return service.status()["status"]


def supervisor_of(service):
    with open(os.path.join(service.folder, "status.json")) as stream:
        return json.load(stream)["supervisor_pid"]


def test_it_starts_from_the_live_release_and_is_described(host):
    host.live("r1")
    service = host.serve()
    facts = service.status()
    assert facts["status"] == "running" and facts["release"] == "r1" and facts["port"] == host.port
    assert facts["restarts"] == 0 and facts["last_exit"] is None and facts["uptime"] >= 0
    assert processes.working_dir(facts["pid"]) == os.path.realpath(host.layout.app)
    with urllib.request.urlopen(f"http://127.0.0.1:{host.port}/health", timeout=HANG) as answer:
        assert json.load(answer)["release"] == "r1"


def test_secrets_reach_it_by_environment_only(host, secret, wait_until):
    host.live("r1")
    service = host.service(environment={"EXTRA": 5})
    service.start()
    pid = wait_until(lambda: service.status()["pid"])
    with open(f"/proc/{pid}/environ") as stream:
        variables = dict(part.split("=", 1) for part in stream.read().split("\0") if part)
    assert variables["MOBIUS_API_KEYS"] == secret and variables["EXTRA"] == "5"
    assert variables["PORT"] == str(host.port) and variables["NODE_ENV"] == "production"
    assert not {name for name in variables if name.startswith(("PYTEST", "PYTHON"))}
    wait_until(lambda: processes.port_answers(host.port))
    assert host.files_with(secret) == ["shared/logs/console.log"]  # what the application itself has printed


def test_starting_twice_is_one_service(host):
    host.live("r1")
    service = host.serve()
    pid = service.status()["pid"]
    service.start()
    assert service.status()["pid"] == pid and len(host.processes()) == 2


@pytest.mark.parametrize("kind", ["link", "name", "pipe", "folder"])
def test_its_console_is_a_file_of_its_own(host, tmp_path, kind, wait_until):
    """The folder belongs to the service: one that was broken into must not make root write elsewhere, wait, or tell secrets."""
    host.live("r1")
    service, stranger = host.service(), tmp_path / "shadow"
    console = service.spec["console_log"]
    stranger.write_text("root:secret\n")
    os.makedirs(os.path.dirname(console), exist_ok=True)
    {
        "link": lambda: os.symlink(stranger, console),
        "name": lambda: os.link(stranger, console),
        "pipe": lambda: os.mkfifo(console),
        "folder": lambda: os.mkdir(console),
    }[kind]()
    assert service.evidence() == []
    service.start()
    wait_until(lambda: service.evidence() and "starts with key" in service.evidence()[0])
    assert stranger.read_text() == "root:secret\n"


def test_a_second_supervisor_of_a_folder_gives_way(host):
    host.live("r1")
    service = host.serve()
    supervisor.Supervisor(service.folder).run()
    assert status(service) == "running"


def test_it_is_stopped_with_its_supervisor(host, wait_until):
    host.live("r1")
    service = host.serve()
    service.stop()
    assert status(service) == "stopped" and service.status()["pid"] is None
    wait_until(lambda: not host.processes())
    service.stop()
    assert status(service) == "stopped"


def test_stopping_what_never_ran(host):
    host.live("r1")
    service = host.service()
    service.stop()
    assert status(service) == "stopped"


def test_after_a_kill_it_is_started_again_and_that_is_told(host, wait_until):
    host.live("r1")
    service = host.serve()
    first = service.status()["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: service.status()["restarts"] == 1 and status(service) == "running")
    facts = service.status()
    assert facts["pid"] != first and facts["last_exit"]["how"] == "SIGKILL"
    wait_until(lambda: processes.port_answers(host.port))


def test_a_crash_loop_is_given_up(host, wait_until):
    host.live("r1", mode="crash")
    service = host.service(restart_limit=2, restart_delay=0.01)
    service.start()
    wait_until(lambda: status(service) == "failed")
    facts = service.status()
    assert facts["restarts"] == 2 and facts["last_exit"]["how"] == "status 3" and facts["pid"] is None
    wait_until(lambda: not host.processes())
    assert [line for line in service.evidence() if "starts with key" in line]
    host.mode("r1", "ok")
    service.start()
    assert status(service) == "running" and service.status()["restarts"] == 0


def test_old_exits_do_not_count(host, wait_until):
    host.live("r1", mode="crash")
    service = host.service(restart_limit=1, restart_delay=0.1, restart_window=0.1)
    service.start()
    wait_until(lambda: service.status()["restarts"] >= 3)
    assert status(service) in ("running", "restarting")
    service.stop()


def test_a_program_that_cannot_be_started_is_told(host, wait_until):
    host.live("r1")
    service = host.service(restart_limit=1, restart_delay=0.01)
    service.spec["command"] = ["/no/such/program"]
    service.start()
    wait_until(lambda: status(service) == "failed")
    assert service.status()["last_exit"]["how"] == "status 127"
    assert any("cannot start /no/such/program" in line for line in service.evidence())


def test_one_that_ignores_sigterm_is_killed_in_time(host, wait_until):
    host.live("r1", mode="deaf")
    service = host.service(stop_timeout=0.3)
    service.start()
    wait_until(lambda: processes.port_answers(host.port))
    service.stop()
    assert status(service) == "stopped"
    wait_until(lambda: not host.processes())


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_its_children_do_not_outlive_it(host, wait_until, how):
    host.live("r1", mode="child")
    service = host.serve()
    assert len(host.processes()) == 3  # supervisor, service, its child
    pid = service.status()["pid"]
    if how == "stop":
        service.stop()
        wait_until(lambda: not host.processes())
    else:
        host.mode("r1", "ok")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: service.status()["restarts"] == 1 and len(host.processes()) == 2)


def test_without_its_supervisor_it_is_unsupervised_and_taken_over(host, wait_until):
    host.live("r1")
    service = host.serve()
    orphan = service.status()["pid"]
    os.kill(supervisor_of(service), signal.SIGKILL)
    wait_until(lambda: status(service) == "unsupervised")
    assert service.status()["pid"] == orphan
    service.start()
    assert status(service) == "running" and service.status()["pid"] != orphan
    wait_until(lambda: len(host.processes()) == 2)


def test_an_unsupervised_one_can_be_stopped(host, wait_until):
    host.live("r1")
    service = host.serve()
    os.kill(supervisor_of(service), signal.SIGKILL)
    wait_until(lambda: status(service) == "unsupervised")
    service.stop()
    assert status(service) == "stopped"
    wait_until(lambda: not host.processes())


def test_both_killed_is_killed_and_nobody_stopped_it(host, wait_until):
    host.live("r1")
    service = host.serve()
    os.kill(supervisor_of(service), signal.SIGKILL)
    os.kill(service.status()["pid"], signal.SIGKILL)
    wait_until(lambda: status(service) == "killed")
    service.start()
    assert status(service) == "running"


def test_a_process_that_got_the_old_id_is_not_taken_for_the_service(host, wait_until):
    host.live("r1")
    service = host.serve()
    service.stop()
    path = os.path.join(service.folder, "status.json")
    with open(path) as stream:
        facts = json.load(stream)
    facts.update(state="running", pid=os.getpid(), ticks=1, supervisor_pid=os.getpid(), supervisor_ticks=1)
    with open(path, "w") as stream:
        json.dump(facts, stream)
    assert status(service) == "killed" and service.status()["pid"] is None
    service.stop()  # must not end this very process
    assert status(service) == "stopped"


def test_a_restart_takes_the_release_that_is_live_then(host, wait_until):
    host.live("r1")
    service = host.serve()
    host.live("r2")
    assert service.status()["release"] == "r1"
    service.restart()
    assert service.status()["release"] == "r2"


def test_a_supervisor_that_cannot_work_is_told_with_its_last_lines(host):
    host.live("r1")
    service = host.service()
    service.spec["console_log"] = host.layout.path("no", "such", "console.log")
    with pytest.raises(ServiceError, match=r"its supervisor to start within .* s, found .*No such file"):
        service.start()


def test_a_stranger_on_the_port_is_named(host):
    host.live("r1")
    service = host.service()
    words = f"port {host.port}: expected nobody or the service mobius to listen, found process {os.getpid()}"
    with socket.create_server(("127.0.0.1", host.port)), pytest.raises(StateError, match=words):
        service.require_port()
    service.require_port()


def test_the_service_and_its_children_are_no_strangers(host):
    host.live("r1")
    service = host.serve()
    service.require_port()


@pytest.mark.parametrize("how", ["start", "stop"])
def test_children_of_a_service_that_was_killed_with_its_supervisor_are_ended(how, host, wait_until):
    host.live("r1", mode="child")
    service = host.serve()
    host.mode("r1", "ok")
    os.kill(supervisor_of(service), signal.SIGKILL)
    os.kill(service.status()["pid"], signal.SIGKILL)
    wait_until(lambda: status(service) == "killed")
    assert len(host.processes()) == 1
    getattr(service, how)()
    wait_until(lambda: len(host.processes()) == {"start": 2, "stop": 0}[how], what="the child is gone")


def test_definitions_are_kept_without_secrets(host, secret):
    service = host.service()
    path = os.path.join(service.folder, "spec.json")
    with open(path) as stream:
        text = stream.read()
    assert secret not in text and json.loads(text) == service.spec == service.saved()
    assert service_registry.load(host.layout, "mobius").spec == service.spec
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o022 == 0


def test_what_was_not_set_up_is_told(host):
    with pytest.raises(StateError, match="service mobius: expected a service that was set up"):
        service_registry.load(host.layout, "mobius")
    with pytest.raises(InputError, match="service name"):
        service_registry.load(host.layout, "../x")


def test_a_command_that_is_not_there_is_told(host):
    with pytest.raises(InputError, match="the program 'no-such-node' on the target"):
        host.service(command=["no-such-node", "x"])


def test_managers(host, monkeypatch):
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert definition.default_manager() == "systemd"
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert definition.default_manager() == "process", "an ordinary user cannot write units of the system"
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    assert definition.default_manager() == "process"
    assert isinstance(service_registry.service_for(host.layout, {"name": "a", "manager": "systemd"}), systemd_service.SystemdService)


@pytest.mark.parametrize("code, text", [(0, "status 0"), (3, "status 3"), (-9, "SIGKILL"), (-15, "SIGTERM"), (-63, "signal 63")])
def test_exits_in_words(code, text):
    with contextlib.suppress(ValueError):
        text = signal.Signals(-code).name if code < 0 else text
    assert processes.exit_text(code) == text


def test_another_account_is_asked_of_popen():
    assert supervisor.account(None) == supervisor.account(pwd.getpwuid(os.getuid()).pw_name) == {}
    assert set(supervisor.account("nobody")) == {"user", "group", "extra_groups"}


@pytest.mark.parametrize("then", ["start", "stop"])
def test_a_supervisor_that_a_killed_command_has_just_started_is_waited_for(host, monkeypatch, then):
    """It comes up late, and nobody but the lock that it inherited tells of it."""
    host.live("r1")
    service = host.service()
    real = detach.command

    def late(layout, util, argument):
        argv, env = real(layout, util, argument)
        return [sys.executable, "-c", f"import os, time; time.sleep(0.5); os.execv({argv[0]!r}, {argv!r})"], env

    child = os.fork()
    if not child:
        monkeypatch.setattr(detach, "command", late)
        monkeypatch.setattr(processes, "start_ticks", lambda _pid: os.kill(os.getpid(), signal.SIGKILL))
        try:
            service.start()
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]) and service.status()["status"] == "stopped"
    getattr(service, then)()
    assert service.status()["status"] in (("running", "restarting", "starting") if then == "start" else ("stopped",))
    assert then == "start" or not host.processes()
