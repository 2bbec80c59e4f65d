"""The smoke tests against the real application: all of them, with a fault, from outside, without a key."""

from __future__ import annotations

import json
import os
import re

import junitparser
import pytest
import yaml
from support.playbooks import ROOT
from support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("smoke")

LAST = "no render goes on"
MADE = [
    "save a project",
    "load the project",
    "upload",
    "uploaded picture",
    "thumbnail",
    "add an image",
    "image listed",
    "image",
    "image as a thumbnail",
    "PDF",
    "render",
    "rendered",
    "clip",
]
ALL = ["health", "client", "static", "uploads", *MADE, "node", "ffmpeg", "disk", LAST]


@pytest.fixture
def live(shared_served):
    """A site with v1 live, for tests that leave it so."""
    return shared_served


def files_of(site):
    """The files that users have left, without those in which the application keeps its records."""
    shared = site.root / "shared"
    return sorted(
        str(path.relative_to(shared))
        for name in ("uploads", "data", "out")
        for path in (shared / name).rglob("*")
        if path.is_file() and path.parent != shared / "data"
    )


def report(path):
    """The JUnit document, and name -> case."""
    document = junitparser.JUnitXml.fromfile(str(path))
    return document, {case.name: case for suite in document for case in suite}


def smoke(site, *options, **extra):
    """Run the playbook."""
    return site.play("smoke_test", *options, mobius_min_versions={"node": "18", "ffmpeg": "4.0"}, **extra)


def test_the_whole_suite_passes_and_leaves_nothing(live, says, tmp_path):
    before, tree = files_of(live), live.tree()
    junit = tmp_path / "results" / "smoke.xml"
    result = smoke(live, mobius_smoke_junit=str(junit))
    assert (result.status, result.outcome, result.changed()) == (0, "smoke_passed", 0), result.output
    assert says(result, f"PASSED: 0 failed, {len(ALL)} passed, 0 skipped, 0 flaky")
    assert says(result, "equal bytes") and says(result, "h264, aac, 2.0 s")
    assert result.stats["mobius_failed_tests"] == result.stats["mobius_skipped_tests"] == []
    assert result.stats["mobius_release"] == live.live()
    assert files_of(live) == before
    assert {name: facts for name, facts in live.tree().items() if not name.startswith("shared")} == {
        name: facts for name, facts in tree.items() if not name.startswith("shared")
    }
    document, cases = report(junit)
    assert list(cases) == ALL and all(case.is_passed for case in cases.values())
    assert (document.tests, document.failures, document.errors, document.skipped) == (len(ALL), 0, 0, 0)
    facts = json.loads(junit.with_suffix(".json").read_text())
    assert facts["passed"] and facts["left"] == {} and facts["env"] == "local"
    assert [os.path.basename(os.path.dirname(path)) for path in facts["removed"]] == [
        "data",
        "uploads",
        "thumbnails",
        "uploads",
        "images",
        "render-jobs",
    ]
    assert live.secret() not in result.output + junit.read_text() + junit.with_suffix(".json").read_text()


def test_check_mode_changes_nothing(live, tmp_path):
    before, tree = files_of(live), live.tree()
    result = smoke(live, "--check", mobius_smoke_junit=str(tmp_path / "smoke.xml"))
    assert (result.outcome, result.changed()) == ("smoke_passed", 0), result.output
    assert result.stats["mobius_skipped_tests"] == [*MADE, LAST]
    assert (files_of(live), live.tree()) == (before, tree) and list(tmp_path.iterdir()) == []


def test_without_a_key_the_rest_is_tested(live, says):
    result = smoke(live, mobius_smoke_secret_headers={})
    assert result.outcome == "smoke_passed" and result.stats["mobius_skipped_tests"] == [*MADE, LAST]
    assert says(result, "status 401: no header X-Mobius-API-Key was given; set it in mobius_smoke_secret_headers")


def test_without_the_key_for_loading_the_rest_is_tested(live, says):
    result = smoke(live, mobius_smoke_secret_headers={"X-Mobius-API-Key": live.secret()})
    assert result.outcome == "smoke_passed" and result.stats["mobius_skipped_tests"] == ["load the project"]
    assert says(result, "status 401: no header X-API-Key was given; set it in mobius_smoke_secret_headers")


def test_a_wrong_key_fails(live, says):
    result = smoke(live, "-vvv", mobius_smoke_secret_headers={"X-Mobius-API-Key": "sekret-but-wrong"})
    assert (result.status, result.outcome, result.stats["mobius_failed_tests"]) == (
        2,
        "smoke_failed",
        ["save a project", "upload", "PDF", "render"],
    )
    assert says(result, "SMOKE_FAILED: 7 of 21 tests passed, 4 failed: save a project (status 403 instead of 200); upload"), result.output
    shown = '"X-Mobius-API-Key": "sekret-but-wrong"'  # ansible shows the extra vars as they were given
    assert "sekret" not in result.output.replace(shown, "")
    assert live.secret() not in result.output
    for path in (live.root / "incidents").glob(f"{result.stats['mobius_incident']}.*"):
        path.unlink()  # the next run would resolve it, which is a change


def test_from_the_controller(live, says, tmp_path):
    before = files_of(live)
    result = smoke(live, mobius_smoke_from="controller", mobius_smoke_junit=str(tmp_path / "smoke.xml"))
    assert (result.status, result.outcome, result.changed()) == (0, "smoke_passed", 0), result.output
    assert result.stats["mobius_skipped_tests"] == ["thumbnail", "node", "ffmpeg", "disk"]
    assert says(result, "the tests run outside of the host")
    assert files_of(live) == before and report(tmp_path / "smoke.xml")[0].tests == len(ALL)


def test_the_suite_of_the_guide(live, tmp_path):
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "smoke-tests.md").read_text(encoding="utf-8"), flags=re.M | re.S)
    (tmp_path / "my-suite.yml").write_text(block, encoding="utf-8")
    before = files_of(live)
    result = live.play("smoke_test", "-e", f"@{tmp_path / 'my-suite.yml'}", mobius_smoke_junit=str(tmp_path / "smoke.xml"))
    assert result.outcome == "smoke_passed", result.output
    _document, cases = report(tmp_path / "smoke.xml")
    assert list(cases) == [step["name"] for step in yaml.safe_load(block)["mobius_smoke_suite"]]
    assert all(case.is_passed for case in cases.values()) and files_of(live) == before


def test_with_a_fault_some_tests_fail_and_every_attempt_is_told_and_so_when_it_is_down(served, says, tmp_path):
    before, junit = files_of(served), tmp_path / "smoke.xml"
    (served.root / "current" / "fault.json").write_text(json.dumps({"kind": "errors", "share": 0.7}))
    log = served.root / "shared" / "logs" / "app.log"
    wait_until(lambda: "fault active" in log.read_text(), what="the fault is active")
    result = smoke(served, mobius_smoke_junit=str(junit))
    assert (result.status, result.outcome) == (2, "smoke_failed"), result.output
    document, cases = report(junit)
    facts = json.loads(junit.with_suffix(".json").read_text())
    failed = [test["name"] for test in facts["tests"] if test["status"] == "failed"]
    assert failed and failed == result.stats["mobius_failed_tests"] == [name for name, case in cases.items() if case.is_failure]
    assert (document.tests, document.failures) == (len(ALL), len(failed)) and cases["disk"].is_passed and cases["node"].is_passed
    assert says(result, "status 500 instead of 200") and any(len(test["attempts"]) == 2 for test in facts["tests"])
    for test in facts["tests"]:
        wrong = sum(one["outcome"] != "ok" for one in test["attempts"])
        assert wrong == sum(child.tag not in ("system-out", "skipped") for child in cases[test["name"]]._elem), test
    assert files_of(served) == before and facts["left"] == {}
    incident = json.loads((served.root / "incidents" / f"{result.stats['mobius_incident']}.json").read_text())
    assert incident["cause"] == "smoke tests" and [test["name"] for test in incident["evidence"]["tests"]] == failed
    assert f". Incident {incident['id']}. Report: {junit}." in result.stats["mobius_message"]

    assert served.play("stop", mobius_why="a test").outcome == "stopped"
    result = smoke(served)
    assert result.outcome == "smoke_failed" and {"health", "client", "upload"} <= set(result.stats["mobius_failed_tests"])
    assert says(result, "connection refused at http://127.0.0.1:")
    assert result.stats["mobius_incident"] == incident["id"]
    assert "node" not in result.stats["mobius_failed_tests"] and "uploaded picture" in result.stats["mobius_skipped_tests"]


@pytest.mark.parametrize(
    ("step", "outcome", "told"),
    [
        ({"name": "a", "url": "/", "jsno": ["x"]}, "failed", "found jsno (did you mean json?). Correct the name."),
        ({"name": "a", "url": "/", "min_bytes": 1}, "smoke_failed", "with url only the fields"),
    ],
)
def test_a_suite_with_a_mistake(live, says, step, outcome, told):
    result = live.play("smoke_test", mobius_smoke_suite=[step])
    assert (result.status, result.outcome) == (2, outcome) and says(result, told), result.output
