# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the page about a watch tells in tables: steps, checks, evidence, incidents, releases, names."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import html_page, wording
from ansible_collections.mobius.ops.plugins.module_utils._core.html_page import text
from ansible_collections.mobius.ops.plugins.module_utils._watch.report_types import Report

#: An event's name, and whether it is good news, bad news or neither.
STEPS = {
    "preflight": ("Preflight", ""),
    "lock_reclaimed": ("Deploy lock taken over", "bad"),
    "force_unlock": ("Deploy lock removed by hand", "bad"),
    "backup": ("Backup", "good"),
    "prepared": ("Release prepared", "good"),
    "migrated": ("Data migrated", "good"),
    "migration_undone": ("Migration undone", "bad"),
    "active": ("Put into service", "good"),
    "failed": ("Did not become ready", "bad"),
    "rolled_back": ("Taken out of service", "bad"),
    "verified": ("Found good", "good"),
    "incident": ("Incident", "bad"),
    "watch": ("Watch ended", ""),
    "pruned": ("Release removed", ""),
    "restored": ("Data restored", ""),
    "restore_failed": ("Restore failed", "bad"),
    "drill": ("Restore drill", ""),
}


def numbers(cells: t.Iterable[str]) -> str:
    """Cells with figures."""
    return "".join(f'<td class="number">{text(cell)}</td>' for cell in cells)


def _stack(head: t.Sequence[str], rows: list[str], columns: t.Container[int] = ()) -> str:
    """A table whose rows are broken in a narrow window."""
    return f'<div class="stack">{html_page.table(head, rows, columns)}</div>'


def steps(facts: Report) -> str:
    """What happened, by the history."""
    rows = []
    for event in facts["events"]:
        name, mood = STEPS.get(event["what"], (str(event["what"]).replace("_", " "), ""))
        verdict = str(event.get("verdict") or "")
        mood = {"healthy": "good", "passed": "good"}.get(verdict, "bad") if verdict else mood
        archive = os.path.basename(str(event.get("archive") or ""))
        about = " · ".join(str(part) for part in (verdict.replace("_", " "), event.get("release"), event.get("incident"), archive) if part)
        took = event.get("elapsed")
        sign = {"good": "✓ ", "bad": "✗ "}.get(mood, "")
        rows.append(
            f'<tr><th scope="row">{text(name)}</th><td class="when">{text(event["when"])}</td>'
            f'<td class="number">{text(html_page.seconds(took) if isinstance(took, (int, float)) else "")}</td>'
            f'<td class="long"><span class="{mood}">{sign}{text(about)}</span> '
            f'<span class="soft">{text(event.get("why") or "")}</span></td><td>{text(event.get("who") or "")}</td></tr>'
        )
    return html_page.section("Step by step", _stack(["step", "when", "took", "result", "who"], rows, {2})) if rows else ""


def checks(facts: Report) -> str:
    """Each check's figures over the whole watch."""
    rows, baseline = [], facts["watch"]["baseline"]
    for check in facts["series"]["checks"]:
        before = baseline.get(check["check"])
        p50 = before.get("p50_ms") if before else None
        cells = [
            *(f"{number:,}" for number in (check["requests"], check["ok"], check["slow"], check["failed"], check["error"])),
            *("" if value is None else f"{value:,.1f}" for value in (p50, check["p50_ms"], check["p95_ms"], check["max_ms"])),
        ]
        rows.append(f'<tr><th scope="row">{text(check["check"])}</th>{numbers(cells)}</tr>')
    head = ["check", "requests", "ok", "slow", "failed", "error", "baseline p50, ms", "p50, ms", "highest p95", "max"]
    return html_page.section("Checks", html_page.table(head, rows, range(1, 10))) if rows else ""


def evidence(facts: Report) -> str:
    """The samples that were not well."""
    rows = []
    for sample in facts["series"]["evidence"]:
        quoted = sample["evidence"] if isinstance(sample["evidence"], str) else ""
        rows.append(
            f'<tr><td class="when">{text(sample["when"])}</td><th scope="row">{text(sample["check"])}</th>'
            f'<td class="status bad">{text(sample["outcome"])}</td><td class="number">{text(sample["status"] or "")}</td>'
            f'<td class="long">{text(sample["error"] or "")}{"<br><code>" + text(quoted) + "</code>" if quoted else ""}</td></tr>'
        )
    told = (
        f'<p class="soft small">{html_page.count(len(rows), "sample")} of {facts["series"]["faulty"]:,} that were not well, '
        "the first ones and the last ones.</p>"
    )
    head = ["when", "check", "outcome", "status", "what it said"]
    return html_page.section("What went wrong", told + _stack(head, rows, {3})) if rows else ""


def writes(facts: Report) -> str:
    """Where the application tried to write outside its shared folders."""
    rows = []
    for one in facts["watch"].get("write_attempts") or []:
        if isinstance(one, dict):
            rows.append(
                f'<tr><th scope="row">{text(one.get("folder") or "(its own folder)")}</th>'
                f'<td class="status">{text(one.get("error") or "")}</td>'
                f'<td class="long">{text(", ".join(map(str, one.get("paths") or [])))}</td>'
                f'<td class="long"><code>{text(one.get("line") or "")}</code></td></tr>'
            )
    told = (
        '<p class="soft small">Releases are read-only. Add a line to <code>mobius_shared_folders</code>, beside those that are there, '
        "then run setup and deploy.</p>"
    )
    head = ["folder", "error", "paths", "line"]
    return html_page.section("Writes outside the shared folders", told + _stack(head, rows)) if rows else ""


def new_errors(facts: Report) -> str:
    """Errors in the logs that came with the release."""
    rows = [
        f'<tr><td class="number">{one.get("count", 0):,}</td><td class="when">{text(one.get("first") or "")}</td>'
        f'<td class="long"><code>{text(one.get("template") or "")}</code></td></tr>'
        for one in facts["watch"].get("new_errors") or []
        if isinstance(one, dict)
    ]
    told = '<p class="soft small">No log had them before the release was put into service. <code>mobius.ops.logs</code> shows more.</p>'
    return html_page.section("New errors in the logs", told + _stack(["lines", "first", "error"], rows)) if rows else ""


def incidents(facts: Report) -> str:
    """What was opened, and what the application printed last."""
    parts = []
    for one in facts["incidents"]:
        rows = [
            ("Severity", f"{one['severity']} ({one['severity_name']}), {one['status']}"),
            ("Opened", f"{one['opened']} by {one['opened_by']}"),
            ("Respond by", one["respond_by"]),
            ("Escalation", one["escalation"]),
            ("Summary", one["summary"]),
            ("File", one["path"]),
        ]
        quotes = "".join(
            f"<p>{text(name.replace('_', ' ').capitalize())}, the last lines:</p><pre>" + "\n".join(map(text, quoted)) + "</pre>"
            for name, quoted in one["lines"].items()
            if quoted
        )
        parts.append(f"<h3>{text(one['id'])}: {text(one['title'])}</h3>" + html_page.definitions(rows) + quotes)
    return html_page.section("Incidents", "".join(parts)) if parts else ""


def releases(facts: Report) -> str:
    """The releases that have to do with it."""
    told, rows = facts["releases"], []
    known = {"serves": told["live"], "watched": told["watched"], "the one before": told["previous"], "rollback target": told["target"]}
    for record in told["records"]:
        roles = [word for word, release in known.items() if release == record["id"]]
        rows.append(
            f'<tr><th scope="row">{text(record["id"])}</th><td>{text(", ".join(roles))}</td>'
            f'<td class="status">{text(str(record["status"]).replace("_", " "))}</td>'
            f'<td class="when">{text(record["activated"] or "")}</td>'
            f'<td class="long">{text(record["failed_reason"] or "")}</td></tr>'
        )
    head = ["release", "what it is", "status", "put into service", "what was wrong"]
    return html_page.section("Releases", _stack(head, rows)) if rows else ""


def ids(facts: Report) -> str:
    """All names by which one looks further."""
    watch = facts["watch"]
    record: t.Mapping[str, object] = next((record for record in facts["releases"]["records"] if record["id"] == watch["release"]), {})
    window = wording.duration(watch["duration"]) if isinstance(watch["duration"], (int, float)) else ""
    rows = [
        ("Release", watch["release"]),
        ("Source", record.get("source")),
        ("SHA-256", record.get("sha256")),
        ("Backup", record.get("backup")),
        ("Migration", record.get("migration")),
        ("Incident", watch["incident"]),
        ("Watch", watch["id"]),
        ("Begun", watch["started"]),
        ("Ended", watch["ended"] or ("not yet" if not watch["verdict"] else "")),
        ("Window", window and f"{window}, a round every {watch['interval']:g} s"),
        ("Goes back", "by itself" if watch["auto_rollback"] else "never by itself"),
        ("Log", watch["log_file"]),
        ("Metrics", watch["metrics_file"]),
    ]
    rows += [(f"Check {check['name']}", f"{check['method'] or 'GET'} {check['url']}") for check in watch["checks"]]
    return html_page.section("Which and when", html_page.definitions(rows))
