"""Checks code that runs as root for calls that follow a path which another user can change.

Each such call is refused in plugins/, unless ALLOWED says for its file why the path is root's own, or the user's who runs it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Kind of call -> what is wrong with it, and what to use instead.
KINDS = {
    "copytree": "follows a link that takes a file's place. Copy by descriptors (foreign.folder, foreign.plain), or as the service's user",
    "copystat": "sets mode, times and attributes of whatever the path stands for by then. Set them by descriptor (foreign.settle)",
    "chown": "changes the owner of whatever the path stands for by then. Use foreign.settle, or os.fchown",
    "chmod": "changes the mode of whatever the path stands for by then. Use foreign.settle, or os.fchmod",
    "open": "follows links and waits at pipes. Use foreign.plain, foreign.read_end, foreign.read_own or foreign.append_stream",
    "recursion": "fails with a RecursionError on deep input. Use a loop",
}
_CALLS = {
    "copytree": ("copytree",),
    "copystat": ("copystat", "copymode", "copy2", "copy"),
    "chown": ("chown", "lchown"),
    "chmod": ("chmod", "lchmod"),
}
_MODULES = {"copytree": "shutil", "copystat": "shutil", "chown": "os", "chmod": "os"}

PROC = "a file of the kernel or of the system"
STATE = "in a folder that only root can write to: state, releases, dependencies, monitor_logs, backups"
PRIVATE = "in a folder of mode 0700 that this process has made"
CONTROLLER = "on the controller, as its user"
DATA = "in a folder of a backup, restore, drill or rehearsal: see its row in docs/security.md"
SETTINGS = "a structure of the operator's settings"
BOUNDED = "its depth has a limit"
DESCRIPTOR = "through an open descriptor, in /proc/self/fd"
#: File below plugins/ -> kind -> why it is safe there.
ALLOWED: dict[str, dict[str, str]] = {
    "action/release_artifact.py": {"open": CONTROLLER},
    "lookup/profile.py": {"recursion": SETTINGS},
    "plugin_utils/packed_modules.py": {"open": CONTROLLER},
    "module_utils/_core/accounts.py": {"open": PROC},
    "module_utils/_backup/archive/reader.py": {"open": DATA},
    "module_utils/_deploy/artifacts.py": {"open": CONTROLLER},
    "module_utils/_core/as_user.py": {"open": PROC},
    "module_utils/_ansible/background.py": {"open": PRIVATE},
    "module_utils/_core/checksums.py": {"open": STATE},
    "module_utils/_target/deploy_lock.py": {"open": PROC},
    "module_utils/_deploy/dependencies.py": {"copystat": STATE, "copytree": STATE, "open": STATE},
    "module_utils/_deploy/dependency_needs.py": {"open": STATE},
    "module_utils/_service/detach.py": {"open": STATE},
    "module_utils/_diagnose/evidence.py": {"open": PROC},
    "module_utils/_diagnose/heap.py": {"open": PROC},
    "module_utils/_diagnose/inspector.py": {"open": PROC},
    "module_utils/_diagnose/process_looks.py": {"open": PROC},
    "module_utils/_core/documents.py": {"recursion": BOUNDED},
    "module_utils/_core/dotenv_rules.py": {"open": "it runs as the service's user"},
    "module_utils/_restore/drill/drill.py": {"chmod": PRIVATE},
    "module_utils/_service/scratch/instance.py": {"open": PROC},
    "module_utils/_service/scratch/folder.py": {"chmod": DATA, "chown": DATA},
    "module_utils/_core/dotenv.py": {"recursion": "a record of ours"},
    "module_utils/_core/fs.py": {"open": STATE},
    "module_utils/_deploy/rehearsal.py": {"chmod": DATA, "chown": DATA},
    "module_utils/_jobs/listing.py": {"open": PROC},
    "module_utils/_observe/host_metrics.py": {"open": PROC},
    "module_utils/_core/locks.py": {"open": STATE},
    "module_utils/_maintenance/bounded.py": {"open": PROC},
    "module_utils/_core/mounts.py": {"open": PROC},
    "module_utils/_core/namespaces.py": {"open": PROC},
    "module_utils/_gates/preflight/host.py": {"open": PROC},
    "module_utils/_gates/preflight/request.py": {"open": CONTROLLER, "recursion": CONTROLLER},
    "module_utils/_core/processes.py": {"open": PROC},
    "module_utils/_target/shapes.py": {"recursion": BOUNDED},
    "module_utils/_target/node_runtime.py": {"open": STATE},
    "module_utils/_service/scratch/sandbox.py": {"open": PROC},
    "module_utils/_core/scratch.py": {"open": STATE},
    "module_utils/_deploy/sources.py": {"copystat": CONTROLLER, "open": CONTROLLER},
    "module_utils/_core/sqlite.py": {"open": DATA},
    "module_utils/_gates/smoke/suite.py": {"recursion": SETTINGS},
    "module_utils/_gates/smoke/made_files.py": {"recursion": BOUNDED},
    "module_utils/_gates/smoke/steps.py": {"open": PRIVATE},
    "module_utils/_service/supervisor.py": {"open": STATE},
    "module_utils/_core/tarball.py": {"open": STATE},
    "module_utils/_core/walk.py": {"chmod": DESCRIPTOR, "chown": DESCRIPTOR},
    "module_utils/_watch/control.py": {"open": STATE},
    "module_utils/_core/wording.py": {"recursion": BOUNDED},
    "plugin_utils/own_yaml.py": {"open": CONTROLLER},
    "plugin_utils/setting_names.py": {"open": CONTROLLER},
    "plugin_utils/step_lines.py": {"recursion": BOUNDED},
    "plugin_utils/task_result.py": {"recursion": BOUNDED},
}


def found(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of every call of the kinds in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    methods = {inner for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for inner in node.body}
    for function in [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]:
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _calls(node, function.name, function in methods):
                yield node.lineno, "recursion", function.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            kind = _kind(node)
            if kind:
                yield node.lineno, kind, ast.unparse(node.func)


def _calls(node: ast.Call, name: str, is_method: bool) -> bool:
    """Whether it is a call of the function that it stands in."""
    if isinstance(node.func, ast.Name):
        return node.func.id == name and not is_method
    if not isinstance(node.func, ast.Attribute) or not isinstance(node.func.value, ast.Name):
        return False
    return node.func.value.id == "self" and node.func.attr == name


def _kind(node: ast.Call) -> str:
    words = {word.arg for word in node.keywords}
    if isinstance(node.func, ast.Name):
        opened = node.args and isinstance(node.args[0], ast.Call)  # open(foreign.plain(…)), open(os.open(…))
        return "open" if node.func.id == "open" and "opener" not in words and not opened else ""
    if not isinstance(node.func, ast.Attribute) or not isinstance(node.func.value, ast.Name):
        return ""
    module, name = node.func.value.id, node.func.attr
    if (module, name) == ("os", "open"):
        text = ast.unparse(node)
        return "" if "dir_fd" in words or "NOFOLLOW" in text or "FOLDER" in text or "_NEW" in text or "O_DIRECTORY" in text else "open"
    for kind, names in _CALLS.items():
        if module == _MODULES[kind] and name in names and "dir_fd" not in words:
            return kind
    return ""


def breaches(root: Path, allowed: dict[str, dict[str, str]]) -> Iterator[str]:
    """A line for every call that is not allowed, and for every allowance that nothing needs."""
    needed = set()
    for path in sorted((root / "plugins").rglob("*.py")):
        name = str(path.relative_to(root / "plugins"))
        for line, kind, text in sorted(found(path)):
            needed.add((name, kind))
            if kind not in allowed.get(name, {}):
                yield f"plugins/{name}:{line}: {text}: {KINDS[kind]}; or say in ALLOWED of tools/root_code.py why it is safe"
    for name, kinds in sorted(allowed.items()):
        for kind in sorted(set(kinds) - {one for file, one in needed if file == name}):
            yield f"tools/root_code.py: ALLOWED has {kind} for plugins/{name}, which has no such call any more: take it out"


def main() -> int:
    """Prints every breach; the exit status says whether there was one."""
    lines = list(breaches(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else ROOT, ALLOWED))
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
