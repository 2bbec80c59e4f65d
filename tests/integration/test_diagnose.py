"""The cause of each fault by the real application, its renderer and the kernel; and that it is mended."""

from __future__ import annotations

import json
import os
import socket

import pytest
from support.causes import CAUSES, Patient
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import diagnose, inspector, remedies
from ansible_collections.mobius.ops.plugins.module_utils._observe import health

pytestmark = pytest.mark.xdist_group("diagnose")


class Asked(Patient):
    """A site that something is wrong with, and its diagnosis."""

    def __init__(self, site):
        super().__init__(str(site.root), {"Origin": "http://localhost:5001", "X-Mobius-API-Key": site.secret(), "X-API-Key": site.secret()})
        self.site = site
        self.checks = health.normalize_all([{"url": f"http://127.0.0.1:{self.port}/health", "timeout": 3}], self.headers)

    def diagnose(self, fix=False, inspect=False, interrupt=False):
        allowed = remedies.Allowed(interrupt, self.checks, HANG, ["ffmpeg"])
        return diagnose.diagnose(self.layout, self.service, diagnose.Request("production", 2.0, inspect, fix), allowed)

    def names(self, **options):
        return [cause.name for cause in self.diagnose(**options).causes]

    def made(self, name, number=0):
        """Make a cause."""
        next(cause for cause in CAUSES if cause.name == name).make(self, number)


@pytest.fixture
def patient(served):
    made = Asked(served)
    yield made
    made.cured()


def test_nothing_is_found_where_nothing_is_wrong(patient):
    found = patient.diagnose()
    assert (found.well, found.message(), found.causes) == (True, "mobius is well: every check passes, and nothing was found.", ())
    assert all(not folder.error for folder in found.evidence.folders) and len(found.evidence.folders) == 7
    assert not [name for folder in found.evidence.folders for name in os.listdir(folder.path) if name.startswith(".mobius-try")]


@pytest.mark.parametrize("cause", ["hung loop, `for (;;)`", "hung loop, regular expression"])
def test_a_hung_loop_is_named_to_function_and_request_and_ended_without_a_restart(patient, cause):
    patient.made(cause, 7)
    pid = patient.pid
    found = patient.diagnose()
    assert [cause.name for cause in found.causes] == ["loop"] and found.inside.stack is None, found
    found = patient.diagnose(inspect=True)
    stack = found.inside.stack
    assert stack.place.startswith("spin (src/api/faults.js:") and stack.request == "GET /api/projects?page=7", found.inside
    assert not processes.listeners(inspector.DEFAULT_PORT) and not patient.answers()
    patient.over()
    found = patient.diagnose(fix=True, inspect=True, interrupt=True)
    assert "spin" in found.fixed and found.after == () and patient.answers() and patient.pid == pid, found
    assert not processes.listeners(inspector.DEFAULT_PORT)
    with open(patient.layout.path("incidents", found.incident + ".json"), encoding="utf-8") as stream:
        assert json.load(stream)["evidence"]["stack"]["request"] == "GET /api/projects?page=7"


def test_what_waits_in_the_system_is_named_and_restarted(patient):
    patient.made("blocking wait")
    pid = patient.pid
    found = patient.diagnose(inspect=True)
    assert [cause.name for cause in found.causes] == ["blocking_call"] and found.inside.stack is None, found
    patient.cured()
    wait_until(patient.answers)
    patient.made("blocking read")
    found = patient.diagnose(fix=True, inspect=True)
    assert [cause.name for cause in found.causes] == ["blocking_call"] and found.fixed == "mobius was restarted." and not found.after, found
    assert "read of " in found.causes[0].text and "fault.pipe" in found.causes[0].text and patient.pid != pid
    patient.cured()
    pid = patient.pid
    patient.made("process stopped")
    assert patient.names() == ["stopped"]
    found = patient.diagnose(fix=True)
    assert found.fixed == f"Process {pid} goes on (SIGCONT)." and found.after == () and patient.pid == pid


def test_files_that_leak_are_named_and_the_process_is_restarted(patient):
    patient.made("file descriptors exhausted")
    pid = patient.pid
    assert patient.names() == ["files_exhausted"]
    found = patient.diagnose(fix=True)
    assert found.fixed == "mobius was restarted." and not found.after and patient.pid != pid, found


def test_a_leak_is_named(patient):
    patient.made("leak")
    assert patient.names() == ["memory"]


def test_a_folder_that_is_not_the_services_is_named_and_given_back(patient):
    uploads = patient.layout.component("uploads")
    patient.made("folder not writable", 2)
    assert patient.names() == ["folder_not_writable"]
    found = patient.diagnose(fix=True)
    assert found.fixed.startswith("Owner and mode were set again") and found.after == (), found
    assert os.path.isdir(os.path.join(uploads, ".root", "thumbnails")) and os.stat(uploads).st_mode & 0o700 == 0o700


def test_a_port_that_another_program_has_is_named(patient, says):
    port = patient.service.port
    patient.service.stop()
    assert patient.names() == ["not_running"]
    with socket.create_server(("127.0.0.1", port)):
        assert patient.names() == ["port_taken"]
        result = patient.site.play("diagnose", mobius_fix="true")
        assert (result.status, result.outcome) == (2, "not_mended") and says(result, f"process {os.getpid()}"), result.output
    result = patient.site.play("diagnose", mobius_fix="true")
    assert (result.status, result.outcome) == (0, "mended") and says(result, "mobius was restarted."), result.output
    assert [event["cause"] for event in patient.site.history() if event["what"] == "mended"] == ["not_running"] and patient.answers()


def test_a_crash_loop_is_named_with_what_ends_it(patient):
    patient.made("crash loop")
    assert patient.names() == ["crash_loop"]


def test_a_module_that_is_missing_is_named(patient):
    patient.made("dependency missing", 1)
    found = patient.diagnose()
    assert [cause.name for cause in found.causes] == ["dependency_missing"] and "ids.js" in found.causes[0].evidence[0], found


def test_a_render_that_was_stopped_is_named_and_ended(patient):
    patient.made("stopped ffmpeg")
    pid = patient.ffmpeg()
    assert patient.names() == ["job_stopped"]
    found = patient.diagnose(fix=True)
    assert found.fixed.startswith("Ended ") and found.after == () and not os.path.exists(f"/proc/{pid}"), found
