"""The real playbooks with a proxy that speaks TLS to everybody but the checks."""

from __future__ import annotations

import re

import pytest
import requests
from support.certificates import Authority
from support.traffic import Traffic
from support.waiting import HANG

pytestmark = pytest.mark.xdist_group("tls")

RATE = 20


@pytest.fixture(scope="module")
def prepared(site, free_port, tmp_path_factory):
    """A site with a certificate, an application that knows its public address only, and v1 live."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    site.ca, (site.public, standby, checks) = authority.ca, [free_port() for _port in range(3)]
    site.operator.settings.update(
        mobius_proxy_port=site.public,
        mobius_standby_port=standby,
        mobius_proxy_certificate=authority.certificate("127.0.0.1"),
        mobius_proxy_check_port=checks,
        mobius_smoke_after_switch="suite",
        mobius_service_environment={"MOBIUS_CORS_ORIGINS": f"https://127.0.0.1:{site.public}"},
    )
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    assert site.play("setup").changed() == 0, site.outputs[-1]
    assert site.deploy("v1").outcome == "deployed", site.outputs[-1]
    site.first = site.live()
    return site


@pytest.fixture
def secured(prepared):
    """That site, with v1 live whatever a test before has left."""
    if prepared.live() != prepared.first:
        assert prepared.play("rollback", mobius_release_id=prepared.first).outcome == "rolled_back", prepared.outputs[-1]
    return prepared


def test_deploys_and_rollbacks_lose_nothing_over_https(secured):
    site, first = secured, secured.live()
    with Traffic(site.public, site.secret(), RATE, ca=site.ca) as traffic:
        deployed = site.deploy("v2")
        assert deployed.outcome == "deployed", deployed.output
        back = site.play("rollback", mobius_release_id=first, mobius_rollback_watch_duration="2")
        assert back.outcome == "rolled_back", back.output
    print(f"\n{traffic.figures()}")
    assert traffic.failed() == [] and traffic.samples[-1].release in ("", site.live()) and site.live() == first
    assert len({sample.release for sample in traffic.samples if sample.release}) == 2


def test_all_that_checks_is_well(secured):
    for playbook, outcome in (("status", "well"), ("smoke_test", "smoke_passed"), ("health", "healthy_now"), ("preflight", "ready")):
        assert secured.play(playbook).outcome == outcome, secured.outputs[-1]


def test_the_certificate_is_checked_through_the_public_address(secured, says):
    url = f"https://127.0.0.1:{secured.public}"
    trusted = secured.play("health", mobius_public_url=url, mobius_public_ca=secured.ca)
    assert (trusted.status, trusted.outcome) == (0, "healthy_now"), trusted.output
    assert len(re.findall(r"outside +normal .* 90(\.\d+)? days", trusted.output)) == 4
    soon = secured.play("health", mobius_public_url=url, mobius_public_ca=secured.ca, mobius_thresholds={"certificate_days": [100, 7]})
    assert soon.outcome == "impaired_now", soon.output
    unknown = secured.play("health", mobius_public_url=url)
    assert (unknown.status, unknown.outcome) == (2, "unhealthy_now"), unknown.output


def test_the_public_gets_no_clear_text(secured):
    answer = requests.get(
        f"https://127.0.0.1:{secured.public}/", verify=secured.ca, timeout=HANG, headers={"Origin": f"https://127.0.0.1:{secured.public}"}
    )
    assert answer.status_code == 200 and answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{secured.public}/health", timeout=HANG)
