# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The requests of a part of a log as columns, and what is counted of them: nothing here looks at one line after the other.

Python counts pairs out of two lists at the speed of C. So lines become lists of labels, statuses and times, and what these come to is put
together only once for each pair.
"""

from __future__ import annotations

import collections
import re
import typing as t

from .._core.stats import Histogram
from . import formats, templates, totals
from .formats import Form
from .totals import Day, Slot

#: Pairs that are held before they are put together, and names of requests that are kept.
HELD, _KNOWN = 20_000, 40_000
_FAILED = re.compile(rb'" [45]\d\d ')
_CHANGES = re.compile(rb'"(?:POST|PUT|PATCH|DELETE) ')
_JSON_CHANGES = re.compile(rb'"method":"(?:POST|PUT|PATCH|DELETE)"')
_JSON_FAILED = re.compile(rb'"statusCode":[45]\d\d')
#: What stands between the quoted texts of lines in the combined form: status and size; the rest of a line, the client of the next one and
#: its time.
_ANSWER = re.compile(rb'" (\d{3}) (?:\d+|-) (?=")')
_NEXT = rb'[^"\n]*\n(\S+) [^\["\n]{1,200}\[[^\]"\n]{20,40}\] (?:"|\Z)'
_ENDS = {
    True: re.compile(rb'(?:[^"\n]*?(?:\brt|request_time|rtime)[=:]\s?(\d+\.\d+))?' + _NEXT),
    False: re.compile(rb'(?:[^\d"\n]*(\d+\.\d{3})(?![\d.]))?' + _NEXT),
}
_WRITES = ("POST ", "PUT ", "PATCH ", "DELETE ")


class Rows(t.NamedTuple):
    """Requests: the label of each (``templates.label``), its status and its time; and the clients of those that change something."""

    labels: list[str]
    statuses: t.Sequence[bytes]
    times: t.Sequence[bytes]
    clients: list[bytes]


def of(form: Form, lines: bytes, count: int) -> Rows:
    """The requests of so many lines."""
    found = _columns(form, lines, count) if form.name == "combined" else None
    if found:
        return found
    if form.name in ("text", "bracketed"):
        return _in_text(lines)
    rows = formats.requests(form, lines)
    if not rows:
        return Rows([], [], [], [])
    clients, methods, paths, statuses, times = zip(*rows)
    if form.name == "json":
        who = [formats.client(line) for line in _around(lines, (_JSON_CHANGES,)) if b'"responseTime":' in line]
    else:
        who = [client for client, method in zip(clients, methods) if method in formats.CHANGE]
    return Rows(_labels(list(zip(methods, paths))), statuses, times, who)


def _in_text(lines: bytes) -> Rows:
    found: list[t.Any] = [*formats.in_text(lines), *(((b"", formats.NO_ROUTE), b"", time) for time in formats.spoken(lines))]
    if not found:
        return Rows([], [], [], [])
    requests, statuses, times = zip(*found)
    names = _labels(requests)
    changes = {name for name in set(names) if name.startswith(_WRITES)}
    return Rows(names, statuses, times, [b""] * sum(map(changes.__contains__, names)))


def _columns(form: Form, lines: bytes, count: int) -> Rows | None:
    """The same of an access log whose lines are all as they should be, with three quoted texts each; ``None`` when one is not.

    It finds what the expression of the form finds, in a third of the time.
    """
    fields = lines.split(b'"')
    if len(fields) != 6 * count + 1 or set(fields[4::6]) != {b" "}:
        return None
    statuses = _ANSWER.findall(b'"%b"' % b'"'.join(fields[2::6]))
    ends = _ENDS[form.named].findall(b'"'.join([*fields[6:-1:6], fields[-1] + fields[0]]))
    if len(statuses) != count or len(ends) != count:
        return None
    times, clients = zip(*ends)
    names = _labels(fields[1::6])
    first = clients[-1:] + clients[:-1]  # each stands behind the line before it
    return Rows(names, statuses, times, [client for client, name in zip(first, names) if name.startswith(_WRITES)])


#: A request, as its log has it -> its label.
_LABELS: dict[t.Any, str] = {}


def _labels(requests: t.Sequence[t.Any]) -> list[str]:
    """Labels of requests: texts such as ``GET /x HTTP/1.1``, or pairs of a method and a path."""
    try:
        return list(map(_LABELS.__getitem__, requests))
    except KeyError:
        pass
    if len(_LABELS) > _KNOWN:
        _LABELS.clear()
    new = [one for one in set(requests) if one not in _LABELS]
    pairs = [one if isinstance(one, tuple) else (one.split(b" ", 2) + [b""])[:2] for one in new]
    routes = templates.routes([path for _method, path in pairs])
    _LABELS.update((one, templates.label(method, route)) for one, (method, _path), route in zip(new, pairs, routes))
    return [_LABELS[one] for one in requests]


def _around(lines: bytes, patterns: tuple[re.Pattern[bytes], ...]) -> list[bytes]:
    """The lines in which one of some patterns is found."""
    found = {lines.rfind(b"\n", 0, at) for pattern in patterns for at in [match.start() for match in pattern.finditer(lines)]}
    return [lines[before + 1 : lines.find(b"\n", before + 1)] for before in sorted(found)]


def notable(form: Form, lines: bytes) -> list[bytes]:
    """The lines with requests that failed or were to change something, and perhaps some more, without a look at the others."""
    return _around(lines, (_FAILED, _CHANGES) if form.name == "combined" else (_JSON_FAILED, _JSON_CHANGES))


class _Codes(dict[bytes, t.Optional[int]]):
    """Time of a row -> twice the bucket of a histogram, and one more when it is slow; ``None`` when there is no time."""

    def __init__(self, form: Form, slow_ms: float) -> None:
        super().__init__()
        self._form, self._slow_ms = form, slow_ms

    def __missing__(self, time: bytes) -> int | None:
        ms = formats.milliseconds(self._form, time)
        code = Histogram.bucket(ms) * 2 + (ms >= self._slow_ms) if ms >= 0 else None
        if len(self) < HELD:
            self[time] = code
        return code


class Counts:
    """What was counted of the requests of one day, until it is put together."""

    def __init__(self, form: Form, slow_ms: float) -> None:
        self._form = form
        self._day: Day | None = None
        self._answers: collections.Counter[tuple[str, bytes]] = collections.Counter()
        self._times: collections.Counter[tuple[str, int | None]] = collections.Counter()
        self._clients: collections.Counter[bytes] = collections.Counter()
        self._codes = _Codes(form, slow_ms)

    def add(self, day: Day, slot: Slot, at: float | None, rows: Rows, detailed: bool) -> None:
        """Count requests of a slot of ten minutes; routes and times only in detail."""
        if day is not self._day or len(self._answers) + len(self._times) + len(self._clients) > HELD:
            self.put()
            self._day = day
        self._answers.update(zip(rows.labels, rows.statuses))
        self._clients.update(rows.clients)
        for status, number in collections.Counter(rows.statuses).items():
            if formats.failed(status):
                slot.refused += number * (status[:1] == b"4")
                slot.failed += number * (status[:1] != b"4")
        if detailed:
            codes = list(map(self._codes.__getitem__, rows.times))
            self._times.update(zip(rows.labels, codes))
            if any(code is not None and code & 1 for code in set(codes)):
                for label, code, time in zip(rows.labels, codes, rows.times):
                    if code is not None and code & 1:
                        day.slow_one(formats.milliseconds(self._form, time), label, at)

    def put(self) -> None:
        """Put together what was counted."""
        day = self._day
        if day is None:
            return
        for (label, status), number in self._answers.items():
            failed, changes = formats.failed(status), label.startswith(_WRITES)
            if failed:
                totals.count(day.failures, f"{label} {status.decode('ascii', 'replace')}", number, totals.FAILURES)
            if changes:
                totals.count(day.writes, f"{label} {status.decode('ascii', 'replace')}", number, totals.WRITES)
        for (label, code), number in self._times.items():
            route = day.route(label)
            route.seen += number
            if code is not None:
                route.times.put(code >> 1, number)
                route.slow += number * (code & 1)
        for client, number in self._clients.items():
            totals.count(day.clients, templates.shown(client, 64) or "-", number, totals.CLIENTS)
        for held in (self._answers, self._times, self._clients):
            held.clear()
