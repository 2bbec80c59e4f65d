# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the files that are backed up, and tells whether what was read is one state of each."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import time
import typing as t

from ..._core import foreign, sparse, torn_json
from . import deflate
from .plan import Source
from .zip_writer import DEFLATED, STORED

#: A file that moves is read again so many times, after a pause (seconds).
RETRIES = 3
PAUSE = 0.2
#: Changes within one tick of the file system's clock leave the same time: a file rests this long before it is read.
SETTLE_NS = 20_000_000
#: The same where times are whole seconds, or on FAT every other one, as is seen by a change time without a fraction.
COARSE_NS = 2_020_000_000
#: Seconds that one file is waited for at most, and a log, which grows as it likes.
_WAIT, _WAIT_LOG = 2.5, 0.1
#: Files up to this size are read in one piece, several at once; larger ones one after another, a block at a time.
SMALL = deflate.BLOCK
#: Content that deflating does not make smaller.
PACKED = frozenset(
    (
        "7z",
        "aac",
        "avi",
        "avif",
        "br",
        "bz2",
        "docx",
        "flac",
        "gif",
        "gz",
        "heic",
        "jpeg",
        "jpg",
        "lz4",
        "m4a",
        "m4v",
        "mkv",
        "mov",
        "mp3",
        "mp4",
        "mpeg",
        "mpg",
        "ogg",
        "opus",
        "pdf",
        "png",
        "pptx",
        "tgz",
        "webm",
        "webp",
        "woff",
        "woff2",
        "xlsx",
        "xz",
        "zip",
        "zst",
    )
)


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
    #: What its owner should know of it all the same.
    remark: str = ""
    #: It comes from the archive before this one.
    copied: bool = False
    #: The file was at rest when it was read, so that another content of it has other times.
    rested: bool = True
    #: Of a file with holes: bytes of its pages that are not all zeros.
    data: int | None = None


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
                with foreign.folder(source.base, folder) as descriptor:
                    self._descriptor = os.dup(descriptor)
                self._name = (source.base, folder)
            descriptor = foreign.plain(name, at=self._descriptor)
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


def tick(status: os.stat_result) -> int:
    """Nanoseconds within which two changes may leave the same time; some file systems keep whole seconds."""
    return SETTLE_NS if status.st_ctime_ns % 10**9 else COARSE_NS


def unrest(status: os.stat_result) -> float:
    """Seconds until a change of the file leaves another time; 0.0 when it rests."""
    ages = [time.time_ns() - when for when in (status.st_mtime_ns, status.st_ctime_ns)]
    return max((tick(status) - age for age in ages if 0 <= age < tick(status)), default=0) / 1e9


def settled(look: t.Callable[[], os.stat_result], log: bool = False) -> tuple[os.stat_result, bool]:
    """A file's facts, once it rests, or after some tries; and whether it does."""
    status, rests = all_settled(lambda: {"": look()}, _WAIT_LOG if log else _WAIT)
    return status[""], rests


def all_settled(look: t.Callable[[], dict[str, os.stat_result]], most: float = _WAIT) -> tuple[dict[str, os.stat_result], bool]:
    """The facts of several files, once all of them rest, or after some tries; and whether they do.

    :param most: seconds to wait.
    """
    for _attempt in range(RETRIES):
        found = look()
        wait = max(map(unrest, found.values()), default=0.0)
        if not wait:
            return found, True
        most -= wait
        if most < 0:
            return found, False
        time.sleep(wait)
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


def same_again(descriptor: int, size: int, sha256: str) -> bool:
    """Whether a file that does not rest, so that its times may not tell of a change, has the same content still."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    digest = hashlib.sha256()
    for block in blocks(descriptor, size):
        digest.update(block)
    return digest.hexdigest() == sha256


def identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """What is another when the content is another."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def judge(source: Source, content: Content, descriptor: int, ends: tuple[bytes, bytes]) -> None:
    """Note in what was read why it is not one state of the file, if it is none.

    :param ends: the beginning and the end of what was read, for a JSON store.
    """
    before, after = content.status, os.fstat(descriptor)
    if content.size < before.st_size or after.st_size < before.st_size:
        content.reason = "it became shorter while it was read"
    elif source.append_only:
        return
    elif identity(before) != identity(after) or not (content.rested or same_again(descriptor, content.size, content.sha256)):
        content.reason = "it changed while it was read"
    elif is_json_store(source) and torn_json.is_torn(*ends, content.size):
        if writes_now(before):
            content.reason = "it is no JSON document"
        elif torn_json.is_cut(*ends) and torn_json.begins(ends[0]):
            content.remark = "does not end as a JSON document does; it rests, so it was taken as it is"


def is_json_store(source: Source) -> bool:
    """MOBIUS rewrites such a file in place: a look between two of its writes finds half of it."""
    return source.component == "database" and source.relative.lower().endswith(".json")


def writes_now(status: os.stat_result) -> bool:
    """Whether a file changed so short a time ago that its writer may be in the midst of it.

    One that did not change for longer than all tries take is what it is: a text with comments, say, or of several documents.
    """
    age = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns)
    return 0 <= age < RETRIES * PAUSE * 1e9


def packed(status: os.stat_result, content: bytes, deflater: deflate.Deflater | None) -> Content:
    """A file's whole content as it goes into the archive."""
    digest, holey = hashlib.sha256(content).hexdigest(), sparse.is_sparse(status)
    smaller = deflater.whole(content, holey) if deflater and content else None
    data = sparse.data_in(content, 0) if holey else None
    if smaller is None:
        return Content(status, len(content), digest, deflate.crc32(content), STORED, digest, [content], data=data)
    return Content(
        status, len(content), digest, deflate.crc32(content), DEFLATED, hashlib.sha256(smaller).hexdigest(), [smaller], data=data
    )


def read_small(folders: Folders, source: Source, deflater: deflate.Deflater) -> Content | None:
    """A small file's content, by several tries where it moves; ``None`` when it is not small any more.

    :raises Unreadable: when it cannot be read.
    """
    content = None
    for attempt in range(RETRIES + 1):
        if attempt:
            time.sleep(PAUSE)
        try:
            with folders.opened(source) as descriptor:
                before, rested = settled(functools.partial(os.fstat, descriptor), source.append_only)
                if before.st_size > SMALL:
                    return None
                raw = b"".join(blocks(descriptor, before.st_size))
                content = packed(before, raw, deflater if compressible(source) or sparse.is_sparse(before) else None)
                content.rested = rested
                judge(source, content, descriptor, (raw, raw))
        except Unreadable:
            if attempt == RETRIES:
                raise
            continue
        if not content.reason:
            break
    return content
