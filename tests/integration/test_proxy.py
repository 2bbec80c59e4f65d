"""The real playbooks with two instances behind the proxy, under traffic."""

from __future__ import annotations

import pytest
from support.traffic import Traffic
from support.waiting import wait_until

RATE = 30


def test_deploys_and_rollbacks_lose_nothing(proxied):
    site, first = proxied, proxied.live()
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    assert site.play("setup").changed() == 0, site.outputs[-1]
    with Traffic(site.port, site.secret(), RATE) as traffic:
        deployed = site.deploy("v2")
        assert deployed.outcome == "deployed", deployed.output
        again = site.deploy("v2")
        assert (again.outcome, again.changed()) == ("unchanged", 0), again.output
        back = site.play("rollback", mobius_release_id=first)
        assert (back.outcome, site.live()) == ("rolled_back", first), back.output
        seen = len(traffic.samples)
        wait_until(lambda: any(sample.release == site.live() for sample in traffic.samples[seen:]), what="the release before answers")
    print(f"\n{site.state}: {traffic.figures()}")
    assert traffic.failed() == []
    assert sorted(traffic.acknowledged) == list(range(1, len(traffic.acknowledged) + 1))
    assert traffic.samples[-1].release in ("", site.live())


def test_watch_goes_back_by_itself_and_stops_the_bad_instance(proxied):
    site = proxied
    site.play("setup")
    good = site.live()
    with site.spoiled(kind="health"):
        done = site.deploy("bad", **site.guarded)
    assert done.outcome == "rolled_back", done.output
    assert site.live() == good and site.client().health()["release"] == good
    if site.state == "shared":
        wait_until(lambda: any("which no longer serves, was stopped" in path.read_text() for path in site.watch_logs()))


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
