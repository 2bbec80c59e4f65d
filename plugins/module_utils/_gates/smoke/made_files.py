# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files and folders that a smoke suite made: found by the names that answers gave, looked at, and removed.

They lie in folders of the service's user, who may put a link in the place of anything there at any moment. So every folder on the way is
opened by descriptor, and no link is followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t
import urllib.parse

from ..._core import foreign

#: Seconds by which a file's time may seem to lie before the run that made it: the run's clock may be another one.
GRAIN = 60.0
#: Folders in folders that are gone down into.
DEPTH = 10


class Stays(Exception):
    """Why something is not what a run made."""


class Place(t.NamedTuple):
    """Where something that was made lies: in which folder below the root, its name there, and whether it is a folder itself."""

    folder: str
    name: str
    tree: bool


def place(address: str, folders: dict[str, str]) -> Place | None:
    """The place behind an address or an absolute path of the application; ``None`` when it is not right below one of the folders.

    :param address: one that ends with a slash means a folder.
    :param folders: part of an address -> the folder below the root whose files have such addresses. The last part in an address counts.
    """
    try:
        path = urllib.parse.unquote(urllib.parse.urlsplit(address).path)
    except ValueError:  # such as http://[
        return None
    ends = {key: path.rfind(key) + len(key) for key in folders if key in path}
    if not ends:
        return None
    key = max(ends, key=lambda one: (ends[one], len(one)))
    name = path[ends[key] :]
    tree = name.endswith("/")
    name = name[:-1] if tree else name
    return None if name in ("", ".", "..") or "/" in name or "\0" in name else Place(folders[key], name, tree)


def size(address: str, root: str, folders: dict[str, str]) -> int:
    """Bytes of a file that was made. :raises Stays: when there is none."""
    where = place(address, folders)
    if not where or where.tree:
        raise Stays(f"{address} is no file right below one of the folders")
    path = os.path.join(root, where.folder, where.name)
    try:
        with _folder(root, where.folder) as folder:
            found = os.stat(where.name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        raise Stays(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise Stays(f"{path} is no plain file")
    return found.st_size


def remove(addresses: list[str], root: str | None, folders: dict[str, str], began: float) -> tuple[list[str], dict[str, str]]:
    """Remove what a run made, each by the name that an answer gave it.

    :param began: when the run began, in seconds since 1970; what is older is nobody's to remove.
    :returns: the paths that were removed, and address -> why of those that stay.
    """
    removed, left = [], {}
    for address in addresses:
        where = place(address, folders)
        if not root or not where:
            left[address] = "it is nothing right below one of the folders" if root else "no root was given"
            continue
        path = os.path.join(root, where.folder, where.name)
        try:
            with _folder(root, where.folder) as folder:
                _remove(folder, where.name, path, where.tree, began - GRAIN, 0)
            removed.append(path)
        except FileNotFoundError:
            continue
        except Stays as error:
            left[address] = str(error)
        except OSError as error:
            left[address] = f"{path}: {error.strerror}"
    return removed, left


def _folder(root: str, below: str) -> contextlib.AbstractContextManager[int]:
    """A descriptor of a folder below the root. The way to the root is the operator's, who may have links in it."""
    return foreign.folder("/" if os.path.isabs(below) else os.path.realpath(root), below)


def _remove(folder: int, name: str, path: str, tree: bool, oldest: float, depth: int) -> None:
    """Remove a file, or a folder with all that is in it; nothing that is older, or something else.

    :raises Stays: with what stays and why. What was removed before is gone.
    """
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if found.st_mtime < oldest:
        raise Stays(f"{path} is older than this run")
    if stat.S_ISREG(found.st_mode) and (depth or not tree):
        os.unlink(name, dir_fd=folder)
        return
    if depth > DEPTH:
        raise Stays(f"{path} lies too deep")
    if not tree or not stat.S_ISDIR(found.st_mode):
        raise Stays(f"{path} is no plain file" if depth or not tree else f"{path} is no folder")
    own = os.open(name, foreign.FOLDER, dir_fd=folder)
    try:
        for inner in os.listdir(own):
            _remove(own, inner, os.path.join(path, inner), tree, oldest, depth + 1)
    finally:
        os.close(own)
    os.rmdir(name, dir_fd=folder)
