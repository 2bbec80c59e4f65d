# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Incident records."""

from __future__ import annotations

import datetime
import glob
import json
import os
import re
import threading

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs, locks
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_log, incident_record, incidents


def facts(**changes):
    return {"title": "Renders fail", "severity": 2, "env": "production", **changes}


@pytest.mark.parametrize("severity, name, minutes", [(1, "critical", 15), (2, "high", 60), (3, "medium", 240), (4, "low", 1440)])
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
    record = incidents.open_incident(
        host.layout,
        facts(
            summary="Since 14:00.",
            release="r2",
            evidence={"application_log": ["ERROR a", "ERROR b"], "sample": {"ms": 5}, "note": "see above"},
        ),
    )
    assert record["path"] == os.path.join(host.layout.incidents, record["id"] + ".json")
    assert fs.read_json(record["path"]) == record
    with open(record["path"][:-5] + ".md") as stream:
        page = stream.read()
    for words in (
        f"# {record['id']}: Renders fail",
        "Severity 2 (high), open, environment production",
        "Release: r2",
        "Since 14:00.",
        "## Application log",
        "ERROR a\nERROR b",
        '{"ms": 5}',
        "see above",
    ):
        assert words in page
    assert host.history()[-1]["incident"] == record["id"]


EVIL = "```\n# owned\n<script>alert(1)</script> [a](javascript:b)\x1b[2J\x07\x9b\u202e\ud800"


def test_nothing_from_outside_gets_out_of_its_place_in_the_page(host):
    record = incidents.open_incident(
        host.layout,
        facts(
            title=EVIL,
            env=EVIL,
            summary=EVIL,
            release=EVIL,
            evidence={EVIL: EVIL, "console": [EVIL, "`````", EVIL], "sample": {"said": EVIL}},
        ),
    )
    with open(record["path"][:-5] + ".md", encoding="utf-8") as stream:
        page = stream.read()
    assert not [sign for sign in page if (ord(sign) < 32 and sign != "\n") or 0x7F <= ord(sign) < 0xA0 or sign == "\u202e"]
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


def later(monkeypatch, **ago):
    """Let the clock be so much later from now on."""
    moment = clock.now() + datetime.timedelta(**ago)
    monkeypatch.setattr(clock, "now", lambda: moment)
    return moment


def kinds(record):
    return [event["what"] for event in record["events"]]


def test_the_same_cause_joins_the_open_incident(host, monkeypatch):
    first = incidents.open_incident(host.layout, facts(cause="renders", evidence={"log": ["a"]}))
    for _number in range(20):  # no storm
        same = incidents.open_incident(host.layout, facts(cause="renders", evidence={"log": ["b"]}))
    assert same["id"] == first["id"] and kinds(same) == ["opened"]
    when = later(monkeypatch, minutes=11)
    same = incidents.open_incident(host.layout, facts(cause="renders", evidence={"log": ["b"], "more": 1}))
    assert kinds(same) == ["opened", "again"]
    assert same["evidence"] == {"log": ["a"], "more": 1, f"log {clock.iso(when)}": ["b"]}
    assert fs.read_json(first["path"]) == same
    assert incidents.open_incident(host.layout, facts(cause="disk"))["id"] != first["id"]
    assert incidents.open_incident(host.layout, facts(cause="renders", env="staging"))["id"] != first["id"]
    assert incidents.open_incident(host.layout, facts())["id"] != incidents.open_incident(host.layout, facts())["id"]


def test_the_worse_severity_counts_and_a_milder_one_does_not(host):
    first = incidents.open_incident(host.layout, facts(cause="renders"))
    worse = incidents.open_incident(host.layout, facts(cause="renders", severity=1, title="All is down"))
    assert (worse["id"], worse["severity"], worse["severity_name"], worse["title"]) == (first["id"], 1, "critical", "All is down")
    assert incidents.open_incident(host.layout, facts(cause="renders", severity=4))["severity"] == 1


def test_after_a_person_has_resolved_it_the_same_cause_opens_another_one(host):
    first = incidents.open_incident(host.layout, facts(cause="renders"))
    incidents.change(host.layout, first["id"], incident_log.RESOLVED)
    assert incidents.open_incident(host.layout, facts(cause="renders"))["id"] != first["id"]


def test_what_was_resolved_by_itself_is_reopened_within_an_hour(host, monkeypatch):
    first = incidents.open_incident(host.layout, facts(cause="renders"))
    incidents.change(host.layout, first["id"], incident_log.RESOLVED, itself=True)
    again = incidents.open_incident(host.layout, facts(cause="renders"))
    assert (again["id"], again["status"], kinds(again)) == (first["id"], "open", ["opened", "resolved", "reopened", "again"])
    incidents.change(host.layout, first["id"], incident_log.RESOLVED, itself=True)
    later(monkeypatch, minutes=61)
    assert incidents.open_incident(host.layout, facts(cause="renders"))["id"] != first["id"]


def resolved(host, **options):
    return incidents.resolve_by_itself(
        host.layout, "production", incidents.is_of_release, clock.now() + datetime.timedelta(seconds=1), "v3 was verified", **options
    )


def test_a_cause_that_is_gone_resolves_its_incidents(host):
    mine = incidents.open_incident(host.layout, facts(cause=incidents.of_release("v2")))
    assert resolved(host) == [mine["id"]] and resolved(host) == []
    record = incident_record.read(host.layout, mine["id"])
    assert record["status"] == "resolved" and record["events"][-1]["itself"] and record["events"][-1]["why"] == "v3 was verified"
    with open(mine["path"][:-5] + ".md", encoding="utf-8") as stream:
        assert "by itself: v3 was verified" in stream.read().replace("Resolved", "")


@pytest.mark.parametrize("change", [{"severity": 1}, {"cause": "host"}, {"cause": ""}, {"env": "staging"}])
def test_others_are_not_resolved_by_themselves(host, change):
    incidents.open_incident(host.layout, facts(**{"cause": incidents.of_release("v2"), **change}))
    assert resolved(host) == []


@pytest.mark.parametrize("what, more", [("acknowledged", {}), ("updated", {"done": "looked"}), ("escalated", {"level": 2})])
def test_one_that_a_person_has_touched_is_left_to_people(host, what, more):
    mine = incidents.open_incident(host.layout, facts(cause=incidents.of_release("v2")))
    incidents.change(host.layout, mine["id"], what, **more)
    assert resolved(host) == []


def test_one_that_was_opened_since_is_not_resolved(host):
    incidents.open_incident(host.layout, facts(cause=incidents.of_release("v2")))
    before = clock.now() - datetime.timedelta(seconds=60)
    assert incidents.resolve_by_itself(host.layout, "production", incidents.is_of_release, before, "x") == []


def test_hosts_of_a_run_give_the_same_cause_the_same_id(host):
    wanted = facts(fleet="2026-11-26 web1 web2", cause="release v2")
    moment = clock.parse("2026-11-27T00:01:00Z")
    record = incidents.open_incident(host.layout, wanted)
    assert record["id"] == incidents.fleet_id(wanted, moment) and record["id"].startswith("INC-20261126-F")
    others = [{**wanted, **change} for change in ({"cause": "release v3"}, {"fleet": "2026-11-26 web1"}, {"env": "staging"})]
    assert len({incidents.fleet_id(each, moment) for each in (wanted, *others)}) == 4
    assert incidents.open_incident(host.layout, wanted)["id"] == record["id"] and incidents.fleet_id(facts(), moment) == ""
    incidents.change(host.layout, record["id"], incident_log.RESOLVED)
    assert incidents.open_incident(host.layout, wanted)["status"] == "open"


OLD = {
    "title": "Renders fail",
    "severity": 2,
    "severity_name": "high",
    "status": "open",
    "env": "production",
    "release": "r2",
    "summary": "since noon",
    "opened": "2026-11-20T12:00:00Z",
    "opened_by": "ada",
    "respond_by": "2026-11-20T13:00:00Z",
    "escalation": "x",
    "channel": "#incidents",
    "evidence": {"log": ["a"]},
}


def test_a_record_of_an_earlier_version_goes_on_as_events(host):
    fs.write_json(
        incident_record.path(host.layout, "INC-20261120-1"),
        {**OLD, "acknowledged": {"when": "2026-11-20T12:10:00Z", "who": "bert", "why": "mine"}},
    )
    changed, record = incidents.change(host.layout, "INC-20261120-1", incident_log.UPDATED, done="restarted")
    assert changed and kinds(record) == ["opened", "acknowledged", "updated"]
    assert {name: record[name] for name in ("title", "severity", "opened", "summary", "env", "evidence")} == {
        name: OLD[name] for name in ("title", "severity", "opened", "summary", "env", "evidence")
    }
    assert record["acknowledged"] == {"when": "2026-11-20T12:10:00Z", "who": "bert", "why": "mine"}
    fs.write_json(incident_record.path(host.layout, "INC-20261120-2"), {**OLD, "cause": "renders", "env": "production"})
    assert incidents.open_incident(host.layout, facts(cause="renders", severity=1))["id"] == "INC-20261120-2"


def test_writers_at_the_same_time_lose_no_event(host):
    name = incidents.open_incident(host.layout, facts())["id"]
    children = []
    for writer in range(4):
        child = os.fork()
        if not child:
            try:
                for number in range(10):
                    incidents.change(host.layout, name, incident_log.UPDATED, why=f"{writer}.{number}")
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    said = [event["why"] for event in incident_record.read(host.layout, name)["events"][1:]]
    assert sorted(said) == sorted(f"{writer}.{number}" for writer in range(4) for number in range(10))


def test_a_process_that_hangs_with_the_lock_keeps_no_incident_from_being_opened(host, monkeypatch):
    first = incidents.open_incident(host.layout, facts(cause="renders"))
    monkeypatch.setattr(incident_record, "PATIENCE", 0.05)
    with locks.locked(host.layout.path("state", "incidents.lock")):
        other = incidents.open_incident(host.layout, facts(cause="renders"))
        with pytest.raises(StateError, match=r"another process has been changing them for too long\. Find out why it hangs; it holds /"):
            incidents.acknowledge(host.layout, first["id"])
    assert other["id"] != first["id"] and other["status"] == "open"


def test_a_page_that_cannot_be_written_undoes_no_event(host, monkeypatch):
    name = incidents.open_incident(host.layout, facts())["id"]

    def full(*_words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fs, "write_text", full)
    monkeypatch.setattr(fs, "write_json", lambda path, value, mode=0o644, real=fs.atomic_file: _written(real, path, value))
    assert incidents.acknowledge(host.layout, name)[0] and incident_record.read(host.layout, name)["status"] == "acknowledged"


def _written(atomic_file, path, value):
    with atomic_file(path) as stream:
        stream.write(json.dumps(value).encode())


def test_a_record_has_an_end(host, monkeypatch):
    monkeypatch.setattr(incident_record, "_EVENTS", 2)
    name = incidents.open_incident(host.layout, facts())["id"]
    incidents.change(host.layout, name, incident_log.UPDATED, why="one")
    with pytest.raises(StateError, match="it has 2 events, and takes no more"):
        incidents.change(host.layout, name, incident_log.UPDATED, why="two")


def test_the_review_is_a_template_that_people_fill_in_once(host):
    name = incidents.open_incident(host.layout, facts(affected="renders", summary="exit 234", reached=["stability"]))["id"]
    incidents.acknowledge(host.layout, name, "on it")
    incidents.change(
        host.layout, name, incident_log.UPDATED, why="the encoder was removed", done="encoder installed", reached=["root_cause"]
    )
    incidents.change(host.layout, name, incident_log.RESOLVED, why="renders work")
    path = host.layout.path("incidents", name + ".review.md")
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    for words in (
        f"# Review of {name}: Renders fail",
        "- Affected: renders",
        "- Occurred again: 0 times",
        "exit 234",
        "acknowledged by",
        "- encoder installed",
        "- renders work",
        "## Root cause\n\n- the encoder was removed; encoder installed",
        "## What went well, what did not\n\n- *To fill in.*",
        "Measure, who, until when: *To fill in.*",
    ):
        assert words in text, (words, text)
    fs.write_text(path, "filled in by a person")
    incidents.change(host.layout, name, incident_log.REOPENED)
    incidents.change(host.layout, name, incident_log.RESOLVED)
    with open(path, encoding="utf-8") as stream:
        assert stream.read() == "filled in by a person"


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
        f"INC-{day}-{number}.json" for number in range(1, 9)
    )


def test_no_secret_is_written(host, secret):
    incidents.open_incident(host.layout, facts(title=f"key {secret} leaked", summary=secret, evidence={"a": [{"b": f"x{secret}y"}]}))
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


def test_the_open_incident_of_a_cause_is_the_one_of_its_environment_that_is_not_resolved(host):
    assert incidents.open_of_cause(host.layout, "production", "service_down") is None
    incidents.open_incident(host.layout, facts(env="production"))
    incidents.open_incident(host.layout, facts(env="staging", cause="service_down"))
    one = incidents.open_incident(host.layout, facts(env="production", cause="service_down"))
    fs.write_text(os.path.join(host.layout.incidents, "INC-20260101-1.json"), "{")
    assert incidents.open_of_cause(host.layout, "production", "service_down")["id"] == one["id"]
    incidents.acknowledge(host.layout, one["id"])
    assert incidents.open_of_cause(host.layout, "production", "service_down")["id"] == one["id"]
    incidents.change(host.layout, one["id"], "resolved", why="it runs")
    assert incidents.open_of_cause(host.layout, "production", "service_down") is None


def test_one_of_severity_1_is_settled_only_where_that_is_asked_for(host):
    one = incidents.open_incident(host.layout, facts(env="production", cause="service_down", severity=1))
    assert incidents.settle(host.layout, "production", "service_down", "it runs") == []
    assert incidents.settle(host.layout, "production", "service_down", "it runs", worst=1) == [one["id"]]
    taken = incidents.open_incident(host.layout, facts(env="production", cause="disk", severity=1))
    incidents.acknowledge(host.layout, taken["id"])
    assert incidents.settle(host.layout, "production", "disk", "it runs", worst=1) == []
