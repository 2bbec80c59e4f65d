"""Through ansible-runner, which is how AWX runs playbooks: extra vars are strings, the outcome is an artifact."""
from __future__ import annotations

import json

import ansible_runner
from support import playbooks
from support.playbooks import ROOT


def launch(site, folder, playbook, **extra):
    """Run a playbook as a job; its runner, and what it left with `set_stats`."""
    survey = {name: value if isinstance(value, (str, dict)) else str(value).lower() for name, value in
              {**site.operator.settings, **extra}.items()}
    if playbooks.WARM:
        survey["ansible_python_interpreter"] = playbooks.WARM.interpreter()
    (folder / "survey.json").write_text(json.dumps(survey))
    run = ansible_runner.run(
        private_data_dir=str(folder), project_dir=str(ROOT), inventory=str(ROOT / "inventories" / "local"),
        playbook=f"mobius.ops.{playbook}", cmdline=f"--extra-vars @{folder}/survey.json", envvars=site.operator.environment(), quiet=True)
    stats = {}
    for event in run.events:
        if event["event"] == "playbook_on_stats":
            stats = event["event_data"].get("artifact_data", {})
    return run, stats


def test_deploy_and_rollback_as_jobs(served, tmp_path):
    run, stats = launch(served, tmp_path, "deploy", mobius_release_source=str(served.source("v2")), mobius_version="v2",
                        mobius_auto_rollback=True, mobius_migration="none", mobius_release_ref="")
    assert (run.status, run.rc) == ("successful", 0), run.stdout.read()
    assert (stats["mobius_outcome"], stats["mobius_verdict"]) == ("deployed", "healthy")
    live = stats["mobius_release"]

    with served.spoiled(kind="health"):
        run, stats = launch(served, tmp_path, "deploy", mobius_version="v3", mobius_release_source=str(served.source("v3")),
                            **served.guarded)
    assert (run.status, run.rc) == ("failed", 2)
    assert (stats["mobius_outcome"], stats["mobius_verdict"]) == ("rolled_back", "rolled_back")

    run, stats = launch(served, tmp_path, "deploy", mobius_version="v4", mobius_release_source="/nonexistent")
    assert (run.status, stats["mobius_outcome"]) == ("failed", "failed")

    run, stats = launch(served, tmp_path, "rollback", mobius_release_id="", mobius_backup="", mobius_rollback_data=False)
    assert (run.status, run.rc, stats["mobius_outcome"]) == ("successful", 0, "rolled_back")
    assert (stats["mobius_previous"], stats["mobius_release"]) == (live, served.live())
