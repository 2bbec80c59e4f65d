# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Walks and removes trees that somebody else may change meanwhile: by descriptors, through no link, and to any depth."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import typing as t

from . import foreign, sparse

_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder(t.NamedTuple):
    """One folder of a tree."""

    #: Its path below the top, "" for the top itself.
    relative: str
    #: Open until the next folder is asked for.
    descriptor: int
    #: Names in it and what they are, links as links; in the order of names.
    entries: list[tuple[str, os.stat_result]]


def walk(top: str, into: t.Callable[[str, os.stat_result], bool] | None = None) -> t.Iterator[Folder]:
    """Every folder of a tree, parents first. What vanishes, cannot be read or becomes a link meanwhile is left out.

    :param into: whether to go into a folder, by its relative path and status; all of them by default.
    """
    with contextlib.ExitStack() as stack:
        held = Held(top, stack)
        waiting = [""]
        while waiting:
            relative = waiting.pop()
            try:
                descriptor = held.enter(relative)
                entries = list(_entries(descriptor))
            except OSError:
                continue
            yield Folder(relative, descriptor, entries)
            prefix = relative + "/" if relative else ""
            waiting += [
                prefix + name
                for name, status in reversed(entries)
                if stat.S_ISDIR(status.st_mode) and (into is None or into(prefix + name, status))
            ]


def size(top: str, each: int = 0) -> int:
    """Bytes that the files of a tree hold on the disk, at most their sizes.

    :param each: bytes to count beside for each name.
    """
    return sum(
        each + sparse.allocated(status) for folder in walk(top) for _name, status in folder.entries if not stat.S_ISDIR(status.st_mode)
    )


def remove(path: str) -> None:
    """Remove a tree, or nothing when there is none; folders that are not writable are no obstacle.

    What cannot be removed is left. As root each folder becomes root's first, so that its user can add nothing more.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    with contextlib.suppress(OSError):
        top = _take(path, None)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(path)


class Held:
    """Opens folders of a tree by descriptors. It keeps the last one open: the next one is often in it."""

    def __init__(self, top: str, stack: contextlib.ExitStack) -> None:
        self._top, self._last, self._descriptor = top, "", -1
        stack.callback(self.leave)

    def enter(self, relative: str) -> int:
        """A folder's descriptor, until the next one is asked for. :raises OSError: when it is none, or a link on the way."""
        if self._descriptor >= 0 and relative == self._last:
            return self._descriptor
        parent, _slash, name = relative.rpartition("/")
        if self._descriptor >= 0 and relative and parent == self._last:
            step = os.open(name, foreign.FOLDER, dir_fd=self._descriptor)
        else:
            with foreign.folder(self._top, relative) as opened:
                step = os.dup(opened)
        self.leave()
        self._last, self._descriptor = relative, step
        return step

    def leave(self) -> None:
        """Open the next folder from the top."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _entries(descriptor: int) -> t.Iterator[tuple[str, os.stat_result]]:
    for name in sorted(os.listdir(descriptor)):
        with contextlib.suppress(OSError):
            yield name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)


def _empty(top: int) -> None:
    """Remove what is in a folder. Folders deeper down are lifted into the top one, so that no depth is too deep."""
    waiting, token, number = os.listdir(top), secrets.token_hex(8), 0
    while waiting:
        name = waiting.pop()
        if _unlinked(name, top):
            continue
        with contextlib.suppress(OSError):
            inner = _take(name, top)
            try:
                for deeper in os.listdir(inner):
                    if not _unlinked(deeper, inner):
                        number += 1
                        os.close(_take(deeper, inner))  # who may not write to a folder may not move it
                        os.rename(deeper, f".{token}-{number}", src_dir_fd=inner, dst_dir_fd=top)
                        waiting.append(f".{token}-{number}")
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)


def _unlinked(name: str, folder: int) -> bool:
    """Whether something is no folder; it is gone then, if it can be."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        return False
    except OSError:
        return True
    return True


def _take(name: str, folder: int | None) -> int:
    """A descriptor of a folder that only this user can change from now on, as far as he may say so."""
    place = os.open(name, _PLACE, dir_fd=folder)
    try:
        status = os.fstat(place)
        if os.geteuid() == 0 and status.st_uid:
            with contextlib.suppress(OSError):
                os.chown(f"/proc/self/fd/{place}", 0, 0)
        if stat.S_IMODE(status.st_mode) != 0o700:
            with contextlib.suppress(OSError):
                os.chmod(f"/proc/self/fd/{place}", 0o700)
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
    finally:
        os.close(place)
