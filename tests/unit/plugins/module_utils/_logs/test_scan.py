"""What is counted of blocks of lines, exact and of a sample, against a count that is written in another way."""

from __future__ import annotations

import collections
import datetime
import random

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._logs import formats, scan, totals

AT = int(clock.parse("2026-11-26T23:00:00Z").timestamp())
ROUTES = {"/": "/", "/api/projects/%d": "/api/projects/:id", "/upload-images": "/upload-images", "/static/a%d.js": "/static/:file"}


class Made:
    """Requests as three kinds of logs tell them, and what there is to count."""

    def __init__(self, number: int) -> None:
        chance = random.Random(7)
        self.rows = [
            (
                AT + each // 5,
                f"10.0.{chance.randrange(3)}.{chance.randrange(9)}",
                chance.choice(("GET", "GET", "GET", "POST", "DELETE")),
                chance.choice(list(ROUTES)),
                chance.choice((200, 200, 200, 304, 404, 500)),
                chance.randrange(1, 3000),
            )
            for each in range(number)
        ]

    def named(self, row):
        return row[3] % (row[0] % 99) if "%" in row[3] else row[3]

    def combined(self):
        return "".join(
            f"{row[1]} - - [{datetime.datetime.fromtimestamp(row[0], datetime.timezone.utc):%d/%b/%Y:%H:%M:%S} +0000] "
            f'"{row[2]} {self.named(row)} HTTP/1.1" {row[4]} 77 "-" "agent 5" rt={row[5] / 1000:.3f}\n'
            for row in self.rows
        ).encode()

    def json(self):
        return "".join(
            f'{{"level":30,"time":{row[0]}000,"pid":1,"req":{{"id":1,"method":"{row[2]}","url":"{self.named(row)}",'
            f'"remoteAddress":"{row[1]}"}},"res":{{"statusCode":{row[4]}}},"responseTime":{row[5]},"msg":"done"}}\n'
            for row in self.rows
        ).encode()

    def text(self):
        return "".join(f"{clock.from_epoch(row[0])} {row[2]} {self.named(row)} {row[4]} {row[5]}ms\n" for row in self.rows).encode()


def scanned(data, size=100_000, **options):
    days: dict[str, totals.Day] = {}
    scanner = scan.Scanner(formats.sniff(data), days, options.pop("slow_ms", 2000), options.pop("sampled", False), **options)
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + size) + 1
        scanner.block(data[start:end])
        start = end
    scanner.finish()
    return days


@pytest.mark.parametrize("form", ["combined", "json", "text"])
@pytest.mark.parametrize("sampled", [False, True])
def test_counts_are_those_of_the_requests(form, sampled):
    made = Made(30_000)
    days = scanned(getattr(made, form)(), sampled=sampled)
    assert list(days) == ["2026-11-26", "2026-11-27"]
    for name, day in days.items():
        rows = [row for row in made.rows if clock.from_epoch(row[0])[:10] == name]
        assert day.lines == len(rows) and day.malformed == 0
        failures = collections.Counter(f"{row[2]} {ROUTES[row[3]]} {row[4]}" for row in rows if row[4] >= 400)
        writes = collections.Counter(f"{row[2]} {ROUTES[row[3]]} {row[4]}" for row in rows if row[2] != "GET")
        assert (day.failures, day.writes) == (failures, writes)
        assert sum(day.clients.values()) == sum(writes.values())
        assert form == "text" or day.clients == collections.Counter(row[1] for row in rows if row[2] != "GET")
        slots = collections.defaultdict(lambda: [0, 0, 0])
        for row in rows:
            slot = slots[row[0] % 86400 // totals.SLOT]
            slot[0] += 1
            slot[1] += row[4] >= 500
            slot[2] += 400 <= row[4] < 500
        assert {number: [slot.requests, slot.failed, slot.refused] for number, slot in day.slots.items()} == slots
        if not sampled or form == "text":
            check_routes(day, rows)
        else:
            assert 0 < day.looked < day.lines / 3 and sum(route.seen for route in day.routes.values()) == day.looked


def check_routes(day, rows):
    by_route = collections.defaultdict(list)
    for row in rows:
        by_route[f"{row[2]} {ROUTES[row[3]]}"].append(row[5])
    assert {name: route.seen for name, route in day.routes.items()} == {name: len(times) for name, times in by_route.items()}
    for name, times in by_route.items():
        times.sort()
        assert day.routes[name].slow == sum(ms >= 2000 for ms in times)
        for percent in (50, 95):
            assert day.routes[name].times.percentile(percent) == pytest.approx(times[max(0, -(-len(times) * percent // 100) - 1)], rel=0.05)
    slowest = [ms for ms, _route, _at in day.slowest]
    assert len(slowest) == 10 and slowest[0] == max(row[5] for row in rows) and slowest == sorted(slowest, reverse=True)


def test_a_sample_tells_the_percentiles_nearly():
    made = Made(60_000)
    every, part = (scanned(made.combined(), sampled=sampled) for sampled in (False, True))
    for name in ("GET /", "POST /upload-images"):
        exact, about = (sum(day.routes[name].times.total for day in days.values()) for days in (every, part))
        assert about < exact / 5
        of_part, of_all = (days["2026-11-27"].routes[name].times.percentile(95) for days in (part, every))
        assert of_part == pytest.approx(of_all, rel=0.1)


def test_lines_of_before_are_left_out():
    made = Made(30_000)
    moment = AT + 3000
    for form in ("combined", "json", "text"):
        days = scanned(getattr(made, form)(), moment=moment)
        assert sum(day.lines for day in days.values()) == sum(row[0] >= moment for row in made.rows)


def test_errors_have_their_first_and_last_time_and_their_slots():
    data = b"".join(
        f"{clock.from_epoch(AT + number * 60)} {'ERROR' if number % 10 == 3 else 'INFO'} job {number} failed\n".encode()
        for number in range(60)
    )
    group = scanned(data)["2026-11-26"].groups["job <n> failed"]
    assert (group.count, group.first, group.last, group.sample) == (6, AT + 180, AT + 53 * 60, "job 3 failed")
    assert group.slots == sum(1 << (23 * 6 + number) for number in range(6))


def test_lines_that_tell_no_time_get_that_of_the_file():
    days = scanned(b"TypeError: x is not a function\n    at a (/x/y.js:1:2)\nall well\n", unknown=float(AT))
    assert list(days) == ["2026-11-26"] and days["2026-11-26"].groups["TypeError: x is not a function"].last == AT
    assert list(scanned(b"Error: x\n")) == [totals.NO_DAY]
    assert scanned(b"Error: x\n", unknown=float(AT), moment=AT + 1) == {}


def test_malformed_lines_are_counted():
    assert scanned(Made(50).combined() + b"rubbish\n\xff\xfe\n" * 3)["2026-11-26"].malformed == 6
    assert scanned(Made(50).json() + b"rubbish\n" * 3)["2026-11-26"].malformed == 3
    assert scanned(b"text\n\x00\x00\n")[totals.NO_DAY].malformed == 1


def test_names_that_others_choose_do_not_fill_the_memory():
    data = "".join(
        f"{clock.from_epoch(AT)} ERROR {chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676)} broke\n"
        f"{clock.from_epoch(AT)} POST /{chr(97 + number % 26)}{chr(97 + number // 26 % 26)}{chr(97 + number // 676)} 500 1ms\n"
        for number in range(2000)
    ).encode()
    day = scanned(data)["2026-11-26"]
    assert len(day.groups) == totals.GROUPS + 1 and day.groups[totals.OTHER].count == 2000 - totals.GROUPS
    assert sum(day.writes.values()) == sum(day.failures.values()) == sum(route.seen for route in day.routes.values()) == 2000
    assert len(day.routes) == totals.ROUTES + 1 and len(day.writes) == totals.WRITES + 1
