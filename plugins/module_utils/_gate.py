# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release whose state only one instance may have is tried on a throw-away copy of the data before the old one is stopped.

It runs as the drill's instance does: kept from the live data, on a spare port, for a moment. The copy has the database and the
settings; uploads and clips are left out, for they may be large and are not read at the start.
"""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import (
    _drill_app,
    _drill_instance,
    _drill_scratch,
    _env_file,
    _files,
    _readiness,
    _sqlite,
    _write_attempts,
)
from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._slots import SlottedService

#: Components that the copy has.
COPIED = ("config", "database")
#: Seconds within which a JSON store must be found whole.
_PATIENCE = 5.0
#: File among the logs of watches with what the last instance printed that did not become well on a copy.
LOG = "gate.log"


def on_copy(layout: Layout, service: SlottedService, release_id: str, checks: list[dict[str, t.Any]],
            timeout: float) -> list[dict[str, t.Any]]:
    """Start a release on a copy of the data and wait until it is well; where it tried to write elsewhere (``_write_attempts``).

    :raises OpsError: when it does not become well, or cannot be kept from the live data. Nothing is left of it.
    """
    needed = sum(_size(layout.component(name)) for name in COPIED) + _drill_app.size_of_code(layout, release_id)
    with _drill_scratch.alone(layout):
        _drill_scratch.sweep(layout)
        scratch = _drill_scratch.make(layout, layout.root, needed)
        instance = None
        try:
            instance = _instance(layout, scratch, service, release_id, timeout)
            instance.log = layout.path("monitor_logs", LOG)
            return _tried(instance, service.direct(checks, instance.port), release_id, timeout)
        except OpsError as error:
            error.args = (f"On a copy of the data: {error}",)
            if instance:
                _keep_log(instance)
            raise
        finally:
            if instance:
                instance.stop()
            _drill_scratch.remove(layout, scratch)


def _instance(layout: Layout, scratch: Layout, service: SlottedService, release_id: str, timeout: float) -> _drill_instance.Instance:
    copies = scratch.path("restored")
    os.mkdir(copies, 0o700)
    for name in COPIED:
        if os.path.isdir(layout.component(name)):
            copy(layout.component(name), os.path.join(copies, name))
    _drill_scratch.furnish(layout, scratch, copies, service.spec["user"])
    _drill_app.copy_release(layout, scratch, release_id)
    spec = _drill_app.build_spec(layout, scratch, service.spec, release_id, _drill_app.spare_port(), {})
    return _drill_instance.instance_for(scratch, spec, timeout * 2 + 60)


def _tried(instance: _drill_instance.Instance, checks: list[dict[str, t.Any]], release_id: str,
           timeout: float) -> list[dict[str, t.Any]]:
    instance.require_port()
    instance.start()
    try:
        _readiness.ready(instance, checks, release_id, timeout)
    except OpsError as error:
        error.facts = {"evidence": instance.evidence(), **getattr(error, "facts", {})}
        raise
    pid = instance.status()["pid"]
    if pid:
        instance.require_isolation(pid)
    return _write_attempts.of(instance)


def _keep_log(instance: _drill_instance.Instance) -> None:
    """Keep what the instance printed beyond its scratch folder, for the message names that file. A full disk is no other failure."""
    with contextlib.suppress(OSError):
        _files.write_text(instance.log, _env_file.Redactor(instance.spec["env_file"]).text(instance.printed()))


def copy(source: str, target: str) -> None:
    """Copy a component while the application writes to it: databases by SQLite, JSON stores when they are whole.

    Leaves out what is removed or renamed meanwhile, as a temporary file is that becomes a store.

    :raises StateError: when a JSON store is never found whole.
    """
    def one(path: str, to: str) -> None:
        try:
            still(path, to)
        except FileNotFoundError as error:
            if error.filename != path:
                raise
            with contextlib.suppress(FileNotFoundError):
                os.unlink(to)

    def still(path: str, to: str) -> None:
        if _sqlite.is_database(path):
            _sqlite.copy(path, to)
            status = os.stat(path)
            os.chmod(to, status.st_mode & 0o777)
        elif path.lower().endswith(".json"):
            _store(path, to)
        else:
            shutil.copy2(path, to)
        status = os.stat(path)
        with contextlib.suppress(PermissionError):
            os.chown(to, status.st_uid, status.st_gid)

    def left_out(folder: str, names: list[str]) -> set[str]:
        """Companions of databases: the copy is a single file."""
        bases = {name for name in names if _sqlite.is_database(os.path.join(folder, name))}
        return {base + suffix for base in bases for suffix in _sqlite.COMPANIONS}

    shutil.copytree(source, target, symlinks=True, ignore=left_out, copy_function=one)
    for folder, _dirs, _names in os.walk(target):
        with contextlib.suppress(PermissionError, FileNotFoundError):
            status = os.stat(os.path.join(source, os.path.relpath(folder, target)))
            os.chown(folder, status.st_uid, status.st_gid)


def _store(path: str, to: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        shutil.copy2(path, to)
        try:
            with open(to, encoding="utf-8") as stream:
                json.load(stream)
            return
        except (ValueError, RecursionError) as error:
            if time.monotonic() > deadline:
                raise StateError(f"store {path}", "a JSON document", f"none: {error}", "Repair it: no release can read it") from error
        time.sleep(0.05)


def _size(folder: str) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _dirs, names in os.walk(folder) for name in names)
