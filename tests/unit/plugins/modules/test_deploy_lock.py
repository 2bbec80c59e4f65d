# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module deploy_lock."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.modules import deploy_lock, release_info


@pytest.fixture
def call(run_module, host):
    """``call(check=False, **options)``: the module on a host."""
    return lambda check=False, **options: run_module(deploy_lock, {"root": host.root, **options}, check)


def test_take_renew_refuse_and_give_back(call, run_module, host):
    first = call(env="production", owner="ada", reason="deploy of v1", host="laptop")
    token = first["lock"]["token"]
    assert first["changed"] and (first["waited"], first["reclaimed"]) == (0, None) and first["diff"]["before"] == {"lock": None}
    assert call(token=token, expiry="5")["lock"]["token"] == token
    assert run_module(release_info, {"root": host.root})["lock"]["owner"] == "ada"
    refused = call(owner="bob")
    assert "ada on laptop holds it" in refused["msg"] and refused["lock"]["token"] == token
    assert "ada on laptop" in call(state="free", token="other")["msg"]
    freed = call(state="free", token=token)
    assert freed["changed"] and freed["lock"]["owner"] == "ada" and freed["diff"]["after"] == {"lock": None}
    assert not call(state="free", token=token)["changed"]
    assert run_module(release_info, {"root": host.root})["lock"] is None


def test_force_needs_a_reason_and_says_whose_it_was(call):
    assert not call(state="forced", reason="none there")["changed"]
    call(owner="ada")
    assert "a reason for its removal" in call(state="forced", reason=" ")["msg"]
    assert "holds it" in call(state="forced", reason="r", token="other")["msg"]
    forced = call(state="forced", reason="she left")
    assert forced["changed"] and forced["lock"]["owner"] == "ada"


def test_check_mode_writes_nothing_and_tells_who_holds_it(call, host, snapshot):
    before = snapshot(host.root)
    free = call(check=True, owner="bob")
    assert free["changed"] and free["lock"] is None and snapshot(host.root) == before
    token = call(owner="ada")["lock"]["token"]
    before = snapshot(host.root)
    held = call(check=True, owner="bob")
    assert not held["changed"] and held["lock"]["token"] == token and "found that ada" in held["warnings"][0]
    assert call(check=True, state="free", token=token)["changed"] and not call(check=True, state="free", token="other")["changed"]
    assert call(check=True, state="forced", reason="r")["changed"]
    assert call(check=True, token=token)["changed"]
    assert "holds it" in call(check=True, state="forced", reason="r", token="other")["msg"]
    assert snapshot(host.root) == before


@pytest.mark.parametrize("check", [False, True])
def test_available_takes_nothing_and_fails_when_somebody_else_holds_it(call, host, snapshot, check):
    before = snapshot(host.root)
    free = call(check=check, state="available")
    assert not free["changed"] and free["lock"] is None and snapshot(host.root) == before
    token = call(owner="ada", host="laptop", process="p")["lock"]["token"]
    before = snapshot(host.root)
    refused = call(check=check, state="available", owner="bob")
    assert refused["failed"] and refused["lock"]["token"] == token and refused["msg"] == call(owner="bob")["msg"]
    for own in ({"process": "p"}, {"gone": token}):
        assert not call(check=check, state="available", **own).get("failed")
    assert snapshot(host.root) == before


def test_a_damaged_record_in_check_mode(call, host):
    call(owner="ada")
    (host_lock := f"{host.root}/state/lock/deploy.json") and open(host_lock, "w").close()
    assert "the record of a deploy lock" in call(check=True)["msg"]
    assert call(check=True, state="forced", reason="r")["changed"]
    assert not call(check=True, state="free", token="t")["changed"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"root": "/no/such"}, "a host that was set up"),
        ({"state": "free"}, "the token of the lock"),
        ({"expiry": 0}, "seconds above 0"),
        ({"wait": "soon"}, "wait"),
    ],
)
def test_bad_input(call, host, snapshot, options, words):
    before = snapshot(host.root)
    assert words in call(**options)["msg"] and snapshot(host.root) == before


def test_a_folder_that_cannot_be_made_is_named(call, host):
    with open(f"{host.root}/state/lock", "w"):
        pass
    assert f"{host.root}/state/lock" in call(owner="ada")["msg"]
