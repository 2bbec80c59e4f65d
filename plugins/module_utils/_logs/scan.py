# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count what lines tell. What is exact in every case: lines, requests that failed, writes, errors; routes and times may be of a sample."""
from __future__ import annotations

import collections
import re
import typing as t

from .._core import clock
from .._core.stats import Histogram
from . import formats, stamps, templates, totals
from .formats import Form, Row
from .totals import Day, Slot

#: Of a sample each so-manieth block is looked at in detail.
EACH = 10
_FAILED = re.compile(rb'" [45]\d\d ')
_CHANGES = re.compile(rb'"(?:POST|PUT|PATCH|DELETE) ')
_JSON_CHANGES = re.compile(rb'"method":"(?:POST|PUT|PATCH|DELETE)"')
_JSON_FAILED = re.compile(rb'"statusCode":[45]\d\d')


class Scanner:
    """Counts the blocks of one log.

    :param days: what is counted, by day.
    :param slow_ms: milliseconds from which on a request is slow.
    :param sampled: whether only each tenth block is looked at in detail, where the form of the log allows it.
    :param moment: lines of before are left out.
    :param unknown: the time that lines get that tell none.
    :param hide: returns a text without secrets.
    """

    def __init__(self, form: Form, days: dict[str, Day], slow_ms: float, sampled: bool, moment: float = 0,
                 unknown: float | None = None, hide: t.Callable[[str], str] = str) -> None:
        self._hide = hide
        self.form, self.days, self.slow_ms, self.moment, self.unknown = form, days, slow_ms, moment, unknown
        self._sampled = sampled and form.name in ("combined", "json")
        self._blocks = 0

    def block(self, data: bytes) -> None:
        """Count whole lines."""
        if self.moment:
            data = self._later(data)
        detailed = not self._sampled or self._blocks % EACH == 0
        self._blocks += 1
        for at, lines in stamps.parts(data, self.form.stamp) if data else ():
            self._part(self.unknown if at is None else at, at is not None, lines, detailed)

    def _later(self, data: bytes) -> bytes:
        """The lines of the wanted moment and later."""
        if stamps.first(data, 0, len(data), self.form.stamp):
            return data[stamps.since(data, self.moment, self.form.stamp):]
        return data if (self.unknown or 0) >= self.moment else b""

    def _part(self, at: float | None, known: bool, lines: bytes, detailed: bool) -> None:
        name = totals.NO_DAY if at is None else clock.from_epoch(at)[:10]
        day = self.days.get(name)
        if day is None:
            day = self.days[name] = Day()
        slot = day.slot(int(at % 86400) // totals.SLOT if at is not None else 0)
        count = lines.count(b"\n")
        day.lines += count
        if self.form.name == "json" or self.form.line:
            slot.requests += lines.count(b'"responseTime":') if self.form.name == "json" else count
        rows = formats.requests(self.form, lines) if detailed else notable(self.form, lines)
        _clients, methods, paths, statuses, times = zip(*rows) if rows else ((),) * 5
        routes = templates.routes(paths)
        if detailed:
            day.looked += count
            self._details(day, at, list(zip(methods, routes, times)))
            self._malformed(day, slot, lines, count, len(rows), sum(map(bool, statuses)))
        _answers(day, slot, list(zip(methods, routes, statuses)))
        _who(day, self.form, lines, rows)
        if not self.form.line:
            self._errors(day, slot, at, known, lines)

    def _malformed(self, day: Day, slot: Slot, lines: bytes, count: int, rows: int, requests: int) -> None:
        """Lines that do not have the form of the log, and requests of one whose lines are not all requests."""
        if self.form.line:
            day.malformed += count - rows
            slot.requests -= count - rows
        elif self.form.name == "json":
            day.malformed += count - lines.count(b"\n{") - lines.startswith(b"{")
        else:
            slot.requests += requests
            day.malformed += _with_nul(lines)

    def _details(self, day: Day, at: float | None, rows: list[tuple[bytes, bytes, bytes]]) -> None:
        """Routes and their times, of methods, routes and times."""
        for (method, path, time), number in collections.Counter(rows).items():
            name = templates.label(method, path)
            route = day.route(name)
            route.seen += number
            ms = formats.milliseconds(self.form, time)
            if ms >= 0:
                route.times.put(bucket(ms), number)
                if ms >= self.slow_ms:
                    route.slow += number
                    day.slow_one(ms, name, at)

    def _errors(self, day: Day, slot: Slot, at: float | None, known: bool, lines: bytes) -> None:
        """Error lines by template, whose first and last line tell their times."""
        found = list(errors(self.form, lines))
        slot.errors += len(found)
        texts = templates.hidden([text for _start, text in found], self._hide)
        numbers: dict[bytes, list[int]] = collections.defaultdict(list)
        for number, template in enumerate(templates.masked(texts)):
            numbers[template].append(number)
        for template, those in numbers.items():
            group = day.group(templates.shown(template))
            for number, count in ((those[0], len(those)), (those[-1], 0)):
                exact = self.form.stamp(lines, found[number][0]) if known else None
                group.seen(at if exact is None else exact, group.sample or templates.shown(texts[number], templates.SAMPLE), count)


_BUCKETS: dict[float, int] = {}


def bucket(ms: float) -> int:
    """The histogram's bucket of a time; those of whole milliseconds come again and again."""
    found = _BUCKETS.get(ms)
    if found is None:
        found = Histogram.bucket(ms)
        if len(_BUCKETS) < 20000:
            _BUCKETS[ms] = found
    return found


def _with_nul(lines: bytes) -> int:
    """Lines of text that are none."""
    return sum(1 for line in lines.split(b"\n") if b"\0" in line) if b"\0" in lines else 0


def _answers(day: Day, slot: Slot, answers: list[tuple[bytes, bytes, bytes]]) -> None:
    """Failures and writes, of methods, routes and statuses."""
    for (method, path, status), number in collections.Counter(answers).items():
        failed, changes = formats.failed(status), formats.changes(method)
        if failed or changes:
            name = f"{templates.label(method, path)} {status.decode('ascii', 'replace')}"
            if failed:
                refused = status[:1] == b"4"
                slot.refused += number * refused
                slot.failed += number * (not refused)
                totals.count(day.failures, name, number, totals.FAILURES)
            if changes:
                totals.count(day.writes, name, number, totals.WRITES)


def _who(day: Day, form: Form, lines: bytes, rows: list[Row]) -> None:
    """Who wrote."""
    if form.name == "json":
        found = [formats.client(line) for line in _around(lines, (_JSON_CHANGES,)) if b'"responseTime":' in line]
    else:
        found = [row[0] for row in rows if row[1] in formats.CHANGE]
    for client, number in collections.Counter(found).items():
        totals.count(day.clients, templates.shown(client, 64) or "-", number, totals.CLIENTS)


def _around(lines: bytes, patterns: tuple[re.Pattern[bytes], ...]) -> list[bytes]:
    """The lines in which one of some patterns is found."""
    starts = sorted({lines.rfind(b"\n", 0, match.start()) + 1 for pattern in patterns for match in pattern.finditer(lines)})
    return [lines[start:lines.find(b"\n", start)] for start in starts]


def notable(form: Form, lines: bytes) -> list[Row]:
    """The requests that failed or were to change something, without a look at the others."""
    chosen = _around(lines, (_FAILED, _CHANGES) if form.name == "combined" else (_JSON_FAILED, _JSON_CHANGES))
    rows = formats.requests(form, b"\n".join(chosen) + b"\n") if chosen else []
    return [row for row in rows if formats.failed(row[3]) or row[1] in formats.CHANGE]


def errors(form: Form, lines: bytes) -> t.Iterator[tuple[int, bytes]]:
    """Where each error line begins, and its message."""
    if form.name == "json":
        starts = {lines.rfind(b"\n", 0, match.start()) + 1 for match in formats.PINO_BAD.finditer(lines)}
        if lines.count(b"\n{") + lines.startswith(b"{") < lines.count(b"\n"):  # a crash prints text
            starts |= {start for start in candidates(lines) if not lines.startswith(b"{", start)}
    else:
        starts = candidates(lines, formats.NEEDLES + formats.BRACKETS if form.name == "bracketed" else formats.NEEDLES)
    for start in sorted(starts):
        end = lines.find(b"\n", start)
        text = formats.error_text(form, lines[start:min(start + 4000, len(lines) if end < 0 else end)])
        if text is not None:
            yield start, text


def candidates(lines: bytes, needles: tuple[bytes, ...] = formats.NEEDLES) -> set[int]:
    """Where the lines begin that may tell an error; the first one may always."""
    low = lines.lower()
    found = {0}
    for needle in needles:
        at = low.find(needle)
        while at >= 0:
            found.add(low.rfind(b"\n", 0, at) + 1)
            end = low.find(b"\n", at)
            at = low.find(needle, end) if end >= 0 else -1
    return found.union(match.start() + 1 for match in formats.BEGINNINGS.finditer(low))
