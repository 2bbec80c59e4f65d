# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durable file operations: a reader sees the old content or the new, never a part of it."""
from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
import time
import typing as t

from . import documents
from .errors import IntegrityError, StateError

CHUNK = 1024 * 1024
#: Bytes that a record may have: as a value it takes thirty times as much memory at worst.
RECORD_LIMIT = 4 * 1024 * 1024
#: How a folder is opened that is not root's: a link in its place is refused.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Bytes at most of a configuration file that is read whole.
SMALL = 4 * 1024 * 1024


class NotRegularError(OSError):
    """A link, pipe, socket, device or folder where a file was expected."""


@contextlib.contextmanager
def locked(path: str, patience: float | None = None) -> t.Iterator[int]:
    """While the block runs no other process is in a block of the same lock file; another one waits.

    The block gets the descriptor. A program that inherits it holds the lock too, until it ends.

    :param patience: seconds to wait; as long as it takes by default.
    :raises BlockingIOError: when another process still has it then.
    """
    deadline = time.monotonic() + (patience or 0)
    with open(path, "a", encoding="ascii", opener=regular) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if patience is None else fcntl.LOCK_NB))
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)
        yield lock.fileno()


def is_locked(path: str) -> bool:
    """Whether a process is in a block of :func:`locked` at this moment. Nothing is written for it, and there may be no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def fsync_dir(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: str, mode: int = 0o644) -> t.Iterator[t.BinaryIO]:
    """A binary file that appears at *path* when the block ends well, and not at all when it does not."""
    folder = os.path.dirname(path) or "."
    descriptor, temporary = tempfile.mkstemp(prefix="." + os.path.basename(path) + ".", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        fsync_dir(folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_text(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file's content as one step."""
    with atomic_file(path, mode) as stream:
        stream.write(text.encode("utf-8"))


def write_json(path: str, value: t.Any, mode: int = 0o644) -> None:
    """Replace a JSON file as one step; keys are sorted so that two versions compare line by line."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n", mode)


def create_json(path: str, value: t.Any, mode: int = 0o644) -> None:
    """Write a new JSON file, whole from its first moment. :raises FileExistsError: when the name is taken."""
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}.tmp"
    write_json(temporary, value, mode)
    try:
        os.link(temporary, path)
    finally:
        os.unlink(temporary)
    fsync_dir(os.path.dirname(path) or ".")


def read_json(path: str, limit: int = RECORD_LIMIT) -> t.Any:
    """A JSON file's value, or ``None`` when there is no such file. What its value has to be like, ``_target.records`` knows.

    :param limit: bytes that it may have.
    :raises IntegrityError: when the file is there and is not JSON, or is no file.
    """
    try:
        data = _record_bytes(path, limit)
        if data is None:
            return None
        value = documents.parse(data)
        if value is None:
            raise ValueError("null")
        return value
    except ValueError as error:
        found = str(error) if data else "an empty file"
        raise IntegrityError(path, "a JSON document", found, "Restore the file or move it away") from error


def _record_bytes(path: str, limit: int) -> bytes | None:
    """The content of a regular file, never through a link and without waiting for a pipe."""
    try:
        with open(path, "rb", opener=regular) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read(size) if size <= limit else b""
    except FileNotFoundError:
        return None
    except (NotRegularError, NotADirectoryError) as error:
        raise IntegrityError(path, "a file", str(error.strerror), "Move it away") from error
    if size > limit:
        raise IntegrityError(path, f"a record of {human_size(limit)} at most", "a larger file", "Move it away")
    return data


def regular(path: str, flags: int) -> int:
    """:func:`plain` as an opener for ``open``."""
    return plain(path, flags, mode=0o644)


def append_line(path: str, line: str, mode: int = 0o644) -> None:
    """Append one line durably; a lock on the file keeps concurrent lines whole and apart.

    After a line that a crash cut short, the new one begins on a line of its own. Without the lock, a line that
    another process is in the midst of writing would be taken for such a one.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        cut = size and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, ("\n" * bool(cut) + line + "\n").encode("utf-8"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def blocks(descriptor: int, size: int) -> t.Iterator[bytes]:
    """What comes next in an open file, at most *size* bytes of it."""
    while size:
        block = os.read(descriptor, min(size, CHUNK))
        if not block:
            return
        size -= len(block)
        yield block


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write all of it: one call of the system may take a part."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest):]


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


def sha256_file(path: str, progress: t.Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            if progress:
                progress(len(chunk))


def atomic_symlink(target: str, link: str) -> None:
    """Point *link* at *target* in one rename, whether or not *link* exists."""
    temporary = f"{link}.{os.getpid()}.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)
    fsync_dir(os.path.dirname(link) or ".")


@contextlib.contextmanager
def open_umask() -> t.Iterator[None]:
    """While the block runs, new files and folders can be read by everybody, whatever umask the caller has."""
    old = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(old)


def require_space(folder: str, needed: int, purpose: str) -> None:
    """Refuse to begin what cannot end.

    :param needed: bytes that will be written.
    :raises StateError: when the file system of *folder* has less free than *needed*.
    """
    usage = shutil.disk_usage(folder)
    if usage.total and usage.free < needed:  # some file systems do not tell their size
        raise StateError(f"the file system of {folder}", f"{human_size(needed)} free for {purpose}",
                         f"{human_size(usage.free)}", "Free some space or name a folder on another disk")


def human_size(size: float) -> str:
    """``1.5 MB`` of a number of bytes (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
