# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that can be told of a tree of files, to compare two moments of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import typing as t


def facts(folder: str, leave_out: t.Container[str] = (), timeless: t.Container[str] = ()) -> dict[str, dict[str, t.Any]]:
    """Path below *folder* -> type, mode, owner, time, content, link, extended attributes and hard-link group.

    :param timeless: paths whose times may change: folders in which a file came and went again.
    """
    found: dict[str, dict[str, t.Any]] = {}
    groups: dict[tuple[int, int], str] = {}
    for path in sorted(walk(folder)):
        name = os.path.relpath(path, folder)
        if name.split("/")[0] in leave_out:
            continue
        status = os.lstat(path)
        one = found[name] = {
            "mode": oct(status.st_mode),
            "owner": (status.st_uid, status.st_gid),
            "mtime_ns": status.st_mtime_ns,
            "xattrs": xattrs(path),
        }
        if name in timeless:
            del one["mtime_ns"]
        if stat.S_ISLNK(status.st_mode):
            one["target"] = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            one["sha256"] = sha256(path)
            if status.st_nlink > 1:
                one["same_as"] = groups.setdefault((status.st_dev, status.st_ino), name)
    return found


def walk(folder: str) -> t.Iterator[str]:
    """Every path below a folder, links not followed."""
    for parent, dirs, names in os.walk(folder):
        for name in dirs + names:
            yield os.path.join(parent, name)


def contents(folder: str, leave_out: t.Container[str] = ()) -> dict[str, tuple]:
    """The same, of what does not move when folders are swapped: type, mode, content."""
    return {name: (one["mode"], one.get("target"), one.get("sha256")) for name, one in facts(folder, leave_out).items()}


def sha256(path: str) -> str:
    """The digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def digests(folder: str) -> dict[str, str]:
    """Name -> SHA-256 of the files in a folder."""
    return {name: sha256(os.path.join(folder, name)) for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))}


def xattrs(path: str) -> dict[str, bytes]:
    """The extended attributes that a user may set, and access control lists."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(path, follow_symlinks=False):
            if name.startswith(("user.", "system.posix_acl_")):
                found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def difference(one: dict[str, t.Any], other: dict[str, t.Any]) -> str:
    """What differs between two of these, short."""
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return "; ".join(f"{name!r}: {one.get(name)} != {other.get(name)}" for name in names[:4]) + f" ({len(names)} in all)"


def nest(folder: str, depth: int, content: bytes) -> None:
    """Make so many folders, each in the one before, and a file in the last."""
    here = os.open(folder, os.O_RDONLY)
    for _level in range(depth):
        os.mkdir("d", dir_fd=here)
        step = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = step
    with open(os.open("file", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here), "wb") as stream:
        stream.write(content)
    os.close(here)
