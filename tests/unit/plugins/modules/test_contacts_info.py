# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is on call, through the module."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.modules import contacts_info

CONTACTS = {
    "channels": {"phone": {"fallback": "mail"}, "mail": {}},
    "people": {"anna": {"name": "Anna Berg", "channels": ["phone"]}, "bert": {"name": "Bert Holm"}},
}
ONCALL = {"sre": {"people": ["anna", "bert"], "time_zone": "Europe/Berlin", "start": "2026-11-02"}}
ESCALATION = {"1": [{"after": 0, "notify": ["sre"]}, {"after": 15, "notify": ["mail"]}], "3": [{"after": 120, "notify": ["sre"]}]}
ALL = {"contacts": CONTACTS, "oncall": ONCALL, "escalation": ESCALATION}


def test_who_is_on_call_and_until_when(run_module):
    result = run_module(contacts_info, {**ALL, "at": "2026-11-03T12:00:00Z"})
    assert result["reachable"] and not result["changed"]
    assert result["message"] == "On call: sre: Anna Berg until Mon 2026-11-09 09:00 CET, then Bert Holm."
    assert result["oncall"] == [
        {
            "schedule": "sre",
            "person": "anna",
            "name": "Anna Berg",
            "channels": ["phone"],
            "then": "bert",
            "until": "2026-11-09T08:00:00Z",
            "until_local": "Mon 2026-11-09 09:00 CET",
        }
    ]
    assert [(each["severity"], each["level"], each["after"], each["channels"]) for each in result["levels"]] == [
        (1, 1, 0, ["phone"]),
        (1, 2, 15, ["mail"]),
        (3, 1, 120, ["phone"]),
    ]
    assert result["page"] == "\n".join(
        [
            "On call",
            "  schedule  person     until                     then       channels",
            "  sre       Anna Berg  Mon 2026-11-09 09:00 CET  Bert Holm  phone",
            "Escalation",
            "  severity  level  after    notify  reaches now",
            "  1         1      0 min    sre     phone",
            "  1         2      15 min   mail    mail",
            "  3         1      120 min  sre     phone",
        ]
    )


def test_a_chain_that_reaches_nobody_is_told(run_module):
    result = run_module(contacts_info, {**ALL, "at": "2026-11-10 12:00"})
    assert not result["reachable"] and result["page"].count("nobody: skipped at once") == 2
    assert result["message"] == (
        "On call: sre: Bert Holm until Mon 2026-11-16 09:00 CET, then Anna Berg. Severity 3 reaches nobody. "
        "Add a level that always reaches a channel."
    )
    result = run_module(contacts_info, {**ALL, "at": "2026-10-10 12:00"})
    assert result["message"].startswith("On call: sre: nobody until Mon 2026-11-02 09:00 CET. Severity 3 reaches nobody.")


def test_without_settings_nobody_is_called(run_module):
    result = run_module(contacts_info, {})
    assert not result["reachable"] and result["message"].startswith("No escalation chain is set: an incident calls nobody.")
    assert result["page"] == "On call\n  none\nEscalation\n  none"


def test_chains_without_a_schedule(run_module):
    result = run_module(contacts_info, {"contacts": CONTACTS, "escalation": {"1": [{"notify": ["mail"]}], "4": []}})
    assert result["reachable"] and result["message"] == "No schedule is set; the chains name people and channels."


def test_a_rotation_without_an_end(run_module):
    one = {"sre": {**ONCALL["sre"], "people": ["anna"]}}
    result = run_module(contacts_info, {**ALL, "oncall": one, "at": "2026-11-03 12:00"})
    assert result["message"] == "On call: sre: Anna Berg." and "  no end  -" in result["page"]


def test_a_name_adds_no_line(run_module):
    contacts = {**CONTACTS, "people": {**CONTACTS["people"], "anna": {"name": "Anna\nBerg", "channels": ["phone"]}}}
    result = run_module(contacts_info, {**ALL, "contacts": contacts, "at": "2026-11-03 12:00"})
    assert "Anna\nBerg" not in result["page"] + result["message"]


def test_mistakes_are_one_sentence(run_module):
    result = run_module(contacts_info, {**ALL, "oncall": {"sre": {**ONCALL["sre"], "people": ["carl"]}}})
    assert result["failed"] and result["msg"] == "mobius_oncall.sre.people: 'carl' is not a person. Use one of anna, bert, or add it."
    assert run_module(contacts_info, {**ALL, "at": "noon"})["msg"] == "at: 'noon' is not a time. Give one such as '2026-12-24 18:00'."
