# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The modules that are shown live are, to a playbook, the modules they were: defaults of the group, check mode, diff, results."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path

import pytest
from support.trial import Run

ROOT = Path(__file__).resolve().parents[4]
LIVE = ["backup", "backup_info", "backup_restore", "backup_prune", "backup_drill"]
#: Facts that differ from one run to the next.
OWN = {
    "archive",
    "sha256",
    "size",
    "elapsed",
    "full",
    "diff",
    "downtime",
    "safety_backup",
    "started",
    "ended",
    "report",
    "report_json",
    "scratch",
    "steps",
    "created",
    "age",
    "recovery_time",
    "message",
    "kept",
}


@pytest.fixture
def play(tmp_path, state_host):
    """``play(tasks, *options)`` on a host that has state, with the root and the environment as defaults of the modules."""

    def run(tasks, *options, **defaults):
        for number, task in enumerate(tasks):
            task.setdefault("register", f"result{number}")
        names = ", ".join(f"'{task['register']}': {task['register']}" for task in tasks)
        keep = {
            "ansible.builtin.copy": {"content": "{{ {" + names + "} | to_json }}", "dest": str(tmp_path / "results")},
            "check_mode": False,
            "diff": False,
        }
        plays = [
            {
                "hosts": "all",
                "gather_facts": False,
                "tasks": [*tasks, keep],
                "module_defaults": {"group/mobius.ops.all": {"root": state_host.root, "env": state_host.env, **defaults}},
            }
        ]
        (tmp_path / "play.yml").write_text(json.dumps(plays))
        argv = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            "localhost,",
            "-c",
            "local",
            "play.yml",
            "-e",
            f"ansible_python_interpreter={sys.executable} ansible_async_dir={tmp_path / 'jobs'}",
            *options,
        ]
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections")}
        done = Run(argv, env, tmp_path).end(120)
        assert done.process.returncode == 0, done.output
        return json.loads((tmp_path / "results").read_text()), done.output

    return run


def test_defaults_of_the_group_and_results(play, state_host):
    results, output = play(
        [
            {"mobius.ops.backup": {}},
            {"mobius.ops.backup": {"progress": "none", "full_every": 0}},
            {"mobius.ops.backup_info": {"verify": "deep"}},
            {"mobius.ops.backup_info": {"verify": "deep", "progress": "none"}},
            {"mobius.ops.backup_restore": {"archive": "{{ result0.archive }}"}},
            {"mobius.ops.backup_restore": {"archive": "{{ result0.archive }}", "progress": "none"}},
            {"mobius.ops.backup_drill": {}},
            {"mobius.ops.backup_drill": {"progress": "none"}},
            {"mobius.ops.backup_prune": {"keep_last": 100}},
            {"mobius.ops.backup_prune": {"keep_last": 100, "progress": "none"}},
            {"mobius.ops.backup": {"root": "/nonexistent"}, "ignore_errors": True},
            {"mobius.ops.backup": {"root": "/nonexistent", "progress": "none"}, "ignore_errors": True},
        ],
        "--diff",
    )
    assert results["result0"]["archive"].startswith(state_host.layout.backups) and "+archive " in output
    for number in range(0, len(results), 2):
        live, plain = (
            {name: value for name, value in results[f"result{which}"].items() if name not in OWN} for which in (number, number + 1)
        )
        assert set(results[f"result{number}"]) == set(results[f"result{number + 1}"]), number
        if number not in (2, 8):  # lists that hold archives
            assert live == plain, number
    assert results["result10"]["msg"] == results["result11"]["msg"] and results["result10"]["failed"]


def test_check_mode_changes_nothing(play, state_host, snapshot):
    archive = state_host.backup()["archive"]
    before = snapshot(state_host.root)
    results, _output = play(
        [
            {"mobius.ops.backup": {}},
            {"mobius.ops.backup_restore": {"archive": archive}},
            {"mobius.ops.backup_info": {}},
            {"mobius.ops.backup_prune": {"keep_last": 1}},
            {"mobius.ops.backup_drill": {}},
        ],
        "--check",
    )
    assert snapshot(state_host.root) == before
    assert results["result0"]["status"] == "planned" and results["result1"]["restored"] and results["result4"]["verdict"] == "planned"


@pytest.mark.parametrize("name", LIVE)
def test_each_is_a_few_lines(name):
    """Nothing but the class: what they do is in one place."""
    tree = ast.parse((ROOT / "plugins" / "action" / f"{name}.py").read_text(encoding="utf-8"))
    [action] = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [base.id for base in action.bases] == ["BackgroundAction"] and len(action.body) == 1
