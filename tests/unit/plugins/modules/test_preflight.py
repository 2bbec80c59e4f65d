# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module preflight."""

from __future__ import annotations

import datetime
import os
import pathlib
import socket

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import host as preflight_host
from ansible_collections.mobius.ops.plugins.module_utils._service.proxy import haproxy
from ansible_collections.mobius.ops.plugins.module_utils._service.slots import SlottedService
from ansible_collections.mobius.ops.plugins.module_utils._target import deploy_lock, history, json_stores
from ansible_collections.mobius.ops.plugins.modules import preflight


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A PATH with programs that answer quickly, an ffmpeg with two encoders, and one that is broken."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (
        ("node", "echo v20.1.0"),
        ("broken", "exit 3"),
        (
            "ffmpeg",
            "case $1 in -version) echo 'ffmpeg version 6';; esac; "
            "case $2 in -encoders) echo ' V....D libx264  H.264'; echo ' A....D aac  AAC'; "
            "echo ' A....D mute  M';; esac;"
            " case \"$*\" in *mute*-f*nut*) echo 'no sound today' >&2; exit 1;; esac",
        ),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.fixture
def check(host, run_module, tools):
    def run(**options):
        given = {"programs": {"node": "--version", "ffmpeg": "-version"}, "min_free_mb": 1, **options}
        return run_module(preflight, {"root": host.root, **given})

    return run


def point(result, name):
    (found,) = [row for row in result["checks"] if row["name"] == name]
    return found


def test_a_host_that_can_take_a_deploy(check, host, snapshot):
    host.live("r1")
    host.service()
    before = snapshot(host.root)
    result = check()
    assert not result["changed"] and result["passed"] and result["waived_by"] is None
    assert {row["name"]: row["status"] for row in result["checks"]} == {
        "write": "passed",
        "node": "passed",
        "ffmpeg": "passed",
        "encoders": "passed",
        "port": "passed",
        "env_file": "passed",
        "stores": "skipped",
        "dependencies": "skipped",
        "disk": "passed",
        "memory": "skipped",
        "clock": "skipped",
        "backup": "skipped",
        "proxy": "skipped",
        "lock": "passed",
    }
    assert [row for row in result["checks"] if not row["found"] or row["remedy"]] == []
    assert point(result, "node")["found"] == "v20.1.0"
    assert snapshot(host.root) == before


def test_json_stores(check, host, monkeypatch):
    host.live("r1")
    host.service()
    path = os.path.join(host.layout.component("database"), "images.json")
    with open(path, "w") as stream:
        stream.write(f'["{host.root}/releases/r1/data/x"]')
    assert (
        point(check(), "stores")["found"]
        == "images.json: whole; images.json has 1 paths below releases/, which the next start of the service corrects"
    )
    os.truncate(path, 9)
    monkeypatch.setattr(json_stores, "PATIENCE", 0)
    result = check()
    assert result["failed"] and "stores (images.json: none: Unterminated string" in result["msg"] and "restore them" in result["msg"]


def test_a_file_that_would_leave_the_application_half_configured(check, host):
    host.live("r1")
    assert point(check(), "env_file")["status"] == "skipped"  # there is no service yet
    host.service()
    os.unlink(host.layout.env_file)
    assert point(check(), "env_file")["found"] == f"none at {host.layout.env_file}"
    with open(host.layout.env_file, "w", encoding="utf-8") as stream:
        stream.write("KEY=1\nMY KEY=s3cret\n")
    result = check()
    assert result["failed"] and ".env: expected NAME=value in line 2, with a name of" in result["msg"] and "s3cret" not in str(result)
    assert check(skip=["env_file"], why="x")["msg"].endswith("a deploy cannot do without env_file."), "the deploy itself would refuse it"


def test_the_services_own_port_is_fine(check, host):
    host.live("r1")
    host.serve()
    assert point(check(), "port")["status"] == "passed"


@pytest.mark.parametrize(
    "options, name, words",
    [
        ({"programs": {"no-such-node": "-v"}}, "no-such-node", "no program no-such-node on the PATH"),
        ({"programs": {"broken": "-v"}}, "broken", "exit status 3"),
        ({"encoders": ["libx264", "libx999"]}, "encoders", "missing: libx999"),
        ({"encoders": ["libx264", "mute"]}, "encoders", "mute fails: no sound today"),
        ({"min_free_mb": 10**12}, "disk", "free on the file system"),
        ({"service": "other"}, "port", "service other: expected a service that was set up"),
        ({"port": 1}, "port", "not 1"),
        ({"min_versions": {"node": "20.2"}}, "node", "v20.1.0"),
        ({"programs": {"true": "-v"}, "min_versions": {"true": "4"}}, "true", "no version in ''"),
        ({"min_versions": {"no-such-program": "1"}}, "no-such-program", "no program no-such-program on the PATH"),
        ({"min_memory_mb": 10**9}, "memory", "available"),
        ({"max_clock_skew": 5, "clock_skew": -7.04}, "clock", "7.0 s behind"),
        ({"max_clock_skew": 5}, "clock", "it could not be measured"),
        ({"backup_max_age": 1, "env": "local", "backup_dir": "/nonexistent"}, "backup", "backup folder /nonexistent: expected a folder"),
        ({"given": [{"name": "ci", "status": "failed", "found": "syntax", "expected": "a", "remedy": "mend it"}]}, "ci", "syntax"),
    ],
)
def test_each_point_that_does_not_pass_is_named_with_its_remedy(check, host, options, name, words):
    host.service()
    result = check(**options)
    row = point(result, name)
    assert row["status"] == "failed" and words in row["found"] and row["expected"] and row["remedy"]
    assert "1 of " in result["msg"] and f"{name} ({row['found']})" in result["msg"] and row["remedy"] in result["msg"]
    assert not result["passed"]


def test_all_failures_are_in_one_message(check, host):
    result = check(min_free_mb=10**12, min_memory_mb=10**9, min_versions={"node": "99"})
    assert result["msg"].startswith(
        "preflight of this host: expected every check to pass, found 4 of 8 that do not: node (v20.1.0); port ("
    )
    assert "install node 99 or newer; " in result["msg"] and "mobius_min_memory_mb" in result["msg"]


@pytest.mark.parametrize(
    "options",
    [
        {"min_versions": {"node": "20"}},
        {"min_versions": {"node": "20.1.0.0"}},
        {"min_memory_mb": 1},
        {"min_free_mb": 0},
        {"max_clock_skew": 5, "clock_skew": 4.9},
        {"max_clock_skew": 5, "clock_skew": -5},
        {"encoders": []},
    ],
)
def test_what_is_enough(check, host, options):
    host.service()
    assert check(**options)["passed"]


def test_a_version_that_is_none_is_refused(check, host):
    host.service()
    assert "mobius_min_versions of node: expected a version" in check(min_versions={"node": "new"})["msg"]


def test_a_waiver_is_kept_with_who_and_why(check, host, monkeypatch):
    host.service()
    monkeypatch.setenv("MOBIUS_OPERATOR", "anna")
    options = {"min_free_mb": 10**12, "skip": ["disk", "node"], "why": "the new disk comes at noon"}
    result = check(**options)
    assert result["passed"] and point(result, "disk")["status"] == "waived" and point(result, "disk")["remedy"]
    assert point(result, "node")["status"] == "passed"
    by = result["waived_by"]
    assert (by["who"], by["why"], by["checks"]) == ("anna", "the new disk comes at noon", ["disk"]) and by["when"].endswith("Z")
    (event,) = history.events(host.layout)
    assert (event["what"], event["who"], event["why"], event["waived"], event["failed"], event["verdict"]) == (
        "preflight",
        "anna",
        "the new disk comes at noon",
        ["disk"],
        [],
        "passed",
    )


def test_a_waiver_that_is_in_the_history_already_is_not_written_again(check, host):
    host.service()
    options = {"min_free_mb": 10**12, "min_memory_mb": 10**9, "skip": ["disk", "memory"], "why": "x"}
    check(**options, recorded=["disk", "memory"])
    assert list(history.events(host.layout)) == []
    check(**options, recorded=["disk"])
    (event,) = history.events(host.layout)
    assert event["waived"] == ["disk", "memory"]


def test_only_what_is_named_is_waived(check, host):
    host.service()
    result = check(min_free_mb=10**12, min_memory_mb=10**9, skip=["disk"], why="x")
    assert "1 of 9 that do not: memory (" in result["msg"] and result["waived_by"]["checks"] == ["disk"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"skip": ["dsik"], "why": "x"},
            "mobius_preflight_skip: expected some of node, ffmpeg, encoders, stores, dependencies, disk, memory, "
            "clock, backup, proxy, found 'dsik'. Correct it.",
        ),
        ({"skip": ["port"], "why": "x"}, "a deploy cannot do without port"),
        ({"skip": ["disk"], "why": " "}, "mobius_why: expected why disk may be waived, found nothing"),
        ({"given": [{"name": "ci"}]}, "given checks: expected rows with name"),
    ],
)
def test_a_waiver_that_is_refused(check, host, snapshot, options, sentence):
    host.service()
    before = snapshot(host.root)
    assert sentence in check(min_free_mb=10**12, **options)["msg"]
    assert snapshot(host.root) == before


def test_the_result_is_recorded_when_that_is_asked_for(check, host):
    host.service()
    check(record=True)
    check(record=True, min_free_mb=10**12)
    assert [(event["verdict"], event["failed"]) for event in history.events(host.layout)] == [("passed", []), ("failed", ["disk"])]


def test_check_mode_writes_nothing(host, run_module, tools, snapshot):
    host.service()
    before = snapshot(host.root)
    given = {"root": host.root, "programs": {"node": "--version"}, "encoders": [], "record": True, "min_free_mb": 10**12}
    assert run_module(preflight, {**given, "skip": ["disk"], "why": "x"}, check=True)["waived_by"]["checks"] == ["disk"]
    assert snapshot(host.root) == before


def backup_row(run_module, some_host, **options):
    result = run_module(
        preflight,
        {
            "root": some_host.root,
            "programs": {},
            "encoders": [],
            "min_free_mb": 0,
            "backup_max_age": 1,
            "env": getattr(some_host, "env", "local"),
            **options,
        },
    )
    return point(result, "backup")


def test_the_last_backup(run_module, state_host, quick_clock):
    made = state_host.backup()
    row = backup_row(run_module, state_host)
    assert row["status"] == "passed" and made["archive"] in row["found"] and "verified" in row["found"], row
    state_host.backup(components=["logs"])
    assert made["archive"] in backup_row(run_module, state_host)["found"]  # one of the logs alone does not stand for it
    state_host.restore(made["archive"])
    assert made["archive"] in backup_row(run_module, state_host)["found"]  # nor one of what a restore replaced


def test_a_host_without_a_backup(run_module, host):
    assert backup_row(run_module, host)["status"] == "skipped"  # nor a release: a first deploy
    host.live("r1")
    row = backup_row(run_module, host)
    assert row["status"] == "failed" and "none of local in" in row["found"]


def test_a_backup_that_is_too_old(run_module, state_host, monkeypatch):
    made = state_host.backup()
    later = clock.now() + datetime.timedelta(minutes=61)
    monkeypatch.setattr(clock, "now", lambda: later)
    row = backup_row(run_module, state_host)
    assert row["status"] == "failed" and f"{made['archive']}, 61 min old, verified" in row["found"]
    assert backup_row(run_module, state_host, backup_max_age=2)["status"] == "passed"


def test_a_backup_that_is_damaged(run_module, state_host):
    archive = pathlib.Path(state_host.backup()["archive"])
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    row = backup_row(run_module, state_host)
    assert row["status"] == "failed" and "corrupt" in row["found"] and row["remedy"] == "make one: mobius.ops.backup"


def test_a_program_that_hangs(check, host, tools, tmp_path, monkeypatch):
    host.service()
    (tmp_path / "bin" / "slow").write_text("#!/bin/sh\nexec sleep 20\n")
    (tmp_path / "bin" / "slow").chmod(0o755)
    monkeypatch.setattr(preflight_host, "PATIENCE", 0.2)
    assert "version of slow: slow" not in (found := point(check(programs={"slow": "-v"}), "slow")["found"])
    assert "expected an end within 0.2 s" in found


def test_memory_that_is_not_told(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 5 kB\n")
    row = preflight_host.memory(5, str(tmp_path / "meminfo"))
    assert row["status"] == "failed" and "does not tell" in row["found"]


def test_a_port_in_use(check, host):
    host.service()
    with socket.create_server(("127.0.0.1", host.port)):
        row = point(check(), "port")
    assert row["status"] == "failed" and f"process {os.getpid()}" in row["found"]
    assert row["remedy"] == "Stop that program or give another mobius_port"


def test_a_host_that_was_not_set_up(run_module, tmp_path):
    assert "mobius.ops.setup" in run_module(preflight, {"root": str(tmp_path)})["msg"]


def test_a_deploy_that_runs(check, host):
    host.live("r1")
    host.service()
    lock = deploy_lock.DeployLock(host.layout)
    lock.hold({"owner": "ada", "host": "laptop", "reason": "deploy of v9", "env": "production", "expiry": 900.0, "process": ""})
    found = point(check(), "lock")
    assert found["status"] == "failed" and "held by ada on laptop since" in found["found"] and "force_unlock" in found["remedy"]
    assert point(check(lock=False), "lock")["status"] == "skipped"


def test_the_real_ffmpeg_encodes_a_moment():
    assert preflight_host.encoders(["libx264", "aac"])["found"] == "libx264, aac encoded a moment of picture and sound"


def test_an_ffmpeg_that_does_not_start_is_not_called_one_without_encoders(tmp_path, monkeypatch):
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\necho 'ffmpeg: error while loading shared libraries: libavdevice.so.59' >&2; exit 127\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    row = preflight_host.encoders(["libx264"])
    assert row["found"] == "ffmpeg: exit status 127 (ffmpeg: error while loading shared libraries: libavdevice.so.59)"
    assert row["remedy"] == "repair the installation of ffmpeg"


def test_a_proxy_that_does_not_run_or_was_set_up_otherwise(host, check, monkeypatch):
    host.live("r1")
    service = host.service()
    spec = {
        **service.spec,
        "slots": [1, 2],
        "state": "shared",
        "drain_timeout": 1.0,
        "drain_force": False,
        "job_programs": [],
        "proxy": {"host": "127.0.0.1", "port": 3, "certificate": "", "max_body": 1, "max_connections": 1, "timeout": 1, "url": ""},
    }
    monkeypatch.setattr(preflight_host.service_registry, "load", lambda *_words: SlottedService(host.layout, spec))
    assert "nobody answers on the socket" in preflight_host.proxy(host.layout, "mobius")["found"]
    monkeypatch.setattr(haproxy.Proxy, "answers", lambda _self: True)
    assert "another configuration" in preflight_host.proxy(host.layout, "mobius")["found"]
    monkeypatch.setattr(haproxy.Proxy, "differs", lambda _self: False)
    assert preflight_host.proxy(host.layout, "mobius")["found"] == "port 3, to the instance on port 1"
