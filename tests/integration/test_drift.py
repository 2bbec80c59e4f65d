# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings and secrets that changed after the start: who reports them, and what applies them."""

from __future__ import annotations

import pytest
from support.traffic import Traffic

LACKING = "Restart needed: the running process does not have the current {}. Run: ansible-playbook mobius.ops.restart."
KEY = "rotated-key-of-the-test"


def rotate(site, **settings):
    """Another key, beside the one that clients have, and other settings; setup brings them to the host."""
    keys = {"MOBIUS_API_KEYS": f"{site.secret()},{KEY}", "API_KEY": site.secret()}
    site.operator.settings.update(mobius_dotenv=keys, **settings)
    return site.play("setup")


def test_a_rotated_key_is_reported_until_the_restart(served, says):
    done = rotate(served, mobius_stop_timeout=7)
    lacking = LACKING.format("MOBIUS_API_KEYS and mobius_stop_timeout")
    assert done.outcome == "set_up" and says(done, lacking), done.output
    for playbook, outcome in (("status", "well"), ("setup", "set_up")):
        done = served.play(playbook)
        assert (done.outcome, done.changed()) == (outcome, 0) and says(done, lacking), done.output
    pid = served.service()["pid"]
    done = served.deploy("v1")
    assert (done.outcome, done.status, served.service()["pid"]) == ("unchanged", 0, pid), done.output
    assert says(done, "nothing was changed. This deploy does not apply changed settings. " + lacking), done.output
    done = served.play("restart")
    assert done.outcome == "restarted" and says(done, "downtime"), done.output
    done = served.play("status")
    assert done.outcome == "well" and "Restart needed" not in done.output, done.output
    assert "path in the release" in done.output and "shared/uploads/.root" in done.output, done.output
    assert says(done, f"Application folder: {served.root}/app"), done.output
    assert all(KEY not in output and served.secret() not in output for output in served.outputs)


@pytest.mark.parametrize("proxied", ["exclusive", "shared"], indirect=True)
def test_deploying_the_live_version_behind_the_proxy_applies_them(proxied, says):
    site = proxied
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    assert site.deploy("v2").outcome == "deployed", site.outputs[-1]
    assert says(rotate(site), LACKING.format("MOBIUS_API_KEYS")), site.outputs[-1]
    with Traffic(site.port, site.secret(), 20) as traffic:
        traffic.flow()
        done = site.deploy("v2", "--check")
        assert done.outcome == "unchanged" and says(done, "it would be restarted without a lost request"), done.output
        done = site.deploy("v2")
        assert done.outcome == "unchanged", done.output
        assert says(done, "it was restarted without a lost request, so that it has the current MOBIUS_API_KEYS."), done.output
        again = site.deploy("v2")
        assert (again.outcome, again.changed()) == ("unchanged", 0) and says(again, "nothing was changed."), again.output
        traffic.flow()
        done = site.play("restart")
        assert done.outcome == "restarted" and says(done, "no request was lost"), done.output
        traffic.flow()
    assert traffic.failed() == []
    done = site.play("status")
    assert done.outcome == "well" and "<- serves" in done.output and "Restart needed" not in done.output, done.output
    site.operator.settings["mobius_dotenv"] = {"MOBIUS_API_KEYS": "", "API_KEY": site.secret()}
    site.play("setup")
    done = site.deploy("v2")
    assert (done.outcome, done.status) == ("failed", 2), done.output
    assert says(done, "could not be restarted with the current MOBIUS_API_KEYS: ") and says(done, "Nothing was stopped"), done.output
    assert site.client().health()["release"] == site.live() and not (site.root / "state/lock/deploy.json").exists()
