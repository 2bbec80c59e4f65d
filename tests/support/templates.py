# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of prepared application roots: what playbooks made once, at another path and on another port."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import typing as t
from pathlib import Path

from ansible_collections.mobius.ops.plugins.module_utils._core import locks, processes
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._watch import control as watch_control
from ansible_collections.mobius.ops.plugins.module_utils._watch import watcher
from support.waiting import wait_until

DETACHED = (watcher,)  # a supervisor takes along what is loaded
#: Settings that each site has for itself; a copy gets its own.
OWN = ("mobius_root", "mobius_port")
#: Written once and never changed: the copies share these files.
SHARED = "deps"
#: Folders and files of the root whose text names the root and the port.
TEXTS = ("state", "releases/*/.release.json", "shared/data/images.json")


@contextlib.contextmanager
def once(folder: Path) -> t.Iterator[bool]:
    """Whether this process is the one that is to make *folder*; others wait meanwhile. What a failed one left is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locks.locked(f"{folder}.lock"):
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
    for link in [path for path in [*root.glob("releases/*/*"), *root.glob("releases/*/src/api/*")] if path.is_symlink()]:
        target = os.readlink(link).replace(str(source), str(folder))
        link.unlink()
        link.symlink_to(target)
    for pattern in TEXTS:
        for found in root.glob(pattern):
            for path in [found] if found.is_file() else found.rglob("*.json*"):
                status, text = path.stat(), path.read_text()
                path.write_text(re.sub(rf"\b{was}\b", str(port), text.replace(str(source), str(folder))))
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def service_of(folder: Path) -> t.Any:
    """The service of a site."""
    return service_registry.load(Layout(str(folder / "mobius")), "mobius")


def stop(folder: Path) -> None:
    """End what runs in a site, as the playbook ``stop`` does."""
    watch_control.stop(Layout(str(folder / "mobius")), "the test is over")
    service_of(folder).shut_down()


def deployed(place: Path, settings: dict[str, t.Any], versions: tuple[str, ...], build: t.Callable[[Path], None], folder: Path) -> None:
    """Make a site with these settings and versions in *folder*, as a copy of one that was built once below *place*.

    :param build: builds a site in a folder, with a port of its own and the service running.
    """
    common = {name: value for name, value in settings.items() if name not in OWN}
    template = place / hashlib.sha256(json.dumps([common, versions], sort_keys=True).encode()).hexdigest()[:12]
    with once(template) as first:
        if first:
            template.mkdir()
            build(template)
            if versions:
                stop(template)
    port = settings["mobius_port"]
    copy(template, folder, port)
    if versions:
        service_of(folder).start()
        wait_until(lambda: processes.port_answers(port), "the copied site answers")
