# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folders of an adopted service: each is mounted where the components of a root lie, so that all who read components find it.

A bind mount shows a folder at a second place. Under systemd a mount unit brings it back after a reboot, elsewhere the next run of a role.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import typing as t

from .._core import commands, mounts, systemd
from .._core.errors import InputError, StateError
from .layout import COMPONENTS, Layout

UNIT = """\
[Unit]
Description=mobius.ops: the {component} of an adopted service
RequiresMountsFor={source}

[Mount]
What={source}
Where={place}
Type=none
Options=bind

[Install]
WantedBy=multi-user.target
"""


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of the service, and the component that it is from now on."""

    component: str
    source: str
    place: str

    @property
    def unit(self) -> str:
        """The name of its mount unit, which systemd derives from the place."""
        return commands.run(["systemd-escape", "--path", "--suffix=mount", self.place], "/", "the name of a mount unit").strip()

    def mounted(self) -> bool:
        """Whether the place shows the folder."""
        if self.place not in mounts.points():
            return False
        here, there = os.stat(self.place), os.lstat(self.source)
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def checked(layout: Layout, given: t.Mapping[str, object]) -> list[Folder]:
    """The folders that are given by their components.

    :raises InputError: for what is no component or no folder, or where another user could put another folder in its place.
    """
    found = []
    for component, path in given.items():
        if component not in COMPONENTS:
            raise InputError("folders", "some of " + ", ".join(COMPONENTS), repr(component), "Correct mobius_adopted")
        found.append(Folder(component, _safe(f"folder {component}", path), layout.component(component)))
    for one in found:
        for other in [*(each.source for each in found if each is not one), layout.root]:
            if _within(one.source, other) or _within(other, one.source):
                raise InputError(f"folder {one.component}", f"a folder apart from {other}", one.source, "Correct mobius_adopted")
    return found


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


def _safe(what: str, path: t.Any) -> str:
    """A folder that nobody but root can exchange for another one, for root will read and write in it."""
    if not isinstance(path, str) or not os.path.isabs(path) or os.path.normpath(path) != path or path == "/":
        raise InputError(what, "an absolute path without . and ..", repr(path), "Correct mobius_adopted")
    parent, me = "/", os.geteuid()
    above = os.lstat(parent)
    for name in path.strip("/").split("/"):
        parent = os.path.join(parent, name)
        try:
            status = os.lstat(parent)
        except FileNotFoundError:
            raise InputError(what, f"a folder at {path}", f"no {parent}", "Correct mobius_adopted") from None
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(what, f"a folder at {path}, without links", f"something else at {parent}", "Give the path without links")
        if _exchangeable(above, status, me):
            folder = os.path.dirname(parent)
            raise InputError(
                what,
                f"a folder that no other user can exchange while {'root' if me == 0 else 'this user'} works in it",
                f"{folder}, which others may write to",
                f"Give {folder} itself, or make it root's alone (chown, chmod)",
            )
        above = status
    return path


def _exchangeable(above: os.stat_result, status: os.stat_result, me: int) -> bool:
    """Whether another user than root and this one can rename something in a folder."""
    ours = (0, me)
    if above.st_uid not in ours:
        return True
    open_to_others = above.st_mode & 0o022
    return bool(open_to_others) and not (above.st_mode & stat.S_ISVTX and status.st_uid in ours)


def missing(folders: t.Iterable[Folder]) -> list[Folder]:
    """The folders that are not at their places yet."""
    return [folder for folder in folders if not folder.mounted()]


def mount(folders: t.Iterable[Folder]) -> None:
    """Mount each folder at its place, which has to be an empty folder.

    :raises StateError: when the place holds something, or the system does not let it be mounted.
    """
    for folder in folders:
        if os.listdir(folder.place):
            raise StateError(
                f"component {folder.component}",
                f"an empty folder at {folder.place}",
                "files in it",
                "Move them away, or adopt the service on another mobius_root",
            )
        _mount(folder)
        if not folder.mounted():
            _unmount(folder)
            raise StateError(
                f"component {folder.component}",
                f"{folder.source} at {folder.place}",
                "another folder: it was exchanged",
                "Find out who did that, then run this again",
            )


def _mount(folder: Folder) -> None:
    if not systemd.is_init():
        commands.run(["mount", "--bind", folder.source, folder.place], "/", "mount")
        return
    source, place = systemd.literal(folder.source), systemd.literal(folder.place)
    systemd.write_unit(folder.unit, UNIT.format(component=folder.component, source=source, place=place))
    systemd.enable(folder.unit)
    systemd.systemctl("start", folder.unit)


def others(layout: Layout, wanted: t.Iterable[Folder]) -> list[Folder]:
    """What is mounted at the places of components, but for what is wanted there."""
    kept, points = {folder.place for folder in wanted if folder.mounted()}, mounts.points()
    every = [Folder(component, "", layout.component(component)) for component in COMPONENTS]
    return [folder for folder in every if folder.place in points and folder.place not in kept]


def unmount(folders: t.Iterable[Folder]) -> None:
    """Take mounts away. Their folders stay."""
    for folder in folders:
        _unmount(folder)


def _unmount(folder: Folder) -> None:
    if systemd.is_init():
        systemd.systemctl("stop", folder.unit, check=False)
        systemd.remove_unit(folder.unit)
    if folder.place in mounts.points():
        commands.run(["umount", folder.place], "/", "umount")
