# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unit files, held against systemd's own verifier where it is installed."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs, systemd
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, systemd_service

#: In continuous integration these tests fail without the tool, instead of being left out unseen.
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze") and not os.environ.get("CI"),
                                   reason="systemd-analyze is not installed")
LIMITS = {"memory_max": "4G", "cpu_quota": "150%", "cpu_weight": "50", "io_weight": "50", "tasks_max": "512"}


@pytest.fixture
def spec(host):
    """A definition whose every text has something to quote."""
    options = host.params(command=[sys.executable, "-c", 'print("a $HOME 100% \\ b")'], host="127.0.0.1", user="daemon",
                          stop_timeout=1, restart_window=60, **LIMITS, environment={"TOKEN_FORMAT": 'a$b "q" 5% \\', "PLAIN": 1})
    return definition.build_spec(host.layout, options)


def lines(text, name):
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(name + "=")]


def test_each_option_has_its_line(host, spec):
    text = systemd.render(spec)
    assert lines(text, "User") == ["daemon"] and lines(text, "MemoryMax") == ["4G"]
    assert lines(text, "WorkingDirectory") == [host.layout.app]
    assert lines(text, "BindReadOnlyPaths") == [f'"{host.layout.current}":"{host.layout.app}"']
    assert lines(text, "EnvironmentFile") == ["-" + host.layout.env_file]
    assert lines(text, "StandardOutput") == ["journal"]
    assert lines(text, "RestartSec") == ["0.05"] and lines(text, "TimeoutStopSec") == ["1"]
    assert lines(text, "StartLimitBurst") == ["3"] and lines(text, "StartLimitIntervalSec") == ["60"]
    assert lines(text, "ReadWritePaths") == [f'"{host.layout.component(name)}"' for name in
                                             ("uploads", "database", "generated", "logs")]
    assert lines(text, "ProtectSystem") == ["strict"] and lines(text, "KillMode") == ["mixed"]


def test_it_is_not_started_while_its_data_is_of_two_times(host, spec):
    guard = f"!{host.layout.state}/restore.swapping.json"
    assert lines(systemd.render(spec), "AssertPathExists") == [guard]
    assert not lines(systemd.render({key: value for key, value in spec.items() if key != "not_while"}), "AssertPathExists")


def test_optional_lines_are_left_out(host, spec):
    text = systemd.render({**spec, "user": None, **dict.fromkeys(LIMITS)})
    assert not lines(text, "User") and not any(lines(text, line) for line, _form, _words in systemd.LIMITS.values())
    old = {key: value for key, value in spec.items() if key not in LIMITS}  # a definition from before there were limits
    assert not lines(systemd.render(old), "CPUQuota")
    without = definition.build_spec(host.layout, host.params(host="127.0.0.1", user=None, environment=None, memory_max=None))
    assert without["memory_max"] is None and "cpu_quota" not in without


def test_limits_of_the_render_work(spec):
    text = systemd.render(spec)
    found = {line: lines(text, line) for line in ("MemoryMax", "CPUQuota", "CPUWeight", "IOWeight", "TasksMax")}
    assert found == {"MemoryMax": ["4G"], "CPUQuota": ["150%"], "CPUWeight": ["50"], "IOWeight": ["50"], "TasksMax": ["512"]}


@pytest.mark.parametrize(("name", "good", "bad"), [
    ("memory_max", ["4G", "1.5G", "50%", "infinity", "1000000"], ["4GB", "lots", "-1"]),
    ("cpu_quota", ["20%", "150%", "12.5%"], ["2", "0%", "50 %", "50%\nUser=root"]),
    ("cpu_weight", ["1", "10000", 50], ["0", "10001", "idle"]),
    ("io_weight", ["1", "10000"], ["0", "10001"]),
    ("tasks_max", ["512", "infinity", "20%", 64], ["0", "-5", "many"]),
])
def test_a_limit_that_systemd_would_not_take_is_refused(name, good, bad):
    for text in good:
        assert systemd.limits({name: text}) == {name: str(text)}
    for text in bad:
        with pytest.raises(InputError, match=f"mobius_{name}: expected "):
            systemd.limits({name: text})
    assert systemd.limits({name: ""}) == systemd.limits({}) == {}


def test_a_command_is_taken_literally(spec):
    (command,) = lines(systemd.render(spec), "ExecStart")
    assert command == f'"{sys.executable}" "-c" "print(\\"a $$HOME 100%% \\\\ b\\")"'


def test_an_environment_is_taken_literally(spec):
    """In Environment= a percent sign stands for something, and a dollar sign does not."""
    assert '"TOKEN_FORMAT=a$b \\"q\\" 5%% \\\\"' in lines(systemd.render(spec), "Environment")
    assert '"PLAIN=1"' in lines(systemd.render(spec), "Environment")


def test_folders_are_taken_literally(spec):
    root = "/srv/100%/mo bius"
    changed = {**spec, "working_dir": root + "/current", "app": root + "/a:b/app", "env_file": root + "/.env",
               "writable": [root + "/$out"]}
    text = systemd.render(changed)
    assert lines(text, "ReadWritePaths") == ['"/srv/100%%/mo bius/$out"']
    assert lines(text, "WorkingDirectory") == ["/srv/100%%/mo bius/a:b/app"]
    assert lines(text, "BindReadOnlyPaths") == [r'"/srv/100%%/mo bius/current":"/srv/100%%/mo bius/a\:b/app"']
    old = {key: value for key, value in changed.items() if key != "app"}  # a definition from before there was that folder
    assert lines(systemd.render(old), "WorkingDirectory") == ["/srv/100%%/mo bius/current"]
    assert not lines(systemd.render(old), "BindReadOnlyPaths")
    assert lines(text, "EnvironmentFile") == ["-/srv/100%%/mo bius/.env"]


def test_no_secret_is_in_the_unit(spec, secret):
    assert secret not in systemd.render(spec)


@pytest.fixture
def unit(spec, tmp_path):
    path = tmp_path / "mobius.service"
    path.write_text(systemd.render({**spec, "command": [shutil.which("true"), *spec["command"][1:]]}))
    return str(path)


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_accepts_the_unit(unit):
    done = analyze("verify", "--man=no", unit)
    complaints = [line for line in done.stderr.splitlines() if "mobius.service" in line]
    assert complaints == []


@needs_systemd
def test_the_sandbox_is_rated_safe(unit):
    """The threshold is in tenths. The same unit without its sandbox is over it."""
    done = analyze("security", "--offline=true", "--no-pager", "--threshold=25", unit)
    if "unrecognized option" in done.stderr and not os.environ.get("CI"):
        pytest.skip("this systemd-analyze is too old for --offline")
    (level,) = re.findall(r"Overall exposure level for mobius\.service: ([0-9.]+)", done.stdout)
    assert done.returncode == 0 and float(level) <= 2.5, done.stdout
    with open(unit, encoding="utf-8") as stream:
        text = stream.read()
    assert systemd.SANDBOX in text
    with open(unit, "w", encoding="utf-8") as stream:
        stream.write(text.replace(systemd.SANDBOX, ""))
    assert analyze("security", "--offline=true", "--no-pager", "--threshold=25", unit).returncode != 0


def test_what_v8_and_ffmpeg_need_is_allowed(spec):
    """V8 writes code that it executes; ffmpeg and the application start threads and children; both listen and connect."""
    text = systemd.render(spec)
    assert "MemoryDenyWriteExecute" not in text and "PrivateNetwork" not in text
    assert lines(text, "SystemCallFilter") == ["@system-service", "~@privileged"]
    assert lines(text, "RestrictAddressFamilies") == ["AF_INET AF_INET6 AF_UNIX"]


@pytest.mark.parametrize("facts, state", [
    ({"ActiveState": "active"}, "running"), ({"ActiveState": "activating", "SubState": "auto-restart"}, "restarting"),
    ({"ActiveState": "activating", "SubState": "start"}, "restarting"), ({"ActiveState": "failed"}, "failed"),
    ({"ActiveState": "inactive"}, "stopped"), ({}, "stopped"), ({"ActiveState": "deactivating"}, "stopped"),
])
def test_states_in_our_words(facts, state):
    assert systemd._state(facts) == state


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl that says what the test wants: this is no machine that systemd has booted."""
    monkeypatch.setattr(systemd, "UNIT_DIR", str(tmp_path))

    def says(text, code=0):
        program = tmp_path / "bin" / "systemctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/calls\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return tmp_path / "calls"
    return says


def test_show(systemctl):
    systemctl(f"ActiveState=active\nSubState=running\nMainPID={os.getpid()}\nNRestarts=2\n"
              "ActiveEnterTimestampMonotonic=1000000\nResult=success\nExecMainStatus=0")
    facts = systemd.show("mobius.service")
    assert (facts["status"], facts["pid"], facts["restarts"], facts["last_exit"]) == ("running", os.getpid(), 2, None)
    assert facts["uptime"] > 0 and facts["started"].endswith("Z")
    systemctl("ActiveState=failed\nMainPID=0\nNRestarts=5\nResult=exit-code\nExecMainStatus=3")
    facts = systemd.show("mobius.service")
    assert (facts["status"], facts["pid"], facts["last_exit"]["how"]) == ("failed", None, "exit-code, status 3")


@pytest.mark.parametrize("code, status, how", [("killed", 9, "SIGKILL"), ("dumped", 11, "SIGSEGV"), ("exited", 3, "status 3")])
def test_the_journal_tells_how_it_ended_before_it_was_restarted(systemctl, code, status, how):
    calls = systemctl(f"ActiveState=active\nMainPID={os.getpid()}\nNRestarts=1\nResult=success")
    program = calls.parent / "bin" / "journalctl"
    program.write_text(f"#!/bin/sh\necho '{{\"EXIT_CODE\": \"{code}\", \"EXIT_STATUS\": \"{status}\", "
                       "\"__REALTIME_TIMESTAMP\": \"1795456392673202\"}'\n")
    program.chmod(0o755)
    assert systemd.show("mobius.service")["last_exit"] == {"when": "2026-11-23T17:53:12Z", "how": how}


def test_what_a_unit_printed_since_it_was_started_on_purpose(systemctl, host):
    program = systemctl("").parent / "bin" / "journalctl"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    service = systemd_service.SystemdService(host.layout, {"name": "mobius@5002"})
    os.makedirs(service.folder)
    assert service.log == "journalctl -u mobius@5002" and "--since" not in service.printed()
    fs.write_text(os.path.join(service.folder, "started"), "1795456392.250\n")
    assert service.printed().splitlines()[-3:] == ["--lines=1000", "--since=@1795456392.250", "_SYSTEMD_UNIT=mobius@5002.service"]


def test_a_program_leaves_the_login_session(systemctl, monkeypatch):
    """With systemd, as root; it is started directly otherwise."""
    program = systemctl("").parent / "bin" / "systemd-run"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(systemd, "is_init", lambda: True)
    argv = systemd.apart(["python3", "-m", "x"], "mobius.ops x")
    assert argv[:2] == ["systemd-run", "--scope"] and argv[-4:] == ["--", "python3", "-m", "x"]
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert systemd.apart(["python3"], "") == ["python3"]
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setattr(systemd, "is_init", lambda: False)
    assert systemd.apart(["python3"], "") == ["python3"]


def test_a_failing_systemctl_is_told(systemctl):
    systemctl("Unit mobius.service not found.", 5)
    with pytest.raises(ServiceError, match=r"systemctl start mobius\.service: expected success, found Unit .* journalctl -u"):
        systemd.systemctl("start", "mobius.service")
    assert systemd.systemctl("stop", "mobius.service", check=False)


def test_the_unit_is_written_once_and_enabled_when_it_is_started(host, spec, systemctl):
    calls = systemctl("")
    service = systemd_service.SystemdService(host.layout, spec)
    assert not service.unit_current()
    service.save()
    assert service.unit_current() and "daemon-reload" in calls.read_text() and "enable" not in calls.read_text()
    calls.unlink()
    service.save()
    assert "daemon-reload" not in calls.read_text()
    service.start()
    service.stop()
    words = calls.read_text().splitlines()
    assert "--no-ask-password enable mobius.service" in words and words[-1].endswith("stop mobius.service") and "disable" not in str(words)


@needs_systemd
def test_systemd_accepts_the_unit_of_a_program_of_ours(tmp_path):
    argv = [sys.executable, "-m", "watch", "/a path/50%"]
    text = systemd.program_unit("watch 100 % of $all", argv, {"PYTHONPATH": "/a b.zip"}, "/tmp/a %.log")
    path = tmp_path / "mobius.service"
    path.write_text(text)
    assert [line for line in analyze("verify", "--man=no", str(path)).stderr.splitlines() if "mobius.service" in line] == []
    assert lines(text, "ExecStart") == [f'"{sys.executable}" "-m" "watch" "/a path/50%%"']
    assert lines(text, "Environment") == ['"PYTHONPATH=/a b.zip"'] and lines(text, "Restart") == ["on-failure"]
    path.write_text(text.replace("Type=exec", "Type=nonsense"))
    assert "nonsense" in analyze("verify", "--man=no", str(path)).stderr
