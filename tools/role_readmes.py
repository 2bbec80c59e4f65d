"""Writes roles/*/README.md from the argument specs of the roles, so that nothing is written twice.

Usage: role_readmes.py [--check]    with --check it only tells whether the pages are up to date
"""

from __future__ import annotations

import re
import sys
from typing import Any

import settings_doc
import yaml

ROLES = settings_doc.ROOT / "roles"
#: Entry points whose many options have a page of their own.
ELSEWHERE = {"settings"}
#: Roles without a scenario of their own, and why.
INTERNAL = {
    "mobius": "It does nothing by itself: it holds the settings, the deploy lock and the outcomes of the other roles. "
    "So it has no scenario of its own; the scenario of each other role tries it."
}
#: What a role for releases finds on the host.
NEEDS = {
    "app": "It needs a host with Python, and no more.",
    "preflight": "It needs a host that the role mobius.ops.app has set up.",
    "deploy": "It needs a host that the role mobius.ops.app has set up. Take `any_errors_fatal` over: several hosts decide together.",
    "rollback": "It needs a host with two verified releases of the role mobius.ops.deploy.",
}
NAME = re.compile(r"\bmobius_\w+")


def specs(role: str) -> dict[str, dict[str, Any]]:
    """A role's entry points."""
    return yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]


def read_by(role: str) -> list[str]:
    """The shared settings that a role's tasks and variables name."""
    shared = set(specs("mobius")["settings"]["options"])
    files = [path for folder in ("tasks", "vars", "defaults") for path in (ROLES / role / folder).rglob("*.yml")]
    return sorted(shared.intersection(*[set().union(*(NAME.findall(path.read_text(encoding="utf-8")) for path in files))]))


def entry_point(role: str, entry: str, spec: dict[str, Any]) -> list[str]:
    """The part of the page about one entry point."""
    call = "" if entry == "main" else f" (`tasks_from: {entry}.yml`)"
    lines = ["", f"## {spec['short_description']}{call}", ""]
    description = spec.get("description") or []
    lines += [f"- {settings_doc.markdown(text)}" for text in ([description] if isinstance(description, str) else description)]
    options = spec.get("options") or {}
    if entry in ELSEWHERE:
        lines += ["", "Its options: [settings](../../docs/settings.md)."]
    elif options:
        lines += ["", "| name | type | default | meaning |", "|---|---|---|---|"]
        lines += [settings_doc.row(name, options[name]) for name in options]
    if spec.get("examples"):
        lines += ["", "```yaml", spec["examples"].rstrip(), "```"]
    return lines


def page(role: str) -> str:
    """A role's page."""
    about = yaml.safe_load((ROLES / role / "meta" / "main.yml").read_text(encoding="utf-8"))["galaxy_info"]
    systems = ", ".join(f"{system['name']} {' and '.join(system['versions'])}" for system in about["platforms"])
    lines = [
        f"# mobius.ops.{role}",
        "",
        "<!-- Written by tools/role_readmes.py from meta/argument_specs.yml; change that. -->",
        "",
        f"{about['description']}. A role of the collection `mobius.ops`: [overview](../../README.md), "
        f"[getting started](../../docs/getting-started.md). The same text at a shell: `ansible-doc -t role mobius.ops.{role}`.",
        "",
        f"Ansible-core {about['min_ansible_version']} or newer on the controller, Python 3.9 or newer on the target; tested on {systems}.",
    ]
    for entry, spec in specs(role).items():
        lines += entry_point(role, entry, spec)
    lines += alone(role)
    used = read_by(role) if role != "mobius" else []
    if used:
        lines += [
            "",
            "## Settings of all roles that it reads",
            "",
            "They are explained in [settings](../../docs/settings.md), and have good defaults unless that page says that they "
            "are required.",
            "",
            ", ".join(f"`{name}`" for name in used) + ".",
        ]
    return "\n".join(lines) + "\n"


def alone(role: str) -> list[str]:
    """The example of the role alone, which is what its scenario runs; or why there is none."""
    if role in INTERNAL:
        return ["", "## This role alone", "", INTERNAL[role]]
    example = (settings_doc.ROOT / "molecule" / f"role-{role}" / "converge.yml").read_text(encoding="utf-8").removeprefix("---\n").rstrip()
    lines = (
        [
            "",
            "## This role alone, for a service that something else deploys",
            "",
            "Nothing else has to be set up on the host. What works then, and what needs more: [adopt a service](../../docs/adopt.md).",
        ]
        if "mobius_adopted" in example
        else ["", "## This role alone", "", NEEDS[role]]
    )
    return [*lines, "", "```yaml", example, "```"]


def main() -> int:
    """Writes or checks the pages."""
    old = []
    for role in settings_doc.ROLES:
        path, text = ROLES / role / "README.md", page(role)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        old.append(str(path.relative_to(settings_doc.ROOT)))
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
    if old and "--check" in sys.argv[1:]:
        print(f"{', '.join(old)}: out of date. Run: .venv/bin/python tools/role_readmes.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
