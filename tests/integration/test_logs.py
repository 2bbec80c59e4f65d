"""What the logs of a host say, by the playbook: the real application's log, its access log, and that of nginx."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.xdist_group("health")
NGINX = '203.0.113.7 - - [27/Nov/2026:08:10:00 +0000] "POST /upload-images HTTP/1.1" 413 7 "-" "agent" rt=0.004\n' * 3


@pytest.fixture
def logs(shared_served, tmp_path):
    """A site that served requests, with an error and the log of a proxy."""
    client = shared_served.client()
    for _number in range(5):
        client.get("/health")
    assert client.get("/load-project/nothing").status_code == 404
    with open(os.path.join(shared_served.root, "shared", "logs", "app.log"), "a", encoding="utf-8") as stream:
        stream.write("2100-01-01T00:00:00.000Z ERROR render 0815a failed: no room\n2100-01-01T00:00:01.000Z INFO GET /error-page\n")
    (tmp_path / "access.log").write_text(NGINX, encoding="utf-8")
    return shared_served, {"mobius_log_files": [f"{shared_served.root}/shared/logs/*.log*", f"{tmp_path}/access.log"]}


def test_errors_routes_and_writes_are_shown_and_then_only_what_is_new_is_read(logs, says):
    site, settings = logs
    result = site.play("logs", **settings, mobius_log_explain="true")
    assert (result.status, result.outcome) == (0, "new_errors_found"), result.output
    assert "render <id> failed: no room" in result.stats["mobius_new_errors"]
    assert says(result, "NEW render <id> failed: no room") and says(result, "1 new since the last deploy"), result.output
    assert "GET /health" in result.output and "POST /upload-images" in result.output and "203.0.113.x" in result.output
    assert "only the grep finds app.log:" in result.output and "203.0.113.7" not in result.output
    with open(result.stats["mobius_log_report_file"], encoding="utf-8") as stream:
        page = stream.read()
    assert page.count("<svg") > 2 and "render &lt;id&gt; failed: no room" in page and "<script" not in page

    with open(settings["mobius_log_files"][1], "a", encoding="utf-8") as stream:
        stream.write(NGINX)
    result = site.play("logs", **settings, mobius_report="false")
    assert (result.status, result.outcome, result.changed()) == (0, "new_errors_found", 0), result.output
    assert next(line for line in result.output.splitlines() if "POST /upload-images" in line).split()[:3] == ["6", "POST", "/upload-images"]


def test_a_wrong_request_is_said(shared_served, says):
    result = shared_served.play("logs", mobius_log_since="yesterday")
    assert (result.status, result.outcome) == (2, "not_read") and says(result, "since: yesterday: expected a time such as"), result.output
