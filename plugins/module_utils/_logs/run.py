# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run of the report: what was asked for, what is new, and what is kept for the next run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
import typing as t

from .._core import clock, dotenv, html_page, locks
from .._core.errors import InputError
from .._target import records
from .._target.layout import Layout, check_name
from .._target.record_types import ServiceSpec
from . import explain, files, marks, reading, report, templates
from .marks import State
from .reading import Wanted
from .report_types import ErrorGroup, Explained, Passed, ReadFile, Report
from .serving import Past

_AGO = re.compile(r"(\d{1,6})\s*([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEAST = {"slow_ms": 0, "processes": 1, "max_mb": 1, "keep_days": 1, "rows": 1}
#: Processes at most.
_MOST = 16


def wanted_of(params: t.Mapping[str, t.Any]) -> Wanted:
    """What was asked for. :raises InputError: when it cannot be done."""
    for name, least in _LEAST.items():
        if params[name] < least:
            raise InputError(name, f"{least} or more", f"{params[name]:g}", "Correct it")
    layout = Layout(params["root"])
    patterns = params["files"] if params["files"] is not None else files_of(layout, params["service"])
    units = params["units"] if params["units"] is not None else units_of(layout, params["service"])
    for unit in units:
        if not re.fullmatch(r"[\w@:.*\\-]{1,200}", unit) or unit.startswith("-"):
            raise InputError(f"units: {unit}", "the name of a unit, such as mobius.service", repr(unit), "Correct it")
    return Wanted(patterns, units, 0, params["slow_ms"], params["detail"], min(params["processes"], _MOST), params["max_mb"] * 10**6)


def files_of(layout: Layout, service: str) -> list[str]:
    """The logs of a service: those of its folder, and the file that an adopted one prints to."""
    folder = layout.path("shared", "logs")
    spec = _spec(layout, service)
    printed = spec["console_log"] if spec else ""
    return [os.path.join(folder, "*.log*"), *([printed] if printed and os.path.dirname(printed) != folder else [])]


def _spec(layout: Layout, service: str) -> ServiceSpec | None:
    if not service:
        return None
    found: ServiceSpec | None = records.read(
        layout.path("state", "service", check_name(service, "service name"), "spec.json"), records.SERVICE
    )
    return found


def units_of(layout: Layout, service: str) -> list[str]:
    """The units that run a service; none when systemd does not, or it was not set up."""
    spec = _spec(layout, service)
    if not spec or spec["manager"] != "systemd":
        return []
    return [f"{service}@{port}.service" for port in spec.get("slots") or []] or [f"{service}.service"]


def moment(since: str, past: Past) -> float:
    """Seconds since 1970 from which on lines count; 0 for all. :raises InputError: when the text is no time."""
    since = since.strip()
    if not since:
        return 0
    if since == "deploy":
        if past.last_deploy is None:
            raise InputError("since: deploy", "a deploy in the history", "none", "Give a time, or a time ago such as 24h")
        return past.last_deploy
    ago = _AGO.fullmatch(since)
    if ago:
        return time.time() - int(ago.group(1)) * _UNITS[ago.group(2)]
    try:
        return clock.parse(since).timestamp()
    except ValueError:
        raise InputError(
            f"since: {since}", "a time such as 2026-11-27T08:00:00Z, a time ago such as 24h, or deploy", repr(since), "Correct it"
        ) from None


def read_and_report(params: t.Mapping[str, t.Any], keep: bool) -> Report:
    """Read, count and report. :raises OpsError: when it cannot be done."""
    wanted, layout = wanted_of(params), Layout(params["root"])
    layout.require()
    past = Past(layout)
    redactor = dotenv.Redactor(layout.env_file)
    wanted = dataclasses.replace(wanted, moment=moment(params["since"], past), hide=redactor.text)
    keep = keep and not wanted.moment
    with locks.locked(layout.path("state", "logs.lock")) if keep else contextlib.nullcontext():
        state, note = (State(), "") if wanted.moment else marks.load(layout, wanted.slow_ms)
        read = reading.read(wanted, state)
        if keep:
            marks.save(layout, read.state, clock.from_epoch(time.time() - params["keep_days"] * 86400)[:10])
    facts = result(read, past, params, wanted)
    if note:
        facts["warnings"] = [note]
    return t.cast(Report, redactor.value(facts))


def result(read: reading.Reading, past: Past, params: t.Mapping[str, t.Any], wanted: Wanted) -> Report:
    """The result."""
    facts = report.build(read.state.totals, past, params["rows"], params["addresses"] == "full")
    points = facts["rates"]["points"]
    facts["sampled"] = read.sampled
    facts["read"] = [t.cast(ReadFile, dataclasses.asdict(one)) for one in read.done.told]
    facts["passed"] = [t.cast(Passed, dataclasses.asdict(one)) for one in read.done.passed]
    facts["period"] = {
        "since": clock.from_epoch(wanted.moment) if wanted.moment else "",
        "first": points[0]["when"] if points else "",
        "last": points[-1]["when"] if points else "",
    }
    facts["message"] = message(facts)
    facts["host"] = os.uname().nodename
    if params["page"]:
        facts["report"] = Layout(params["root"]).path("reports", "logs.html")
    if params["explain"]:
        found = explain.explain(files.find(wanted.patterns)[0], wanted.moment, params["rows"], wanted.most, wanted.hide)
        facts["explained"] = {name: t.cast(Explained, dataclasses.asdict(one)) for name, one in found.items()}
        for line in [line for one in facts["explained"].values() for line in one["lines"]] if params["addresses"] == "masked" else []:
            line["line"] = templates.without_addresses(line["line"])
    return facts


def message(facts: Report) -> str:
    """What there is to say, in a sentence or two."""
    if not facts["lines"]:
        begin = facts["period"]["since"]
        why = [f"{one['path']}: {one['why']}" for one in facts["passed"][:1]]
        return ": ".join(["No line of a log was found" + (f" since {begin}" if begin else ""), *why]) + "."
    sources = facts["sources"]
    requests, failed = sum(one["requests"] for one in sources), sum(one["failed"] for one in sources)
    refused = sum(one["refused"] for one in sources)
    groups, new = facts["error_groups"], len(facts["new_errors"])
    text = f"{html_page.count(groups, 'error template')} in {html_page.count(facts['lines'], 'line')}"
    text += f", {new} new since the last deploy" if new else ""
    answered = f"; of {html_page.count(requests, 'request')} {failed:,} failed (5xx) and {refused:,} were refused (4xx)"
    return text + (answered if requests else "") + "."


def first_seen(layout: Layout, service: str, since: str, most_mb: int) -> list[ErrorGroup]:
    """The error templates that no log had before a moment, the most frequent first; nothing is kept for other runs.

    :param service: whose journal is read too, where systemd runs it; an empty text for none.
    :param since: the moment, as ``_core.clock.iso`` writes it.
    :param most_mb: megabytes that are read at most, beside what earlier runs have read.
    :raises OpsError: when a record that it needs is damaged.
    """
    units = units_of(layout, service)
    saved = records.read(marks.path(layout), records.LOGS) or {}
    state, _note = marks.load(layout, saved.get("slow_ms", 1000))
    wanted = Wanted(
        files_of(layout, service),
        units,
        0,
        state.slow_ms or 1000,
        "sampled",
        1,
        most_mb * 10**6,
        dotenv.Redactor(layout.env_file).text,
    )
    rows = report.errors(reading.read(wanted, state).state.totals, Past(layout))
    return [row for row in rows if row["first"] and row["first"] >= since]
