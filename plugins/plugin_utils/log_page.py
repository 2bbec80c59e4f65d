# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page about the logs of a host: one file of HTML that needs nothing else."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import html_page, wording
from ansible_collections.mobius.ops.plugins.module_utils._core.html_page import text
from ansible_collections.mobius.ops.plugins.module_utils._logs.report_types import (
    Answered,
    Client,
    ErrorGroup,
    Explained,
    Passed,
    SlowRequest,
    Uploads,
)
from ansible_collections.mobius.ops.plugins.plugin_utils import watch_charts
from ansible_collections.mobius.ops.plugins.plugin_utils.log_types import LogReport
from ansible_collections.mobius.ops.plugins.plugin_utils.watch_charts import Line, seconds_of

STYLE = """
main { max-width: 76rem } h1, td { overflow-wrap: anywhere } td.number, th.number { padding-right: 1.4rem } td.long { min-width: 12rem }
td.when { white-space: nowrap } .new { color: var(--bad); font-weight: 600 }
"""


def render(facts: LogReport) -> str:
    """The page of a result of M(mobius.ops.log_report). The same result gives the same page."""
    period = facts["period"]
    where = f"{facts['host']}, {period['first'] or 'no time'} to {period['last'] or 'no time'}"
    mood = "failed" if facts["new_errors"] else "" if facts["errors"] else "passed"
    parts = [
        html_page.header(mood, title(facts), facts["message"], where),
        _figures(facts),
        _rates(facts),
        _errors(facts["errors"]),
        _uploads(facts["uploads"]),
        _counted("Requests that failed", facts["failures"]),
        _routes(facts),
        _slowest(facts["slowest"]),
        _counted("Writes", facts["writes"]),
        _clients(facts["clients"]),
        _sources(facts),
        _explained(facts.get("explained") or {}),
        _passed(facts["passed"]),
    ]
    return html_page.document(f"{title(facts)} ({facts['host']})", parts, watch_charts.STYLE + STYLE)


def title(facts: LogReport) -> str:
    """The headline."""
    new = len(facts["new_errors"])
    if new:
        return f"{html_page.count(new, 'error')} new since the last deploy"
    return html_page.count(facts["error_groups"], "error template") if facts["error_groups"] else "No errors"


def _figures(facts: LogReport) -> str:
    logs = facts["sources"]
    requests, failed = sum(one["requests"] for one in logs), sum(one["failed"] for one in logs)
    share = f"{failed / requests:.2%} of the requests" if requests else "no requests"
    return html_page.figures(
        [
            ("lines", f"{sum(one['lines'] for one in logs):,}", f"{sum(one['malformed'] for one in logs):,} malformed"),
            ("error lines", f"{sum(one['errors'] for one in logs):,}", "in all logs"),
            ("requests", f"{requests:,}", "in all logs"),
            ("failed (5xx)", f"{failed:,}", share),
            ("refused (4xx)", f"{sum(one['refused'] for one in logs):,}", ""),
        ]
    )


def _rates(facts: LogReport) -> str:
    """Two charts over time: what went wrong, and how many requests there were."""
    points, step = facts["rates"]["points"], wording.duration(facts["rates"]["step"])
    bad: list[Line] = [
        ("failed (5xx)", [(seconds_of(point["when"]), point["failed"]) for point in points]),
        ("refused (4xx)", [(seconds_of(point["when"]), point["refused"]) for point in points]),
        ("error lines", [(seconds_of(point["when"]), point["errors"]) for point in points]),
    ]
    every: list[Line] = [("requests", [(seconds_of(point["when"]), point["requests"]) for point in points])]
    charts = watch_charts.lines(
        "log-errors",
        "What went wrong",
        f"lines in each {step}.",
        "",
        [(key, curve) for key, curve in bad if any(value for _at, value in curve)],
    ) + watch_charts.lines(
        "log-requests", "Requests", f"requests in each {step}.", "", every if any(value for _at, value in every[0][1]) else []
    )
    return html_page.section("Over time", charts) if charts else ""


def _numbers(*cells: t.Any) -> str:
    return "".join(f'<td class="number">{text(cell)}</td>' for cell in cells)


def _errors(errors: list[ErrorGroup]) -> str:
    rows = []
    for one in errors:
        about = " ".join(filter(None, [one["incident"], "upload" if one["upload"] else ""]))
        new = '<span class="new">new</span> ' if one["new"] else ""
        releases = one["release"] if one["release"] == one["first_release"] else f"{one['first_release'] or 'unknown'} to {one['release']}"
        rows.append(
            f"<tr>{_numbers(format(one['count'], ','))}"
            f'<td class="long">{new}<code>{text(one["template"])}</code></td><td class="when">{text(one["first"])}</td>'
            f'<td class="when">{text(one["last"])}</td><td>{text(releases)}</td><td>{text(about)}</td></tr>'
        )
    head = ["lines", "template", "first", "last", "release", "about"]
    return html_page.section("Errors", html_page.table(head, rows, {0}) if rows else "<p>None.</p>")


def _uploads(uploads: Uploads) -> str:
    rows = [
        f'<tr>{_numbers(format(one["count"], ","))}<td class="long"><code>{text(one["template"])}</code></td></tr>'
        for one in uploads["errors"]
    ]
    rows += [
        f'<tr>{_numbers(format(one["count"], ","))}<td class="long">{text(one["route"])} answered {text(one["status"])}</td></tr>'
        for one in uploads["failures"]
    ]
    return html_page.section("Uploads", html_page.table(["count", "error, or request"], rows, {0})) if rows else ""


def _counted(name: str, found: list[Answered]) -> str:
    rows = [
        f'<tr>{_numbers(format(one["count"], ","))}<td class="long">{text(one["route"])}</td><td>{text(one["status"])}</td>'
        f'<td class="long">{text(one["source"])}</td></tr>'
        for one in found
    ]
    return html_page.section(name, html_page.table(["requests", "route", "status", "log"], rows, {0})) if rows else ""


def ms(value: float | None) -> str:
    """Milliseconds in words."""
    return "" if value is None else f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _routes(facts: LogReport) -> str:
    longest = max([one["p95_ms"] or 0 for one in facts["routes"]], default=0) or 1
    rows = []
    for one in facts["routes"]:
        length = f'<span class="bar" style="width: {100 * (one["p95_ms"] or 0) / longest:.0f}%"></span>'
        count = ("" if one["exact"] else "about ") + format(one["requests"], ",")
        rows.append(
            f'<tr><td class="long">{text(one["route"])}{length}</td>'
            + _numbers(count, format(one["slow"], ","), ms(one["p50_ms"]), ms(one["p95_ms"]), ms(one["p99_ms"]), ms(one["max_ms"]))
            + f'<td class="long">{text(one["source"])}</td></tr>'
        )
    told = (
        ""
        if all(one["exact"] for one in facts["routes"])
        else '<p class="soft small">Counts with &quot;about&quot;, and their times, are of a sample of one block in ten.</p>'
    )
    head = ["route", "requests", "slow", "p50", "p95", "p99", "longest", "log"]
    return html_page.section("Routes", told + html_page.table(head, rows, {1, 2, 3, 4, 5, 6})) if rows else ""


def _slowest(found: list[SlowRequest]) -> str:
    rows = [
        f'<tr>{_numbers(ms(one["ms"]))}<td class="long">{text(one["route"])}</td><td class="when">{text(one["about"])}</td></tr>'
        for one in found
    ]
    return html_page.section("The slowest requests", html_page.table(["took", "route", "about"], rows, {0})) if rows else ""


def _clients(found: list[Client]) -> str:
    rows = [
        f'<tr>{_numbers(format(one["writes"], ","))}<td>{text(one["client"])}</td><td class="long">{text(one["source"])}</td></tr>'
        for one in found
    ]
    return html_page.section("Who wrote", html_page.table(["writes", "client", "log"], rows, {0})) if rows else ""


def _sources(facts: LogReport) -> str:
    keys = ("lines", "looked_at", "malformed", "requests", "failed", "refused", "errors")
    sources: t.Sequence[t.Mapping[str, object]] = facts["sources"]
    rows = [f'<tr><td class="long">{text(one["source"])}</td>{_numbers(*(format(one[key], ",") for key in keys))}</tr>' for one in sources]
    head = ["log", *(key.replace("_", " ") for key in keys)]
    return html_page.section("Logs", html_page.table(head, rows, set(range(1, 8)))) if rows else ""


def _explained(found: dict[str, Explained]) -> str:
    """How the greps of the runbook and the report differ."""
    rows = [
        f'<tr><th scope="row">{text(name)}</th>'
        f"{_numbers(*(format(each, ',') for each in (one['both'], one['grep_only'], one['report_only'])))}</tr>"
        for name, one in found.items()
    ]
    lines = [
        f'<tr><td>{text(name)}</td><td>{text(each["found_by"])}</td><td class="long">{text(each["file"])}:{each["number"]}<br>'
        f"<code>{text(each['line'])}</code></td></tr>"
        for name, one in found.items()
        for each in one["lines"]
    ]
    body = html_page.table(["lines of", "both find", "only the grep", "only the report"], rows, {1, 2, 3})
    body += html_page.table(["lines of", "only found by the", "line"], lines) if lines else ""
    return html_page.section("The greps of the runbook", body) if rows else ""


def _passed(found: list[Passed]) -> str:
    items = "".join(f"<li>{text(one['path'])}: {text(one['why'])}</li>" for one in found)
    return html_page.section("Not read", f"<ul>{items}</ul>") if items else ""
