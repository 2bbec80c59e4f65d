# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which settings and secrets a running process does not have yet."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from unittest import mock

import pytest
from support.fake_systemd import FakeSystemd

from ansible_collections.mobius.ops.plugins.module_utils._core import fs, processes
from ansible_collections.mobius.ops.plugins.module_utils._core import systemd as core_systemd
from ansible_collections.mobius.ops.plugins.module_utils._service import drift, unit_file
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry


def dotenv(host, text):
    """Replace the secrets, as setup does."""
    fs.write_text(host.layout.env_file, text, 0o600)


@pytest.fixture(autouse=True)
def old_processes(monkeypatch):
    """A process has run for a while when a setting changes."""
    monkeypatch.setattr(drift, "SLACK", 0.0)


def test_a_service_that_was_just_started_has_everything(host, secret):
    host.live("r1")
    service = host.serve()
    assert service.restart_needed() == []
    assert host.files_with(secret) == ["shared/logs/console.log"]
    service.stop()
    dotenv(host, "MOBIUS_API_KEYS=rotated-key\n")
    assert service.restart_needed() == [], "what does not run has no environment"


def test_changed_new_and_removed_secrets_are_named_until_the_restart(host):
    host.live("r1")
    dotenv(host, 'MOBIUS_API_KEYS=first-key\nKEPT="kept value"\nGONE=removed-value\n')
    service = host.serve()
    dotenv(host, 'MOBIUS_API_KEYS=rotated-key\nKEPT="kept value"\nNEW=new-value\n')
    assert service.restart_needed() == ["GONE", "MOBIUS_API_KEYS", "NEW"]
    service.restart()
    assert service.restart_needed() == []


def test_a_crash_brings_the_changed_secrets(host, wait_until):
    host.live("r1")
    service = host.serve()
    pid = service.status()["pid"]
    dotenv(host, "MOBIUS_API_KEYS=rotated-key\n")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: service.status()["pid"] not in (None, pid))
    assert service.restart_needed() == []


def test_a_changed_definition_is_named_by_its_settings(host):
    host.live("r1")
    host.serve()
    service = host.service(environment={"FLAG": "1"}, memory_max="2G", stop_timeout=7)
    assert service.restart_needed() == ["FLAG", "mobius_memory_max", "mobius_stop_timeout"]
    assert host.service().restart_needed() == [], "it was taken back"


def test_a_definition_that_is_about_to_change_counts(host):
    host.live("r1")
    host.serve()
    planned = service_registry.service_for(host.layout, {**host.service().spec, "user": "other"})
    assert planned.restart_needed(changes=True) == ["mobius_user"]


def test_a_supervisor_keeps_the_old_definition_through_a_crash(host, wait_until):
    host.live("r1")
    pid = host.serve().status()["pid"]
    service = host.service(environment={"FLAG": "1"}, stop_timeout=7)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: service.status()["pid"] not in (None, pid))
    assert service.restart_needed() == ["FLAG", "mobius_stop_timeout"]


def test_a_service_that_earlier_code_has_started(host):
    """It has no record: its environment tells what it can, and nothing is made up."""
    host.live("r1")
    service = host.serve()
    os.unlink(os.path.join(service.folder, drift.RECORD))
    assert service.restart_needed() == []
    changed = host.service(stop_timeout=7)
    assert changed.restart_needed() == []
    dotenv(host, "MOBIUS_API_KEYS=rotated-key\n")
    assert changed.restart_needed() == ["MOBIUS_API_KEYS"]


def test_a_file_that_the_process_has_read_is_not_compared(host, monkeypatch):
    """An earlier version let systemd read the file, by other rules: that is no change."""
    host.live("r1")
    service = host.serve()
    other = {**processes.environment(service.status()["pid"]), "MOBIUS_API_KEYS": "read in another way"}
    monkeypatch.setattr(processes, "environment", lambda _pid: other)
    assert service.restart_needed() == []
    dotenv(host, "MOBIUS_API_KEYS=rotated-key\n")
    assert service.restart_needed() == ["MOBIUS_API_KEYS"]
    os.unlink(host.layout.env_file)
    assert service.restart_needed() == ["MOBIUS_API_KEYS"]


def test_a_full_disk_keeps_nobody_from_starting(host, monkeypatch):
    host.live("r1")
    host.serve().stop()
    monkeypatch.setattr(fs, "write_json", mock.Mock(side_effect=OSError(28, "No space left on device")))
    drift.note(service_registry.load(host.layout, "mobius").spec, host.layout.path("state", "service", "mobius"))
    drift.claim(host.layout.path("state", "service", "mobius"), os.getpid())
    assert drift.RECORD not in os.listdir(host.layout.path("state", "service", "mobius")), "the one of before would be wrong"


def test_an_environment_that_cannot_be_read_is_unknown(host, monkeypatch):
    host.live("r1")
    service = host.serve()
    dotenv(host, "MOBIUS_API_KEYS=rotated-key\n")
    for found in (None, {}):
        monkeypatch.setattr(processes, "environment", lambda _pid, found=found: found)
        assert service.restart_needed() == []


def test_the_environment_of_a_process():
    found = processes.environment(os.getpid())
    assert found and found.get("PATH")
    assert processes.environment(2**22 + 1) is None


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """As much of systemd as units need, beside the machine's."""
    fake = FakeSystemd(str(tmp_path / "systemd"))
    fake.install()
    monkeypatch.setattr(core_systemd, "UNIT_DIR", fake.units)
    monkeypatch.setenv("PATH", os.path.dirname(fake.program) + os.pathsep + os.environ["PATH"])
    yield fake
    for unit in fake.active():
        os.killpg(fake.pid(unit), signal.SIGKILL)


def test_systemd_names_settings_and_the_unit(host, systemd, wait_until, monkeypatch):
    host.live("r1")
    service = host.service(manager="systemd")
    service.start()
    wait_until(lambda: processes.port_answers(host.port))
    assert service.restart_needed() == []
    changed = host.service(manager="systemd", environment={"FLAG": "1"}, memory_max="2G")
    assert changed.restart_needed() == ["FLAG", "mobius_memory_max"]
    assert host.service(manager="systemd").restart_needed() == []
    monkeypatch.setattr(unit_file, "SANDBOX", unit_file.SANDBOX + "LockPersonality=false\n")
    other = host.service(manager="systemd")
    assert other.restart_needed() == ["unit"]
    other.stop()
    other.start()
    assert other.restart_needed() == []


def test_systemd_applies_a_changed_unit_when_it_starts_the_service_again(host, systemd, secret, wait_until):
    """After a crash or a reboot, which leave no trace in the record."""
    host.live("r1")
    host.service(manager="systemd").start()
    changed = host.service(manager="systemd", memory_max="2G")
    wait_until(lambda: changed.restart_needed() == ["mobius_memory_max"])  # a process that is being started is not compared
    systemd.reboot()
    wait_until(lambda: processes.port_answers(host.port))
    assert changed.restart_needed() == []
    dotenv(host, f"MOBIUS_API_KEYS={secret}\nNEW=1\n")
    assert changed.restart_needed() == ["NEW"], "the record is of the start before"
    other = host.service(manager="systemd")
    assert other.restart_needed() == ["NEW", "unit"], "which is as in the record, and not as in the process"


def test_a_definition_that_is_kept_again_is_no_change(host, systemd, monkeypatch, secret, wait_until):
    """Of a unit that stayed the same, neither the record nor the secrets are compared."""
    host.live("r1")
    service = host.service(manager="systemd")
    service.start()
    wait_until(lambda: processes.port_answers(host.port))
    path = os.path.join(service.folder, drift.RECORD)
    record = fs.read_json(path)
    fs.write_json(path, {**record, "settings": {**record["settings"], "memory_max": "1G"}})
    monkeypatch.setattr(drift, "environment", lambda spec: {**spec["environment"], "MOBIUS_API_KEYS": "read in another way"})
    fs.write_json(os.path.join(service.folder, "spec.json"), service.spec)
    assert service.restart_needed() == []
    service.spec["environment"]["FLAG"] = "1"
    assert service.restart_needed() == ["FLAG"], "as when a proxy is set up in front of it, and its own unit stays"


def test_a_unit_of_an_earlier_version_is_replaced_and_the_service_goes_on_until_its_next_start(host, systemd, wait_until):
    """It let systemd read the `.env`, and nothing lay in `lib`."""
    host.live("r1")
    dotenv(host, 'KEY="value" # comment\n')
    old = host.service(manager="systemd")
    text = re.sub(
        r"ExecStart=.*",
        lambda _match: f"EnvironmentFile=-{host.layout.env_file}\nExecStart=" + core_systemd.command_line(old.spec["command"]),
        unit_file.render(old.spec),
    )
    fs.write_text(os.path.join(systemd.units, old.unit), text)
    shutil.rmtree(host.layout.path("lib"))
    systemd.do("start", old.unit)
    pid = systemd.pid(old.unit)
    assert not old.unit_current()
    migrated = host.service(manager="systemd")
    assert migrated.unit_current() and systemd.pid(old.unit) == pid
    os.unlink(host.layout.path("lib", "dotenv.py"))
    assert not migrated.unit_current(), "the unit names it"
    migrated.save()
    systemd.reboot()
    migrated.start()
    wait_until(lambda: (processes.environment(systemd.pid(old.unit)) or {}).get("KEY") == "value")


@pytest.mark.parametrize("manager", ["process", "systemd"])
def test_a_variable_that_is_set_twice(host, systemd, manager, wait_until):
    """The definition comes first, under both managers."""
    host.live("r1")
    dotenv(host, "BOTH=of the file\n")
    service = host.service(manager=manager, environment={"BOTH": "of the definition"})
    service.start()
    wait_until(lambda: processes.port_answers(host.port))
    os.utime(host.layout.env_file)
    assert drift.newer(host.layout.env_file, time.time() - 5) and service.restart_needed() == []
    assert processes.environment(service.status()["pid"])["BOTH"] == "of the definition"
    service.stop()
