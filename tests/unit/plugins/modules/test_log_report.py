"""The logs of a host, through the module."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.modules import log_report

LINES = """\
2026-11-26T08:00:00.123Z INFO started
2026-11-26T08:05:01.123Z ERROR upload of /opt/x/board.png failed: LIMIT_FILE_SIZE
2026-11-26T08:30:01.123Z ERROR upload of /opt/x/other.png failed: LIMIT_FILE_SIZE
2026-11-26T09:30:02.123Z ERROR login with sekret-of-the-test42\x1b[2J failed
2026-11-26T09:31:00.123Z INFO POST /api/projects/7 500 1250.5ms
"""
NGINX = '203.0.113.7 - - [26/Nov/2026:08:10:00 +0000] "POST /upload-images HTTP/1.1" 413 7 "-" "a" 0.004\n' * 3


@pytest.fixture
def root(tmp_path):
    """A host whose service has two logs, and a release since nine o'clock."""
    layout = Layout(str(tmp_path / "mobius"))
    for folder in layout.folders():
        os.makedirs(folder, exist_ok=True)
    with open(layout.env_file, "w", encoding="utf-8") as stream:
        stream.write("MOBIUS_API_KEYS=sekret-of-the-test42\n")
    for name, text in (("app.log", LINES), ("nginx.log", NGINX)):
        with open(os.path.join(layout.component("logs"), name), "w", encoding="utf-8") as stream:
            stream.write(text)
    with open(layout.history, "w", encoding="utf-8") as stream:
        stream.write(json.dumps({"when": "2026-11-26T09:00:00Z", "what": "active", "release": "v2"}) + "\n")
    return layout


def run(run_module, layout, **options):
    return run_module(log_report, {"root": layout.root, **options})


def test_the_report(root, run_module):
    result = run(run_module, root)
    assert not result["changed"] and result["message"] == (
        "2 error templates in 8 lines, 1 new since the last deploy; of 4 requests 1 failed (5xx) and 3 were refused (4xx)."
    )
    first, second = result["errors"]
    assert (first["template"], first["count"], first["upload"], first["release"]) == (
        "upload of <path> failed: LIMIT_FILE_SIZE",
        2,
        True,
        "",
    )
    assert (second["template"], second["new"], second["release"]) == ("login with ******** failed", True, "v2")
    assert [one["template"] for one in result["uploads"]["errors"]] == [first["template"]]
    assert [(one["route"], one["count"]) for one in result["uploads"]["failures"]] == [("POST /upload-images", 3)]
    assert {(one["route"], one["status"], one["count"]) for one in result["writes"]} == {
        ("POST /upload-images", "413", 3),
        ("POST /api/projects/:id", "500", 1),
    }
    assert result["clients"][0]["client"] == "203.0.113.x" and result["slowest"][0]["ms"] == 1250.5
    assert [one["route"] for one in result["routes"]] == ["POST /api/projects/:id", "POST /upload-images"]
    assert result["period"] == {"since": "", "first": "2026-11-26T08:00:00Z", "last": "2026-11-26T09:30:00Z"}
    everything = json.dumps(run(run_module, root, since="2000-01-01T00:00:00Z", explain=True))
    assert "sekret" not in everything and "203.0.113.7" not in everything and "203.0.113.x - -" in everything
    assert "sekret" not in json.dumps(result) and "\\u001b" not in json.dumps(result) and "203.0.113.7" not in json.dumps(result)


def test_a_second_run_reads_nothing_and_says_the_same(root, run_module):
    first, second = run(run_module, root), run(run_module, root)
    assert second["read"] == [] and {**first, "read": []} == second
    assert os.stat(root.path("state", "logs.json")).st_mode & 0o777 == 0o600


def test_check_mode_reports_and_writes_nothing(root, run_module, snapshot):
    before = snapshot(root.root)
    result = run_module(log_report, {"root": root.root}, check=True)
    assert result["lines"] == 8 and snapshot(root.root) == before


@pytest.mark.parametrize("since, lines", [("2026-11-26T08:30:00Z", 3), ("deploy", 2), ("2026-11-27T00:00:00Z", 0)])
def test_a_period_is_read_anew_and_leaves_no_trace(root, run_module, since, lines):
    for name in ("app.log", "nginx.log"):
        os.utime(os.path.join(root.component("logs"), name), (1795690000, 1795690000))  # 26 November, 12:26
    run(run_module, root)
    with open(root.path("state", "logs.json"), encoding="utf-8") as stream:
        before = stream.read()
    result = run(run_module, root, since=since)
    assert result["lines"] == lines and result["period"]["since"]
    with open(root.path("state", "logs.json"), encoding="utf-8") as stream:
        assert stream.read() == before


def test_full_addresses_and_explanations_when_asked(root, run_module):
    result = run(run_module, root, addresses="full", explain=True, rows=1)
    assert result["clients"][0]["client"] == "203.0.113.7" and len(result["routes"]) == 1
    errors = result["explained"]["errors"]
    assert (errors["both"], errors["grep_only"], errors["report_only"]) == (3, 0, 4) and len(errors["lines"]) == 1


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"since": "yesterday"}, "expected a time such as 2026-11-27T08:00:00Z, a time ago such as 24h, or deploy, found 'yesterday'."),
        ({"files": ["logs/*.log"]}, "files: logs/*.log: expected an absolute path, with wildcards in its last part only"),
        ({"units": ["--help"]}, "units: --help: expected the name of a unit, such as mobius.service, found '--help'."),
        ({"rows": 0}, "rows: expected 1 or more, found 0."),
        ({"slow_ms": -1}, "slow_ms: expected 0 or more, found -1."),
        ({"processes": 0}, "processes: expected 1 or more, found 0."),
        ({"max_mb": 0}, "max_mb: expected 1 or more"),
        ({"keep_days": 0}, "keep_days: expected 1 or more"),
        ({"root": "/no/root"}, "Run the playbook mobius.ops.setup first, or correct mobius_root."),
    ],
)
def test_what_cannot_be_done_is_said(root, run_module, options, sentence):
    result = run_module(log_report, {"root": root.root, **options})
    assert result["failed"] and sentence in result["msg"]


def test_a_deploy_that_never_was(root, run_module):
    os.unlink(root.history)
    result = run(run_module, root, since="deploy")
    assert result["failed"] and result["msg"].startswith("since: deploy: expected a deploy in the history, found none.")


def test_no_logs(root, run_module):
    result = run(run_module, root, files=["/no/such/*.log"])
    assert result["message"] == "No line of a log was found: /no/such: not there." and result["passed"] == [
        {"path": "/no/such", "why": "not there"}
    ]


@pytest.mark.parametrize(
    "content, warning",
    [
        ("{", "expected how far the logs were read"),
        ("{}", "expected how far the logs were read"),
        (
            '{"version": 0, "slow_ms": 1000, "cursors": {}, "marks": [], "totals": {}}',
            "slow_ms is another one than before, or the collection is.",
        ),
        (
            '{"version": 1, "slow_ms": 1000, "cursors": {}, "marks": [], "totals": {"a": {"b": {"lines": 1, "looked": 1, '
            '"malformed": 0, "failures": {}, "writes": {}, "clients": {}, "slowest": [[1]], "slots": {"x": [1]}, '
            '"routes": {}, "groups": {}}}}}',
            "is damaged, so the logs are read",
        ),
    ],
)
def test_a_damaged_state_is_told_and_made_anew(root, run_module, content, warning):
    with open(root.path("state", "logs.json"), "w", encoding="utf-8") as stream:
        stream.write(content)
    result = run(run_module, root)
    assert result["lines"] == 8 and warning in result["warnings"][0]
    assert "warnings" not in run(run_module, root)
