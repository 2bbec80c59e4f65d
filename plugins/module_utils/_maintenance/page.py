# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page about a run of maintenance: what needs somebody, then every step with its evidence and its trend."""

from __future__ import annotations

import typing as t

from .._core import clock, html_page
from .._core.html_page import text
from . import charts, trends
from .findings import ATTENTION, DONE, FAILED
from .forecast import DiskFacts
from .trends import Told

if t.TYPE_CHECKING:
    from .run import Report

STYLE = (
    charts.STYLE
    + """
.mark { display: inline-block; border-radius: .3rem; padding: 0 .5rem; font-size: .8rem; font-weight: 600; border: 1px solid }
.mark.done { color: var(--good) } .mark.attention { color: var(--warn) } .mark.failed { color: var(--bad) }
:root { --warn: #7d5000; --warn-ground: #fdf1da } @media (prefers-color-scheme: dark) { :root { --warn: #f2c368; --warn-ground: #33270f } }
header.attention { background: var(--warn-ground); border-color: var(--warn) } .attention h1 { color: var(--warn) }
.step h3 { font-size: 1rem; margin: 0; display: flex; gap: .6rem; align-items: baseline } .step { padding: .8rem 0 }
.step + .step { border-top: 1px solid var(--line) } .step p { overflow-wrap: anywhere }
details summary { cursor: pointer; color: var(--soft); font-size: .875rem } details ul { font-size: .875rem; margin-top: .4rem }
"""
)
_WORDS = {DONE: "done", ATTENTION: "attention", FAILED: "failed"}
#: Charts of a step at most.
_CHARTS = 4


def render(report: Report) -> str:
    """The page."""
    counts = {status: sum(step.status == status for step in report.steps) for status in _WORDS}
    mood = "failed" if counts[FAILED] else "attention" if counts[ATTENTION] else "passed"
    title = f"{report.cadence.capitalize()} maintenance of {report.host}"
    disks = [disk for step in report.steps for disk in step.details.get("disks", [])]
    return html_page.document(
        title,
        [
            html_page.header(mood, title, _headline(counts), f"Environment {report.env}, {report.started}, took {_seconds(report)} s"),
            _attention(report.steps),
            html_page.figures(_tiles(report, counts)),
            *map(_forecast, disks),
            html_page.section("Every step of the runbook", "".join(map(_step, report.steps))),
            *map(_warning, report.warnings),
        ],
        STYLE,
    )


def _headline(counts: dict[str, int]) -> str:
    if not counts[FAILED] and not counts[ATTENTION]:
        return "Every step is done, and nothing needs you."
    need = "need attention" if counts[ATTENTION] > 1 else "needs attention"
    words = ((FAILED, "failed"), (ATTENTION, need), (DONE, "done"))
    return ", ".join(f"{html_page.count(counts[status], 'step')} {word}" for status, word in words if counts[status]) + "."


def _seconds(report: Report) -> int:
    return int((clock.parse(report.ended) - clock.parse(report.started)).total_seconds())


def _attention(steps: t.Sequence[Told]) -> str:
    """What somebody has to do, the worst first."""
    causes = sorted(((cause, step) for step in steps for cause in step.causes), key=lambda one: one[0].severity or 9)
    rows = [
        f'<tr><th scope="row">{text(cause.name.replace("_", " "))}</th><td>{text(cause.text)}</td>'
        f'<td class="status">{text("new" if cause.new else "known")}</td><td class="status">{text(cause.incident or "none")}</td></tr>'
        for cause, _step_of in causes
    ]
    rows += [
        f'<tr><th scope="row">{text(step.title)}</th><td>{text(step.text)}</td><td></td><td class="status">none</td></tr>'
        for step in steps
        if step.status in (FAILED, ATTENTION) and not step.causes
    ]
    head = ["cause", "what to do", "since the last run", "incident"]
    return html_page.section("What needs you", html_page.table(head, rows)) if rows else ""


def _tiles(report: Report, counts: dict[str, int]) -> list[tuple[str, str, str]]:
    tiles = [("Steps done", f"{counts[DONE]} of {len(report.steps)}", f"{counts[ATTENTION]} with attention, {counts[FAILED]} failed")]
    for step in report.steps:
        for name in list(step.figures)[:1]:
            tiles.append((step.name.replace("_", " ").capitalize(), trends.quantity(name, step.figures[name][-1][1]), trends.label(name)))
    return tiles


def _forecast(disk: DiskFacts) -> str:
    told = f"<p>{text(disk['mount'])} {text(disk['told'])}.</p>"
    if disk["forecast"]["kind"] != "too_few":
        told += charts.disk(disk) + (
            '<p class="soft small">The line is what was used each day. The dashed line goes on at the mean daily '
            "step, outliers left out; the band is its interval.</p>"
        )
    return html_page.section(f"When {disk['mount']} is full", told)


def _step(step: Told) -> str:
    sparks = "".join(
        charts.spark(points, f"{trends.label(name)}: {trends.quantity(name, points[-1][1])}")
        for name, points in list(step.figures.items())[:_CHARTS]
    )
    evidence = "".join(f"<li>{text(line)}</li>" for line in step.evidence)
    parts = [
        f'<h3><span class="mark {step.status}">{text(_WORDS.get(step.status, step.status))}</span><span>{text(step.title)} '
        f'<span class="soft small">{step.seconds:.1f} s</span></span></h3><p>{text(step.text)}</p>'
    ]
    parts += [f'<p class="soft small">{text(step.trend)}</p>'] if step.trend else []
    parts += [f'<div class="trend">{sparks}</div>'] if sparks else []
    opened = "" if step.status == DONE else " open"
    parts += [f"<details{opened}><summary>Evidence</summary><ul>{evidence}</ul></details>"] if evidence else []
    return f'<div class="step">{"".join(parts)}</div>'


def _warning(warning: str) -> str:
    return html_page.section("Remark", f"<p>{text(warning)}</p>")
