"""The page of text about logs."""

from __future__ import annotations

import pytest
from support.log_results import result

from ansible_collections.mobius.ops.plugins.filter.logs_page import OUTCOMES, logs_page


def test_everything_is_laid_out():
    found = logs_page(result())
    page = found["page"]
    assert (found["outcome"], found["good"], found["new"]) == ("new_errors_found", True, ["render <id> failed"])
    assert found["message"] == "2 error templates. Page: /opt/mobius/reports/logs.html."
    for line in (
        "  log      lines  requests  5xx  4xx  error lines  malformed",
        "  app.log  1000   900       7    12   40           1",
        "  4          GET /api/projects/:id    500     app.log",
        "  ~900      GET /api/projects/:id  3     12 ms  1500 ms  2000 ms  app.log",
        "  3       10.0.0.x  app.log",
        "  /l/b.log: not a regular file",
        "  /l/app.log.1.gz: broken gzip",
        "and 1 more",
        "Read: 1.5 MB of 1 files, details of a sample",
    ):
        assert line.split() in [each.split() for each in page.splitlines()], line
    assert "NEW render <id> failed" in page and "INC-20261126-1" in page and max(map(len, page.splitlines())) < 200


def test_differences_from_the_greps_are_shown():
    page = logs_page(
        result(
            explained={
                "errors": {
                    "both": 1,
                    "grep_only": 2,
                    "report_only": 3,
                    "lines": [
                        {"found_by": "grep", "file": "/l/app.log", "number": number, "line": "GET /error-page " + "x" * 300}
                        for number in range(7, 20)
                    ],
                }
            }
        )
    )["page"]
    assert page.count("only the grep finds") == 5
    assert "grep -i error  1          2              3" in page and "errors: only the grep finds app.log:7: GET /error-page xxx" in page


@pytest.mark.parametrize(
    "more, outcome, message",
    [
        ({"new_errors": []}, "errors_found", "2 error templates. Page: /opt/mobius/reports/logs.html."),
        ({"new_errors": [], "errors": [], "error_groups": 0}, "errors_found", "2 error templates. Page: /opt/mobius/reports/logs.html."),
        (
            {"new_errors": [], "errors": [], "error_groups": 0, "sources": []},
            "no_errors",
            "2 error templates. Page: /opt/mobius/reports/logs.html.",
        ),
        ({"lines": 0, "report": "", "report_trouble": "No pygal."}, "no_logs", "2 error templates. No pygal."),
    ],
)
def test_outcomes(more, outcome, message):
    found = logs_page(result(**more))
    assert (found["outcome"], found["good"], found["message"]) == (outcome, True, message) and outcome in OUTCOMES


@pytest.mark.parametrize(
    "told, message", [({"failed": True, "msg": "since: x: no."}, "since: x: no."), ({}, "The logs could not be read.")]
)
def test_a_module_that_failed(told, message):
    assert logs_page(told) == {"page": message, "outcome": "not_read", "good": False, "message": message, "new": []}
