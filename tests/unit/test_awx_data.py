"""The data for AWX, and the check of it: what is there has no mistake, and every mistake that is put in is found."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import awx_collection  # noqa: E402
import awx_data  # noqa: E402
import awx_reads  # noqa: E402
import awx_rules  # noqa: E402
import lint_awx  # noqa: E402

pytestmark = pytest.mark.slow  # the tools run in .venv, with its ansible-core
#: File, what is replaced, by what, and what the check says of it.
MISTAKES = {
    # keys, choices and types
    "mistyped key of a template": ("templates.yml", "  forks:", "  fork:", "there is no key fork; perhaps forks"),
    "mistyped key of a project": ("project.yml", "scm_branch:", "scm_brach:", "there is no key scm_brach"),
    "mistyped key of a node": ("workflows.yml", "failure_nodes: [rollback]", "failure_node: [rollback]", "there is no key failure_node"),
    "mistyped key of an approval": ("workflows.yml", "timeout: 86400", "time_out: 86400", "there is no key approval_node.time_out"),
    "mistyped key of a schedule": ("schedules.yml", "rrule:", "rule:", "there is no key rule"),
    "mistyped name of a variable": ("schedules.yml", "controller_schedules", "controller_schedule", "nothing reads it"),
    "wrong choice of job_type": ("templates.yml", "job_type: run", "job_type: execute", "must be one of: run, check"),
    "wrong choice of pull": ("project.yml", "pull: always", "pull: sometimes", "must be one of: always, missing, never"),
    "wrong choice of source": ("project.yml", "source: scm", "source: git", "must be one of: scm"),
    "wrong type of a notification": (
        "notifications.yml",
        "notification_type: webhook",
        "notification_type: hook",
        "must be one of: awssns",
    ),
    "wrong role": ("rbac.yml", "role: approval", "role: approve", "must be one of: admin"),
    "role that a template does not have": ("rbac.yml", "role: execute", "role: use", "AWX has no such role for job_templates"),
    "number that is none": ("templates.yml", "timeout: 14400", "timeout: 4 h", "cannot be converted to an int"),
    "yes that is none": ("project.yml", "allow_override: true", "allow_override: maybe", "is not a valid boolean"),
    "team without an organization": (
        "rbac.yml",
        ', organization: "{{ awx_organization }}"}',
        "}",
        "missing required arguments: organization",
    ),
    # references
    "dead project": ("templates.yml", "project: MOBIUS", "project: MOBUIS", "there is no MOBUIS in controller_projects"),
    "dead inventory": ("templates.yml", "inventory: MOBIUS production", "inventory: MOBIUS prod", "there is no MOBIUS prod"),
    "dead credential": ("templates.yml", "[MOBIUS SSH,", "[MOBIUS key,", "there is no MOBIUS key in controller_credentials"),
    "dead label": ("templates.yml", "labels: [mobius,", "labels: [moebius,", "there is no moebius in controller_labels"),
    "dead notification": ("workflows.yml", "approvals: [MOBIUS approvals]", "approvals: [MOBIUS approval]", "there is no MOBIUS approval "),
    "dead template of a schedule": ("schedules.yml", "MOBIUS health\n", "MOBIUS healthy\n", "there is no MOBIUS healthy"),
    "dead template of a node": ("workflows.yml", "template: MOBIUS smoke test", "template: MOBIUS smoke", "there is no MOBIUS smoke in"),
    "dead team": ("rbac.yml", "teams: [MOBIUS operators]", "teams: [MOBIUS operator]", "there is no MOBIUS operator in controller_teams"),
    "dead credential type": (
        "credentials.yml",
        "credential_type: MOBIUS secrets",
        "credential_type: MOBIUS secret",
        "there is no MOBIUS secret ",
    ),
    "dead link": ("workflows.yml", "success_nodes: [deploy]", "success_nodes: [deployed]", "it leads to deployed, which is no node"),
    "label that nothing has": (
        "project.yml",
        "controller_labels:\n",
        "controller_labels:\n  - {name: old, organization: o}\n",
        "nothing uses it",
    ),
    "two of one name": ("templates.yml", "- name: MOBIUS status", "- name: MOBIUS health", "two objects have this name"),
    "undefined variable": ("templates.yml", "{{ awx_limit }}", "{{ awx_limits }}", "a template in it fails: 'awx_limits' is undefined"),
    # workflows
    "circle": ("workflows.yml", "always_nodes: [report_after_failure]", "always_nodes: [rollback]", "their links make a circle"),
    "two links to one node": (
        "workflows.yml",
        "success_nodes: [watch]",
        "success_nodes: [watch, rollback]",
        "it leads to rollback by two links",
    ),
    "two nodes of one name": ("workflows.yml", "identifier: approve_dev", "identifier: approve_ops", "two nodes have this identifier"),
    "node that does nothing": ("workflows.yml", "        unified_job_template: MOBIUS deploy\n", "", "either a unified_job_template or an"),
    "approval that never ends": ("workflows.yml", "          timeout: 86400\n", "", "it would wait for ever"),
    "variable that a node's survey does not ask": (
        "workflows.yml",
        "{mobius_why: the q",
        "{mobius_reason: the q",
        "does not ask for mobius_reason",
    ),
    "answer that is no choice": (
        "schedules.yml",
        "mobius_verify_level: deep",
        "mobius_verify_level: deeper",
        "'deeper' is none of the choices",
    ),
    "prompt that the template ignores": (
        "workflows.yml",
        "- identifier: watch\n",
        "- identifier: watch\n        forks: 3\n",
        "ignores it, because",
    ),
    "question that the workflow lacks": (
        "workflows.yml",
        "'source version ref",
        "'version ref",
        "needs mobius_release_source, and nothing answers",
    ),
    "variable of a workflow that no node reads": (
        "workflows.yml",
        "extra_vars: {mobius_backup: newest}",
        "extra_vars: {mobius_backups: newest}",
        "no node reads mobius_backups",
    ),
    "variable of a template that it does not read": (
        "templates.yml",
        "      mobius_release_id:",
        "      mobius_release_ids:",
        "rollback reads no mobius_release_ids",
    ),
    # templates
    "playbook without a template": (
        "templates.yml",
        "playbook: restart.yml",
        "playbook: stop.yml",
        "no job template runs playbooks/restart.yml",
    ),
    "playbook that is not there": ("templates.yml", "playbook: drill.yml", "playbook: drills.yml", "there is no playbooks/drills.yml"),
    "fewer forks than hosts": ("templates.yml", '"{{ awx_hosts }}"', "5", "forks: 5 is less than awx_hosts, 20"),
    "two deploys at a time": (
        "templates.yml",
        "allow_simultaneous: false",
        "allow_simultaneous: true",
        "two people deploy at the same time",
    ),
    "no limit": ("templates.yml", '  limit: "{{ awx_limit }}"\n', "", "limit: it is missing"),
    "watch longer than its job": ("surveys.yml", "    max: 7200", "    max: 86400", "is not longer than the watch may last, 86400 seconds"),
    "survey that is turned off": ("templates.yml", "    survey_enabled: true\n", "", "survey_enabled: it must be true with a survey_spec"),
    # surveys
    "variable nobody reads": ("surveys.yml", "variable: mobius_migration", "variable: mobius_migrations", "deploy reads no such setting"),
    "variable another playbook reads": (
        "templates.yml",
        "'watch auto_rollback why'",
        "'watch migration why'",
        "monitor reads no such setting",
    ),
    "needed variable unasked": (
        "templates.yml",
        "Make sure first that no deploy runs\n      spec: \"{{ ['reason']",
        "x\n      spec: \"{{ ['level']",
        "force_unlock needs mobius_why, and nothing asks for it",
    ),
    "needed variable may be empty": (
        "surveys.yml",
        "Needed\n    type: textarea\n    required: true",
        "Needed\n    type: textarea\n    required: false",
        "needs it, so required must be true",
    ),
    "type that AWX does not have": ("surveys.yml", "type: textarea", "type: paragraph", "there is no type paragraph"),
    "type that does not suit": (
        "surveys.yml",
        "type: multiselect",
        "type: multiplechoice",
        "a question of type multiplechoice does not suit",
    ),
    "min above max": ("surveys.yml", "min: 60", "min: 9000", "min 9000 is above max 7200"),
    "default outside of its bounds": ("surveys.yml", "default: 3600", "default: 30", "default 30 is not within min 60 and max 7200"),
    "default that is no choice": ("surveys.yml", "default: none", "default: no migration", "default 'no migration' is none of the choices"),
    "choice that the setting does not have": (
        "surveys.yml",
        "[checksum, deep]",
        "[checksum, deeper]",
        "choice 'deeper' is none of the setting's",
    ),
    "choices that are no text": ("surveys.yml", '["true", "false"]', "[true, false]", "put quotes around true, false and numbers"),
    "number that may be empty": ("surveys.yml", "    default: 2\n", "", "it has no default; only a text may be left empty"),
    "mistyped key of a question": ("surveys.yml", "question_description", "question_descripton", "there is no key question_descripton"),
    "variable that is asked twice": ("templates.yml", "['components', 'why']", "['why', 'reason']", "two questions have this variable"),
    "secret in a survey": ("surveys.yml", "variable: mobius_report_watch", "variable: mobius_dotenv", "a secret is asked for"),
    "question nobody asks": ("templates.yml", "['watch_id']", "['why']", "no survey asks it"),
    # rules
    "rule without a start": ("schedules.yml", "DTSTART:20260105T000500Z ", "", "it begins with DTSTART"),
    "naive start": ("schedules.yml", "DTSTART:20260105T000500Z", "DTSTART:20260105T000500", "give either Z for UTC, or TZID"),
    "day that there is not": ("schedules.yml", "DTSTART:20260105T000500Z", "DTSTART:20260231T000500Z", "there is no such date"),
    "zone that there is not": (
        "schedules.yml",
        "DTSTART:20260105T000500Z",
        "DTSTART;TZID=Europe/Berlino:20260105T000500",
        "no time zone Europe/Berlino",
    ),
    "rule without an interval": ("schedules.yml", "FREQ=DAILY;INTERVAL=1", "FREQ=DAILY", "INTERVAL is missing"),
    "each second": ("schedules.yml", "FREQ=MINUTELY", "FREQ=SECONDLY", "FREQ is MINUTELY"),
    "first Sunday": ("schedules.yml", "BYDAY=SU", "BYDAY=1SU", "without a number, not 1SU"),
    "count and until": ("schedules.yml", "FREQ=HOURLY;", "FREQ=HOURLY;COUNT=3;UNTIL=20270101T000000Z;", "exclude each other"),
    "part that AWX does not take": ("schedules.yml", "BYMONTHDAY=5", "BYYEARDAY=5", "AWX takes no BYYEARDAY"),
    "excluded date": ("schedules.yml", "INTERVAL=3;BYMONTHDAY=5", "INTERVAL=3 EXDATE:20260405T050000Z", "EXDATE: AWX takes one DTSTART"),
    "32nd of a month": ("schedules.yml", "BYMONTHDAY=5", "BYMONTHDAY=32", "BYMONTHDAY is between -31 and 31"),
    # credentials
    "injector that does not parse": ("credentials.yml", '"{{ api_keys }}"', '"{{ api_keys }"', "its template does not parse"),
    "injector with an unknown field": ("credentials.yml", '"{{ load_key }}"', '"{{ loading_key }}"', "'loading_key' is undefined"),
    "file that there is not": (
        "credentials.yml",
        '"{{ load_key }}"',
        '"{{ load_key }}{{ tower.filename }}"',
        "has no attribute 'filename'",
    ),
    "field that is injected nowhere": (
        "credentials.yml",
        '          API_KEY: !unsafe "{{ load_key }}"\n',
        "",
        "field load_key is injected nowhere",
    ),
    "injected setting nobody reads": (
        "credentials.yml",
        "        mobius_dotenv:",
        "        mobius_dotenvs:",
        "mobius_dotenvs is no setting",
    ),
    "variable of Ansible's own": (
        "credentials.yml",
        "    injectors:\n",
        "    injectors:\n      env: {ANSIBLE_CONFIG: x}\n",
        "AWX lets a credential set",
    ),
    "required field that there is not": ("credentials.yml", "required: [api_keys]", "required: [api_key]", "required names api_key"),
    "input that its type does not have": ("credentials.yml", "      api_keys: ", "      api_key: ", "its type has no field api_key"),
    "password that prompts": ("credentials.yml", '"{{ awx_ssh_key }}"', "ASK", "ASK prompts, and a workflow cannot answer"),
}


@pytest.fixture(scope="module", autouse=True)
def _collection():
    awx_collection.bring()


@pytest.fixture
def folder(tmp_path):
    """A copy of the data that a test may spoil."""
    return shutil.copytree(ROOT / "awx", tmp_path / "awx")


def said(folder):
    """What the check says of a folder."""
    return [str(problem) for problem in lint_awx.check(folder)]


def test_the_data_has_no_mistake():
    assert said(ROOT / "awx") == []


def test_there_are_more_than_forty_different_mistakes():
    assert len({mistake[:3] for mistake in MISTAKES.values()}) == len(MISTAKES) > 40


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found(folder, mistake):
    file, old, new, sentence = MISTAKES[mistake]
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    problems = said(folder)
    assert any(sentence in problem for problem in problems), problems
    assert all(problem.startswith("awx/") for problem in problems)


def test_a_new_playbook_is_asked_for_in_one_clear_sentence(monkeypatch):
    names = [*awx_reads.playbooks(), "unheard"]
    monkeypatch.setattr(awx_reads, "playbooks", lambda: names)
    assert said(ROOT / "awx") == [
        "awx/templates.yml: no job template runs playbooks/unheard.yml. Add an entry with playbook: unheard.yml to controller_templates, "
        "then run: .venv/bin/python tools/lint_awx.py --write"
    ]


def test_what_is_missing_of_the_project_is_written(folder):
    path = folder / "project" / "deploy.yml"
    text = path.read_text()
    path.unlink()
    assert "awx/project/deploy.yml does not import it. Run:" in "".join(said(folder))
    lint_awx.write(folder)
    assert path.read_text() == text and said(folder) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("controller_teams: [", "it is no YAML"), ("- a", "it sets no variables"), ("controller_teams: x", "it is no list of objects")],
)
def test_a_file_that_cannot_be_read_is_named(folder, text, sentence):
    (folder / "rbac.yml").write_text(text)
    assert any(problem.startswith("awx/rbac.yml") and sentence in problem for problem in said(folder))


def test_a_mistake_is_told_with_the_folder_that_it_is_in(folder):
    own = folder.rename(folder.with_name("our-awx"))
    path = own / "templates.yml"
    path.write_text(path.read_text().replace("project: MOBIUS", "project: MOBUIS", 1))
    assert said(own) and {problem.partition("/")[0] for problem in said(own)} == {"our-awx"}


def test_a_variable_of_two_files_is_found(folder):
    (folder / "more.yml").write_text("controller_teams: []\n")
    assert any("sets it too; only one of them would count" in problem for problem in said(folder))


def test_objects_that_awx_has_already_may_be_named(folder):
    path = folder / "templates.yml"
    path.write_text(path.read_text().replace("[MOBIUS SSH,", "[our key,", 1))
    settings = folder / "settings.yml"
    settings.write_text(settings.read_text().replace("awx_existing: []", "awx_existing: [our key]"))
    assert said(folder) == ["awx/credentials.yml: MOBIUS SSH: nothing uses it"]


@pytest.mark.parametrize(
    "text",
    [
        "DTSTART;TZID=Europe/Berlin:20260105T013000 RRULE:FREQ=DAILY;INTERVAL=1",
        "DTSTART:20260105T013000Z RRULE:FREQ=DAILY;INTERVAL=1 EXRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SA,SU",
        "DTSTART:20260105T013000Z RRULE:FREQ=YEARLY;INTERVAL=1;BYMONTH=1;COUNT=3",
    ],
)
def test_rules_that_awx_takes_are_taken(text):
    assert list(awx_rules.rrule(text)) == []


@pytest.mark.parametrize(
    "given",
    [
        {"env": {"KEY": "{{ a }}"}, "file": {"template": "{{ a }}"}, "extra_vars": {"f": "{{ tower.filename }}"}},
        {"file": {"template.x": "{{ a }}"}, "extra_vars": {"f": ["{{ tower.filename.x }}"]}},
    ],
)
def test_injectors_that_awx_takes_are_taken(given):
    assert list(awx_rules.injectors(given, {"a"})) == []


def test_templates_see_only_what_a_playbook_includes():
    assert "mobius_release_source" in awx_reads.of("deploy").names and awx_reads.of("deploy").required == {"mobius_release_source"}
    assert "mobius_migration" not in awx_reads.of("monitor").names
    assert awx_reads.of("force_unlock").required == {"mobius_why"}


def test_every_part_of_the_project_is_one_line_for_a_playbook():
    for path in (ROOT / "awx" / "project").glob("*.yml"):
        assert yaml.safe_load(path.read_text()) == [{"ansible.builtin.import_playbook": f"mobius.ops.{path.stem}"}]
    assert {path.stem for path in (ROOT / "awx" / "project").glob("*.yml")} == set(awx_reads.playbooks())


def test_objects_are_made_in_the_order_of_the_playbook_and_removed_in_the_reverse_one():
    made, gone = (
        re.findall(r"^  awx\.awx\.(\w+):", (ROOT / "playbooks" / "tasks" / f"awx_{name}.yml").read_text(), flags=re.M)
        for name in ("present", "absent")
    )
    assert list(dict.fromkeys(made)) == [
        one
        for module in awx_data.MODULES.values()
        for one in (["workflow_job_template_node", module] if module == "schedule" else [module])
    ]
    assert gone == [one for one in reversed(awx_data.MODULES.values()) if one not in ("role", "inventory_source", "label")]


def test_the_command_ends_with_what_it_found(folder):
    command = [sys.executable, str(ROOT / "tools" / "lint_awx.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    path = folder / "schedules.yml"
    path.write_text(path.read_text().replace("FREQ=HOURLY", "FREQ=SECONDLY"))
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout.startswith("awx/schedules.yml: MOBIUS: status, each hour: rrule: FREQ is MINUTELY")


def spots(node):
    """Every place below a node, as its owner and its key there."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()):
        yield node, key
        yield from spots(value)


@pytest.mark.parametrize("odd", [None, [], {}, 5, "x", True, [1], [{}], [None], {"fields": None}], ids=repr)
def test_the_check_survives_any_value_in_any_place(odd):
    data, _problems = awx_data.read(ROOT / "awx")
    plain = json.dumps(data.objects)
    chance = random.Random(repr(odd))
    for _time in range(12):
        objects = json.loads(plain)
        owner, key = chance.choice([spot for listed in objects.values() for one in listed for spot in spots(one)])
        owner[key] = odd
        assert all(isinstance(problem, awx_data.Problem) for problem in lint_awx.problems(dataclasses.replace(data, objects=objects)))


def wheel(folder):
    """A package as small as can be, with awx.awx and another collection in it."""
    with zipfile.ZipFile(folder / "ansible-12.3.0-py3-none-any.whl", "w") as file:
        for name in (f"{awx_collection.INSIDE}MANIFEST.json", "ansible_collections/other/other/MANIFEST.json"):
            file.writestr(name, "{}")
        file.writestr("ansible-12.3.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ansible\nVersion: 12.3.0\n")
        file.writestr("ansible-12.3.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("ansible-12.3.0.dist-info/RECORD", "")


def test_only_awx_awx_of_its_package_is_kept(tmp_path, monkeypatch):
    wheel(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    home = tmp_path / "build" / "awx"
    assert awx_collection.bring(home) == home
    assert [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()] == [f"{awx_collection.INSIDE}MANIFEST.json"]
    assert [path.name for path in home.parent.iterdir()] == ["awx"]


def test_a_package_that_cannot_be_had_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SystemExit, match="Check the package index, then run it again"):
        awx_collection.bring(tmp_path / "awx")
    assert not (tmp_path / "awx").exists()


def test_a_question_that_may_be_left_empty_needs_a_setting_that_takes_that():
    question = {"type": "text", "variable": "mobius_reached", "required": False, "default": ""}
    setting = {"type": "list", "elements": "str", "choices": ["root_cause", "report"]}
    assert list(awx_rules.question_for(question, setting)) == ["it may be left empty, which is none of the setting's choices"]
    assert list(awx_rules.question_for({**question, "required": True}, setting)) == []
    assert list(awx_rules.question_for(question, {**setting, "choices": [*setting["choices"], ""]})) == []
