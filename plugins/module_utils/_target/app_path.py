# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder in which the application sees its release: the same one in every release and every instance.

MOBIUS stores absolute paths below its working folder (``data/images.json``), and serves only what lies below the present one. So the
path must not change with a release. There are three ways to that:

- systemd mounts the release there, for the service alone (``BindReadOnlyPaths=``);
- where there is no systemd, the service gets a mount namespace of its own (``bound``);
- where that is not allowed, the folder gets links to all that is in the release (``linked``), which one instance at a time can use.

Where none is possible, as with two instances at once, the service runs in its release's own folder (``moving``).
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._core import fs, namespaces
from .._core.errors import InputError, StateError
from . import shared_folders
from .layout import Layout
from .record_types import ServiceSpec, SharedFolder

BOUND, LINKED, MOVING = "bound", "linked", "moving"
#: In every release: by the link to it the release behind the links is known.
_RECORD = ".release.json"
#: Exit status when the service could not be brought to its folder.
REFUSED = 78


def checked(layout: Layout, path: str | None) -> str:
    """The path that was chosen, or the default. :raises InputError: when the service cannot have it."""
    if not path:
        return layout.app
    plain = os.path.normpath(path)
    taken = [folder for folder in layout.folders() if folder != layout.app]
    inside = any(plain == folder or plain.startswith(folder + os.sep) for folder in taken if folder != layout.root)
    if not os.path.isabs(path) or inside or plain == layout.root or layout.root.startswith(plain.rstrip(os.sep) + os.sep):
        raise InputError(
            f"mobius_app_path {path}",
            "an absolute path of a folder that nothing else uses",
            "one that this collection or the system has a use for",
            f"Correct it, or leave it empty for {layout.app}",
        )
    return plain


def way(spec: ServiceSpec) -> str:
    """How a service without systemd gets to its folder on this machine."""
    if not spec.get("app"):
        return MOVING
    if possible():
        return BOUND
    return LINKED if spec.get("state", "exclusive") == "exclusive" else MOVING


def possible() -> bool:
    """Whether this process may make mount namespaces; tried in a child."""
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(OSError):
            namespaces.enter()
            status = 0
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def prepare(layout: Layout, spec: ServiceSpec) -> None:
    """Have the folder, and in the release the links to all that is shared now, which lead to the same place from there.

    :raises StateError: when something else is in the folder's place.
    """
    if spec.get("app"):
        try:
            os.makedirs(str(spec["app"]), mode=0o755, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StateError(
                f"mobius_app_path {spec['app']}", "a folder or nothing", "something else", "Move it away, or give another mobius_app_path"
            ) from error
        if os.path.isdir(spec["working_dir"]):
            mend(layout, os.path.realpath(spec["working_dir"]))


def mend(layout: Layout, release: str, entries: list[SharedFolder] | None = None) -> None:
    """Give a release the links that one has which is prepared now: earlier versions made relative ones, and fewer.

    :param entries: what is shared; by default what the host was set up with.
    """
    for inside, target in shared_folders.links(layout, shared_folders.load(layout) if entries is None else entries).items():
        link = os.path.join(release, inside)
        if os.path.islink(link) and os.readlink(link) != target:
            fs.atomic_symlink(target, link)
        elif not os.path.lexists(link):
            with fs.open_umask():
                os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(target, link)
    make_absolute(os.path.join(release, "node_modules"))


def make_absolute(link: str) -> None:
    """Let a relative link lead to the same place from everywhere."""
    if os.path.islink(link) and not os.path.isabs(os.readlink(link)):
        fs.atomic_symlink(os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link))), link)


def enter(release: str, path: str, account: t.Mapping[str, t.Any]) -> None:
    """Be in the folder, with the release mounted there, as the service's user. For a child that is about to become the service.

    :param account: ``user``, ``group`` and ``extra_groups`` as of ``Popen``; empty to stay who it is.
    """
    try:
        namespaces.enter()
        namespaces.mount(release, path, namespaces.MS_BIND)
        namespaces.make_read_only(path)
        if account:
            os.setgroups(account["extra_groups"])
            os.setgid(account["group"])
            os.setuid(account["user"])
        os.chdir(path)
    except OSError as error:
        os.write(2, f"mobius.ops: cannot mount {release} at {path}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(REFUSED)


def link(release: str, path: str) -> None:
    """Make the folder hold a link to everything in the release, and nothing else. No process of another release may use it."""
    names = os.listdir(release)
    for name in set(os.listdir(path)).difference(names):
        os.unlink(os.path.join(path, name))
    for name in sorted(names, key=lambda name: name == _RECORD):  # the one that tells which it is comes last
        fs.atomic_symlink(os.path.join(release, name), os.path.join(path, name))


def release_of(pid: int, layout: Layout, path: str | None) -> str | None:
    """The id of the release that a process works in, whichever way it got there; ``None`` when it is none."""
    try:
        there = os.stat(f"/proc/{pid}/cwd")
        if path and os.path.samestat(there, os.stat(path)):
            folder = os.path.dirname(os.readlink(os.path.join(path, _RECORD)))
            return os.path.basename(folder) if os.path.samefile(os.path.dirname(folder), layout.releases) else None
        with os.scandir(layout.releases) as entries:
            return next((entry.name for entry in entries if entry.inode() == there.st_ino and os.path.samestat(entry.stat(), there)), None)
    except OSError:
        return None
