# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module on a real service: what it may do, and that it does no more."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
from support.remains import end_all
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_record, shared_folders
from ansible_collections.mobius.ops.plugins.modules import diagnosis

pytestmark = pytest.mark.usefixtures("any_latency")


@pytest.fixture
def service(host):
    """A service that runs, with all its folders."""
    host.live("r1")
    made = host.serve()
    shared_folders.save(host.layout, shared_folders.normalize(None))
    for component in ("database", "uploads", "generated", "logs"):
        shared_folders.complete(host.layout.component(component), shared_folders.load(host.layout), component)
    yield made
    pid = made.status()["pid"]
    if pid:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def diagnose(host, run_module):
    def run(check=False, **options):
        options = {"checks": [{"url": f"http://127.0.0.1:{host.port}/health", "timeout": 2}], "window": 1, "ready_timeout": HANG, **options}
        return run_module(diagnosis, {"root": host.root, "env": "production", **options}, check=check)

    return run


def names(result):
    return [cause["name"] for cause in result["causes"]]


def test_a_service_that_is_well(service, diagnose):
    result = diagnose(fix=True)
    assert (result["changed"], result["well"], result["causes"], result["fixed"]) == (False, True, [], "")
    assert result["message"] == "mobius is well: every check passes, and nothing was found."
    assert "after" not in result and "incident" not in result


def test_a_process_that_was_stopped_goes_on_when_that_is_asked_for(service, diagnose, host):
    pid = service.status()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: processes.stat_fields(pid)[0] == "T")
    for result in (diagnose(), diagnose(fix=True, check=True)):
        assert names(result) == ["stopped"] and not result["changed"] and processes.stat_fields(pid)[0] == "T"
        assert result["message"] == f"Process {pid} was stopped (SIGSTOP) and has not gone on. Let it go on: kill -CONT {pid}."
    result = diagnose(fix=True, fleet="2026-11-27 web1 web2")
    assert result["incident"].startswith("INC-20261127-F")
    assert result["changed"] and result["after"] == [] and result["message"].endswith("goes on (SIGCONT). The service is well.")
    event = next(event for event in host.history() if event["what"] == "mended")
    assert (event["cause"], event["left"]) == ("stopped", [])
    record = incident_record.read(host.layout, result["incident"])
    assert (record["cause"], record["severity"], record["status"]) == ("diagnosis stopped", 3, "resolved")
    assert record["events"][-1]["itself"]


def test_a_service_that_was_killed_with_its_supervisor_does_not_run(service, diagnose, host):
    os.kill(service._read()["supervisor_pid"], signal.SIGKILL)  # first, for it would start the service again
    end_all(host.root)
    result = diagnose()
    assert names(result) == ["not_running"] and not result["well"] and "it is killed" in result["causes"][0]["evidence"]
    result = diagnose(fix=True)
    assert result["after"] == [] and service.status()["status"] == "running", result


def test_folders_that_are_missing_are_made(service, diagnose, host):
    gone = os.path.join(host.layout.component("uploads"), ".root")
    shutil.rmtree(gone)
    result = diagnose()
    assert names(result) == ["folder_not_writable"] and result["causes"][0]["evidence"] == [f"{gone}: ENOENT"]
    result = diagnose(fix=True)
    assert result["after"] == [] and os.path.isdir(os.path.join(gone, "thumbnails"))


def test_what_is_a_persons_to_mend_is_left(service, diagnose, host):
    uploads = os.path.join(host.layout.component("uploads"), ".root")
    shutil.rmtree(uploads)
    with open(uploads, "w"):
        pass
    result = diagnose(fix=True)
    assert result["failed"] and "expected a folder, or nothing, found something else" in result["msg"]
    assert names(result) == ["folder_not_writable"] and os.path.isfile(uploads)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"window": 0}, "window: expected a number above 0, found 0"),
        ({"interrupt": True}, "interrupt: expected fix and inspect with it, found it alone"),
        ({"interrupt": True, "fix": True}, "mobius_diagnose_inspect"),
        ({"name": "other"}, "service other: expected a service that was set up"),
    ],
)
def test_requests_that_cannot_be(service, diagnose, options, words):
    result = diagnose(**options)
    assert result["failed"] and words in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
@pytest.mark.parametrize("limit, files, cause", [("size=64k", 1, "disk_full"), ("size=8m,nr_inodes=40", 60, "inodes_full")])
def test_a_file_system_that_is_full(service, diagnose, host, limit, files, cause):
    folder = host.layout.component("generated")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", limit + ",mode=777", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount here")
    try:
        shared_folders.complete(folder, shared_folders.load(host.layout), "generated")
        with pytest.raises(OSError):
            for number in range(files):
                with open(os.path.join(folder, f"clip{number}"), "wb") as stream:
                    stream.write(bytes(10**6 if files == 1 else 1))
        result = diagnose(fix=True)
        assert result["failed"] and "for a person to mend" in result["msg"], result
        assert names(result) == [cause] and folder in result["causes"][0]["evidence"][0]
    finally:
        subprocess.run(["umount", folder], check=True)
