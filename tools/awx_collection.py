"""Brings the collection awx.awx to .build/awx, and reads the argument specs of its modules.

Usage: awx_collection.py    prints the folder for ANSIBLE_COLLECTIONS_PATH

Nobody needs awx.awx to use mobius.ops, so it is no dependency, and not in .venv: the package that carries it has a hundred other collections.
"""

from __future__ import annotations

import ast
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ansible==12.3.0"  # the last one with awx.awx 24.6.1 for Python 3.11
VERSION = "24.6.1"
HOME = ROOT / ".build" / "awx"
INSIDE = "ansible_collections/awx/awx/"


def is_there(home: Path = HOME) -> bool:
    """Whether the collection is in *home* already."""
    return (home / INSIDE / "MANIFEST.json").is_file()


def bring(home: Path = HOME) -> Path:
    """Download the collection unless it is there. Several processes may do so at the same time."""
    if is_there(home):
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise SystemExit(f"awx.awx: pip could not download {PACKAGE}. Check the package index, then run the command again.\n{done.stderr}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(f"{folder}/new", [name for name in wheel.namelist() if name.startswith(INSIDE)])
        try:
            os.replace(f"{folder}/new", home)
        except OSError:  # another process was faster
            if not is_there(home):
                shutil.rmtree(home, ignore_errors=True)
                os.replace(f"{folder}/new", home)
    return home


def documentation(source: str) -> dict[str, Any]:
    """The DOCUMENTATION of a module, without running it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(isinstance(name, ast.Name) and name.id == "DOCUMENTATION" for name in node.targets):
            found: dict[str, Any] = yaml.safe_load(ast.literal_eval(node.value))
            return found
    return {}


def spec_of(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a documentation as an argument spec."""
    kept = ("type", "elements", "required", "choices", "aliases", "default")
    spec = {}
    for name, option in options.items():
        spec[name] = {key: option[key] for key in kept if key in option}
        if spec[name].get("type") == "list":
            spec[name].setdefault("elements", "raw")
        if "suboptions" in option and option.get("type") in ("dict", "list"):
            spec[name]["options"] = spec_of(option["suboptions"])
    return spec


@functools.cache
def module_spec(module: str, home: Path = HOME) -> dict[str, Any]:
    """The argument spec of a module of awx.awx, without the options for the connection."""
    source = (home / INSIDE / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    return spec_of(documentation(source)["options"])


if __name__ == "__main__":
    print(bring())
