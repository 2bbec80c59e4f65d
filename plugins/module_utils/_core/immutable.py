# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files and folders that not even root may remove, rename or change: those with the attribute immutable or append-only (``chattr``)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import stat
import struct
import typing as t

from . import foreign, walk, wording

#: FS_IOC_GETFLAGS of linux/fs.h, and what it tells.
_GET = 0x8000_6601 | struct.calcsize("l") << 16
_KINDS = {0x10: ("immutable", "-i"), 0x20: ("append-only", "-a")}


class Held(t.NamedTuple):
    """What cannot be removed or renamed, why, and what releases it."""

    path: str
    kind: str
    release: str

    @property
    def todo(self) -> str:
        """What to do, as a sentence without its full stop."""
        return f"Release it with '{self.release}'"


def of(path: str) -> Held | None:
    """The attribute of a file or folder, by a path whose folders are root's; of anything else, or on a file system without it, none."""
    folder, name = os.path.split(path)
    try:
        parent = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _of(name, parent, path)
    finally:
        os.close(parent)


def around(path: str) -> Held | None:
    """What keeps a file or folder from being removed or renamed: its own attribute or that of the folder that it is in."""
    return of(path) or of(os.path.dirname(os.path.abspath(path)))


def below(top: str, most: int = 3) -> tuple[list[Held], int]:
    """What has such an attribute in a tree, the first of it, and how much that is in all."""
    found, number = [], 0
    for folder in walk.walk(top):
        own = [_told(_flags(folder.descriptor), os.path.join(top, folder.relative).rstrip("/"))]
        inside = [
            _of(name, folder.descriptor, os.path.join(top, folder.relative, name))
            for name, status in folder.entries
            if stat.S_ISREG(status.st_mode)
        ]
        for held in filter(None, own + inside):
            number += 1
            found += [held] if number <= most else []
    return found, number


def stays(top: str) -> str:
    """Why a tree that was to be removed is there still, and what to do, in a sentence; empty when it is gone."""
    if not os.path.lexists(top):
        return ""
    found, number = below(top)
    above = of(os.path.dirname(os.path.abspath(top)))
    if above:
        found, number = [above], 1
    if not found:
        return f"{top} could not be removed. Look at what is in it, and remove it by hand."
    named = ", ".join(f"{wording.printable(held.path)} is {held.kind}" for held in found)
    more = f", and {number - len(found)} more" if number > len(found) else ""
    release = above.release if above else f"chattr -R -i -a {shlex.quote(top)}"
    return f"{top} could not be removed: {named}{more}. Release it with '{release}'; the next run removes it then."


def remove(tops: t.Iterable[str]) -> list[str]:
    """Remove trees as far as possible; a sentence for each that is not gone afterwards."""
    found = list(tops)
    for top in found:
        with contextlib.suppress(OSError):
            walk.remove(top)
    return list(filter(None, map(stays, found)))


def _of(name: str, folder: int, path: str) -> Held | None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            descriptor = os.open(name, foreign.FOLDER, dir_fd=folder)
        elif stat.S_ISREG(status.st_mode):
            descriptor = foreign.plain(name, at=folder)
        else:
            return None
    except OSError:
        return None
    try:
        return _told(_flags(descriptor), path)
    finally:
        os.close(descriptor)


def _flags(descriptor: int) -> int:
    buffer = bytearray(struct.calcsize("l"))
    with contextlib.suppress(OSError):  # a file system without them
        fcntl.ioctl(descriptor, _GET, buffer)
    return struct.unpack_from("=I", buffer)[0]


def _told(flags: int, path: str) -> Held | None:
    kinds = [kind for bit, kind in _KINDS.items() if flags & bit]
    if not kinds:
        return None
    options = " ".join(option for _kind, option in kinds)
    return Held(path, " and ".join(kind for kind, _option in kinds), f"chattr {options} {shlex.quote(path)}")
