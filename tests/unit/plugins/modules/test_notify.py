# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paging through the module, with a real receiver."""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._people import sender
from ansible_collections.mobius.ops.plugins.modules import incident, notify

PASSWORD = "zeKr1t-of-a-channel"
PEOPLE = {
    "contacts": {"channels": {"mail": {}, "room": {}}, "people": {"anna": {"channels": ["mail"]}}},
    "oncall": {"sre": {"people": ["anna"], "start": "2020-01-06"}},
    "escalation": {"2": [{"after": 0, "notify": ["sre", "room"]}, {"after": 15, "notify": ["room"]}]},
}


@pytest.fixture
def told(web):
    """What the receiver was told."""
    bodies = []
    for path in ("/mail", "/room"):
        web.answers[path] = lambda handler, body: (bodies.append({**json.loads(body), "path": handler.path}), handler.send(200))
    return bodies


@pytest.fixture
def run(run_module, host, web, told):
    """Runs the module on a host that was set up; nothing of a URL is in a result."""
    urls = {name: f"json://anna:{PASSWORD}@127.0.0.1:{web.port}/{name}" for name in ("mail", "room")}

    def run(state, check=False, **options):
        result = run_module(notify, {"root": host.root, "state": state, **options}, check=check)
        assert PASSWORD not in json.dumps({key: value for key, value in result.items() if key != "invocation"})
        return result

    run.settings = {**PEOPLE, "env": "production", "host": "web1", "urls": urls}
    return run


@pytest.fixture
def opened(run, run_module, host):
    """An incident on a host that was set up; its id."""
    assert run("configured", **run.settings)["changed"]
    return run_module(incident, {"root": host.root, "env": "production", "severity": 2, "title": "Renders fail"})["incident"]["id"]


def test_an_incident_is_paged_acknowledged_and_quiet(run, opened, run_module, host, told):
    result = run("escalated")
    assert result["changed"] and result["delivered"]
    assert result["sent"] == [f"{opened} level 1 mail", f"{opened} level 1 room"]
    assert result["message"] == f"2 messages were sent: {opened} level 1 mail and {opened} level 1 room."
    assert sorted(each["path"] for each in told) == ["/mail", "/room"]
    assert told[0]["title"].startswith("SEV2 high: Renders fail (production, web1)")
    again = run("escalated")
    assert not again["changed"] and again["message"] == "No message was due." and len(told) == 2
    run_module(incident, {"root": host.root, "env": "production", "state": "acknowledged", "id": opened})
    assert not run("escalated")["changed"]
    page = run("listed")["page"]
    assert page.splitlines()[0] == "Outbox" and page.count(" sent ") == 3 and "json://" not in page  # the heading has the word too


def test_a_failure_is_told_and_waits(run, opened, web, told):
    web.answers["/mail"] = (503, "no")
    result = run("escalated")
    assert result["changed"] and not result["delivered"] and result["waiting"] == [f"{opened} level 1 mail"]
    assert f"{opened} level 1 mail (the receiver refused it with HTTP status 503, tried 1 times). They are tried again" in result["message"]
    assert "the receiver refused it with HTTP status 503" in run("listed")["page"]


def test_check_mode_pages_nobody(run, opened, told, snapshot, host):
    before = snapshot(host.root)
    assert not run("escalated", check=True)["changed"] and not run("sent", check=True, to=["mail"], title="x")["changed"]
    assert run("configured", check=True, **{**run.settings, "link": "https://x"})["changed"]
    assert snapshot(host.root) == before and told == []


def test_check_mode_before_the_first_setup(run_module, tmp_path, run):
    result = run_module(notify, {**run.settings, "root": str(tmp_path / "new"), "state": "configured"}, check=True)
    assert result["changed"] and not (tmp_path / "new").exists()
    assert not run_module(notify, {"root": str(tmp_path / "new"), "state": "configured"}, check=True)["changed"]
    assert "a host that was set up" in run_module(notify, {"root": str(tmp_path / "new"), "state": "listed"}, check=True)["msg"]


def test_a_test_message(run, opened, told):
    result = run("sent", to=["room"], title="A test", body="of this channel")
    assert result["delivered"] and len(result["sent"]) == 3  # what waited was sent too
    (each,) = [one for one in told if one["title"] == "A test"]
    assert each["message"].splitlines()[0] == "of this channel"


def test_without_apprise_setup_warns_and_messages_wait(run, opened, monkeypatch, host, told):
    monkeypatch.setattr(sender, "_installed", lambda: False)
    run("configured", **run.settings)
    result = run("escalated")
    assert result["failed"] and "so messages wait. Install it: apt-get install apprise, or pip install apprise." in result["msg"]
    assert len([name for name in os.listdir(host.layout.path("state", "outbox")) if name.count(".") == 3]) == 2
    monkeypatch.undo()
    assert len(run("escalated")["sent"]) == 2 and len(told) == 2


@pytest.mark.parametrize(
    "state, options, words",
    [
        ("escalated", {}, "messages: this host has no contacts. Set mobius_contacts and mobius_escalation, and run the playbook"),
        ("configured", {"contacts": {"a": 1}}, "mobius_contacts: 'a' is not a key. Use people, channels."),
        ("configured", {**PEOPLE, "env": "e", "host": "h", "urls": {"mail": PASSWORD}}, "the value of mail is not a URL"),
        ("sent", {"to": ["mail"]}, "this host has no contacts"),
    ],
)
def test_mistakes(run, state, options, words):
    assert words in run(state, **options)["msg"]


def test_the_warning_without_apprise(run, monkeypatch):
    monkeypatch.setattr(sender, "_installed", lambda: False)
    assert sender.missing()[0] in json.dumps(run("configured", **run.settings))
