# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the files that are backed up, and tells whether what was read is one state of each."""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _deflate, _files
from ansible_collections.mobius.ops.plugins.module_utils._archive_scan import Source
from ansible_collections.mobius.ops.plugins.module_utils._archive_zip import DEFLATED, STORED

#: A file that moves is read again so many times, after a pause (seconds).
RETRIES = 3
PAUSE = 0.2
#: Changes within one tick of the file system's clock leave the same time: a file rests this long before it is read.
SETTLE_NS = 20_000_000
#: Files up to this size are read in one piece, several at once; larger ones one after another, a block at a time.
SMALL = _deflate.BLOCK
#: JSON up to this size is parsed; of a larger text only the two ends are looked at.
PARSED = 4 * 1024 * 1024
#: Content that deflating does not make smaller.
PACKED = frozenset((
    "7z", "aac", "avi", "avif", "br", "bz2", "docx", "flac", "gif", "gz", "heic", "jpeg", "jpg", "lz4", "m4a",
    "m4v", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg", "ogg", "opus", "pdf", "png", "pptx", "tgz", "webm",
    "webp", "woff", "woff2", "xlsx", "xz", "zip", "zst"))


class Unreadable(Exception):
    """A source cannot be read; distinct from an archive that cannot be written."""


@dataclasses.dataclass
class Content:
    """What was read of a file."""

    #: The file as it was just before.
    status: os.stat_result
    size: int
    sha256: str
    crc: int
    method: int
    #: SHA-256 of the bytes in the archive.
    packed_sha256: str
    #: Those bytes; empty when they are in the archive already.
    chunks: t.Sequence[bytes | memoryview] = dataclasses.field(default_factory=list)
    #: Why this is not one state of the file; "" when it is one.
    reason: str = ""
    #: It comes from the archive before this one.
    copied: bool = False
    #: The file was at rest when it was read, so that another content of it has other times.
    rested: bool = True


def compressible(source: Source) -> bool:
    """Whether the name lets one expect that deflating pays."""
    return source.name.rpartition(".")[2].lower() not in PACKED


class Folders:
    """Opens files for one thread: the folder of the last one stays open, since the next one often lies there too."""

    def __init__(self) -> None:
        self._name: tuple[str, str] | None = None
        self._descriptor = -1

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self._leave()

    @contextlib.contextmanager
    def opened(self, source: Source) -> t.Iterator[int]:
        """A descriptor of the file, reached without following a link. :raises Unreadable: when that fails."""
        folder, name = os.path.split(source.relative)
        try:
            if self._name != (source.base, folder):
                self._leave()
                with _files.folder(source.base, folder) as descriptor:
                    self._descriptor = os.dup(descriptor)
                self._name = (source.base, folder)
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._descriptor)
        except OSError as error:
            self._leave()  # the folder may have been replaced: the next try finds the new one
            raise Unreadable(error.strerror) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _leave(self) -> None:
        if self._name:
            os.close(self._descriptor)
        self._name = None


def at_rest(status: os.stat_result) -> bool:
    """Whether a change from now on would leave another time."""
    return not 0 <= time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLE_NS


def settled(look: t.Callable[[], os.stat_result]) -> tuple[os.stat_result, bool]:
    """A file's facts, once it rests, or after some tries; and whether it does."""
    for _attempt in range(RETRIES):
        status = look()
        if at_rest(status):
            return status, True
        time.sleep(SETTLE_NS / 1e9)
    return look(), False


def blocks(descriptor: int, size: int) -> t.Iterator[bytes]:
    """At most *size* bytes from a descriptor. :raises Unreadable: when the disk does not give them."""
    left = size
    while left:
        try:
            block = os.read(descriptor, min(SMALL, left))
        except OSError as error:
            raise Unreadable(error.strerror) from error
        if not block:
            break
        left -= len(block)
        yield block


def identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """What is another when the content is another."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def judged(source: Source, before: os.stat_result, after: os.stat_result, taken: int) -> str:
    """Why what was read between two looks is not one state of the file; "" when it is one."""
    if taken < before.st_size or after.st_size < before.st_size:
        return "it became shorter while it was read"
    if not source.append_only and identity(before) != identity(after):
        return "it changed while it was read"
    return ""


def is_json_store(source: Source) -> bool:
    """MOBIUS rewrites such a file in place: a look between two of its writes finds half of it."""
    return source.component == "database" and source.relative.lower().endswith(".json")


def torn_json(head: bytes, tail: bytes, size: int) -> bool:
    """Whether a JSON text is cut. *head* and *tail* are its ends, each all of it when it is a small one."""
    if size <= PARSED:
        try:
            json.loads(head)
        except (ValueError, RecursionError):
            return True
        return False
    return (head.lstrip()[:1], tail.rstrip()[-1:]) not in ((b"{", b"}"), (b"[", b"]"))


def packed(status: os.stat_result, content: bytes, deflater: _deflate.Deflater | None) -> Content:
    """A file's whole content as it goes into the archive."""
    digest = hashlib.sha256(content).hexdigest()
    smaller = deflater.whole(content) if deflater and content else None
    if smaller is None:
        return Content(status, len(content), digest, _deflate.crc32(content), STORED, digest, [content])
    return Content(status, len(content), digest, _deflate.crc32(content), DEFLATED, hashlib.sha256(smaller).hexdigest(),
                   [smaller])


def read_small(folders: Folders, source: Source, deflater: _deflate.Deflater) -> Content | None:
    """A small file's content, by several tries where it moves; ``None`` when it is not small any more.

    :raises Unreadable: when it cannot be read.
    """
    content = None
    for attempt in range(RETRIES + 1):
        if attempt:
            time.sleep(PAUSE)
        try:
            with folders.opened(source) as descriptor:
                before, rested = settled(functools.partial(os.fstat, descriptor))
                if before.st_size > SMALL:
                    return None
                raw = b"".join(blocks(descriptor, before.st_size))
                after = os.fstat(descriptor)
        except Unreadable:
            if attempt == RETRIES:
                raise
            continue
        reason = judged(source, before, after, len(raw))
        if not reason and is_json_store(source) and torn_json(raw, raw, len(raw)):
            reason = "it is no JSON document"
        content = packed(before, raw, deflater if compressible(source) else None)
        content.reason, content.rested = reason, rested
        if not reason:
            break
    return content
