"""Runs unit and sanity tests on the other ansible-cores that the collection supports.

Usage: matrix.py [VERSION ...]    such as 2.16.19; all of them when none is named
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import lint
import tree

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
    """The virtual environment of core, made anew when its requirements changed."""
    venv = BASE / core
    bounds = f"ansible-core=={core}\n" + (oldest() if core == min(CORES) else "")
    wanted = hashlib.sha256(f"{bounds} {python} {venv} {REQUIREMENTS.read_text()} {OURS.read_text()}".encode()).hexdigest()
    stamp = venv / "stamp"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
        (venv / "bounds.txt").write_text(bounds)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
        subprocess.run([*pip, "ansible-core", "-r", str(OURS), "-r", str(REQUIREMENTS), "-c", str(venv / "bounds.txt")], check=True)
        stamp.write_text(wanted)
    return venv


def check(core: str, python: str) -> tuple[list[str], str]:
    """Runs the tests on one core; returns what failed, and the output."""
    try:
        venv = environment(core, python)
    except subprocess.CalledProcessError as error:
        return ["set-up"], str(error)
    copy = tree.copy(BASE / f"{core}-tree")  # one each: ansible-test writes into it
    path = f"{venv / 'bin'}:{os.environ.get('PATH', os.defpath)}"
    variables = {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    commands = {
        "unit": [str(venv / "bin" / "pytest"), "tests/unit", "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider"],
        "main path": [str(venv / "bin" / "pytest"), "tests/integration/test_main_path.py", "-q", "-p", "no:cacheprovider"],
        "sanity": [sys.executable, f"{ROOT}/tools/sanity.py", str(venv), str(copy), "--own-python"],
    }
    failed, report = [], []
    for name, command in commands.items():
        status, output, seconds = lint.run(command, ROOT, variables)
        lines = output.splitlines()
        report.append(f"-- {core} {name}: {f'FAILED, status {status}' if status else 'ok'} ({seconds:.1f} s)")
        report += lines if status else lines[-1:] if name != "sanity" else []
        if status:
            failed.append(name)
    return failed, "\n".join(report)


def main(names: list[str]) -> int:
    """Runs every core that is not the one of .venv, two at a time."""
    unknown = [name for name in names if name not in CORES]
    if unknown:
        print(f"matrix: unknown {', '.join(unknown)}; there are: {', '.join(CORES)}")
        return 2
    failed = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = {}
        for core in names or CORES:
            python = find_python(CORES[core])
            if core == version("ansible-core"):
                print(f"== ansible-core {core}: not run here, it is the one of .venv")
            elif not python:
                print(f"== ansible-core {core}: not run: no Python {' or '.join(CORES[core])} that has ensurepip")
            else:
                running[core] = python, pool.submit(check, core, python)
        for core, (python, job) in running.items():
            broken, report = job.result()
            print(f"== ansible-core {core} on {python}\n{report}", flush=True)
            failed += [f"{core} {name}" for name in broken]
    if not running:
        print("matrix: no second ansible-core could be run")
        return 1 if os.environ.get("CI") == "true" else 0
    print(f"matrix: FAILED: {', '.join(failed)}" if failed else f"matrix: ok on {', '.join(running)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
