# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durable file operations: a reader sees the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import typing as t

from . import documents, foreign, locks, wording
from .errors import IntegrityError, StateError

CHUNK = 1024 * 1024
#: Bytes that a record may have: as a value it takes thirty times as much memory at worst.
RECORD_LIMIT = 4 * 1024 * 1024


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
        with open(path, "rb", opener=foreign.regular) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read(size) if size <= limit else b""
    except FileNotFoundError:
        return None
    except (foreign.NotRegularError, NotADirectoryError) as error:
        raise IntegrityError(path, "a file", str(error.strerror), "Move it away") from error
    if size > limit:
        raise IntegrityError(path, f"a record of {wording.human_size(limit)} at most", "a larger file", "Move it away")
    return data


def append_line(path: str, line: str, mode: int = 0o644) -> None:
    """Append one line durably; a lock on the file keeps concurrent lines whole and apart.

    After a line that a crash cut short, the new one begins on a line of its own. Without the lock, a line that
    another process is in the midst of writing would be taken for such a one.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        locks.take(descriptor)
        size = os.fstat(descriptor).st_size
        cut = size and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, ("\n" * bool(cut) + line + "\n").encode("utf-8"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        rest = rest[os.write(descriptor, rest) :]


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
        raise StateError(
            f"the file system of {folder}",
            f"{wording.human_size(needed)} free for {purpose}",
            f"{wording.human_size(usage.free)}",
            "Free some space or name a folder on another disk",
        )
