# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files and folders that another user may write to: no link is followed, nothing is waited for, and nothing is believed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import typing as t

#: How a folder is opened that is not root's: a link in its place is refused.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Bytes at most of a configuration file that is read whole.
SMALL = 4 * 1024 * 1024


class NotRegularError(OSError):
    """A link, pipe, socket, device or folder where a file was expected."""


def regular(path: str, flags: int) -> int:
    """:func:`plain` as an opener for ``open``."""
    return plain(path, flags, mode=0o644)


def plain(name: str, flags: int = os.O_RDONLY, at: int | None = None, mode: int = 0o600) -> int:
    """Open a regular file in a folder that another user may write to: follow no link, and wait for nothing.

    :param at: descriptor of the folder; by default *name* is a path, whose folders must not be that user's to rename.
    :raises NotRegularError: for a link, pipe, socket, device or folder.
    """
    try:
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=at)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENODEV):
            raise NotRegularError(error.errno, "not a regular file", name) from error
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotRegularError(errno.EINVAL, "not a regular file", name)


def trusted(descriptor: int) -> bool:
    """Whether only this process's user could have written an open file or folder: its own, with no other name, writable by no one else."""
    status = os.fstat(descriptor)
    links = status.st_nlink if stat.S_ISREG(status.st_mode) else 1
    return status.st_uid == os.geteuid() and links == 1 and not status.st_mode & 0o022


def append_stream(path: str) -> t.BinaryIO:
    """Open a file to append to in a folder that another user may write to.

    What is not a regular file there, or has a second name, is moved out of the way, and the file begins anew.

    :raises OSError: when its name is taken again at once.
    """
    where, name = os.path.split(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    at = os.open(where or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            descriptor = plain(name, flags, at, 0o644)
            if os.fstat(descriptor).st_nlink > 1:
                os.close(descriptor)
                raise NotRegularError(errno.EMLINK, "has another name", name)
        except NotRegularError:
            clear(name, at)
            descriptor = plain(name, flags | os.O_EXCL, at, 0o644)
    finally:
        os.close(at)
    os.set_blocking(descriptor, True)  # a program inherits it
    return os.fdopen(descriptor, "ab")


def clear(name: str, at: int) -> str:
    """Free a name in a folder that another user may write to: a folder is renamed, everything else removed; the folder's new name."""
    try:
        os.unlink(name, dir_fd=at)
    except FileNotFoundError:
        return ""
    except (IsADirectoryError, PermissionError):
        aside = f".aside-{time.time_ns()}"
        os.rename(name, aside, src_dir_fd=at, dst_dir_fd=at)
        return aside
    return ""


def settle(descriptor: int, uid: int, gid: int, mode: int) -> None:
    """Give an open file or folder its owner and mode. The owner comes first, because a change of it takes the setuid bits away."""
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (uid, gid):
        os.fchown(descriptor, uid, gid)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)


@contextlib.contextmanager
def folder(path: str, beneath: str = "") -> t.Iterator[int]:
    """A descriptor of a folder, for work in it that follows no link.

    :param beneath: a relative path below it; the folder there is reached step by step.
    :raises OSError: when there is none, or a link or a step upwards on the way.
    """
    if ".." in beneath.split("/"):
        raise NotADirectoryError(errno.ENOTDIR, "leads out of its folder", beneath)
    descriptor = os.open(path, FOLDER)
    try:
        for part in filter(None, beneath.split("/")):
            step = os.open(part, FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = step
        yield descriptor
    finally:
        os.close(descriptor)


def tail(path: str, lines: int, limit: int = 64 * 1024) -> list[str]:
    """The last lines of a text file, reading at most *limit* bytes; none when there is no file."""
    return read_end(path, limit).splitlines()[-lines:]


def read_end(path: str, limit: int, since: int = 0) -> str:
    """The end of a text file; empty when there is no regular file, and for one with a second name, which may be that of another's file.

    :param limit: bytes at most.
    :param since: bytes at the file's beginning to leave out; none of a file that is shorter, because it was begun anew.
    """
    try:
        descriptor = plain(path)
    except (FileNotFoundError, NotRegularError):
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        if os.fstat(descriptor).st_nlink > 1:
            return ""
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - limit, since if since <= size else 0))
        return stream.read(limit).decode("utf-8", "replace")


def read_own(name: str, at: int | None = None, limit: int = SMALL) -> str:
    """The text of a file that only this process's user can have written; empty for every other one, and for one that is too large."""
    try:
        descriptor = plain(name, at=at)
    except (FileNotFoundError, NotRegularError):
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(limit + 1) if trusted(descriptor) else b""
    return content.decode("utf-8", "replace") if len(content) <= limit else ""
