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

from ansible_collections.mobius.ops.plugins.module_utils import _documents
from ansible_collections.mobius.ops.plugins.module_utils._errors import IntegrityError, StateError

CHUNK = 1024 * 1024
#: Bytes that a record may have: as a value it takes thirty times as much memory at worst.
RECORD_LIMIT = 4 * 1024 * 1024
#: How a folder is opened that is not root's: a link in its place is refused.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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
    """A JSON file's value, or ``None`` when there is no such file. What its value has to be like, ``_records`` knows.

    :param limit: bytes that it may have.
    :raises IntegrityError: when the file is there and is not JSON, or is no file.
    """
    try:
        data = _record_bytes(path, limit)
        if data is None:
            return None
        value = _documents.parse(data)
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
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
            raise IntegrityError(path, "a file", error.strerror, "Move it away") from error
        raise
    if size > limit:
        raise IntegrityError(path, f"a record of {human_size(limit)} at most", "a larger file", "Move it away")
    return data


def regular(path: str, flags: int) -> int:
    """An opener for ``open`` that takes regular files only. :raises OSError: for a link, a folder, a pipe, a device or a socket."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EISDIR, "a folder, a pipe or a device instead of a file", path)


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


def append_stream(path: str) -> t.BinaryIO:
    """A file to append to, never through a link: its folder may belong to a service that was broken into."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o644))


@contextlib.contextmanager
def folder(path: str, beneath: str = "") -> t.Iterator[int]:
    """A descriptor of a folder, for work in it that follows no link.

    :param beneath: a relative path below it; the folder there is reached step by step.
    :raises OSError: when there is none, or a link on the way.
    """
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
    """The end of a text file; empty when there is no file.

    A link or a pipe is no file: root reads logs of a service that may have been broken into.

    :param limit: bytes at most.
    :param since: bytes at the file's beginning to leave out; none of a file that is shorter, because it was begun anew.
    """
    try:
        with open(path, "rb", opener=regular) as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - limit, since if since <= size else 0))
            return stream.read(limit).decode("utf-8", "replace")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR):
            return ""
        raise


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
