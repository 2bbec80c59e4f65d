# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page about a watch and its deploy or rollback: one file of HTML that needs nothing else."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import html_page
from ansible_collections.mobius.ops.plugins.module_utils._core.html_page import text
from ansible_collections.mobius.ops.plugins.module_utils._observe import host_metrics
from ansible_collections.mobius.ops.plugins.module_utils._watch.report_types import Report
from ansible_collections.mobius.ops.plugins.module_utils._watch.series_types import HostSeries, Point
from ansible_collections.mobius.ops.plugins.plugin_utils import watch_charts, watch_tables
from ansible_collections.mobius.ops.plugins.plugin_utils.chart_types import Mark
from ansible_collections.mobius.ops.plugins.plugin_utils.watch_charts import seconds_of
from ansible_collections.mobius.ops.plugins.plugin_utils.watch_tables import numbers

#: How a verdict is called, and its colours.
VERDICTS = {
    "healthy": ("Healthy", "passed"),
    "degraded": ("Degraded", "warned"),
    "rolled_back": ("Rolled back", "failed"),
    "frozen": ("Frozen", "failed"),
    "inconclusive": ("Inconclusive", "warned"),
    None: ("Still watched", ""),
}
#: Marks that are drawn: name and dashes of the line.
MARKS = {
    "active": ("deploy", "none"),
    "alarm": ("alarm", "2,3"),
    "recovered": ("recovered", "6,4"),
    "resumed": ("watch resumed", "1,5"),
    "rolling_back": ("rollback begins", "8,3,2,3"),
    "rolled_back": ("rollback", "8,3,2,3"),
}
STYLE = """
main { max-width: 76rem } h1 { overflow-wrap: anywhere } th, td { overflow-wrap: break-word }
:root { --warn: #7a5200; --warn-ground: #fdf2d8 }
@media (prefers-color-scheme: dark) { :root { --warn: #f0c462; --warn-ground: #362a10 } }
header.warned { background: var(--warn-ground); border-color: var(--warn) } .warned h1 { color: var(--warn) }
td.number, th.number { padding-right: 1.4rem } td.long { overflow-wrap: anywhere; min-width: 11rem }
td.when { white-space: nowrap; font-variant-numeric: tabular-nums } ol { margin: .8rem 0 0; padding-left: 1.4rem }
h3 { font-size: 1rem; margin: .9rem 0 .3rem } pre + p, dl + h3 { margin-top: .9rem } figure + .wide { margin-top: .9rem }
@media (max-width: 40rem) { .stack thead { display: none } .stack tr { display: block; padding: .5rem 0; border-top: 1px solid var(--line) }
  .stack td, .stack th { display: inline-block; border: 0; padding: 0 .7rem 0 0; text-align: left } .stack td.long { display: block }
  .stack td:empty { display: none } }
"""


def summary(facts: Report) -> str:
    """The headline: the verdict, and what serves."""
    word, _mood = VERDICTS.get(facts["watch"]["verdict"], (str(facts["watch"]["verdict"]), "warned"))
    live = facts["releases"]["live"]
    return f"{word}: " + (f"release {live} serves" if live else "no release serves")


def render(facts: Report) -> str:
    """The page. The same facts give the same page."""
    marks = _marks(facts)
    parts = [
        _head(facts),
        watch_charts.PATTERNS,
        _figures(facts),
        watch_tables.steps(facts),
        _latencies(facts, marks),
        _outcomes(facts),
        _host(facts, marks),
        watch_tables.checks(facts),
        watch_tables.evidence(facts),
        watch_tables.writes(facts),
        watch_tables.new_errors(facts),
        watch_tables.incidents(facts),
        watch_tables.releases(facts),
        watch_tables.ids(facts),
    ]
    watch = facts["watch"]
    return html_page.document(f"{summary(facts)} ({watch['env']}, watch {watch['id']})", parts, watch_charts.STYLE + STYLE)


def _head(facts: Report) -> str:
    watch, live = facts["watch"], facts["releases"]["live"]
    told = {
        "healthy": "Release {0} was watched to the end and is good.",
        "degraded": "Release {0} was watched to the end; it was slow or failed too often, or raised an alarm.",
        "rolled_back": "Release {0} was taken back by the watch.",
        "frozen": "Release {0} is bad and could not be taken back by itself: a person decides.",
        "inconclusive": "Whether release {0} is good is not known.",
    }.get(watch["verdict"] or "", "The watch of release {0} goes on.").format(watch["release"])
    told += f" The reason: {watch['trigger']}." if watch["trigger"] else ""
    elsewhere = live and live != watch["release"] and watch["verdict"] != "rolled_back"
    told += f" Since then release {live} was put into service." if elsewhere else ""
    by = next((event.get("who") for event in facts["events"] if event["what"] == "active"), None)
    where = f"{watch['env']} on {facts['host']}, watch {watch['id']}, begun {watch['started'] or 'never'}" + (f", by {by}" if by else "")
    return html_page.header(VERDICTS.get(watch["verdict"], ("", "warned"))[1], summary(facts), told, where)


def _figures(facts: Report) -> str:
    watch, series = facts["watch"], facts["series"]
    samples: t.Mapping[str, object] = watch["samples"] or {}
    available = samples.get("availability_pct")
    status = samples.get("uptime_status", "normal")
    uptime = "of the rounds that were measured" + (f": {status}" if status in ("warning", "critical") else "")
    p95 = max((check["p95_ms"] for check in series["checks"] if check["p95_ms"] is not None), default=None)
    rollback = watch["rollback"] or {}
    counts = ", ".join(f"{samples[word]:,} {word.replace('_', ' ')}" for word in watch_charts.OUTCOMES if samples.get(word))
    tiles = [
        ("availability", f"{available:g} %" if available is not None else "unknown", uptime),
        ("rounds", f"{watch['rounds'] or 0:,}", counts or "none yet"),
        ("response time", f"{p95:,.0f} ms" if p95 is not None else "unknown", "the highest p95 of a round"),
        ("restarts", str(series["restarts"]), "of the service, during the watch"),
    ]
    if rollback:
        elapsed, downtime = (t.cast("float | None", rollback.get(name)) for name in ("elapsed", "downtime"))
        tiles.append(("rollback", html_page.seconds(elapsed), f"downtime {html_page.seconds(downtime) or 'unknown'}"))
    return html_page.figures(tiles)


def _marks(facts: Report) -> list[Mark]:
    """Deploy, alarms and rollback, oldest first; from the metrics file, and from the history what that does not have."""
    told = [(mark["when"], mark["mark"], mark["text"]) for mark in facts["series"]["marks"]]
    known = {mark for _when, mark, _text in told}
    targets = {event.get("target") for event in facts["events"] if event["what"] == "rolled_back"}
    told += [
        (event["when"], event["what"], str(event.get("why") or event.get("release") or ""))
        for event in facts["events"]
        if event["what"] in ("active", "rolled_back")
        and event["what"] not in known
        and not (event["what"] == "active" and event.get("release") in targets)
    ]
    shown = sorted((when, mark, more) for when, mark, more in told if mark in MARKS)
    return [
        {"at": seconds_of(when), "when": when, "sign": str(number), "name": MARKS[mark][0], "dashes": MARKS[mark][1], "text": more}
        for number, (when, mark, more) in enumerate(shown, 1)
    ]


def _drawn(facts: Report, marks: list[Mark]) -> list[Mark]:
    """Those near to the rounds, numbered from 1; one far away would flatten the rest."""
    rounds = facts["series"]["rounds"]
    if not rounds:
        return []
    first, last = seconds_of(rounds[0]["when"]), seconds_of(rounds[-1]["until"])
    room = max(15.0, (last - first) * 0.25)
    near = [mark for mark in marks if first - room <= mark["at"] <= last + room]
    return [{**mark, "sign": str(number)} for number, mark in enumerate(near, 1)]


def _listed(marks: list[Mark]) -> str:
    if not marks:
        return ""
    rows = "".join(
        f'<li value="{text(mark["sign"])}"><b>{text(mark["name"])}</b> {text(mark["when"])}'
        + (f' <span class="soft">{text(mark["text"])}</span>' if mark["text"] else "")
        + "</li>"
        for mark in marks
    )
    return f'<ol class="small" aria-label="What the numbered lines mark">{rows}</ol>'


def _latencies(facts: Report, marks: list[Mark]) -> str:
    """A chart of each of the first checks."""
    rounds, charts, drawn = facts["series"]["rounds"], [], _drawn(facts, marks)
    warning, critical = facts["thresholds"]["response_time_ms"]
    limits = [("warning", warning), ("critical", critical)]
    for number, check in enumerate(facts["series"]["checks"][:4]):
        name = check["check"]
        p50, p95, longest = _curve(rounds, name, "p50_ms"), _curve(rounds, name, "p95_ms"), _curve(rounds, name, "max_ms")
        same = p50 == p95 == longest
        before = facts["watch"]["baseline"].get(name)
        baseline = before.get("p50_ms") if before else None
        level = [] if baseline is None else [("baseline", baseline)]
        charts.append(
            watch_charts.lines(
                f"latency-{number}",
                f"Response time of {name}",
                f"in milliseconds, {'one request a' if same else 'of each'} round.",
                "ms",
                [("response time", p50)] if same else [("p50", p50), ("p95", p95), ("max", longest)],
                level + limits,
                drawn,
            )
        )
    left = len(facts["series"]["checks"]) - 4
    more = f'<p class="soft small">{text(html_page.count(left, "more check"))}: see the table of checks.</p>' if left > 0 else ""
    return html_page.section("How fast it answered", "".join(charts) + more + _listed(drawn)) if any(charts) else ""


def _curve(rounds: list[Point], check: str, figure: t.Literal["p50_ms", "p95_ms", "max_ms"]) -> list[tuple[float, float]]:
    """A figure of a check over time."""
    curve = []
    for found in rounds:
        latencies = found["checks"].get(check)
        value = latencies.get(figure) if latencies else None
        if value is not None:
            curve.append((seconds_of(found["when"]), value))
    return curve


def _outcomes(facts: Report) -> str:
    series = facts["series"]
    lost = html_page.count(series["unread"], "line")
    unread = f'<p class="soft small">Left out: {lost} that could not be read.</p>' if series["unread"] else ""
    drawn = watch_charts.bars("outcomes", "Rounds by outcome", "a bar for some rounds next to each other.", series["rounds"])
    return html_page.section("What the checks found", (drawn or "<p>No round was measured.</p>") + unread)


def _host(facts: Report, marks: list[Mark]) -> str:
    """Figures of the host, in one chart a unit, and as a table."""
    metrics, charts, drawn = facts["series"]["host"], [], _drawn(facts, marks)
    units = list(dict.fromkeys(metric["unit"] for metric in metrics))
    for number, unit in enumerate(units[:4]):
        curves = [
            (_named(metric), [(seconds_of(point["when"]), point["value"]) for point in metric["points"]])
            for metric in metrics
            if metric["unit"] == unit
        ]
        charts.append(
            watch_charts.lines(
                f"host-{number}",
                f"The host, {unit or 'counts'}",
                "figures of the host over time.",
                unit,
                curves,
                marks=drawn,
                top=100 if unit == "%" else None,
            )
        )
    rows = []
    for metric in metrics:
        values = [point["value"] for point in metric["points"]]
        read = [host_metrics.quantity(value, metric["unit"]) for value in values]
        span = f"{read[values.index(min(values))]} to {read[values.index(max(values))]}" if len(set(read)) > 1 else ""
        cells = [read[-1] if read else "unknown", span]
        unit, levels = metric["unit"], (metric["warning"], metric["critical"])
        limits = ["" if level is None else host_metrics.quantity(level, unit) for level in levels]
        mood = {"normal": "good", "critical": "bad"}.get(metric["status"], "")
        rows.append(
            f'<tr><th scope="row">{text(_named(metric))}</th><td class="status {mood}">{text(metric["status"])}</td>'
            + numbers([*cells, *limits])
            + "</tr>"
        )
    head = ["metric", "status", "last", "range", "warning", "critical"]
    return html_page.section("The host", "".join(charts) + html_page.table(head, rows, {2, 3, 4, 5})) if metrics else ""


def _named(metric: HostSeries) -> str:
    return f"{metric['metric'].removesuffix('_pct')} {metric['subject']}".strip()
