# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DORA's four keys, against figures computed by hand."""

from __future__ import annotations

import datetime
import json

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock as core_clock
from ansible_collections.mobius.ops.plugins.module_utils._observe import dora
from ansible_collections.mobius.ops.plugins.module_utils._target import history

NOW = datetime.datetime(2026, 11, 30, 12, 0, tzinfo=datetime.timezone.utc)
NOTHING = {
    "days": 30,
    "deploys": 0,
    "deploys_per_week": 0.0,
    "failed": 0,
    "unrestored": 0,
    "change_failure_rate_pct": None,
    "time_to_restore": None,
    "lead_time": None,
}


def at(day, clock="12:00:00"):
    return f"2026-11-{day:02}T{clock}Z"


def deployed(release, when, previous="old", **facts):
    return {"what": "active", "when": when, "release": release, "previous": previous, "backup": "/b.zip", **facts}


def event(what, release, when, **facts):
    return {"what": what, "when": when, "release": release, "why": "", **facts}


def figures(*events):
    return dora.figures(events, NOW)


def test_nothing_happened():
    assert figures() == NOTHING


def test_good_deployments():
    """6 in 30 days are 1.4 a week; lead times of 1 h, 2 h and 6 h have the median 2 h."""
    events = []
    for number, committed in enumerate(["11:00:00", "10:00:00", "06:00:00", None, None, None], start=1):
        told = {"committed": at(number, committed)} if committed else {}
        events += [deployed(f"r{number}", at(number), f"r{number - 1}", **told), event("verified", f"r{number}", at(number, "13:00:00"))]
    assert figures(*events) == {**NOTHING, "deploys": 6, "deploys_per_week": 1.4, "change_failure_rate_pct": 0.0, "lead_time": 7200.0}


def test_failed_ones_and_how_long_they_lasted():
    """4 deployments, 3 failed: one went back by itself after 20 s, one was rolled back after 90 s, one after 10 min. Median 90 s."""
    found = figures(
        deployed("r1", at(1)),
        event("failed", "r1", at(1, "12:00:20"), previous="r0", serving=True),
        deployed("r2", at(2)),
        event("rolled_back", "r2", at(2, "12:01:30"), target="r0", downtime=1.2),
        event("watch", "r2", at(2, "12:01:31"), verdict="rolled_back"),
        deployed("r3", at(3)),
        event("verified", "r3", at(3, "13:00:00")),
        deployed("r4", at(4)),
        event("rolled_back", "r4", at(4, "12:10:00"), target="r3", downtime=None),
    )
    assert found == {
        **NOTHING,
        "deploys": 4,
        "deploys_per_week": 0.9,
        "failed": 3,
        "change_failure_rate_pct": 75.0,
        "time_to_restore": 90.0,
    }


def test_a_release_that_failed_twice_failed_twice():
    found = figures(
        deployed("r1", at(1)),
        event("failed", "r1", at(1, "12:00:10"), serving=True),
        deployed("r1", at(2)),
        event("failed", "r1", at(2, "12:00:30"), serving=True),
    )
    assert (found["deploys"], found["failed"], found["time_to_restore"]) == (2, 2, 20.0)


def test_a_failure_is_of_its_own_deployment():
    """Rolled back after it had been deployed again: the first of the two was well."""
    found = figures(
        deployed("r1", at(1)),
        event("verified", "r1", at(1, "13:00:00")),
        deployed("r2", at(2), "r1"),
        event("verified", "r2", at(2, "13:00:00")),
        deployed("r1", at(3), "r2"),
        event("rolled_back", "r1", at(3, "12:00:50"), downtime=1.0),
    )
    assert (found["deploys"], found["failed"], found["time_to_restore"]) == (3, 1, 50.0)


def test_a_frozen_release_lasts_until_a_release_serves_well():
    """A rollback to a release that was not well either (no downtime) restores nothing."""
    frozen = [deployed("r1", at(1)), event("watch", "r1", at(1, "12:05:00"), verdict="frozen")]
    assert (figures(*frozen)["failed"], figures(*frozen)["unrestored"], figures(*frozen)["time_to_restore"]) == (1, 1, None)
    worse = [*frozen, event("rolled_back", "r1", at(1, "12:30:00"), target="r0")]
    assert figures(*worse)["unrestored"] == 1
    mended = figures(*worse, deployed("r2", at(1, "13:00:00"), "r0"), event("verified", "r2", at(1, "14:00:00")))
    assert (mended["deploys"], mended["failed"], mended["unrestored"], mended["time_to_restore"]) == (2, 1, 0, 7200.0)


def test_a_first_deployment_that_fails_restores_nothing():
    assert figures(deployed("r1", at(1), None), event("failed", "r1", at(1, "12:00:20"), previous=None, serving=False))["unrestored"] == 1
    old = figures(deployed("r1", at(1), None), event("failed", "r1", at(1, "12:00:20"), previous=None))  # written before there was serving
    assert old["unrestored"] == 1


@pytest.mark.parametrize(
    "events",
    [
        [event("active", "r0", at(1))],  # went back to
        [deployed("r1", at(1), "r1")],  # the live one once more
        [event("prepared", "r1", at(1))],
        [event("rolled_back", "r1", at(1), downtime=1)],
        [deployed("r1", "2026-10-31T11:59:59Z")],
        [{**deployed("r1", at(1)), "when": "yesterday"}],
        [deployed("r1", "2026-12-01T00:00:00Z")],
    ],
)
def test_what_is_no_deployment_of_these_days(events):
    assert figures(*events) == NOTHING


def test_the_window_ends_where_it_is_said():
    assert figures(deployed("r1", "2026-10-31T12:00:00Z"))["deploys"] == 1


def test_only_the_first_deployment_of_a_release_has_a_lead_time():
    found = figures(
        deployed("r1", "2026-10-01T12:00:00Z", committed="2026-10-01T11:00:00Z"),
        deployed("r1", at(20), "r2", committed="2026-10-01T11:00:00Z"),
    )
    assert (found["deploys"], found["lead_time"]) == (1, None)


def test_a_commit_of_a_clock_that_is_ahead_took_no_time():
    assert figures(deployed("r1", at(1), committed=at(2)))["lead_time"] == 0.0
    assert figures(deployed("r1", at(1), committed="soon"))["lead_time"] is None


def test_the_history_is_read_to_its_beginning(host):
    history.record(host.layout, "active", release="r1", previous=None, committed=core_clock.iso())
    history.record(host.layout, "backup", 'the what of "what": "active"')
    with open(host.layout.history, "r+", encoding="utf-8") as stream:
        stream.write(stream.readlines()[-1] * 2000)
        stream.write('{"what": "active", "rel\n')
    assert [one["release"] for one in history.of_kinds(host.layout, dora.KINDS)] == ["r1"]
    assert dora.figures(history.of_kinds(host.layout, dora.KINDS), core_clock.now())["deploys"] == 1


#: What a history had in six weeks. Beside each event: what it counts for.
TWENTY = [
    deployed("r0", "2026-10-20T12:00:00Z", None, committed="2026-10-20T11:00:00Z"),  # before the 30 days
    event("verified", "r0", "2026-10-20T12:10:00Z"),
    event("prepared", "r1", at(1, "12:00:00")),
    {"what": "backup", "when": at(1, "12:00:30"), "why": "before the deploy of r1", "archive": "/b.zip"},
    deployed("r1", at(1, "12:01:00"), "r0", committed=at(1, "10:01:00")),  # deployment 1, lead time 7,200 s
    event("verified", "r1", at(1, "12:11:00")),
    event("watch", "r1", at(1, "12:11:01"), verdict="healthy"),
    deployed("r2", at(5, "09:00:00"), "r1", committed=at(4, "09:00:00")),  # deployment 2
    event("failed", "r2", at(5, "09:00:40"), previous="r1", serving=True),  # failure 1, restored after 40 s
    event("incident", "r2", at(5, "09:00:41"), incident="i1", severity=2),
    deployed("r3", at(9, "09:00:00"), "r1", committed=at(8, "09:00:00")),  # deployment 3
    event("rolled_back", "r3", at(9, "09:05:00"), target="r1", downtime=0.4),  # failure 2, restored after 300 s
    event("watch", "r3", at(9, "09:05:01"), verdict="rolled_back"),  # the same failure
    deployed("r4", at(12, "10:00:00"), "r1", committed=at(12, "06:00:00")),  # deployment 4
    event("watch", "r4", at(12, "10:20:00"), verdict="frozen"),  # failure 3
    deployed("r5", at(12, "11:00:00"), "r4", committed=at(12, "10:56:00")),  # deployment 5, lead time 240 s
    event("verified", "r5", at(12, "11:30:00")),  # failure 3 restored after 5,400 s
    event("active", "r5", at(15, "08:00:00")),  # a start of the live release
    {"what": "restored", "when": at(20), "why": "a disk", "archive": "/b.zip"},
    deployed("r6", at(28), "r5", committed=at(28, "02:00:00")),  # deployment 6, lead time 36,000 s
]


def test_a_history_of_twenty_events(host):
    """6 deployments in 30 days (6 x 7 / 30 = 1.4 a week), 3 of them failed (50 %), restored after 40, 300 and 5,400 s (median 300),
    and lead times of 7,200, 240 and 36,000 s (median 7,200)."""
    assert len(TWENTY) == 20
    with open(host.layout.history, "a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(one) + "\n" for one in TWENTY)
    assert dora.figures(history.of_kinds(host.layout, dora.KINDS), NOW) == {
        "days": 30,
        "deploys": 6,
        "deploys_per_week": 1.4,
        "failed": 3,
        "unrestored": 0,
        "change_failure_rate_pct": 50.0,
        "time_to_restore": 300.0,
        "lead_time": 7200.0,
    }
