# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module incident_info."""

from __future__ import annotations

import datetime
import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._target import incident_record, incidents
from ansible_collections.mobius.ops.plugins.modules import incident_info


def opened(host, severity, hours=0.0, **facts):
    record = incidents.open_incident(host.layout, {"title": f"severity {severity}", "severity": severity, "env": "test", **facts})
    when = clock.iso(clock.now() - datetime.timedelta(hours=hours))
    record["opened"] = record["events"][0]["when"] = when
    fs.write_json(record["path"], record)
    return record["id"]


def test_what_is_open_and_what_is_overdue(run_module, host, snapshot):
    mild, worst, over = opened(host, 4), opened(host, 1, hours=1), opened(host, 2)
    incidents.change(host.layout, over, "resolved")
    before = snapshot(host.root)
    found = run_module(incident_info, {"root": host.root})
    assert not found["changed"] and [one["id"] for one in found["incidents"]] == [worst, mild] and found["findings"] == []
    assert found["message"] == f"2 open incidents, 1 with something overdue; the worst: {worst} (severity 1, open): severity 1."
    (late,) = found["incidents"][0]["overdue"]
    assert late["name"] == "response" and 2600 < late["late_seconds"] < 3600 and found["incidents"][1]["next"]["name"] == "investigation"
    assert [one["id"] for one in run_module(incident_info, {"root": host.root, "show": "overdue"})["incidents"]] == [worst]
    every = run_module(incident_info, {"root": host.root, "show": "all"})["incidents"]
    assert {(one["id"], one["status"], one["phase"]) for one in every} == {
        (mild, "open", "initial response"),
        (worst, "open", "initial response"),
        (over, "resolved", "post-incident"),
    }
    assert snapshot(host.root) == before


def test_one_with_its_timeline(run_module, host):
    name = opened(host, 2)
    incidents.acknowledge(host.layout, name, "on it")
    found = run_module(incident_info, {"root": host.root, "id": name})["incident"]
    assert found["summary"]["id"] == name and len(found["timeline"]) == 2 and found["timeline"][1].endswith(": on it")
    assert [one["name"] for one in found["clocks"]] == ["initial response", "response", "investigation"]
    assert found["page"].startswith(f"# {name}: ") and found["review"].startswith(f"# Review of {name}")
    assert run_module(incident_info, {"root": host.root, "id": "INC-9"})["incident"] is None


def test_a_host_without_incidents(run_module, host):
    for show, said in (("open", "No incident is open."), ("overdue", "Nothing is overdue."), ("all", "There are no incidents.")):
        found = run_module(incident_info, {"root": host.root, "show": show})
        assert (found["incidents"], found["message"]) == ([], said)


def test_a_damaged_record_is_a_finding_and_hides_no_other(run_module, host):
    good = opened(host, 2)
    path = incident_record.path(host.layout, "INC-20261127-9")
    level = '{"events": [{"what": "paged", "when": "2026-11-27T12:00:00Z", "level": "2"}]}'
    for damage in ("", "[]", '{"events": [{"what": "opened"}]}', level):
        fs.write_text(path, damage)
        found = run_module(incident_info, {"root": host.root})
        assert [one["id"] for one in found["incidents"]] == [good]
        assert len(found["findings"]) == 1 and path in found["findings"][0] and "Move the file away" in found["findings"][0]
        assert path in run_module(incident_info, {"root": host.root, "id": "INC-20261127-9"})["msg"]
    os.unlink(path)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"id": "../x"}, "incident '../x': expected"),
        ({"show": "some"}, "must be one of: open, overdue, all"),
        ({"root": "/no/such"}, "a host that was set up"),
    ],
)
def test_bad_input(run_module, host, change, words):
    assert words in run_module(incident_info, {"root": host.root, **change})["msg"]
