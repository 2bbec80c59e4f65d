# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ``systemctl`` and the journal tell, in our words."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs, systemd
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, systemd_service


@pytest.mark.parametrize(
    "facts, state",
    [
        ({"ActiveState": "active"}, "running"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "restarting"),
        ({"ActiveState": "activating", "SubState": "start"}, "restarting"),
        ({"ActiveState": "failed"}, "failed"),
        ({"ActiveState": "inactive", "Job": ""}, "stopped"),  # as systemctl prints it when there is none
        ({}, "stopped"),
        ({"ActiveState": "inactive", "Job": "77"}, "restarting"),  # between the end of its process and the next one
        ({"ActiveState": "deactivating", "Job": ""}, "restarting"),  # nobody has asked for that: its process ended by itself
        ({"ActiveState": "deactivating", "Job": "77"}, "stopped"),
    ],
)
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
    systemctl(
        f"ActiveState=active\nSubState=running\nMainPID={os.getpid()}\nNRestarts=2\n"
        "ActiveEnterTimestampMonotonic=1000000\nResult=success\nExecMainStatus=0"
    )
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
    program.write_text(
        f'#!/bin/sh\necho \'{{"EXIT_CODE": "{code}", "EXIT_STATUS": "{status}", "__REALTIME_TIMESTAMP": "1795456392673202"}}\'\n'
    )
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


def test_the_unit_is_written_once_and_enabled_when_it_is_started(host, systemctl):
    calls = systemctl("")
    spec = definition.build_spec(host.layout, host.params(host="127.0.0.1", user="daemon", environment={}, memory_max=None))
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
