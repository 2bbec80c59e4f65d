# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one decision of a deploy on several hosts."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.fleet import FilterModule

fleet = FilterModule().filters()["fleet"]
ARTIFACT = {"deploy_artifact": {"release_id": "v2-0"}}
WANTED = {**ARTIFACT, "deploy_wanted": True}


def of(**hosts):
    return fleet(list(hosts), hosts)


def test_nothing_has_happened_yet():
    found = of(a=dict(WANTED), b=dict(WANTED), c={**ARTIFACT, "deploy_wanted": False})
    assert found == {
        "wanting": ["a", "b"],
        "ahead": ["c"],
        "behind": [],
        "back_to": "",
        "migrates": "",
        "broken": False,
        "failed": {},
        "went_back": [],
        "lost": [],
        "culprits": [],
        "reporter": "",
        "incident": "",
        "stuck": [],
        "down": False,
    }


def test_one_fails_and_it_writes_the_incident_of_all():
    ended = {**WANTED, "deploy_rescued": True, "deploy_present": True}
    found = of(a=dict(ended), b={**ended, "deploy_failed_here": True, "deploy_failure": "Smoke-test it: 503", "deploy_serving": False})
    assert found["broken"] and found["failed"] == {"b": "Smoke-test it: 503"} and found["culprits"] == ["b"]
    assert found["reporter"] == "b" and found["lost"] == [] and found["down"]


def test_a_host_without_a_say_is_lost_and_another_one_writes():
    ended = {**WANTED, "deploy_rescued": True, "deploy_present": True}
    found = of(a=dict(WANTED), b=dict(ended), c=dict(ended))
    assert found["lost"] == found["culprits"] == ["a"] and found["reporter"] == "b" and found["broken"]


def test_a_watch_that_cannot_be_asked_any_more():
    found = of(
        a={**WANTED, "monitor_watch": {"verdict": "inconclusive", "lost": True}}, b={**WANTED, "monitor_watch": {"verdict": "elsewhere"}}
    )
    assert found["lost"] == found["culprits"] == ["a"] and found["went_back"] == [] and not found["broken"]


@pytest.mark.parametrize(
    "left",
    [
        {"monitor_watch": {"verdict": "rolled_back", "incident": "INC-1"}},
        {
            "monitor_watch": {"verdict": None},
            "deploy_watch_end": {"verdict": "rolled_back", "incident": "INC-1", "watch": {"release": "v2-0"}},
        },
    ],
)
def test_a_watch_that_went_back_has_written_the_incident(left):
    found = of(a={**WANTED, **left}, b=dict(WANTED))
    assert found["went_back"] == found["culprits"] == ["a"] and found["incident"] == "INC-1"


def test_the_watch_of_an_earlier_release_is_no_reason():
    found = of(a={**WANTED, "deploy_watch_end": {"verdict": "rolled_back", "incident": "INC-1", "watch": {"release": "v1-0"}}})
    assert found["culprits"] == [] and found["incident"] == ""


def test_who_could_not_go_back_and_the_incident_that_was_opened():
    found = of(
        a={**WANTED, "deploy_went_back": {"msg": "not healthy"}, "deploy_incident": {"incident": {"id": "INC-7"}}},
        b={**WANTED, "deploy_went_back": {"changed": True}, "deploy_incident": {"skipped": True}},
    )
    assert found["stuck"] == ["a"] and found["incident"] == "INC-7"


def test_what_a_rescue_without_a_serving_release_means_when_the_watch_went_back():
    left = {
        "deploy_failed_here": True,
        "deploy_failure": "x",
        "deploy_serving": False,
        "deploy_watch_end": {"verdict": "rolled_back", "watch": {"release": "v2-0"}},
    }
    assert not of(a={**WANTED, **left})["down"]


def knows(state):
    """A host whose record tells of the release's migration."""
    return {"deploy_before": {"live": "v1-0", "releases": [{"id": "v1-0", "migrated": None}, {"id": "v2-0", "migrated": {"state": state}}]}}


def test_the_first_host_migrates_for_all():
    assert of(a=dict(WANTED), b=dict(WANTED))["migrates"] == "a" and of()["migrates"] == ""


def test_nobody_migrates_under_hosts_that_serve_it_already():
    found = of(a={**ARTIFACT, "deploy_wanted": False}, b=dict(WANTED), c=dict(WANTED))
    assert (found["wanting"], found["ahead"], found["migrates"]) == (["b", "c"], ["a"], "")


@pytest.mark.parametrize("ahead", [{}, {"c": {**ARTIFACT, "deploy_wanted": False}}])
def test_the_host_that_has_migrated_before_goes_by_its_own_record(ahead):
    other = {"deploy_before": {"releases": [{"id": "v1-0", "migrated": {"state": "done"}}, {"id": "v2-0"}]}}
    assert of(a={**WANTED, **other}, b={**WANTED, **knows("undone")}, **ahead)["migrates"] == "b"


def test_a_host_that_nobody_has_asked_yet_is_not_ahead():
    assert of(a=dict(WANTED), b=dict(ARTIFACT))["ahead"] == []


@pytest.mark.parametrize(
    "left, behind",
    [
        ({"deploy_after": {"live": "v1-0"}, "deploy_went_back": {"skipped": True, "changed": False}}, ["a"]),
        ({"deploy_after": {"live": None}}, ["a"]),
        ({"deploy_after": {"live": "v2-0"}, "deploy_went_back": {"changed": True}}, ["a"]),
        ({"deploy_after": {"live": "v2-0"}, "deploy_went_back": {"changed": True, "msg": "not healthy"}}, []),
        ({"monitor_watch": {"verdict": "rolled_back"}}, ["a"]),
        ({"monitor_watch": {"verdict": "healthy"}}, []),
    ],
)
def test_who_serves_another_release_in_the_end(left, behind):
    assert of(a={**WANTED, **left})["behind"] == behind
