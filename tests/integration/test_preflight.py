"""The table before a deploy: by itself, and as the first step of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._target.deploy_lock import DeployLock
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


@pytest.fixture
def ready(shared_served):
    """A site with v1 live."""
    return shared_served


def without_history(ready):
    """The tree but for the history."""
    return {name: facts for name, facts in ready.tree().items() if name not in ("state", "state/history.jsonl")}


def failing(result):
    return result.stats["mobius_failed_checks"]


def test_a_host_that_may_be_deployed_to(ready, says):
    tree = without_history(ready)
    result = ready.play("preflight", mobius_release_source=str(ready.source("unbuilt")), mobius_version="unbuilt", mobius_operator="anna")
    assert (result.status, result.outcome, result.changed()) == (0, "ready", 0), result.output
    assert says(result, "MAY BEGIN: 0 failed, 0 waived, ") and says(result, "mobius_preflight_ci is empty")
    assert says(result, "is built by the deploy") and says(result, "passed operator anna") and says(result, "passed clock no difference")
    event = ready.history()[-1]
    assert (event["what"], event["who"], event["verdict"], event["failed"]) == ("preflight", "anna", "passed", [])
    assert without_history(ready) == tree and not list(ready.artifacts.glob("unbuilt-*"))


def test_check_mode_writes_nothing(ready):
    tree = ready.tree()
    assert ready.play("preflight", "--check").outcome == "ready"
    assert ready.tree() == tree


def test_all_that_fails_is_told_at_once(ready, says, tmp_path):
    (tmp_path / "ci.json").write_text(json.dumps({"check_runs": [{"name": "e2e", "conclusion": "failure"}]}))
    result = ready.play(
        "preflight",
        mobius_preflight_ci=str(tmp_path / "ci.json"),
        mobius_preflight_min_approvals="2",
        mobius_approvals="anna:dev",
        mobius_preflight_operator="true",
        mobius_deploy_freeze="2020-01-01/ forever",
        mobius_deploy_windows=["Mon-Sun 00:00-24:00"],
        mobius_min_versions={"node": "99"},
        mobius_preflight_backup_max_age="0.0000001",
        mobius_release_source="/nonexistent/a.tar.gz",
    )
    assert (result.status, result.outcome) == (2, "not_ready")
    assert failing(result) == ["ci", "approvals", "operator", "freeze", "artifact", "node", "backup"]
    for words in (
        "e2e failure",
        "get the approvals",
        "mobius_operator=NAME",
        "2020-01-01/ forever",
        "install node 99",
        "make one: mobius.ops.backup",
        "artifact /nonexistent/a.tar.gz: expected the file and its .sha256",
    ):
        assert says(result, words), result.output
    assert ready.history()[-1]["failed"] == failing(result)


def test_production_asks_for_people(ready, says):
    """With a folder of its own, whose backups are looked at by their environment."""
    result = ready.play("preflight", mobius_env="production")
    assert (result.outcome, failing(result)) == ("not_ready", ["approvals", "operator"])
    result = ready.play(
        "preflight",
        mobius_env="production",
        mobius_operator="anna",
        mobius_approvals=[{"name": "anna", "role": "ops"}, {"name": "bert", "role": "dev"}],
    )
    assert result.outcome == "ready" and says(result, "anna (ops), bert (dev)"), result.output


def test_a_damaged_artifact(ready, says, tmp_path):
    made = ready.artifact("v1")
    shutil.copy(made, tmp_path / "a.tar.gz")
    (tmp_path / "a.tar.gz.sha256").write_text("0" * 64 + "  a.tar.gz\n")
    result = ready.play("preflight", mobius_release_source=str(tmp_path / "a.tar.gz"))
    assert failing(result) == ["artifact"] and says(result, "expected SHA-256 " + "0" * 64)
    (tmp_path / "a.tar.gz.sha256").write_text(hashlib.sha256(made.read_bytes()).hexdigest() + "  a.tar.gz\n")
    assert ready.play("preflight", mobius_release_source=str(tmp_path / "a.tar.gz")).outcome == "ready"


def test_a_deploy_is_refused_and_a_waiver_lets_it_begin(served, says):
    tree = served.tree()
    refused = served.deploy("v2", mobius_min_memory_mb=10**9)
    assert (refused.status, refused.outcome) == (2, "failed") and says(refused, " that do not: memory (") and served.tree() == tree
    result = served.deploy("v2", mobius_min_memory_mb=10**9, mobius_preflight_skip="memory", mobius_why="a test", mobius_operator="anna")
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert says(result, "memory waived by anna")
    (waiver,) = [event for event in served.history() if event["what"] == "preflight" and event["waived"]]
    assert (waiver["who"], waiver["why"], waiver["waived"]) == ("anna", "a test", ["memory"])
    assert [event["who"] for event in served.history() if event["what"] == "active"][-1] == "anna"


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            {"mobius_preflight_skip": "dsik", "mobius_why": "x"},
            "mobius_preflight_skip: expected some of ci, approvals, operator, window, freeze, oncall, node",
        ),
        ({"mobius_preflight_skip": "memory"}, "mobius_why: expected why memory may be waived"),
    ],
)
def test_a_waiver_that_is_refused(ready, says, extra, sentence):
    tree = ready.tree()
    result = ready.deploy("v8", **extra)
    assert (result.status, result.outcome) == (2, "failed") and says(result, sentence), result.output
    assert ready.tree() == tree


BOB = {"owner": "bob", "reason": "deploy of v9", "env": "local", "host": "elsewhere", "process": "", "expiry": 600}


@pytest.fixture
def unbuilt(ready, tmp_path):
    """``unbuilt(command, **extra)``: a deploy whose source no run has built, and whether its build ran."""

    def deploy(command="npm run build", **extra):
        source = ready.source("v2")
        (source / "src" / "api" / f"only-here-{os.urandom(8).hex()}.js").write_text("// new bits\n")
        mark = tmp_path / "built"
        result = ready.play(
            "deploy",
            mobius_release_source=str(source),
            mobius_version="v2",
            mobius_build_command=["sh", "-c", f"touch {mark}; {command}"],
            **extra,
        )
        return result, mark.exists()

    return deploy


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"mobius_preflight_min_approvals": "1"}, "approvals (nobody)"),
        ({"mobius_deploy_freeze": "2020-01-01/ forever"}, "freeze (2020-01-01/ forever)"),
        ({"mobius_min_free_mb": 10**12}, "disk ("),
        ({"mobius_watch_interval": "0"}, "watch option"),
    ],
)
def test_what_needs_no_build_is_checked_before_it(ready, unbuilt, says, extra, sentence):
    tree = ready.tree()
    result, built = unbuilt(**extra)
    assert (result.status, result.outcome, built) == (2, "failed", False) and says(result, sentence), result.output
    assert ready.tree() == tree


def test_a_lock_that_is_held_refuses_before_the_build(ready, unbuilt, says):
    lock = DeployLock(Layout(str(ready.root)))
    bob = lock.hold(BOB)["lock"]
    try:
        result, built = unbuilt()
        assert (result.status, built) == (2, False), result.output
        assert says(result, f"expected nobody to hold it, found that bob on elsewhere holds it since {bob['since']} for 'deploy of v9'")
        assert unbuilt("false", mobius_lock_wait="1")[1], "one that may wait builds meanwhile"
    finally:
        lock.free(bob["token"])


def test_a_build_that_fails_is_a_row_of_the_table(ready, unbuilt, says):
    tree = ready.tree()
    result, built = unbuilt("echo broken >&2; exit 7")
    assert (result.status, result.outcome, built) == (2, "failed", True), result.output
    assert says(result, " that do not: artifact (build: sh -c") and says(result, "found 7 (broken)"), result.output
    assert ready.tree() == tree


def test_checks_are_made_again_after_the_build_and_a_waiver_is_written_once(served, says, tmp_path):
    """A freeze begins while the build runs."""
    ci = tmp_path / "ci"
    ci.write_text("success")
    source = served.source("v2")
    (source / "src" / "api" / f"only-here-{os.urandom(8).hex()}.js").write_text("// new bits\n")
    what = {
        "mobius_release_source": str(source),
        "mobius_version": "v2",
        "mobius_preflight_ci": str(ci),
        "mobius_min_memory_mb": 10**9,
        "mobius_preflight_skip": "memory",
        "mobius_why": "a test",
        "mobius_operator": "anna",
    }
    result = served.play("deploy", **what, mobius_build_command=["sh", "-c", f"npm run build && echo failure > {ci}"])
    assert (result.status, result.outcome) == (2, "failed") and says(result, "ci (status failure)"), result.output
    assert served.live().startswith("v1-")
    assert [event["waived"] for event in served.history() if event["what"] == "preflight"] == [["memory"]]


def test_build_settings_make_another_release(ready):
    source = str(ready.source("v2"))
    plain = ready.play("deploy", "--check", mobius_release_source=source, mobius_version="v2")
    other = ready.play("deploy", "--check", mobius_release_source=source, mobius_version="v2", mobius_build_npm_ci_args="--ignore-scripts")
    third = ready.play("deploy", "--check", mobius_release_source=source, mobius_version="v2", mobius_build_environment={"A": "b"})
    assert [result.outcome for result in (plain, other, third)] == ["planned"] * 3, third.output
    assert len({result.stats["mobius_release"] for result in (plain, other, third)}) == 3
