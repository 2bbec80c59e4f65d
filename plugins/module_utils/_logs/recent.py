# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the ends of logs tell of the last minutes: slow routes and errors, in bounded time whatever the size of the logs."""

from __future__ import annotations

import dataclasses
import typing as t

from .._core import html_page
from . import files, formats, report, stream, totals
from .files import Found
from .scan import Scanner
from .serving import Past
from .totals import Totals

#: Bytes that are read of the end of each log, and rows that are kept.
TAIL, ROWS = 4 * 1024**2, 5


@dataclasses.dataclass(frozen=True)
class SlowRoute:
    """A route whose answers took long."""

    route: str
    requests: int
    #: Milliseconds.
    median: float
    p95: float


@dataclasses.dataclass(frozen=True)
class Recent:
    """The last minutes."""

    #: Requests whose time is known, and how many of them were slow.
    timed: int = 0
    slow: int = 0
    #: The slowest first.
    routes: tuple[SlowRoute, ...] = ()
    #: Templates of error lines with their numbers, the most frequent first.
    errors: tuple[str, ...] = ()


def look(patterns: list[str], moment: float, slow_ms: float, past: Past, hide: t.Callable[[str], str]) -> Recent:
    """What the ends of some logs tell.

    :param patterns: absolute paths, with wildcards in their last parts.
    :param moment: seconds since 1970; lines of before are left out.
    :param slow_ms: milliseconds from which on an answer is slow.
    :param hide: returns a text without secrets.
    """
    found: Totals = {}
    for file in files.find(patterns)[0]:
        if file.changed >= moment and not file.packed:
            try:
                totals.merge(found, {file.source: _end(file, moment, slow_ms, hide)})
            except OSError:
                continue  # rotated meanwhile
    rows = [row for row in report.routes(found) if row["timed"]]
    slow = [
        SlowRoute(row["route"], row["requests"], row["p50_ms"] or 0.0, row["p95_ms"] or 0.0)
        for row in rows
        if (row["p95_ms"] or 0.0) >= slow_ms
    ]
    errors = [f"{html_page.count(row['count'], 'line')}: {row['template']}" for row in report.errors(found, past)[:ROWS]]
    return Recent(
        sum(row["timed"] for row in rows),
        sum(row["slow"] for row in rows),
        tuple(sorted(slow, key=lambda one: -one.p95)[:ROWS]),
        tuple(errors),
    )


def _end(file: Found, moment: float, slow_ms: float, hide: t.Callable[[str], str]) -> dict[str, totals.Day]:
    days: dict[str, totals.Day] = {}
    with stream.Reader(files.opened(file), False, TAIL) as reader:
        form = formats.sniff(reader.beginning(formats.SNIFF))
        start = max(0, file.size - TAIL)
        reader.seek(start)
        scanner = Scanner(form, days, slow_ms, False, moment, file.changed, hide)
        for number, block in enumerate(reader.blocks()):
            scanner.block(block if number or not start else block[block.find(b"\n") + 1 :])
        scanner.finish()
    return days
