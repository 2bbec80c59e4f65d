# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page about a watch: what it says, that it needs nothing else, and that text stays text."""

from __future__ import annotations

import html
import html.parser
import json
import os
import re

import pytest
from support import watches

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._watch import report as watch_report
from ansible_collections.mobius.ops.plugins.plugin_utils import watch_charts, watch_page

HOSTILE = "</style></svg><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00\x1b[31m{{ 7*7 }}"


class Reader(html.parser.HTMLParser):
    """A page's elements and visible text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in self.open, f"</{tag}> closes nothing"
        while self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "desc", "svg"} & set(self.open):
            self.text += " " + data

    def all(self, name):
        """The attributes of each element of a name."""
        return [attributes for tag, attributes in self.elements if tag == name]

    def says(self, text):
        """Whether the text is there, however it was broken."""
        return text in " ".join(self.text.split())


@pytest.fixture
def told(host):
    """The facts of a watch, its page and what is in that."""

    def make(*args, **options):
        watches.put(host, *args, **options)
        facts = watch_report.gather(host.layout)
        page = watch_page.render(facts)
        return facts, page, Reader(page)

    return make


def test_a_release_that_was_taken_back(told):
    _facts, _page, seen = told(
        verdict="rolled_back",
        trigger="3 consecutive failed rounds",
        baseline={"health": {"p50_ms": 4.2}},
        rollback={"from": "v2", "to": "v1", "elapsed": 3.1, "downtime": 0.8},
    )
    for text in (
        "Rolled back: release v1 serves",
        "The reason: 3 consecutive failed rounds.",
        "by anna",
        "95 %",
        "57 ok, 3 failed",
        "3.1 s",
        "downtime 0.8 s",
        "Response time of health",
        "Beyond the chart: warning 1,000 ms, critical 5,000 ms.",
        "baseline",
        "alarm 2026-11-23T16:09:55Z error rate 30 %",
        "rollback 2026-11-23T16:09:59Z to v1",
        "deploy 2026-11-23T16:00:04Z v2",
        "failed (3)",
        "disk /opt/mobius",
        "Put into service",
        "7.2 s",
        "dhash_test_20261123_155500.zip",
        "status 500 instead of 200",
        "3 samples of 18 that were not well",
    ):
        assert seen.says(text), text
    assert seen.all("header")[0]["class"] == "failed"


@pytest.mark.parametrize(
    ("verdict", "mood", "sentence"),
    [
        ("healthy", "passed", "Healthy: release v2 serves Release v2 was watched to the end and is good."),
        ("degraded", "warned", "Degraded: release v2 serves"),
        ("frozen", "failed", "could not be taken back by itself: a person decides."),
        ("inconclusive", "warned", "Whether release v2 is good is not known."),
        (None, "", "Still watched: release v2 serves"),
        ("new", "warned", "new: release v2 serves"),
    ],
)
def test_each_verdict_has_its_headline(told, verdict, mood, sentence):
    facts, _page, seen = told(verdict=verdict)
    assert seen.says(sentence) and seen.all("header")[0]["class"] == mood
    assert watch_page.summary(facts) in seen.text


def test_writes_outside_the_shared_folders_have_their_line_and_text_stays_text(told):
    found = {"folder": HOSTILE, "paths": [HOSTILE + "/x", 7], "error": "EACCES", "line": "- {path: cache, component: generated}"}
    _facts, _page, seen = told(write_attempts=[found, "damaged", {"folder": ""}])
    assert seen.says("Writes outside the shared folders") and seen.says("- {path: cache, component: generated}")
    assert not seen.all("script") and seen.says("(its own folder)")
    assert not told()[2].says("Writes outside the shared folders")


def test_errors_that_came_with_the_release_are_listed_and_text_stays_text(told):
    found = {"template": HOSTILE + " failed", "count": 1234, "first": "2026-11-27T08:00:00Z"}
    _facts, _page, seen = told(new_errors=[found])
    assert seen.says("New errors in the logs") and seen.says("1,234 2026-11-27T08:00:00Z") and not seen.all("script")
    assert not told()[2].says("New errors in the logs")


def test_what_serves_now_is_told(host):
    watches.put(host)
    host.store.point("v1")
    assert Reader(watch_page.render(watch_report.gather(host.layout))).says("Since then release v1 was put into service.")
    os.unlink(host.layout.current)
    assert watch_page.summary(watch_report.gather(host.layout)) == "Healthy: no release serves"


def test_it_needs_nothing_else(told):
    _facts, page, seen = told()
    assert not seen.all("script") and not seen.all("link") and not seen.all("img") and not seen.all("iframe")
    named = r"http://www\.w3\.org/\w+/\w+|http://127\.0\.0\.1:5001/health"  # a namespace, and a check
    assert "http" not in re.sub(named, "", page)
    assert not re.search(r"@import|url\((?!#hatch-)", page)


def test_the_same_facts_give_the_same_page(told):
    facts, page, _seen = told()
    assert watch_page.render(facts) == page


def test_the_pointer_is_told_what_it_points_to(told):
    _facts, page, _seen = told([watches.round_line(at / 2, at, "failed" if at == 9 else "ok", ms=4) for at in range(10)])
    assert page.count("<title>16:00:09 failed, 1</title>") == 2 and "<title>16:00:05: 4 ms</title>" in page
    assert re.findall(r"<text[^>]*>(16:00:\d\d)</text>", page.partition('id="chart-outcomes-wide"')[2].partition("</svg>")[0]) == [
        "16:00:05",
        "16:00:06",
        "16:00:07",
        "16:00:08",
        "16:00:09",
    ]


def test_it_can_be_read_without_seeing_it(told):
    _facts, _page, seen = told()
    assert seen.all("html") == [{"lang": "en"}] and len(seen.all("h1")) == 1 and seen.says("Healthy: release v2 serves (test, watch ")
    charts = [svg for svg in seen.all("svg") if svg.get("role") == "img"]
    ids = [attributes["id"] for _tag, attributes in seen.elements if "id" in attributes]
    assert len(charts) == 6 and len(ids) == len(set(ids))
    for svg in charts:
        assert all(name in ids for name in svg["aria-labelledby"].split())
    assert all(svg.get("role") == "img" or svg.get("aria-hidden") == "true" for svg in seen.all("svg"))
    assert all(cell.get("scope") in ("col", "row") for cell in seen.all("th"))


def test_lines_and_bars_differ_without_colour(told):
    lines = [watches.round_line(number, number, word, checks=[]) for number, word in enumerate(watch_charts.OUTCOMES)]
    _facts, page, _seen = told([*lines, *watches.rolled_back_lines()])
    assert len(set(re.findall(r'<pattern id="(hatch-\w+)".*?</pattern>', page))) == len(watch_charts.OUTCOMES)
    assert len({pattern[1] for pattern in re.findall(r'<pattern id="hatch-(\w+)".*?/>(.*?)</pattern>', page)}) == len(watch_charts.OUTCOMES)
    assert len(set(watch_charts.DASHES)) == len(watch_charts.DASHES)
    assert re.search(r"\.serie-1[^{]*\{[^}]*stroke-dasharray", page)


@pytest.mark.parametrize(("ms", "drawn"), [(4, False), (700, True)])
def test_a_threshold_far_away_does_not_flatten_the_curve(told, ms, drawn):
    _facts, _page, seen = told([watches.round_line(10 * number, number, ms=ms / 2.4) for number in range(10)])
    assert seen.says("Beyond the chart: warning 1,000 ms") is not drawn


def test_hostile_text_is_nothing_but_text(host):
    sample = {**watches.fault(HOSTILE, HOSTILE), "check": HOSTILE, "status": HOSTILE}
    hostile = [watches.round_line(at, number, "failed", fault=HOSTILE, evidence=[sample]) for at, number in ((5, 2), (8, 3))]
    for line in hostile:
        line["checks"][0]["check"] = HOSTILE
    metric = {"metric": HOSTILE, "subject": HOSTILE, "value": 1, "unit": HOSTILE, "status": HOSTILE, "warning": 2, "critical": 3}
    watches.put(
        host,
        [
            watches.round_line(0, 1),
            watches.round_line(2, 1),
            *hostile,
            watches.mark_line(9, "alarm", HOSTILE),
            *({**watches.host_line(at, 3), "metrics": [metric]} for at in (0, 5)),
        ],
        trigger=HOSTILE,
        baseline={HOSTILE: {"p50_ms": HOSTILE}},
    )
    for what in ("incident", "active", HOSTILE):
        fs.append_line(
            host.layout.history,
            json.dumps(
                {
                    "when": watches.at(700),
                    "what": what,
                    "who": HOSTILE,
                    "why": HOSTILE,
                    "release": "v2",
                    "verdict": HOSTILE,
                    "archive": HOSTILE,
                    "elapsed": HOSTILE,
                    "incident": "INC-1",
                }
            ),
        )
    fs.write_json(
        os.path.join(host.layout.incidents, "INC-1.json"),
        {**dict.fromkeys(watch_report._OF_INCIDENT, HOSTILE), "evidence": {"lines": [HOSTILE, HOSTILE]}},
    )
    record = host.store.get("v2")
    host.store.save({**record, "failed_reason": HOSTILE, "source": HOSTILE, "status": HOSTILE})
    page = watch_page.render(watch_report.gather(host.layout))
    seen = Reader(page)
    assert not seen.all("script") and not seen.all("img") and "\x00" not in page and "\x1b" not in page
    assert not any(name.startswith("on") for _tag, attributes in seen.elements for name in attributes)
    assert len(seen.all("style")) == page.count("</style>") and page.count(html.escape("<script>")) > 10
    assert len([svg for svg in seen.all("svg") if svg.get("role") == "img"]) == 8  # all charts are there: two checks, outcomes, the host


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ['{"when": "2026'],
        [watches.round_line(0, 1)],
        [watches.host_line(0, 5)],
        [watches.round_line(0, 1, checks=[])],
        [watches.mark_line(0, "begins")],
    ],
    ids=str,
)
def test_little_or_nothing_was_measured(told, lines):
    facts, _page, seen = told(lines, samples=None, rounds=None)
    assert seen.says("Step by step") and seen.says("unknown of the rounds that were measured")
    assert seen.says("No round was measured.") is not bool(facts["series"]["rounds"])
    assert seen.says("Left out: 1 line that could not be read.") is bool(facts["series"]["unread"])


def test_many_checks_are_in_the_table(told):
    checks = [{"check": f"check{number}", "requests": 1, "ok": 1, "p50_ms": 5, "p95_ms": 5, "max_ms": 5} for number in range(7)]
    _facts, _page, seen = told([watches.round_line(at, at, checks=checks) for at in range(3)])
    assert seen.says("Response time of check3 in milliseconds, one request a round.") and not seen.says("Response time of check4")
    assert seen.says("3 more checks: see the table of checks.") and seen.says("check6 3 3 0 0 0 5.0 5.0 5.0")


def test_marks_come_from_the_history_when_the_metrics_have_none(told):
    _facts, _page, seen = told([watches.round_line(at, at) for at in range(0, 600, 10)], verdict="rolled_back")
    assert seen.says("deploy 2026-11-23T16:00:04Z v2") and seen.says("rollback 2026-11-23T16:09:59Z 3 consecutive failed rounds")
    assert not seen.says("deploy 2026-11-23T16:09:59Z")


def test_figures_have_units_that_a_person_reads_and_steps_come_first(told):
    units = [("service_rss_bytes", 64_700_000, "bytes", "64.7 MB"), ("uptime_s", 1620, "s", "27 min"), ("load_per_core", 0.5, "", "0.5")]
    metrics = [
        {"metric": name, "subject": "", "value": value, "unit": unit, "status": "normal", "warning": 2 * value, "critical": None}
        for name, value, unit, _text in units
    ]
    lines = [{**watches.host_line(at, 3), "metrics": metrics} for at in (0, 5)]
    _facts, page, seen = told([watches.round_line(0, 1), watches.round_line(5, 2), *lines])
    assert all(seen.says(text) for _name, _value, _unit, text in units) and not seen.says("64700000") and not seen.says("64,700,000")
    order = [page.index(f">{title}<") for title in ("Step by step", "How fast it answered", "The host")]
    assert order == sorted(order)


def test_one_point_makes_no_chart(told):
    _facts, page, seen = told([watches.round_line(0, 1)])
    assert not seen.says("Response time of") and "chart-latency" not in page and seen.says("Rounds by outcome")


def test_marks_in_the_charts_are_numbered_from_1(told):
    far = [watches.mark_line(-5000, "alarm", "long ago")]
    _facts, page, _seen = told([*far, *[watches.round_line(at, at) for at in range(0, 600, 10)], watches.mark_line(300, "alarm", "now")])
    assert '<li value="1">' in page and page.count("<li value=") >= 1 and "long ago" not in page
