# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a drill: one page of HTML that needs nothing else, and the same as JSON."""
from __future__ import annotations

import html
import os
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _clock, _files, _words
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout

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
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #566172; --line: #dde2e9; --ground: #f4f6f9; --card: #fff;
  --good: #12703f; --good-ground: #e2f4ea; --bad: #ab1f24; --bad-ground: #fde9e8; --bar: #3f74c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f1; --soft: #9ba7b8; --line: #2d3644; --ground: #11161d; --card: #1a212b;
  --good: #6bd79b; --good-ground: #12301f; --bad: #ff9d98; --bad-ground: #3d1719; --bar: #6fa0ee; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.3rem }
section, header { margin-bottom: 1rem }
header.passed { background: var(--good-ground); border-color: var(--good) }
header.failed { background: var(--bad-ground); border-color: var(--bad) }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem }
.passed h1, .good { color: var(--good) } .failed h1, .bad { color: var(--bad) }
h2 { font-size: 1.05rem; margin: 0 0 .6rem } p { margin: .3rem 0 } .soft { color: var(--soft) } .small { font-size: .875rem }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1rem; margin-bottom: 1rem }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem }
.figures b { display: block; font-size: 1.45rem; line-height: 1.3 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0; border-top: 1px solid var(--line) }
td:last-child, th:last-child { padding-right: 0 }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .875rem } tbody th { font-weight: 600 }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } .status { white-space: nowrap }
.bar { display: block; height: .35rem; margin-top: .35rem; border-radius: .2rem; background: var(--bar); min-width: 2px }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .35rem 1.2rem; margin: 0 } dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere } code, pre { font-family: ui-monospace, monospace; font-size: .875rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; padding: .8rem; background: var(--ground); border-radius: .4rem }
ul { margin: 0; padding-left: 1.2rem }
li { overflow-wrap: anywhere }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem } .did { display: none }
  section, header { padding: .9rem } }
@media print { body { background: none } section, header, .figures div { break-inside: avoid } }
"""


def write(layout: Layout, facts: dict[str, t.Any]) -> None:
    """Write both files, and their paths into the facts. A name is taken for a second at most."""
    while True:
        base = os.path.join(layout.reports, f"drill-{facts['env']}-{_clock.stamp()}")
        if not os.path.lexists(base + ".json"):
            break
        time.sleep(0.05)
    facts.update(report=base + ".html", report_json=base + ".json")
    try:
        os.makedirs(layout.reports, exist_ok=True)
        _files.write_json(base + ".json", facts, _MODE)
        _files.write_text(base + ".html", page(facts), _MODE)
    except OSError:
        facts.update(report="", report_json="")
        raise


def _e(value: t.Any) -> str:
    text = html.escape(str(value))
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f} s" if value < 120 else _words.duration(value)


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def page(facts: dict[str, t.Any]) -> str:
    """The page."""
    passed = facts["verdict"] == "passed"
    title = f"Restore drill {'passed' if passed else 'FAILED'}"
    parts = [_head(facts, title, passed), _figures(facts) if facts["bytes"] or passed else "", _steps(facts), _differences(facts),
             _databases(facts), _application(facts), _evidence(facts), _ids(facts), _notes(facts)]
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_e(title)}: {_e(facts['env'])}, {_e(facts['started'])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
            + "\n".join(part for part in parts if part) + "\n</main>\n</body>\n</html>\n")


def _head(facts: dict[str, t.Any], title: str, passed: bool) -> str:
    where = f"{facts['env']} on {facts['host']}, {facts['started']}, by {facts['who']}"
    if passed:
        told = "The archive was restored, compared and opened" + (
            ", and the application was well on it." if (facts["application"] or {}).get("ready_after") is not None
            else ". The application was left out.")
    else:
        told = f"At the step {_DID[facts['step']][0].lower()}: " if facts["step"] in _DID else ""
        told += facts["reason"]
    return (f'<header class="{"passed" if passed else "failed"}"><h1>{_e(title)}</h1><p>{_e(told)}</p>'
            f'<p class="soft small">{_e(where)}</p></header>')


def _figures(facts: dict[str, t.Any]) -> str:
    rows = sum(database["rows"] for database in facts["databases"])
    known = facts["recovery_time"] is not None
    tiles = [("recovery time", _seconds(facts["recovery_time"]) if known else "unknown",
              "verify, restore and start" if known else "it did not come that far"),
             ("restored", _files.human_size(facts["bytes"]), _count(facts["files"], "file")),
             ("databases", str(len(facts["databases"])), _count(rows, "row")),
             ("the whole drill", _seconds(facts["elapsed"]), "with all comparisons")]
    return '<div class="figures">' + "".join(
        f'<div><span class="soft small">{_e(name)}</span><b>{_e(value)}</b><span class="soft small">{_e(more)}</span></div>'
        for name, value, more in tiles) + "</div>"


def _table(head: t.Sequence[str], rows: t.Iterable[str], numbers: t.Container[int] = ()) -> str:
    cells = "".join(f'<th scope="col"{" class=number" if column in numbers else ""}>{_e(name)}</th>' for column, name in enumerate(head))
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_e(title)}</h2>{body}</section>"


def _steps(facts: dict[str, t.Any]) -> str:
    longest = max((step["elapsed"] or 0 for step in facts["steps"]), default=0) or 1
    rows = []
    for step in facts["steps"]:
        name, did = _DID[step["name"]]
        mood = {"passed": " good", "failed": " bad"}.get(step["status"], " soft")
        gauge = f'<span class="bar" style="width: {100 * step["elapsed"] / longest:.1f}%"></span>' if step["elapsed"] else ""
        rows.append(f'<tr><th scope="row">{_e(name)}</th><td><span class="soft small did">{_e(did)}</span>{gauge}</td>'
                    f'<td class="status{mood}">{_e(_STATUS[step["status"]])}</td>'
                    f'<td class="number">{_e(_seconds(step["elapsed"]))}</td></tr>')
    return _section("Steps", _table(["step", "what was done", "result", "time"], rows, {3}))


def _differences(facts: dict[str, t.Any]) -> str:
    rows = [f"<li><code>{_e(one['path'])}</code>: {_e(one['what'])}</li>" for one in facts["differences"]]
    return _section("What differs", f"<ul>{''.join(rows)}</ul>") if rows else ""


def _databases(facts: dict[str, t.Any]) -> str:
    rows = []
    for found in facts["databases"]:
        counts = ", ".join(f"{name}: {'?' if count is None else format(count, ',')}" for name, count in found["counts"].items())
        rows.append(f'<tr><th scope="row"><code>{_e(found["path"])}</code></th><td class="good">sound</td><td>{_e(counts)}</td>'
                    f'<td class="number">{found["tables"]}</td><td class="number">{found["rows"]:,}</td></tr>')
    head = ["file", "integrity", "rows of each table", "tables", "rows"]
    return _section("Databases", _table(head, rows, {3, 4})) if rows else ""


def _application(facts: dict[str, t.Any]) -> str:
    told = facts["application"]
    if not told:
        return ""
    ready = f", ready after {told['ready_after']} s" if told.get("ready_after") is not None else ", which did not become ready"
    said = (f"<p>Release <code>{_e(told['release'])}</code> on port {_e(told['port'])}{_e(ready)}. "
            f"What kept it from the live data: {_e(_ISOLATION[told['isolation']])}.</p>")
    rows = [f"<tr><th scope=\"row\">{_e(one['check'])}</th><td class=\"status {'good' if one['outcome'] in ('ok', 'slow') else 'bad'}\">"
            f"{_e(one['outcome'])}</td><td>{_e(one['error'])}</td><td class=\"number\">{_e(one['status'] or '')}</td>"
            f"<td class=\"number\">{_e(one['ms'])}</td></tr>" for one in told["checks"]]
    return _section("Application", said + (_table(["check", "outcome", "error", "status", "ms"], rows, {3, 4}) if rows else ""))


def _evidence(facts: dict[str, t.Any]) -> str:
    lines = facts["evidence"]
    return _section("What the application printed last", "<pre>" + "\n".join(map(_e, lines)) + "</pre>") if lines else ""


def _ids(facts: dict[str, t.Any]) -> str:
    size = f"{_files.human_size(facts['size'])} ({_count(facts['size'], 'byte')})" if facts.get("size") is not None else ""
    compared = (f"{_count(facts['files'], 'file')}, {_count(facts['folders'], 'folder')}, {_count(facts['links'], 'symbolic link')}: "
                "content, mode, time and, as root, owner") if facts["folders"] else ""
    rows = [("Archive", facts["archive"]), ("Made", facts.get("created")), ("Size", size), ("SHA-256", facts.get("sha256")),
            ("Components", ", ".join(facts.get("components") or [])), ("Release", facts.get("release")), ("Compared", compared),
            ("Begun", facts["started"]), ("Ended", facts["ended"]), ("As JSON", os.path.basename(facts["report_json"]))]
    return _section("Which and when", "<dl>" + "".join(
        f"<dt>{_e(name)}</dt><dd>{_e(value)}</dd>" for name, value in rows if value) + "</dl>")


def _notes(facts: dict[str, t.Any]) -> str:
    lines = [*facts["notes"], *facts["swept"]]
    return _section("Notes", "<ul>" + "".join(f"<li>{_e(line)}</li>" for line in lines) + "</ul>") if lines else ""
