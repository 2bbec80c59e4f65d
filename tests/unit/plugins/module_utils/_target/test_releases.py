# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Release records: which release serves, where a rollback goes, what retention removes."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, ways
from ansible_collections.mobius.ops.plugins.module_utils._target import releases


def target_of(host):
    target = host.store.target()
    return target and target["id"]


def deploy(host, release_id, good=True):
    """Prepare, activate without a service, and mark."""
    if host.store.get(release_id) is None:
        host.release(release_id)
    activation.activate(ways.of(host.store, None, [], 1), release_id)
    host.store.mark(release_id, "verified" if good else "failed", "" if good else "broken")


def roll_back(host):
    return activation.roll_back(ways.of(host.store, None, [], 1), "why")["target"]["id"]


def test_without_releases_nothing_is_live_and_there_is_no_target(host):
    assert host.store.live() is None and host.store.all() == [] and target_of(host) is None
    with pytest.raises(StateError, match=r"rollback of nothing \(no release is live\): expected a verified release"):
        host.store.require_target()


def test_the_target_is_the_newest_verified_release_older_than_the_live_one(host):
    for release_id, status in (
        ("r1", "verified"),
        ("r2", "verified"),
        ("r3", "failed"),
        ("r4", "rolled_back"),
        ("r5", "active"),
        ("r6", "prepared"),
    ):
        host.release(release_id, status)
    host.live("r7")
    host.release("r8", "verified")
    assert target_of(host) == "r2"


@pytest.mark.parametrize("status", ["prepared", "active", "failed", "rolled_back"])
def test_what_was_not_found_good_is_never_a_target(host, status):
    host.release("r1", status)
    host.live("r2")
    assert target_of(host) is None
    with pytest.raises(StateError, match="none on this host"):
        host.store.require_target()


def test_folder_times_are_never_asked(host):
    for number in (1, 2):
        host.release(f"r{number}", "verified")
    host.live("r3")
    os.utime(host.layout.release("r1"), (4e9, 4e9))
    assert target_of(host) == "r2"


def test_a_second_rollback_goes_one_further(host):
    for release_id in ("r1", "r2", "r3"):
        deploy(host, release_id)
    assert roll_back(host) == "r2"
    assert roll_back(host) == "r1"
    assert host.statuses() == {"r1": "verified", "r2": "rolled_back", "r3": "rolled_back"}
    with pytest.raises(StateError, match="rollback of r1"):
        roll_back(host)
    assert host.store.live() == "r1"


def test_ten_failed_deploys_never_evict_the_last_good_release(host):
    deploy(host, "good-1")
    deploy(host, "good-2")
    for number in range(10):
        deploy(host, f"bad-{number}", good=False)
        assert target_of(host) == "good-2"
        for release_id in host.store.prunable(1):
            host.store.remove(release_id)
    assert target_of(host) == "good-2"
    assert roll_back(host) == "good-2"
    assert target_of(host) is None or target_of(host) == "good-1"


def test_an_older_release_that_is_deployed_again_is_the_newest(host):
    for release_id in ("r1", "r2", "r3"):
        deploy(host, release_id)
    deploy(host, "r1")
    assert host.store.ids()[0] == "r1"
    assert target_of(host) == "r3"
    assert roll_back(host) == "r3"


def test_a_named_release_may_be_gone_back_to_when_it_has_served(host):
    for release_id in ("r1", "r2", "r3"):
        deploy(host, release_id)
    host.release("r4")
    assert activation.roll_back(ways.of(host.store, None, [], 1), "why", "r1")["target"]["id"] == "r1"
    assert host.statuses()["r3"] == "rolled_back"
    with pytest.raises(StateError, match="release r4: expected a release that has served, found one of status prepared"):
        activation.roll_back(ways.of(host.store, None, [], 1), "why", "r4")
    host.store.mark("r2", "failed", "bad")
    with pytest.raises(StateError, match="found one of status failed"):
        activation.roll_back(ways.of(host.store, None, [], 1), "why", "r2")
    with pytest.raises(InputError, match="release r9: expected one of r4, r3, r2, r1, found no such release"):
        activation.roll_back(ways.of(host.store, None, [], 1), "why", "r9")
    assert host.store.live() == "r1"


def test_a_target_without_its_application_is_refused(host):
    deploy(host, "r1")
    deploy(host, "r2")
    os.unlink(os.path.join(host.layout.release("r1"), "package.json"))
    with pytest.raises(StateError, match=r"no package\.json there"):
        roll_back(host)
    assert host.store.live() == "r2" and host.statuses()["r2"] == "verified"


def test_marks_are_dated_and_in_the_history(host):
    host.release("r1")
    assert host.store.mark("r1", "active", previous=None, backup="/b/1.zip")["activated"]
    record = host.store.mark("r1", "verified", "watch 1")
    assert record["verified"] and record["backup"] == "/b/1.zip"
    assert host.store.mark("r1", "failed", "health: status 500")["failed_reason"] == "health: status 500"
    assert host.store.mark("r1", "active")["verified"] is None
    assert [event["what"] for event in host.history()] == ["active", "verified", "failed", "active"]


@pytest.mark.parametrize("keep, gone", [(1, ["r4", "r2"]), (2, ["r4", "r2"]), (3, ["r2"]), (4, []), (0, ["r4", "r2"])])
def test_retention_counts_verified_releases_and_spares_the_live_one_and_the_target(host, keep, gone):
    for release_id in ("r2", "r4", "r6"):
        host.release(release_id, "verified")
    host.live("r8")
    assert host.store.prunable(keep) == gone
    assert target_of(host) == "r6"


def test_of_the_others_only_the_newest_older_one_is_kept(host):
    for number, status in enumerate(("failed", "rolled_back", "prepared", "failed")):
        host.release(f"old-{number}", status)
    host.live("live")
    host.release("newer", "failed")
    assert host.store.prunable(5) == ["old-3", "old-2", "old-1", "old-0"], "the newest failure is kept, also above the live release"


def test_after_rollbacks_the_live_release_and_its_target_are_spared_though_old(host):
    for number in range(6):
        deploy(host, f"r{number}")
    for _time in range(4):
        roll_back(host)
    assert (host.store.live(), target_of(host)) == ("r1", "r0")
    assert not {"r0", "r1"} & set(host.store.prunable(1))


def test_nothing_is_pruned_of_a_host_without_a_live_release(host):
    host.release("r1", "failed")
    host.release("r2", "prepared")
    assert host.store.prunable(1) == []


def test_a_removed_release_is_gone_at_once_and_leftovers_are_swept(host):
    host.release("r1", "failed")
    host.live("r2")
    host.store.remove("r1")
    for name in (".removing-r0", ".preparing-r9"):
        os.makedirs(os.path.join(host.layout.releases, name, "src"))
    assert host.store.ids() == ["r2"]
    host.store.sweep()
    assert os.listdir(host.layout.releases) == ["r2"]


def test_the_switch_is_atomic(host):
    for release_id in ("r1", "r2"):
        host.live(release_id)
    seen, ended = set(), threading.Event()

    def look():
        while not ended.is_set():
            seen.add(host.store.live())

    looker = threading.Thread(target=look)
    looker.start()
    for number in range(60):
        host.store.point(f"r{number % 2 + 1}")
    ended.set()
    looker.join()
    assert seen <= {"r1", "r2"}


def test_only_one_switches_at_a_time(host):
    order = []
    with host.store.switching():
        other = threading.Thread(target=lambda: order.append(deploy(host, "r2") or "other"))
        other.start()
        other.join(0.1)  # long enough for a missing lock to show
        order.append("mine")
        assert host.store.live() is None
    other.join()
    assert order == ["mine", "other"] and host.store.live() == "r2"


STEPS = st.lists(
    st.one_of(st.tuples(st.just("deploy"), st.integers(0, 4), st.booleans()), st.just(("back", 0, True)), st.just(("prune", 0, True))),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_in_every_history_the_target_is_verified_older_and_there(host, steps, tmp_path_factory):
    fresh = type(host)(str(tmp_path_factory.mktemp("host")))
    for what, number, good in steps:
        if what == "deploy":
            deploy(fresh, f"r{number}", good)
        elif what == "back" and fresh.store.target():
            roll_back(fresh)
        elif what == "prune":
            for release_id in fresh.store.prunable(1):
                fresh.store.remove(release_id)
        live, target = fresh.store.live(), fresh.store.target()
        assert live is None or fresh.store.get(live)
        if target:
            assert target["status"] == "verified" and target["id"] != live
            assert target["sequence"] < fresh.store.get(live)["sequence"]
            between = [
                record
                for record in fresh.store.all()
                if record["status"] == "verified" and target["sequence"] < record["sequence"] < fresh.store.get(live)["sequence"]
            ]
            assert not between
    sequences = [record["sequence"] for record in fresh.store.all()]
    assert len(sequences) == len(set(sequences))


def test_statuses_are_the_five_of_the_design():
    assert releases.STATUSES == ("prepared", "active", "verified", "failed", "rolled_back")
