"""Who is on call, by the playbook."""
from __future__ import annotations

CONTACTS = {"channels": {"phone": {"fallback": "room"}, "room": {}}, "people": {"anna": {"name": "Anna Berg", "channels": ["phone"]},
                                                                              "bert": {"name": "Bert Holm", "channels": ["room"]}}}
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
