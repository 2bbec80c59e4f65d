"""What an instance works on: its programs by the ids of their renders, and what the application says of its queue."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import types

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._service import ongoing_work
from ansible_collections.mobius.ops.plugins.module_utils._service.ongoing_work import Work

#: A service that starts a program for each line that it is told.
SERVICE = """import subprocess, sys
for line in sys.stdin:
    subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", *line.split()])
"""


@pytest.fixture
def process():
    """The process of a service; it and what it has started end with the test."""
    made = subprocess.Popen([sys.executable, "-c", SERVICE], stdin=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)
    yield made
    os.killpg(made.pid, signal.SIGKILL)
    made.stdin.close()
    made.wait()


@pytest.fixture
def started(process):
    """Let the service start a program."""
    return lambda *words: process.stdin.write(" ".join(words) + "\n")


@pytest.fixture
def service(tmp_path, process):
    """A service of one instance."""

    def status():
        return {"pid": process.pid}

    return types.SimpleNamespace(
        spec={"job_programs": []},
        folder=str(tmp_path),
        status=status,
        port=1,
        name="mobius",
        requests=lambda _port: [],
        direct=lambda checks, _port: checks,
    )


def test_a_render_is_named_by_its_id_once_whatever_works_on_it(service, started):
    started("/opt/mobius/app/src/api/uploads/render-jobs/3f-1/3f-1-config.json")
    started("--out", "/opt/mobius/app/src/api/uploads/render-jobs/3f-1/scene.mp4")
    wait_until(lambda: len(ongoing_work.of(service, service).jobs) == 1, HANG)
    assert ongoing_work.of(service, service) == Work(0, ("3f-1",))
    wait_until(lambda: ongoing_work.of(service, service, age=2).jobs == ("3f-1",), HANG)  # not in its first half second
    service.spec["job_id_pattern"] = "job=nothing"
    assert all(re.fullmatch(r"python\S* \d+", name) for name in ongoing_work.of(service, service).jobs)


def test_one_that_does_not_run_works_on_nothing(service, started):
    started("render-jobs/a")
    service.status = lambda: {"pid": None}
    assert not ongoing_work.of(service, service)


@pytest.mark.parametrize(
    "answer, jobs, names",
    [
        ({"jobs": [{"id": "a", "status": "queued"}, {"id": "b", "status": "completed"}]}, "jobs[?status != 'completed'].id", ("a",)),
        ({"queue": 2}, "queue", ("queued 1", "queued 2")),
        ({"queue": 0}, "queue", ()),
        ({"queue": "none"}, "queue", ("some, for the busy check found neither a number nor a list",)),
        ({"other": 1}, "queue", ("some, for the busy check found neither a number nor a list",)),
    ],
)
def test_the_application_is_asked_for_what_no_process_shows(service, web, answer, jobs, names):
    web.answers["/api/jobs"] = (200, json.dumps(answer))
    check = ongoing_work.normalize({"url": f"{web.base}/api/jobs", "jobs": jobs}, {}, {"X-Key": "secret"})
    ongoing_work.save_check(service, check)
    assert ongoing_work.of(service, service).jobs == names and web.seen[0][2]["X-Key"] == "secret"
    path = os.path.join(service.folder, "busy.json")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert ongoing_work.check_of(service) == check
    ongoing_work.save_check(service, {})
    assert not os.path.exists(path) and not ongoing_work.is_asked(service) and not ongoing_work.of(service, service)


def test_jobs_that_wait_are_known_while_another_one_runs(service, started, web):
    """Each once, though the application tells of the running one too."""
    web.answers["/api/jobs"] = (200, json.dumps({"jobs": ["a", "b", "c"]}))
    ongoing_work.save_check(service, ongoing_work.normalize({"url": f"{web.base}/api/jobs", "jobs": "jobs"}, {}, {}))
    started("render-jobs/a")
    wait_until(lambda: len(ongoing_work.processes.started_by(service.status()["pid"], [])) == 1, HANG)
    assert ongoing_work.of(service, service) == Work(0, ("a", "b", "c"))


def test_one_that_does_not_answer_counts_as_busy(service, web):
    web.answers["/api/jobs"] = (500, "no")
    ongoing_work.save_check(service, ongoing_work.normalize({"url": f"{web.base}/api/jobs", "jobs": "queue"}, {}, {}))
    assert str(ongoing_work.of(service, service)) == (
        "0 long requests and 1 renders (some, for the busy check failed: status 500 instead of 200)"
    )


@pytest.mark.parametrize(
    "given, words",
    [
        ({"url": "http://127.0.0.1/"}, "busy_check: expected jobs, a JMESPath expression .*, found none. Correct mobius_busy_check"),
        ({"url": "http://127.0.0.1/", "jobs": "a["}, r"busy_check, a\[: expected a JMESPath expression"),
    ],
)
def test_mistakes_in_the_question(given, words):
    with pytest.raises(InputError, match=words):
        ongoing_work.normalize(given, {}, {})


def test_a_pattern_that_is_none():
    assert ongoing_work.check_pattern("a(b)") == "a(b)"
    with pytest.raises(InputError, match=r"job_id_pattern: expected a regular expression, found 'a\(' .*Correct mobius_job_id_pattern"):
        ongoing_work.check_pattern("a(")


def test_what_is_cut_as_a_sentence():
    assert ongoing_work.lost(None) == ongoing_work.lost(Work().facts()) == ""
    assert ongoing_work.lost(Work(1).facts()) == "Work was cut: 1 long requests and 0 renders."
    many = Work(0, tuple(str(number) for number in range(12)))
    assert ongoing_work.lost(many.facts()) == (
        "Work was cut: 0 long requests and 12 renders (0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more). Ask for the renders again."
    )
