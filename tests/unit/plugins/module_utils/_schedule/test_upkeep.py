# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs weekly, monthly and quarterly: the same steps as the playbook maintenance, by the program that the timer starts."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._schedule import upkeep
from ansible_collections.mobius.ops.plugins.module_utils._schedule.ended import Wanted


@pytest.mark.parametrize(("cadence", "step"), [("weekly", "disk_space"), ("monthly", "documentation"), ("quarterly", "cost")])
def test_a_cadence_takes_its_steps_and_leaves_its_page(scheduled, cadence, step):
    last = scheduled.maintain(cadence, steps=[step])
    assert last.outcome in ("all_done", "attention_needed") and last.good and "1 step" in last.message
    assert os.path.isfile(scheduled.layout.path("reports", f"maintenance-{cadence}.html"))


def test_a_step_that_fails_has_its_own_incident_and_the_job_none(scheduled):
    last = scheduled.maintain("weekly", steps=["backup_integrity"], backup_dir="/nowhere/at/all")
    assert (last.outcome, last.good, last.incident) == ("steps_failed", True, None)
    assert [cause for cause, _status in scheduled.incidents()] == ["maintenance step_backup_integrity"]


def test_a_summary_that_could_not_be_sent_is_said_by_the_job(scheduled):
    last = scheduled.maintain("weekly", steps=["log_rotation"], summary_to=["cto"])
    assert last.good and "The summary was not sent: mobius_maintenance_summary_to: 'cto' is not a schedule, person" in last.message


def test_the_job_sends_the_summary(scheduled):
    scheduled.maintain("weekly", steps=["log_rotation"], summary_to=["room"])
    assert [title for title in scheduled.told if title.startswith("Weekly maintenance: ")] == scheduled.told[-1:]


def test_a_wrong_request_is_refused_before_it_is_scheduled():
    with pytest.raises(InputError, match="certificates"):
        upkeep.request("weekly", Wanted("production", "mobius", {"maintenance": {"certificates": 5}}))
