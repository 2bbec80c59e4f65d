"""Checks what no other linter does: the rules of this house about its own files."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
GROUP = "all"


def modules(root: Path) -> set[str]:
    """The names of the collection's modules."""
    return {path.stem for path in (root / "plugins" / "modules").glob("*.py") if path.stem != "__init__"}


def action_group(root: Path) -> Iterator[str]:
    """Every module is in the action group, so that module_defaults reach it, and nothing else is."""
    listed = set(yaml.safe_load((root / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"][GROUP])
    for name in sorted(modules(root) - listed):
        yield f"meta/runtime.yml: action_groups.{GROUP} lacks {name} (plugins/modules/{name}.py)"
    for name in sorted(listed - modules(root)):
        yield f"meta/runtime.yml: action_groups.{GROUP} names {name}, but there is no plugins/modules/{name}.py"


def role_specs(root: Path) -> Iterator[str]:
    """Every role has an argument spec that describes something."""
    for role in sorted(path for path in (root / "roles").glob("*") if path.is_dir()):
        spec = role / "meta" / "argument_specs.yml"
        name = spec.relative_to(root)
        if not spec.is_file():
            yield f"{name}: missing; every role describes its variables there"
            continue
        specs = (yaml.safe_load(spec.read_text(encoding="utf-8")) or {}).get("argument_specs") or {}
        if not specs:
            yield f"{name}: argument_specs describes no entry point"


#: Files that parse JSON themselves: the parser, and those that only ask whether a file of the application or an archive is whole.
PARSERS = {"documents.py", "json_stores.py", "torn_json.py", "structure.py"}


def parsers(root: Path) -> Iterator[str]:
    """JSON from outside is parsed in one place, and records are read with a shape."""
    for path in sorted((root / "plugins").rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"\bjson\.loads?\(", line) and path.name not in PARSERS:
                yield f"{path.relative_to(root)}:{number}: parses JSON itself; use documents.parse, which limits the depth"
            if "fs.read_json(" in line and path.name not in ("records.py", "progress.py", "sandbox.py"):
                yield f"{path.relative_to(root)}:{number}: reads a record without a shape; use records.read"


#: Lines of code, without comments, docstrings and empty lines, that a file and a function may have.
MODULE, UTIL, FUNCTION = 150, 250, 40
#: What a module says of itself.
TEXTS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}


def code_lines(source: str, tree: ast.Module) -> set[int]:
    """The numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        text: ast.stmt | None = None
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in TEXTS:
            text = node
        if text is not None:
            lines -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return lines


def sizes(root: Path) -> Iterator[str]:
    """No module, util or function of the plugins is longer than a reader keeps in mind."""
    for path in sorted((root / "plugins").rglob("*.py")):
        name, source = path.relative_to(root), path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        lines, most = code_lines(source, tree), MODULE if path.parent.name == "modules" else UTIL
        if len(lines) > most:
            yield f"{name}: {len(lines)} lines of code, {most} at most; give a part of it a file of its own"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                own = len(lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
                if own > FUNCTION:
                    yield f"{name}:{node.lineno}: {node.name} has {own} lines of code, {FUNCTION} at most; name a part of it"


#: Lines of the plugins with a dictionary of which nothing is known but that its names are texts.
UNTYPED = 20


def untyped(root: Path) -> Iterator[str]:
    """What is passed around says which fields it has."""
    found = [
        f"{path.relative_to(root)}:{number}"
        for path in sorted((root / "plugins").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\b[dD]ict\[(str|(t\.)?Any), (t\.)?Any\]", line)
    ]
    if len(found) > UNTYPED:
        yield f"{found[-1]}: dict[str, t.Any] in {len(found)} lines of plugins, {UNTYPED} at most; name the fields, such as in a TypedDict"


#: Kilobytes of a file that is kept. Everybody who clones the repository gets it, also when it was removed later.
LARGEST = 200


def large_files(root: Path) -> Iterator[str]:
    """No built, packed or recorded file comes into the repository by mistake."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode and (root / ".git").exists():
        yield f"{root}: git does not list its files: {listed.stderr.strip()}"
    for name in filter(None, listed.stdout.split("\0")):
        path = root / name
        if path.is_file() and path.stat().st_size > LARGEST * 1000:
            yield f"{name}: {path.stat().st_size // 1000} kB, {LARGEST} at most; is it to be in the repository?"


RULES = (action_group, role_specs, parsers, sizes, untyped, large_files)


def main() -> int:
    """Prints every breach; the exit status says whether there was one."""
    root = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else ROOT
    breaches = [breach for rule in RULES for breach in rule(root)]
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
