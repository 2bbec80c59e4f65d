"""Through ansible-runner, which is how AWX runs playbooks: extra vars are strings, the outcome is an artifact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ansible_runner
import pytest
from support import playbooks
from support.application import make_source
from support.playbooks import ROOT
from support.remains import end_all

#: A second user, who owns nothing here.
NOBODY = 65534


def launch(site, folder, playbook, **extra):
    """Run a playbook as a job; its runner, and what it left with `set_stats`."""
    survey = {
        name: value if isinstance(value, (str, dict)) else str(value).lower() for name, value in {**site.operator.settings, **extra}.items()
    }
    if playbooks.WARM:
        survey["ansible_python_interpreter"] = playbooks.WARM.interpreter()
    (folder / "survey.json").write_text(json.dumps(survey))
    run = ansible_runner.run(
        private_data_dir=str(folder),
        project_dir=str(ROOT),
        inventory=str(ROOT / "inventories" / "local"),
        playbook=f"mobius.ops.{playbook}",
        cmdline=f"--extra-vars @{folder}/survey.json",
        envvars=site.operator.environment(),
        quiet=True,
    )
    stats = {}
    for event in run.events:
        if event["event"] == "playbook_on_stats":
            stats = event["event_data"].get("artifact_data", {})
    return run, stats


def test_deploy_and_rollback_as_jobs(served, tmp_path):
    run, stats = launch(
        served,
        tmp_path,
        "deploy",
        mobius_release_source=str(served.source("v2")),
        mobius_version="v2",
        mobius_auto_rollback=True,
        mobius_migration="none",
        mobius_release_ref="",
    )
    assert (run.status, run.rc) == ("successful", 0), run.stdout.read()
    assert (stats["mobius_outcome"], stats["mobius_verdict"]) == ("deployed", "healthy")
    live = stats["mobius_release"]

    with served.spoiled(kind="health"):
        run, stats = launch(
            served, tmp_path, "deploy", mobius_version="v3", mobius_release_source=str(served.source("v3")), **served.guarded
        )
    assert (run.status, run.rc) == ("failed", 2)
    assert (stats["mobius_outcome"], stats["mobius_verdict"]) == ("rolled_back", "rolled_back")

    run, stats = launch(served, tmp_path, "deploy", mobius_version="v4", mobius_release_source="/nonexistent")
    assert (run.status, stats["mobius_outcome"]) == ("failed", "failed")

    run, stats = launch(served, tmp_path, "rollback", mobius_release_id="", mobius_backup="", mobius_rollback_data=False)
    assert (run.status, run.rc, stats["mobius_outcome"]) == ("successful", 0, "rolled_back")
    assert (stats["mobius_previous"], stats["mobius_release"]) == (live, served.live())


@pytest.fixture
def ordinary():
    """A folder of an ordinary user, and what runs a program as that user: the tests' own user, or a second one when that is root."""
    folder = Path(tempfile.mkdtemp(prefix="mobius-runner-"))
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        if who:
            os.chown(folder, NOBODY, NOBODY)
            if subprocess.run(["test", "-r", ROOT / "ansible.cfg"], **who, check=False).returncode:
                pytest.skip("a second user cannot read this checkout")
        yield folder, who
    finally:
        end_all(str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def answers(about: str, given: dict[str, str]) -> dict[str, str]:
    """The answers of a survey, by the names of its variables."""
    return {f"mobius_{about}_{name}": value for name, value in given.items()}


def jobs(v1: str, v2: str) -> list[tuple[str, dict[str, str], int, str, bool]]:
    """Playbook, survey, exit status, outcome, and whether it is one of the few that run each time; all of them run with ``--long``."""
    guarded = {"mobius_auto_rollback": "true", "mobius_migration": "none", "mobius_release_ref": ""}
    why = {"mobius_why": "a test"}
    incident = dict.fromkeys(("title", "severity", "affected", "done", "reached"), "")
    return [
        ("setup", {}, 0, "set_up", True),
        ("preflight", {"mobius_release_source": v1, "mobius_version": "v1"}, 0, "ready", False),
        ("deploy", {"mobius_release_source": v1, "mobius_version": "v1", **guarded}, 0, "deployed", True),
        ("backup", {"mobius_components": "all", "mobius_why": ""}, 0, "backed_up", True),
        ("deploy", {"mobius_release_source": v2, "mobius_version": "v2", **guarded}, 0, "deployed", True),
        ("status", {}, 0, "well", False),
        ("health", {}, 0, "healthy_now", False),
        ("smoke_test", {"mobius_smoke_from": "target"}, 0, "smoke_passed", False),
        ("ffmpeg", {}, 0, "idle", False),
        ("contacts", {}, 2, "nobody_on_call", False),
        ("escalate", {}, 2, "not_delivered", False),
        ("logs", {}, 0, "no_errors", True),
        ("diagnose", {"mobius_diagnose_inspect": "false", "mobius_fix": "false"}, 0, "nothing_found", True),
        ("monitor", {"mobius_watch_duration": "1", "mobius_auto_rollback": "true", "mobius_why": ""}, 0, "healthy", True),
        ("cleanup", {"mobius_cleanup_state": "planned", "mobius_cleanup_days": "30", "mobius_cleanup_paths": ""}, 0, "planned", True),
        (
            "maintenance",
            {"mobius_cadence": "weekly"},
            0,
            "attention_needed",
            True,
        ),  # this machine has updates, or no register to ask for them
        ("incidents", {"mobius_incident_show": "open", "mobius_incident": ""}, 0, "no_incidents", False),
        (
            "incident",
            answers("incident", {**incident, "action": "open", "title": "Renders fail", "severity": "3"}) | {"mobius_incident": "", **why},
            0,
            "opened",
            True,
        ),
        (
            "incident",
            answers("incident", {**incident, "action": "resolve"}) | {"mobius_incident": "{mobius_incident}", **why},
            0,
            "resolved",
            True,
        ),
        ("verify_backups", {}, 0, "verified", False),
        ("drill", {"mobius_backup": "newest", "mobius_components": "all"}, 0, "drill_passed", False),
        ("report", {"mobius_report_watch": ""}, 0, "reported", False),
        ("restore", {"mobius_backup": "{mobius_backup}", "mobius_components": "all", **why}, 0, "restored", True),
        (
            "rollback",
            {"mobius_release_id": "{mobius_previous}", "mobius_backup": "", "mobius_rollback_data": "false", "mobius_why": ""},
            0,
            "rolled_back",
            True,
        ),
        (
            "respond",
            {
                "mobius_alert": "MobiusDown",
                "mobius_alert_severity": "critical",
                "mobius_alert_text": "",
                "mobius_respond_policy": "mend,restart",
            },
            0,
            "not_confirmed",
            True,
        ),
        ("restart", {}, 0, "restarted", False),
        ("force_unlock", why, 0, "not_locked", False),
        ("stop", why, 0, "stopped", True),
    ]


def test_playbooks_unattended_as_an_ordinary_user(request, shared_served, ordinary, free_port):
    """Each job is given what earlier ones left, as in a workflow; all answers are text."""
    folder, who = ordinary
    everything = request.config.getoption("--long", default=False)
    asked = [job for job in jobs(*(str(make_source(folder / name, name)) for name in ("v1", "v2"))) if job[4] or everything]
    secret = {"MOBIUS_API_KEYS": "k" * 32, "API_KEY": "k" * 32}
    settings = {
        name: value if isinstance(value, (str, dict)) else str(value).lower()
        for name, value in {
            **shared_served.operator.settings,
            "mobius_root": str(folder / "mobius"),
            "mobius_port": free_port(),
            "mobius_dotenv": secret,
            "mobius_artifact_store": str(folder / "store"),
            "ansible_python_interpreter": sys.executable,
        }.items()
    }
    of_site = shared_served.operator.environment()
    environment = {
        "ANSIBLE_CONFIG": of_site["ANSIBLE_CONFIG"],
        "PATH": of_site["PATH"],
        "HOME": str(folder),
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_REMOTE_TEMP": str(folder / "tmp"),
    }  # the second user has no home
    order = json.dumps(
        {
            "folder": str(folder),
            "project": str(ROOT),
            "inventory": str(ROOT / "inventories" / "local"),
            "settings": settings,
            "jobs": [job[:2] for job in asked],
            "environment": environment,
        }
    )
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "runner_jobs.py"],
        input=order,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
        **who,
    )
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ended = [(one["playbook"], one["rc"], one["stats"].get("mobius_outcome")) for one in told]
    outputs = "\n".join(one["output"][-2000:] for one in told if one["rc"])
    assert ended == [(job[0], job[2], job[3]) for job in asked], f"{ended}\n{outputs}\n{done.stderr[-2000:]}"
    left = {one["playbook"]: one["stats"] for one in told}
    assert left["deploy"]["mobius_previous"].startswith("v1-") and left["rollback"]["mobius_release"] == left["deploy"]["mobius_previous"]
    assert left["restore"]["mobius_restored"] and left["respond"]["mobius_actions"] == [] and left["diagnose"]["mobius_causes"] == []
