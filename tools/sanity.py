"""Runs `ansible-test sanity` of one virtual environment on a copy of the tree.

Usage: sanity.py VENV TREE [--own-python] [ansible-test arguments]

With --own-python, or with arguments for ansible-test, only the Python of VENV is
tested; else import and compile run on the oldest Python of a target as well.

ansible-test downloads a get-pip script, keeps its environments in HOME and drops
all PIP_* variables. Here it gets a HOME below .build with a get-pip that needs
only the interpreter's ensurepip, and a pip.conf made of the user's settings, so
that it works with the package registry alone and leaves the real HOME as it is.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".build" / "home"
GET_PIP = '''\
"""Stands in for get-pip: the interpreter's own pip first, then what was asked for."""
import subprocess
import sys

wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "-qq", *wanted]))
'''
# skipped: finds other things on machines that happen to have the tool
SKIPPED = ("shellcheck", "pslint")
# not installed on anyone's hosts, and ruff reads it: its rules and pylint's differ on tests
EXCLUDED = ("tests/", "tools/")
# the oldest Python of a target: its import and compile tests run as well, where there is one
OLDEST_TARGET = "3.9"


def site_packages(venv: Path) -> Path:
    """Where venv keeps its packages."""
    return next(iter(sorted((venv / "lib").glob("python3*/site-packages"))))


def pip_settings() -> configparser.RawConfigParser:
    """The user's pip settings, those of the environment first."""
    settings = configparser.RawConfigParser()
    real_home = Path(os.environ.get("HOME") or "/nonexistent")
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or real_home / ".config")
    places: list[Path | str] = [real_home / ".pip" / "pip.conf", config_home / "pip" / "pip.conf", os.environ.get("PIP_CONFIG_FILE", "")]
    settings.read([str(place) for place in places if str(place) and os.access(place, os.R_OK)])
    if not settings.has_section("global"):
        settings.add_section("global")
    settings.set("global", "quiet", "2")
    for name, value in os.environ.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
            settings.set("global", name[4:].lower().replace("_", "-"), value)
    return settings


def prepare_home(venv: Path) -> None:
    """Fills the HOME that ansible-test gets."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    source = (site_packages(venv) / "ansible_test/_internal/python_requirements.py").read_text(encoding="utf-8")
    for version in re.findall(r"\bpip='([\d.]+)'", source):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP, encoding="utf-8")
    settings = HOME / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    with open(settings, "w", encoding="utf-8") as target:
        pip_settings().write(target)


def environment(venv: Path, *more_folders: str) -> dict[str, str]:
    """What ansible-test runs with: no ANSIBLE_* settings of the user, no shims."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(":") if not folder.endswith("/shims")]
    return {**kept, "HOME": str(HOME), "PATH": ":".join([str(venv / "bin"), *folders, *more_folders])}


def python_version(venv: Path) -> str:
    """3.11, of the interpreter in venv."""
    return site_packages(venv).parent.name.removeprefix("python")


def run(venv: Path, tree: Path, arguments: list[str]) -> int:
    """Runs the sanity tests; returns their exit status."""
    prepare_home(venv)
    command = [str(venv / "bin" / "python"), str(venv / "bin" / "ansible-test"), "sanity", "--color", "no"]
    command += [word for folder in EXCLUDED for word in ("--exclude", folder) if (tree / folder).exists()]
    skipped = [word for name in SKIPPED for word in ("--skip-test", name)]
    own_python = bool(arguments)
    arguments = [word for word in arguments if word != "--own-python"]
    ours = [*command, "--python", python_version(venv), *skipped, *arguments]
    status = subprocess.call(ours, cwd=tree, env=environment(venv))
    if own_python:
        return status
    find = [str(ROOT / "tools" / "find-python"), OLDEST_TARGET]
    oldest = subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip()
    if not oldest:
        print(f"sanity: no Python {OLDEST_TARGET} here, its import and compile tests were left out")
        return status
    targets = [*command, "--python", OLDEST_TARGET, "--test", "import", "--test", "compile"]
    return subprocess.call(targets, cwd=tree, env=environment(venv, os.path.dirname(oldest))) or status


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), sys.argv[3:]))
