# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module preflight_request: what CI, people and the calendar say."""

from __future__ import annotations

import datetime
import json
import sys

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._gates.preflight import request as preflight_request_file
from ansible_collections.mobius.ops.plugins.modules import preflight_request, release_artifact

#: A Wednesday.
NOON = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.timezone.utc)
GOOD = {"release_id": "v1-00000000", "path": "/a/v1.tar.gz", "sha256": "ab" * 32}


@pytest.fixture
def ask(run_module, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOON)

    def run(name, **options):
        result = run_module(preflight_request, options)
        assert not result.get("failed"), result
        assert not result["changed"]
        (row,) = [row for row in result["checks"] if row["name"] == name]
        return row

    return run


def test_without_settings_everything_is_skipped(run_module):
    rows = run_module(preflight_request, {})["checks"]
    assert [(row["name"], row["status"]) for row in rows] == [
        (name, "skipped") for name in ("ci", "approvals", "operator", "window", "freeze", "oncall", "artifact")
    ]
    assert all(row["found"] for row in rows)


@pytest.mark.parametrize(
    ("content", "status", "found"),
    [
        ("success\n", "passed", "success"),
        ("FAILED", "failed", "status FAILED"),
        (json.dumps({"state": "success"}), "passed", "success"),
        (json.dumps({"status": "completed", "conclusion": "failure"}), "failed", "status failure"),
        (
            json.dumps({"check_runs": [{"name": "unit", "conclusion": "success"}, {"name": "lint", "conclusion": "failure"}]}),
            "failed",
            "lint failure",
        ),
        (json.dumps([{"name": "unit", "status": "success"}, {"name": "e2e", "status": "skipped"}]), "passed", "2 checks passed"),
        (json.dumps({"jobs": [{"name": "unit", "conclusion": None}]}), "failed", "unit without a status"),
        (json.dumps({"check_runs": []}), "failed", "expected a word, or JSON with status"),
        (json.dumps({"check_runs": [5]}), "failed", "expected a word, or JSON with status"),
        ("", "failed", "expected a word, or JSON with status"),
    ],
)
def test_ci_by_a_file(ask, tmp_path, content, status, found):
    path = tmp_path / "ci"
    path.write_text(content)
    row = ask("ci", ci=str(path))
    assert row["status"] == status and found in row["found"] and bool(row["remedy"]) == (status == "failed"), row


def test_ci_by_a_file_that_is_not_there(ask):
    row = ask("ci", ci="/nonexistent/ci.json")
    assert row["status"] == "failed" and "CI status /nonexistent/ci.json: expected a file on the controller" in row["found"]


def test_ci_by_a_command(ask, tmp_path, monkeypatch):
    assert ask("ci", ci=[sys.executable, "-c", "print('all green')"])["status"] == "passed"
    row = ask("ci", ci=[sys.executable, "-c", "print('2 jobs failed'); raise SystemExit(3)"])
    assert row["status"] == "failed" and "exit status 3 (2 jobs failed)" in row["found"]
    assert "the program no-such-ci" in ask("ci", ci=["no-such-ci"])["found"]
    assert "Permission denied" in ask("ci", ci=[str(tmp_path)])["found"]
    monkeypatch.setattr(preflight_request_file, "PATIENCE", 0.2)
    assert "expected an end within 0.2 s" in ask("ci", ci=["sleep", "20"])["found"]


@pytest.mark.parametrize(
    ("approvals", "status", "found"),
    [
        ([], "failed", "nobody"),
        ("anna:ops", "failed", "anna (ops)"),
        ("anna:dev,bert:dev", "failed", "anna (dev), bert (dev)"),
        ("anna:ops, Anna:dev", "failed", "anna (ops, dev)"),
        ("anna:ops, bert:dev", "passed", "anna (ops), bert (dev)"),
        ("anna:OPS,bert", "passed", "anna (OPS), bert"),
        ([{"name": "anna", "role": "dev"}, {"name": "bert", "role": "ops"}], "passed", "anna (dev), bert (ops)"),
        (["anna"], "failed", "expected a list of {name, role}"),
        ([{"role": "ops"}], "failed", "expected a list of {name, role}"),
    ],
)
def test_approvals(ask, approvals, status, found):
    row = ask("approvals", approvals=approvals, min_approvals=2)
    assert row["status"] == status and found in row["found"] and bool(row["remedy"]) == (status == "failed"), row


def test_approvals_of_any_role(ask):
    assert ask("approvals", approvals="anna:dev", min_approvals=1, approval_role="")["status"] == "passed"


def test_the_operator(ask):
    assert ask("operator", operator="anna")["status"] == "passed"
    row = ask("operator", needs_operator=True)
    assert row["status"] == "failed" and "mobius_operator" in row["remedy"]


@pytest.mark.parametrize(
    ("windows", "watch", "status", "words"),
    [
        (["Mon-Thu 09:00-16:00"], 3600, "passed", "Wed 12:00 UTC, the window ends at Wed 16:00 UTC"),
        (["Mon-Thu 09:00-12:30"], 3600, "failed", "the window ends at Wed 12:30 UTC, the watch would at Wed 13:00 UTC"),
        (["Mon-Thu 09:00-12:30", "Wed 12:30-13:00"], 3600, "passed", "ends at Wed 13:00 UTC"),
        (["Fri 09:00-16:00"], 0, "failed", "Wed 12:00 UTC, outside of every window"),
        (["12:00-13:00"], 0, "passed", "ends at Wed 13:00 UTC"),
        (["11:00-12:00"], 0, "failed", "outside of every window"),
        (["Tue 22:00-12:01"], 0, "passed", "ends at Wed 12:01 UTC"),
        (["Sat-Wed 10:00-13:00"], 0, "passed", "ends at Wed 13:00 UTC"),
        (["00:00-24:00"], 10**6, "passed", "always open"),
        (["Wen 09:00-16:00"], 0, "failed", "mobius_deploy_windows 'Wen 09:00-16:00': expected days and hours in UTC"),
        (["Mon 09:00-25:00"], 0, "failed", "expected days and hours in UTC"),
        (["weekdays"], 0, "failed", "expected days and hours in UTC"),
    ],
)
def test_the_window(ask, windows, watch, status, words):
    row = ask("window", windows=windows, watch_duration=watch)
    assert row["status"] == status and words in row["found"], row


def test_outside_of_a_window_the_next_one_is_named(ask):
    assert ask("window", windows=["Tue 09:00-16:00", "Fri 10:00-11:00"])["remedy"] == "wait until Fri 10:00 UTC"


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [
        (["2026-11-25"], "failed", "2026-11-25"),
        (["2026-11-20/2026-11-25 audit"], "failed", "2026-11-20/2026-11-25 audit"),
        (["2026-11-25/ until the audit ends"], "failed", "until the audit ends"),
        (["2026-11-26/2026-11-30", "2026-11-24"], "passed", "none on 2026-11-25"),
        (["Christmas"], "failed", "mobius_deploy_freeze 'Christmas': expected a day"),
        (["2026-11-31"], "failed", "expected a day"),
        (["2026-11-25/2026-11-20"], "failed", "expected a day"),
    ],
)
def test_a_freeze(ask, days, status, words):
    row = ask("freeze", freeze=days)
    assert row["status"] == status and words in row["found"], row


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        (GOOD, "passed", "release v1-00000000, SHA-256 abababababababab…"),
        ({**GOOD, "path": None, "sha256": None}, "skipped", "release v1-00000000 is built by the deploy"),
        ({"skipped": True}, "skipped", "mobius_release_source is empty"),
        ({"msg": "artifact x: expected SHA-256 0, found 1."}, "failed", "artifact x: expected SHA-256 0, found 1."),
    ],
)
def test_the_artifact(ask, facts, status, words):
    row = ask("artifact", artifact=facts)
    assert row["status"] == status and words in row["found"], row


def test_what_to_do_about_the_artifact_is_what_its_error_says(ask, run_module, tmp_path):
    wrong = run_module(release_artifact, {"source": "/nonexistent", "version": "1", "store": str(tmp_path)})
    row = ask("artifact", artifact=wrong)
    assert row["remedy"] == "Correct mobius_release_source" and row["found"].endswith("none of them on the controller."), row
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "package.json").write_text("{}")
    full = run_module(
        release_artifact,
        {
            "source": str(tmp_path / "app"),
            "version": "1",
            "store": str(tmp_path / "store"),
            "build_command": ["sh", "-c", "echo 'ENOSPC: no space left on device, write' >&2; exit 1"],
        },
    )
    row = ask("artifact", artifact=full)
    assert row["remedy"] == "Free disk space on this machine, then run it again", row
    assert row["found"].endswith("found 1 (ENOSPC: no space left on device, write)."), row


def test_an_artifact_that_failed_without_a_remedy_does_not_blame_the_source(ask):
    assert ask("artifact", artifact={"msg": "/srv/store: Permission denied."})["remedy"] == "correct the cause and run it again"


PEOPLE = {
    "contacts": {"channels": {"mail": {}}, "people": {"anna": {"channels": ["mail"]}}},
    "oncall": {"sre": {"people": ["anna"], "start": "2026-11-02"}},
    "escalation": {"1": [{"after": 0, "notify": ["sre"]}]},
}


@pytest.mark.parametrize(
    ("change", "status", "found"),
    [
        ({}, "passed", "On call: sre: anna."),
        ({"oncall": {"sre": {}}}, "failed", "On call: sre: nobody. Severity 1 reaches nobody."),
        ({"escalation": {}}, "failed", "No escalation chain is set: an incident calls nobody."),
        (
            {"escalation": {"1": [{"notify": ["cto"]}]}},
            "failed",
            "mobius_escalation.1[0].notify: 'cto' is not a schedule, person or channel.",
        ),
    ],
)
def test_who_is_on_call(ask, change, status, found):
    row = ask("oncall", **{**PEOPLE, **change})
    assert row["status"] == status and row["found"].startswith(found) and bool(row["remedy"]) == (status == "failed"), row
