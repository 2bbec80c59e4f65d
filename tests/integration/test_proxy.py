"""The real playbooks with two instances behind the proxy, under traffic."""
from __future__ import annotations

import time

import pytest
from support.traffic import Traffic
from support.waiting import wait_until

RATE = 30


def test_deploys_and_rollbacks_lose_nothing(proxied):
    site = proxied
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    assert site.play("setup").changed() == 0, site.outputs[-1]
    with Traffic(site.port, site.secret(), RATE) as traffic:
        deployed = site.deploy("v2")
        assert deployed.outcome == "deployed", deployed.output
        again = site.deploy("v2")
        assert (again.outcome, again.changed()) == ("unchanged", 0), again.output
        back = site.play("rollback", mobius_release_id=site.history()[0]["release"])
        assert back.outcome == "rolled_back", back.output
        time.sleep(0.5)
    print(f"\n{site.state}: {traffic.figures()}")
    assert traffic.failed() == []
    assert sorted(traffic.acknowledged) == list(range(1, len(traffic.acknowledged) + 1))
    assert traffic.samples[-1].release in ("", site.live())


def test_watch_goes_back_by_itself_and_stops_the_bad_instance(proxied):
    site = proxied
    site.play("setup")
    good = site.live()
    done = site.deploy("bad", mobius_watch_duration="40", fault={"kind": "health", "after": 12})
    assert done.outcome == "rolled_back", done.output
    assert site.live() == good and site.client().health()["release"] == good
    log = next(site.root.glob("monitor_logs/monitor-*.log"))
    wait_until(lambda: "which no longer serves, was stopped" in "".join(
        path.read_text() for path in log.parent.glob("monitor-*.log")) or site.state == "exclusive")


@pytest.mark.parametrize("proxied", ["exclusive"], indirect=True)
def test_other_ports_and_back_to_one_service(proxied, says, free_port):
    """Refused while an instance runs, with the way that works; what serves goes on meanwhile."""
    site, settings = proxied, proxied.operator.settings
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    assert site.deploy("v2").outcome == "deployed", site.outputs[-1]
    live, before = site.live(), site.tree()
    for options, other in (([], "mobius_standby_port"), (["--check"], "mobius_port")):
        refused = site.play("setup", *options, **{other: free_port()})
        assert refused.status == 2 and says(refused, "Nothing was changed. End it first: mobius.ops.stop, then"), refused.output
    assert site.tree() == before and site.client().health()["release"] == live
    settings["mobius_standby_port"] = free_port()
    for playbook, outcome in (("stop", "stopped"), ("setup", "set_up"), ("restart", "restarted")):
        assert site.play(playbook).outcome == outcome, site.outputs[-1]
    assert site.client().health()["release"] == live and site.play("setup").changed() == 0
    settings["mobius_proxy_port"], site.port = 0, settings["mobius_port"]
    for playbook, outcome in (("stop", "stopped"), ("setup", "set_up"), ("restart", "restarted")):
        assert site.play(playbook).outcome == outcome, site.outputs[-1]
    assert site.client().health()["release"] == live and site.play("setup").changed() == 0
    assert not list((site.root / "slots").iterdir())
