"""What each playbook reads: the variables that a survey may ask for, and those that somebody has to give."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"\b[a-z]\w*_\w+")
#: A part of all others, and the one that applies the data: neither is a job.
NO_JOBS = {"hosts", "awx_configure"}
#: Every playbook reads them before its roles do.
ALWAYS = {"mobius_hosts", "mobius_become", "mobius_operator", "mobius_env"}


@dataclass(frozen=True)
class Reads:
    """The variables that one playbook reads, and the options among them that it cannot do without."""

    names: frozenset[str]
    required: frozenset[str]


@functools.cache
def text_of(path: Path) -> str:
    """A file's text without its comments."""
    return re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.M)


@functools.cache
def load(path: Path) -> Any:
    """A YAML file of ours."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@functools.cache
def options() -> dict[str, dict[str, Any]]:
    """Every option of a role's entry points; of one that several have, the first."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for spec in load(path)["argument_specs"].values():
            for name, option in (spec.get("options") or {}).items():
                found.setdefault(name, option)
    return found


def is_required(option: dict[str, Any]) -> bool:
    """Whether nothing works without it. One that has no usable default says so: "Needed."."""
    return bool(option.get("required")) or re.search(r"\bNeeded\.", str(option.get("description"))) is not None


def includes(text: str, role: str) -> set[tuple[str, str]]:
    """The (role, task file) that a playbook or a task file includes."""
    found = {
        (name, f"{tasks or 'main'}.yml")
        for name, tasks in re.findall(r"(?:role|name): mobius\.ops\.(\w+)(?:\s+tasks_from: (\w+)\.yml)?", text)
    }
    return found | {(role, name) for name in re.findall(r"(?:include|import)_tasks: (\w+\.yml)", text) if role}


def reached(playbook: str) -> set[tuple[str, str]]:
    """Every (role, task file) that a playbook may come to."""
    todo = includes(text_of(ROOT / "playbooks" / f"{playbook}.yml"), "")
    done: set[tuple[str, str]] = set()
    while todo:
        role, name = one = todo.pop()
        done.add(one)
        path = ROOT / "roles" / role / "tasks" / name
        if path.is_file():
            todo |= includes(text_of(path), role) - done
    return done


def entry_options(role: str, tasks: str) -> dict[str, dict[str, Any]]:
    """The options of a role's entry point."""
    path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    specs = load(path)["argument_specs"] if path.is_file() else {}
    found: dict[str, dict[str, Any]] = (specs.get(tasks.removesuffix(".yml")) or {}).get("options") or {}
    return found


@functools.cache
def through_defaults() -> dict[str, frozenset[str]]:
    """Setting -> the other settings that its default is made of."""
    defaults = load(ROOT / "roles" / "mobius" / "defaults" / "main.yml")
    return {name: frozenset(NAME.findall(str(value))) for name, value in defaults.items()}


@functools.cache
def of(playbook: str) -> Reads:
    """What *playbook* reads; nothing when it is not there."""
    if not (ROOT / "playbooks" / f"{playbook}.yml").is_file():
        return Reads(frozenset(), frozenset())
    files = [ROOT / "playbooks" / f"{playbook}.yml"]
    required: set[str] = set()
    for role, tasks in reached(playbook):
        files.append(ROOT / "roles" / role / "tasks" / tasks)
        files += (ROOT / "roles" / role / "vars").glob("*.yml")
        if role != "mobius":
            files += (ROOT / "roles" / role / "defaults").glob("*.yml")
    for role, tasks in includes(text_of(files[0]), ""):
        required |= {name for name, option in entry_options(role, tasks).items() if name.startswith("mobius_") and is_required(option)}
    names = set(ALWAYS).union(*(NAME.findall(text_of(path)) for path in files if path.is_file()))
    todo = set(names)
    while todo:
        todo = set(through_defaults().get(todo.pop(), ())) - names | todo
        names |= todo
    return Reads(frozenset(names), frozenset(required))


def playbooks() -> list[str]:
    """Every playbook that is a job."""
    return sorted({path.stem for path in (ROOT / "playbooks").glob("*.yml")} - NO_JOBS)
