# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A metrics file as figures: both formats, damage, and long watches."""

from __future__ import annotations

import json

import pytest
from support.watches import at, fault, host_line, mark_line, round_line

from ansible_collections.mobius.ops.plugins.module_utils._watch import decision as watch_decision
from ansible_collections.mobius.ops.plugins.module_utils._watch import rounds as watch_rounds
from ansible_collections.mobius.ops.plugins.module_utils._watch import timeseries as watch_timeseries


@pytest.fixture
def read(tmp_path):
    """What is told about a file of such lines."""

    def told(*lines):
        path = tmp_path / "metrics.jsonl"
        path.write_bytes(b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines))
        return watch_timeseries.read(str(path))

    return told


def test_rounds_host_and_marks(read):
    told = read(
        mark_line(0, "begins"),
        round_line(0, 1, ms=4),
        host_line(0, 30),
        round_line(10, 2, "failed", ms=8, restarts=2),
        host_line(10, 95),
        mark_line(11, "alarm", "it is bad"),
    )
    assert [point["outcomes"]["failed"] for point in told["rounds"]] == [0, 1]
    assert told["rounds"][1]["checks"] == {"health": {"p50_ms": 8, "p95_ms": 12.8, "max_ms": 19.2}}
    assert told["checks"] == [
        {"check": "health", "requests": 40, "ok": 34, "slow": 0, "failed": 6, "error": 0, "p50_ms": 6, "p95_ms": 12.8, "max_ms": 19.2}
    ]
    assert told["evidence"] == [{"when": at(10), **fault()}]
    assert (told["faulty"], told["restarts"], told["unread"]) == (6, 2, 0)
    cpu, _memory, disk = told["host"]
    assert cpu["points"] == [{"when": at(0), "value": 30}, {"when": at(10), "value": 95}]
    assert (cpu["status"], cpu["warning"], cpu["critical"], disk["subject"]) == ("critical", 70, 90, "/opt/mobius")
    assert [mark["mark"] for mark in told["marks"]] == ["begins", "alarm"]


def test_lines_of_one_sample_each_are_rounds_too(read):
    def sample(number, check, outcome, ms, status=200):
        return {
            "when": at(number),
            "round": number,
            "restarts": 0,
            "check": check,
            "outcome": outcome,
            "kind": "",
            "status": status,
            "ms": ms,
            "error": "" if outcome == "ok" else "late",
            "evidence": "",
        }

    told = read(
        sample(1, "health", "ok", 3.5),
        sample(1, "client", "slow", 900),
        sample(2, "health", "error", 5000, None),
        sample(2, "client", "ok", 4),
    )
    assert [{word for word, count in point["outcomes"].items() if count} for point in told["rounds"]] == [{"slow"}, {"error"}]
    assert told["rounds"][1]["checks"]["health"] == dict.fromkeys(("p50_ms", "p95_ms", "max_ms"))  # nothing was answered
    assert [(check["check"], check["requests"], check["slow"], check["error"]) for check in told["checks"]] == [
        ("health", 2, 0, 1),
        ("client", 2, 1, 0),
    ]
    assert [(sample["check"], sample["outcome"]) for sample in told["evidence"]] == [("client", "slow"), ("health", "error")]


@pytest.mark.parametrize(
    "line",
    [
        b'{"when": "2026-11-23T16:00:05Z", "what": "rou',
        b"\xff\xfe",
        b"null",
        b"[]",
        b"7",
        b"[" * 100_000,
        {"what": "round"},
        {"when": "soon", "what": "round", "outcome": "ok"},
        {"when": at(0), "what": "party"},
        {"when": at(0), "what": []},
        {"when": at(0), "what": "round", "outcome": "great"},
        {"when": at(0), "what": "round", "outcome": "ok", "checks": [7]},
        {"when": at(0), "what": "round", "outcome": "ok", "checks": [{"check": "x", "requests": "many"}]},
        {"when": at(0), "what": "host", "metrics": 7},
        {"when": at(0), "what": "host", "metrics": [{}]},
        {"when": at(0), "what": "mark"},
        {"when": at(0), "round": 1, "outcome": "ok"},
    ],
    ids=str,
)
def test_what_is_damaged_is_counted_and_passed_over(read, line):
    told = read(round_line(0, 1), line, round_line(10, 2))
    assert (len(told["rounds"]), told["unread"]) == (2, 1)


def test_figures_that_are_none_are_left_out(read):
    check = b'{"check": "x", "p50_ms": NaN, "p95_ms": "1", "max_ms": true}'
    head = b'{"when": "%s", "what": "round", "outcome": "ok", "checks": [' % at(0).encode()
    told = read(head + check + b"]}", {**host_line(1, 5), "metrics": [{"metric": "cpu_pct", "value": None}]})
    assert told["rounds"][0]["checks"]["x"] == dict.fromkeys(("p50_ms", "p95_ms", "max_ms"))
    assert told["host"] == [
        {"metric": "cpu_pct", "subject": "", "points": [], "unit": "", "warning": None, "critical": None, "status": "unknown"}
    ]


@pytest.mark.parametrize("name", ["none.jsonl", "file/none.jsonl"])
def test_no_file_is_no_figures(tmp_path, name):
    (tmp_path / "file").write_text("")
    told = watch_timeseries.read(str(tmp_path / name))
    assert (told["rounds"], told["checks"], told["host"], told["unread"]) == ([], [], [], 0)


def test_a_day_becomes_few_points_and_no_peak_is_lost(read):
    lines = [round_line(5 * number, number + 1, ms=900 if number == 7000 else 4) for number in range(17_280)]
    lines[9000] = round_line(45_000, 9001, "failed")
    uptime = {"metric": "uptime_pct", "warning": 100, "critical": 99.9}
    lines += [{"when": at(number), "what": "host", "metrics": [{**uptime, "value": 100 - 10 * (number == 3000)}]} for number in range(5000)]
    told = read(*lines)
    assert len(told["rounds"]) <= watch_timeseries.POINTS and len(told["host"][0]["points"]) <= watch_timeseries.POINTS
    assert max(point["checks"]["health"]["max_ms"] for point in told["rounds"]) == 2160
    assert {point["checks"]["health"]["p50_ms"] for point in told["rounds"]} == {4}
    assert sum(point["outcomes"]["ok"] for point in told["rounds"]) == 17_279
    assert sum(point["outcomes"]["failed"] for point in told["rounds"]) == 1
    assert min(point["value"] for point in told["host"][0]["points"]) == 90  # less is worse


def test_evidence_and_marks_have_an_end(read):
    told = read(*(round_line(number, number, "failed") for number in range(50)), *(mark_line(60, "alarm") for _number in range(150)))
    assert [sample["when"] for sample in told["evidence"]] == [at(number) for number in [*range(10), *range(40, 50)]]
    assert (told["faulty"], len(told["marks"])) == (300, watch_timeseries.MARKS)


def test_every_outcome_of_a_round_has_its_place():
    """The words of the watch are those of the page."""
    assert set(watch_timeseries.OUTCOMES) == {*watch_rounds.WORDS, "no_data"} == set(watch_decision.Decision().counts)
