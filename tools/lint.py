"""Runs the lint steps, all of them or those that are named, and sums up.

Usage: lint.py [STEP ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import awx_collection
import tree

ROOT = tree.ROOT
BIN = Path(sys.executable).parent  # of .venv
NOISE = (
    "Installing requirements for",
    "Running sanity test",
    "Using cached pip",
    "WARNING: Reviewing previous",
    "WARNING: Using locale",
)


def steps(copy: Path) -> dict[str, tuple[str, list[str], Path]]:
    """Every step: what it is, its command, and where it runs."""
    python = sys.executable
    docs = ["lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self", "."]
    packages = str(copy.parents[2])
    types = [
        "/usr/bin/env",
        f"MYPYPATH={packages}:{ROOT}/tools",
        f"{BIN}/mypy",
        "--config-file",
        "pyproject.toml",
        "--cache-dir",
        ".build/mypy",
        "--no-error-summary",
        "-p",
        "ansible_collections.mobius.ops.plugins",
    ]
    return {
        "sanity": ("ansible-test sanity", [python, f"{ROOT}/tools/sanity.py", str(BIN.parent), str(copy)], ROOT),
        "ansible": ("ansible-lint, production profile, and yamllint", [f"{BIN}/ansible-lint", "-q", "--offline"], copy),
        "docs": ("antsibull-docs: plugins and roles", [f"{BIN}/antsibull-docs", *docs], copy),
        "changelog": ("antsibull-changelog", [f"{BIN}/antsibull-changelog", "lint"], copy),
        "ruff": ("ruff", [f"{BIN}/ruff", "check", "--quiet", "--output-format=concise", "."], ROOT),
        "format": ("ruff's formatter; make format applies it", [f"{BIN}/ruff", "format", "--quiet", "--diff", "."], ROOT),
        "house": ("action group and role argument specs", [python, f"{ROOT}/tools/house.py"], ROOT),
        "rooms": (
            "a room of module_utils imports rooms below it",
            ["/usr/bin/env", f"PYTHONPATH={packages}", f"{BIN}/lint-imports", "--no-cache", "pyproject.toml"],
            ROOT,
        ),
        "types": ("mypy, plugins and tools", [*types, *(f"-m{path.stem}" for path in sorted((ROOT / "tools").glob("*.py")))], ROOT),
        "awx": (
            "the data for AWX: awx.awx's argument specs, surveys, rules, injectors, references",
            [python, f"{ROOT}/tools/lint_awx.py"],
            ROOT,
        ),
        "root": ("code that runs as root follows no path of another user", [python, f"{ROOT}/tools/root_code.py"], ROOT),
    }


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str, float]:
    """Runs one step; returns its exit status, its output and its seconds."""
    started = time.monotonic()
    result = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    lines = [line for line in result.stdout.splitlines() if not line.startswith(NOISE)]
    return result.returncode, "\n".join(lines), time.monotonic() - started


def main(names: list[str]) -> int:
    """Runs the steps side by side and prints each when it ended."""
    work = ROOT / ".build" / "tree"
    known = steps(tree.copy(work))
    if not names and not awx_collection.is_there() and not os.environ.get("CI"):
        print("lint: lint-awx is left out, because it would download awx.awx. Run it once with: make lint-awx")
        names = [name for name in known if name != "awx"]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"lint: there is no step {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    path = f"{BIN}:{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": path, "ANSIBLE_COLLECTIONS_PATH": str(work), "NO_COLOR": "1"}
    apart = {**environment, "HOME": str(ROOT / ".build" / "home")}  # antsibull-docs leaves a log in HOME
    (ROOT / ".build" / "home").mkdir(exist_ok=True)
    failed = []
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        homes = {name: environment if name == "sanity" else apart for name in known}  # sanity makes its own
        running = {name: pool.submit(run, *known[name][1:], homes[name]) for name in names or known}
        for name, job in running.items():
            status, output, seconds = job.result()
            print(f"== lint-{name}: {known[name][0]}")
            if status != 0:
                failed.append(name)
                print(output)
            print(f"   {'FAILED' if status else 'ok'} ({seconds:.1f} s)", flush=True)
    if failed:
        print(f"lint: {len(failed)} of {len(running)} failed. Run one alone with: make lint-{failed[0]}")
        return 1
    print(f"lint: all {len(running)} ok. Run one alone with: make lint-{next(iter(running))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
