# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host knows about the time of an incident: releases, failed rounds, errors and lines of logs, backup, events, metrics.

Each part is collected in a thread of its own and is bounded in time and size. A part that fails or hangs is named, and holds up nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
import typing as t

from .._core import clock, documents, dotenv, foreign, wording
from .._logs import files, formats, reading, report, stream, totals
from .._logs import run as logs_run
from .._logs.reading import Job, Wanted
from .._logs.serving import Past
from .._observe import host_metrics
from .._target import history, records
from .._target.layout import Layout
from .._target.releases import ReleaseStore

#: Seconds that all parts have together.
PATIENCE = 10.0
#: Seconds before the opening that count as the time of the incident.
AROUND = 900
#: Bytes of the end of a log that are read, of a journal, and of a part of the evidence; logs at most.
_LOG, _JOURNAL, _PART, _LOGS = 4 * 1024**2, 16 * 1024**2, 32 * 1024, 6
#: Rows of a part, lines of a log, and characters of a text and of an error line.
_ROWS, _LINES, _TEXT, _LINE = 10, 20, 2000, 500
_OF_RELEASE = ("id", "status", "version", "created", "activated", "verified", "failed_reason")
_OF_ROUND = ("when", "round", "outcome", "release", "fault", "checks")
_OF_ERROR = ("count", "template", "sample", "first", "last", "release", "new")
_OF_METRIC = ("metric", "subject", "value", "unit", "status")

Collector = t.Callable[[Layout, str], t.Any]


def gather(layout: Layout, env: str, patience: float = PATIENCE, collectors: t.Mapping[str, Collector] | None = None) -> dict[str, object]:
    """Collect all parts; ``not_gathered`` names those that failed, with the reason.

    :param patience: seconds that all parts have together.
    """
    found: dict[str, object] = {}
    failed: dict[str, str] = {}
    wanted = COLLECTORS if collectors is None else collectors

    def collect(name: str, how: Collector) -> None:
        try:
            value = how(layout, env)
        except Exception as error:  # whatever it is, the incident is more important
            failed[name] = wording.one_line(f"{type(error).__name__}: {error}")[:300]
            return
        if value:
            found[name] = _bounded(value)

    threads = {name: threading.Thread(target=collect, args=each, daemon=True) for name, each in zip(wanted, wanted.items())}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    gathered = {name: found[name] for name in wanted if name in found}
    late = {name: f"no answer within {patience:g} s" for name in wanted if threads[name].is_alive() and name not in found}
    missing = {**failed, **late}
    return {**gathered, **({"not_gathered": missing} if missing else {})}


def _bounded(value: t.Any) -> t.Any:
    """A part without what is too long: texts are cut, and of lists the first rows are left out."""
    value = [_row(each) for each in value] if isinstance(value, list) else _row(value)
    while isinstance(value, list) and len(value) > 1 and len(json.dumps(value)) > _PART:
        value = value[len(value) // 4 + 1 :]
    return value if len(json.dumps(value)) <= _PART else wording.cut(json.dumps(value), _PART)


def _row(value: t.Any) -> t.Any:
    return {name: _short(item) for name, item in value.items()} if isinstance(value, dict) else _short(value)


def _short(value: t.Any) -> t.Any:
    if isinstance(value, str):
        return wording.cut(value, _TEXT)
    return value if len(json.dumps(value)) <= _TEXT else wording.cut(json.dumps(value), _TEXT)


def _releases(layout: Layout, _env: str) -> list[t.Any]:
    store = ReleaseStore(layout, records.Findings())
    live = store.live()
    newest: t.Sequence[t.Mapping[str, object]] = store.all()[:5]
    return [
        {**{name: record[name] for name in _OF_RELEASE if record.get(name)}, **({"live": True} if record["id"] == live else {})}
        for record in newest
    ]


def _rounds(layout: Layout, env: str) -> t.Iterator[dict[str, object]]:
    """The newest lines of the newest metrics file of a watch."""
    mine = re.compile(re.escape(f"metrics-{env}-") + r"\d{8}_\d{6}\.jsonl")
    names = sorted(name for name in os.listdir(layout.monitor_logs) if mine.fullmatch(name))
    for line in foreign.tail(layout.path("monitor_logs", names[-1]), 400, 512 * 1024) if names else []:
        with contextlib.suppress(ValueError):
            told = documents.parse(line)
            if isinstance(told, dict):
                yield told


def _failing_samples(layout: Layout, env: str) -> list[t.Any]:
    return [
        {name: told[name] for name in _OF_ROUND if told.get(name)}
        for told in _rounds(layout, env)
        if told.get("what") == "round" and told.get("outcome") != "ok"
    ][-_ROWS:]


def _metrics(layout: Layout, env: str) -> list[t.Any]:
    """The newest looks of the watch at the host, and one of now."""
    looks = [(str(told.get("when")), told.get("metrics")) for told in _rounds(layout, env) if told.get("what") == "host"][-3:]
    looks.append((clock.iso(), host_metrics.collect({"window": 0.2, "mounts": host_metrics.places(layout)})["metrics"]))
    return [
        f"{when} " + "; ".join(" ".join(str(one[name]) for name in _OF_METRIC if one.get(name) not in ("", None)) for one in metrics)
        for when, metrics in looks
        if isinstance(metrics, list)
    ]


def _jobs(layout: Layout, moment: float) -> t.Iterator[Job]:
    """The ends of the logs that were written to lately, each from the beginning of a line."""
    found = [file for file in files.find([layout.path("shared", "logs", "*.log*")])[0] if not file.packed and file.changed >= moment]
    for file in sorted(found, key=lambda each: each.changed)[-_LOGS:]:
        with contextlib.suppress(OSError), stream.Reader(files.opened(file), False, stream.CHUNK) as reader:
            start = max(0, file.size - _LOG)
            form = formats.sniff(reader.beginning(formats.SNIFF))
            if start:
                with stream.Reader(files.opened(file), False, stream.CHUNK) as middle:
                    middle.seek(start)
                    start += middle.beginning(stream.CHUNK).find(b"\n") + 1
            yield Job(file, form, start, None, False, _LOG, "")


def _errors(layout: Layout, _env: str) -> list[t.Any]:
    """Templates of error lines, the most frequent first."""
    moment = time.time() - AROUND
    units = logs_run.units_of(layout, "mobius")
    wanted = Wanted([], units, moment, 1000, "exact", 1, _JOURNAL, dotenv.Redactor(layout.env_file).text)
    counted: totals.Totals = {}
    for job in _jobs(layout, moment):
        totals.merge(counted, reading.work(job, wanted).totals)
    if units:
        totals.merge(counted, reading.read(wanted, reading.State()).done.totals)
    groups: t.Sequence[t.Mapping[str, object]] = report.errors(counted, Past(layout))[:_ROWS]
    return [{name: _line(one[name]) for name in _OF_ERROR} for one in groups]


def _line(value: object) -> object:
    return wording.cut(value, _LINE) if isinstance(value, str) else value


def _log_lines(layout: Layout, _env: str) -> list[t.Any]:
    """The last lines of the logs that were written to lately."""
    lines = []
    for job in _jobs(layout, time.time() - AROUND):
        with os.fdopen(files.opened(job.file), "rb") as stream_of:
            stream_of.seek(max(0, job.file.size - _PART))
            told = stream_of.read(_PART).decode("utf-8", "replace").splitlines()
        lines += [f"{job.file.name}: {line}" for line in told[-_LINES:]]
    return lines


def _last_backup(layout: Layout, _env: str) -> dict[str, object]:
    event: t.Mapping[str, object] = history.last(layout, "backup") or {}
    return {name: event[name] for name in ("when", "archive", "who") if event.get(name)}


def _history(layout: Layout, _env: str) -> list[t.Any]:
    """Who did what, the newest events."""
    events: t.Sequence[t.Mapping[str, object]] = history.events(layout, 20)
    return [" ".join(str(event[name]) for name in ("when", "who", "what", "release", "why") if event.get(name)) for event in events]


#: Name of each part -> what collects it.
COLLECTORS: dict[str, Collector] = {
    "releases": _releases,
    "failing_samples": _failing_samples,
    "errors": _errors,
    "log_lines": _log_lines,
    "last_backup": _last_backup,
    "history": _history,
    "metrics": _metrics,
}
