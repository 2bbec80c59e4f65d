# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The history: one line an event."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._observe import dora
from ansible_collections.mobius.ops.plugins.module_utils._target import history


def test_an_event_says_what_when_and_who(host, monkeypatch):
    monkeypatch.setenv("MOBIUS_OPERATOR", "ada")
    event = history.record(host.layout, "verified", "all well", release="r1", elapsed=2.5)
    assert event["who"] == "ada" and event["what"] == "verified" and event["release"] == "r1"
    assert history.events(host.layout) == [event]


def test_who_without_being_told(monkeypatch):
    monkeypatch.delenv("MOBIUS_OPERATOR", raising=False)
    monkeypatch.setenv("SUDO_USER", "grace")
    assert history.who() == "grace"
    monkeypatch.delenv("SUDO_USER")
    assert history.who()


def test_the_newest_are_returned_oldest_first(host):
    for number in range(5):
        history.record(host.layout, "event", str(number))
    assert [event["why"] for event in history.events(host.layout, 2)] == ["3", "4"]
    assert history.events(host.layout, 0) == []


def test_no_history_is_no_events(host):
    assert history.events(host.layout) == []


def test_a_line_that_a_crash_cut_short_is_passed_over_and_the_next_one_is_kept(host):
    history.record(host.layout, "first")
    with open(host.layout.history, "a") as stream:
        stream.write('{"what": "cut sho')
    history.record(host.layout, "second")
    history.record(host.layout, "third")
    assert [event["what"] for event in history.events(host.layout)] == ["first", "second", "third"]


def test_each_event_is_one_line_of_json(host):
    history.record(host.layout, "failed", "two\nlines", release="r1")
    with open(host.layout.history) as stream:
        (line,) = stream.read().splitlines()
    assert json.loads(line)["why"] == "two\nlines"


def test_the_last_of_a_kind_however_long_ago(host):
    assert history.last(host.layout, "drill") is None
    first = history.record(host.layout, "drill", verdict="passed")
    for number in range(3000):
        with open(host.layout.history, "a") as stream:
            stream.write(json.dumps({"what": "backup", "why": f'of "what": "drill" {number}'}) + "\n")
    with open(host.layout.history, "a") as stream:
        stream.write('{"what": "drill", "cut sho')
    assert history.last(host.layout, "drill") == first


@pytest.mark.parametrize(
    "line",
    [
        "",
        "7",
        "[]",
        "{",
        '{"what": "active"}',
        '{"when": "soon", "what": "active"}',
        "[" * 200_000,
        '{"when": "2026-01-01T00:00:00Z", "what": ["active"]}',
        "\udcff",
    ],
)
def test_lines_that_are_no_events_are_passed_over_and_counted(host, line):
    history.record(host.layout, "active", release="r1", previous="r0")
    with open(host.layout.history, "ab") as stream:
        stream.write(line.encode("utf-8", "surrogateescape") + b"\n")
    fs.append_line(host.layout.history, '{"when": "2026-01-01T00:00:00Z", "what": "active", "previous": "x"}')
    assert [event["what"] for event in history.events(host.layout)] == ["active", "active"]
    assert history.events(host.layout)[-1]["who"] == ""
    assert bool(line) == (": 1 of the last" in history.unread(host.layout))
    assert dora.figures(history.of_kinds(host.layout, dora.KINDS), clock.now())["deploys"] == 1
