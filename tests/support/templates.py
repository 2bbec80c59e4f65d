# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of prepared application roots: what playbooks made once, at another path and on another port."""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import typing as t
from pathlib import Path

from ansible_collections.mobius.ops.plugins.module_utils import _service, _watcher  # noqa: F401 (detached code takes along what is loaded)
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout

#: Written once and never changed: the copies share these files.
SHARED = "deps"
#: Folders of the root whose text names the root and the port.
TEXTS = ("state", "releases/*/.release.json")


@contextlib.contextmanager
def once(folder: Path) -> t.Iterator[bool]:
    """Whether this process is the one that is to make *folder*; others wait meanwhile. What a failed one left is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = Path(f"{folder}.done")
        if done.exists():
            yield False
            return
        shutil.rmtree(folder, ignore_errors=True)
        yield True
        done.touch()


def copy(source: Path, folder: Path, port: int) -> None:
    """Copy a stopped site (``mobius`` is its root) to another folder, for another port."""
    root, old = folder / "mobius", source / "mobius"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(old, root, symlinks=True, ignore=lambda path, names: [SHARED] if path == str(old) else [])
    shutil.copytree(old / SHARED, root / SHARED, symlinks=True, copy_function=os.link)
    was = json.loads((old / "state" / "service" / "mobius" / "spec.json").read_text())["port"]
    for pattern in TEXTS:
        for found in root.glob(pattern):
            for path in [found] if found.is_file() else found.rglob("*.json*"):
                status, text = path.stat(), path.read_text()
                path.write_text(re.sub(rf"\b{was}\b", str(port), text.replace(str(source), str(folder))))
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def start(root: Path) -> None:
    """Start the service of a copy."""
    _service.load(Layout(str(root)), "mobius").start()
