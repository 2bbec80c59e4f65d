"""Writes docs/settings.md from the argument specs of the roles, so that nothing is written twice.

Usage: settings_doc.py [--check]    with --check it only tells whether the page is up to date
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"
ROLES = (
    "mobius",
    "app",
    "backup",
    "preflight",
    "deploy",
    "rollback",
    "monitor",
    "status",
    "health",
    "ffmpeg",
    "diagnose",
    "respond",
    "logs",
    "cleanup",
    "maintenance",
    "schedule",
    "oncall",
    "incident",
    "smoke_test",
    "report",
)
HEAD = """\
# Settings

<!-- Written by tools/settings_doc.py from roles/*/meta/argument_specs.yml; change those. -->

Set them in an inventory's `group_vars`, or for one run with `-e name=value`. The same text at a shell:
`ansible-doc -t role mobius.ops.mobius`, and `mobius.ops.deploy` and so on for what one run is asked for.

Values may be strings, as AWX surveys send them (`"300"`, `"true"`); a list of words may be one string with commas. Only
text may be empty: a number, a yes or no, or a choice is left out instead. Durations are in seconds. Paths are on the
target unless it says otherwise.
A value with blanks needs two kinds of quotes at a shell: `-e "mobius_why='uploads fail'"`.

`mobius_hosts` is the pattern of hosts that a playbook works on, by default the group `mobius`: `-e mobius_hosts=web1`. Give it with
`-e` only; `--limit` narrows it down. A pattern that no host of the inventory matches is refused.
"""
#: What most hosts set, or look at once; all others have defaults that few change.
EVERYDAY = {
    "Which host, which application": [
        "mobius_env",
        "mobius_root",
        "mobius_user",
        "mobius_profile",
        "mobius_command",
        "mobius_port",
        "mobius_service_environment",
        "mobius_dotenv",
    ],
    "What is deployed": [
        "mobius_release_source",
        "mobius_version",
        "mobius_release_ref",
        "mobius_build_command",
        "mobius_migration",
        "mobius_serial",
    ],
    "Without downtime": ["mobius_proxy_port", "mobius_standby_port", "mobius_state", "mobius_drain_timeout"],
    "Is it well?": [
        "mobius_health_path",
        "mobius_health_assertions",
        "mobius_watch_duration",
        "mobius_auto_rollback",
        "mobius_smoke_after_switch",
        "mobius_public_url",
    ],
    "Who may deploy, and when": ["mobius_approvals", "mobius_preflight_ci", "mobius_deploy_windows", "mobius_deploy_freeze"],
    "Backups": [
        "mobius_shared_folders",
        "mobius_backup_dir",
        "mobius_backup_keep_daily",
        "mobius_backup_keep_weekly",
        "mobius_backup_keep_monthly",
        "mobius_backup_max_age",
        "mobius_backup_sign_key",
    ],
}
#: Entry points that only roles and playbooks call; what they take is no setting.
INTERNAL = {"checks", "outcome", "report"}


def markdown(text: str) -> str:
    """Ansible's markup as Markdown, fit for a table cell."""
    text = re.sub(r"O\(([\w.]+)#module:([\w.]+)\)", r"`\2` of `\1`", text)
    text = re.sub(r"B\(([^)]*)\)", r"**\1**", text)
    text = re.sub(r"[OVCM]\(([^)]*)\)", r"`\1`", text)
    return text.replace("|", "\\|")


def paragraphs(text: str | list[str]) -> str:
    """A description, which may be a list, as one text."""
    return markdown(" ".join(text if isinstance(text, list) else [text]))


def profiles() -> dict[str, dict[str, Any]]:
    """Each profile's defaults, by the profile's name."""
    folder = ROOT / "roles" / "mobius" / "defaults" / "profiles"
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yml"))}


def default_of(name: str, option: dict[str, Any]) -> str:
    """The default as it would be written in YAML; of a long one only that it is there."""
    if option.get("required"):
        return "required"
    if "default" in option:
        return written(option["default"])
    own = {profile: values[name] for profile, values in profiles().items() if name in values}
    if own and not any("{{" in json.dumps(value) for value in own.values()):
        return ", ".join(f"{profile}: {written(value)}" for profile, value in own.items())
    return "see meaning"


def written(value: Any) -> str:
    """A value as code in a table cell."""
    text = value if isinstance(value, str) and value else json.dumps(value)
    return "`" + text.replace("|", "\\|") + "`"


def row(name: str, option: dict[str, Any]) -> str:
    """A setting's line of the table."""
    kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    if "choices" in option:
        kind = ", ".join(f"`{choice}`" for choice in option["choices"])
    return f"| `{name}` | {kind} | {default_of(name, option)} | {paragraphs(option['description'])} |"


def groups(role: str, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The settings by the comments that stand above them in the spec (`# --- title`)."""
    title = ""
    found: list[str] = []
    for line in (ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8").splitlines():
        heading, option = re.match(r" +# --- (.+)", line), re.match(r" {6}(\w+):$", line)
        if heading and names:
            if found:
                yield title, found
            title, found = heading.group(1), []
        elif option and option.group(1) in names:
            found.append(option.group(1))
            names = [name for name in names if name != option.group(1)]
    if found:
        yield title, found


def section(role: str, entry: str, spec: dict[str, Any]) -> list[str]:
    """The part of the page about one entry point."""
    title = f"Role mobius.ops.{role}" + ("" if entry in ("main", "settings") else f": {entry}")
    lines = ["", f"## {title}", "", spec["short_description"] + "."]
    options = spec.get("options") or {}
    shown = {name for names in EVERYDAY.values() for name in names}
    for heading, names in groups(role, [name for name in options if name not in shown]):
        lines += ["", f"### {heading[0].upper()}{heading[1:]}"] if heading else []
        lines += ["", "| name | type | default | meaning |", "|---|---|---|---|"]
        lines += [row(name, options[name]) for name in names]
    return lines


def entry_points() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Role, name and specification of each entry point whose options are settings."""
    for role in ROLES:
        path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
        for entry, spec in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].items():
            if spec.get("options") and entry not in INTERNAL:
                yield role, entry, spec


def everyday(specs: list[dict[str, Any]]) -> list[str]:
    """The part of the page with the settings that most people want."""
    options = {name: option for spec in reversed(specs) for name, option in spec["options"].items()}
    lines = [
        "",
        "## Everyday settings",
        "",
        f"The {sum(map(len, EVERYDAY.values()))} settings that most hosts set, or look at once. "
        "All others follow below, and have defaults that few change.",
    ]
    for title, names in EVERYDAY.items():
        lines += ["", f"### {title}", "", "| name | type | default | meaning |", "|---|---|---|---|"]
        lines += [row(name, options[name]) for name in names]
    return lines


def page() -> str:
    """The whole page."""
    found = list(entry_points())
    lines = everyday([spec for _role, _entry, spec in found])
    for role, entry, spec in found:
        lines += section(role, entry, spec)
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    """Writes or checks the page."""
    if "--check" in sys.argv[1:]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE.relative_to(ROOT)} is out of date. Run: .venv/bin/python tools/settings_doc.py")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
