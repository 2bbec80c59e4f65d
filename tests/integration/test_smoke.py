"""The smoke tests against the real application: all of them, with a fault, from outside, without a key."""
from __future__ import annotations

import json
import re
from pathlib import Path

import junitparser
import pytest
import yaml
from support.playbooks import ROOT

ALL = ["health", "release", "client", "static", "uploads", "upload", "uploaded picture", "render", "rendered", "clip", "node", "ffmpeg", "disk"]


@pytest.fixture(scope="module")
def live(site):
    """A site with v1 live."""
    return site.deployed("v1")


def files_of(site):
    """What lies in the folders that uploads and renders go to."""
    return sorted(str(path.relative_to(site.root)) for name in ("uploads", "out") for path in (site.root / "shared" / name).iterdir())


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
    assert says(result, f"PASSED: 0 failed, {len(ALL)} passed, 0 skipped, 0 flaky") and says(result, "equal bytes") and says(result, "h264, 2.0 s")
    assert result.stats["mobius_failed_tests"] == result.stats["mobius_skipped_tests"] == []
    assert result.stats["mobius_release"] == live.live()
    assert files_of(live) == before
    assert {name: facts for name, facts in live.tree().items() if not name.startswith("shared")} == {
        name: facts for name, facts in tree.items() if not name.startswith("shared")}
    document, cases = report(junit)
    assert list(cases) == ALL and all(case.is_passed for case in cases.values())
    assert (document.tests, document.failures, document.errors, document.skipped) == (len(ALL), 0, 0, 0)
    facts = json.loads(junit.with_suffix(".json").read_text())
    assert facts["passed"] and len(facts["removed"]) == 2 and facts["left"] == {} and facts["env"] == "local"
    assert live.secret() not in result.output + junit.read_text() + junit.with_suffix(".json").read_text()
