"""Brings the collection awx.awx to .build/awx, and reads the argument specs of its modules.

Usage: awx_collection.py    prints the folder for ANSIBLE_COLLECTIONS_PATH

mobius.ops works without awx.awx, so awx.awx is no dependency. It is not in .venv, because its package carries a hundred other collections.
"""

from __future__ import annotations

import ast
import difflib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import UnsupportedError

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
            raise SystemExit(f"awx.awx: pip could not download {PACKAGE}. Check the package index, then run it again.\n{done.stderr}")
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
            found: dict[str, Any] = yaml.load(ast.literal_eval(node.value), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
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


def problems(module: str, given: dict[str, Any]) -> Iterator[str]:
    """What a module of awx.awx would refuse of its options."""
    try:
        errors = ArgumentSpecValidator(module_spec(module)).validate(given).errors.errors
    except TypeError as wrong:  # of a list of nothing where it expects options
        yield f"a value has the wrong type: {wrong}"
        return
    for error in errors:
        if not isinstance(error, UnsupportedError):
            yield str(error.msg)
            continue
        for name in error.msg.partition(". Supported parameters")[0].split(", "):
            close = difflib.get_close_matches(name.rpartition(".")[2], words(module_spec(module)), n=1)
            yield f"there is no key {name}{f'; perhaps {close[0]}' if close else ''}"


def words(spec: dict[str, Any]) -> list[str]:
    """The names of options, and of their suboptions."""
    return [*spec, *(word for option in spec.values() for word in words(option.get("options", {})))]


if __name__ == "__main__":
    print(bring())
