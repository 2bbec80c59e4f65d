# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Incident records."""
from __future__ import annotations

import datetime
import glob
import os
import re
import threading

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents


def facts(**changes):
    return {"title": "Renders fail", "severity": 2, "env": "production", **changes}


@pytest.mark.parametrize("severity, name, minutes", [(1, "critical", 15), (2, "high", 60), (3, "medium", 240),
                                                     (4, "low", 1440)])
def test_the_runbooks_severities(host, severity, name, minutes):
    record = incidents.open_incident(host.layout, facts(severity=severity))
    assert record["severity_name"] == name and record["escalation"] and record["channel"]
    wait = clock.parse(record["respond_by"]) - clock.parse(record["opened"])
    assert wait == datetime.timedelta(minutes=minutes)


@pytest.mark.parametrize("severity", [0, 5, "1", None])
def test_other_severities_open_nothing(host, severity):
    with pytest.raises(InputError, match="severity: expected 1, 2, 3 or 4"):
        incidents.open_incident(host.layout, facts(severity=severity))
    assert os.listdir(host.layout.incidents) == []


def test_the_record_is_on_disk_for_programs_and_for_people(host):
    record = incidents.open_incident(host.layout, facts(summary="Since 14:00.", release="r2", evidence={
        "application_log": ["ERROR a", "ERROR b"], "sample": {"ms": 5}, "note": "see above"}))
    assert record["path"] == os.path.join(host.layout.incidents, record["id"] + ".json")
    assert fs.read_json(record["path"]) == record
    with open(record["path"][:-5] + ".md") as stream:
        page = stream.read()
    for words in (f"# {record['id']}: Renders fail", "Severity 2 (high), open, environment production", "Release: r2",
                  "Since 14:00.", "## Application log", "ERROR a\nERROR b", '{"ms": 5}', "see above"):
        assert words in page
    assert host.history()[-1]["incident"] == record["id"]


EVIL = "```\n# owned\n<script>alert(1)</script> [a](javascript:b)\x1b[2J\x07\x9b\u202e\ud800"


def test_nothing_from_outside_gets_out_of_its_place_in_the_page(host):
    record = incidents.open_incident(host.layout, facts(
        title=EVIL, env=EVIL, summary=EVIL, release=EVIL,
        evidence={EVIL: EVIL, "console": [EVIL, "`````", EVIL], "sample": {"said": EVIL}}))
    with open(record["path"][:-5] + ".md", encoding="utf-8") as stream:
        page = stream.read()
    assert not [sign for sign in page if (ord(sign) < 32 and sign != "\n") or 0x7f <= ord(sign) < 0xa0 or sign == "\u202e"]
    fence, outside = "", []
    for line in page.splitlines():
        opens = re.fullmatch(r"`{3,}", line)
        if opens and not fence:
            fence = line
        elif opens and len(line) >= len(fence):
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    assert not [line for line in outside if "<script" in line or re.search(r"(?<!\\)\]\(", line) or line.startswith("# owned")], outside
    assert [line for line in outside if line.startswith("#")] == [line for line in outside if re.match("# INC-|## ", line)]


def test_ids_count_up_and_two_at_once_get_two(host, monkeypatch):
    noon = clock.now().replace(hour=12)
    monkeypatch.setattr(clock, "now", lambda: noon)
    threads = [threading.Thread(target=incidents.open_incident, args=(host.layout, facts())) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    day = clock.now().strftime("%Y%m%d")
    assert sorted(name for name in os.listdir(host.layout.incidents) if name.endswith(".json")) == sorted(
        f"INC-{day}-{number}.json" for number in range(1, 9))


def test_no_secret_is_written(host, secret):
    incidents.open_incident(host.layout, facts(title=f"key {secret} leaked", summary=secret,
                                                evidence={"a": [{"b": f"x{secret}y"}]}))
    assert host.files_with(secret) == []


def test_what_is_no_secret_stays_readable(host):
    fs.write_text(host.layout.env_file, "NODE_ENV=production\nHOST=127.0.0.1\nPORT=500100\nKEY=sekret-7\n")
    record = incidents.open_incident(host.layout, facts(summary="http://127.0.0.1:500100 answers 500, key sekret-7"))
    assert record["env"] == "production" and record["summary"] == "http://127.0.0.1:500100 answers 500, key ********"


def test_a_reader_never_sees_half_a_record(host):
    done = threading.Event()
    broken = []

    def read():
        while not done.is_set():
            for path in glob.glob(os.path.join(host.layout.incidents, "*.json")):
                with open(path, encoding="utf-8") as stream:
                    text = stream.read()
                if not text.endswith("}\n"):
                    broken.append(path)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _number in range(30):
            incidents.open_incident(host.layout, {"title": "x", "severity": 3, "env": "test"})
    finally:
        done.set()
        reader.join()
    assert broken == []
    assert len(glob.glob(os.path.join(host.layout.incidents, "*"))) == 60, "nothing but 30 records and their pages"


def test_the_open_incident_of_a_cause_is_the_newest_one_that_is_not_resolved(host, secret):
    assert incidents.open_of_cause(host.layout, "service_down") is None
    incidents.open_incident(host.layout, facts())
    first = incidents.open_incident(host.layout, facts(cause="service_down"))
    incidents.open_incident(host.layout, facts(cause="disk_critical:/"))
    second = incidents.open_incident(host.layout, facts(cause="service_down"))
    fs.write_text(os.path.join(host.layout.incidents, "INC-20260101-1.json"), "{")
    assert incidents.open_of_cause(host.layout, "service_down")["id"] == second["id"]
    incidents.resolve(host.layout, second["id"], f"it runs, {secret}")
    assert incidents.open_of_cause(host.layout, "service_down")["id"] == first["id"]
    with open(second["path"][:-4] + "md", encoding="utf-8") as stream:
        assert re.search(r"- Resolved 20\S+: it runs, ", stream.read())
    before = host.history()
    incidents.resolve(host.layout, second["id"], "again")
    assert host.history() == before and before[-1]["what"] == "resolved" and host.files_with(secret) == []
