"""The main job from an empty folder to a rollback that nobody asked for; the tests of this file build on each other."""
from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.application import png

FAULT = {"kind": "health", "after": 12}
IMAGE = png(grey=33)


@pytest.fixture(scope="module")
def memory():
    """What one test leaves for the next."""
    return {}


def test_setup_twice_changes_nothing_the_second_time(site):
    assert site.play("setup").outcome == "set_up"
    tree = site.tree()
    second = site.play("setup")
    assert (second.status, second.outcome, second.changed()) == (0, "set_up", 0)
    assert site.tree() == tree


def test_setup_keeps_state_and_secrets_private(site):
    assert (site.root / "state").stat().st_mode & 0o777 == 0o700
    assert (site.root / "backups").stat().st_mode & 0o777 == 0o700
    assert (site.root / "shared" / "config" / ".env").stat().st_mode & 0o777 == 0o640


def test_status_without_a_release_says_what_to_do(site, says):
    result = site.play("status")
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "mobius does not run: no release is live. Deploy one with mobius.ops.deploy.")


def test_first_deploy(site):
    result = site.deploy("v1")
    assert (result.status, result.outcome, result.stats["mobius_verdict"]) == (0, "deployed", "healthy")
    assert site.client().health()["release"] == site.live() == result.stats["mobius_release"]
    assert site.record(site.live())["status"] == "verified"
    assert [event["what"] for event in site.history()] == ["backup", "prepared", "active", "verified", "watch"]


def test_upload_and_render(site, memory, tmp_path):
    client = site.client()
    memory["upload"] = client.upload("board.png", IMAGE)
    facts = client.clip(client.render(memory["upload"]["id"]), tmp_path / "clip.mp4")
    assert facts["codecs"] == ["aac", "h264"]
    assert 1.5 <= facts["duration"] <= 2.5


def test_backup_is_read_by_standard_tools(site, memory):
    result = site.play("backup")
    assert (result.status, result.outcome) == (0, "backed_up")
    archive = memory["backup"] = Path(result.stats["mobius_backup"])
    assert archive.match("dhash_local_[0-9]*_[0-9]*.zip")
    assert subprocess.run(["sha256sum", "-c", archive.name + ".sha256"], cwd=archive.parent).returncode == 0
    assert subprocess.run(["unzip", "-tq", archive]).returncode == 0


def test_check_mode_changes_nothing_and_says_what_it_would_do(site, says):
    tree, live = site.tree(), site.live()
    result = site.deploy("v2", "--check", "--diff")
    assert (result.status, result.outcome) == (0, "planned")
    assert says(result, f"would replace {live} after a backup and be watched for 3 s; nothing was changed")
    assert says(result, "+ live: v2-") or says(result, '+ "live": "v2-')
    assert (site.tree(), site.live()) == (tree, live)


def test_second_deploy_keeps_uploads(site, memory):
    before = site.live()
    result = site.deploy("v2")
    assert (result.status, result.outcome, result.stats["mobius_previous"]) == (0, "deployed", before)
    assert float(result.stats["mobius_downtime"]) < 5
    assert site.client().health()["version"] == "v2"
    assert site.client().get(memory["upload"]["url"]).content == IMAGE
    assert site.record(site.live())["backup"] == result.stats["mobius_backup"]


def test_same_version_again_is_a_no_op_and_says_so(site, says):
    tree = site.tree()
    result = site.deploy("v2")
    assert (result.status, result.outcome, result.changed()) == (0, "unchanged", 0)
    assert says(result, "is live and verified already; nothing was changed")
    assert site.tree() == tree


def test_other_bits_under_the_live_version_are_refused(site, says):
    source = site.folder / "source-v2-changed"
    subprocess.run(["cp", "-a", site.source("v2"), source], check=True)
    (source / "src" / "api" / "note.js").write_text("// changed\n")
    tree = site.tree()
    result = site.play("deploy", mobius_release_source=str(source), mobius_version="v2")
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, "mobius_version v2: expected a version that is not live, found release")
    assert says(result, "Give it another version.")
    assert site.tree() == tree


def test_release_that_turns_bad_is_rolled_back_by_itself(site, memory):
    good = site.live()
    result = site.deploy("v3", fault=FAULT, mobius_watch_duration="40")
    assert (result.status, result.outcome, result.stats["mobius_verdict"]) == (2, "rolled_back", "rolled_back")
    assert "3 consecutive failed checks" in result.stats["mobius_trigger"]
    assert site.live() == good
    assert site.client().health()["release"] == good
    bad = site.record(result.stats["mobius_release"])
    assert (bad["status"], bad["failed_reason"]) == ("rolled_back", result.stats["mobius_trigger"])
    assert site.client().get(memory["upload"]["url"]).content == IMAGE
    memory["bad"] = result


def test_rollback_left_an_incident_with_evidence(site, memory):
    [incident] = site.incidents()
    assert incident["id"] == memory["bad"].stats["mobius_incident"]
    assert (incident["severity"], incident["release"]) == (2, memory["bad"].stats["mobius_release"])
    assert [sample["outcome"] for sample in incident["evidence"]["samples"]][-3:] == ["failed"] * 3
    assert any("fault active" in line for line in incident["evidence"]["application_log"])
    assert (site.root / "incidents" / (incident["id"] + ".md")).read_text().startswith(f"# {incident['id']}: Release v3-")


def test_monitor_log_and_metrics_can_be_read_by_the_runbooks_commands(site, memory):
    log, metrics = (Path(memory["bad"].stats[name]) for name in ("mobius_monitor_log", "mobius_metrics_file"))
    grep = subprocess.run(f"grep -i error {log.parent}/*.log | tail -20; grep 'response.*time' {log} | tail -50",
                          shell=True, capture_output=True, text=True)
    assert "failure 3 of 3: health: status 503 instead of 200" in grep.stdout
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    rounds = [line for line in lines if line["what"] == "round"]
    assert {line["outcome"] for line in rounds} >= {"ok", "failed"}
    assert all(check["requests"] == 30 and check["p50_ms"] > 0 for line in rounds for check in line["checks"])
    assert [line["status"] for line in lines if line["what"] == "host"]


def test_status_when_all_is_well(site, says):
    result = site.play("status")
    assert (result.status, result.outcome) == (0, "well")
    assert says(result, "<- live") and says(result, "<- rollback target")
    for metric in ("cpu_pct", "memory_pct", "disk_pct", "uptime_s", "service_rss_bytes"):
        assert re.search(rf"^ +{metric} +\S.* (normal|warning|critical)\b", result.output, re.MULTILINE), result.output


def test_status_of_a_full_disk_is_not_well(site, says):
    result = site.play("status", mobius_thresholds={"disk_pct": [0, 0]})
    assert (result.status, result.outcome) == (2, "not_well")
    assert says(result, "Host: critical")
    assert re.match(r"mobius runs \(.*\)\. Make room on /\S*, which is [\d.]+ % full: look for", result.stats["mobius_message"])


def test_status_of_a_busy_host_is_well(site, says):
    result = site.play("status", mobius_thresholds={"memory_pct": [0, 0]})
    assert (result.status, result.outcome) == (0, "well")
    assert says(result, "Host: critical") and says(result, "critical Look for what takes the memory with: ps aux --sort=-rss.")


def test_status_on_a_host_without_psutil(site, says, monkeypatch, tmp_path):
    (tmp_path / "psutil.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = site.play("status")
    assert (result.status, result.outcome) == (0, "well")
    assert says(result, "Install the package python3-psutil there (mobius.ops.setup does).")
    assert says(result, "Host host metrics: expected the Python library psutil on the target, found none.")


def test_rollback_without_input_goes_to_the_newest_verified_release(site):
    result = site.play("rollback")
    assert (result.status, result.outcome) == (0, "rolled_back")
    assert result.stats["mobius_release"].startswith("v1-")
    assert site.client().health()["version"] == "v1"


def test_rollback_with_no_target_left_is_refused(site, says):
    tree = site.tree()
    result = site.play("rollback")
    assert (result.status, result.outcome) == (2, "failed")
    assert says(result, "expected a verified release older than the live one, found none on this host")
    assert site.tree() == tree


def test_rollback_to_the_live_release_changes_nothing(site):
    result = site.play("rollback", mobius_release_id=site.live())
    assert (result.status, result.outcome, result.changed()) == (0, "unchanged", 0)


def test_rollback_to_an_unknown_release_is_refused(site, says):
    result = site.play("rollback", mobius_release_id="v9-00000000")
    assert result.status == 2
    assert says(result, "release v9-00000000: expected one of")


def test_rollback_to_a_backup_restores_data_only_when_asked(site, memory):
    client = site.client()
    late = client.upload("late.png", png(grey=200))
    kept = site.play("rollback", mobius_backup=str(memory["backup"]))
    assert (kept.status, kept.outcome) == (0, "unchanged")
    assert client.get(late["url"]).status_code == 200
    result = site.play("rollback", mobius_backup=str(memory["backup"]), mobius_rollback_data="true")
    assert (result.status, result.outcome) == (0, "rolled_back"), result.output
    assert "every write since then is lost" in " ".join(result.output.split())
    client = site.client()
    assert client.health()["version"] == "v1"
    assert client.get(late["url"]).status_code == 404
    safety = site.play("rollback", "--check", "-v", mobius_backup="newest", mobius_rollback_data="true")
    assert (safety.status, safety.outcome) == (0, "planned"), safety.output
    assert client.get(memory["upload"]["url"]).content == IMAGE
    assert [item["name"] for item in client.get("/api/uploads").json()["uploads"]] == [memory["upload"]["name"]]


def test_no_secret_appears_anywhere(site):
    site.play("setup", "-vvv")
    site.play("status", "-vvv")
    assert site.deploy("v2", "-vvv").outcome == "deployed"
    secret = site.secret()
    assert len(secret) == 32 and secret in (site.root / "shared" / "config" / ".env").read_text()
    for number, output in enumerate(site.outputs):
        assert secret not in output, f"output {number}"
    for folder in ("monitor_logs", "incidents", "reports", "state", "shared/logs"):
        for path in (site.root / folder).rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path
