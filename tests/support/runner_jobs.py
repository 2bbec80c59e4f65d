"""Runs playbooks as AWX does: through ansible-runner, with survey answers as text, and with what earlier jobs of the workflow have left.

A program of its own, so that a test can run it as another user: reads a list of jobs from its standard input, prints a JSON line for each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ansible_runner


def main() -> None:
    """Run the jobs that standard input lists."""
    asked = json.load(sys.stdin)
    folder, left = Path(asked["folder"]), {}
    for number, (playbook, survey) in enumerate(asked["jobs"]):
        answers = {
            name: value.format(**left) if isinstance(value, str) and "{mobius_" in value else value for name, value in survey.items()
        }
        (folder / f"job{number}").mkdir()
        extra = folder / f"{number}.json"
        extra.write_text(json.dumps({**asked["settings"], **left, **answers}), encoding="utf-8")
        run = ansible_runner.run(
            private_data_dir=str(folder / f"job{number}"),
            project_dir=asked["project"],
            inventory=asked["inventory"],
            playbook=f"mobius.ops.{playbook}",
            cmdline=f"--extra-vars @{extra}",
            envvars=asked["environment"],
            quiet=True,
        )
        stats: dict = {}
        for event in run.events:
            if event["event"] == "playbook_on_stats":
                stats = event["event_data"].get("artifact_data", {})
        left.update(stats)
        print(
            json.dumps({"playbook": playbook, "status": run.status, "rc": run.rc, "stats": stats, "output": run.stdout.read()}),
            flush=True,
        )


if __name__ == "__main__":
    main()
