# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which settings and secrets the running process of a service does not have yet, because they changed after its start.

The kernel has the environment that a process was started with. It is compared with the ``.env`` and the definition of now, so no secret
is kept, and an instance that earlier code or systemd has started can be asked too. What else a start used is recorded (``started.json``,
without values of the ``.env``). Only files that are newer than the process count: it has read all others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import typing as t

from .._core import dotenv, fs, processes, systemd
from .._core.errors import StateError
from .._target import records
from .._target.record_types import ServiceSpec, Started
from . import env_start, unit_file

RECORD = "started.json"
#: Seconds by which a file may be older than a process that has not read it.
SLACK = 1.0
#: Facts of a definition that take effect with a start only -> the settings that they come from.
SETTINGS = {
    "command": "mobius_command",
    "app": "mobius_app_path",
    "user": "mobius_user",
    "stop_timeout": "mobius_stop_timeout",
    **{name: f"mobius_{name}" for name in unit_file.LIMITS},
}
#: What is named when the unit differs in something that is none of the settings, or in what is not known.
UNIT = "unit"


def definition_file(spec: ServiceSpec, folder: str) -> str:
    """The file from which the manager of a service takes its definition."""
    return os.path.join(systemd.UNIT_DIR, spec["name"] + ".service") if spec["manager"] == "systemd" else os.path.join(folder, "spec.json")


def environment(spec: ServiceSpec) -> dict[str, str]:
    """The variables that the next start passes: of the ``.env``, and of the definition, which come first."""
    return {**dotenv.read(spec["env_file"]), **spec["environment"]}


def note(spec: ServiceSpec, folder: str) -> None:
    """Record what a start uses, right before it. On a full disk there is no record, and the start goes on."""
    path = os.path.join(folder, RECORD)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        fs.write_json(path, {"names": sorted(environment(spec)), **_facts(spec)}, 0o600)


def claim(folder: str, pid: int | None) -> None:
    """Record which process was started so. systemd starts others by itself, after a crash or a reboot, from the unit of then."""
    path = os.path.join(folder, RECORD)
    record = records.read(path, records.STARTED)
    if record:
        with contextlib.suppress(OSError):
            fs.write_json(path, {**record, "process": _identity(pid)}, 0o600)


def _identity(pid: int | None) -> list[int | None] | None:
    return [pid, processes.start_ticks(pid)] if pid else None


def _facts(spec: ServiceSpec) -> Started:
    unit = unit_file.render(spec) if spec["manager"] == "systemd" else ""
    whole: t.Mapping[str, object] = spec
    return {
        "settings": {name: whole.get(name) for name in SETTINGS},
        "unit": hashlib.sha256(unit.encode("utf-8", "surrogateescape")).hexdigest(),
    }


def newer(path: str, moment: float) -> bool:
    """Whether a file was changed after a moment (epoch seconds), or is gone."""
    try:
        return os.stat(path).st_ctime >= moment
    except FileNotFoundError:
        return True


def restart_needed(spec: ServiceSpec, folder: str, pid: int | None, reader: int | None, changes: bool = False) -> list[str]:
    """Names of environment variables and settings that changed after a process was started; never values.

    :param pid: the process of the service; without one nothing lacks.
    :param reader: the process that has read the definition: the supervisor, or the same.
    :param changes: whether *spec* is about to become the definition.
    :returns: sorted names; empty as well when it cannot be known.
    """
    if not pid:
        return []
    since = time.time() - processes.age(reader or pid) - SLACK
    secrets, unit = newer(spec["env_file"], since), changes or newer(definition_file(spec, folder), since)
    if not (secrets or unit or newer(os.path.join(folder, "spec.json"), since)):
        return []
    saved: Started | None = records.read(os.path.join(folder, RECORD), records.STARTED)
    record: Started = saved or {}
    try:
        wanted, found = environment(spec), processes.environment(pid) or {}
    except StateError:  # the next start says so
        return []
    if env_start.reads(spec, pid):
        return []
    names = {name for name, value in wanted.items() if (secrets or name in spec["environment"]) and found.get(name) != value}
    names |= {name for name in record.get("names", []) if name in found and name not in wanted}
    if not found:  # it could not be read
        names = set()
    if record and unit:
        of_it = record.get("process") in (None, _identity(pid))
        names |= _settings(record, _facts(spec), not names) if of_it else {UNIT}
    return sorted(names)


def _settings(record: Started, facts: Started, alone: bool) -> set[str]:
    changed = {setting for name, setting in SETTINGS.items() if record["settings"].get(name) != facts["settings"][name]}
    return changed or ({UNIT} if alone and record["unit"] != facts["unit"] else set())
