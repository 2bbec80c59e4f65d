#!/usr/bin/env python3
"""Copy the sample application to a new folder as the source tree of one version.

    make_version.py DEST --version v2 --fault '{"kind": "health", "after": 8}'

Nothing is installed or built here. Versions differ in VERSION (and fault.json) only, never in a lock file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
GENERATED = {
    "node_modules",
    "client/node_modules",
    "client/build",
    "data",
    "out",
    "logs",
    "src/api/uploads",
    "uploads",
    ".env",
    ".release.json",
    "fault.json",
}
FAULTS = ("health", "slow", "errors", "leak", "crash", "hang", "writes")


def main():
    options = parse_arguments()
    dest = Path(options.dest).resolve()
    if dest == SOURCE or SOURCE in dest.parents:
        sys.exit(f"make_version.py: {dest} lies inside the application's source; choose a folder outside of it")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        sys.exit(f"make_version.py: {dest} exists and is not an empty folder; remove it or choose another")
    shutil.copytree(SOURCE, dest, ignore=leave_out, dirs_exist_ok=True)
    (dest / "VERSION").write_text(options.version + "\n", encoding="utf-8")
    if options.fault:
        (dest / "fault.json").write_text(json.dumps(options.fault) + "\n", encoding="utf-8")


def parse_arguments():
    parser = argparse.ArgumentParser(description="Copy the sample application as the source tree of one version.")
    parser.add_argument("dest", metavar="DEST", help="folder to create")
    parser.add_argument("--version", required=True, type=one_line, help="what the application calls itself, such as v2")
    parser.add_argument("--fault", type=fault, help="JSON of a fault that this version has, see README.md")
    return parser.parse_args()


def one_line(text):
    if not text.strip() or "\n" in text:
        raise argparse.ArgumentTypeError("a version is one line and not empty")
    return text.strip()


def fault(text):
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(value, dict) or value.get("kind") not in FAULTS:
        raise argparse.ArgumentTypeError(f"'kind' must be one of {', '.join(FAULTS)}")
    return value


def leave_out(folder, names):
    inside = Path(folder).relative_to(SOURCE)
    return [name for name in names if (inside / name).as_posix() in GENERATED or name == "__pycache__"]


if __name__ == "__main__":
    main()
