"""What an operator reads: a line a step, the outcome last, and everything else in a file."""

from __future__ import annotations

import re
import stat

import pytest

LINE = re.compile(r"[✓✗] (?P<step>[\w -]+?) +(?P<time>[\d.]+ (?:min \d\d )?s) {3}(?P<hosts>.+)")


@pytest.fixture
def short(monkeypatch, tmp_path):
    """Runs from now on are shown so; the folder of their files."""
    monkeypatch.setenv("MOBIUS_TEST_OUTPUT", "mobius.ops.steps")
    monkeypatch.setenv("MOBIUS_LOG_FOLDER", str(tmp_path / "log"))
    return tmp_path / "log"


def steps(result):
    return [match["step"] for match in map(LINE.fullmatch, result.output.splitlines()) if match]


def test_a_deploy_and_one_that_is_refused(bare, short):
    result = bare.deploy("v1")
    assert result.outcome == "deployed", result.output
    found = steps(result)
    assert [step for step in found if step != "Build"] == [
        "Check",
        "Measure",
        "Back up",
        "Prepare",
        "Switch",
        "Smoke-test",
        "Watch",
        "Finish",
        "Write the page",
    ], result.output
    lines = [line for line in result.output.splitlines() if not line.startswith("[")]  # the live lines of a build and of the watch
    assert len(lines) <= 2 * len(found) + 4 and lines[-1].startswith(f"DEPLOYED: release {bare.live()} is live and verified"), result.output
    assert "TASK [" not in result.output and "skipping" not in result.output
    (log,) = short.iterdir()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600 and stat.S_IMODE(short.stat().st_mode) == 0o700
    text = log.read_text()
    assert "TASK [mobius.ops.deploy : Put the release into service]" in text and "PLAY RECAP" in text and str(log) in result.output
    assert bare.secret() not in text + result.output

    result = bare.deploy("v1")
    assert (steps(result), result.output.splitlines()[-1][:10]) == (["Check", "Finish"], "UNCHANGED:"), result.output

    result = bare.play("deploy", mobius_release_source="/nowhere", mobius_version="v2")
    last = result.output.splitlines()[-1]
    assert result.status == 2 and last.startswith("FAILED: preflight of this host: expected every check to pass, found"), result.output
    assert "release source '/nowhere'" in last and steps(result) == ["Check"]

    result = bare.play("status", "-v")
    assert "TASK [" in result.output and steps(result) == [], result.output


def test_what_fails_is_told_at_once_and_the_outcome_last(served, short):
    path = served.source("v2") / "src" / "api" / "health.js"
    path.write_text("const broken = ;\n" + path.read_text())
    result = served.deploy("v2")
    lines = result.output.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  ✗ Put the release into service [localhost]: release v2-"))
    assert "SyntaxError" in lines[at] and LINE.fullmatch(lines[at + 1])["step"] == "Switch", result.output
    assert lines[-1].startswith("FAILED: Put the release into service: release v2-") and "[ERROR]" not in result.output


def test_a_log_that_cannot_be_written_changes_nothing(bare, short):
    short.write_text("no folder")
    result = bare.play("status")
    assert steps(result) == ["Look"] and "The output of this run is not kept" in " ".join(result.output.split()), result.output
