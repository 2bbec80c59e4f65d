"""The data for AWX: its files read and its templates filled in, as the playbook awx_configure does."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible.template
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader

#: Variable -> the module of awx.awx that each of its objects is given to. The order in which objects are made.
MODULES = {
    "controller_execution_environments": "execution_environment",
    "controller_credential_types": "credential_type",
    "controller_credentials": "credential",
    "controller_notifications": "notification_template",
    "controller_labels": "label",
    "controller_projects": "project",
    "controller_inventories": "inventory",
    "controller_inventory_sources": "inventory_source",
    "controller_teams": "team",
    "controller_templates": "job_template",
    "controller_workflows": "workflow_job_template",
    "controller_schedules": "schedule",
    "controller_roles": "role",
}
NODES = "simplified_workflow_nodes"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, with what, and a sentence."""

    place: str
    subject: str
    text: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.subject, self.text)))


@dataclass(frozen=True)
class Data:
    """The objects, by the name of their variable, and everything else that the files set."""

    folder: Path
    objects: dict[str, list[dict[str, Any]]]
    settings: dict[str, Any]
    files: dict[str, str]

    def of(self, variable: str) -> list[dict[str, Any]]:
        """The objects of one kind."""
        return self.objects.get(variable, [])

    def names(self, *variables: str) -> set[str]:
        """The names of all objects of some kinds."""
        return {str(one.get("name")) for variable in variables for one in self.of(variable)}

    def named(self, variable: str, name: Any) -> dict[str, Any]:
        """An object by its name; empty when there is none."""
        return next((one for one in self.of(variable) if one.get("name") == name), {})

    def problem(self, variable: str, subject: Any, text: str) -> Problem:
        """A problem of an object of that kind."""
        return Problem(f"{self.folder.name}/{self.files.get(variable, '')}", str(subject), text)


@functools.cache
def parsed(name: str, text: str) -> Any:
    """A file as Ansible reads it."""
    trusted = getattr(ansible.template, "trust_as_template", str)(text)  # ansible-core 2.19 fills in no others
    return DataLoader().load(trusted, file_name=f"/awx/{name}")


def raw(folder: Path) -> tuple[dict[str, Any], dict[str, str], list[Problem]]:
    """Every variable of the folder's files as it is written there, and the file of each."""
    values: dict[str, Any] = {}
    files: dict[str, str] = {}
    problems = []
    for path in sorted(folder.glob("*.yml")):
        place = f"{folder.name}/{path.name}"
        try:
            content = parsed(path.name, path.read_text(encoding="utf-8")) or {}
        except AnsibleError as error:
            problems.append(Problem(place, "", f"it is no YAML: {' '.join(str(error).split())}"))
            continue
        if not isinstance(content, dict):
            problems.append(Problem(place, "", "it sets no variables; write NAME: VALUE"))
            continue
        for name, value in content.items():
            if name in values:
                problems.append(Problem(place, name, f"{files[name]} sets it too; only one of them would count"))
            if not name.startswith("awx_") and name not in MODULES:
                problems.append(Problem(place, name, f"nothing reads it; there are awx_… and {', '.join(MODULES)}"))
            values[name], files[name] = value, path.name
    return values, files, problems


def placeholders(folder: Path) -> dict[str, str]:
    """A value for each secret that the files expect from a vault."""
    names = {name for path in folder.glob("*.yml") for name in re.findall(r"\bvault_\w+", path.read_text(encoding="utf-8"))}
    return dict.fromkeys(names, "a secret of the vault")


def read(folder: Path) -> tuple[Data, list[Problem]]:
    """The data of a folder, and what keeps it from being read."""
    values, files, problems = raw(folder)
    templar = ansible.template.Templar(loader=DataLoader(), variables={**placeholders(folder), **values})
    filled: dict[str, Any] = {}
    places = {name: number for number, name in enumerate(MODULES)}
    for name in sorted(values, key=lambda name: places.get(name, -1)):  # what is filled in is not filled in again where it is referred to
        try:
            filled[name] = templar.template(values[name])
            templar.available_variables = {**templar.available_variables, name: filled[name]}
        except AnsibleError as error:
            problems.append(Problem(f"{folder.name}/{files[name]}", name, f"a template in it fails: {' '.join(str(error).split())}"))
    objects = {}
    for name in MODULES:
        given = filled.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            problems.append(Problem(f"{folder.name}/{files[name]}", name, "it is no list of objects"))
            given = []
        objects[name] = given
    return Data(folder, objects, {name: value for name, value in filled.items() if name not in MODULES}, files), problems


def number(value: Any) -> int:
    """A number as AWX reads it; 0 for what is none."""
    return int(value) if re.fullmatch(r"\d+", str(value)) else 0


def table(value: Any) -> dict[str, Any]:
    """A table with names; empty for what is none."""
    return {str(key): one for key, one in value.items()} if isinstance(value, dict) else {}


def listed(value: Any) -> list[str]:
    """Texts of a list, or one text; empty for what is neither."""
    return [str(one) for one in value] if isinstance(value, list) else [value] if isinstance(value, str) and value else []


def tables(value: Any) -> list[dict[str, Any]]:
    """The tables of a list."""
    return [table(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def nodes(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a workflow."""
    return tables(workflow.get(NODES))


def questions(one: dict[str, Any]) -> list[dict[str, Any]]:
    """The questions of a template or a workflow."""
    return tables(table(one.get("survey_spec") or one.get("survey")).get("spec"))
