# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts of a watch and its deploy, from real folders."""

from __future__ import annotations

import json
import os

import pytest
from support import watches

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents
from ansible_collections.mobius.ops.plugins.module_utils._watch import report as watch_report


def steps(facts):
    """Kind and release of the events."""
    return [(event["what"], event.get("release")) for event in facts["events"]]


DEPLOY = [("preflight", None), ("backup", "v1"), ("prepared", "v2"), ("active", "v2")]


def test_a_deploy_that_was_good(host):
    watches.put(host, [watches.round_line(0, 1)])
    facts = watch_report.gather(host.layout)
    assert steps(facts) == [*DEPLOY, ("watch", "v2")]  # not v1's deploy, not the backup of the night
    assert (facts["watch"]["verdict"], facts["watch"]["ended"], facts["watch"]["env"]) == ("healthy", watches.at(596), "test")
    told = facts["releases"]
    assert (told["live"], told["watched"], told["previous"], told["target"]) == ("v2", "v2", "v1", "v1")
    assert [record["id"] for record in told["records"]] == ["v2", "v1"]
    assert told["records"][0]["backup"].endswith("dhash_test_20261123_155500.zip")
    assert len(facts["series"]["rounds"]) == 1 and facts["thresholds"] == {"response_time_ms": [1000, 5000]}


def test_a_deploy_that_was_taken_back(host):
    record = incidents.open_incident(
        host.layout,
        {
            "title": "v2 was bad",
            "severity": 2,
            "env": "test",
            "release": "v2",
            "evidence": {"application_log": ["boom"] * 50, "samples": [1], "console": "text"},
        },
    )
    os.unlink(host.layout.history)
    watches.put(host, verdict="rolled_back", incident=record["id"], rollback={"from": "v2", "to": "v1", "elapsed": 3.0, "downtime": 0.5})
    facts = watch_report.gather(host.layout)
    assert steps(facts)[4:] == [("rolled_back", "v2"), ("active", "v1"), ("incident", "v2"), ("watch", "v2")]
    (incident,) = facts["incidents"]
    assert (incident["id"], incident["lines"]) == (record["id"], {"application_log": ["boom"] * 20})
    assert facts["watch"]["rollback"]["to"] == facts["releases"]["live"] == "v1"


def test_a_watch_that_goes_on(host):
    watches.put(host, verdict=None)
    facts = watch_report.gather(host.layout)
    assert (facts["watch"]["status"], facts["watch"]["verdict"], facts["watch"]["ended"]) == ("running", None, None)
    assert steps(facts) == [*DEPLOY, ("backup", "v1")]  # all until now


def test_what_names_the_release_later_belongs_to_it(host):
    watches.put(host)
    fs.append_line(host.layout.history, json.dumps({"when": watches.at(9000), "what": "rolled_back", "release": "v2", "who": "bert"}))
    assert steps(watch_report.gather(host.layout))[-2:] == [("watch", "v2"), ("rolled_back", "v2")]


def test_a_watch_long_after_the_deploy_begins_with_itself(host):
    folder = watches.put(host)
    spec = folder.spec()
    folder.save_state({**folder.state(), "started": watches.at(7200)})
    fs.append_line(
        host.layout.history,
        json.dumps({"when": watches.at(8000), "what": "watch", "release": "v2", "verdict": "healthy", "log_file": spec["log_file"] + "2"}),
    )
    fs.write_json(os.path.join(folder.path, "spec.json"), {**spec, "log_file": spec["log_file"] + "2"})
    assert steps(watch_report.gather(host.layout)) == [("watch", "v2")]


def test_an_earlier_watch_by_its_id(host):
    first = watches.put(host, [watches.round_line(0, 1)])
    second = watches.put(host, [])
    assert watch_report.gather(host.layout)["watch"]["id"] == second.id
    assert watch_report.gather(host.layout, first.id)["watch"]["id"] == first.id


@pytest.mark.parametrize("watch_id", ["20200101_000000", "../service", "", None])
def test_no_watch_is_one_sentence(host, watch_id):
    with pytest.raises(StateError) as error:
        watch_report.gather(host.layout, watch_id)
    assert str(error.value) == (
        f"watch {watch_id or 'of ' + host.root}: expected one to report on, found none. "
        "Deploy a release, or start a watch with mobius.ops.monitor."
    )


def test_a_wrong_id_is_told_with_the_right_ones(host):
    folder = watches.put(host)
    with pytest.raises(StateError, match=f"watch 2020: expected one to report on, found {folder.id}. Name one of these."):
        watch_report.gather(host.layout, "2020")


def test_an_id_is_no_path(host):
    with pytest.raises(StateError, match="Name one of these"):
        watch_report.gather(host.layout, "../watch/" + watches.put(host).id)


def test_no_secret_leaves_the_host(host, secret):
    watches.put(host, [watches.round_line(0, 1, "failed", evidence=[watches.fault(f"said {secret}", f"<{secret}>")])], trigger=f"{secret}!")
    told = json.dumps(watch_report.gather(host.layout))
    assert secret not in told and "hidden" not in told and "********" in told
    assert '"url": "http://127.0.0.1:5001/health"' in told


def test_damage_around_it_is_survived(host):
    folder = watches.put(host, ['{"when": "2026-', "", "\x00"], incident="../../etc/passwd", samples=None)
    for line in (
        "{",
        "7",
        '{"what": "active"}',
        '{"when": 7, "what": "active"}',
        '{"when": "2026-11-23T16:00:06Z", "what": ["active"]}',
        '{"when": "soon"}',
    ):
        fs.append_line(host.layout.history, line)
    os.unlink(host.layout.current)
    fs.write_json(os.path.join(folder.path, "spec.json"), {**folder.spec(), "thresholds": {"nonsense": 1}})
    facts = watch_report.gather(host.layout)
    assert (facts["series"]["unread"], facts["incidents"], facts["releases"]["live"]) == (2, [], None)
    assert facts["thresholds"] == {"response_time_ms": [1000, 5000]}


def test_a_watch_that_never_began(host):
    folder = watches.put(host)
    os.unlink(os.path.join(folder.path, "state.json"))
    os.utime(folder.path, (0, 0))
    facts = watch_report.gather(host.layout)
    assert (facts["watch"]["verdict"], facts["watch"]["trigger"]) == ("inconclusive", "the watching process never began")
    assert facts["events"] == []
