"""Checks the data for AWX without an AWX: what its modules refuse, what AWX refuses, what leads nowhere, and what no playbook reads.

Usage: lint_awx.py [--write] [FOLDER]    with --write it makes the one-line playbooks that are missing in FOLDER/project
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awx_collection
import awx_data
import awx_reads
import awx_rules
import awx_workflows
from awx_data import MODULES, NODES, Data, Problem

#: Option -> the kinds of objects that it may name.
REFERENCES = {
    "project": ["controller_projects"],
    "source_project": ["controller_projects"],
    "inventory": ["controller_inventories"],
    "execution_environment": ["controller_execution_environments"],
    "default_environment": ["controller_execution_environments"],
    "credential": ["controller_credentials"],
    "credentials": ["controller_credentials"],
    "credential_type": ["controller_credential_types"],
    "labels": ["controller_labels"],
    "notification_templates_started": ["controller_notifications"],
    "notification_templates_success": ["controller_notifications"],
    "notification_templates_error": ["controller_notifications"],
    "notification_templates_approvals": ["controller_notifications"],
    "unified_job_template": ["controller_templates", "controller_workflows", "controller_projects", "controller_inventory_sources"],
    "job_templates": ["controller_templates"],
    "workflows": ["controller_workflows"],
    "inventories": ["controller_inventories"],
    "projects": ["controller_projects"],
    "teams": ["controller_teams"],
}
BUILT_IN = {"Machine", "Source Control", "Vault", "Container Registry", "Red Hat Ansible Automation Platform"}
#: What is made to be used, and what uses it.
USED = {
    "controller_labels": ["labels"],
    "controller_credentials": ["credentials", "credential"],
    "controller_credential_types": ["credential_type"],
    "controller_notifications": [name for name in REFERENCES if name.startswith("notification_")],
}
#: Which roles AWX knows for each kind of object.
ROLES = {
    "job_templates": {"admin", "execute", "read"},
    "workflows": {"admin", "execute", "read", "approval"},
    "inventories": {"admin", "update", "adhoc", "use", "read"},
    "projects": {"admin", "use", "update", "read"},
    "credentials": {"admin", "use", "read"},
}
#: Playbooks that wait for a watch to end.
WATCHING = {"deploy", "monitor"}
WATCH = "mobius_watch_duration"


def of_modules(data: Data) -> Iterator[Problem]:
    """Every object is one that its module of awx.awx accepts, and there is one of each name."""
    for variable, module in MODULES.items():
        for number, one in enumerate(data.of(variable), 1):
            subject = one.get("name", f"object {number}")
            given = {key: value for key, value in one.items() if key != NODES}
            for text in awx_collection.problems(module, given):
                yield data.problem(variable, subject, text)
        for name, count in Counter(str(one["name"]) for one in data.of(variable) if "name" in one).items():
            if count > 1 and variable != "controller_credentials":
                yield data.problem(variable, name, "two objects have this name")


def of_references(data: Data) -> Iterator[Problem]:
    """Every name that an object gives is the name of another one; what is made is used."""
    existing = set(awx_data.listed(data.settings.get("awx_existing")))
    used: dict[str, set[str]] = {}
    for variable in MODULES:
        for one in data.of(variable):
            for owner in (one, *awx_data.nodes(one)):
                for option, kinds in REFERENCES.items():
                    names = awx_data.listed(owner.get(option))
                    used.setdefault(option, set()).update(names)
                    known = data.names(*kinds) | existing | (BUILT_IN if option == "credential_type" else set())
                    for name in sorted(set(names) - known):
                        subject, text = one.get("name", one.get("role")), f"{option}: there is no {name} in {' or '.join(kinds)}"
                        yield data.problem(variable, subject, text)
    for variable, options in USED.items():
        for name in sorted(data.names(variable).difference(*(used.get(option, set()) for option in options))):
            yield data.problem(variable, name, "nothing uses it")


def fields_of(kind: dict[str, Any]) -> set[str]:
    """The fields of a credential type."""
    return {str(field.get("id")) for field in awx_data.tables(awx_data.table(kind.get("inputs")).get("fields"))}


def injected(kind: dict[str, Any]) -> set[str]:
    """The extra variables that a credential type injects."""
    return set(awx_data.table(awx_data.table(kind.get("injectors")).get("extra_vars")))


def of_credentials(data: Data) -> Iterator[Problem]:
    """Fields and injectors of credential types, and the inputs of credentials."""
    for one in data.of("controller_credential_types"):
        wrong = list(awx_rules.inputs(one.get("inputs")))
        if not wrong:
            wrong += awx_rules.injectors(one.get("injectors"), fields_of(one))
        if not wrong:
            wrong += awx_rules.unused(awx_data.table(one.get("injectors")), fields_of(one))
        for name in injected(one):
            if name not in awx_reads.options():
                wrong.append(f"extra_vars: {name} is no setting of this collection")
        for text in wrong:
            yield data.problem("controller_credential_types", one.get("name"), text)
    for one in data.of("controller_credentials"):
        kind, given = data.named("controller_credential_types", one.get("credential_type")), awx_data.table(one.get("inputs"))
        for name, value in given.items():
            if value == "ASK":
                yield data.problem("controller_credentials", one.get("name"), f"{name}: ASK prompts, and a workflow cannot answer")
        if kind:
            for name in sorted(set(given) - fields_of(kind)):
                yield data.problem("controller_credentials", one.get("name"), f"its type has no field {name}")
            for name in sorted(set(awx_data.listed(awx_data.table(kind.get("inputs")).get("required"))) - set(given)):
                yield data.problem("controller_credentials", one.get("name"), f"its type requires {name}")


def playbook_of(template: dict[str, Any]) -> str:
    """The playbook of the collection that a template runs."""
    return str(template.get("playbook", "")).removesuffix(".yml")


def given_to(data: Data, template: dict[str, Any]) -> set[str]:
    """The variables that a template passes on, whatever is answered."""
    names = set(awx_data.table(template.get("extra_vars")))
    for name in awx_data.listed(template.get("credentials")):
        names |= injected(data.named("controller_credential_types", data.named("controller_credentials", name).get("credential_type")))
    return names


def of_templates(data: Data) -> Iterator[Problem]:
    """A template for each playbook, which never runs twice at a time, and is given the time and the forks that it needs."""
    variable = "controller_templates"
    have = {playbook_of(one) for one in data.of(variable)}
    for name in awx_reads.playbooks():
        if name not in have:
            yield Problem(
                f"{data.folder.name}/templates.yml",
                "",
                f"no job template runs playbooks/{name}.yml. Add an entry with playbook: {name}.yml "
                "to controller_templates, then run: .venv/bin/python tools/lint_awx.py --write",
            )
    for one in data.of(variable):
        for text in of_template(data, one):
            yield data.problem(variable, one.get("name"), text)
        for text in of_survey(data, one):
            yield data.problem(variable, one.get("name"), text)


def of_template(data: Data, one: dict[str, Any]) -> Iterator[str]:
    """One template by itself, without its survey."""
    name = playbook_of(one)
    if name not in awx_reads.playbooks():
        yield f"playbook: there is no playbooks/{one.get('playbook', '')}"
        return
    line, path = one_line(name), data.folder / "project" / f"{name}.yml"
    if not path.is_file() or line not in path.read_text(encoding="utf-8"):
        yield f"playbook: {data.folder.name}/project/{name}.yml does not import it. Run: .venv/bin/python tools/lint_awx.py --write"
    if awx_data.number(one.get("forks")) < awx_data.number(data.settings.get("awx_hosts")):
        yield f"forks: {one.get('forks', 'none')} is less than awx_hosts, {data.settings.get('awx_hosts')}"
    if one.get("allow_simultaneous") is not False:
        yield "allow_simultaneous: it must be false, or two people deploy at the same time"
    if not one.get("limit"):
        yield "limit: it is missing; without it a job may touch every host of the inventory"
    asked = [question for question in awx_data.questions(one) if question.get("variable") == WATCH]
    longest = max([3600, *(awx_data.number(question.get("max")) for question in asked)])
    if name in WATCHING and awx_data.number(one.get("timeout")) <= longest:
        yield f"timeout: {one.get('timeout', 'none')} is not longer than the watch may last, {longest} seconds"
    for extra in sorted(set(awx_data.table(one.get("extra_vars"))) - awx_reads.of(name).names):
        yield f"extra_vars: {name} reads no {extra}"


def of_survey(data: Data, one: dict[str, Any]) -> Iterator[str]:
    """A template's survey: its questions, that each is read, and that nothing needed is missing."""
    spec, name = one.get("survey_spec"), playbook_of(one)
    if bool(one.get("survey_enabled")) != bool(spec):
        yield "survey_enabled: it must be true with a survey_spec, and false without one"
    if spec:
        yield from awx_rules.survey(spec)
    reads, asked = awx_reads.of(name), {str(question.get("variable")) for question in awx_data.questions(one)}
    for question in awx_data.questions(one):
        variable = str(question.get("variable"))
        for text in awx_rules.question_for(question, awx_reads.options().get(variable, {})):
            yield f"question {variable}: {text}"
        if variable not in reads.names or variable not in awx_reads.options():
            yield f"question {variable}: {name} reads no such setting"
        if variable in reads.required and question.get("required") is False:
            yield f"question {variable}: {name} needs it, so required must be true"
    for variable in sorted(reads.required - asked - given_to(data, one)):
        yield f"{name} needs {variable}, and nothing asks for it"


def of_questions(data: Data) -> Iterator[Problem]:
    """Every question is asked somewhere."""
    kinds = ("controller_templates", "controller_workflows")
    asked = [question for kind in kinds for one in data.of(kind) for question in awx_data.questions(one)]
    for name, question in awx_data.table(data.settings.get("awx_questions")).items():
        if question not in asked:
            yield data.problem("awx_questions", name, "no survey asks it")


def of_roles(data: Data) -> Iterator[Problem]:
    """Who may do what: to a team, and only what AWX knows for that kind of object."""
    for one in data.of("controller_roles"):
        subject, targets = str(one.get("role")), [kind for kind in ROLES if one.get(kind)]
        if not one.get("teams"):
            yield data.problem("controller_roles", subject, "teams: nobody is given it")
        if not targets:
            yield data.problem("controller_roles", subject, f"it is given for nothing; name {', '.join(ROLES)}")
        for kind in targets:
            if subject not in ROLES[kind]:
                yield data.problem("controller_roles", subject, f"AWX has no such role for {kind}; it has {', '.join(sorted(ROLES[kind]))}")


def one_line(name: str) -> str:
    """What the project's playbook says."""
    return f"- ansible.builtin.import_playbook: mobius.ops.{name}\n"


def write(folder: Path) -> None:
    """Make the one-line playbooks that are missing."""
    for name in awx_reads.playbooks():
        path = folder / "project" / f"{name}.yml"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"---\n{one_line(name)}", encoding="utf-8")


def problems(data: Data) -> list[Problem]:
    """Everything that is wrong with the data."""
    parts = (of_modules, of_references, of_credentials, of_templates, of_questions, of_roles, awx_workflows.check)
    return [problem for part in parts for problem in part(data)]


def check(folder: Path) -> list[Problem]:
    """Everything that is wrong with the data of a folder, and what keeps it from being read."""
    awx_collection.bring()
    data, unread = awx_data.read(folder)
    return unread + problems(data)


def main(words: list[str]) -> int:
    """Prints every problem; the exit status says whether there was one."""
    folders = [Path(word).resolve() for word in words if not word.startswith("-")] or [awx_reads.ROOT / "awx"]
    if "--write" in words:
        write(folders[0])
    found = [problem for folder in folders for problem in check(folder)]
    for problem in found:
        print(problem)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
