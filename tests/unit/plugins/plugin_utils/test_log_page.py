"""The page about logs: what it says, that it needs nothing else, and that text stays text."""

from __future__ import annotations

import re

import pytest
from support.log_results import error, result

from ansible_collections.mobius.ops.plugins.plugin_utils import log_page

HOSTILE = "</style></svg><script>alert(1)</script>\"'&\x1b[31m"


def test_everything_is_told():
    page = log_page.render(result())
    assert "<h1>1 error new since the last deploy</h1>" in page and 'class="failed"' in page
    for part in (
        "Over time",
        "Errors",
        "Uploads",
        "Requests that failed",
        "Routes",
        "The slowest requests",
        "Writes",
        "Who wrote",
        "Logs",
        "Not read",
    ):
        assert f"<h2>{part}</h2>" in page, part
    for said in (
        "render &lt;id&gt; failed",
        "v1 to v2",
        "INC-20261126-1",
        "about 900",
        "1,500 ms",
        "10.0.0.x",
        "/l/b.log: not a regular file",
        "are of a sample of one block in ten",
        "0.78% of the requests",
        "failed (5xx)",
        "error lines",
    ):
        assert said in page, said
    assert page.count('class="chart wide"') == 2 and page == log_page.render(result())


@pytest.mark.parametrize(
    "more, headline, mood",
    [({"new_errors": []}, "13 error templates", ""), ({"new_errors": [], "errors": [], "error_groups": 0}, "No errors", "passed")],
)
def test_headlines(more, headline, mood):
    assert f'<header class="{mood}"><h1>{headline}</h1>' in log_page.render(result(**more))


def test_nothing_at_all():
    nothing = {
        name: [] for name in ("sources", "errors", "new_errors", "failures", "writes", "routes", "slowest", "clients", "read", "passed")
    }
    page = log_page.render(
        result(
            **nothing,
            error_groups=0,
            rates={"step": 600, "points": []},
            uploads={"errors": [], "failures": []},
            period={"since": "", "first": "", "last": ""},
        )
    )
    assert "no requests" in page and "<p>None.</p>" in page and "no time to no time" in page and "Over time" not in page


def test_what_logs_say_is_text():
    said = {"source": HOSTILE, "route": HOSTILE, "status": HOSTILE, "count": 1}
    facts = result(
        errors=[error(template=HOSTILE, release=HOSTILE, incident=HOSTILE)],
        failures=[said],
        writes=[said],
        clients=[{"client": HOSTILE, "source": HOSTILE, "writes": 1}],
        passed=[{"path": HOSTILE, "why": HOSTILE}],
        host=HOSTILE,
        slowest=[{"ms": 1.0, "route": HOSTILE, "about": HOSTILE, "source": ""}],
        message=HOSTILE,
    )
    facts["explained"] = {
        "errors": {
            "both": 1,
            "grep_only": 2,
            "report_only": 3,
            "lines": [{"found_by": "grep", "file": HOSTILE, "number": 7, "line": HOSTILE}],
        }
    }
    facts["routes"][0].update(route=HOSTILE, source=HOSTILE)
    facts["sources"][0]["source"] = HOSTILE
    page = log_page.render(facts)
    assert "The greps of the runbook" in page
    assert "<script" not in page and "\x1b" not in page and page.count("</style>") == log_page.render(result()).count("</style>")


def test_the_page_needs_nothing_else():
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\((?!#)|@import""", log_page.render(result()))
