"""The page about a run: what it says, and how it looks in a real browser, light and dark.

With ``MOBIUS_REPORT_PICTURES=folder`` the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import random
from pathlib import Path

import pytest
from support.browser import Browser, program

from ansible_collections.mobius.ops.plugins.module_utils._maintenance import charts, monthly, page
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.findings import Cause, judged
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.forecast import Sample, forecast
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.run import Report
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.trends import Told
from tests.unit.test_report_in_browser import TOO_FAINT, TOO_WIDE

GB = 1e9


def disk(kind="fills"):
    """A file system of 100 GB with two months of samples."""
    chance, used, samples = random.Random(7), 30 * GB, []
    today = datetime.date(2026, 11, 27).toordinal()
    for back in range(60, -1, -1):
        used += chance.lognormvariate(-0.32, 0.8) * 0.6 * GB if kind == "fills" else 0
        samples.append(Sample(today - back, used - (8 * GB if back < 25 and kind == "fills" else 0)))
    samples = samples[-3:] if kind == "too_few" else samples
    found = forecast(samples, 100 * GB - samples[-1].used)
    assert found.kind == kind or kind == "steady"
    return {
        "mount": "/",
        "used": samples[-1].used,
        "size": 100 * GB,
        "samples": [list(one) for one in samples],
        "forecast": dataclasses.asdict(found),
        "told": monthly.told(found),
    }


def report(*steps, **more):
    return Report("monthly", "production", "web1", "2026-11-27T05:00:00Z", "2026-11-27T05:04:12Z", steps, "Monthly maintenance.", **more)


@pytest.fixture
def full():
    """A report with all that a page may show, and a hostile text."""
    points = [[f"2026-{month:02}-01T05:00:00Z", value] for month, value in enumerate([210, 190, 240, 260, 250, 300], 6)]
    expired = Cause("certificate_expired", 2, "1 certificate has to be renewed: web1:443 (ended).", ("web1:443",), "INC-20261127-1")
    patch = Cause(
        "security_patch",
        3,
        "2 security patches of Debian are new: openssl 3.0.15 -> 3.0.17. Apply with: apt-get upgrade.",
        ("openssl",),
        "INC-20261120-1",
        False,
    )
    return report(
        Told(
            "performance",
            "Performance analysis and optimization",
            "done",
            "No response time is half as long again as a month ago.",
            ("check health: p95 4.1 ms in the last 30 days",),
            "Since 2026-10-27: requests p95 250 ms -> 300 ms.",
            figures={"requests p95_ms": points, "requests p50_ms": points},
            seconds=3.2,
        ),
        Told(
            "security_patches",
            "Security patch review and application",
            "attention",
            patch.text,
            ("security: openssl 3.0.15 -> 3.0.17",) * 3,
            causes=(patch, expired),
            figures={"security_patches": points[-2:]},
            seconds=12.7,
        ),
        Told(
            "capacity",
            "Capacity planning review",
            "done",
            f"/ {disk()['told']}.",
            ("uploads: 40.1 GB", "backups: 22.0 GB"),
            details={"disks": [disk()]},
            figures={"/ used_bytes": [[when, value * GB / 5] for when, value in points]},
            seconds=0.8,
        ),
        Told(
            "recovery_test",
            "Disaster recovery test",
            "failed",
            "The drill failed: <script>console.error('inert?')</script> " + "x" * 300,
            ("verify: passed", "extract: failed"),
            causes=(Cause("restore_failed", 2, "The drill failed.", (), "INC-20261127-2"),),
        ),
        page="/opt/mobius/reports/maintenance-monthly.html",
        incidents=("INC-20261127-1",),
        warnings=("Trends begin with this run.",),
    )


def test_what_needs_somebody_comes_first_and_the_worst_of_it_at_the_top(full):
    text = page.render(full)
    body = text.split("<body>")[1]
    assert body.index("1 step failed, 1 step needs attention, 2 steps done.") < body.index("What needs you") < body.index("Every step")
    assert body.index("certificate expired") < body.index("security patch<") and "INC-20261127-1" in body and "known" in body
    assert "<script" not in text and "&lt;script&gt;" in text and "Trends begin with this run." in text
    assert text.count('<svg class="spark"') == 4 and text.count('<svg class="disk"') == 1 and "http" not in body


def test_a_run_without_findings_says_so():
    text = page.render(report(Told("cost", "Infrastructure cost review", "done", "It is cheap.")))
    assert "Every step is done, and nothing needs you." in text and 'class="passed"' in text and "What needs you" not in text


def test_a_step_that_needs_attention_without_a_cause_is_at_the_top_too():
    text = page.render(
        report(
            Told("cost", "Infrastructure cost review", "done", "It is cheap."),
            Told("dependencies", "Update dependencies if needed", "attention", "The registry has no audit."),
        )
    )
    needs = text.split("What needs you")[1].split("</section>")[0]
    assert "Update dependencies if needed" in needs and "The registry has no audit." in needs and "cost" not in needs
    assert "2026-11-27T05:00:00Z, took 252 s" in text


def test_a_line_needs_two_points():
    assert charts.spark([["2026-11-27T05:00:00Z", 5.0]], "one") == ""
    assert 'aria-label="flat: 5"' in charts.spark([["a", 5.0], ["b", 5.0]], "flat: 5")


@pytest.mark.parametrize("kind, drawn", [("fills", True), ("too_few", False), ("steady", False)])
def test_only_a_forecast_is_drawn_into_the_future(kind, drawn):
    picture = charts.disk(disk(kind))
    assert ('class="band"' in picture, 'class="bad"' in picture) == (drawn, drawn) and "nan" not in picture and 'class="full"' in picture


@pytest.mark.parametrize("kind, drawn", [("fills", True), ("too_few", False), ("steady", True)])
def test_a_disk_without_a_forecast_has_a_sentence_and_no_chart(kind, drawn):
    step = Told("capacity", "Capacity planning review", "done", "Room.", details={"disks": [disk(kind)]})
    text = page.render(report(step))
    assert "When / is full" in text and ('<svg class="disk"' in text) == ("dashed line" in text) == drawn


def test_evidence_that_is_left_out_is_counted():
    found = judged([], [], "Well.", evidence=[f"line {number}" for number in range(45)])
    assert found.evidence[-2:] == ("line 39", "and 5 more") and judged([], [], "Well.", evidence=["a"]).evidence == ("a",)


@pytest.mark.skipif(not program() and not os.environ.get("CI"), reason="no Chromium here: apt-get install chromium, to look at the page")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_it_looks_as_it_should(full, tmp_path, width, dark):
    path = tmp_path / "page.html"
    path.write_text(page.render(full), encoding="utf-8")
    browser = Browser(program())
    try:
        browser.show(path.as_uri(), width, dark)
        if os.environ.get("MOBIUS_REPORT_PICTURES"):
            name = f"maintenance-{width}-{'dark' if dark else 'light'}.png"
            Path(os.environ["MOBIUS_REPORT_PICTURES"], name).write_bytes(browser.picture())
        assert (browser.requests(), browser.complaints()) == ([path.as_uri()], [])
        assert browser.tell("document.documentElement.scrollWidth") == width and browser.tell(TOO_WIDE) == []
        assert browser.tell(TOO_FAINT) == []
        assert browser.tell('document.querySelector("svg.disk").getBoundingClientRect().height > 50')
    finally:
        browser.close()
