"""Prints the test files that a change can affect, one a line.

Usage: changed.py [BASE]    changed since BASE, such as main; by default since the last commit

A Python file depends on what it imports, a role or playbook on the modules, roles, filters and playbooks that it uses, a test also on the
playbooks and pages of the documentation that it names in quotes and on the modules that it runs by their names.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: A change of these can affect every test.
EVERYTHING = re.compile(
    r"requirements.*\.txt|pyproject\.toml|ansible\.cfg|Makefile|tools/.*|tests/conftest\.py|inventories/.*|galaxy\.yml|"
    r"meta/.*"
)
COLLECTION = "ansible_collections.mobius.ops."
#: These look at all files of the collection.
LOOK_AT_ALL = tuple(f"tests/unit/test_{name}.py" for name in ("documentation", "roles", "changed", "scenarios"))


def unit_of(path: str) -> str:
    """The thing that a file belongs to: a role, the sample application, or the file itself."""
    for pattern in (r"roles/[^/]+", r"tests/app"):
        if found := re.match(pattern + "(?=/)", path):
            return found[0]
    return path


def read(root: Path, paths: list[str]) -> dict[str, str]:
    """Unit -> the text of its files."""
    texts: dict[str, str] = {}
    for path in paths:
        read_here = path.endswith((".py", ".yml")) or re.fullmatch(r"docs/[\w-]+\.md", path)
        if (read_here and (root / path).is_file()) or path.startswith("tests/app/"):
            texts[unit_of(path)] = texts.get(unit_of(path), "") + (root / path).read_text(encoding="utf-8", errors="replace") + "\n"
    return texts


def imported(unit: str, tree: ast.Module) -> set[str]:
    """The files that a Python file may import: of each name both the module and the one of that name in the package."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.replace(".", "/") + ".py" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = Path(unit).parents[node.level - 1].as_posix() + "/" if node.level else ""
            base = above + (node.module or "").removeprefix(COLLECTION).replace(".", "/")
            found.update([base + ".py", *(f"{base.rstrip('/')}/{alias.name}.py" for alias in node.names)])
    return found | {"tests/" + path for path in found}  # tests import support.…


def quoted(tree: ast.Module) -> set[str]:
    """Every word that stands alone in quotes in a Python file."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def yaml_names(text: str) -> set[str]:
    """The names of modules, roles, filters, lookups and playbooks that a role or a playbook uses."""
    return set(
        re.findall(
            r"^[ -]*mobius\.ops\.(\w+):|(?:name|role): mobius\.ops\.(\w+)|\| *mobius\.ops\.(\w+)|"
            r"lookup\('mobius\.ops\.(\w+)'|import_playbook: (?:mobius\.ops\.)?(\w+)|- mobius\.ops\.(\w+)$",
            text,
            re.MULTILINE,
        )
    )


def dependencies(texts: dict[str, str]) -> dict[str, set[str]]:
    """Unit -> the units that it uses."""
    named: dict[str, set[str]] = {}
    for unit in texts:
        if unit.startswith(("plugins/", "roles/", "playbooks/", "tests/support/")):
            named.setdefault(Path(unit).stem, set()).add(unit)
    found: dict[str, set[str]] = {}
    for unit, text in texts.items():
        used: set[str] = set()
        names: list[tuple[set[str], tuple[str, ...]]] = []  # names, and the folders that they may be of
        if unit.endswith(".py"):
            tree = ast.parse(text)
            used = imported(unit, tree) & texts.keys()
            if unit.startswith("tests/"):
                used |= {f"docs/{word}" for word in quoted(tree)} & texts.keys()
            if unit.startswith("tests/integration/"):
                names.append((quoted(tree), ("playbooks/",)))
            if unit.startswith("tests/support/"):
                names.append((quoted(tree), ("plugins/modules/",)))
        elif unit.startswith(("roles/", "playbooks/")):
            names.append(({name for names in yaml_names(text) for name in names if name}, ("plugins/", "roles/", "playbooks/")))
        found[unit] = used | {
            other for some, folders in names for name in some for other in named.get(name, set()) if other.startswith(folders)
        }
        if unit.startswith("tests/"):
            found[unit].update(other for parent in Path(unit).parents if (other := f"{parent}/conftest.py") in texts and other != unit)
            if re.match("tests/(integration|traffic)/", unit):
                found[unit].add("tests/app")
    return found


def reaches(unit: str, graph: dict[str, set[str]]) -> set[str]:
    """A unit and all that it depends on."""
    seen, todo = {unit}, [unit]
    while todo:
        for other in graph.get(todo.pop(), set()) - seen:
            seen.add(other)
            todo.append(other)
    return seen


def affected(changed: list[str], graph: dict[str, set[str]]) -> list[str]:
    """The test files that a change of these files can affect."""
    tests = sorted(unit for unit in graph if re.search(r"tests/(unit|faults|attack|fuzz|traffic|integration)/(.*/)?test_\w+\.py$", unit))
    if any(EVERYTHING.fullmatch(path) for path in changed):
        return tests
    units = {unit_of(path) for path in changed}
    return [test for test in tests if test in LOOK_AT_ALL or reaches(test, graph) & units]


def main(arguments: list[str]) -> None:
    """Print the names."""

    def git(*words: str) -> list[str]:
        return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True).stdout.splitlines()

    base = git("merge-base", "HEAD", arguments[0])[0] if arguments else "HEAD"
    others = git("ls-files", "--others", "--exclude-standard")
    changed = git("diff", "--name-only", base) + others
    if changed:
        print("\n".join(affected(changed, dependencies(read(ROOT, git("ls-files") + others)))))


if __name__ == "__main__":
    main(sys.argv[1:])
