# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Extracts an archive's entries into an empty, private folder."""
from __future__ import annotations

import functools
import grp
import os
import pwd
import shutil
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _archive_paths, _checksums
from ansible_collections.mobius.ops.plugins.module_utils._archive_reader import Archive

#: Read, write and execute bits and the sticky bit: set-uid and set-gid do not come back.
_MODE_BITS = 0o1777


def extract(archive: Archive, entries: list[dict[str, t.Any]], stage: str) -> None:
    """Write *entries*, each checked again while it is read, with modes, times and (as root) owners; make it durable."""

    def write(entry: dict[str, t.Any]) -> None:
        folder, _slash, name = _archive_paths.to_disk(entry["path"]).rpartition("/")
        with _archive_paths.folder_beneath(stage, folder) as parent:
            if entry["type"] == "dir":
                os.mkdir(name, 0o700, dir_fd=parent)
            elif entry["type"] == "symlink":
                _link(entry, name, parent)
            else:
                _file(archive, entry, name, parent)

    for entry in entries:
        if entry["type"] != "file":
            write(entry)
    # Several at once: inflating and hashing take all cores, and the disk gathers what is made durable.
    _checksums.in_threads(write, [entry for entry in entries if entry["type"] == "file"])
    # What is written into a folder changes its time, and a folder may be one that its owner cannot write to.
    for entry in reversed(entries):
        if entry["type"] == "dir":
            with _archive_paths.folder_beneath(stage, _archive_paths.to_disk(entry["path"])) as descriptor:
                _dress(entry, descriptor)
                os.fsync(descriptor)


def remove(path: str) -> None:
    """Remove a tree, or nothing when there is none; folders that are not writable are no obstacle."""
    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
        return
    if not os.path.isdir(path):
        return
    _open_up(path)
    for folder, dirs, _names in os.walk(path):
        for name in dirs:
            _open_up(os.path.join(folder, name))
    shutil.rmtree(path, ignore_errors=True)


def _open_up(folder: str) -> None:
    if not os.path.islink(folder) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        os.chmod(folder, 0o700)


def _file(archive: Archive, entry: dict[str, t.Any], name: str, parent: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb") as stream:
        for chunk in archive.read(entry):
            stream.write(chunk)
        stream.flush()
        _dress(entry, stream.fileno())
        os.fsync(stream.fileno())


def _link(entry: dict[str, t.Any], name: str, parent: int) -> None:
    os.symlink(_archive_paths.to_disk(entry["target"]), name, dir_fd=parent)
    if os.geteuid() == 0:
        os.chown(name, *_ids(entry), dir_fd=parent, follow_symlinks=False)
    os.utime(name, ns=(entry["mtime_ns"],) * 2, dir_fd=parent, follow_symlinks=False)


def _dress(entry: dict[str, t.Any], descriptor: int) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, *_ids(entry))
    os.fchmod(descriptor, int(entry["mode"], 8) & _MODE_BITS)
    os.utime(descriptor, ns=(entry["mtime_ns"],) * 2)


def _ids(entry: dict[str, t.Any]) -> tuple[int, int]:
    return _uid(entry.get("owner", ""), entry["uid"]), _gid(entry.get("group", ""), entry["gid"])


@functools.cache
def _uid(name: str, number: int) -> int:
    """A user may have another number on this host: the name counts, the number only where the name is unknown."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return number


@functools.cache
def _gid(name: str, number: int) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return number
