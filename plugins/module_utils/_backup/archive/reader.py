# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads archives, and believes nothing that they say before it was checked.

Opening an archive checks its structure and its manifest against each other without reading content; ``verify`` reads
every member. The creation, the listing and the restore of backups all use this one reader.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import tempfile
import typing as t
import zipfile
import zlib

from ..._core import accounts, fs, threads
from ..._core.errors import InputError, IntegrityError
from ..._core.kinds import Entry
from ..._target.progress import Meter, Share
from . import deflate
from .database_copies import Databases
from .manifest import Manifest
from .structure import Structure
from .zip_writer import STORED

#: Bytes that are read ahead where small members follow one another.
_AHEAD = 512 * 1024
#: Bytes that are hashed at once of a whole file: a thread that does so waits for its turn after each of them.
_HASHED = 2 * fs.CHUNK
Buffer = t.Union[bytes, memoryview]


class Window:
    """Reads a file piece by piece, and ahead of what is asked for; for one thread."""

    def __init__(self, descriptor: int, ahead: int = 0) -> None:
        self._descriptor = descriptor
        self._ahead = ahead
        self._start = 0
        self._held = memoryview(b"")

    def read(self, offset: int, size: int) -> memoryview:
        """*size* bytes from *offset*, less at the file's end."""
        at = offset - self._start
        if not 0 <= at <= at + size <= len(self._held):
            self._held, self._start, at = memoryview(os.pread(self._descriptor, max(size, self._ahead), offset)), offset, 0
        return self._held[at : at + size]


class Archive:
    """An archive whose structure and manifest are in order.

    :param hashing: begin with the digest of the whole file at once, in a thread: :meth:`sha256` will be asked for.
    :param meter: is told how far that digest is.
    :raises InputError: when there is no such file.
    :raises IntegrityError: when anything about it is wrong; nothing of it may be used then.
    """

    def __init__(self, path: str, hashing: bool = False, meter: Meter | None = None) -> None:
        self.path = path
        self._meter = meter or Meter()
        self._closing = False
        self._hashing: concurrent.futures.Future[str] | None = None
        if not os.path.isfile(path):
            raise InputError(
                f"archive {path}",
                "a file",
                "nothing" if not os.path.lexists(path) else "something else",
                "Look for archives with mobius.ops.backup_info",
            )
        self._stream = open(path, "rb")  # noqa: SIM115 -- pylint: disable=consider-using-with
        if hashing:
            self._hashing = threads.begin(self._hash)
        try:
            self._structure = Structure(path, self._stream)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self._close()

    def _close(self) -> None:
        self._closing = True
        if self._hashing:
            concurrent.futures.wait([self._hashing])
        self._stream.close()

    @property
    def manifest(self) -> Manifest:
        """The manifest, checked."""
        return self._structure.manifest

    @property
    def entries(self) -> list[Entry]:
        """What the manifest says of each file, folder and link; folders before what is in them."""
        return self.manifest["entries"]

    def sha256(self) -> str:
        """The digest of the whole file, of the very descriptor that the members are read from."""
        return self._hashing.result() if self._hashing else self._hash()

    def _hash(self) -> str:
        digest, offset = hashlib.sha256(), 0
        held = memoryview(bytearray(_HASHED))  # the same memory for each piece costs less than other memory
        while not self._closing:
            size = os.preadv(self._stream.fileno(), [held], offset)
            if not size:
                break
            digest.update(held[:size])
            offset += size
            self._meter.add(size)
        return digest.hexdigest()

    def verify(self, copied: t.Container[str] = (), meter: Meter | None = None, later: t.Container[str] = ()) -> dict[str, IntegrityError]:
        """Read every member: its CRC, its SHA-256 and its size are the manifest's, and databases are sound.

        :param copied: members that came here as bytes of another archive: these are read, and not inflated again.
        :param later: members that the caller is about to read whole, which checks them.
        :raises IntegrityError: when one is damaged.
        :returns: but for those *copied* that are damaged; the caller knows where they came from.
        """
        damaged: dict[str, IntegrityError] = {}
        entries = [entry for entry in self.entries if entry["path"] not in later]
        meter = meter or Meter()
        meter.phase("verify", sum(entry["size"] for entry in entries), sum(entry["type"] != "dir" for entry in entries))

        def check(batch: list[Entry]) -> None:
            window = self.window()
            for entry in batch:
                share = Share(meter, entry["size"])
                try:
                    self._check(entry, entry["path"] in copied, window, share, checks)
                except IntegrityError as error:
                    if entry["path"] not in copied:
                        raise
                    damaged[entry["path"]] = error
                share.end(files=int(entry["type"] != "dir"))

        sizes = [entry["size"] for entry in entries if entry.get("sqlite") and entry["path"] not in copied]
        folder = os.path.dirname(os.path.abspath(self.path))
        places = [tempfile.gettempdir(), folder, os.path.dirname(folder), "/tmp", "/var/tmp"]
        with Databases(accounts.stranger(), places, 2 * max(sizes, default=0)) as checks:
            if sizes:
                checks.start()
            threads.in_threads(check, list(threads.batches(entries)))
        return damaged

    def place(self, entry: Entry) -> tuple[int, int, int]:
        """Where the bytes of a file are: a descriptor, the first of them, and how many."""
        return self._stream.fileno(), self._structure.starts[entry["path"]], self._structure.members[entry["path"]].compress_size

    def method_and_crc(self, entry: Entry) -> tuple[int, int]:
        """How a file is stored, and the CRC-32 of its content."""
        info = self._structure.members[entry["path"]]
        return info.compress_type, info.CRC

    def window(self) -> Window:
        """For a thread that reads one member after another: it reads ahead."""
        return Window(self._stream.fileno(), _AHEAD)

    def stored(self, entry: Entry, window: Window | None = None) -> t.Iterator[Buffer]:
        """The bytes that the archive holds of a file, as they are, in pieces.

        The last piece has been given when all of them prove right by ``packed_sha256``, or an error comes.
        """
        digest = hashlib.sha256()
        with self._structure.damage():
            for chunk in self._raw(self._structure.members[entry["path"]], self._structure.starts[entry["path"]], window):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != entry["packed_sha256"]:
            self._structure.refuse(entry["path"], "stored bytes that are not what was written (their checksum differs)")

    def read(self, entry: Entry, window: Window | None = None, again: bool = False) -> t.Iterator[Buffer]:
        """A file's content in pieces. The last piece has been given when all of it proves right, or an error comes.

        :param again: it was verified a moment ago: this time its size and its CRC are enough.
        """
        info = self._structure.members[entry["path"]]
        digest, crc, size = hashlib.sha256(), 0, 0
        with self._structure.damage():
            for chunk in self._inflate(info, self._structure.starts[entry["path"]], window):
                size += len(chunk)
                if size > info.file_size:
                    self._structure.refuse(entry["path"], "more content than its size")
                if not again:
                    digest.update(chunk)
                crc = deflate.crc32(chunk, crc)
                yield chunk
        wrong = not again and digest.hexdigest() != entry.get("sha256", digest.hexdigest())
        if size != info.file_size or crc != info.CRC or wrong:
            self._structure.refuse(entry["path"], "content that is not what was backed up (its checksum differs)")

    def _check(self, entry: Entry, copied: bool, window: Window, share: Share, checks: Databases) -> None:
        kind = entry["type"]
        if kind == "dir":
            return
        if kind == "symlink":
            if b"".join(self.read(entry)) != entry["target"].encode("utf-8", "surrogateescape"):
                self._structure.refuse(entry["path"], "a link target that is not the manifest's")
        elif entry.get("sqlite") and not copied:
            self._check_database(entry, share, checks)
        else:
            for chunk in self.stored(entry, window) if copied else self.read(entry, window):
                share.add(len(chunk))

    def _check_database(self, entry: Entry, share: Share, checks: Databases) -> None:
        """A database is looked at by SQLite itself, in a copy that is gone afterwards."""

        def content() -> t.Iterator[Buffer]:
            for chunk in self.read(entry):
                yield chunk
                share.add(len(chunk))

        try:
            checks.check(content(), entry["path"])
        except IntegrityError as error:
            if error.subject != entry["path"]:
                raise
            self._structure.refuse(entry["path"], f"a damaged database ({error.found})")

    def _raw(self, info: zipfile.ZipInfo, start: int, window: Window | None) -> t.Iterator[Buffer]:
        window = window or Window(self._stream.fileno())
        offset, end = start, start + info.compress_size
        while offset < end:
            packed = window.read(offset, min(fs.CHUNK, end - offset))
            if not packed:
                raise EOFError("the archive ends inside a member")
            offset += len(packed)
            yield packed

    def _inflate(self, info: zipfile.ZipInfo, start: int, window: Window | None) -> t.Iterator[Buffer]:
        if info.compress_type == STORED:
            yield from self._raw(info, start, window)
            return
        unpacker = zlib.decompressobj(-15)
        for packed in self._raw(info, start, window):
            while packed:
                yield unpacker.decompress(packed, fs.CHUNK)
                packed = unpacker.unconsumed_tail
                if unpacker.unused_data:
                    raise EOFError("a compressed member ends before it should")
        yield unpacker.flush()
        if not unpacker.eof:
            raise EOFError("a compressed member does not end where it should")
