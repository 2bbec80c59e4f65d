# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folders that all releases share: where in a release the application writes, and in which component that is kept.

Setup keeps the list in ``state/shared.json``. The default covers everything that the real MOBIUS writes (mobius-app.md, "State").
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._core import foreign, fs
from .._core.errors import InputError, StateError
from . import records
from .layout import COMPONENTS, Layout
from .record_types import SharedFolder

#: ``path`` in the release; ``component`` that keeps it, in its folder or in ``folder`` of it; ``create``: folders that must be in it.
DEFAULT: list[SharedFolder] = [
    {"path": "data", "component": "database"},
    {"path": "src/api/uploads", "component": "uploads"},
    {"path": "out", "component": "generated"},
    {"path": "logs", "component": "logs"},
    {"path": "uploads", "component": "uploads", "folder": ".root", "create": ["thumbnails"]},
    {"path": "src/api/saved-matches", "component": "database", "folder": ".saved-matches"},
    {"path": "output", "component": "generated", "folder": ".output"},
]
FIELDS = ("path", "component", "folder", "create")
#: The file that every release has of its own component; setup writes it.
ENV = (".env", "config/.env")


def normalize(given: t.Sequence[t.Mapping[str, t.Any]] | None) -> list[SharedFolder]:
    """The list in full form. :raises InputError: when an entry cannot be used, or two of them collide."""
    found = [_entry(number, entry) for number, entry in enumerate(DEFAULT if given is None else given, 1)]
    for key, what in (("path", "paths in the release"), ("place", "places in their components")):
        seen = [entry["path"] if key == "path" else f"{entry['component']}/{entry['folder']}".rstrip("/") for entry in found]
        for number, one in enumerate(seen):
            for other in seen[:number]:
                nested = key == "path" and (one.startswith(other + "/") or other.startswith(one + "/"))
                if one == other or nested:
                    raise InputError(
                        "mobius_shared_folders",
                        f"different {what}, none in another one",
                        f"{other} and {one}",
                        "Correct one of them" if key == "path" else "Give one of them a folder of its own",
                    )
    return found


def _entry(number: int, entry: t.Mapping[str, t.Any]) -> SharedFolder:
    full: dict[str, t.Any] = {"folder": "", "create": [], **{key: value for key, value in entry.items() if value is not None}}
    name = f"mobius_shared_folders, entry {number}"
    unknown = set(full) - set(FIELDS)
    if unknown or not full.get("path") or not full.get("component"):
        raise InputError(name, "path and component, and if need be folder and create", ", ".join(sorted(entry)) or "nothing", "Correct it")
    if full["component"] not in COMPONENTS or full["component"] == "config":
        raise InputError(
            f"{name} ({full['path']})", "one of the components " + ", ".join(COMPONENTS[1:]), repr(full["component"]), "Correct it"
        )
    for path in [full["path"], full["folder"] or "x", *full["create"]]:
        strange = os.path.isabs(path) or path.split("/")[0] in ("..", ".") or any(ord(sign) < 32 for sign in path)
        if strange or path != os.path.normpath(path):
            raise InputError(f"{name} ({full['path']})", "paths below the release or the component's folder", repr(path), "Correct it")
    if full["path"].split("/")[0] in ("node_modules", ".env", ".release.json"):
        raise InputError(f"{name} ({full['path']})", "a folder that the application writes to", "one of this collection's", "Leave it out")
    return {"path": full["path"], "component": full["component"], "folder": full["folder"], "create": full["create"]}


def _kept(layout: Layout) -> str:
    return layout.path("state", "shared.json")


def load(layout: Layout) -> list[SharedFolder]:
    """What the host was set up with; the default on one of before."""
    return normalize(records.read(_kept(layout), records.SHARED))


def made(layout: Layout) -> list[SharedFolder]:
    """What the host was set up with; nothing on one of before, whose components have no further folders."""
    return load(layout) if os.path.exists(_kept(layout)) else []


class Described(t.TypedDict):
    """A shared folder, its place below the root, and whether it is there."""

    path: str
    component: str
    place: str
    exists: bool


def described(layout: Layout) -> list[Described]:
    """Each folder that the host was set up with: ``path``, ``component``, ``place`` below the root, whether it ``exists``."""
    entries = made(layout)
    places = links(layout, entries)
    return [
        {
            "path": entry["path"],
            "component": entry["component"],
            "place": os.path.relpath(places[entry["path"]], layout.root),
            "exists": os.path.isdir(places[entry["path"]]),
        }
        for entry in entries
    ]


def save(layout: Layout, entries: list[SharedFolder]) -> None:
    """Keep the list for those who prepare, restore or try a release later."""
    fs.write_json(_kept(layout), entries)


def links(layout: Layout, entries: list[SharedFolder]) -> dict[str, str]:
    """Path in a release -> the absolute path that it links to."""
    found = {entry["path"]: os.path.join(layout.component(entry["component"]), entry["folder"]).rstrip("/") for entry in entries}
    return {**found, ENV[0]: os.path.join(layout.shared, ENV[1])}


def wanted(entries: list[SharedFolder], component: str) -> list[str]:
    """Folders that have to be in a component, parents first."""
    found = []
    for entry in entries:
        if entry["component"] == component:
            for path in [entry["folder"], *(os.path.join(entry["folder"], name) for name in entry["create"])]:
                parts = path.split("/") if path else []
                found += ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    return list(dict.fromkeys(found))


def missing(base: str, entries: list[SharedFolder], component: str) -> list[str]:
    """Folders that :func:`complete` would make below a component's folder."""
    return [path for path in wanted(entries, component) if not os.path.isdir(os.path.join(base, path))]


def complete(base: str, entries: list[SharedFolder], component: str) -> list[str]:
    """Make what lacks below a component's folder, as its owner's. No link of the service's user is followed.

    :param base: the folder, which may be a copy of the component.
    :returns: the folders that were made.
    :raises StateError: when something else than a folder is in a folder's place.
    """
    new: list[str] = []
    if not wanted(entries, component):
        return new
    with contextlib.ExitStack() as stack:
        top = _opened(stack, base, None)
        status = os.fstat(top)
        for path in wanted(entries, component):
            *parents, name = path.split("/")
            folder = top
            try:
                for parent in parents:
                    folder = _opened(stack, parent, folder)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o750, dir_fd=folder)
                    new.append(path)
                own = _opened(stack, name, folder)
            except OSError as error:
                raise StateError(os.path.join(base, path), "a folder, or nothing", "something else", "Move it away") from error
            if new and new[-1] == path:
                os.fchmod(own, 0o750)
                if os.geteuid() == 0:
                    os.fchown(own, status.st_uid, status.st_gid)
        if new:
            with contextlib.suppress(PermissionError):
                os.utime(top, ns=(status.st_atime_ns, status.st_mtime_ns))
    return new


def _opened(stack: contextlib.ExitStack, name: str, parent: int | None) -> int:
    descriptor = os.open(name, foreign.FOLDER, dir_fd=parent)
    stack.callback(os.close, descriptor)
    return descriptor
