"""Timers by the playbook, where there are none: what it says, and what the status shows. With timers: molecule, test_timers.py."""

from __future__ import annotations


def test_mistakes_are_refused_and_the_status_shows_that_nothing_is_scheduled(bare, says):
    assert bare.play("setup").outcome == "set_up"
    before = bare.tree()
    result = bare.play("schedule", mobius_schedule={"bakup": "daily"})
    assert (result.status, result.outcome, result.changed()) == (2, "not_scheduled", 0), result.output
    assert says(result, "mobius_schedule: 'bakup' is no job. Use some of backup, verify, escalate, weekly, monthly"), result.output
    result = bare.play("schedule", mobius_schedule_state="absent")
    assert (result.status, result.outcome, result.changed()) == (0, "unscheduled", 0), result.output
    assert says(result, "Nothing is scheduled.") and bare.tree() == before
    assert says(bare.play("status"), "none; mobius.ops.schedule installs timers")
