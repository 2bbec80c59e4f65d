# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module backup_drill with real archives, a real application on the restored data, and real damage."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import damage, trees
from support.waiting import HANG, wait_until, when

from ansible_collections.mobius.ops.plugins.module_utils._backup import external_state
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import extract as archive_extract
from ansible_collections.mobius.ops.plugins.module_utils._core import accounts, fs, processes, walk
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import compare as drill_compare
from ansible_collections.mobius.ops.plugins.module_utils._service.scratch import folder as scratch_folder
from ansible_collections.mobius.ops.plugins.module_utils._service.scratch import instance as scratch_instance
from ansible_collections.mobius.ops.plugins.module_utils._service.scratch import sandbox as scratch_sandbox
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.modules import backup, backup_drill, backup_restore

pytestmark = pytest.mark.usefixtures("by_answers")

#: Tells what it found and what it may do; TRY names files that it tries to write to.
APP = """
import http.server, json, os, signal, sqlite3, subprocess, sys

with open(".release.json") as stream:
    release = json.load(stream)["id"]
told = {"status": "ok", "release": release, "drill": os.environ.get("MOBIUS_DRILL", ""), "cwd": os.getcwd(),
        "extra": os.environ.get("EXTRA", ""), "wrote": {}, "asked": 0, "uid": os.getuid()}
if os.environ["MOBIUS_API_KEYS"] == "none":
    sys.exit("a key is needed, not " + os.environ["MOBIUS_API_KEYS"])
with open("data/state.json") as stream:
    told["state"] = json.load(stream)
with sqlite3.connect("data/app.db") as database:
    database.execute("INSERT INTO note VALUES ('the drill was here')")
    told["rows"] = database.execute("SELECT count(*) FROM note").fetchone()[0]
for path in filter(None, os.environ.get("TRY", "").split(":")):
    try:
        with open(path, "a") as stream:
            stream.write("written by the application of the drill")
        told["wrote"][path] = "yes"
    except OSError as error:
        told["wrote"][path] = error.strerror
if os.environ.get("CHILD"):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(86400)"], start_new_session=True)
if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("logs/seen.json", "w") as stream:  # last, because tests wait for this file
    json.dump(told, stream)

class Answer(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_words):
        pass

    def do_GET(self):
        told["asked"] += 1
        ill = told["extra"] == "ill" or told["extra"] == "turns ill" and told["asked"] > 1
        body = json.dumps({**told, "origin": self.headers.get("Origin"), "referer": self.headers.get("Referer")}).encode()
        self.send_response(503 if ill else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


class DrillHost:
    """A host with a live service, its data, and one backup of it."""

    def __init__(self, host, run_module) -> None:
        self.host, self.layout, self.run_module = host, host.layout, run_module
        host.live("v1")
        app = Path(self.layout.release("v1")) / "app.py"
        app.write_text(APP)
        data = Path(self.layout.component("database"))
        (data / "state.json").write_text('{"projects": 2}')
        with contextlib.closing(sqlite3.connect(data / "app.db")) as database, database:
            database.execute("CREATE TABLE note (text TEXT)")
            database.executemany("INSERT INTO note VALUES (?)", [(f"note {number} " + "x" * 300,) for number in range(60)])
        uploads = Path(self.layout.component("uploads"))
        (uploads / "games").mkdir()
        (uploads / "games" / "board.png").write_bytes(os.urandom(50_000))
        (uploads / "link").symlink_to("games/board.png")
        for name in ("data", "logs"):  # in place of what a deploy does
            os.symlink(f"../../shared/{name}", Path(self.layout.release("v1")) / name)
        self.service = host.service()
        self.archive = self.backup()

    def backup(self, **options) -> str:
        done = self.run_module(backup, {"root": self.host.root, "env": "production", **options})
        assert not done.get("failed"), done
        return done["archive"]

    def drill(self, check: bool = False, **options):
        return self.run_module(
            backup_drill,
            {
                "root": self.host.root,
                "env": "production",
                "service": "mobius",
                "checks": self.host.raw_checks,
                "ready_timeout": HANG,
                "base_url": f"http://127.0.0.1:{self.host.port}",
                **options,
            },
            check,
        )

    def debris(self):
        """What a drill must not leave."""
        left = [name for name in os.listdir(self.layout.root) if name.startswith(".drill-")]
        return left + [name for name in os.listdir(self.layout.state) if name == "drill.json"]

    def last(self):
        return self.host.history()[-1]


@pytest.fixture
def drills(host, run_module):
    return DrillHost(host, run_module)


def live_tree(snapshot, drills):
    """Everything but what a drill is to write, its report and a line of the history, and the live service's own log."""
    kept = ("state/history.jsonl", "state/drill.lock", "state", "shared/logs/console.log")
    return {name: facts for name, facts in snapshot(drills.layout.root).items() if not name.startswith("reports") and name not in kept}


def proof(result, drills, verdict):
    """What every drill leaves, whatever its verdict."""
    event = drills.last()
    assert (event["what"], event["verdict"], event["step"]) == ("drill", verdict, result["step"])
    assert event["report"] == result["report"] and event["elapsed"] == result["elapsed"]
    page = Path(result["report"]).read_text()
    assert ("Restore drill passed" in page) == (verdict == "passed") and ("Restore drill FAILED" in page) == (verdict == "failed")
    told = json.loads(Path(result["report_json"]).read_text())
    assert told["verdict"] == verdict and told["steps"] == result["steps"]
    assert drills.debris() == [] and drills.host.processes() == []


def test_a_sound_backup_passes(drills, snapshot):
    before = live_tree(snapshot, drills)
    result = drills.drill()
    assert result["changed"] and result["verdict"] == "passed" and result["step"] == result["reason"] == "", result
    assert [(step["name"], step["status"]) for step in result["steps"]] == [
        (name, "passed") for name in ("verify", "extract", "compare", "database", "application")
    ]
    assert result["archive"] == drills.archive and result["files"] == 4 and result["links"] == 1 and result["bytes"] > 50_000
    [database] = result["databases"]
    assert (database["path"], database["tables"], database["rows"], database["counts"]) == ("database/app.db", 1, 60, {"note": 60})
    assert result["application"]["release"] == "v1" and {one["outcome"] for one in result["application"]["checks"]} == {"ok"}
    assert result["application"]["port"] != drills.host.port
    assert 0 < result["recovery_time"] <= result["elapsed"]
    assert live_tree(snapshot, drills) == before
    proof(result, drills, "passed")
    assert drills.last()["recovery_time"] == result["recovery_time"] and drills.last()["files"] == 4


def test_the_newest_archive_is_taken_and_a_given_one_too(drills, quick_clock):
    newer = drills.backup()
    assert drills.drill(service=None)["archive"] == newer
    assert drills.drill(service=None, archive=drills.archive)["archive"] == drills.archive
    drills.backup(components=["logs"])  # is no backup of everything
    assert drills.drill(service=None)["archive"] == newer


def test_the_newest_archive_is_no_safety_backup(drills, quick_clock):
    done = drills.run_module(backup_restore, {"root": drills.host.root, "env": "production", "archive": drills.archive})
    assert drills.drill(service=None)["archive"] == drills.archive
    os.unlink(drills.archive)
    assert "found only safety backups of restores" in drills.drill(service=None)["reason"]
    assert drills.drill(service=None, archive=done["safety_backup"])["verdict"] == "passed"


def test_the_live_service_is_left_alone_and_keeps_answering(drills, snapshot):
    drills.host.serve()
    before, pid, tree = drills.service.status(), drills.service.status()["pid"], live_tree(snapshot, drills)
    answers, asking = (
        [],
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys, time, urllib.request\nwhile True:\n"
                f"    print(urllib.request.urlopen('http://127.0.0.1:{drills.host.port}/health', timeout={HANG}).status, flush=True)\n"
                "    time.sleep(0.02)",
            ],
            stdout=subprocess.PIPE,
            text=True,
        ),
    )
    try:
        result = drills.drill()
    finally:
        asking.terminate()
        answers = asking.communicate()[0].split()
    assert result["verdict"] == "passed", result
    assert len(answers) > 2 and set(answers) == {"200"}
    assert drills.service.status()["pid"] == pid and drills.service.status()["started"] == before["started"]
    assert live_tree(snapshot, drills) == tree
    drills.service.stop()


@pytest.fixture
def witness(monkeypatch):
    """What the application has written into its own logs, taken before the scratch folder goes."""
    found = {}
    remove = scratch_folder.remove

    def look(layout, scratch):
        with contextlib.suppress(OSError):
            found.update(json.loads(Path(scratch.component("logs"), "seen.json").read_text()))
        found["mode"] = os.stat(scratch.root).st_mode & 0o777
        remove(layout, scratch)

    monkeypatch.setattr(scratch_folder, "remove", look)
    return found


def test_the_application_cannot_write_to_live_data(drills, witness, snapshot):
    live = [
        drills.layout.path(*parts)
        for parts in (
            ("backups", "x"),
            ("state", "x"),
            ("releases", "v1", "app.py"),
            ("shared", "uploads", "planted"),
            ("shared", "data", "app.db"),
        )
    ]
    outside = str(Path(drills.host.root).parent / "elsewhere")
    before = live_tree(snapshot, drills)
    result = drills.drill(environment={"TRY": ":".join([*live, outside])})
    assert result["verdict"] == "passed" and result["application"]["isolation"] == "mount_namespace", result
    assert {witness["wrote"][path] for path in [*live[:3], outside]} == {"Read-only file system"}
    assert {witness["wrote"][path] for path in live[3:]} == {"yes"}  # it saw the copy there
    assert live_tree(snapshot, drills) == before and not os.path.exists(outside)
    assert witness["state"] == {"projects": 2} and witness["rows"] == 61
    assert witness["cwd"] == drills.layout.app and witness["drill"].startswith(drills.layout.path(".drill-"))


@pytest.fixture
def no_namespace(monkeypatch):
    """A host that forbids mount namespaces."""
    write = fs.write_json

    def forbid(path, value, mode=0o644):
        if os.path.basename(path) == "sandbox.json":
            value = {**value, "writable": ["/nowhere"]}
        write(path, value, mode)

    monkeypatch.setattr(fs, "write_json", forbid)


def test_a_host_without_namespaces_says_so(drills, no_namespace, witness, snapshot):
    before = live_tree(snapshot, drills)
    result = drills.drill()
    assert result["verdict"] == "passed" and result["application"]["isolation"] == "none", result
    assert any("nothing kept" in note for note in result["notes"])
    assert witness["rows"] == 61 and live_tree(snapshot, drills) == before


def test_settings_that_name_live_data_need_a_namespace(drills, no_namespace, snapshot):
    before = live_tree(snapshot, drills)
    result = drills.drill(environment={"DATA_DIR": drills.layout.component("database")})
    assert result["failed"] and result["step"] == "application"
    assert "refused to start without one: DATA_DIR name" in " ".join(result["evidence"])
    assert live_tree(snapshot, drills) == before
    proof(result, drills, "failed")


def test_variables_reach_the_application(drills, witness):
    result = drills.drill(environment={"EXTRA": 5, "PORT": 1})
    assert result["verdict"] == "passed", result
    assert witness["extra"] == "5" and os.path.dirname(witness["drill"]) == drills.layout.root
    assert witness["mode"] & 0o077 in (0o010, 0)


def test_a_drill_asks_nobody_else_by_a_proxy(drills, free_port):
    checks = [{**drills.host.raw_checks[0], "proxy": f"http://127.0.0.1:{free_port()}", "redirects": 5}]
    assert drills.drill(checks=checks)["verdict"] == "passed"


def test_the_origin_stays_one_that_the_application_allows(drills):
    """Also when it is the live service's own address: the restored settings do not know the spare port."""
    live = f"http://127.0.0.1:{drills.host.port}"
    checks = [{**drills.host.raw_checks[0], "json": [f"origin == '{live}'", f"referer != '{live}'", "referer != null"]}]
    result = drills.drill(checks=checks, headers={"Origin": live, "Referer": live})
    assert result["verdict"] == "passed", result


# --- damage


def flipped(drills):
    damage.flip(drills.archive)


def truncated(drills):
    os.truncate(drills.archive, os.path.getsize(drills.archive) - 7)


def member_with_new_sidecar(drills):
    damage.replace(drills.archive, "uploads/games/board.png", b"\0" * 50_000, manifest=False)


def no_sidecar(drills):
    os.unlink(drills.archive + ".sha256")


def other_sidecar(drills):
    Path(drills.archive + ".sha256").write_text("0" * 64 + f"  {os.path.basename(drills.archive)}\n")


def no_archive(drills):
    os.unlink(drills.archive)


def database(drills):
    content = Path(drills.layout.component("database"), "app.db").read_bytes()
    damage.replace(drills.archive, "database/app.db", damage.scribble(content), manifest=True)


def state_that_the_application_refuses(drills):
    damage.replace(drills.archive, "database/state.json", b'{"projects": ', manifest=True)


def key_that_the_application_refuses(drills):
    damage.replace(drills.archive, "config/.env", b"MOBIUS_API_KEYS=none\n", manifest=True)


@pytest.mark.parametrize(
    ("harm", "steps", "words"),
    [
        (flipped, ("verify",), "expected SHA-256"),
        (truncated, ("verify",), "archive"),
        (member_with_new_sidecar, ("verify",), "uploads/games/board.png"),
        (no_sidecar, ("verify",), "its checksum in"),
        (other_sidecar, ("verify",), "expected SHA-256 000"),
        (no_archive, ("verify",), "an archive of env production, found none"),
        (database, ("database", "verify"), "database/app.db"),
        (state_that_the_application_refuses, ("application",), "the service failed, ended 1 times (last: status 1)"),
        (key_that_the_application_refuses, ("application",), "status 1"),
    ],
)
def test_planted_damage_fails(drills, snapshot, harm, steps, words):
    harm(drills)
    before = live_tree(snapshot, drills)
    result = drills.drill()
    assert result["failed"] and result["verdict"] == "failed" and result["step"] in steps, result
    assert words in result["reason"] and result["msg"].startswith(f"The drill failed at the step {result['step']}: ")
    statuses = [step["status"] for step in result["steps"]]
    at = [step["name"] for step in result["steps"]].index(result["step"])
    assert statuses == ["passed"] * at + ["failed"] + ["not_reached"] * (4 - at) and result["recovery_time"] is None
    assert live_tree(snapshot, drills) == before
    proof(result, drills, "failed")


def test_what_the_application_printed_is_kept_without_secrets(drills, secret):
    """Neither those of the restored .env nor those of the live one."""
    damage.replace(drills.archive, "config/.env", b"MOBIUS_API_KEYS=none\nOTHER=only-in-the-archive\n", manifest=True)
    app = Path(drills.layout.release("v1"), "app.py")
    app.write_text("import os\nprint('keys', os.environ['OTHER'], os.environ['EXTRA'], flush=True)\n" + APP)
    result = drills.drill(environment={"EXTRA": secret})
    assert "keys ******** ********" in result["evidence"], result["evidence"]
    for path in (result["report"], result["report_json"], drills.layout.history):
        assert secret not in Path(path).read_text() and "only-in-the-archive" not in Path(path).read_text()
    assert "keys ******** ********" in Path(result["report"]).read_text()


def test_an_application_that_turns_ill_fails_and_its_secrets_are_hidden(drills):
    damage.replace(drills.archive, "config/.env", b"MOBIUS_API_KEYS=only-in-the-archive\n", manifest=True)
    app = Path(drills.layout.release("v1"), "app.py")
    app.write_text("import os\nprint('key', os.environ['MOBIUS_API_KEYS'], flush=True)\n" + APP)
    result = drills.drill(environment={"EXTRA": "turns ill"})
    assert result["step"] == "application" and "every check to pass, found health: status 503" in result["reason"], result
    assert result["evidence"] == ["key ********"] and len(result["application"]["checks"]) == 3
    assert "only-in-the-archive" not in Path(result["report"]).read_text()
    proof(result, drills, "failed")


def test_a_database_that_only_the_integrity_check_finds_damaged(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as made:
        made.execute("CREATE TABLE note (text TEXT, other TEXT)")
        made.execute("CREATE INDEX i ON note (text)")
        made.execute("INSERT INTO note VALUES ('one', 'two')")
        assert drill_compare.databases(str(tmp_path), accounts.own(), time.monotonic() + HANG, progress.Meter())[0]["rows"] == 1
        made.execute("PRAGMA writable_schema=ON")
        made.execute("UPDATE sqlite_master SET sql = 'CREATE INDEX i ON note (other)' WHERE name = 'i'")
    with pytest.raises(IntegrityError, match="a sound database, found integrity_check: row 1 missing from index i"):
        drill_compare.databases(str(tmp_path), accounts.own(), time.monotonic() + HANG, progress.Meter())


def test_a_database_that_takes_too_long(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as made:
        made.execute("CREATE TABLE note (text TEXT)")
        made.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO note SELECT i FROM n")
    with pytest.raises(StateError, match="mobius_drill_timeout"):
        drill_compare.databases(str(tmp_path), accounts.own(), time.monotonic(), progress.Meter())


def damaging(monkeypatch, harm):
    """Harm what was extracted, as a bad disk does."""
    extract = archive_extract.extract

    def then_harm(archive, entries, stage, *more, **options):
        extract(archive, entries, stage, *more, **options)
        harm(Path(stage))

    monkeypatch.setattr(archive_extract, "extract", then_harm)


def rot(stage):
    path = stage / "uploads" / "games" / "board.png"
    status = path.stat()
    damage.flip(path, 100)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("harm", "path", "what"),
    [
        (rot, "uploads/games/board.png", "SHA-256"),
        (lambda stage: os.truncate(stage / "database/app.db", 4096), "database/app.db", "4096 bytes instead of"),
        (lambda stage: (stage / "uploads/link").unlink(), "uploads/link", "it is missing"),
        (lambda stage: (stage / "uploads/surplus").write_text("x"), "uploads/surplus", "it is not in the archive"),
        (lambda stage: (stage / "config/.env").chmod(0o644), "config/.env", "mode 0644 instead of 0600"),
        (lambda stage: os.utime(stage / "config/.env", (1, 1)), "config/.env", "time 1000000000 ns"),
    ],
)
def test_the_files_on_the_disk_are_read_again(drills, monkeypatch, harm, path, what):
    damaging(monkeypatch, harm)
    result = drills.drill()
    assert result["failed"] and result["step"] == "compare", result
    assert any(one["path"] == path and what in one["what"] for one in result["differences"]), result["differences"]
    assert path in Path(result["report"]).read_text()
    proof(result, drills, "failed")


def test_an_ill_application_fails(drills):
    result = drills.drill(environment={"EXTRA": "ill"}, ready_timeout=1)
    assert result["step"] == "application" and "status 503 instead of 200" in result["reason"]
    proof(result, drills, "failed")


def test_children_and_the_deaf_are_ended(drills):
    drills.host.service(stop_timeout=0.3)
    result = drills.drill(environment={"CHILD": "1", "DEAF": "1"})
    assert result["verdict"] == "passed"
    proof(result, drills, "passed")


def test_the_time_limit(drills):
    """The timer fires as soon as the application runs."""
    left = []

    def time_is_up():
        left.append(signal.getitimer(signal.ITIMER_REAL)[0])
        os.kill(os.getpid(), signal.SIGALRM)

    with when(lambda: application_of(drills), time_is_up):
        result = drills.drill(environment={"EXTRA": "ill"}, ready_timeout=100 * HANG, timeout=1000 * HANG)
    assert result["step"] == "application" and f"to end within {1000 * HANG:g} s" in result["reason"]
    assert 0 < left[0] <= 1000 * HANG
    proof(result, drills, "failed")


def test_no_space(drills, monkeypatch):
    monkeypatch.setattr(fs.shutil, "disk_usage", lambda _folder: fs.shutil._ntuple_diskusage(10**9, 10**9, 1000))
    result = drills.drill()
    assert result["step"] == "extract" and "free for the drill's copy of data and code" in result["reason"]
    proof(result, drills, "failed")


def test_holes_need_no_space_and_are_holes_in_the_copy(drills, monkeypatch, quick_clock):
    with open(Path(drills.layout.component("uploads")) / "disk.mp4", "wb") as stream:
        stream.truncate(200_000_000)
    drills.backup()
    monkeypatch.setattr(fs.shutil, "disk_usage", lambda _folder: fs.shutil._ntuple_diskusage(10**9, 10**9, 10**8))
    blocks = []
    damaging(monkeypatch, lambda stage: blocks.append((stage / "uploads" / "disk.mp4").stat().st_blocks))
    result = drills.drill(service=None)
    assert result["verdict"] == "passed", result
    if os.stat(Path(drills.layout.component("uploads")) / "disk.mp4").st_blocks == 0:
        assert blocks == [0]


# --- what is chosen


def test_without_the_application(drills):
    result = drills.drill(service=None)
    assert result["verdict"] == "passed" and result["application"] is None and result["steps"][-1]["status"] == "skipped"
    assert "The application was left out" in Path(result["report"]).read_text()


def test_a_release_that_is_gone_is_replaced_by_the_live_one(drills):
    drills.host.live("v2")
    Path(drills.layout.release("v2"), "app.py").write_text(APP)
    assert drills.drill()["application"]["release"] == "v1"
    drills.host.store.remove("v1")
    result = drills.drill()
    assert result["verdict"] == "passed" and result["application"]["release"] == "v2"
    assert result["notes"] == ["release v1, which the archive names, is not on this host any more: the live one was started, v2"]


def test_components_that_are_lacking_are_told(drills, quick_clock):
    archive = drills.backup(components=["database"])
    result = drills.drill(archive=archive)
    assert result["verdict"] == "passed", result
    assert "the archive has no component uploads: the application started with an empty one" in result["notes"]
    assert "the archive has no .env: the application started with the one of this host" in result["notes"]


def test_another_env_needs_to_be_named(drills, quick_clock):
    result = drills.drill(env="staging", archive=drills.archive)
    assert result["step"] == "verify" and "set allow_env to production" in result["reason"]
    assert drills.drill(env="staging", archive=drills.archive, allow_env="production")["verdict"] == "passed"


def test_another_scratch_folder(drills, tmp_path, witness):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert drills.drill(scratch=str(scratch))["verdict"] == "passed"
    assert witness["drill"].startswith(str(scratch) + "/.drill-") and os.listdir(scratch) == []


def test_a_given_port(drills, free_port):
    port = free_port()
    assert drills.drill(port=port)["application"]["port"] == port


def test_check_mode_writes_nothing(drills, snapshot):
    before = snapshot(drills.layout.root)
    result = drills.drill(check=True)
    assert result["changed"] and result["verdict"] == "planned" and result["application"] == {"release": "v1"}
    assert result["files"] == 4 and "drill planned" in result["diff"]["after"]
    damage.flip(drills.archive)
    changed = snapshot(drills.layout.root)
    assert "expected SHA-256" in drills.drill(check=True)["msg"]
    assert snapshot(drills.layout.root) == changed and set(changed) == set(before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"env": ""}, "env ''"),
        ({"scratch": "/nowhere"}, "scratch folder /nowhere: expected a folder, found none"),
        ({"timeout": 0}, "timeout: expected more than 0 seconds, found 0"),
        ({"ready_timeout": -1}, "ready_timeout: expected more than 0 seconds, found -1"),
        ({"service": "other"}, "service other: expected a service that was set up"),
        ({"checks": [{"url": "http://example.org/health"}]}, "the drill asks its own instance only"),
        ({"checks": [{"url": "http://127.0.0.1:1{port}/health"}]}, "the drill asks its own instance only"),
        ({"base_url": "http://127.0.0.1:1"}, None),
    ],
)
def test_what_cannot_begin_is_no_drill(drills, snapshot, options, words):
    before = snapshot(drills.layout.root)
    result = drills.drill(check=True, **options)
    if words is None:  # the service's own address is known without it
        assert result["verdict"] == "planned"
        return
    assert result["failed"] and words in result["msg"] and "\n" not in result["msg"]
    result = drills.drill(**options)
    assert result["failed"] and words in result["msg"] and "verdict" not in result
    assert snapshot(drills.layout.root) == before


def test_a_port_that_is_taken_is_no_drill(drills):
    drills.host.serve()
    result = drills.drill(port=drills.host.port)
    assert "nobody to listen, found process" in result["msg"] and "mobius_drill_port" in result["msg"]
    drills.service.stop()


def test_a_host_that_was_not_set_up(run_module, tmp_path):
    result = run_module(backup_drill, {"root": str(tmp_path), "env": "production"})
    assert "mobius.ops.setup" in result["msg"]


def test_one_at_a_time(drills):
    with scratch_folder.alone(drills.layout):
        assert "expected no other drill, found one that runs" in drills.drill()["msg"]


# --- drills that are killed


def begin(drills, **environment):
    """A drill in a process of its own, that does not end by itself; the process and its application's id."""
    program = (
        "import json, sys\nfrom ansible_collections.mobius.ops.plugins.modules import backup_drill\n"
        "try:\n    facts = backup_drill.run(json.loads(sys.argv[1]), False)\nexcept Exception as error:\n    print(error)\n"
    )
    params = {
        "root": drills.host.root,
        "env": "production",
        "archive": None,
        "dest": None,
        "allow_env": None,
        "scratch": None,
        "service": "mobius",
        "port": 0,
        "environment": {"EXTRA": "ill", **environment},
        "checks": drills.host.raw_checks,
        "headers": {},
        "secret_headers": {},
        "base_url": "",
        "ready_timeout": 10 * HANG,
        "timeout": 10 * HANG,
        "allowed_signers": None,
        "signer": None,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(params)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return process


def application_of(drills):
    """The process of the drill's application, once it answers."""
    scratches = [name for name in os.listdir(drills.layout.root) if name.startswith(".drill-")]
    for name in scratches:
        folder = drills.layout.path(name)
        if os.path.exists(os.path.join(folder, "shared/logs/seen.json")):
            return [pid for pid in scratch_instance.processes_of(folder) if "app.py" in processes.command_line(pid)]
    return []


def test_a_drill_that_is_stopped_clears_away_and_says_so(drills, wait_until):
    process = begin(drills)
    wait_until(lambda: application_of(drills))
    process.send_signal(signal.SIGTERM)
    out, _err = process.communicate(timeout=HANG)
    assert "that it was stopped by SIGTERM" in out
    assert drills.debris() == [] and drills.host.processes() == []
    assert drills.last()["verdict"] == "failed" and drills.last()["step"] == "application"


def test_a_killed_drill_takes_its_application_along_and_the_next_one_sweeps(drills, wait_until):
    process = begin(drills, CHILD="1")
    [pid] = wait_until(lambda: application_of(drills))
    [folder] = [name for name in os.listdir(drills.layout.root) if name.startswith(".drill-")]
    process.kill()
    process.communicate(timeout=HANG)
    wait_until(lambda: processes.start_ticks(pid) is None, what="the application is gone with its drill")
    stray = scratch_instance.processes_of(drills.layout.path(folder))
    assert len(stray) == 1  # its child, which is in a session of its own
    bystander = subprocess.Popen(["sleep", "infinity"], cwd=drills.layout.path(folder))  # a person who looks around there
    try:
        result = drills.drill(service=None)
        assert result["verdict"] == "passed"
        assert result["swept"] == [
            f"ended process {stray[0]} of an earlier drill",
            f"removed {drills.layout.path(folder)} of an earlier drill",
        ]
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    proof(result, drills, "passed")


@pytest.mark.parametrize("moment", ["extract", "compare", "databases", "furnish", "copy_release"])
def test_killed_at_other_moments(drills, moment):
    """Whatever step it is in, the next drill finds its folder."""
    program = (
        "import json, os, signal, sys\nfrom ansible_collections.mobius.ops.plugins.modules import backup_drill\n"
        "from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import extract\n"
        "from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import compare\n"
        "from ansible_collections.mobius.ops.plugins.module_utils._service.scratch import app, folder\n"
        f"for util in (extract, compare, folder, app):\n    if hasattr(util, '{moment}'):\n"
        f"        setattr(util, '{moment}', lambda *words: os.kill(os.getpid(), signal.SIGKILL))\n"
        "backup_drill.run(json.loads(sys.argv[1]), False)"
    )
    params = {
        "root": drills.host.root,
        "env": "production",
        "archive": None,
        "dest": None,
        "allow_env": None,
        "scratch": None,
        "service": "mobius",
        "port": 0,
        "environment": {},
        "checks": [],
        "headers": {},
        "secret_headers": {},
        "base_url": "",
        "ready_timeout": 10 * HANG,
        "timeout": 10 * HANG,
        "allowed_signers": None,
        "signer": None,
    }
    done = subprocess.run([sys.executable, "-c", program, json.dumps(params)], env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    assert done.returncode == -signal.SIGKILL and len(drills.debris()) == 2
    result = drills.drill(service=None)
    assert len(result["swept"]) == 1 and drills.debris() == []


# --- the service user


#: The system's, for the one of the tests may lie where other users cannot go.
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a service as another user")
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="needs the system's python3, which every user can run")
def test_the_application_runs_as_the_service_user(drills, witness, snapshot, tmp_path):
    for folder in [tmp_path, *tmp_path.parents][:-1]:
        if not os.stat(folder).st_mode & 0o001:
            os.chmod(folder, os.stat(folder).st_mode | 0o011)
    for component in ("database", "uploads", "logs"):
        for folder, dirs, names in os.walk(drills.layout.component(component)):
            for name in [".", *dirs, *names]:
                os.chown(os.path.join(folder, name), 65534, 65534, follow_symlinks=False)
    os.chmod(drills.layout.env_file, 0o600)  # the application gets it by environment
    for path in (drills.layout.backups, drills.layout.state):
        os.chmod(path, 0o700)
    os.unlink(drills.archive)
    os.unlink(drills.archive + ".sha256")
    drills.backup()
    drills.host.service(user="nobody", command=[SYSTEM_PYTHON, "-I", "-S", "app.py"])
    result = drills.drill(environment={"TRY": drills.layout.path("shared", "uploads", "planted")})
    assert (result["verdict"], result["reason"]) == ("passed", ""), result["application"]
    assert result["application"]["isolation"] == "mount_namespace"
    assert witness["uid"] == 65534 and witness["mode"] == 0o710
    assert not os.path.exists(drills.layout.path("shared", "uploads", "planted"))
    proof(result, drills, "passed")


def test_an_upload_that_only_begins_like_a_database_does_not_fail_the_drill(drills, quick_clock):
    """On 8a3192d anybody could fail every drill by an upload."""
    Path(drills.layout.component("uploads"), "fake.db").write_bytes(b"SQLite format 3\0" + b"nothing" * 100)
    drills.backup()
    result = drills.drill()
    assert result["verdict"] == "passed", result
    assert "uploads/fake.db" not in [each["path"] for each in result["databases"]]


def test_the_page_needs_nothing_and_escapes_everything(drills, quick_clock):
    evil = "<script>alert(1).png"
    Path(drills.layout.component("uploads"), evil).write_bytes(b"1")
    with contextlib.closing(sqlite3.connect(Path(drills.layout.component("database"), "<b>&.db"))) as made, made:
        made.execute('CREATE TABLE "<i>""quoted""</i>" (one)')
    drills.backup()
    result = drills.drill()
    assert result["verdict"] == "passed", result
    page = Path(result["report"]).read_text()
    assert "<script" not in page and "<i>" not in page and "&lt;i&gt;&quot;quoted&quot;" in page
    assert not re.search(r"(?:src|href|url\(|@import|//)", page.split("<main>")[0].replace("<!doctype", ""))
    assert not re.search(r"\b(?:src|href)=", page)
    assert os.stat(result["report"]).st_mode & 0o777 == 0o640


def test_below():
    below = scratch_sandbox.below
    assert below("/a/b", "/a") and below("/a", "/a") and below("/a", "/") and not below("/ab", "/a")


def test_a_mount_below_the_root_is_guarded_too(drills, witness, tmp_path):
    """Uploads or backups may lie on disks of their own."""
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "none", drills.layout.deps], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        result = drills.drill(environment={"TRY": os.path.join(drills.layout.deps, "x")})
        assert result["application"]["isolation"] == "mount_namespace"
        assert witness["wrote"] == {os.path.join(drills.layout.deps, "x"): "Read-only file system"}
    finally:
        wait_until(lambda: subprocess.run(["umount", drills.layout.deps], capture_output=True).returncode == 0, "it is unmounted")


@pytest.mark.parametrize(
    ("code", "verdict", "told"),
    [
        ("import os, sys; open(os.environ['TRIED'], 'w').write(sys.stdin.read())", "passed", ""),
        ("import sys; sys.exit('relation orders is broken')", "failed", "relation orders is broken"),
        (None, "passed", "compared and not tried: mobius_external_state has no command drill"),
    ],
)
def test_a_dump_of_external_state_is_restored_to_the_place_for_drills_only(drills, tmp_path, code, verdict, told):
    live, tried = tmp_path / "live", tmp_path / "tried"
    live.write_text("the live orders")
    commands = {
        "dump": [sys.executable, "-c", "print('orders', end='')"],
        "restore": ["rm", str(live)],
        "drill": [sys.executable, "-c", code] if code else [],
    }
    fs.write_json(external_state.kept(drills.layout), external_state.normalize(commands, "mobius", False))
    drills.backup()
    result = drills.drill(environment={"TRIED": str(tried)})
    assert result["verdict"] == verdict and told in json.dumps(result), result
    assert live.exists() and (tried.read_text() == "orders" if tried.exists() else told)


def test_deeply_nested_folders(drills, quick_clock):
    deep = Path(drills.layout.component("uploads"), "deep")
    deep.mkdir()
    trees.nest(str(deep), 1100, b"bottom")
    result = drills.drill(archive=drills.backup())
    assert result["verdict"] == "passed", result
    assert drills.debris() == []
    walk.remove(str(deep))
