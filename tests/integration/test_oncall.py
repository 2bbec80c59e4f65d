"""Who is on call, and incidents that reach people, by the playbooks."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._target import incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

CONTACTS = {
    "channels": {"phone": {"fallback": "room"}, "room": {}},
    "people": {"anna": {"name": "Anna Berg", "channels": ["phone"]}, "bert": {"name": "Bert Holm", "channels": ["room"]}},
}
ONCALL = {"sre": {"people": ["anna", "bert"], "weekday": "monday", "time": "09:00", "time_zone": "Europe/Berlin", "start": "2026-11-02"}}
ESCALATION = {"1": [{"after": 0, "notify": ["sre"]}, {"after": 15, "notify": ["room"]}]}
PEOPLE = {"mobius_contacts": CONTACTS, "mobius_oncall": ONCALL, "mobius_escalation": ESCALATION}


def test_contacts_are_shown_and_mistakes_are_refused_before_a_setup(bare, says):
    result = bare.play("contacts", mobius_oncall_at="2026-11-03 12:00", **PEOPLE)
    assert (result.status, result.outcome, result.changed()) == (0, "on_call", 0), result.output
    assert says(result, "On call: sre: Anna Berg until Mon 2026-11-09 09:00 CET, then Bert Holm."), result.output
    assert result.stats["mobius_on_call"] == {"sre": "anna"}

    sentence = "mobius_escalation.1[0].notify: 'cto' is not a schedule, person or channel. Use one of anna, bert, phone, room, sre"
    wrong = {**PEOPLE, "mobius_escalation": {"1": [{"notify": ["cto"]}]}}
    result = bare.play("contacts", **wrong)
    assert (result.status, result.outcome) == (2, "nobody_on_call") and says(result, sentence), result.output
    before = bare.tree()
    result = bare.play("setup", **wrong)
    assert (result.status, result.outcome) == (2, "failed") and says(result, sentence), result.output
    assert bare.tree() == before


@pytest.fixture
def receiver():
    """A receiver of messages: its port, what it got, and its status, which tests change."""

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.got.append((self.path, body["title"], self.headers["Idempotency-Key"]))
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_incident_reaches_people_until_it_is_acknowledged(bare, receiver, says):
    password = "zeKr1t-of-the-receiver"
    urls = {name: f"json://ops:{password}@127.0.0.1:{receiver.server_address[1]}/{name}" for name in ("phone", "room")}
    chain = {"1": [{"after": 0, "notify": ["room"]}, {"after": 15, "notify": ["phone"]}]}
    assert bare.play("setup", "-vvv", mobius_notify_urls=urls, **{**PEOPLE, "mobius_escalation": chain}).outcome == "set_up"
    assert bare.play("escalate").outcome == "quiet"
    name = incidents.open_incident(Layout(str(bare.root)), {"title": "Renders fail", "severity": 2, "env": "local"})["id"]

    receiver.status = 503
    result = bare.play("escalate", "-vvv")
    assert (result.status, result.outcome) == (2, "not_delivered"), result.output
    assert says(result, f"Not delivered yet: {name} level 1 room (the receiver refused it with HTTP status 503, tried 1 times).")
    receiver.status = 200
    result = bare.play("escalate", mobius_notify_to=["phone"])
    assert (result.status, result.outcome) == (2, "not_delivered") and len(result.stats["mobius_messages_sent"]) == 1, result.output
    assert [each[:2] for each in receiver.got] == [
        ("/room", "SEV2 high: Renders fail (local, localhost)"),
        ("/phone", "A test of this channel"),
    ]

    result = bare.play("escalate", mobius_acknowledge=name, mobius_why="mine")
    assert (result.status, result.outcome) == (0, "acknowledged"), result.output
    assert says(result, f"{name} is acknowledged. No message was due. 1 not needed any more.")
    assert bare.incidents()[-1]["acknowledged"]["why"] == "mine" and len(receiver.got) == 2
    assert (bare.play("escalate").outcome, len(receiver.got)) == ("quiet", 2)
    result = bare.play("escalate", mobius_acknowledge="INC-1")
    assert (result.status, result.outcome) == (2, "not_delivered") and says(result, "INC-1: this host has no such incident."), result.output
    assert password not in "".join(bare.outputs) + (bare.root / "state" / "history.jsonl").read_text()
