"""The main job: from an empty folder to a rollback that nobody asked for."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from support.application import png

IMAGE = png(grey=33)


def test_setup_twice_changes_nothing_the_second_time_and_keeps_state_private(bare):
    tree = bare.tree()
    second = bare.play("setup")
    assert (second.status, second.outcome, second.changed()) == (0, "set_up", 0)
    assert bare.tree() == tree
    assert (bare.root / "state").stat().st_mode & 0o777 == 0o700
    assert (bare.root / "backups").stat().st_mode & 0o777 == 0o700
    assert (bare.root / "shared" / "config" / ".env").stat().st_mode & 0o777 == 0o640


def test_status_without_a_release_says_what_to_do_and_the_first_deploy_serves(bare, says):
    result = bare.play("status")
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "mobius does not run: no release is live. Deploy one with mobius.ops.deploy.")
    result = bare.deploy("v1")
    assert (result.status, result.outcome, result.stats["mobius_verdict"]) == (0, "deployed", "healthy")
    assert bare.client().health()["release"] == bare.live() == result.stats["mobius_release"]
    assert bare.record(bare.live())["status"] == "verified"
    events = [event["what"] for event in bare.history()]
    events.remove("canary")  # while the watch runs
    assert events == ["backup", "prepared", "active", "verified", "watch"]


def test_upload_and_render(shared_served, tmp_path):
    client = shared_served.client()
    facts = client.clip(client.render(client.upload("board.png", IMAGE)["path"], patience=600), tmp_path / "clip.mp4")
    assert facts["codecs"] == ["aac", "h264"]
    assert 1.5 <= facts["duration"] <= 2.5


def test_backup_is_read_by_standard_tools(shared_served):
    result = shared_served.play("backup")
    assert (result.status, result.outcome) == (0, "backed_up")
    archive = Path(result.stats["mobius_backup"])
    assert archive.match("dhash_local_[0-9]*_[0-9]*.zip")
    assert subprocess.run(["sha256sum", "-c", archive.name + ".sha256"], cwd=archive.parent).returncode == 0
    assert subprocess.run(["unzip", "-tq", archive]).returncode == 0


def test_check_mode_changes_nothing_and_says_what_it_would_do(shared_served, says):
    tree, live = shared_served.tree(), shared_served.live()
    result = shared_served.deploy("v2", "--check", "--diff")
    assert (result.status, result.outcome) == (0, "planned")
    assert says(result, f"would replace {live} after a backup and be watched for 1 s; nothing was changed")
    assert says(result, "+ live: v2-") or says(result, '+ "live": "v2-')
    assert (shared_served.tree(), shared_served.live()) == (tree, live)


def test_second_deploy_keeps_uploads_and_rollback_without_input_goes_to_the_release_before(served, says):
    before, upload = served.live(), served.client().upload("board.png", IMAGE)
    result = served.deploy("v2")
    assert (result.status, result.outcome, result.stats["mobius_previous"]) == (0, "deployed", before)
    assert float(result.stats["mobius_downtime"]) > 0
    assert served.client().health()["version"] == "v2"
    assert served.client().file(upload["path"]) == IMAGE
    assert served.record(served.live())["backup"] == result.stats["mobius_backup"]

    tree = served.tree()
    result = served.deploy("v2")
    assert (result.status, result.outcome, result.changed()) == (0, "unchanged", 0)
    assert says(result, "is live and verified already; nothing was changed")
    assert served.tree() == tree

    result = served.play("status")
    assert (result.status, result.outcome) == (0, "well")
    assert says(result, "<- live") and says(result, "<- rollback target")
    for metric in ("cpu_pct", "memory_pct", "disk_pct", "uptime_s", "service_rss_bytes"):
        assert re.search(rf"^ +{metric} +\S.* (normal|warning|critical)\b", result.output, re.MULTILINE), result.output

    result = served.play("rollback")
    assert (result.status, result.outcome) == (0, "rolled_back")
    assert result.stats["mobius_release"].startswith("v1-")
    assert served.client().health()["version"] == "v1"
    tree = served.tree()
    result = served.play("rollback")
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, "expected a verified release older than the live one, found none on this host")
    assert served.tree() == tree


def test_a_deploy_that_cannot_prune_says_so_and_is_a_deploy(served, says):
    result = served.deploy("v2", mobius_keep_releases=-1)
    assert (result.status, result.outcome) == (0, "deployed"), result.output
    assert says(result, "WARNING: old releases could not be pruned: keep: expected 0 or more releases, found -1.")


def test_other_bits_under_the_live_version_are_refused(shared_served, says, tmp_path):
    source = tmp_path / "changed"
    subprocess.run(["cp", "-a", shared_served.source("v1"), source], check=True)
    (source / "src" / "api" / "note.js").write_text("// changed\n")
    tree = shared_served.tree()
    result = shared_served.play("deploy", mobius_release_source=str(source), mobius_version="v1")
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, "mobius_version v1: expected a version that is not live, found release")
    assert says(result, "Give it another version.")
    assert shared_served.tree() == tree


def test_release_that_turns_bad_is_rolled_back_by_itself_with_evidence(served):
    """Rolled back, with an incident that says why, and with logs that the runbook's commands read."""
    good, upload = served.live(), served.client().upload("board.png", IMAGE)
    with served.spoiled(kind="health"):
        result = served.deploy("v3", mobius_watch_requests=30, **served.guarded)
    assert (result.status, result.outcome, result.stats["mobius_verdict"]) == (2, "rolled_back", "rolled_back")
    assert "3 consecutive failed checks" in result.stats["mobius_trigger"]
    assert served.live() == good
    assert served.client().health()["release"] == good
    bad = served.record(result.stats["mobius_release"])
    assert (bad["status"], bad["failed_reason"]) == ("rolled_back", result.stats["mobius_trigger"])
    assert served.client().file(upload["path"]) == IMAGE

    [incident] = served.incidents()
    assert incident["id"] == result.stats["mobius_incident"]
    assert (incident["severity"], incident["release"]) == (2, result.stats["mobius_release"])
    assert incident["cause"] == f"release {incident['release']}" and incident["rollback"] and incident["evidence"]["releases"]
    assert [event["what"] for event in incident["events"]] == ["opened", "gathered"] and incident["events"][0]["reached"] == ["stability"]
    assert [sample["outcome"] for sample in incident["evidence"]["samples"]][-3:] == ["failed"] * 3
    assert any("fault active" in line for line in incident["evidence"]["application_log"])
    assert (served.root / "incidents" / (incident["id"] + ".md")).read_text().startswith(f"# {incident['id']}: Release v3-")

    log, metrics = (Path(result.stats[name]) for name in ("mobius_monitor_log", "mobius_metrics_file"))
    grep = subprocess.run(
        f"grep -i error {log.parent}/*.log | tail -20; grep 'response.*time' {log} | tail -50", shell=True, capture_output=True, text=True
    )
    assert "failure 3 of 3: health: status 503 instead of 200" in grep.stdout
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    rounds = [line for line in lines if line["what"] == "round"]
    assert {line["outcome"] for line in rounds} >= {"ok", "failed"}
    assert all(check["requests"] == 30 and check["p50_ms"] > 0 for line in rounds for check in line["checks"])
    assert [line["status"] for line in lines if line["what"] == "host"]


def test_status_of_a_full_disk_is_not_well(shared_served, says):
    result = shared_served.play("status", mobius_thresholds={"disk_pct": [0, 0]})
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "Host: critical")
    assert re.match(r"mobius runs \(.*\)\. Make room on /\S*, which is [\d.]+ % full: look for", result.stats["mobius_message"])


def test_status_of_a_torn_store_is_not_well(shared_served, says):
    store = shared_served.root / "shared" / "data" / "torn.json"
    store.write_text('{"projects": [')
    try:
        result = shared_served.play("status")
    finally:
        store.unlink()
    assert (result.status, result.outcome) == (2, "not_well")
    sentence = f"store {store}: expected a JSON document, found none: "
    assert says(result, f"Damaged: {sentence}")
    assert re.match(rf"mobius runs \(.*\)\. {re.escape(sentence)}.* Restore it \(mobius.ops.restore\)", result.stats["mobius_message"])


def test_status_of_a_busy_host_is_well(shared_served, says):
    result = shared_served.play("status", mobius_thresholds={"memory_pct": [0, 0], "disk_pct": [100, 100], "inodes_pct": [100, 100]})
    assert (result.status, result.outcome) == (0, "well")
    assert says(result, "Host: critical") and says(result, "critical Look for what takes the memory with: ps aux --sort=-rss.")


def test_status_on_a_host_without_psutil(shared_served, says, monkeypatch, tmp_path):
    (tmp_path / "psutil.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = shared_served.play("status")
    assert (result.status, result.outcome) == (0, "well")
    assert says(result, "Install the package python3-psutil there (mobius.ops.setup does).")
    assert says(result, "Host host metrics: expected the Python library psutil on the target, found none.")


def test_rollback_to_the_live_release_changes_nothing(shared_served):
    result = shared_served.play("rollback", mobius_release_id=shared_served.live())
    assert (result.status, result.outcome, result.changed()) == (0, "unchanged", 0), result.output


def test_rollback_to_an_unknown_release_is_refused(shared_served, says):
    result = shared_served.play("rollback", mobius_release_id="v9-00000000")
    assert result.status == 2
    assert says(result, "release v9-00000000: expected one of")


def test_rollback_to_a_backup_restores_data_only_when_asked(served):
    client = served.client()
    upload = client.upload("board.png", IMAGE)
    backup = served.play("backup").stats["mobius_backup"]
    late = client.upload("late.png", png(grey=200))
    kept = served.play("rollback", mobius_backup=backup)
    assert (kept.status, kept.outcome) == (0, "unchanged")
    assert client.file(late["path"])
    result = served.play("rollback", mobius_backup=backup, mobius_rollback_data="true")
    assert (result.status, result.outcome) == (0, "rolled_back"), result.output
    assert "every write since then is lost" in " ".join(result.output.split())
    client = served.client()
    assert client.health()["version"] == "v1"
    assert client.file(late["path"]) is None
    safety = served.play("rollback", "--check", "-v", mobius_backup="newest", mobius_rollback_data="true")
    assert (safety.status, safety.outcome) == (0, "planned"), safety.output
    assert backup in safety.output and "_safety.zip" not in safety.output  # newest is not what was replaced
    assert client.file(upload["path"]) == IMAGE
    assert [item["name"] for item in client.get("/api/uploads").json()["uploads"]] == [upload["name"]]


def test_no_secret_appears_anywhere(served):
    """All output at its most verbose; what other runs print and leave is looked at when their sites are closed."""
    served.play("setup", "-vvv")
    served.play("status", "-vvv")
    assert served.deploy("v2", "-vvv").outcome == "deployed"
    with served.spoiled(kind="health"):
        assert served.deploy("v3", "-vvv", **served.guarded).outcome == "rolled_back"
    secret = served.secret()
    assert len(secret) == 32 and secret in (served.root / "shared" / "config" / ".env").read_text()
    assert served.incidents() and served.leaks() == []
