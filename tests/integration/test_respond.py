"""Alerts by the playbook: on the real application, with people who are called."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading

import pytest
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import processes

CHAIN = {"mobius_contacts": {"channels": {"room": {}}}, "mobius_escalation": {"1": [{"after": 0, "notify": ["room"]}]}}


@pytest.fixture
def receiver():
    """A receiver of messages, with their titles."""

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            titles.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["title"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words):
            pass

    titles: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"json://127.0.0.1:{server.server_port}/", titles
        server.shutdown()


def test_what_the_policy_does_not_mend_reaches_a_person_once(served, receiver, says):
    url, titles = receiver
    assert served.play("setup", mobius_notify_urls={"room": url}, **CHAIN).outcome == "set_up"
    pid = served.service()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: processes.stat_fields(pid)[0] == "T")
    alert = {"mobius_alert": "MobiusDown", "mobius_alert_severity": "critical", "mobius_alert_text": "no answer", **CHAIN}
    result = served.play("respond", mobius_respond_policy=[], **alert)
    assert (result.status, result.outcome, result.stats["mobius_actions"]) == (2, "handed_over", []), result.output
    assert titles == [f"SEV1 critical: MobiusDown: Process {pid} was stopped (SIGSTOP) and has not gone on. (local, localhost)"]
    assert says(result, f"Incident {result.stats['mobius_incident']}. 1 message was sent"), result.output

    again = served.play("respond", **{**alert, "mobius_alert": "MobiusSlow"})
    assert (again.status, again.outcome, again.stats["mobius_incident"]) == (2, "handed_over", result.stats["mobius_incident"])
    assert len(titles) == 1 and processes.stat_fields(pid)[0] == "T" and len(served.incidents()) == 1

    (served.root / "state" / "responses.json").unlink()  # as an hour later
    mended = served.play("respond", **alert)
    assert (mended.status, mended.outcome, mended.stats["mobius_causes"]) == (0, "mended", ["stopped"]), mended.output
    refused = served.play("respond", mobius_alert="not a name")
    assert (refused.status, refused.outcome) == (2, "not_answered"), refused.output
    assert says(refused, "mobius_alert: expected 1 to 100 letters"), refused.output
