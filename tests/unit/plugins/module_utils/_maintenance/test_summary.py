# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The summary of a run as one message, to a real receiver."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import run as maintenance_run
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import summary
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.findings import Cause, Found
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.run import Step
from ansible_collections.mobius.ops.plugins.module_utils._people import outbox, plan, sender, service

CHAINS = {"1": [{"after": 0, "notify": ["phone"]}], "4": [{"after": 0, "notify": ["tracker"]}, {"after": 60, "notify": ["phone"]}]}
WELL = Found("done", "It is well.")
LATE = Found("attention", "It is late.", ("yesterday",), (Cause("late", 0, "It is late."),))
GRAVE = Found("attention", "It is grave.", (), (Cause("grave", 2, "It is grave.", ("a",)),))


class Receiver:
    """What each channel got, and which of them refuse."""

    def __init__(self, web):
        self.web, self.got, self.down = web, [], set()
        for name in ("phone", "tracker"):
            web.answers[f"/{name}"] = lambda handler, body, name=name: self.take(handler, name, json.loads(body))

    def take(self, handler, name, body):
        if name not in self.down:
            self.got.append((name, body["title"], body["message"], handler.headers["Idempotency-Key"]))
        handler.send(503 if name in self.down else 200)

    def titles(self):
        return [(name, title) for name, title, _body, _key in self.got]


@pytest.fixture
def receiver(web):
    return Receiver(web)


@pytest.fixture
def contacts(patient, receiver):
    """Sets the chains of the host; its channels are a phone and a tracker."""

    def put(chains=CHAINS):
        urls = {name: f"{patient.web.base.replace('http', 'json')}/{name}" for name in ("phone", "tracker")}
        plan.configure(
            patient.layout,
            {
                "contacts": {"channels": {key: {} for key in urls}},
                "oncall": {},
                "escalation": chains,
                "env": "test",
                "host": "web1",
                "link": "",
                "urls_file": "",
            },
            urls,
            False,
        )

    put()
    return put


@pytest.fixture
def take(patient, monkeypatch):
    """Takes steps that find something, by their names; the report."""

    def run(request=None, **found):
        monkeypatch.setitem(
            maintenance_run.STEPS,
            "weekly",
            tuple(Step(name, name.capitalize(), lambda _context, found=found: found) for name, found in found.items()),
        )
        return patient.run("weekly", **(request or {}))[0]

    return run


def test_a_run_ends_with_one_message_to_the_first_level_of_severity_4(patient, contacts, receiver, take):
    report = take(look=WELL, wait=LATE, check=GRAVE)
    page = patient.layout.path("reports", "maintenance-weekly.html")
    (message,) = [one for one in receiver.got if one[0] == "tracker"]
    assert message[1] == "Weekly maintenance: 2 steps need attention (test, web1)"
    assert message[2].splitlines() == [
        "Attention: Wait: It is late.",
        "Attention: Check: It is grave.",
        "Done: Look",
        f"Incidents: {report.incidents[0]}",
        "Next: ansible-playbook mobius.ops.incidents -l web1",
        f"Page: {page} on web1",
        f"Key: {message[3]}",
    ]
    assert (report.summary_sent, report.warnings) == (("tracker",), ())
    assert ("phone", "SEV2 high: Maintenance: It is grave (test, web1)") in receiver.titles()  # its incident is paged at once, too
    before = len(receiver.got)
    assert service.escalated(patient.layout)[1]["sent"] == [] and len(receiver.got) == before


@pytest.mark.parametrize(
    ("when", "found", "sent"), [("always", WELL, True), ("attention", WELL, False), ("attention", LATE, True), ("never", LATE, False)]
)
def test_when_it_is_sent(contacts, receiver, take, when, found, sent):
    report = take({"summary": when}, look=found)
    assert bool(report.summary_sent) == bool(receiver.got) == sent and not report.warnings


def test_what_a_run_without_findings_says(contacts, receiver, take, patient):
    take(look=WELL)
    ((_name, title, body, _key),) = receiver.got
    assert title == "Weekly maintenance: all is well (test, web1)" and "Next: " not in body and body.startswith("Done: Look\nPage: ")


def test_a_step_that_failed_comes_first(contacts, receiver, take):
    take({"summary_to": ["tracker"]}, wait=LATE, broken=Found("failed", "It broke."))
    ((_name, title, body, _key),) = receiver.got
    assert title == "Weekly maintenance: 1 step failed, 1 step needs attention (test, web1)"
    assert body.splitlines()[:3] == [
        "Failed: Broken: It broke.",
        "Attention: Wait: It is late.",
        "Next: ansible-playbook mobius.ops.maintenance -l web1 -e mobius_cadence=weekly",
    ]


def test_who_gets_it_is_a_setting(contacts, receiver, take):
    assert take({"summary_to": ["phone", "tracker"]}, look=WELL).summary_sent == ("phone", "tracker")
    assert sorted(name for name, _title in receiver.titles()) == ["phone", "tracker"]


@pytest.mark.parametrize("chains", [{"1": CHAINS["1"]}, {**CHAINS, "4": []}])
def test_without_a_chain_of_severity_4_nobody_is_disturbed(contacts, receiver, take, chains):
    contacts(chains)
    report = take(look=LATE)
    assert (report.summary_sent, report.warnings, receiver.got) == ((), (), [])


def test_a_host_without_contacts_sends_none(patient, receiver, take):
    report = take(look=LATE)
    assert (report.summary_sent, report.warnings) == ((), ())
    report = take({"summary_to": ["phone"]}, look=LATE)
    assert report.warnings[0].startswith("The summary was not sent: messages: this host has no contacts. Set mobius_contacts")


def test_a_receiver_that_is_down_gets_it_later_with_the_same_key(patient, contacts, receiver, take):
    receiver.down = {"tracker"}
    report = take({"summary_to": ["tracker", "phone"]}, look=WELL)
    assert report.summary_sent == ("phone",) and len(receiver.got) == 1
    assert report.warnings == ("The summary waits for tracker (the receiver refused it with HTTP status 503), and is tried again.",)
    box = outbox.Outbox(patient.layout)
    (waiting,) = [each for each in map(box.read, box.names()) if each.channel == "tracker"]
    box.save(dataclasses.replace(waiting, next=waiting.due))
    receiver.down = set()
    service.escalated(patient.layout)
    assert [one for one in receiver.got if one[0] == "tracker"] == [
        ("tracker", "Weekly maintenance: all is well (test, web1)", receiver.got[-1][2], waiting.key)
    ]


def test_without_apprise_it_waits(patient, contacts, receiver, take, monkeypatch):
    monkeypatch.setattr(sender, "_installed", lambda: False)
    (warning,) = take(look=WELL).warnings
    assert warning.startswith("The summary waits for tracker, and is tried again. Apprise: ") and "apt-get install apprise" in warning
    monkeypatch.undo()
    service.escalated(patient.layout)
    assert receiver.titles() == [("tracker", "Weekly maintenance: all is well (test, web1)")]


def test_a_name_that_is_unknown_is_refused_before_a_run_and_a_warning_after_one(patient, contacts, receiver, take):
    sentence = "mobius_maintenance_summary_to: 'cto' is not a schedule, person or channel. Use one of phone, tracker."
    with pytest.raises(OpsError) as caught:
        summary.check(patient.layout, patient.request("weekly", summary_to=["cto"]))
    assert str(caught.value) == sentence
    summary.check(patient.layout, patient.request("weekly", summary_to=["phone"]))
    report = take({"summary_to": ["cto"]}, look=WELL)
    assert report.warnings == (f"The summary was not sent: {sentence}",) and not receiver.got and os.path.isfile(report.page)


def test_values_of_env_are_hidden_in_it(patient, contacts, receiver, take, secret):
    take(look=Found("attention", f"It says {secret}."))
    assert receiver.got and secret not in json.dumps(receiver.got)


def test_a_wrong_moment_is_refused(patient):
    with pytest.raises(OpsError, match=r"expected always, attention or never, found 'sometimes'\. Correct mobius_maintenance_summary\."):
        patient.request("weekly", summary="sometimes")
