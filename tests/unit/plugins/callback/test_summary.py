# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files for pipelines: a JSON object and a JUnit report, however a run ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import JUnitXml
from support.playbooks import ROOT

from ansible_collections.mobius.ops.plugins.callback import summary
from ansible_collections.mobius.ops.plugins.plugin_utils import run_summary

FIELDS = ["schema", "playbook", "outcome", "good", "message", "environment", "release", "hosts", "began", "seconds", "facts"]
FIND = [{"ansible.builtin.import_playbook": "mobius.ops.hosts"}]


def end(outcome: str, good: bool) -> dict:
    """The end of a playbook."""
    return {
        "ansible.builtin.include_role": {"name": "mobius.ops.mobius", "tasks_from": "outcome.yml"},
        "vars": {
            "mobius_env": "local",
            "mobius_outcome_word": outcome,
            "mobius_outcome_good": good,
            "mobius_outcome_message": "It is {{ 6 * 7 }}.",
            "mobius_outcome_facts": {"mobius_release": "v1-00000000", "mobius_downtime": 0.5},
        },
    }


@pytest.fixture
def play(tmp_path):
    """Play tasks on the hosts of the group mobius: exit status, output, the JSON object, and the report's cases by name."""

    def run(*tasks: dict, hosts: dict | None = None, enabled: bool = True, settings: dict | None = None):
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        (tmp_path / "hosts.json").write_text(json.dumps({"mobius": {"hosts": {"web1": local, "web2": local} if hosts is None else hosts}}))
        (tmp_path / "empty.cfg").write_text("")
        book = tmp_path / "deploy.yml"
        book.write_text(json.dumps([*FIND, {"hosts": "mobius", "gather_facts": False, "tasks": tasks}]))
        names = {"mobius_summary_file": str(tmp_path / "out" / "summary.json"), "mobius_junit_file": str(tmp_path / "out" / "junit.xml")}
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg") if enabled else str(tmp_path / "empty.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
        }
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(tmp_path / "hosts.json"),
            str(book),
            "-e",
            json.dumps(names if settings is None else settings),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        written, junit = tmp_path / "out" / "summary.json", tmp_path / "out" / "junit.xml"
        told = json.loads(written.read_text()) if written.exists() else None
        cases = {case.name: case for suite in JUnitXml.fromfile(str(junit)) for case in suite} if junit.exists() else {}
        return done.returncode, done.stdout + done.stderr, told, cases

    return run


def test_a_good_end(play):
    status, output, told, cases = play(end("deployed", True))
    assert status == 0, output
    assert list(told) == FIELDS and told["schema"] == 1 and told["seconds"] > 0 and told["began"].endswith("Z")
    assert {name: told[name] for name in ("playbook", "outcome", "good", "message", "environment", "release", "hosts", "facts")} == {
        "playbook": "mobius.ops.deploy",
        "outcome": "deployed",
        "good": True,
        "message": "It is 42.",
        "environment": "local",
        "release": "v1-00000000",
        "hosts": {"web1": "ok", "web2": "ok"},
        "facts": {"mobius_release": "v1-00000000", "mobius_downtime": 0.5},
    }
    assert cases["outcome"].is_passed and cases["outcome"].system_out == "DEPLOYED: It is 42."


def test_a_bad_end_has_what_was_rescued(play):
    rescued = {
        "block": [{"name": "Switch", "ansible.builtin.fail": {"msg": "it \x1b[1mcrashed <now>"}, "vars": {"mobius_step": "Switch…"}}],
        "rescue": [{"ansible.builtin.debug": {"msg": "going back"}}],
    }
    status, output, told, cases = play(rescued, end("rolled_back", False))
    assert status == 2 and (told["outcome"], told["good"], told["message"]) == ("rolled_back", False, "It is 42."), output
    assert told["hosts"] == {"web1": "failed", "web2": "failed"}
    assert cases["Switch [web1]"].result[0].text == "Switch: it ?[1mcrashed <now>"
    assert cases["outcome"].result[0].message == "ROLLED_BACK: It is 42."


def test_a_run_that_fails_before_its_end_says_why(play):
    status, output, told, cases = play({"name": "Check the settings", "ansible.builtin.fail": {"msg": "mobius_port: expected a number"}})
    assert status == 2 and (told["outcome"], told["good"]) == ("failed", False), output
    assert told["message"] == "Check the settings: mobius_port: expected a number"
    assert cases["Check the settings [web1]"].result[0].text == told["message"] and not cases["outcome"].is_passed


def test_a_host_that_cannot_be_reached(play):
    dead = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ConnectTimeout=2"}
    status, output, told, _cases = play({"ansible.builtin.ping": {}}, hosts={"web1": dead})
    assert status == 4 and told["hosts"] == {"web1": "unreachable"} and told["message"].startswith("web1 was not reached: "), output


def test_a_run_that_is_killed_has_left_a_failure(play):
    kill = {"ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', 'kill -9 $(cut -d\" \" -f4 /proc/$PPID/stat)') }}"}}
    status, output, told, cases = play(kill)
    assert status == -9 and (told["outcome"], told["good"], told["message"]) == ("failed", False, run_summary.UNFINISHED), output
    assert not cases["outcome"].is_passed


def test_no_host_is_a_failure_too(play):
    status, _output, told, _cases = play(end("deployed", True), hosts={})
    assert status != 0 and told["outcome"] == "failed"


def test_a_file_that_nothing_would_write_is_refused(play):
    status, output, told, _cases = play(end("deployed", True), enabled=False)
    assert status == 2 and "the callback that writes them is not enabled" in " ".join(output.split()) and told is None


def test_nothing_is_written_unless_asked_for(play, tmp_path):
    status, _output, told, _cases = play(end("deployed", True), settings={})
    assert status == 0 and told is None and not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_written_is_a_warning(play, tmp_path):
    (tmp_path / "file").write_text("")
    status, output, _told, _cases = play(end("deployed", True), settings={"mobius_summary_file": str(tmp_path / "file" / "summary.json")})
    assert status == 0 and "summary.json was not written: File exists." in " ".join(output.split()), output


def test_it_is_enabled_by_the_name_that_playbooks_ask_for():
    for path in ("ansible.cfg", "playbooks/hosts.yml"):
        assert summary.CallbackModule.CALLBACK_NAME in (ROOT / path).read_text(encoding="utf-8")
    assert all(summary.CallbackModule.CALLBACK_NAME in path.read_text() for path in (ROOT / "docs" / "pipelines").glob("*.yml"))


def test_rows_of_gates_are_cases():
    checks = [
        {"name": "disk", "status": "failed", "found": "1 MB"},
        {"name": "ci", "status": "waived", "found": ""},
        {"name": "port", "status": "passed", "found": "free"},
        {"odd": 1},
    ]
    rows = run_summary.gates("mobius.ops.preflight", "web1", {"checks": checks})
    assert [(row.name, row.status, row.text, row.group) for row in rows] == [
        ("disk [web1]", "failed", "1 MB", "preflight"),
        ("ci [web1]", "skipped", "", "preflight"),
        ("port [web1]", "passed", "free", "preflight"),
    ]
    tests = [{"name": "upload", "status": "failed", "reason": "status 500", "seconds": 1.5}]
    (row,) = run_summary.gates("mobius.ops.smoke_test", "web1", {"tests": tests})
    assert (row.text, row.seconds, row.group) == ("status 500", 1.5, "smoke_test")
    assert run_summary.gates("ansible.builtin.ping", "web1", {"checks": checks}) == [] and not run_summary.gates(
        "mobius.ops.preflight", "w", {}
    )
