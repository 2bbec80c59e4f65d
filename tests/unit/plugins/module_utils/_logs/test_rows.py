# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests as columns are those that the expression of the form finds, whatever stands in a line."""

from __future__ import annotations

import random

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._logs import formats, rows, totals

LINE = b'10.0.0.%d - - [26/Nov/2026:08:00:0%d +0000] "%s /api/projects/%d HTTP/1.1" %d 77 "-" "agent 5"%s\n'
ODD = (b'"', b"\n", b" ", b"[", b"]", b"\\", b"\xff", b"rt=1.000", b" 404 ", b'" "', b'" 500 7 "', b"", b"0", b"x")


def lines_of(chance, named, count=40):
    def time():
        return (b" rt=0.%03d" if named else b" 0.%03d") % chance.randrange(999) if chance.random() < 0.9 else b""

    return [
        LINE
        % (
            chance.randrange(9),
            chance.randrange(9),
            chance.choice((b"GET", b"POST", b"DELETE")),
            chance.randrange(99),
            chance.choice((200, 404, 500)),
            time(),
        )
        for _number in range(count)
    ]


def by_lines(form, data):
    """The same, by the expression of the form."""
    found = form.line.findall(data)
    return [(method, path, status, time) for _client, method, path, status, time in found], [
        client for client, method, *_rest in found if method in formats.CHANGE
    ]


def labelled(found):
    return [(name, status, time) for name, status, time in zip(found.labels, found.statuses, found.times)]


@pytest.mark.parametrize("named", [True, False])
def test_columns_are_what_the_expression_finds(named):
    chance = random.Random(5)
    data = b"".join(lines_of(chance, named, 400))
    form = formats.access(data)
    assert form.named is named
    found, (wanted, clients) = rows._columns(form, data, data.count(b"\n")), by_lines(form, data)
    assert labelled(found) == [(f"{method.decode()} /api/projects/:id", status, time) for method, _path, status, time in wanted]
    assert found.clients == clients and len(clients) > 100


def test_lines_with_anything_in_them_are_counted_as_by_the_expression():
    chance, taken = random.Random(8), 0
    for _round in range(3000):
        named = chance.random() < 0.5
        lines = lines_of(chance, named, 4)
        form = formats.access(lines[0] + b"".join(lines_of(random.Random(1), named)))
        for _change in range(chance.randrange(3)):
            number, at = chance.randrange(4), chance.randrange(60)
            lines[number] = lines[number][:at] + chance.choice(ODD) + lines[number][at + chance.randrange(3) :]
        data = b"".join(lines)
        data = data if data.endswith(b"\n") else data + b"\n"
        found = rows._columns(form, data, data.count(b"\n"))
        if found is not None:
            taken += 1
            wanted, clients = by_lines(form, data)
            assert labelled(found) == [
                (label, status, time)
                for (_m, _p, status, time), label in zip(wanted, rows._labels([(method, path) for method, path, _s, _t in wanted]))
            ], data
            assert found.clients == clients, data
    assert taken > 1000


@pytest.mark.parametrize(
    "line",
    [
        LINE.replace(b'"-" "', b'"-" x "'),
        LINE.replace(b'" %d 77 "', b'" %d 77 x "'),
        LINE.replace(b'" %d 77 "', b'" %d  "'),
        LINE.replace(b"[26/Nov/2026:08:00:0%d +0000]", b"[%d]"),
        LINE.replace(b'"%s /api', b'"%s " /api'),
    ],
)
def test_a_line_with_something_between_its_texts_is_left_to_the_expression(line):
    data = b"".join(lines_of(random.Random(3), True, 5))
    odd = line % (1, 1, b"GET", 1, 200, b" rt=0.100")
    form, count = formats.access(data), data.count(b"\n")
    assert rows._columns(form, data, count) and rows._columns(form, data + odd + data, 2 * count + odd.count(b"\n")) is None


def test_times_without_a_request_have_a_name_of_their_own():
    found = rows.of(formats.TEXT, b"GET /x 200 5ms\nthe response time: 2 s\nPOST /y?z 500 7ms\n", 3)
    assert sorted(labelled(found)) == [("(no route)", b"", b"2000.000"), ("GET /x", b"200", b"5"), ("POST /y", b"500", b"7")]
    assert found.clients == [b""]


def test_what_is_held_is_bounded(monkeypatch):
    monkeypatch.setattr(rows, "HELD", 20)
    form, day = formats.TEXT, totals.Day()
    counts = rows.Counts(form, 1000)
    for number in range(500):
        counts.add(day, day.slot(0), None, rows.Rows([f"GET /{number}"], [b"404"], [b"%d.5" % number], [b"c%d" % number]), True)
        assert len(counts._answers) + len(counts._times) + len(counts._clients) <= 24 and len(counts._codes) <= 20
    counts.put()
    assert sum(day.failures.values()) == sum(route.seen for route in day.routes.values()) == sum(day.clients.values()) == 500
    assert day.slot(0).refused == 500
