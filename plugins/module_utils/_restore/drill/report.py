# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a drill: one page of HTML that needs nothing else, and the same as JSON."""

from __future__ import annotations

import os
import time

from ..._core import clock, fs, html_page, wording
from ..._core.html_page import text
from ..._target import history
from ..._target.layout import Layout
from .drill_types import DrillFacts

#: They quote what the application printed, as incidents do.
_MODE = 0o640
_DID = {
    "verify": ("Verify", "Checksum of the archive, and every member against its manifest"),
    "extract": ("Restore", "All of it into a fresh, private folder"),
    "compare": ("Compare", "Every file read again from the disk, against the manifest"),
    "database": ("Databases", "Each SQLite database opened and checked"),
    "application": ("Application", "Started on the restored data, and asked for its health"),
}
_STATUS = {"passed": "✓ passed", "failed": "✗ failed", "skipped": "– left out", "not_reached": "– not reached"}
_ISOLATION = {
    "mount_namespace": "a mount namespace, in which everything but its own folder was read-only",
    "systemd": "systemd, by which everything but its own folder was read-only",
    "user_only": "nothing but the rights of the service user",
    "none": "nothing",
    "unknown": "not known, because it did not become ready",
}


def write(layout: Layout, facts: DrillFacts) -> None:
    """Write both files, and their paths into the facts. A name is taken for a second at most."""
    while True:
        base = os.path.join(layout.reports, f"drill-{facts['env']}-{clock.stamp()}")
        if not os.path.lexists(base + ".json"):
            break
        time.sleep(0.05)
    facts["report"], facts["report_json"] = base + ".html", base + ".json"
    try:
        os.makedirs(layout.reports, exist_ok=True)
        fs.write_json(base + ".json", facts, _MODE)
        fs.write_text(base + ".html", page(facts), _MODE)
    except OSError:
        facts["report"] = facts["report_json"] = ""
        raise


def note(layout: Layout, facts: DrillFacts, times: dict[str, float]) -> None:
    """The drill into the history."""
    application = facts["application"]
    history.record(
        layout,
        "drill",
        facts["reason"],
        release=application.get("release") if application else None,
        isolation=application.get("isolation") if application else None,
        steps=times,
        verdict=facts["verdict"],
        step=facts["step"],
        env=facts["env"],
        archive=facts["archive"],
        files=facts["files"],
        bytes=facts["bytes"],
        elapsed=facts["elapsed"],
        recovery_time=facts["recovery_time"],
        report=facts["report"],
    )


def page(facts: DrillFacts) -> str:
    """The page."""
    passed = facts["verdict"] == "passed"
    title = f"Restore drill {'passed' if passed else 'FAILED'}"
    parts = [
        _head(facts, title, passed),
        _figures(facts) if facts["bytes"] or passed else "",
        _steps(facts),
        _differences(facts),
        _databases(facts),
        _application(facts),
        _evidence(facts),
        _ids(facts),
        _notes(facts),
    ]
    return html_page.document(f"{title}: {facts['env']}, {facts['started']}", parts)


def _head(facts: DrillFacts, title: str, passed: bool) -> str:
    where = f"{facts['env']} on {facts['host']}, {facts['started']}, by {facts['who']}"
    application = facts["application"]
    if passed:
        told = "The archive was restored, compared and opened" + (
            ", and the application was well on it."
            if application and application.get("ready_after") is not None
            else ". The application was left out."
        )
    else:
        told = f"At the step {_DID[facts['step']][0].lower()}: " if facts["step"] in _DID else ""
        told += facts["reason"]
    return html_page.header("passed" if passed else "failed", title, told, where)


def _figures(facts: DrillFacts) -> str:
    rows = sum(database["rows"] for database in facts["databases"])
    known = facts["recovery_time"] is not None
    tiles = [
        (
            "recovery time",
            html_page.seconds(facts["recovery_time"]) if known else "unknown",
            "verify, restore and start" if known else "it did not come that far",
        ),
        ("restored", wording.human_size(facts["bytes"]), html_page.count(facts["files"], "file")),
        ("databases", str(len(facts["databases"])), html_page.count(rows, "row")),
        ("the whole drill", html_page.seconds(facts["elapsed"]), "with all comparisons"),
    ]
    return html_page.figures(tiles)


def _steps(facts: DrillFacts) -> str:
    longest = max((step["elapsed"] or 0 for step in facts["steps"]), default=0) or 1
    rows = []
    for step in facts["steps"]:
        name, did = _DID[step["name"]]
        mood = {"passed": " good", "failed": " bad"}.get(step["status"], " soft")
        gauge = f'<span class="bar" style="width: {100 * step["elapsed"] / longest:.1f}%"></span>' if step["elapsed"] else ""
        rows.append(
            f'<tr><th scope="row">{text(name)}</th><td><span class="soft small did">{text(did)}</span>{gauge}</td>'
            f'<td class="status{mood}">{text(_STATUS[step["status"]])}</td>'
            f'<td class="number">{text(html_page.seconds(step["elapsed"]))}</td></tr>'
        )
    return html_page.section("Steps", html_page.table(["step", "what was done", "result", "time"], rows, {3}))


def _differences(facts: DrillFacts) -> str:
    rows = [f"<li><code>{text(one['path'])}</code>: {text(one['what'])}</li>" for one in facts["differences"]]
    return html_page.section("What differs", f"<ul>{''.join(rows)}</ul>") if rows else ""


def _databases(facts: DrillFacts) -> str:
    rows = []
    for found in facts["databases"]:
        counts = ", ".join(f"{name}: {'?' if count is None else format(count, ',')}" for name, count in found["counts"].items())
        rows.append(
            f'<tr><th scope="row"><code>{text(found["path"])}</code></th><td class="good">sound</td><td>{text(counts)}</td>'
            f'<td class="number">{found["tables"]}</td><td class="number">{found["rows"]:,}</td></tr>'
        )
    head = ["file", "integrity", "rows of each table", "tables", "rows"]
    return html_page.section("Databases", html_page.table(head, rows, {3, 4})) if rows else ""


def _application(facts: DrillFacts) -> str:
    told = facts["application"]
    if not told:
        return ""
    ready = f", ready after {told['ready_after']} s" if told.get("ready_after") is not None else ", which did not become ready"
    said = (
        f"<p>Release <code>{text(told['release'])}</code> on port {text(told['port'])}{text(ready)}. "
        f"What kept it from the live data: {text(_ISOLATION[told['isolation']])}.</p>"
    )
    rows = [
        f'<tr><th scope="row">{text(one["check"])}</th><td class="status {"good" if one["outcome"] in ("ok", "slow") else "bad"}">'
        f'{text(one["outcome"])}</td><td>{text(one["error"])}</td><td class="number">{text(one["status"] or "")}</td>'
        f'<td class="number">{text(one["ms"])}</td></tr>'
        for one in told["checks"]
    ]
    checks = html_page.table(["check", "outcome", "error", "status", "ms"], rows, {3, 4}) if rows else ""
    return html_page.section("Application", said + checks)


def _evidence(facts: DrillFacts) -> str:
    lines = facts["evidence"]
    return html_page.section("What the application printed last", "<pre>" + "\n".join(map(text, lines)) + "</pre>") if lines else ""


def _ids(facts: DrillFacts) -> str:
    size = f"{wording.human_size(facts['size'])} ({html_page.count(facts['size'], 'byte')})" if facts.get("size") is not None else ""
    compared = (
        (
            f"{html_page.count(facts['files'], 'file')}, {html_page.count(facts['folders'], 'folder')}, "
            f"{html_page.count(facts['links'], 'symbolic link')}: content, mode, time and, as root, owner"
        )
        if facts["folders"]
        else ""
    )
    rows = [
        ("Archive", facts["archive"]),
        ("Made", facts.get("created")),
        ("Size", size),
        ("SHA-256", facts.get("sha256")),
        ("Components", ", ".join(facts.get("components") or [])),
        ("Release", facts.get("release")),
        ("Compared", compared),
        ("Begun", facts["started"]),
        ("Ended", facts["ended"]),
        ("As JSON", os.path.basename(facts["report_json"])),
    ]
    return html_page.section("Which and when", html_page.definitions(rows))


def _notes(facts: DrillFacts) -> str:
    lines = [*facts["notes"], *facts["swept"]]
    return html_page.section("Notes", "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>") if lines else ""
