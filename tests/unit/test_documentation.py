"""The documentation says what the code does: links, playbooks, settings, defaults, outcomes."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.mobius.ops.plugins.filter import (
    cleanup_page,
    deploy_end,
    diagnosis_page,
    ffmpeg_page,
    incidents_page,
    restore_end,
    rollback_end,
)
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "roles").glob("*/README.md"))]
#: Inputs of entry points that the defaults of the role mobius do not know.
OF_ENTRY_POINTS = re.compile(r"mobius_(outcome(_\w+)?|lock_reason)$")


def page_id(path: Path) -> str:
    """How pytest calls a page."""
    return str(path.relative_to(ROOT))


def load(path: str) -> dict:
    """A YAML file of the collection."""
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@functools.cache
def defaults() -> dict:
    """Every shared setting with its default."""
    return load("roles/mobius/defaults/main.yml")


def specs() -> Iterator[tuple[str, str, dict]]:
    """Role, entry point and its options, of every spec."""
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for entry, spec in load(str(path))["argument_specs"].items():
            yield path.parent.parent.name, entry, spec.get("options") or {}


@functools.cache
def described() -> dict[str, list[dict]]:
    """Setting -> its descriptions."""
    found: dict[str, list[dict]] = {}
    for _role, _entry, options in specs():
        for name, option in options.items():
            found.setdefault(name, []).append(option)
    return found


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    """Every anchor of a page, code blocks left out."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, flags=re.M)}


def left_by_playbooks() -> set[str]:
    """Names that playbooks and rulebooks take for themselves or leave by set_stats."""
    paths = [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "extensions" / "eda").rglob("*.yml")]
    return {name for path in paths for name in re.findall(r"\bmobius_\w+", path.read_text(encoding="utf-8"))}


def test_every_page_is_there():
    names = {page_id(path) for path in PAGES}
    pages = ("getting-started", "runbook", "architecture", "settings", "troubleshooting")
    assert {f"docs/{name}.md" for name in pages} <= names


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _hash, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {target}"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading in {target.name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_playbooks_and_plugins_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"(?:ansible-playbook|^ops|`ops)\b[^\n`]*? mobius\.ops\.(\w+)", text, flags=re.M):
        assert (ROOT / "playbooks" / f"{name}.yml").is_file(), f"there is no playbook {name}"
    known = {
        path.stem
        for kind in ("playbooks", "plugins/modules", "plugins/callback", "roles", "extensions/eda/rulebooks")
        for path in (ROOT / kind).iterdir()
    }
    for name in re.findall(r"\bmobius\.ops\.([a-z_]+)", text):
        assert name in known, f"mobius.ops.{name} is no playbook, module, callback, role or rulebook"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_settings_that_are_named_exist(page):
    known = set(defaults()) | left_by_playbooks()
    for name in set(re.findall(r"\bmobius_\w*\w", page.read_text(encoding="utf-8"))):
        assert name in known, f"{name} is no setting, and no playbook leaves it"


def test_every_playbook_is_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in sorted({*(ROOT / "playbooks").glob("*.yml")} - {ROOT / "playbooks" / "hosts.yml"}):  # hosts is a part of the others
        assert f"mobius.ops.{path.stem}" in readme, f"README.md does not name the playbook {path.stem}"


def test_every_setting_is_described_and_every_description_is_of_a_setting():
    names = {name for name in described() if name.startswith("mobius_") and not OF_ENTRY_POINTS.match(name)}
    assert names == set(defaults())


def test_a_setting_is_described_once():
    twice = {name for name, options in described().items() if len(options) > 1}
    assert twice <= {"mobius_why", "mobius_backup"}  # the reason of a rollback, a stop and so on; what a rollback and a restore do with one


def test_described_defaults_are_the_defaults():
    for name, options in described().items():
        if name not in defaults():
            continue
        value = defaults()[name]
        for option in options:
            if "{{" in str(value):
                assert "default" not in option, f"{name}: its default is a template; say it in words"
            elif "default" in option:
                assert option["default"] == value, f"{name}: {option['default']!r} is described, {value!r} is the default"
            else:
                assert "By default" in str(option["description"]), f"{name}: its default is not described"


def profiles() -> dict[str, dict]:
    """Each profile's settings, by its name."""
    folder = ROOT / "roles" / "mobius" / "defaults" / "profiles"
    return {path.stem: load(str(path)) for path in sorted(folder.glob("*.yml"))}


def test_each_profile_has_every_setting_that_depends_on_the_profile():
    wanted = {name for name, value in defaults().items() if value == f"{{{{ lookup('mobius.ops.profile', '{name}') }}}}"}
    assert wanted and {name: set(settings) for name, settings in profiles().items()} == dict.fromkeys(profiles(), wanted)
    for name in wanted:
        texts = [str(option["description"]) for option in described()[name]]
        assert all("of the profile" in text for text in texts), f"{name}: say that its default is that of the profile"


def test_the_profiles_are_the_choices():
    (option,) = described()["mobius_profile"]
    assert option["choices"] == sorted(profiles())


def test_every_entry_point_is_described():
    found = {(role, entry) for role, entry, _options in specs()}
    expected = {(path.name, "settings" if path.name == "mobius" else "main") for path in (ROOT / "roles").iterdir() if path.is_dir()}
    for path in [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "roles").glob("*/tasks/*.yml")]:
        text = path.read_text(encoding="utf-8")
        expected |= set(re.findall(r"name: mobius\.ops\.(\w+)\s+tasks_from: (\w+)\.yml", text))
    assert found == expected


def test_what_ansible_validates_of_the_shared_role_is_what_is_described():
    described = load("roles/mobius/meta/argument_specs.yml")["argument_specs"]
    validated = load("roles/mobius/meta/argument_specs")["argument_specs"]
    words = ("type", "required", "choices", "elements", "default")
    assert validated == {
        entry: {"options": {name: {word: option[word] for word in words if word in option} for name, option in spec["options"].items()}}
        for entry, spec in described.items()
        if entry != "settings"
    }


def outcomes() -> set[str]:
    """Every word that a playbook may end with."""
    words = {*watch_control.VERDICTS, *deploy_end.OUTCOMES, *rollback_end.OUTCOMES, *restore_end.OUTCOMES}
    for path in (ROOT / "roles").glob("*/tasks/*.yml"):
        source = path.read_text(encoding="utf-8")
        for text in re.findall(r"^ +mobius_outcome(?:_word)?: (?:>-\n)?((?:.+\n)(?:(?! +\w+:).+\n)*)", source, flags=re.M):
            chosen = re.sub(r"[!=]= '\w+'", "", text)
            words |= set(re.findall(r"'([a-z_]+)'", chosen)) if "{{" in text else {text.strip()}
    return words.union(*(page.OUTCOMES for page in (ffmpeg_page, diagnosis_page, cleanup_page, incidents_page)))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_a_page_that_abbreviates_a_command_says_so(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"^(?:\$ )?ops mobius\.ops", text, flags=re.M) or "alias ops=" in text or "`ops` stands for" in text


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("word", sorted(outcomes()))
def test_outcomes_are_described(word):
    assert f"`{word}`" in (ROOT / "docs" / "outcomes.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("tool", ["settings_doc", "role_readmes"])
def test_pages_from_the_argument_specs_are_up_to_date(tool):
    command = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_contributing_is_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_pages_name_no_folder_of_a_person_or_machine(page):
    assert not re.search(r"/(home|root|work|Users)/(?!ops\b)\w", page.read_text(encoding="utf-8"))


def test_tasks_that_send_headers_send_the_secret_ones_too():
    for path in (ROOT / "roles").glob("*/tasks/*.yml"):
        text = path.read_text(encoding="utf-8")
        pairs = re.findall(r'"{{ mobius_check_headers }}"\n +secret_headers: "{{ mobius_(?:check|smoke)_secret_headers }}"\n', text)
        assert text.count("{{ mobius_check_headers }}") == len(pairs), path


#: What Ansible itself reads in a result. A module that returns one of them under another meaning makes a warning, or a false "skipping".
RESERVED = {
    "ansible_facts",
    "changed",
    "deprecations",
    "diff",
    "exception",
    "failed",
    "invocation",
    "skip_reason",
    "skipped",
    "unreachable",
    "warnings",
}


@pytest.mark.parametrize("path", sorted((ROOT / "plugins" / "modules").glob("*.py")), ids=lambda path: path.stem)
def test_modules_return_no_key_that_ansible_reads_itself(path):
    text = re.search(r'^RETURN = r"""\n(.*?)^"""', path.read_text(encoding="utf-8"), re.M | re.S).group(1)
    assert not RESERVED & set(yaml.safe_load(text) or {})
