# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count what lines tell. What is exact in every case: lines, requests that failed, writes, errors; routes and times may be of a sample."""

from __future__ import annotations

import collections
import re
import typing as t

from .._core import clock
from . import formats, rows, stamps, templates, totals
from .formats import Form
from .rows import Counts, Rows
from .totals import Day, Slot

#: Of a sample each so-manieth block is looked at in detail.
EACH = 10
#: A line that is no JSON.
_NO_OBJECT = re.compile(rb"\n(?!\{|\Z)")


class Scanner:
    """Counts the blocks of one log.

    :param days: what is counted, by day.
    :param slow_ms: milliseconds from which on a request is slow.
    :param sampled: whether only each tenth block is looked at in detail, where the form of the log allows it.
    :param moment: lines of before are left out.
    :param unknown: the time that lines get that tell none.
    :param hide: returns a text without secrets.
    """

    def __init__(
        self,
        form: Form,
        days: dict[str, Day],
        slow_ms: float,
        sampled: bool,
        moment: float = 0,
        unknown: float | None = None,
        hide: t.Callable[[str], str] = str,
    ) -> None:
        self._hide = hide
        self.form, self.days, self.slow_ms, self.moment, self.unknown = form, days, slow_ms, moment, unknown
        self._sampled = sampled and form.name in ("combined", "json")
        self._blocks = 0
        self._counts = Counts(form, slow_ms)

    def block(self, data: bytes) -> None:
        """Count whole lines."""
        if self.moment:
            data = self._later(data)
        detailed = not self._sampled or self._blocks % EACH == 0
        self._blocks += 1
        for at, lines in stamps.parts(data, self.form.stamp) if data else ():
            self._part(self.unknown if at is None else at, at is not None, lines, detailed)

    def finish(self) -> None:
        """Put together what was counted: until then the days lack the last requests."""
        self._counts.put()

    def _later(self, data: bytes) -> bytes:
        """The lines of the wanted moment and later."""
        if stamps.first(data, 0, len(data), self.form.stamp):
            return data[stamps.since(data, self.moment, self.form.stamp) :]
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
        if detailed:
            found = rows.of(self.form, lines, count)
            day.looked += count
            self._malformed(day, slot, lines, count, found)
        else:
            some = rows.notable(self.form, lines)
            found = rows.of(self.form, b"\n".join([*some, b""]), len(some))
        self._counts.add(day, slot, at, found, detailed)
        if not self.form.line:
            self._errors(day, slot, at, known, lines)

    def _malformed(self, day: Day, slot: Slot, lines: bytes, count: int, found: Rows) -> None:
        """Lines that do not have the form of the log, and requests of one whose lines are not all requests."""
        number = len(found.labels)
        if self.form.line:
            day.malformed += count - number
            slot.requests -= count - number
        elif self.form.name == "json":
            day.malformed += _not_json(lines)
        else:
            slot.requests += number - found.statuses.count(b"")
            day.malformed += _with_nul(lines)

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


def _not_json(lines: bytes) -> int:
    """Lines that are no object of JSON."""
    return sum(1 for _match in _NO_OBJECT.finditer(lines)) + (not lines.startswith(b"{"))


def _with_nul(lines: bytes) -> int:
    """Lines of text that are none."""
    return sum(1 for line in lines.split(b"\n") if b"\0" in line) if b"\0" in lines else 0


def errors(form: Form, lines: bytes) -> t.Iterator[tuple[int, bytes]]:
    """Where each error line begins, and its message."""
    if form.name == "json":
        starts = {lines.rfind(b"\n", 0, match.start()) + 1 for match in formats.PINO_BAD.finditer(lines)}
        if not lines.startswith(b"{") or _NO_OBJECT.search(lines):  # a crash prints text
            starts |= {start for start in candidates(lines) if not lines.startswith(b"{", start)}
    else:
        starts = candidates(lines, formats.NEEDLES + formats.BRACKETS if form.name == "bracketed" else formats.NEEDLES)
    for start in sorted(starts):
        end = lines.find(b"\n", start)
        text = formats.error_text(form, lines[start : min(start + 4000, len(lines) if end < 0 else end)])
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
