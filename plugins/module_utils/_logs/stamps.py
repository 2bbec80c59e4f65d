# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a line of a log was written, and where in a block of lines another time begins."""

from __future__ import annotations

import calendar
import functools
import re
import time
import typing as t

from .totals import SLOT

_MONTHS = {
    name: number
    for number, name in enumerate((b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)
}
#: How lines tell their time: with a zone, or without one, and then in UTC but for that of HAProxy, which is the host's.
ISO = re.compile(rb"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?")
CLF = re.compile(rb"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.\d{1,6})?(?: ([+-]\d{4}))?\]")
EPOCH = re.compile(rb'"time":(\d{10})(\d{3})?[,}]')
TEXT = re.compile(rb'"(?:time|timestamp|@timestamp)":"' + ISO.pattern)
#: The beginning of a line in which its time is looked for.
_BEGIN = 400
#: Lines without a time that are passed over in search for one that has it.
_NEAR = 60
#: Parts of a block at most: in a block of lines in disorder each could be one.
_PARTS = 2000


def of_iso(line: bytes, start: int = 0) -> float | None:
    """The time at the beginning of a line of text, behind a bracket or a short name."""
    match = ISO.search(line, start, start + 48)
    return _iso(*match.groups()) if match and line.find(b"\n", start, match.start()) < 0 else None


def of_clf(line: bytes, start: int = 0) -> float | None:
    """The time of an access log's line."""
    match = CLF.search(line, start, start + _BEGIN)
    return _clf(*match.groups()) if match and line.find(b"\n", start, match.start()) < 0 else None


def of_pino(line: bytes, start: int = 0) -> float | None:
    """The time of a JSON line as pino writes it: milliseconds, or a text."""
    match = EPOCH.search(line, start, start + _BEGIN) or TEXT.search(line, start, start + _BEGIN)
    if not match or line.find(b"\n", start, match.start()) >= 0:
        return None
    return float(match.group(1)) + float(match.group(2) or 0) / 1000 if match.re is EPOCH else _iso(*match.groups())


@functools.lru_cache(maxsize=4096)
def _iso(year: bytes, month: bytes, day: bytes, hour: bytes, minute: bytes, second: bytes, zone: bytes | None) -> float | None:
    return _epoch(int(year), int(month), int(day), int(hour), int(minute), int(second), zone or b"Z")


@functools.lru_cache(maxsize=4096)
def _clf(day: bytes, month: bytes, year: bytes, hour: bytes, minute: bytes, second: bytes, zone: bytes | None) -> float | None:
    return _epoch(int(year), _MONTHS.get(month, 0), int(day), int(hour), int(minute), int(second), zone)


def _epoch(year: int, month: int, day: int, hour: int, minute: int, second: int, zone: bytes | None) -> float | None:
    if not (1970 < year < 2200 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    moment = (year, month, day, hour, minute, second, 0, 0, -1)
    if zone is None:
        return time.mktime(moment)
    shift = 0 if zone == b"Z" else (int(zone[1:3]) * 60 + int(zone[-2:])) * (-60 if zone[:1] == b"-" else 60)
    return float(calendar.timegm(moment) - shift)


Stamp = t.Callable[[bytes, int], t.Optional[float]]


def first(data: bytes, start: int, end: int, stamp: Stamp) -> tuple[int, float] | None:
    """The first line from *start* on that has a time: where it begins, and its time."""
    for _number in range(_NEAR):
        if start >= end:
            return None
        at = stamp(data, start)
        if at is not None:
            return start, at
        start = data.find(b"\n", start, end) + 1 or end
    return None


def since(data: bytes, moment: float, stamp: Stamp, low: int = 0) -> int:
    """Where the lines of a moment and later begin in a block, whose lines are in order.

    :param low: where to begin to look, the beginning of a line.
    """
    high = len(data)
    while low < high:
        middle = max(low, data.rfind(b"\n", low, (low + high) // 2) + 1)
        found = first(data, middle, high, stamp)
        if found is None or found[1] >= moment:
            high = middle
        else:
            low = data.find(b"\n", found[0]) + 1 or len(data)
    following = first(data, low, len(data), stamp)
    return following[0] if following else len(data)


def parts(data: bytes, stamp: Stamp) -> t.Iterator[tuple[float | None, bytes]]:
    """A block in parts of which each lies in one slot of time: a time of it, and its lines. Lines without a time belong to those before.

    Where lines are not in order, those near to the edge of a slot may be counted in its neighbour.
    """
    start, size = 0, len(data)
    begun = first(data, 0, size, stamp)
    for _number in range(_PARTS):
        if begun is None:
            break
        at = begun[1]
        last = first(data, data.rfind(b"\n", start, size - 1) + 1 or start, size, stamp)
        if last and last[1] // SLOT == at // SLOT:
            end = size
        else:
            end = max(since(data, (at // SLOT + 1) * SLOT, stamp, start), data.find(b"\n", begun[0]) + 1 or size)
        yield at, data[start:end] if start or end < size else data
        start = end
        begun = first(data, end, size, stamp)
    if start < size:
        yield begun and begun[1], data[start:]
