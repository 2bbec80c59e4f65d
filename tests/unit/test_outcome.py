# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How playbooks end: what several hosts leave for a workflow, and that nobody's text is taken for a template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from support.playbooks import ROOT

EVIL = "{{ 6 * 7 }} {% set x = 1 %}"
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.slurp": {"src": "{{ text_file }}"}, "register": "read"},
            {
                "ansible.builtin.include_role": {"name": "mobius.ops.mobius", "tasks_from": "outcome.yml"},
                "vars": {
                    "mobius_env": "local",
                    "mobius_outcome_word": "{{ outcome }}",
                    "mobius_outcome_good": "{{ outcome != 'failed' }}",
                    "mobius_outcome_message": "{{ inventory_hostname }} found {{ read.content | b64decode }}",
                    "mobius_outcome_facts": {"mobius_found": "{{ read.content | b64decode }}"},
                },
            },
        ],
    }
]


@pytest.fixture
def end(tmp_path):
    """Play the end of a playbook on hosts that have these outcomes: exit status, output, what was left."""

    def run(*options: str, **outcomes: str) -> tuple[int, str, dict]:
        (tmp_path / "text").write_text(EVIL)
        (tmp_path / "play.yml").write_text(json.dumps(PLAY))
        hosts = {
            name: {
                "outcome": outcome,
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "text_file": str(tmp_path / "text"),
            }
            for name, outcome in outcomes.items()
        }
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        stats = tmp_path / "stats.json"
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "support" / "callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "stats_file",
            "MOBIUS_STATS_FILE": str(stats),
        }
        program = Path(sys.executable).with_name("ansible-playbook")
        command = [str(program), "-i", str(tmp_path / "hosts.json"), str(tmp_path / "play.yml"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr, json.loads(stats.read_text())

    return run


def test_the_worst_outcome_is_left_and_each_host_says_its_own(end):
    status, output, left = end(one="unchanged", two="failed", three="deployed")
    assert status == 2 and (left["mobius_outcome"], left["mobius_message"]) == ("failed", f"two found {EVIL}"), output
    for host, word in (("one", "UNCHANGED"), ("two", "FAILED"), ("three", "DEPLOYED")):
        assert f"{word}: {host} found {EVIL}" in output
    assert left["mobius_found"] == EVIL and left["mobius_env"] == "local"


def test_a_change_counts_more_than_none(end):
    status, output, left = end(one="unchanged", two="deployed", three="unchanged")
    assert status == 0 and left["mobius_outcome"] == "deployed", output


def test_what_an_earlier_job_of_a_workflow_left_does_not_count(end):
    status, output, left = end("-e", json.dumps({"mobius_outcome": "ready", "mobius_message": "earlier"}), one="failed")
    assert status == 2 and (left["mobius_outcome"], left["mobius_message"]) == ("failed", f"one found {EVIL}"), output


def left(node: t.Any) -> t.Iterator[str]:
    """The names that a role leaves beside its outcome."""
    if isinstance(node, dict):
        told = node.get("mobius_outcome_facts")
        yield from told if isinstance(told, dict) else ()
        node = list(node.values())
    for one in node if isinstance(node, list) else ():
        yield from left(one)


def test_no_figure_is_taken_for_a_setting_by_the_next_job_of_a_workflow():
    """AWX gives what a job has left to the next one as extra variables. Only an archive and an incident are left for that."""
    names = {name for path in ROOT.glob("roles/*/tasks/*.yml") for name in left(yaml.safe_load(path.read_text()))}
    specs = [yaml.safe_load(path.read_text())["argument_specs"] for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    settings = {name for spec in specs for entry in spec.values() for name in entry.get("options") or {}}
    assert names & settings == {"mobius_backup", "mobius_incident"} and len(names) > 30
