# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What operators read of jobs: failed, killed, overdue, skipped."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._schedule import overview, record
from ansible_collections.mobius.ops.plugins.module_utils._target import records

NOON = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.timezone.utc)


def ago(hours):
    return clock.iso(NOON - datetime.timedelta(hours=hours))


@pytest.fixture
def row(host):
    """The row of a nightly backup whose last run has these facts."""

    def make(since=1000, **facts):
        planned = record.Planned("daily", 86400.0, ago(since), {})
        record.save(host.layout, record.Schedule("production", "mobius", "none", {"backup": planned}))
        if facts:
            record.note(
                host.layout,
                record.Run(
                    **{
                        "job": "backup",
                        "began": ago(10),
                        "ended": ago(10),
                        "good": True,
                        "last_good": ago(10),
                        "outcome": "backed_up",
                        "message": "a.zip.",
                        "seconds": 3.0,
                        "status": 0,
                        **facts,
                    }
                ),
            )
        [found] = overview.rows(host.layout, records.Findings(), NOON)
        return found

    return make


@pytest.mark.parametrize(
    "facts, state, sentence",
    [
        ({"since": 1}, "scheduled", "1 job is scheduled: backup."),
        ({"outcome": "backed_up"}, "done", "1 job is scheduled: backup."),
        ({"good": None, "outcome": "skipped"}, "skipped", "1 job is scheduled: backup."),
        ({"good": False, "outcome": "failed", "message": "no room."}, "failed", "The job backup failed: no room."),
        (
            {"ended": None, "pid": 99999999, "ticks": 7, "message": ""},
            "killed",
            "The job backup was killed. Look at: journalctl -u '*-backup.service'",
        ),
        ({"since": 40}, "overdue", "The job backup is overdue: it last did its work never. Look at: systemctl list-timers."),
        ({"last_good": ago(40)}, "overdue", f"The job backup is overdue: it last did its work {ago(40)}. Look at: systemctl list-timers."),
        ({"last_good": ago(40), "since": 2}, "done", "1 job is scheduled: backup."),  # it was scheduled anew
    ],
)
def test_each_state_has_its_sentence(row, facts, state, sentence):
    found = row(**facts)
    assert (found.state, found.good) == (state, state in ("scheduled", "done", "skipped"))
    assert overview.sentence([found]) == sentence


def test_a_run_of_this_process_runs(host, row):
    row()
    record.note(host.layout, record.begun(host.layout, "backup", None))
    [found] = overview.rows(host.layout, records.Findings(), NOON)
    assert found.state == "running" and found.good and found.last is not None


def test_damaged_records_are_findings_and_the_rest_is_told(host, row):
    row(outcome="backed_up")
    fs.write_text(host.layout.path("state", "schedule", "backup.json"), '{"job": 7}')
    findings = records.Findings()
    [found] = overview.rows(host.layout, findings, NOON)
    assert found.state == "overdue" and "the last run of a job" in findings.told[0]
    assert overview.sentence([]) == "Nothing is scheduled."
