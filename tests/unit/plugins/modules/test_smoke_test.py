# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module smoke_test against a real server, with real files and programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time

import junitparser
import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import junit as smoke_junit
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import made_files as smoke_files
from ansible_collections.mobius.ops.plugins.modules import smoke_test

KEY = "sekret-key-of-the-tests"
UPLOAD = {
    "name": "upload",
    "url": "/upload",
    "upload": {"field": "images"},
    "status": [201],
    "key_header": "X-Mobius-API-Key",
    "capture": {"id": "files[0].id", "file": "files[0].url"},
    "made": ["{file}"],
}
BACK = {"name": "back", "url": "{file}", "same_as": "upload"}


def test_writes_outside_the_shared_folders_are_found_in_what_the_service_printed(host, web):
    params = {"root": host.root, "service": "mobius"}
    assert smoke_test.write_attempts(params) == []  # it was not set up
    host.live("r1")
    service = host.service()
    fs.write_text(service.spec["console_log"], "Error: EROFS: read-only file system, mkdir 'previews'\n")
    (found,) = smoke_test.write_attempts(params)
    assert found["folder"] == "previews" and smoke_test.write_attempts({**params, "service": None}) == []


class Application:
    """Keeps uploads in the folder of a host, as MOBIUS does."""

    def __init__(self, host, web):
        self.host, self.web = host, web
        self.key = KEY
        self.polls = iter(["queued", "running", "done"])
        self.renders = 0
        web.answers.update(
            {
                "/upload": self.upload,
                "/render": self.render,
                "/render/7": self.status,
                "/bad": (500, "broken"),
                "/uploads/kept.png": (200, b"another"),
            }
        )

    def files(self):
        return sorted(os.listdir(self.host.layout.component("uploads")))

    def upload(self, handler, body):
        if self.key and handler.headers["X-Mobius-API-Key"] != self.key:
            handler.send(401, '{"error": "key"}')
            return
        boundary = handler.headers["Content-Type"].partition("boundary=")[2]
        head, _blank, rest = body.partition(b"\r\n\r\n")
        content = rest[: rest.rindex(b"\r\n--" + boundary.encode())]
        name = re.search(rb'name="images"; filename="([^"]+)"', head).group(1).decode()
        with open(os.path.join(self.host.layout.component("uploads"), "1-" + name), "wb") as stream:
            stream.write(content)
        self.web.answers["/uploads/1-" + name] = (200, content)
        handler.send(201, json.dumps({"files": [{"id": 17, "url": "/uploads/1-" + name}]}))

    def render(self, handler, body):
        self.asked = json.loads(body)
        handler.send(202, '{"id": 7}')

    def status(self, handler, _body):
        self.renders += 1
        handler.send(200, json.dumps({"status": next(self.polls, "done"), "url": None}))


@pytest.fixture
def app(host, web):
    return Application(host, web)


@pytest.fixture
def smoke(run_module, host, web, app):
    """``smoke(*steps, **options)`` of the application."""

    def run(*steps, check=False, **options):
        given = {
            "base_url": web.base,
            "root": host.root,
            "secret_headers": {"X-Mobius-API-Key": KEY},
            "timeout": HANG,
            "suite": list(steps),
            **options,
        }
        result = run_module(smoke_test, given, check)
        assert KEY not in json.dumps(result)
        return result

    return run


def one(result, name=None):
    """The test of that name, or the only one."""
    (test,) = [test for test in result["tests"] if name in (None, test["name"])]
    return test


def ends(result):
    """Name -> status."""
    return {test["name"]: test["status"] for test in result["tests"]}


def clip(path, seconds=1, *options):
    """A small real video."""
    subprocess.run(
        [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            f"testsrc=size=64x64:rate=10:duration={seconds}",
            "-c:v",
            "libx264",
            *options,
            str(path),
        ],
        check=True,
    )
    return path.read_bytes()


def test_what_was_uploaded_comes_back_and_is_removed(smoke, app):
    result = smoke(UPLOAD, BACK)
    assert result["passed"] and not result["changed"] and ends(result) == {"upload": "passed", "back": "passed"}, result
    assert one(result, "back")["found"].endswith("equal bytes")
    assert app.files() == [] and result["left"] == {}
    assert result["removed"] == [os.path.join(app.host.layout.component("uploads"), "1-smoke-test.png")]
    assert result["summary"] == "2 of 2 tests passed"


def test_other_content_and_fields(smoke, app, web):
    step = {**UPLOAD, "upload": {"field": "images", "filename": "a.txt", "type": "text/plain", "text": "größer", "form": {"title": "x"}}}
    seen = []
    upload = app.upload
    web.answers["/upload"] = lambda handler, body: (seen.append(body), upload(handler, body[body.index(b"--", body.index(b"title")) :]))
    assert smoke(step)["passed"]
    assert "größer".encode() in seen[0] and b'name="title"' in seen[0] and b"text/plain" in seen[0]


def test_other_bytes_fail(smoke, web):
    upload = dict(UPLOAD)
    result = smoke(upload, {"name": "back", "url": "/uploads/kept.png", "same_as": "upload"})
    assert one(result, "back")["reason"] == "7 bytes that are not those that were uploaded"
    assert result["msg"].startswith(f"smoke tests of {web.base}: expected every test to pass, found 1 of 2 tests passed, 1 failed: back (")


def test_more_bytes_than_a_probe_reads_are_compared(smoke, web, app):
    text = "x" * 700_000
    step = {**UPLOAD, "upload": {"field": "images", "text": text}}
    assert smoke(step, BACK)["passed"]
    upload = app.upload

    def damaged(handler, body):
        upload(handler, body)
        status, content = web.answers["/uploads/1-smoke-test.png"]
        web.answers["/uploads/1-smoke-test.png"] = (status, content[:-1] + b"y")

    web.answers["/upload"] = damaged
    assert one(smoke(step, BACK), "back")["reason"].startswith("700000 bytes that are not")


@pytest.mark.parametrize(
    "headers, key, status, reason",
    [
        ({}, KEY, "skipped", "status 401: no header X-Mobius-API-Key was given; set it in mobius_smoke_secret_headers"),
        ({"X-Mobius-API-Key": "a wrong one"}, KEY, "failed", "status 401 instead of 201"),
        ({}, "", "passed", ""),
    ],
)
def test_without_a_key_an_upload_is_skipped_and_with_a_wrong_one_it_fails(smoke, app, headers, key, status, reason):
    app.key = key
    result = smoke({"name": "health", "url": "/health"}, UPLOAD, BACK, secret_headers=headers)
    assert (one(result, "upload")["status"], one(result, "upload")["reason"]) == (status, reason)
    assert one(result, "back")["status"] == ("passed" if status == "passed" else "skipped")
    if status != "passed":
        assert one(result, "back")["reason"] == "it needs {file}, which 'upload' did not give"
    assert app.files() == [] and result["passed"] == (status != "failed")


def test_check_mode_sends_nothing_that_changes_something(smoke, app, web, tmp_path):
    result = smoke({"name": "health", "url": "/health"}, UPLOAD, BACK, check=True, junit=str(tmp_path / "a" / "smoke.xml"))
    assert ends(result) == {"health": "passed", "upload": "skipped", "back": "skipped"} and result["passed"]
    assert one(result, "upload")["reason"] == "check mode sends no POST"
    assert [method for method, _path, _headers in web.seen] == ["GET"] and list(tmp_path.glob("a")) == []


def test_a_captured_number_stays_one_and_a_render_is_waited_for(smoke, app):
    result = smoke(
        UPLOAD,
        {
            "name": "render",
            "url": "/render",
            "method": "POST",
            "body": {"upload_id": "{id}", "title": "of {id}"},
            "status": [202],
            "capture": {"render": "id"},
        },
        {"name": "rendered", "url": "/render/{render}", "repeat_until": "status == 'done'", "interval": 0.05},
    )
    assert result["passed"] and app.asked == {"upload_id": 17, "title": "of 17"} and app.renders == 3, result
    assert "3 requests" in one(result, "rendered")["found"] and len(one(result, "rendered")["attempts"]) == 1


def test_a_render_that_fails_or_never_ends(smoke, web):
    web.answers["/render/7"] = (200, '{"status": "failed", "why": "disk"}')
    step = {"name": "rendered", "url": "/render/7", "repeat_until": "status == 'done'", "interval": 0.05, "limit": 0.2}
    result = smoke({**step, "give_up_when": "status == 'failed'"})
    assert one(result)["reason"] == "the answer came to satisfy: status == 'failed'"
    assert one(result)["attempts"][0]["evidence"] == '{"status": "failed", "why": "disk"}'
    assert re.fullmatch(r"not within 0.2 s and \d requests: status == 'done'", one(smoke(step))["reason"])
    web.answers["/render/7"] = (500, "")
    assert one(smoke(step))["reason"] == "status 500 instead of 200"


def test_a_capture_that_finds_nothing_fails_and_what_needs_it_is_skipped(smoke, web):
    result = smoke(
        {"name": "who", "url": "/health", "capture": {"token": "user.token"}},
        {"name": "with it", "url": "/health", "headers": {"Authorization": "Bearer {token}"}},
    )
    assert one(result, "who")["reason"] == "the answer has no token (user.token)" and one(result, "with it")["status"] == "skipped"
    web.answers["/login"] = (200, '{"token": "t\'o k"}')
    web.answers["/me"] = lambda handler, _body: handler.send(200, json.dumps({"by": handler.headers["Authorization"]}))
    assert smoke(
        {"name": "login", "url": "/login", "capture": {"token": "token"}},
        {"name": "me", "url": "/me", "headers": {"Authorization": "Bearer {token}"}, "json": ["by == 'Bearer {token}'"]},
    )["passed"]


def test_a_number_in_every_place(smoke, web):
    web.answers["/who/17"] = lambda handler, _body: handler.send(200, f'{{"id": {handler.headers["Id"]}}}')
    result = smoke(
        UPLOAD, {"name": "me", "url": "/who/{id}", "headers": {"Id": "{id}"}, "contains": "{id}", "json": ["to_string(id) == '{id}'"]}
    )
    assert one(result, "me")["status"] == "passed", result


def test_a_value_from_an_answer_cannot_say_how_it_is_judged(smoke, web):
    web.answers["/a"] = (200, json.dumps({"id": "' || 'x' == 'x"}))
    result = smoke({"name": "a", "url": "/a", "capture": {"id": "id"}}, {"name": "b", "url": "/health", "json": ["status == '{id}'"]})
    assert one(result, "b")["status"] == "failed"
    web.answers["/a"] = (200, json.dumps({"id": "\\' || 'x' == 'x"}))
    result = smoke({"name": "a", "url": "/a", "capture": {"id": "id"}}, {"name": "b", "url": "/health", "json": ["status == '{id}'"]})
    assert one(result, "b")["reason"].startswith("{id}: expected a value without a backslash for an expression, found one with it.")


def test_every_attempt_is_kept(smoke, web, tmp_path, free_port):
    gone = f"http://127.0.0.1:{free_port()}/"
    answers = iter([(500, "no \0 luck"), (503, "later"), (200, "{}")])
    web.answers["/flaky"] = lambda handler, _body: handler.send(*next(answers))
    junit = tmp_path / "results" / "smoke.xml"
    result = smoke(
        {"name": "flaky", "url": "/flaky", "attempts": 5, "pause": 0},
        {"name": "bad", "url": "/bad", "attempts": 2, "pause": 0},
        {"name": "gone", "url": gone},
        {"name": "lost", "url": "http://nobody.invalid/"},
        {"name": "skipped", "program": "node"},
        junit=str(junit),
        outside=True,
        env="staging",
        release="r7",
    )
    flaky = one(result, "flaky")
    assert (flaky["status"], flaky["flaky"], [a["status"] for a in flaky["attempts"]]) == ("passed", True, [500, 503, 200])
    assert result["counts"] == {"passed": 1, "failed": 3, "skipped": 1, "flaky": 1}
    assert "1 only when tried again: flaky" in result["summary"]
    document = junitparser.JUnitXml.fromfile(str(junit))
    assert (document.tests, document.failures, document.errors, document.skipped) == (5, 2, 1, 1)
    (suite,) = document
    assert suite.name == "mobius.smoke.staging" and {p.name: p.value for p in suite.properties()} == {
        "env": "staging",
        "base_url": web.base,
        "release": "r7",
    }
    cases = {case.name: case for case in suite}
    children = {
        name: [(child.tag, child.get("message")) for child in case._elem if child.tag != "system-out"] for name, case in cases.items()
    }
    assert children == {
        "flaky": [("flakyFailure", "status 500 instead of 200"), ("flakyFailure", "status 503 instead of 200")],
        "bad": [("failure", "status 500 instead of 200"), ("rerunFailure", "status 500 instead of 200")],
        "gone": [("failure", f"connection refused at {gone}")],
        "lost": [("error", "the host name of http://nobody.invalid/ cannot be resolved")],
        "skipped": [("skipped", "the tests run outside of the host")],
    }
    assert cases["flaky"].system_out.splitlines()[0] == "attempt 1: failed, status 500 instead of 200"
    assert json.loads(junit.with_suffix(".json").read_text())["tests"] == result["tests"]


def test_what_changes_something_is_sent_once_unless_the_step_says_more(smoke, web):
    step = {"name": "post", "url": "/bad", "method": "POST"}
    assert len(one(smoke(step, attempts=3))["attempts"]) == 1
    assert len(one(smoke({**step, "attempts": 2, "pause": 0}))["attempts"]) == 2
    assert len(one(smoke({"name": "get", "url": "/bad", "pause": 0}, attempts=3))["attempts"]) == 3


def test_the_release_that_should_answer(smoke, host, web):
    step = {"name": "release", "url": "/health", "json": ["release == '{release}'"], "skip_unless": "release"}
    assert one(smoke(step))["reason"] == "it needs {release}, which is not known: give root or release"
    host.live("r1")
    assert one(smoke(step))["reason"] == "the answer has no release"
    web.answers["/health"] = (200, '{"release": "r1"}')
    result = smoke(step)
    assert result["passed"] and result["release"] == "r1"
    assert one(smoke(step, release="r2"))["reason"] == "the JSON body does not satisfy: release == 'r2'"
    web.answers["/health"] = (500, "{}")
    assert one(smoke(step))["reason"] == "status 500 instead of 200"


def test_when_nothing_could_be_tested_it_has_not_passed(smoke):
    result = smoke({"name": "node", "program": "node"}, outside=True)
    assert result["failed"] and not result["passed"] and result["msg"].endswith("Correct what kept them from running.")


def test_a_slow_answer_fails(smoke, web):
    web.answers["/slow"] = lambda handler, _body: (time.sleep(0.05), handler.send(200, ""))
    test = one(smoke({"name": "slow", "url": "/slow", "max_ms": 10}))
    assert (test["status"], test["attempts"][0]["outcome"]) == ("failed", "slow")
    assert re.fullmatch(r"\d+ ms, over the limit of 10 ms", test["reason"])


def test_secrets_go_to_the_application_only_and_are_shown_nowhere(smoke, run_module, web, host, tmp_path):
    web.answers["/echo"] = lambda handler, _body: handler.send(500, " ".join(f"{key}: {value}" for key, value in handler.headers.items()))
    junit = tmp_path / "smoke.xml"
    elsewhere = web.base.replace("127.0.0.1", "localhost")
    result = smoke(
        {"name": "own", "url": "/echo", "secret_headers": {"B": "sekret-of-one-step"}},
        {"name": "other", "url": elsewhere + "/echo"},
        {"name": "like it", "url": web.base.replace("//", "//x@") + "/echo"},
        junit=str(junit),
    )
    assert [sent[2].get("X-Mobius-API-Key") for sent in web.seen] == [KEY, None, None] and web.seen[0][2]["B"] == "sekret-of-one-step"
    assert "sekret" not in str(result) + junit.read_text() + junit.with_suffix(".json").read_text()
    assert "X-Mobius-API-Key: ********" in one(result, "own")["attempts"][0]["evidence"]


def test_no_part_of_a_secret_is_left_where_evidence_is_cut(smoke, web, secret):
    text = json.dumps({"a": "b" * 180, "key": secret, "header": KEY})
    web.answers["/who"] = (200, text)
    web.answers["/bad"] = (500, text)
    result = smoke(
        {"name": "captured", "url": "/who", "capture": {"x": "nothing"}},
        {"name": "wrong", "url": "/bad"},
        {"name": "ended", "url": "/who", "repeat_until": "done", "give_up_when": "key"},
    )
    assert {test["status"] for test in result["tests"]} == {"failed"}
    for test in result["tests"]:
        evidence = test["attempts"][0]["evidence"]
        assert evidence.startswith('{"a": "bbb') and secret[:6] not in evidence and KEY[:6] not in evidence, test


def test_what_the_steps_made_is_removed_though_they_failed(smoke, app):
    result = smoke({**UPLOAD, "status": [200]}, BACK)
    assert ends(result) == {"upload": "failed", "back": "skipped"} and app.files() == [] and len(result["removed"]) == 1


def test_clean_up_steps_run_last_whatever_came_before(smoke, app, web):
    def delete(handler, _body):
        os.unlink(os.path.join(app.host.layout.component("uploads"), "1-smoke-test.png"))
        handler.send(204)

    web.answers["/files/17"] = delete
    step = {"name": "delete", "url": "/files/{id}", "method": "POST", "status": [204], "cleanup": True}
    result = smoke(step, UPLOAD, {"name": "bad", "url": "/bad"}, BACK)
    assert list(ends(result)) == ["upload", "bad", "back", "delete"] and one(result, "delete")["status"] == "passed"
    assert app.files() == [] and result["removed"] == [] and result["left"] == {}


@pytest.mark.parametrize(
    "url, why",
    [
        ("/other/a.png", "it is nothing right below one of the folders"),
        ("/uploads/../x/a.png", "it is nothing right below one of the folders"),
        ("/uploads/%2e%2e%2fx%2fa.png", "it is nothing right below one of the folders"),
        ("/uploads/", "it is nothing right below one of the folders"),
        ("/uploads//", "it is nothing right below one of the folders"),
        ("/uploads/..", "it is nothing right below one of the folders"),
        ("/uploads/../", "it is nothing right below one of the folders"),
        ("/uploads/folder/new.png", "it is nothing right below one of the folders"),
        ("/uploads/render-jobs/", "it is nothing right below one of the folders"),
        ("/uploads/old.png", "old.png is older than this run"),
        ("/uploads/link.png", "link.png is no plain file"),
        ("/uploads/link/", "link is no folder"),
        ("/uploads/pipe", "pipe is no plain file"),
        ("/uploads/folder", "folder is no plain file"),
        ("/uploads/new.png/", "new.png is no folder"),
        ("/uploads/old/", "old is older than this run"),
        ("/uploads/render-jobs/7/", "7: Not a directory"),
    ],
)
def test_nothing_else_is_ever_removed(smoke, app, host, web, snapshot, url, why):
    uploads = host.layout.component("uploads")
    for name, folder in (("old.png", uploads), ("a.png", host.layout.component("database")), ("new.png", uploads)):
        with open(os.path.join(folder, name), "w", encoding="ascii") as stream:
            stream.write("x")
    os.utime(os.path.join(uploads, "old.png"), (1, 1))
    os.symlink("new.png", os.path.join(uploads, "link.png"))
    os.symlink("folder", os.path.join(uploads, "link"))
    os.symlink(host.layout.releases, os.path.join(uploads, "render-jobs"))  # what is below it is not the service's
    os.mkdir(os.path.join(host.layout.releases, "7"))
    os.mkfifo(os.path.join(uploads, "pipe"))
    for name in ("folder", "old"):
        os.mkdir(os.path.join(uploads, name))
    os.utime(os.path.join(uploads, "old"), (1, 1))
    web.answers["/said"] = (200, json.dumps({"url": url}))
    before = snapshot(host.root)
    result = smoke({"name": "said", "url": "/said", "capture": {"file": "url"}, "made": ["{file}"]})
    assert snapshot(host.root) == before and result["removed"] == [] and list(result["left"]) == [url]
    assert result["left"][url].endswith(why) and result["changed"] and result["passed"]


def test_without_a_root_what_stays_is_told_and_another_run_removes_it(smoke, app, host):
    result = smoke(UPLOAD, root=None)
    assert result["left"] == {"/uploads/1-smoke-test.png": "no root was given"} and result["changed"] and app.files()
    removed = smoke(remove=list(result["left"]), began=result["began"])
    assert removed["removed"] and not removed["changed"] and removed["passed"] and app.files() == []
    assert smoke(remove=list(result["left"]), began=result["began"])["left"] == {}


def test_what_cannot_be_removed(monkeypatch, host):
    path = os.path.join(host.layout.component("uploads"), "a.png")
    with open(path, "w", encoding="ascii"):
        pass

    def refused(*_words, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refused)  # root may do everything
    assert smoke_files.remove(["/uploads/a.png"], host.root, {"/uploads/": "shared/uploads"}, time.time()) == (
        [],
        {"/uploads/a.png": f"{path}: Permission denied"},
    )


@pytest.fixture
def job(host):
    """The folder of a render, with what is left of it."""
    folder = os.path.join(host.layout.component("uploads"), "render-jobs", "7")
    os.makedirs(os.path.join(folder, "parts"))
    for name in ("7-config.json", "parts/0.mp4"):
        with open(os.path.join(folder, name), "w", encoding="ascii"):
            pass
    return folder


def remove_job(host, began=None):
    """Remove the render of that job, as one that this run made."""
    return smoke_files.remove(["/uploads/render-jobs/7/"], host.root, smoke_test.FOLDERS, time.time() if began is None else began)


def test_a_folder_goes_with_all_that_is_in_it(host, job):
    assert remove_job(host) == ([job], {})
    assert os.listdir(os.path.dirname(job)) == [] and remove_job(host) == ([], {})


def test_a_folder_with_something_old_or_strange_in_it_stays(host, job):
    old = os.path.join(job, "parts", "old")
    with open(old, "w", encoding="ascii"):
        pass
    os.utime(old, (1, 1))
    assert remove_job(host) == ([], {"/uploads/render-jobs/7/": f"{old} is older than this run"})
    os.unlink(old)
    os.symlink(host.layout.releases, old)
    assert remove_job(host) == ([], {"/uploads/render-jobs/7/": f"{old} is no plain file"}) and os.path.isdir(host.layout.releases)


def test_folders_without_end_are_not_gone_down_into(host, job):
    os.makedirs(os.path.join(job, *(["x"] * (smoke_files.DEPTH + 2))))
    [why] = remove_job(host)[1].values()
    assert why.endswith("/x/x lies too deep")


def test_a_link_that_takes_the_place_of_a_folder_meanwhile_is_not_followed(host, job, monkeypatch):
    """The service's user may do so between the look at it and its opening."""
    release = os.path.join(host.layout.releases, "r1")
    os.mkdir(release)
    with open(os.path.join(release, "code.js"), "w", encoding="ascii"):
        pass
    looked = os.stat

    def swapped(path, **options):
        found = looked(path, **options)
        if path == "parts" and os.path.isdir(os.path.join(job, "parts")):
            os.rename(os.path.join(job, "parts"), os.path.join(job, "away"))
            os.symlink(release, os.path.join(job, "parts"))
        return found

    monkeypatch.setattr(os, "stat", swapped)
    removed, left = remove_job(host)
    assert removed == [] and left == {"/uploads/render-jobs/7/": f"{job}: Not a directory"}
    assert os.listdir(release) == ["code.js"]


@pytest.mark.parametrize(
    "address, folder, name, tree",
    [
        ("http://a.example/base/uploads/a.png", "u", "a.png", False),
        ("/opt/uploads/app/src/api/uploads/1_a%20b.pdf", "u", "1_a b.pdf", False),
        ("/uploads/images/page1.png", "i", "page1.png", False),
        ("/data/17/", "d", "17", True),
    ],
)
def test_where_something_that_was_made_lies(address, folder, name, tree):
    folders = {"/uploads/": "u", "/uploads/images/": "i", "/data/": "d"}
    assert smoke_files.place(address, folders) == (folder, name, tree)


def test_a_file_that_is_not_served(smoke, app, host, job, web):
    step = {"name": "file", "file": "/uploads/{name}", "min_bytes": 3}
    for name, content in (("a.jpg", "abc"), ("b.jpg", "ab")):
        with open(os.path.join(host.layout.component("uploads"), name), "w", encoding="ascii") as stream:
            stream.write(content)
    os.symlink("a.jpg", os.path.join(host.layout.component("uploads"), "link.jpg"))
    uploads = host.layout.component("uploads")
    for name, status, why in [
        ("a.jpg", "passed", ""),
        ("b.jpg", "failed", "2 bytes, fewer than 3"),
        ("none.jpg", "failed", f"{uploads}/none.jpg: No such file or directory"),
        ("link.jpg", "failed", f"{uploads}/link.jpg is no plain file"),
        ("render-jobs", "failed", f"{uploads}/render-jobs is no plain file"),
        ("x/a.jpg", "failed", "/uploads/x/a.jpg is no file right below one of the folders"),
    ]:
        web.answers["/said"] = (200, json.dumps({"name": name}))
        test = one(smoke({"name": "said", "url": "/said", "capture": {"name": "name"}}, step), "file")
        assert (test["status"], test["reason"]) == (status, why), test
    for options, why in (({"root": None}, "no root was given"), ({"outside": True}, "the tests run outside of the host")):
        test = one(smoke({"name": "health", "url": "/health"}, {**step, "file": "/uploads/a.jpg"}, **options), "file")
        assert (test["status"], test["reason"]) == ("skipped", why)


@pytest.fixture
def video(web, tmp_path):
    """Serves a clip; the step that looks at it."""
    web.answers["/clip.mp4"] = (200, clip(tmp_path / "clip.mp4"))
    return {"name": "clip", "video": "/clip.mp4", "codecs": ["h264"], "min_seconds": 0.9, "max_seconds": 1.1, "min_bytes": 500}


def test_a_video_that_is_right(smoke, video):
    assert re.match(r"h264, 1.0 s, \d", one(smoke(video))["found"])


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"codecs": ["h264", "aac"]}, "the codecs are h264, without aac"),
        ({"min_seconds": 2, "max_seconds": None}, "it lasts 1.00 s instead of 2 to any s"),
        ({"max_seconds": 0.5, "min_seconds": None}, "it lasts 1.00 s instead of 0 to 0.5 s"),
        ({"max_bytes": 400}, "more than 400 bytes"),
        ({"min_bytes": 10**6}, r"\d+ bytes, fewer than 1000000"),
        ({"video": "/bad"}, "status 500 instead of 200"),
        ({"video": "/health"}, "it cannot be played: .*Invalid data.*"),
    ],
)
def test_a_video_that_is_not(smoke, video, change, reason):
    test = one(smoke({**video, "min_bytes": 1, **change}))
    assert test["status"] == "failed" and re.fullmatch(reason, test["reason"])


def test_a_video_that_was_cut_and_one_without_a_picture(smoke, video, web, tmp_path):
    whole = clip(tmp_path / "a.mp4", 2, "-movflags", "+faststart", "-g", "1")  # its index comes first
    web.answers["/clip.mp4"] = (200, whole[: len(whole) * 2 // 3])
    test = one(smoke({"name": "cut", "video": "/clip.mp4"}))
    assert test["status"] == "failed" and test["reason"].startswith("it cannot be played: "), test
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", str(tmp_path / "a.m4a")], check=True)
    web.answers["/clip.mp4"] = (200, (tmp_path / "a.m4a").read_bytes())
    assert one(smoke({"name": "sound", "video": "/clip.mp4"}))["reason"] == "it has no picture"


def test_a_big_video_is_fetched_whole(smoke, web, tmp_path):
    big = clip(tmp_path / "big.mp4", 1, "-qp", "0", "-vf", "noise=alls=100:allf=t,scale=640:360")
    assert len(big) > 300_000
    web.answers["/clip.mp4"] = (200, big)
    assert smoke({"name": "big", "video": "/clip.mp4", "min_seconds": 0.9, "min_bytes": len(big)})["passed"]
    test = one(smoke({"name": "big", "video": "/clip.mp4", "max_bytes": len(big) - 1}))
    assert test["reason"] == f"more than {len(big) - 1} bytes"


def test_without_ffprobe_a_video_is_skipped(smoke, video, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    result = smoke(video, {"name": "health", "url": "/health"})
    assert one(result, "clip")["reason"] == "there is no ffprobe to look at it; install ffmpeg" and result["passed"]


def test_programs(smoke):
    result = smoke(
        {"name": "ffmpeg", "program": "ffmpeg", "version_argument": "-version", "min_version": "4"},
        {"name": "future", "program": "ffmpeg", "version_argument": "-version", "min_version": "99"},
        {"name": "none", "program": "no-such-program"},
    )
    assert ends(result) == {"ffmpeg": "passed", "future": "failed", "none": "failed"}
    assert one(result, "future")["reason"].endswith("instead of version 99 or newer")
    assert one(result, "none")["reason"] == "no program no-such-program on the PATH instead of a program that runs"


def test_disks(smoke, tmp_path):
    result = smoke(
        {"name": "fine", "disk": str(tmp_path), "min_free_mb": 0, "max_used_pct": 100},
        {"name": "full", "disk": str(tmp_path), "min_free_mb": 10**9},
        {"name": "used", "disk": str(tmp_path), "max_used_pct": 0},
        {"name": "none", "disk": "/nonexistent", "max_used_pct": 100},
    )
    assert ends(result) == {"fine": "passed", "full": "failed", "used": "failed", "none": "failed"}
    assert one(result, "full")["reason"].endswith("less than 1000000000 MB free")
    assert one(result, "used")["reason"].endswith("more than 0 % used")
    assert one(result, "none")["reason"] == "/nonexistent: No such file or directory"
    usage = shutil.disk_usage(tmp_path)
    assert f"{100 * usage.used / (usage.used + usage.free):.0f} % used" in one(result, "fine")["found"]


@pytest.mark.parametrize(
    "suite, words",
    [
        ([], "suite: expected a list of steps, found an empty one."),
        ([{"name": "a"}], "step a: expected a name and one of url, video, file, program, disk, found name."),
        ([{"name": "", "url": "/"}], "step 1: expected a name and one of"),
        ([{"name": "a", "url": "/", "disk": "/"}], "step a: expected a name and one of"),
        (
            [{"name": "a", "disk": "/", "codecs": ["x"], "max_used_pct": 1}],
            "step a: expected with disk only the fields attempts, cleanup, ",
        ),
        ([{"name": "a", "disk": "/"}], "step a: expected min_free_mb or max_used_pct, found neither."),
        ([{"name": "a", "url": "/"}, {"name": "a", "url": "/b"}], "step a: expected a name that no other step has, found it twice."),
        ([{"name": "a", "url": "/{who}"}], "step a: expected names in braces that an earlier step captures, found who."),
        ([{"name": "a", "url": "/", "made": ["{who}"]}], "found who."),
        ([{"name": "a", "url": "{b}"}, {"name": "b", "url": "/", "capture": {"b": "b"}}], "step a: expected names in braces"),
        ([{"name": "a", "url": "/", "same_as": "b"}], "step a: expected same_as with the name of an earlier step that uploads, found 'b'."),
        ([{"name": "a", "url": "/", "upload": {"filename": "x"}}], "step a: expected an upload with field and"),
        ([{"name": "a", "url": "/", "attempts": 0}], "step a: expected 1 or more attempts, "),
        ([{"name": "a", "url": "/", "capture": {"b": "b ="}}], "step a, b =: expected a JMESPath expression, found "),
        ([{"name": "a", "url": "/", "json": ["b ="]}], "JSON assertion b =: expected a JMESPath expression"),
        ([{"name": "a", "program": "node", "min_version": "new"}], "step a: expected a min_version such as 18.0, found 'new'."),
    ],
)
def test_mistakes_in_a_suite_send_nothing(smoke, web, suite, words):
    assert words in smoke(*suite)["msg"] and web.seen == []


def test_an_address_without_a_base(smoke):
    assert "expected a url with http:// or https://, found '/health'" in smoke({"name": "a", "url": "/health"}, base_url="")["msg"]


@pytest.mark.parametrize(
    "junit, words",
    [
        ("smoke.xml", "junit smoke.xml: expected an absolute path, found a relative one."),
        ("/nonexistent/smoke.json", "expected another name than that of the JSON report, found the same."),
    ],
)
def test_where_no_report_can_be(smoke, web, junit, words):
    assert words in smoke({"name": "a", "url": "/health"}, junit=junit)["msg"] and web.seen == []


def test_a_folder_that_cannot_be_made(smoke, tmp_path, web):
    (tmp_path / "file").write_text("")
    assert smoke({"name": "a", "url": "/health"}, junit=str(tmp_path / "file" / "a.xml"))["msg"] == f"{tmp_path / 'file'}: File exists."
    assert web.seen == []


def test_a_report_that_cannot_be_written_keeps_the_results(smoke, tmp_path):
    (tmp_path / "a.xml").mkdir()
    result = smoke({"name": "a", "url": "/health"}, junit=str(tmp_path / "a.xml"))
    assert result["failed"] and not result["passed"] and ends(result) == {"a": "passed"}
    assert "1 of 1 tests passed, but " in result["msg"] and "could not be written: Is a directory" in result["msg"]


def test_without_junitparser_only_the_report_is_refused(smoke, monkeypatch, tmp_path, web):
    monkeypatch.setattr(smoke_junit, "junitparser", None)
    step = {"name": "a", "url": "/health"}
    assert "expected the Python library junitparser where the tests run, found none" in smoke(step, junit=str(tmp_path / "a.xml"))["msg"]
    assert web.seen == [] and smoke(step)["passed"]


def test_an_earlier_report_is_replaced(smoke, tmp_path):
    junit = tmp_path / "smoke.xml"
    for name in ("first", "second"):
        smoke({"name": name, "url": "/health"}, junit=str(junit))
    assert [case.name for suite in junitparser.JUnitXml.fromfile(str(junit)) for case in suite] == ["second"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["smoke.json", "smoke.xml"]


@pytest.mark.parametrize(
    "body",
    [
        "[" * 200_000,
        "[" * 990 + "]" * 990,
        '{"id": "http://["}',
        '{"id": "\\ud800"}',
        '{"id": {"a": 1}}',
        '{"id": ["x"]}',
        '{"id": "a\\u0000b"}',
        '{"id": "\\r\\nX: y"}',
        '{"id": 1e999}',
        '{"id": "' + "x" * 200_000 + '"}',
    ],
)
@pytest.mark.parametrize(
    "second",
    [
        {"url": "{id}"},
        {"url": "/x/{id}"},
        {"url": "/health", "headers": {"X": "{id}"}},
        {"url": "/health", "method": "POST", "body": {"a": "{id}"}},
        {"file": "{id}"},
    ],
)
def test_no_answer_crashes_what_uses_it(smoke, web, second, body, tmp_path):
    web.answers["/evil"] = (200, body)
    result = smoke(
        {"name": "a", "url": "/evil", "json": ["id"], "capture": {"id": "id"}, "made": ["{id}"]},
        {"name": "b", **second},
        root=str(tmp_path),
    )
    assert set(ends(result).values()) <= {"passed", "failed", "skipped"} and "exception" not in result
    assert "\n" not in result.get("msg", "") and json.dumps(result, ensure_ascii=False).encode("utf-8")
