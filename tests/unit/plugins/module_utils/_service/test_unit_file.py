# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unit files, held against systemd's own verifier where it is installed."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, unit_file

#: In continuous integration these tests fail without the tool, instead of being left out unseen.
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and not os.environ.get("CI"), reason="systemd-analyze is not installed"
)
LIMITS = {"memory_max": "4G", "cpu_quota": "150%", "cpu_weight": "50", "io_weight": "50", "tasks_max": "512"}


@pytest.fixture
def spec(host):
    """A definition whose every text has something to quote."""
    options = host.params(
        command=[sys.executable, "-c", 'print("a $HOME 100% \\ b")'],
        host="127.0.0.1",
        user="daemon",
        stop_timeout=1,
        restart_window=60,
        **LIMITS,
        environment={"TOKEN_FORMAT": 'a$b "q" 5% \\', "PLAIN": 1},
    )
    return definition.build_spec(host.layout, options)


def lines(text, name):
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(name + "=")]


def test_each_option_has_its_line(host, spec):
    text = unit_file.render(spec)
    assert lines(text, "User") == ["daemon"] and lines(text, "MemoryMax") == ["4G"]
    assert lines(text, "WorkingDirectory") == [host.layout.app]
    assert lines(text, "BindReadOnlyPaths") == [f'"{host.layout.current}":"{host.layout.app}"']
    assert not lines(text, "EnvironmentFile"), "systemd reads such a file by rules of its own"
    assert lines(text, "ExecStartPre")[0].endswith(f'"--let-in" "{pwd.getpwnam("daemon").pw_gid}" "{host.layout.env_file}"') or os.geteuid()
    assert lines(text, "SyslogIdentifier") == [os.path.basename(sys.executable)]
    assert lines(text, "StandardOutput") == ["journal"]
    assert lines(text, "RestartSec") == ["0.05"] and lines(text, "TimeoutStopSec") == ["1"]
    assert lines(text, "StartLimitBurst") == ["3"] and lines(text, "StartLimitIntervalSec") == ["60"]
    assert lines(text, "ReadWritePaths") == [f'"{host.layout.component(name)}"' for name in ("uploads", "database", "generated", "logs")]
    assert lines(text, "ProtectSystem") == ["strict"] and lines(text, "KillMode") == ["mixed"]


def test_it_is_not_started_while_its_data_is_of_two_times(host, spec):
    guard = f"!{host.layout.state}/restore.swapping.json"
    assert lines(unit_file.render(spec), "AssertPathExists") == [guard]
    assert not lines(unit_file.render({key: value for key, value in spec.items() if key != "not_while"}), "AssertPathExists")


def test_optional_lines_are_left_out(host, spec):
    text = unit_file.render({**spec, "user": None, **dict.fromkeys(LIMITS)})
    assert not lines(text, "User") and not any(lines(text, line) for line, _form, _words in unit_file.LIMITS.values())
    old = {key: value for key, value in spec.items() if key not in LIMITS}  # a definition from before there were limits
    assert not lines(unit_file.render(old), "CPUQuota")
    without = definition.build_spec(host.layout, host.params(host="127.0.0.1", user=None, environment=None, memory_max=None))
    assert without["memory_max"] is None and "cpu_quota" not in without


def test_limits_of_the_render_work(spec):
    text = unit_file.render(spec)
    found = {line: lines(text, line) for line in ("MemoryMax", "CPUQuota", "CPUWeight", "IOWeight", "TasksMax")}
    assert found == {"MemoryMax": ["4G"], "CPUQuota": ["150%"], "CPUWeight": ["50"], "IOWeight": ["50"], "TasksMax": ["512"]}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("memory_max", ["4G", "1.5G", "50%", "infinity", "1000000"], ["4GB", "lots", "-1"]),
        ("cpu_quota", ["20%", "150%", "12.5%"], ["2", "0%", "50 %", "50%\nUser=root"]),
        ("cpu_weight", ["1", "10000", 50], ["0", "10001", "idle"]),
        ("io_weight", ["1", "10000"], ["0", "10001"]),
        ("tasks_max", ["512", "infinity", "20%", 64], ["0", "-5", "many"]),
    ],
)
def test_a_limit_that_systemd_would_not_take_is_refused(name, good, bad):
    for text in good:
        assert unit_file.limits({name: text}) == {name: str(text)}
    for text in bad:
        with pytest.raises(InputError, match=f"mobius_{name}: expected "):
            unit_file.limits({name: text})
    assert unit_file.limits({name: ""}) == unit_file.limits({}) == {}


def test_a_command_is_taken_literally(spec):
    (command,) = lines(unit_file.render(spec), "ExecStart")
    assert command.endswith(f' "HOST NODE_ENV PLAIN PORT TOKEN_FORMAT" "{sys.executable}" "-c" "print(\\"a $$HOME 100%% \\\\ b\\")"')
    without = {**spec, "env_file": os.devnull}  # the proxy's
    assert lines(unit_file.render(without), "ExecStart") == [f'"{sys.executable}" "-c" "print(\\"a $$HOME 100%% \\\\ b\\")"']


def test_an_environment_is_taken_literally(spec):
    """In Environment= a percent sign stands for something, and a dollar sign does not."""
    assert '"TOKEN_FORMAT=a$b \\"q\\" 5%% \\\\"' in lines(unit_file.render(spec), "Environment")
    assert '"PLAIN=1"' in lines(unit_file.render(spec), "Environment")


def test_folders_are_taken_literally(spec):
    root = "/srv/100%/mo bius"
    changed = {
        **spec,
        "working_dir": root + "/current",
        "app": root + "/a:b/app",
        "env_file": root + "/shared/config/.env",
        "writable": [root + "/$out"],
    }
    text = unit_file.render(changed)
    assert lines(text, "ReadWritePaths") == ['"/srv/100%%/mo bius/$out"']
    assert lines(text, "WorkingDirectory") == ["/srv/100%%/mo bius/a:b/app"]
    assert lines(text, "BindReadOnlyPaths") == [r'"/srv/100%%/mo bius/current":"/srv/100%%/mo bius/a\:b/app"']
    old = {key: value for key, value in changed.items() if key != "app"}  # a definition from before there was that folder
    assert lines(unit_file.render(old), "WorkingDirectory") == ["/srv/100%%/mo bius/current"]
    assert not lines(unit_file.render(old), "BindReadOnlyPaths")
    assert '"/srv/100%%/mo bius/lib/dotenv.py" "/srv/100%%/mo bius/shared/config/.env"' in lines(text, "ExecStart")[0]


def test_no_secret_is_in_the_unit(spec, secret):
    assert secret not in unit_file.render(spec)


@pytest.fixture
def unit(spec, tmp_path):
    path = tmp_path / "mobius.service"
    path.write_text(unit_file.render({**spec, "command": [shutil.which("true"), *spec["command"][1:]]}))
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
    assert unit_file.SANDBOX in text
    with open(unit, "w", encoding="utf-8") as stream:
        stream.write(text.replace(unit_file.SANDBOX, ""))
    assert analyze("security", "--offline=true", "--no-pager", "--threshold=25", unit).returncode != 0


def test_what_v8_and_ffmpeg_need_is_allowed(spec):
    """V8 writes code that it executes; ffmpeg and the application start threads and children; both listen and connect."""
    text = unit_file.render(spec)
    assert "MemoryDenyWriteExecute" not in text and "PrivateNetwork" not in text
    assert lines(text, "SystemCallFilter") == ["@system-service", "~@privileged"]
    assert lines(text, "RestrictAddressFamilies") == ["AF_INET AF_INET6 AF_UNIX"]


@needs_systemd
def test_systemd_accepts_the_unit_of_a_program_of_ours(tmp_path):
    argv = [sys.executable, "-m", "watch", "/a path/50%"]
    text = unit_file.program_unit("watch 100 % of $all", argv, {"PYTHONPATH": "/a b.zip"}, "/tmp/a %.log")
    path = tmp_path / "mobius.service"
    path.write_text(text)
    assert [line for line in analyze("verify", "--man=no", str(path)).stderr.splitlines() if "mobius.service" in line] == []
    assert lines(text, "ExecStart") == [f'"{sys.executable}" "-m" "watch" "/a path/50%%"']
    assert lines(text, "Environment") == ['"PYTHONPATH=/a b.zip"'] and lines(text, "Restart") == ["on-failure"]
    path.write_text(text.replace("Type=exec", "Type=nonsense"))
    assert "nonsense" in analyze("verify", "--man=no", str(path)).stderr


@needs_systemd
@pytest.mark.parametrize("becomes_user", [False, True])
@pytest.mark.parametrize("writable", [("/opt/my apps/mobius", "/etc/systemd/system"), ()])
def test_the_sandbox_of_a_watch(tmp_path, writable, becomes_user):
    """It has one where it may write to something only; what a migration needs is given back to it only when there is one."""
    text = unit_file.program_unit("watch", [shutil.which("true")], {}, "/tmp/log", writable, becomes_user)
    path = tmp_path / "mobius-watch.service"
    path.write_text(text)
    assert [line for line in analyze("verify", "--man=no", str(path)).stderr.splitlines() if "mobius-watch" in line] == []
    assert lines(text, "ReadWritePaths") == [f'"{path}"' for path in writable]
    allowed = " ".join(lines(text, "CapabilityBoundingSet"))
    assert ("CAP_SETUID" in allowed) == ("CAP_KILL" in allowed) == bool(writable and becomes_user)
    assert ("CAP_DAC_READ_SEARCH" in allowed) == bool(writable)
