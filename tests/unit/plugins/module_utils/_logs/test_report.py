"""The report of what was counted."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._logs import report, serving, totals
from ansible_collections.mobius.ops.plugins.module_utils._logs.totals import Day, Group, Route, Slot
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

DAY = "2026-11-26"


def at(text):
    return clock.parse(f"{DAY}T{text}Z").timestamp()


def group(*times, sample="x"):
    made = Group()
    for when in times:
        made.seen(at(when), sample)
    return made


@pytest.fixture
def past(tmp_path):
    """v1 served from eight, v2 from ten o'clock; an incident was opened at 10:30."""
    layout = Layout(str(tmp_path))
    for folder in ("state", "incidents"):
        (tmp_path / folder).mkdir()
    events = [
        {"when": f"{DAY}T08:00:00Z", "what": "active", "release": "v1"},
        {"when": f"{DAY}T10:00:00Z", "what": "active", "release": "v2"},
        {"when": f"{DAY}T11:00:00Z", "what": "verified", "release": "v2"},
    ]
    (tmp_path / "state" / "history.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (tmp_path / "incidents" / "INC-20261126-1.json").write_text(json.dumps({"opened": f"{DAY}T10:30:00Z"}))
    (tmp_path / "incidents" / "INC-20261126-2.json").write_text("damaged")
    return serving.Past(layout)


def test_a_group_has_its_release_and_its_incident(past):
    found = {
        "a.log": {
            DAY: Day(
                groups={
                    "old": group("07:00:00", "09:00:00"),
                    "both": group("08:30:00", "10:20:00", "10:21:00"),
                    "new": group("10:05:00"),
                    "later": group("12:00:00"),
                }
            )
        }
    }
    rows = {one["template"]: one for one in report.errors(found, past)}
    assert {name: (one["first_release"], one["release"], one["incident"], one["new"]) for name, one in rows.items()} == {
        "old": ("", "v1", "", False),
        "both": ("v1", "v2", "INC-20261126-1", False),
        "new": ("v2", "v2", "", True),
        "later": ("v2", "v2", "", True),
    }
    assert list(rows) == ["both", "old", "later", "new"] and rows["old"]["first"] == f"{DAY}T07:00:00Z"


def test_a_line_in_two_logs_is_one_error(past):
    found = {"app.log": {DAY: Day(groups={"x": group("07:00:00", "07:01:00")})}, "console.log": {DAY: Day(groups={"x": group("07:00:00")})}}
    [one] = report.errors(found, past)
    assert one["count"] == 2 and one["sources"] == {"app.log": 2, "console.log": 1}


def test_without_records_nothing_is_claimed(tmp_path):
    [one] = report.errors({"a": {"": Day(groups={"x": Group(3)})}}, serving.Past(Layout(str(tmp_path))))
    assert (one["first"], one["last"], one["release"], one["incident"], one["new"], one["count"]) == ("", "", "", "", False, 3)


def test_routes_of_a_sample_are_scaled_and_marked():
    day = Day(lines=1000, looked=100, routes={"GET /": Route(50, 5)})
    for ms in range(1, 51):
        day.routes["GET /"].times.add(ms)
    [row] = report.routes({"a": {DAY: day}})
    assert (row["requests"], row["slow"], row["timed"], row["exact"]) == (500, 50, 50, False)
    assert row["p50_ms"] == pytest.approx(25, rel=0.05) and row["p95_ms"] == pytest.approx(48, rel=0.05)


def test_rates_are_few_enough_to_draw():
    days = {
        clock.from_epoch(at("00:00:00") + day * 86400)[:10]: Day(slots={number: Slot(2, 1, 0, 3) for number in range(144)})
        for day in range(30)
    }
    found = report.rates({"a": days, "b": {"": Day(slots={0: Slot(99)})}})
    assert len(found["points"]) <= report.POINTS and sum(point["requests"] for point in found["points"]) == 2 * 144 * 30
    assert found["step"] % totals.SLOT == 0 and found["points"][0]["when"] == f"{DAY}T00:00:00Z"
    assert report.rates({}) == {"step": totals.SLOT, "points": []}


def test_clients_are_masked_unless_asked():
    found = {"a": {DAY: Day(clients={"10.0.0.7": 3, "10.0.0.8": 2})}}
    assert report.clients(found, False) == [{"source": "a", "client": "10.0.0.x", "writes": 5}]
    assert [one["client"] for one in report.clients(found, True)] == ["10.0.0.7", "10.0.0.8"]


def test_uploads():
    found = {
        "a": {
            DAY: Day(
                groups={"MulterError: Unexpected field": Group(2), "render failed": Group(3)},
                failures={"POST /upload-images 413": 4, "GET /x 500": 9, totals.OTHER: 1},
            )
        }
    }
    facts = report.build(found, serving.Past(Layout("/none")), 50, False)
    assert [one["template"] for one in facts["uploads"]["errors"]] == ["MulterError: Unexpected field"]
    assert facts["uploads"]["failures"] == [{"source": "a", "route": "POST /upload-images", "status": "413", "count": 4}]
    assert facts["failures"][-1] == {"source": "a", "route": "(other)", "status": "", "count": 1}


def test_a_day_goes_through_json():
    day = Day(
        5,
        4,
        1,
        {3: Slot(1, 2, 3, 4)},
        {"GET /": Route(2, 1)},
        {"a 500": 1},
        {"b 200": 2},
        {"::1": 3},
        {"x": group("07:00:00")},
        [(12.5, "GET /", None)],
    )
    day.routes["GET /"].times.add(20, 2)
    found = {"a.log": {DAY: day}}
    again = totals.from_json(json.loads(totals.dumped(found)))
    assert totals.dumped(again) == totals.dumped(found) and again["a.log"][DAY].groups == day.groups
    totals.merge(again, found)
    merged = again["a.log"][DAY]
    assert (merged.lines, merged.slots[3], merged.routes["GET /"].seen, merged.clients, merged.groups["x"].count) == (
        10,
        Slot(2, 4, 6, 8),
        4,
        {"::1": 6},
        2,
    )
