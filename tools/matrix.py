"""Runs unit and sanity tests on the other ansible-cores that the collection supports, and tests of utils on a target's oldest Python.

Usage: matrix.py [VERSION ...]    such as 2.16.19, or 3.9 for that Python; when none is named, those of CORES and that Python
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import lint
import tree
import venvs

ROOT = tree.ROOT
BASE = ROOT / ".build" / "matrix"
OURS = ROOT / "requirements.txt"
REQUIREMENTS = ROOT / "tools" / "matrix-requirements.txt"
# ansible-core, and the Pythons it may run on here, the preferred one first
CORES = {
    "2.21.5": ["3.13", "3.14", "3.12"],
    "2.19.14": ["3.11", "3.13", "3.12"],
    "2.16.19": ["3.12", "3.11", "3.10"],
}
#: Cores between these. They run when they are named, because all at once take more time than a change is worth.
BETWEEN = {
    "2.20.10": ["3.13", "3.12", "3.14"],
    "2.18.19": ["3.12", "3.13", "3.11"],
    "2.17.14": ["3.12", "3.11", "3.10"],
}
#: The oldest Python of a target. Utils run there, and nothing of Ansible.
TARGET = "3.9"


def find_python(wanted: list[str]) -> str:
    """The path of the first interpreter that is here, or nothing."""
    for python in wanted:
        found = subprocess.run([ROOT / "tools" / "find-python", python], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    return ""


def oldest() -> str:
    """The lower bounds of requirements.txt, as exact versions for pip."""
    return OURS.read_text().replace(">=", "==")


def environment(core: str, python: str) -> Path:
    """The folder of the commands of core's virtual environment."""
    bounds = f"ansible-core=={core}\n" + (oldest() if core == min(CORES) else "")
    return venvs.bring(BASE / core, OURS, REQUIREMENTS, python=python, bounds=bounds)


def touching_core() -> list[str]:
    """The tests that another ansible-core can break: those of every kind of plugin, and each module's own file.

    Utils import nothing of Ansible. Only Python differs for them, so :func:`check_target` runs theirs. The other files of module tests,
    such as ``test_backup_links.py``, are about utils as well.
    """
    plugins = ROOT / "tests" / "unit" / "plugins"
    modules = [plugins / "modules" / f"test_{path.name}" for path in sorted((ROOT / "plugins" / "modules").glob("*.py"))]
    kinds = [path for path in sorted(plugins.iterdir()) if path.is_dir() and path.name not in ("modules", "module_utils", "__pycache__")]
    more = [ROOT / "tests" / "unit" / name for name in ("test_outcome.py", "test_roles.py")]
    return [str(path.relative_to(ROOT)) for path in (*kinds, *modules, *more) if path.exists()]


def check_target(python: str) -> tuple[list[str], str]:
    """Runs the tests of the utils on that Python; returns what failed, and the output."""
    try:
        tools = venvs.bring(BASE / TARGET, ROOT / "tools" / "target-requirements.txt", python=python)
    except SystemExit as error:
        return ["set-up"], str(error)
    tests = [str(tools / "pytest"), "tests/unit/plugins/module_utils", "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider"]
    return reported(TARGET, tools, {"utils": tests})


def check(core: str, python: str) -> tuple[list[str], str]:
    """Runs the tests on one core; returns what failed, and the output."""
    try:
        tools = environment(core, python)
    except SystemExit as error:
        return ["set-up"], str(error)
    copy = tree.copy(BASE / f"{core}-tree")  # one each: ansible-test writes into it
    unit = [*touching_core(), "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider"]
    return reported(
        core,
        tools,
        {
            "unit": [str(tools / "pytest"), *unit],
            "main path": [str(tools / "pytest"), "tests/integration/test_main_path.py", "-q", "-p", "no:cacheprovider"],
            "sanity": [sys.executable, f"{ROOT}/tools/sanity.py", str(tools.parent), str(copy), "--own-python"],
        },
    )


def reported(name: str, tools: Path, commands: dict[str, list[str]]) -> tuple[list[str], str]:
    """Runs commands with the tools of an environment; returns what failed, and the output."""
    variables = {**os.environ, "PATH": f"{tools}:{os.environ.get('PATH', os.defpath)}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    failed, report = [], []
    for part, command in commands.items():
        status, output, seconds = lint.run(command, ROOT, variables)
        lines = output.splitlines()
        report.append(f"-- {name} {part}: {f'FAILED, status {status}' if status else 'ok'} ({seconds:.1f} s)")
        report += lines if status else lines[-1:] if part != "sanity" else []
        if status:
            failed.append(part)
    return failed, "\n".join(report)


def here(names: list[str]) -> Iterator[tuple[str, str, str]]:
    """What can be run here: its name, a title and the interpreter. Tells what cannot."""
    for name in names or (*CORES, TARGET):
        title = f"target with Python {TARGET}" if name == TARGET else f"ansible-core {name}"
        wanted = {**CORES, **BETWEEN}.get(name, [TARGET])
        python = find_python(wanted)
        if name == version("ansible-core"):
            print(f"== {title}: not run here, it is the one of .venv")
        elif not python:
            print(f"== {title}: not run: no Python {' or '.join(wanted)} that has ensurepip")
        else:
            yield name, title, python


def main(names: list[str]) -> int:
    """Runs every core that is not the one of .venv, and the target, all at the same time: each waits as often as it works."""
    known = (*CORES, *BETWEEN, TARGET)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"matrix: unknown {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    failed = []
    with ThreadPoolExecutor() as pool:
        running = [
            (name, f"{title} on {python}", pool.submit(check_target, python) if name == TARGET else pool.submit(check, name, python))
            for name, title, python in here(names)
        ]
        for name, title, job in running:
            broken, report = job.result()
            print(f"== {title}\n{report}", flush=True)
            failed += [f"{name} {part}" for part in broken]
    if not running:
        print("matrix: nothing else could be run")
        return 1 if os.environ.get("CI") == "true" else 0
    print(f"matrix: FAILED: {', '.join(failed)}" if failed else f"matrix: ok on {', '.join(name for name, _title, _job in running)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
