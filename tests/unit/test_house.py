"""The rules of this house: a breach of each is found, and what keeps them is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import house  # noqa: E402


@pytest.fixture
def tree(tmp_path):
    """A collection with one module, one util and one role that keep the rules."""
    for name, text in {
        "meta/runtime.yml": "action_groups: {all: [thing]}\n",
        "plugins/modules/thing.py": "DOCUMENTATION = '''\n" + "a\n" * 500 + "'''\n",
        "plugins/module_utils/_core/util.py": '"""About."""\n',
        "roles/app/meta/argument_specs.yml": "argument_specs: {main: {}}\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def breaches(root: Path) -> list[str]:
    """What every rule finds."""
    return [breach for rule in house.RULES for breach in rule(root)]


def test_this_collection_keeps_the_rules():
    assert breaches(ROOT) == []


def test_a_tree_that_keeps_them_has_no_breach(tree):
    assert breaches(tree) == []


@pytest.mark.parametrize(
    ("path", "lines", "found"),
    [
        ("plugins/modules/thing.py", 151, "plugins/modules/thing.py: 151 lines of code, 150 at most"),
        ("plugins/module_utils/_core/util.py", 251, "plugins/module_utils/_core/util.py: 251 lines of code, 250 at most"),
    ],
)
def test_a_long_file_is_found(tree, path, lines, found):
    text = '"""About."""\n' + "# a comment\n\n" * 100
    (tree / path).write_text(text + "a = 1\n" * (lines - 1))
    assert breaches(tree) == []
    (tree / path).write_text(text + "a = 1\n" * lines)
    assert [line.partition(";")[0] for line in breaches(tree)] == [found]


def test_a_long_function_is_found_and_its_docstring_and_comments_do_not_count(tree):
    path = tree / "plugins/module_utils/_core/util.py"
    about = 'def one():\n    """About.\n' + "    more\n" * 60 + '    """\n' + "    # a comment\n\n" * 60
    path.write_text(about + "    a = 1\n" * 39)
    assert breaches(tree) == []
    path.write_text(about + "    a = 1\n" * 40)
    assert breaches(tree) == ["plugins/module_utils/_core/util.py:1: one has 41 lines of code, 40 at most; name a part of it"]


def test_too_many_untyped_dictionaries_are_found(tree):
    path = tree / "plugins/module_utils/_core/util.py"
    path.write_text("a: dict[str, t.Any]\n" * house.UNTYPED)
    assert breaches(tree) == []
    path.write_text("a: dict[str, t.Any]\n" * house.UNTYPED + "Facts = t.Dict[str, Any]\n")
    (breach,) = breaches(tree)
    assert breach.startswith(f"plugins/module_utils/_core/util.py:{house.UNTYPED + 1}: dict[str, t.Any] in {house.UNTYPED + 1} lines")


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("plugins/modules/other.py", "", "lacks other"),
        ("meta/runtime.yml", "action_groups: {all: [thing, gone]}\n", "there is no plugins/modules/gone"),
        ("roles/app/meta/argument_specs.yml", "argument_specs:\n", "describes no entry point"),
        ("plugins/module_utils/_core/util.py", "import json\njson.loads('1')\n", "parses JSON itself"),
        ("plugins/module_utils/_core/util.py", "fs.read_json('a')\n", "reads a record without a shape"),
    ],
)
def test_other_breaches_are_found(tree, path, text, found):
    (tree / path).write_text(text)
    (breach,) = breaches(tree)
    assert found in breach


def test_a_role_without_a_spec_is_found(tree):
    (tree / "roles" / "bare").mkdir()
    assert breaches(tree) == ["roles/bare/meta/argument_specs.yml: missing; every role describes its variables there"]


def test_a_large_file_is_found_once_it_is_to_be_kept(tree):
    (tree / "wheel.zip").write_bytes(b"x" * 1000 * (house.LARGEST + 1))
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    assert breaches(tree) == []
    subprocess.run(["git", "add", "."], cwd=tree, check=True)
    assert breaches(tree) == ["wheel.zip: 201 kB, 200 at most; is it to be in the repository?"]
