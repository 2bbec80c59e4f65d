"""The monthly and quarterly steps beside what they find in test_planted."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import monthly, packages, performance, quarterly, state, storage
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents


def write_program(tmp_path, monkeypatch, name, text):
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


# --- security patches


def test_only_what_is_new_is_shouted(patient, apt):
    apt.installed({"openssl": "1.0", "vim": "1"})
    apt.offer({"openssl": "1.1"})
    first = patient.run("monthly", steps=["security_patches"])[1]["security_patches"]
    assert first.status == "attention" and first.text.startswith("1 security patch of Debian is new: openssl 1.0 -> 1.1.")
    second = patient.run("monthly", steps=["security_patches"])[1]["security_patches"]
    assert second.status == "done" and second.text == "Nothing is new since the last run; 1 of Debian and 0 of npm are known."
    apt.offer({"openssl": "1.2", "vim": "2"})
    third = patient.run("monthly", steps=["security_patches"])[1]["security_patches"]
    assert third.text.startswith("2 security patches of Debian are new: openssl 1.0 -> 1.2, vim 1 -> 2.")


def test_patches_are_applied_when_that_is_asked_for(patient, apt):
    apt.installed({"openssl": "1.0"})
    apt.pack("openssl", "1.1")
    assert [one.told() for one in packages.patches()] == ["openssl 1.0 -> 1.1"]
    found = monthly.security_patches(patient.context("monthly", apply_patches="true"))
    assert found.status == "done" and found.text.startswith("1 security patch of Debian was applied. Nothing is new"), found
    assert "applied: openssl 1.0 -> 1.1" in found.evidence and packages.patches() == []
    with open(f"{apt.folder}/status", encoding="utf-8") as stream:
        assert "Version: 1.1" in stream.read()


def test_patches_that_cannot_be_applied_are_said_and_still_reported(patient, apt):
    apt.installed({"openssl": "1.0"})
    apt.offer({"openssl": "1.1"})
    found = monthly.security_patches(patient.context("monthly", apply_patches="true"))
    assert found.status == "attention" and "security patches: apt-get" in found.text and "1 security patch of Debian is new" in found.text


def test_lists_that_are_old_know_no_patches(patient, apt):
    old = time.time() - 20 * 86400
    for path in (f"{apt.folder}/lists", f"{apt.folder}/lists/partial"):
        os.utime(path, (old, old))
    found = monthly.security_patches(patient.context("monthly", apt_days=7))
    assert found.status == "attention" and "The lists of Debian's packages are 20 days old" in found.text
    for name in os.listdir(f"{apt.folder}/lists"):
        if os.path.isfile(f"{apt.folder}/lists/{name}"):
            os.unlink(f"{apt.folder}/lists/{name}")
    assert "were never fetched" in monthly.security_patches(patient.context("monthly")).text


def test_an_apt_that_fails_is_said(patient, apt):
    fs.write_text(f"{apt.folder}/etc/sources.list", "nonsense\n")
    assert "security patches: apt-get" in monthly.security_patches(patient.context("monthly")).text


def test_services_that_run_old_code_are_told_once(patient, apt, tmp_path, monkeypatch):
    write_program(
        tmp_path,
        monkeypatch,
        "needrestart",
        "echo 'NEEDRESTART-VER: 3.6'; echo 'NEEDRESTART-KSTA: 3'; echo 'NEEDRESTART-SVC: cron.service'",
    )
    assert packages.restarts() == (["cron.service"], True)
    first = patient.run("monthly", steps=["security_patches"])[1]["security_patches"]
    assert "An upgrade is not in effect yet, because these were not restarted: cron.service, kernel." in first.text
    assert patient.run("monthly", steps=["security_patches"])[1]["security_patches"].status == "done"
    write_program(tmp_path, monkeypatch, "needrestart", "echo broken >&2; exit 7")
    assert patient.run("monthly", steps=["security_patches"])[1]["security_patches"].status == "attention"
    assert "expected exit status 0, found 7 (broken)" in monthly.security_patches(patient.context("monthly")).text
    write_program(tmp_path, monkeypatch, "needrestart", "echo 'NEEDRESTART-SVC: cron.service'")
    third = patient.run("monthly", steps=["security_patches"])[1]["security_patches"]
    assert third.status == "done", third.text


# --- capacity


def test_too_few_samples_are_said_and_are_no_finding(patient):
    found = monthly.capacity(patient.context("monthly"))
    assert found.status == "done" and "has too few samples for a forecast: 0 of 7 days" in found.text
    assert [one["forecast"]["kind"] for one in found.details["disks"]] == ["too_few"] * len(found.details["disks"])


def test_a_disk_that_is_full_in_a_week_is_graver_and_a_steady_one_is_well(patient):
    disk = patient.samples(0)
    assert monthly.capacity(patient.context("monthly")).text.startswith(f"{disk.mount} is not going to be full within ten years.")
    patient.samples(disk.free / 3)
    [cause] = [one for one in monthly.capacity(patient.context("monthly")).causes if one.name == "disk_will_be_full"]
    assert cause.severity == 2 and cause.subjects == (disk.mount,) and "will be full in about" in cause.text


def test_opinions_that_differ_are_uncertain_and_need_attention(patient):
    disk = patient.samples(0)
    day = datetime.date.today()
    taken, used = [], float(disk.used) - 40 * disk.free / 400
    for back in range(48, 0, -1):
        used += disk.free / 400 * (1 if back % 7 else -5)
        taken.append(state.Used((day - datetime.timedelta(days=back)).isoformat(), disk.mount, int(used), disk.size))
    context = patient.context("monthly", disk_days=1)
    context = dataclasses.replace(context, past=context.past.with_samples(taken))
    found = monthly.capacity(context)
    assert found.status == "attention" and "which is uncertain: the steps of the days tell" in found.text and not found.causes


def test_figures_of_watches_are_samples_too(patient):
    disk = storage.disks(patient.context())[0]
    lines = [
        {
            "what": "host",
            "when": f"2026-11-{day:02}T05:00:00Z",
            "metrics": [{"metric": "disk_pct", "subject": disk.mount, "value": 10 + day, "unit": "%", "status": "normal"}],
        }
        for day in range(1, 9)
    ]
    fs.write_text(patient.layout.path("monitor_logs", "metrics-test-1.jsonl"), "".join(json.dumps(line) + "\n" for line in lines))
    samples = monthly.of_disk(patient.context("monthly"), disk)
    assert len(samples) == 8 and samples[0].used == pytest.approx(0.11 * disk.size) and samples[-1].day - samples[0].day == 7


# --- documentation


def test_variables_that_the_release_documents_and_env_lacks(patient):
    fs.write_text(
        os.path.join(os.path.realpath(patient.layout.current), ".env.example"), "MOBIUS_API_KEYS=\nNEEDED_URL=x\n# OPTIONAL=1\nPORT=1\n"
    )
    fs.write_text(patient.layout.env_file, "MOBIUS_API_KEYS=abcdefgh\nEXTRA=1\nOPTIONAL=2\n", 0o600)
    found = monthly.documentation(patient.context("monthly"))
    assert found.status == "attention" and found.text == ".env lacks NEEDED_URL, which the release documents. Set it in mobius_dotenv."
    assert "set in .env, and not documented by the release: EXTRA" in found.evidence


def test_another_release_than_the_one_that_should_run(patient):
    patient.host.serve()
    assert monthly.documentation(patient.context("monthly")).status == "done"
    patient.host.live("r2")
    assert [(one.name, one.severity) for one in monthly.documentation(patient.context("monthly")).causes] == [("release_drifted", 2)]


# --- the drill


def test_a_drill_that_fails_is_a_failed_step_with_its_reason(patient):
    _report, told = patient.run("monthly", steps=["recovery_test"])
    assert told["recovery_test"].status == "failed" and "found none. Make one: mobius.ops.backup" in told["recovery_test"].text
    path = patient.backup()
    assert patient.run("monthly", steps=["recovery_test"])[1]["recovery_test"].status == "done"
    with open(path, "r+b") as stream:
        stream.seek(os.path.getsize(path) // 3)
        stream.write(b"damage")
    _report, told = patient.run("monthly", steps=["recovery_test"])
    assert told["recovery_test"].status == "failed" and "failed at the step verify" in told["recovery_test"].text
    assert patient.incidents()[-1]["cause"] == "maintenance restore_failed" and len(patient.incidents()) == 1


def test_the_quarterly_backup_is_made_read_anew_and_restored(patient):
    patient.backup()
    found = quarterly.full_restore(patient.context("quarterly"))
    assert found.status == "done" and "can be restored" in found.text and found.figures["full_backup_bytes"] > 0
    assert len([name for name in os.listdir(patient.layout.backups) if name.endswith(".zip")]) == 2


def test_an_interrupted_restore_is_no_time_for_a_backup(patient):
    fs.write_text(patient.layout.path("state", "restore.swapping.json"), "{")
    with pytest.raises(OpsError, match="restore"):
        quarterly.full_restore(patient.context("quarterly"))


# --- performance


def metrics(patient, name, when, p95):
    line = {
        "what": "round",
        "when": when,
        "round": 1,
        "outcome": "ok",
        "restarts": 0,
        "evidence": [],
        "checks": [{"check": "health", "requests": 30, "ok": 30, "p50_ms": 2.0, "p95_ms": p95, "max_ms": p95}],
    }
    fs.write_text(patient.layout.path("monitor_logs", f"metrics-test-{name}.jsonl"), json.dumps(line) + "\n")


@pytest.mark.parametrize("p95, slower", [(100.0, False), (140.0, False), (160.0, True)])
def test_this_month_is_held_beside_the_last_one(patient, p95, slower):
    now = clock.now()
    metrics(patient, "a", clock.iso(now - datetime.timedelta(days=40)), 100.0)
    metrics(patient, "b", clock.iso(now - datetime.timedelta(days=4)), p95)
    found = performance.analysis(patient.context("monthly"))
    assert [(one.name, one.subjects) for one in found.causes] == ([("slower", ("health",))] if slower else [])
    assert found.evidence[0] == f"check health: p95 {p95:.1f} ms in the last 30 days, 100.0 ms in the 30 days before"


def test_a_service_that_became_slower_than_in_the_last_run(patient):
    patient.web.answers["/health"] = (200, "{}")
    options = {"checks": [{"name": "health", "url": f"{patient.web.base}/health"}], "benchmark_requests": 3, "steps": ["benchmark"]}
    assert "later runs are compared with this one" in patient.run("quarterly", **options)[1]["benchmark"].text
    patient.web.answers["/health"] = lambda answer, _body: (time.sleep(0.3), answer.send(200, "{}"))
    told = patient.run("quarterly", **options)[1]["benchmark"]
    assert told.status == "attention" and "times of the benchmark are half as long again as in the last run: health p50_ms" in told.text


def test_checks_that_write_are_not_part_of_a_benchmark(patient):
    patient.web.answers["/health"] = (200, "{}")
    checks = [{"name": "get", "url": f"{patient.web.base}/health"}, {"name": "post", "url": f"{patient.web.base}/health", "method": "POST"}]
    assert [one.name for one in performance.paces(patient.context("quarterly", checks=checks), 2)] == ["get"]
    assert [method for method, _path, _headers in patient.web.seen] == ["GET", "GET"]


def test_nothing_to_measure_is_said(patient):
    assert "Nothing tells how fast the service is" in performance.analysis(patient.context("monthly", checks=[])).text
    found = performance.benchmark(patient.context("quarterly", checks=[]))
    assert found.status == "attention" and found.figures["write_mb_per_s"] > 0 and "Set mobius_checks" in found.text


# --- cost and training


def test_storage_is_priced_and_its_growth_is_told(patient):
    first = patient.run("quarterly", steps=["cost"], storage_price="2000")[1]["cost"]
    assert first.status == "done" and "EUR a month; the largest part is" in first.text
    with open(os.path.join(patient.layout.component("uploads"), "a.bin"), "wb") as stream:
        stream.write(os.urandom(3_000_000))
    second = patient.run("quarterly", steps=["cost"])[1]["cost"]
    assert second.status == "attention" and second.text.endswith("That is a quarter more than in the last run: look at what is kept.")
    assert "the largest part is uploads, 3.0 MB" in second.text


def test_a_training_that_is_due(patient):
    incidents.open_incident(patient.layout, {"title": "It was down", "severity": 2, "env": "test"})
    found = quarterly.training(patient.context("quarterly"))
    assert found.status == "done" and "1 incident, 0 rollbacks and 0 drills" in found.text and "incident: It was down" in found.evidence
    day = (datetime.date.today() - datetime.timedelta(days=200)).isoformat()
    found = quarterly.training(patient.context("quarterly", trained=day))
    assert found.status == "attention" and "one is due every 100 days" in found.text
    assert quarterly.training(patient.context("quarterly", trained=datetime.date.today().isoformat())).status == "done"


def test_without_a_service_its_settings_cannot_be_compared(patient):
    with pytest.raises(StateError, match=r"Run the playbook mobius\.ops\.setup first"):
        monthly.documentation(patient.context("monthly", service="other"))
