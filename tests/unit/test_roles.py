# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What roles give to modules: only options that those have, and what the shared defaults come to."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import ansible.template
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import role_readmes  # noqa: E402

PREFIX = "mobius.ops."


def options_of(module):
    """The options in a module's documentation, those of its fragments included."""
    tree = ast.parse((ROOT / "plugins" / "modules" / f"{module}.py").read_text())
    (text,) = [node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "DOCUMENTATION"]
    found = yaml.safe_load(text)
    options = set(found.get("options", {}))
    for name in found.get("extends_documentation_fragment", []):
        _namespace, _collection, page, *part = name.split(".")
        module = importlib.import_module(f"ansible_collections.mobius.ops.plugins.doc_fragments.{page}")
        options |= set(yaml.safe_load(getattr(module.ModuleDocFragment, part[0].upper() if part else "DOCUMENTATION")).get("options", {}))
    return options


def uses(tasks):
    """Each use of a module of this collection among tasks and the blocks in them: task, module, names of options."""
    for task in tasks or []:
        for key, value in task.items():
            if key in ("block", "rescue", "always"):
                yield from uses(value)
            elif key.startswith(PREFIX) and isinstance(value, dict):
                yield task.get("name", ""), key[len(PREFIX) :], set(value)


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_options_exist(path):
    unknown = {(name, module): options - options_of(module) for name, module, options in uses(yaml.safe_load(path.read_text()))}
    assert {key: names for key, names in unknown.items() if names} == {}


def test_a_deploy_watches_as_the_role_monitor_does():
    deploys = yaml.safe_load((ROOT / "roles" / "mobius" / "vars" / "main.yml").read_text())["mobius_watch_options"]
    tasks = yaml.safe_load((ROOT / "roles" / "monitor" / "tasks" / "main.yml").read_text())
    (watch,) = [task[f"{PREFIX}monitor"] for task in tasks if f"{PREFIX}monitor" in task]
    assert {**watch, **deploys} == watch
    assert set(deploys) | {"service"} == set(arguments.WATCH)


#: From 2.19 on, ansible-core fills in only text that is marked as a template.
trusted = getattr(ansible.template, "trust_as_template", str)


def templates(value):
    """A value with all text in it as a template."""
    if isinstance(value, dict):
        return {key: templates(one) for key, one in value.items()}
    if isinstance(value, list):
        return [templates(one) for one in value]
    return trusted(value) if isinstance(value, str) else value


def default(name, **settings):
    """What a setting comes to, with others set."""
    defaults = yaml.safe_load((ROOT / "roles" / "mobius" / "defaults" / "main.yml").read_text())
    templar = ansible.template.Templar(loader=DataLoader(), variables=templates({**defaults, **settings}))
    return templar.template(trusted(f"{{{{ {name} }}}}"))


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({}, "http://localhost:5001"),
        ({"mobius_port": 5077, "mobius_proxy_port": 80}, "http://localhost:5001"),
        ({"mobius_dotenv": {"MOBIUS_CORS_ORIGINS": "https://a.example"}}, "https://a.example"),
        (
            {
                "mobius_service_environment": {"MOBIUS_CORS_ORIGINS": " https://b.example , https://c.example"},
                "mobius_dotenv": {"MOBIUS_CORS_ORIGINS": "https://a.example"},
            },
            "https://b.example",
        ),
        ({"mobius_service_environment": {"MOBIUS_CORS_ORIGINS": "*"}}, "http://localhost:5001"),
        ({"mobius_service_environment": {"MOBIUS_CORS_ORIGINS": "*,https://b.example"}}, "https://b.example"),
        (
            {"mobius_service_environment": {"MOBIUS_CORS_ORIGINS": ""}, "mobius_dotenv": {"CORS_ORIGINS": "https://a.example"}},
            "http://localhost:5001",
        ),
        ({"mobius_check_origin": "https://d.example", "mobius_dotenv": {"MOBIUS_CORS_ORIGINS": "https://a.example"}}, "https://d.example"),
    ],
)
def test_checks_send_an_origin_that_the_application_allows(settings, origin):
    assert default("mobius_check_headers", **settings) == {"Origin": origin}


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, {}),
        ({"mobius_dotenv": {"MOBIUS_API_KEYS": "one, two"}}, {"X-Mobius-API-Key": "one"}),
        (
            {"mobius_dotenv": {"MOBIUS_API_KEYS": "one"}, "mobius_check_secret_headers": {"X-Mobius-API-Key": "mine"}},
            {"X-Mobius-API-Key": "mine"},
        ),
        ({"mobius_dotenv": {"API_KEY": "two"}}, {"X-API-Key": "two"}),
        (
            {"mobius_dotenv": {"MOBIUS_API_KEYS": "one", "API_KEY": "two"}, "mobius_check_secret_headers": {"X-More": "3"}},
            {"X-Mobius-API-Key": "one", "X-API-Key": "two", "X-More": "3"},
        ),
    ],
)
def test_smoke_tests_send_the_first_key_and_the_one_for_loading(settings, headers):
    assert default("mobius_smoke_secret_headers", **settings) == headers


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:5001"),
        ({"mobius_host": "0.0.0.0"}, "http://127.0.0.1:5001"),
        ({"mobius_host": "::1"}, "http://[::1]:5001"),
        ({"mobius_host": "::"}, "http://[::1]:5001"),
        ({"mobius_host": "::1", "mobius_proxy_port": 80}, "http://127.0.0.1:80"),
        ({"mobius_proxy_host": "fd00::2", "mobius_proxy_port": "80"}, "http://[fd00::2]:80"),
        (
            {"mobius_proxy_host": "::", "mobius_proxy_port": 443, "mobius_proxy_certificate": "/c", "mobius_proxy_check_port": 5003},
            "http://127.0.0.1:5003",
        ),
    ],
)
def test_checks_ask_an_ipv6_address_in_brackets(settings, url):
    assert default("mobius_base_url", **settings) == url


def test_folders_that_are_not_listed_are_right_with_and_without_a_key():
    """MOBIUS answers 401 there without a key, 403 with a wrong one, and the client with a right one."""
    for setting in ("mobius_smoke_checks", "mobius_smoke_suite"):
        found = {step["name"]: step["status"] for step in default(setting) if step["name"] in ("static", "uploads")}
        assert found == {name: [200, 301, 401, 403, 404] for name in ("static", "uploads")}


SERVICE = {"mobius_profile": "node", "mobius_port": 3000}


def test_the_profile_node_wants_nothing_that_is_peculiar_to_mobius():
    assert default("mobius_command", **SERVICE) == ["node", "."]
    assert default("mobius_packages", **SERVICE) and "ffmpeg" not in default("mobius_packages", **SERVICE)
    for setting in (
        "mobius_shared_folders",
        "mobius_required_files",
        "mobius_encoders",
        "mobius_health_assertions",
        "mobius_check_headers",
        "mobius_asset_folders",
        "mobius_smoke_folders",
    ):
        assert not default(setting, **SERVICE), setting
    assert sorted(default("mobius_programs", **SERVICE)) == ["node", "npm"]
    assert default("mobius_smoke_checks", **SERVICE) == [{"name": "health", "url": "http://127.0.0.1:3000/health", "json": []}]
    assert [step["name"] for step in default("mobius_smoke_suite", **SERVICE)] == ["health", "node", "disk"]


def test_settings_of_a_user_win_over_the_profile():
    own = {"mobius_command": ["node", "src/api/index.js"], "mobius_health_path": "/healthz", "mobius_health_assertions": ["up"]}
    assert default("mobius_command", **SERVICE, **own) == own["mobius_command"], "though it is the default of another profile"
    assert default("mobius_smoke_checks", **SERVICE, **own) == [{"name": "health", "url": "http://127.0.0.1:3000/healthz", "json": ["up"]}]


def test_a_profile_that_does_not_exist_is_refused():
    with pytest.raises(Exception, match="mobius_profile: expected one of mobius, node, found 'deno'"):
        default("mobius_command", mobius_profile="deno")


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_an_outcome_is_given_by_a_name_that_no_earlier_job_leaves(path):
    """AWX gives a workflow's job what earlier ones left by set_stats as extra variables, which win over a task's variables."""
    for task in yaml.safe_load(path.read_text()) or []:
        assert "mobius_outcome" not in task.get("vars", {})


def roles_with_a_scenario():
    """The names of the roles that have a molecule scenario of their own."""
    return sorted(path.name.removeprefix("role-") for path in (ROOT / "molecule").glob("role-*"))


def test_each_role_has_a_scenario_of_its_own_or_a_reason():
    roles = sorted(path.name for path in (ROOT / "roles").iterdir())
    assert sorted([*roles_with_a_scenario(), *role_readmes.INTERNAL]) == roles


@pytest.mark.parametrize("role", roles_with_a_scenario())
def test_an_example_is_short_and_is_what_the_scenario_runs_on_the_shared_base(role):
    folder = ROOT / "molecule" / f"role-{role}"
    example = (folder / "converge.yml").read_text().removeprefix("---\n").rstrip()
    assert len(example.splitlines()) <= 15 and example in (ROOT / "roles" / role / "README.md").read_text()
    (play,) = yaml.safe_load(example)
    assert play["roles"][-1]["role"] == f"{PREFIX}{role}"
    base = yaml.safe_load((folder / "molecule.yml").read_text())["ansible"]
    assert base["executor"]["args"]["ansible_playbook"] == ["--inventory=${MOLECULE_PROJECT_DIRECTORY}/molecule/shared/role/inventory"]
    for playbook in base["playbooks"].values():
        assert playbook.startswith("../shared/role/") and (folder / playbook).is_file()
    assert (folder / "verify.yml").is_file()


def messages(tasks):
    """What each task of ``debug`` says."""
    for task in tasks or []:
        for key in ("block", "rescue", "always"):
            yield from messages(task.get(key))
        if "ansible.builtin.debug" in task:
            yield str(task["ansible.builtin.debug"].get("msg", ""))


def test_pages_are_shown_as_lines():
    """As JSON, Ansible's default callback shows a text of several lines with ``\\n`` in it."""
    paths = sorted(ROOT.glob("roles/*/tasks/*.yml"))
    pages = [said for path in paths for said in messages(yaml.safe_load(path.read_text())) if re.search(r"_page\b|\.page\b", said)]
    pages = [said for said in pages if "failure_cause" not in said]
    assert len(pages) > 10
    assert [said for said in pages if "| mobius.ops.shown" not in said] == []
