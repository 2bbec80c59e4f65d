"""The weekly steps beside what they find in test_planted: trends, what is known already, and what cannot be told."""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import checksums, fs
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import packages, weekly


def write_log(patient, text, name="app.log"):
    with open(os.path.join(patient.layout.component("logs"), name), "a", encoding="utf-8") as stream:
        stream.write(text)


def test_an_error_that_the_last_run_did_not_find_is_new_once(patient):
    write_log(patient, "2026-11-27T08:00:01Z ERROR render 0815a failed\n")
    _report, told = patient.run("weekly", steps=["log_patterns"])
    assert told["log_patterns"].status == "done" and told["log_patterns"].figures["error_lines"][-1][1] == 1
    write_log(patient, "2026-11-27T08:00:02Z ERROR no room on disk 7\n2026-11-27T08:00:02Z ERROR render 1815a failed\n")
    _report, told = patient.run("weekly", steps=["log_patterns"])
    assert told["log_patterns"].status == "attention"
    assert told["log_patterns"].text.startswith("1 error template is new in the logs: no room on disk")
    assert "error lines 1 -> 3" in told["log_patterns"].trend
    assert patient.run("weekly", steps=["log_patterns"])[1]["log_patterns"].status == "done"


def test_no_line_of_a_log_needs_attention(patient):
    os.unlink(os.path.join(patient.layout.component("logs"), "app.log"))
    found = weekly.log_patterns(patient.context(log_files=["/nowhere/app.log"]))
    assert (found.status, found.text) == ("attention", "No line of a log was found. /nowhere: not there.")


@pytest.mark.parametrize("limits, cause, severity", [([0, 100], "disk_pct_warning", 3), ([0, 0], "disk_pct_critical", 2)])
def test_a_disk_is_judged_by_the_table_of_key_metrics(patient, limits, cause, severity):
    found = weekly.disk_space(patient.context(thresholds={"disk_pct": limits, "inodes_pct": [100, 100]}))
    assert found.status == "attention" and {(one.name, one.severity) for one in found.causes} == {(cause, severity)}
    assert "Make room on" in found.text and found.figures["disk_full_pct"] > 0
    well = weekly.disk_space(patient.context(thresholds={"disk_pct": [100, 100], "inodes_pct": [100, 100]}))
    assert well.status == "done" and well.text.startswith("The fullest file system is")


def test_no_backup_is_worth_an_incident(patient):
    found = weekly.backup_integrity(patient.context())
    assert [(one.name, one.severity) for one in found.causes] == [("backup_missing", 2)] and "Make one: mobius.ops.backup." in found.text


def test_an_archive_much_smaller_than_those_before_it_has_shrunk(patient):
    fs.write_text(os.path.join(patient.layout.component("uploads"), "a.bin"), os.urandom(60_000).hex())
    first = patient.backup()
    with open(first, "rb") as stream:
        content = stream.read()
    for day in ("20261101", "20261102", "20261103"):
        path = os.path.join(patient.layout.backups, f"dhash_test_{day}_000000.zip")
        with open(path, "wb") as stream:
            stream.write(content)
        checksums.write(path, fs.sha256_file(path))
    os.unlink(first)
    fs.write_text(os.path.join(patient.layout.component("uploads"), "a.bin"), os.urandom(10_000).hex())
    patient.backup()
    found = weekly.backup_integrity(patient.context())
    assert [one.name for one in found.causes] == ["backup_shrunk"] and "the median of the 3 archives before it is" in found.text
    assert found.figures["backups"] == 4


def test_newer_and_vulnerable_packages_are_told_once(patient):
    patient.lock_file()
    patient.advise({"left-pad": [{"id": 1, "url": "u", "title": "Pads too far", "severity": "low", "vulnerable_versions": "<1.3.0"}]})
    _report, told = patient.run("weekly", steps=["dependencies"])
    assert "left-pad 1.0.0 -> 1.3.0" in told["dependencies"].text and "left-pad (low)" in told["dependencies"].text
    assert patient.incidents() == [] and any("Pads too far" in line for line in told["dependencies"].evidence)
    patient.advise({})
    _report, told = patient.run("weekly", steps=["dependencies"])
    assert (told["dependencies"].status, told["dependencies"].text) == (
        "done",
        "1 package has a newer version, known since the last run; none is known to be vulnerable.",
    )


def test_a_registry_that_does_not_answer_is_said(patient):
    patient.lock_file()
    patient.web.answers["/-/npm/v1/security/advisories/bulk"] = (405, "{}")
    found = weekly.dependencies(patient.context())
    assert found.status == "attention" and "npm audit in" in found.text and "Name a registry that has the audit" in found.text
    assert "left-pad 1.0.0 -> 1.3.0" in found.text
    release = os.path.realpath(patient.layout.current)
    os.mkdir(os.path.join(release, "client"))
    for name in packages.FILES:
        shutil.copy(os.path.join(release, name), os.path.join(release, "client", name))
    assert weekly.dependencies(patient.context()).text.count("Name a registry that has the audit") == 1
    patient.web.answers["/left-pad"] = (500, "{}")
    assert "npm outdated in" in weekly.dependencies(patient.context()).text


def test_packages_for_development_are_not_part_of_the_audit(patient):
    patient.lock_file()
    release = os.path.realpath(patient.layout.current)
    package = {"name": "app", "version": "1.0.0", "devDependencies": {"left-pad": "1.0.0"}}
    lock = fs.read_json(os.path.join(release, "package-lock.json"))
    lock["packages"][""] = package
    lock["packages"]["node_modules/left-pad"]["dev"] = True
    fs.write_json(os.path.join(release, "package.json"), package)
    fs.write_json(os.path.join(release, "package-lock.json"), lock)
    patient.advise({"left-pad": [{"id": 1, "url": "u", "title": "Pads too far", "severity": "high", "vulnerable_versions": "<1.3.0"}]})
    assert packages.Npm(release, patient.options["npm_environment"]).vulnerable() == []


def test_npm_runs_in_a_folder_of_its_own_without_the_release_s_settings(patient, tmp_path):
    patient.lock_file()
    release = os.path.realpath(patient.layout.current)
    fs.write_text(os.path.join(release, ".npmrc"), "registry=http://127.0.0.1:1/\n")
    before = sorted(os.listdir(release))
    assert [one.name for one in packages.Npm(release, patient.options["npm_environment"]).outdated()] == ["left-pad"]
    assert sorted(os.listdir(release)) == before


def test_no_npm_on_the_host_is_said(patient, monkeypatch, tmp_path):
    patient.lock_file()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OpsError, match="the program npm, found none on the PATH"):
        packages.Npm(os.path.realpath(patient.layout.current), {}).outdated()


def test_a_release_without_a_lock_file_has_nothing_to_compare(patient):
    assert weekly.dependencies(patient.context()).text.startswith("No release with a lock file serves")
    os.makedirs(os.path.join(os.path.realpath(patient.layout.current), "client"))
    fs.write_text(os.path.join(os.path.realpath(patient.layout.current), "client", "package-lock.json"), "{}")
    assert [os.path.basename(one) for one in packages.folders(os.path.realpath(patient.layout.current))] == ["client"]


def test_a_large_log_that_is_rotated_is_well(patient):
    for name, size in (("a.log", 10), ("a.log.1", 2_000_000)):
        with open(os.path.join(patient.layout.component("logs"), name), "wb") as stream:
            stream.truncate(size)
    found = weekly.log_rotation(patient.context(log_max_mb=1))
    assert found.status == "done" and found.figures["logs_bytes"] > 2_000_000
    with open(os.path.join(patient.layout.component("logs"), "a.log"), "wb") as stream:
        stream.truncate(1_500_000)
    found = weekly.log_rotation(patient.context(log_max_mb=1))
    assert found.status == "attention" and "a.log (1.5 MB)" in found.text
