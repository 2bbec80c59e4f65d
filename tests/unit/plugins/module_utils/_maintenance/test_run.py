"""A run: no step keeps the others from running, one incident a cause, and what is kept for the next run."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs, locks
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import bounded, state
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import run as maintenance_run
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.findings import Cause, Found
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.run import Step
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


@pytest.fixture
def steps(monkeypatch):
    """Sets the steps of the weekly list, by their names."""

    def put(**works):
        monkeypatch.setitem(maintenance_run.STEPS, "weekly", tuple(Step(name, name, work) for name, work in works.items()))

    return put


def done(_context):
    return Found("done", "It is well.")


def broken(_context):
    raise StateError("npm", "an answer", "none", "Look at it")


def statuses(report):
    return {step.name: step.status for step in report.steps}


def test_a_step_that_hangs_fails_or_dies_keeps_no_other_from_running(patient, steps, monkeypatch):
    monkeypatch.setattr(bounded, "GRACE", 0.2)
    steps(first=done, hangs=lambda _context: time.sleep(1000), fails=broken, dies=lambda _context: os._exit(3), last=done)
    report, told = patient.run("weekly", step_timeout=2)
    assert statuses(report) == {"first": "done", "hangs": "failed", "fails": "failed", "dies": "failed", "last": "done"} and not report.well
    assert told["fails"].text == "The step was not taken: npm: expected an answer, found none. Look at it."
    assert "expected an end within 2 s" in told["hangs"].text and "its process ended" in told["dies"].text
    assert [one["cause"] for one in patient.incidents()] == ["maintenance step_hangs", "maintenance step_fails", "maintenance step_dies"]
    assert report.message.startswith("Weekly maintenance: 2 of 5 steps done. Failed, hangs: ") and report.message.endswith(".")


def test_a_cause_opens_one_incident_and_only_a_grave_one_opens_another_when_that_is_closed(patient, steps):
    steps(
        look=lambda _context: Found(
            "attention",
            "Both.",
            (),
            (Cause("grave", 2, "It is grave. Mend it.", ("a",)), Cause("mild", 3, "It is mild.", ("a",)), Cause("nothing", 0, "Nothing.")),
        )
    )
    first, _told = patient.run("weekly")
    second, told = patient.run("weekly")
    assert first.incidents == second.incidents and len(patient.incidents()) == 2
    assert [(cause.name, cause.new, bool(cause.incident)) for cause in told["look"].causes] == [
        ("grave", False, True),
        ("mild", False, True),
        ("nothing", False, False),
    ]
    assert patient.incidents()[0]["title"] == "Maintenance: It is grave"
    for record in patient.incidents():
        incidents.change(patient.layout, record["id"], "resolved", why="mended")
    third, _told = patient.run("weekly")
    assert len(third.incidents) == 1 and patient.incidents()[-1]["cause"] == "maintenance grave"
    steps(look=lambda _context: Found("attention", "Other.", (), (Cause("other", 2, "It is grave.", ("a",)),)))
    assert patient.run("weekly", fleet="2026-11-27 web1 web2")[0].incidents[0].startswith("INC-20261127-F")
    steps(look=lambda _context: Found("attention", "More.", (), (Cause("mild", 3, "It is mild.", ("a", "b")),)))
    assert len(patient.run("weekly")[0].incidents) == 1


def test_a_run_that_is_ended_midway_has_opened_its_incidents(patient, steps, monkeypatch):
    mild = Found("attention", "It is mild.", (), (Cause("mild", 3, "It is mild.", ("a",)),))
    steps(look=lambda _context: mild, ends=done)
    call = bounded.call

    def ended(work, seconds, meter, name):
        if name == "ends":
            raise KeyboardInterrupt
        return call(work, seconds, meter, name)

    monkeypatch.setattr(bounded, "call", ended)
    with pytest.raises(KeyboardInterrupt):
        patient.run("weekly")
    assert [one["cause"] for one in patient.incidents()] == ["maintenance mild"]
    assert patient.context().before("look") == {"cause:mild:a"}


def test_a_damaged_incident_is_passed_over(patient, steps):
    steps(look=lambda _context: Found("attention", "It is grave.", (), (Cause("grave", 2, "It is grave.", ("a",)),)))
    fs.write_text(patient.layout.path("incidents", "INC-20261127-1.json"), "{")
    assert len(patient.run("weekly")[0].incidents) == 1


def test_what_is_new_is_told_by_what_the_last_run_has_seen(patient, steps):
    seen = ["a"]
    steps(
        look=lambda context: Found(
            "done", ",".join(sorted(context.before("look"))), seen=tuple(seen), figures={"x_bytes": float(len(seen))}
        )
    )
    assert patient.run("weekly")[1]["look"].text == ""
    seen.append("b")
    told = patient.run("weekly")[1]["look"]
    assert told.text == "a" and told.trend.endswith(": x 1 B -> 2 B.") and [point[1] for point in told.figures["x_bytes"]] == [1.0, 2.0]
    assert patient.run("weekly")[1]["look"].trend.endswith(": unchanged.")


def test_a_step_that_was_not_taken_forgets_nothing(patient, steps):
    steps(look=lambda _context: Found("done", "", seen=("a",)))
    patient.run("weekly")
    steps(look=broken)
    patient.run("weekly")
    assert "a" in state.load(patient.layout)[0].seen("look")


def test_every_run_adds_a_sample_of_the_disk_a_line_to_the_history_and_its_time(patient, steps):
    steps(look=done)
    report, _told = patient.run("weekly")
    past = state.load(patient.layout)[0]
    assert len({one.mount for one in past.samples}) == len(past.samples) >= 1 and past.samples[0].used > 0
    assert maintenance_run.last(patient.layout) == {"weekly": report.started}
    event = patient.host.history()[-1]
    assert (event["what"], event["why"], event["done"], event["attention"], event["failed"]) == ("maintenance", "weekly", 1, 0, 0)
    assert stat.S_IMODE(os.stat(report.page).st_mode) == 0o640


def test_secrets_of_env_are_hidden(patient, steps, secret):
    cause = Cause("leak", 3, f"It says {secret}.", ())
    steps(look=lambda _context: Found("attention", f"It says {secret}.", (f"line {secret}",), (cause,)))
    report, told = patient.run("weekly")
    assert secret not in repr(report) and re.fullmatch(r"It says \*+\.", told["look"].text)
    assert not patient.host.files_with(secret)


def test_a_page_that_cannot_be_written_is_a_warning(patient, steps):
    steps(look=done)
    os.rmdir(patient.layout.reports)
    report, _told = patient.run("weekly")
    assert report.page == "" and "the page was not written: No such file or directory." in report.warnings[0] and report.well


def test_check_mode_takes_no_step(patient):
    report = maintenance_run.run(patient.layout, patient.request("quarterly"), check=True)
    assert set(statuses(report).values()) == {"planned"} and report.message == "5 steps would be taken."
    assert not os.path.exists(state.path(patient.layout)) and os.listdir(patient.layout.reports) == []


def test_damaged_figures_are_said_on_the_page(patient, steps):
    steps(look=done)
    fs.write_text(state.path(patient.layout), "{")
    report, _told = patient.run("weekly")
    assert "trends begin with this run" in report.warnings[0] and "trends begin with this run" in open_text(report.page)


def open_text(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def test_another_run_is_awaited_and_then_given_up(patient, steps, monkeypatch):
    steps(look=done)
    lock = patient.layout.path("state", "maintenance.lock")
    with locks.locked(lock):
        monkeypatch.setattr(maintenance_run, "WAIT", 0.1)
        with pytest.raises(StateError, match=r"maintenance: expected another run to end within .* h, found none. Wait for it, or end it."):
            patient.run("weekly")
    monkeypatch.undo()
    steps(look=done)
    held, go = threading.Event(), threading.Event()

    def hold():
        with locks.locked(lock):
            held.set()
            go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    threading.Timer(0.1, go.set).start()
    assert patient.run("weekly")[0].well
    holder.join()


def test_steps_of_another_cadence_are_refused(patient):
    with pytest.raises(InputError, match=r"steps of weekly: expected some of log_patterns, .*, found 'cost'\. Correct mobius_"):
        patient.run("weekly", steps=["cost"])


def test_a_host_that_was_not_set_up_is_refused(patient, tmp_path):
    with pytest.raises(StateError, match=r"Run the playbook mobius.ops.setup first"):
        maintenance_run.run(Layout(str(tmp_path / "nothing")), patient.request("weekly"))


def test_each_tick_box_of_the_runbook_is_a_step():
    assert {cadence: len(steps) for cadence, steps in maintenance_run.STEPS.items()} == {"weekly": 5, "monthly": 5, "quarterly": 5}
    titles = [step.title for steps in maintenance_run.STEPS.values() for step in steps]
    assert titles == [
        "Review monitoring logs for patterns",
        "Check disk space usage",
        "Verify backup integrity",
        "Update dependencies if needed",
        "Review and rotate log files",
        "Performance analysis and optimization",
        "Security patch review and application",
        "Capacity planning review",
        "Documentation updates",
        "Disaster recovery test",
        "Full system backup and restore test",
        "Security audit",
        "Performance benchmarking",
        "Infrastructure cost review",
        "Team training updates",
    ]


PROGRAM = """
import json, sys
sys.modules["ansible"] = None  # any import of it fails
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import run
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.request import Request
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
report = run.run(Layout(sys.argv[1]), Request.read(json.loads(sys.argv[2])))
print(json.dumps([report.message, report.page]))
"""


def test_a_timer_needs_nothing_of_ansible(patient):
    request = {"cadence": "weekly", "env": "test", "steps": ["log_rotation", "disk_space"], "thresholds": {"disk_pct": [100, 100]}}
    where = __file__.partition("/tests/unit/")[0]
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, patient.layout.root, json.dumps(request)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{where}/.build/collections"},
    )
    assert done.returncode == 0, done.stderr
    message, page = json.loads(done.stdout)
    assert message.startswith("Weekly maintenance: ") and os.path.getsize(page) > 1000
