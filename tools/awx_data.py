"""The data for AWX: its files read and its templates filled in, as the playbook awx_configure does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

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
        return Problem(f"awx/{self.files.get(variable, self.folder.name)}", str(subject), text)


def raw(folder: Path) -> tuple[dict[str, Any], dict[str, str], list[Problem]]:
    """Every variable of the folder's files as it is written there, and the file of each."""
    values: dict[str, Any] = {}
    files: dict[str, str] = {}
    problems = []
    for path in sorted(folder.glob("*.yml")):
        place = f"awx/{path.name}"
        try:
            content = DataLoader().load_from_file(str(path), trusted_as_template=True) or {}
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
    templar = Templar(loader=DataLoader(), variables={**placeholders(folder), **values})
    filled: dict[str, Any] = {}
    for name, value in values.items():
        try:
            filled[name] = templar.template(value)
        except AnsibleError as error:
            problems.append(Problem(f"awx/{files[name]}", name, f"a template in it fails: {' '.join(str(error).split())}"))
    objects = {}
    for name in MODULES:
        given = filled.get(name, [])
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            problems.append(Problem(f"awx/{files[name]}", name, "it is no list of objects"))
            given = []
        objects[name] = given
    return Data(folder, objects, {name: value for name, value in filled.items() if name not in MODULES}, files), problems


def nodes(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a workflow."""
    given = workflow.get(NODES) or []
    return [node for node in given if isinstance(node, dict)] if isinstance(given, list) else []


def questions(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The questions of a template or a workflow."""
    spec = one.get("survey_spec") or one.get("survey") or {}
    for question in (spec.get("spec") if isinstance(spec, dict) else None) or []:
        if isinstance(question, dict):
            yield question
