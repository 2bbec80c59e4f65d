"""Virtual environments below .build for tools that do not belong into .venv: they are large, and only some targets need them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path


def run(*command: str, **options: object) -> str:
    """Run a command and return what it printed; when it failed, that is shown and the program ends.

    :param options: as of C(subprocess.run).
    """
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed with status {done.returncode}:\n{done.stdout}")
    return str(done.stdout)


def bring(folder: Path, *requirements: Path, python: str = sys.executable, bounds: str = "") -> Path:
    """The folder of the commands of a virtual environment, which is made anew when its requirements, its place or its Python changed.

    :param bounds: versions that pip may not leave, in the form of a requirements file.
    """
    facts = [*(path.read_bytes() for path in requirements), bounds.encode(), str(folder).encode(), python.encode(), sys.version.encode()]
    wanted, stamp = hashlib.sha256(b"\0".join(facts)).hexdigest(), folder.with_name(f"{folder.name}.stamp")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        stamp.unlink(missing_ok=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        run(python, "-m", "venv", "--clear", str(folder))
        limits = folder / "bounds.txt"
        limits.write_text(bounds, encoding="utf-8")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", str(limits)]
        run(*pip, *(word for path in requirements for word in ("-r", str(path))))
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin"
