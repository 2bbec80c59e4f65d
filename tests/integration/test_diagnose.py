"""The cause of each fault by the real application, its renderer and the kernel; and that it is mended."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import urllib.request

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes
from ansible_collections.mobius.ops.plugins.module_utils._diagnose import diagnose, inspector, remedies
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import registry
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

pytestmark = pytest.mark.xdist_group("diagnose")


class Patient:
    """A site that something is wrong with."""

    def __init__(self, site):
        self.site, self.layout = site, Layout(str(site.root))
        self.service = registry.load(self.layout, "mobius")
        self.headers = {"Origin": "http://localhost:5001"}
        self.checks = health.normalize_all([{"url": f"http://127.0.0.1:{self.service.port}/health", "timeout": 3}], self.headers)

    @property
    def pid(self):
        return self.service.status()["pid"]

    def diagnose(self, fix=False, inspect=False, interrupt=False):
        allowed = remedies.Allowed(interrupt, self.checks, HANG, ["ffmpeg"])
        return diagnose.diagnose(self.layout, self.service, diagnose.Request("production", 2.0, inspect, fix), allowed)

    def names(self, **options):
        return [cause.name for cause in self.diagnose(**options).causes]

    def fault(self, kind):
        """Turn a fault of the application on; it looks four times a second."""
        path = os.path.join(self.service.spec["working_dir"], "fault.json")
        with open(path + ".new", "w", encoding="utf-8") as stream:
            json.dump({"kind": kind}, stream)
        os.replace(path + ".new", path)
        wait_until(lambda: f'"kind":"{kind}"' in self.service.printed())

    def over(self):
        """Turn it off."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.service.spec["working_dir"], "fault.json"))

    def ask(self, path):
        """Send a request that may never be answered, and do not wait for it."""
        threading.Thread(target=self._get, args=(path, HANG), daemon=True).start()
        wait_until(lambda: not self.answers())

    def answers(self):
        """Whether /health is answered within a second."""
        return self._get("/health", 1) == 200

    def _get(self, path, timeout):
        with contextlib.suppress(OSError):
            request = urllib.request.Request(f"http://127.0.0.1:{self.service.port}{path}", headers=self.headers)
            return urllib.request.urlopen(request, timeout=timeout).status
        return 0


@pytest.fixture
def patient(served):
    made = Patient(served)
    yield made
    made.over()
    with contextlib.suppress(ProcessLookupError, TypeError):
        os.kill(made.pid, signal.SIGCONT)


def test_nothing_is_found_where_nothing_is_wrong(patient):
    found = patient.diagnose()
    assert (found.well, found.message(), found.causes) == (True, "mobius is well: every check passes, and nothing was found.", ())
    assert all(not folder.error for folder in found.evidence.folders) and len(found.evidence.folders) == 7
    assert not [name for folder in found.evidence.folders for name in os.listdir(folder.path) if name.startswith(".mobius-try")]


@pytest.mark.parametrize("kind", ["loop", "regex"])
def test_a_hung_loop_is_named_to_function_and_request_and_ended_without_a_restart(patient, kind):
    patient.fault(kind)
    patient.ask("/api/projects?page=7")
    pid = patient.pid
    found = patient.diagnose()
    assert [cause.name for cause in found.causes] == ["loop"] and found.stack is None, found
    found = patient.diagnose(inspect=True)
    assert found.stack.place.startswith("spin (src/api/faults.js:") and found.stack.request == "GET /api/projects?page=7", found.stack
    assert not processes.listeners(inspector.DEFAULT_PORT) and not patient.answers()
    patient.over()
    found = patient.diagnose(fix=True, inspect=True, interrupt=True)
    assert "spin" in found.fixed and found.after == () and patient.answers() and patient.pid == pid, found
    assert not processes.listeners(inspector.DEFAULT_PORT)
    with open(patient.layout.path("incidents", found.incident + ".json"), encoding="utf-8") as stream:
        assert json.load(stream)["evidence"]["stack"]["request"] == "GET /api/projects?page=7"


def test_what_waits_in_the_system_is_named_and_restarted(patient):
    patient.fault("hang")
    wait_until(lambda: not patient.answers())
    pid = patient.pid
    found = patient.diagnose(inspect=True)
    assert [cause.name for cause in found.causes] == ["blocking_call"] and found.stack is None, found
    patient.over()
    wait_until(patient.answers)
    os.kill(pid, signal.SIGSTOP)
    assert patient.names() == ["stopped"]
    found = patient.diagnose(fix=True)
    assert found.fixed == f"Process {pid} goes on (SIGCONT)." and found.after == () and patient.pid == pid


def test_files_that_leak_are_named_and_the_process_is_restarted(patient):
    patient.fault("files")
    pid = patient.pid
    wait_until(lambda: patient.names() == ["files_exhausted"])
    patient.over()
    os.kill(pid, signal.SIGSTOP)  # so that it does not close them
    os.kill(pid, signal.SIGCONT)
    assert patient.diagnose().message()


def test_a_leak_is_named(patient):
    patient.fault("leak")
    assert patient.names() == ["memory"]


def test_a_folder_that_is_not_the_services_is_named_and_given_back(patient):
    uploads = patient.layout.component("uploads")
    os.chmod(uploads, 0o555)
    if os.geteuid() == 0:  # the service of this site runs as root, whom no mode stops
        os.chmod(uploads, 0o750)
        lost = os.path.join(uploads, ".root", "thumbnails")
        os.rename(os.path.join(uploads, ".root"), os.path.join(uploads, ".gone"))
        assert patient.names() == ["folder_not_writable"]
        found = patient.diagnose(fix=True)
        assert found.fixed.startswith("Owner and mode were set again") and found.after == () and os.path.isdir(lost)
        return
    assert patient.names() == ["folder_not_writable"]
    assert patient.diagnose(fix=True).after == () and os.stat(uploads).st_mode & 0o777 == 0o755


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
    patient.fault("crash")
    wait_until(lambda: patient.service.status()["status"] == "restarting")
    assert patient.names() == ["crash_loop"]


def test_a_module_that_is_missing_is_named(patient):
    path = os.path.join(patient.service.spec["working_dir"], "src", "api", "ids.js")
    os.rename(path, path + ".gone")
    os.kill(patient.pid, signal.SIGKILL)
    found = wait_until(lambda: (told := patient.diagnose()).causes and told.causes[0].name == "dependency_missing" and told)
    assert "ids.js" in found.causes[0].evidence[0] and [cause.name for cause in found.causes] == ["dependency_missing"]
    os.rename(path + ".gone", path)


def test_a_render_that_was_stopped_is_named_and_ended(patient):
    job = patient.site.client().begin_render(seconds=600, realtime=True)
    pid = wait_until(lambda: next(iter(processes.started_by(patient.pid, ["ffmpeg"])), None))
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) > 3)
    os.kill(pid, signal.SIGSTOP)
    assert patient.names() == ["job_stopped"]
    found = patient.diagnose(fix=True)
    assert job in found.fixed and found.after == () and not os.path.exists(f"/proc/{pid}"), found
