# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What roles give to modules: only options that those have."""
from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "mobius.ops."


def options_of(module):
    """The options in a module's documentation, those of its fragments included."""
    tree = ast.parse((ROOT / "plugins" / "modules" / f"{module}.py").read_text())
    (text,) = [node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "DOCUMENTATION"]
    found = yaml.safe_load(text)
    options = set(found.get("options", {}))
    for name in found.get("extends_documentation_fragment", []):
        _namespace, _collection, page, *part = name.split(".")
        source = ast.parse((ROOT / "plugins" / "doc_fragments" / f"{page}.py").read_text())
        wanted = part[0].upper() if part else "DOCUMENTATION"
        for node in ast.walk(source):
            if isinstance(node, ast.Assign) and node.targets[0].id == wanted:
                options |= set(yaml.safe_load(node.value.value).get("options", {}))
    return options


def uses(tasks):
    """Each use of a module of this collection among tasks and the blocks in them: task, module, names of options."""
    for task in tasks or []:
        for key, value in task.items():
            if key in ("block", "rescue", "always"):
                yield from uses(value)
            elif key.startswith(PREFIX) and isinstance(value, dict):
                yield task.get("name", ""), key[len(PREFIX):], set(value)


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_options_exist(path):
    unknown = {(name, module): options - options_of(module) for name, module, options in uses(yaml.safe_load(path.read_text()))}
    assert {key: names for key, names in unknown.items() if names} == {}
