# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The evidence that an incident gathers from real files."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._incidents import evidence, opening
from ansible_collections.mobius.ops.plugins.module_utils._target import history, incident_record, incidents

FACTS = {"title": "Renders fail", "severity": 2, "env": "test"}


@pytest.fixture
def busy(host, secret):
    """A host with releases, a watch, logs, a backup and a history."""
    host.live("r1")
    host.live("r2")
    history.record(host.layout, "backup", archive="/b/dhash_test_1.zip")
    rounds = [
        {"when": clock.iso(), "what": "round", "round": number, "outcome": "failed" if number > 2 else "ok", "fault": f"status 50{number}"}
        for number in range(1, 6)
    ]
    host_look = {
        "when": clock.iso(),
        "what": "host",
        "metrics": [{"metric": "disk_pct", "subject": "/", "value": 97, "unit": "%", "status": "critical"}],
    }
    lines = [json.dumps(each) for each in [*rounds, host_look]] + ["{", "[]", ""]
    fs.write_text(host.layout.path("monitor_logs", "metrics-test-20261127_120000.jsonl"), "\n".join(lines))
    fs.write_text(host.layout.path("monitor_logs", "metrics-other-20261127_130000.jsonl"), "{}\n")
    log = os.path.join(host.layout.component("logs"), "app.log")
    with open(log, "w", encoding="utf-8") as stream:
        stream.write("".join(f"{clock.iso()} ERROR render {number} failed with key {secret}\n" for number in range(50)))
    return host


def test_every_part_is_gathered(busy, secret):
    record = opening.open_incident(busy.layout, FACTS)
    found = record["evidence"]
    assert "not_gathered" not in found
    assert [(one["id"], one.get("live", False)) for one in found["releases"]] == [("r2", True), ("r1", False)]
    assert [one["round"] for one in found["failing_samples"]] == [3, 4, 5] and found["failing_samples"][0]["fault"] == "status 503"
    (error,) = found["errors"]
    assert error["count"] == 50 and "render <n> failed" in error["template"]
    assert len(found["log_lines"]) == 20 and found["log_lines"][-1].startswith("app.log: ") and "********" in found["log_lines"][-1]
    assert found["last_backup"]["archive"] == "/b/dhash_test_1.zip"
    assert any(" backup" in line for line in found["history"])
    assert found["metrics"][0].endswith("Z disk_pct / 97 % critical") and "cpu_pct" in found["metrics"][-1]
    assert [event["what"] for event in record["events"]] == ["opened", "gathered"] and record["events"][1]["itself"]
    written = [path for path in busy.files_with(secret) if "app.log" not in path]
    assert written == [] and secret not in json.dumps(record)


def test_what_the_opener_gave_stays_and_it_is_gathered_once(busy):
    record = opening.open_incident(busy.layout, {**FACTS, "cause": "renders", "evidence": {"releases": "mine"}})
    assert record["evidence"]["releases"] == "mine" and record["evidence"]["errors"]
    again = opening.open_incident(busy.layout, {**FACTS, "cause": "renders", "severity": 1})
    assert again["id"] == record["id"] and [event["what"] for event in again["events"]] == ["opened", "gathered", "again"]


def test_an_empty_host_opens_an_incident_too(host):
    record = opening.open_incident(host.layout, FACTS)
    assert set(record["evidence"]) == {"metrics", "history"} and record["status"] == "open"


def test_a_part_that_fails_or_hangs_is_named_and_the_others_are_there(host):
    release = threading.Event()

    def fails(*_words):
        raise StateError("the log", todo="Mount it")

    collectors = {
        "good": lambda *_words: ["a"],
        "bad": fails,
        "broken": lambda *_words: 1 / 0,
        "nothing": lambda *_words: [],
        "hung": lambda *_words: release.wait(HANG),
    }
    found = evidence.gather(host.layout, "test", patience=0.5, collectors=collectors)
    release.set()
    assert found == {
        "good": ["a"],
        "not_gathered": {
            "bad": "StateError: the log. Mount it.",
            "broken": "ZeroDivisionError: division by zero",
            "hung": "no answer within 0.5 s",
        },
    }


def test_an_incident_is_open_before_anything_is_gathered(host, monkeypatch):
    seen = []
    monkeypatch.setattr(evidence, "gather", lambda layout, env: seen.append(incident_record.names(layout)) or {})
    name = opening.open_incident(host.layout, FACTS)["id"]
    assert seen == [[name]]


def test_a_full_disk_after_the_opening_loses_the_evidence_and_not_the_incident(host, monkeypatch):
    def full(*_words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(incidents, "add_evidence", full)
    record = opening.open_incident(host.layout, FACTS)
    assert incident_record.read(host.layout, record["id"])["status"] == "open"


def test_evidence_is_bounded(host):
    long = {
        "list": lambda *_words: [{"n": number, "text": "x" * 9000} for number in range(500)],
        "text": lambda *_words: "y" * 10**6,
        "tree": lambda *_words: {str(number): "z" * 2000 for number in range(100)},
    }
    found = evidence.gather(host.layout, "test", collectors=long)
    assert all(len(json.dumps(each)) <= 40_000 for each in found.values())
    assert found["list"][-1]["n"] == 499, "the newest rows stay"


def test_only_the_end_of_a_long_log_is_read(busy, monkeypatch):
    monkeypatch.setattr(evidence, "_LOG", 2000)
    (error,) = evidence.gather(busy.layout, "test", collectors={"errors": evidence._errors})["errors"]
    assert 0 < error["count"] < 40


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/etc/passwd", path), lambda path: os.link("/proc/self/exe", path)])
def test_nothing_is_read_that_only_looks_like_a_log(host, make, tmp_path):
    log = os.path.join(host.layout.component("logs"), "app.log")
    try:
        make(log)
    except OSError:  # another file system
        target = tmp_path / "target"
        target.write_text(f"{clock.iso()} ERROR of another file\n")
        os.link(target, log)
    os.utime(log, (time.time(), time.time()), follow_symlinks=False)
    found = opening.open_incident(host.layout, FACTS)["evidence"]
    assert "log_lines" not in found and "errors" not in found and "root:" not in json.dumps(found)


def test_a_log_that_is_exchanged_while_it_is_read_is_left_out(busy, monkeypatch):
    log = os.path.join(busy.layout.component("logs"), "app.log")
    (job,) = evidence._jobs(busy.layout, 0)
    os.unlink(log)
    os.symlink("/etc/passwd", log)
    monkeypatch.setattr(evidence, "_jobs", lambda *_words: iter([job]))
    found = evidence.gather(busy.layout, "test", collectors={"log_lines": evidence._log_lines, "errors": evidence._errors})
    assert "root:" not in json.dumps(found) and "log_lines" not in found
