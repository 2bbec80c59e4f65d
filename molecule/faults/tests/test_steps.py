"""A failure at each step of a deploy, on one host of three: all of them go back, and there is one incident."""

from __future__ import annotations

import time

import pytest
from support.cluster import Cluster, fault

HOST = "/opt/mobius"
#: What happens to the second host, as root, once the release is there: its new instance ends at once, it never says that it is
#: well, the proxy does not answer when it is told until that was noticed, a page of the new release is missing.
STEPS = {
    "start": fault("crash", "RELEASE"),
    "gate": fault("health", "RELEASE"),
    "switch": 'systemctl kill -s STOP mobius-proxy; until test $(grep -cE "what.{1,4}failed" HISTORY) -gt FAILED; do sleep 0.1; done; '
    "systemctl kill -s CONT mobius-proxy",
    "smoke": "echo nothing >RELEASE/client/build/index.html",
}
#: The host that is never well is given up after so many seconds, which the release of before has to become ready in, too.
SHORT = 20
#: How a host is lost, and how it comes back: it freezes, or its network is cut and it runs on alone.
LOSSES = {"frozen": (Cluster.pause, Cluster.unpause), "cut": (Cluster.cut, Cluster.join)}


def switched_from(release):
    """Whether a host serves something else than this release, for :meth:`Box.once`."""
    return f"test $(basename $(readlink {HOST}/current)) != {release}"


def all_back(cluster, good, version):
    """Every host serves the old release, no record calls the new one good, nobody holds a lock, and one incident tells what happened."""
    assert cluster.live() == cluster.answers() == {good}
    assert [box.record(good)["status"] for box in cluster.boxes] == ["verified"] * 3
    bad = {(box.name, release): box.record(release)["status"] for box in cluster.boxes for release in box.releases(version)}
    assert set(bad.values()) - {"prepared"} in ({"failed"}, {"rolled_back"}, {"failed", "rolled_back"}), bad
    assert not any(box.locked() for box in cluster.boxes)
    assert len(cluster.incidents()) == 1
    return True


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_on_one_host_takes_all_back(cluster, good, step, capsys):
    box, begun = cluster.boxes[1], time.monotonic()
    spoil = STEPS[step].replace("HISTORY", f"{HOST}/state/history.jsonl").replace("FAILED", str(box.count("failed")))
    with box.once(f"cd {HOST}/releases/{step}-* 2>/dev/null", spoil.replace("RELEASE", ".")):
        limit = f"{{{{ {SHORT} if inventory_hostname == '{box.name}' else 120 }}}}" if step == "gate" else 120
        result = cluster.deploy(step, mobius_ready_timeout=limit)
    assert (result.status, result.outcome) in ((2, "failed"), (2, "rolled_back")), result.output
    with capsys.disabled():
        print(f"\n  {step}: all back after {time.monotonic() - begun:.0f} s: {result.stats.get('mobius_message', '')}")
    assert all_back(cluster, good, step), result.output
    assert [box.switched_to(step) for box in cluster.boxes][2] == 0, "the third host was left alone"


@pytest.mark.parametrize("kind", ["health", "crash"])
def test_a_host_that_fails_in_the_watch_takes_all_back(cluster, good, kind):
    """It says that it is not well, or its processes die, again and again."""
    box = cluster.boxes[2]
    with box.once(f"{switched_from(good)} && test ! -e {HOST}/state/lock/deploy.json", fault(kind)):
        result = cluster.deploy(f"spoilt-{kind}", mobius_watch_duration=600, mobius_failure_threshold=3)
    assert (result.status, result.outcome) == (2, "rolled_back"), result.output
    assert all_back(cluster, good, f"spoilt-{kind}") and box.incidents()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_host_that_is_lost_before_the_switch_stops_the_deploy(cluster, good, loss):
    box, (lose, find) = cluster.boxes[1], LOSSES[loss]
    backups = box.count("backup")
    taken = f'test $(grep -cE "what.{{1,4}}backup" {HOST}/state/history.jsonl) -gt {backups}'
    with box.once(taken, lambda: lose(cluster, box)):  # all hosts are locked by then
        result = cluster.deploy(f"{loss}1")
    find(cluster, box)
    assert result.status != 0 and cluster.live() == cluster.answers() == {good}, result.output
    assert len(cluster.incidents()) == 1
    assert cluster.deploy(f"{loss}1").outcome == "deployed" and not any(each.locked() for each in cluster.boxes)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_host_that_is_lost_after_its_switch_is_put_right_when_it_is_back(cluster, good, loss):
    box, (lose, find) = cluster.boxes[1], LOSSES[loss]
    with box.once(switched_from(good), lambda: lose(cluster, box)):
        result = cluster.deploy(f"{loss}2")
    others = [each for each in cluster.boxes if each is not box]
    assert result.status != 0 and {each.live() for each in others} == {each.answers() for each in others} == {good}, result.output
    assert len([name for each in others for name in each.incidents()]) == 1
    find(cluster, box)
    assert cluster.operator.run("rollback", mobius_release_id=good).outcome == "rolled_back"
    assert cluster.live() == cluster.answers() == {good}
