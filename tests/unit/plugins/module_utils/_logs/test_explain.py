"""Lines by which the greps and the report differ, and that both sides are what they are said to be."""

from __future__ import annotations

import gzip
import subprocess

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._logs import explain, files, marks, reading

LOGS = {
    "app.log": "".join(
        f"2026-11-26T08:{minute:02}:00Z {text}\n"
        for minute in range(60)
        for text in (
            "INFO GET /error-page 200 3.5 ms",
            "ERROR it failed",
            "INFO POST /api/render began",
            "PUT /api/x 200 7ms",
            "INFO response time: 8 ms",
            "WARN Error: again",
        )
    ),
    "nginx.log": "".join(
        f'10.0.0.{minute} - - [26/Nov/2026:08:{minute:02}:00 +0000] "{request} HTTP/1.1" {status} 7 "-" "ERRORbot"\n'
        for minute in range(60)
        for request, status in (("GET /errors.js", 200), ("DELETE /x", 500), ("GET /y", 404))
    ),
    "pino.log": "".join(
        f'{{"level":{level},"time":{1795766400 + minute}000,"req":{{"id":1,"method":"{method}",'
        f'"url":"/a","remoteAddress":"::1"}},'
        f'"res":{{"statusCode":200}},"responseTime":5,"msg":"POSTED"}}\n'
        for minute in range(60)
        for level, method in ((30, "GET"), (50, "PUT"))
    ),
}


@pytest.fixture
def pattern(tmp_path):
    for name, text in LOGS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(b"2026-11-20T08:00:00Z ERROR old\n" * 10))
    return f"{tmp_path}/*.log*"


def test_both_sides_are_what_they_are_said_to_be(pattern, tmp_path):
    found = explain.explain(files.find([pattern])[0], 0, 5, 1 << 40)
    texts = b"".join(path.read_bytes() if path.suffix == ".log" else gzip.decompress(path.read_bytes()) for path in tmp_path.iterdir())
    greps = {"errors": ["-i", "error"], "times": ["response.*time"], "writes": [r"POST\|PUT\|DELETE"]}
    for name, words in greps.items():
        done = subprocess.run(["grep", "-c", *words], input=texts, capture_output=True, check=True)
        assert found[name].both + found[name].grep_only == int(done.stdout), name
    days = [
        day
        for source in reading.read(reading.Wanted([pattern], [], 0, 1000, "exact", 1, 1 << 40), marks.State()).state.totals.values()
        for day in source.values()
    ]
    assert found["writes"].both + found["writes"].report_only == sum(number for day in days for number in day.writes.values())
    assert found["errors"].both + found["errors"].report_only == sum(
        slot.errors + slot.failed + slot.refused for day in days for slot in day.slots.values()
    )
    assert found["times"].both + found["times"].report_only == sum(route.times.total for day in days for route in day.routes.values())


def test_lines_are_kept_of_each_kind_with_their_place(pattern):
    found = explain.explain(files.find([pattern])[0], 0, 2, 1 << 40)["errors"]
    assert [one["found_by"] for one in found.lines].count("grep") == [one["found_by"] for one in found.lines].count("report") == 2
    first = found.lines[0]
    assert first["number"] == 1 and first["file"].endswith("app.log")
    assert first["line"] == "2026-11-26T08:00:00Z INFO GET /error-page 200 3.5 ms"
    assert found.grep_only > 100


def test_lines_of_before_are_left_out(pattern):
    moment = clock.parse("2026-11-26T08:30:00Z").timestamp()
    found = explain.explain([file for file in files.find([pattern])[0] if file.name == "app.log"], moment, 5, 1 << 40)["errors"]
    assert (found.both, found.grep_only, found.report_only) == (30, 60, 0) and found.lines[0]["number"] == 181
