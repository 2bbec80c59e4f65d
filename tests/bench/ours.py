"""One operation of this collection in a fresh process, as a module does it. Only what the operation needs is imported.

Usage: python -I ours.py COLLECTIONS OPERATION '{"root": …}'; the result is one line of JSON.

``isal`` names a folder with that package; without it the package cannot be imported, even where it is installed.
``profile`` names a file for a profile of all threads.
"""

from __future__ import annotations

import contextlib
import cProfile
import dataclasses
import importlib
import json
import pstats
import sys
import threading
import typing as t

OPTIONS = json.loads(sys.argv[3])
sys.path.insert(0, sys.argv[1])
if OPTIONS.get("isal"):
    sys.path.append(OPTIONS["isal"])
    importlib.import_module("isal.isal_zlib")  # else the standard library would be measured under its name
else:
    sys.modules["isal"] = None  # type: ignore[assignment]

UTILS = "ansible_collections.mobius.ops.plugins.module_utils"
#: Where a file of the utils was in versions before the rooms.
FLAT = {
    "_backup.create": "_backup_create",
    "_backup.catalog": "_backups",
    "_target.layout": "_layout",
    "_restore.restore": "_restore",
    "_target.restore_journal": "_restore_journal",
}


def util(name: str) -> t.Any:
    """A file of the utils of the version that is measured."""
    try:
        return importlib.import_module(f"{UTILS}.{name}")
    except ModuleNotFoundError:
        return importlib.import_module(f"{UTILS}.{FLAT[name]}")


def request(kind: t.Any, **options: t.Any) -> t.Any:
    """A request, of those options that this version of the collection has."""
    known = {field.name for field in dataclasses.fields(kind)}
    every = list(util("_target.layout").COMPONENTS)
    return kind(env="bench", components=every, **{key: value for key, value in options.items() if key in known})


def back_up() -> dict[str, t.Any]:
    """A backup; what it takes over from the one before is the collection's to decide."""
    create, restore_journal = util("_backup.create"), util("_target.restore_journal")
    layout = util("_target.layout").Layout(OPTIONS["root"])
    with restore_journal.locked(layout):
        restore_journal.refuse_interrupted(layout)
        return create.create(layout, request(create.Request, dest=OPTIONS["dest"]))


def verify() -> dict[str, t.Any]:
    """Archives, all of them verified."""
    catalog = util("_backup.catalog")
    found = [catalog.parse(path) for path in OPTIONS["archives"]]
    states = catalog.describe([backup for backup in found if backup], OPTIONS["level"])
    wrong = [f"{state['archive']}: {state['status']}, {state['reason']}" for state in states if state["status"] != "verified"]
    if wrong or len(states) != len(OPTIONS["archives"]):
        sys.exit("; ".join(wrong) or "some archive was not found")
    return {"archives": len(states)}


def restore() -> dict[str, t.Any]:
    """A restore of everything."""
    restoring = util("_restore.restore")
    wanted = request(restoring.Request, archive=OPTIONS["archives"][0], safety_backup=OPTIONS["safety_backup"])
    return restoring.restore(util("_target.layout").Layout(OPTIONS["root"]), wanted)[0]


OPERATIONS = {"back_up": back_up, "verify": verify, "restore": restore}


@contextlib.contextmanager
def profiled(path: str) -> t.Iterator[None]:
    """Profile this thread and those that it starts."""
    profiles = [cProfile.Profile()]

    def begin(*_event: t.Any) -> None:
        with contextlib.suppress(ValueError):  # newer Pythons know one profile for all threads
            profiles.append(cProfile.Profile())
            profiles[-1].enable()

    threading.setprofile(begin)
    profiles[0].enable()
    yield
    profiles[0].disable()
    threading.setprofile(None)
    stats = pstats.Stats(profiles[0])
    for profile in profiles[1:]:
        with contextlib.suppress(TypeError):  # nothing was profiled
            stats.add(profile)
    stats.dump_stats(path)


def main() -> None:
    """Run the operation."""
    with profiled(OPTIONS["profile"]) if OPTIONS.get("profile") else contextlib.nullcontext():
        result = OPERATIONS[sys.argv[2]]()
    print(json.dumps(result, default=str))


main()
