# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads archives, and believes nothing that they say before it was checked.

Opening an archive checks its structure and its manifest against each other without reading content; ``verify`` reads
every member. The creation, the listing and the restore of backups all use this one reader.
"""
from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import struct
import tempfile
import typing as t
import zipfile
import zlib

from ansible_collections.mobius.ops.plugins.module_utils import (
    _archive_manifest,
    _archive_paths,
    _checksums,
    _deflate,
    _files,
    _sqlite,
)
from ansible_collections.mobius.ops.plugins.module_utils._archive_paths import MANIFEST
from ansible_collections.mobius.ops.plugins.module_utils._archive_zip import DEFLATED, LOCAL, STORED, UTF8
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._progress import Meter

#: Members that one thread checks at a stretch: so many, or so many bytes.
_BATCH, _BATCH_BYTES = 64, 4 * 1024 * 1024
#: Bytes that are read ahead where small members follow one another.
_AHEAD = 512 * 1024
Buffer = t.Union[bytes, memoryview]
#: No deflated stream grows by more than this.
_MOST_RATIO = 1032
_TYPE_BITS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}
_END = b"PK\5\6"
_DAMAGE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, ValueError, NotImplementedError,
           EOFError, OverflowError, RuntimeError, MemoryError, AttributeError, IndexError, KeyError, TypeError)


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
        return self._held[at:at + size]


class Archive:
    """An archive whose structure and manifest are in order.

    :raises InputError: when there is no such file.
    :raises IntegrityError: when anything about it is wrong; nothing of it may be used then.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.manifest: dict[str, t.Any] = {}
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._starts: dict[str, int] = {}
        if not os.path.isfile(path):
            raise InputError(f"archive {path}", "a file", "nothing" if not os.path.lexists(path) else "something else",
                             "Look for archives with mobius.ops.backup_info")
        self._stream = open(path, "rb")  # noqa: SIM115 -- pylint: disable=consider-using-with
        try:
            with self._damage():
                self._open()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self._stream.close()

    @property
    def entries(self) -> list[dict[str, t.Any]]:
        """What the manifest says of each file, folder and link; folders before what is in them."""
        return self.manifest["entries"]

    def sha256(self) -> str:
        """The digest of the whole file, of the very descriptor that the members are read from."""
        digest, offset = hashlib.sha256(), 0
        while True:
            chunk = os.pread(self._stream.fileno(), _files.CHUNK, offset)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)
            offset += len(chunk)

    def verify(self, copied: t.Container[str] = (), meter: Meter | None = None) -> None:
        """Read every member: its CRC, its SHA-256 and its size are the manifest's, and databases are sound.

        :param copied: members whose stored bytes were right before they came here: they are not inflated again.
        """
        meter = meter or Meter()
        meter.phase("verify", sum(entry["size"] for entry in self.entries), len(self.entries))

        def check(batch: list[dict[str, t.Any]]) -> None:
            window = self.window()
            for entry in batch:
                self._check(entry, entry["path"] in copied, window)
            meter.add(sum(entry["size"] for entry in batch), len(batch))

        _checksums.in_threads(check, list(_batches(self.entries)))

    def method_and_crc(self, entry: dict[str, t.Any]) -> tuple[int, int]:
        """How a file is stored, and the CRC-32 of its content."""
        info = self._members[entry["path"]]
        return info.compress_type, info.CRC

    def window(self) -> Window:
        """For a thread that reads one member after another: it reads ahead."""
        return Window(self._stream.fileno(), _AHEAD)

    def stored(self, entry: dict[str, t.Any], window: Window | None = None) -> t.Iterator[Buffer]:
        """The bytes that the archive holds of a file, as they are, in pieces.

        The last piece has been given when all of them prove right by ``packed_sha256``, or an error comes.
        """
        digest = hashlib.sha256()
        with self._damage():
            for chunk in self._raw(self._members[entry["path"]], self._starts[entry["path"]], window):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != entry["packed_sha256"]:
            self._refuse(entry["path"], "stored bytes that are not what was written (their checksum differs)")

    def read(self, entry: dict[str, t.Any], window: Window | None = None, again: bool = False) -> t.Iterator[Buffer]:
        """A file's content in pieces. The last piece has been given when all of it proves right, or an error comes.

        :param again: it was verified a moment ago: this time its size and its CRC are enough.
        """
        info = self._members[entry["path"]]
        digest, crc, size = hashlib.sha256(), 0, 0
        with self._damage():
            for chunk in self._inflate(info, self._starts[entry["path"]], window):
                size += len(chunk)
                if size > info.file_size:
                    self._refuse(entry["path"], "more content than its size")
                if not again:
                    digest.update(chunk)
                crc = _deflate.crc32(chunk, crc)
                yield chunk
        wrong = not again and digest.hexdigest() != entry.get("sha256", digest.hexdigest())
        if size != info.file_size or crc != info.CRC or wrong:
            self._refuse(entry["path"], "content that is not what was backed up (its checksum differs)")

    def _check(self, entry: dict[str, t.Any], copied: bool, window: Window) -> None:
        kind = entry["type"]
        if kind == "dir":
            return
        if kind == "symlink":
            if b"".join(self.read(entry)) != entry["target"].encode("utf-8", "surrogateescape"):
                self._refuse(entry["path"], "a link target that is not the manifest's")
        elif copied:
            collections.deque(self.stored(entry, window), maxlen=0)
        elif entry.get("sqlite"):
            self._check_database(entry)
        else:
            collections.deque(self.read(entry, window), maxlen=0)

    def _check_database(self, entry: dict[str, t.Any]) -> None:
        """A database is looked at by SQLite itself, in a copy that is gone afterwards."""
        with tempfile.NamedTemporaryFile(prefix=".mobius-database-", dir=_scratch(self.path, entry["size"])) as copy:
            for chunk in self.read(entry):
                copy.write(chunk)
            copy.flush()
            try:
                _sqlite.check(copy.name, entry["path"])
            except IntegrityError as error:
                self._refuse(entry["path"], f"a damaged database ({error.found})")

    def _raw(self, info: zipfile.ZipInfo, start: int, window: Window | None) -> t.Iterator[Buffer]:
        window = window or Window(self._stream.fileno())
        offset, end = start, start + info.compress_size
        while offset < end:
            packed = window.read(offset, min(_files.CHUNK, end - offset))
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
                yield unpacker.decompress(packed, _files.CHUNK)
                packed = unpacker.unconsumed_tail
                if unpacker.unused_data:
                    raise EOFError("a compressed member ends before it should")
        yield unpacker.flush()
        if not unpacker.eof:
            raise EOFError("a compressed member does not end where it should")

    def _open(self) -> None:
        with zipfile.ZipFile(self._stream) as archive:
            infos, directory = archive.infolist(), archive.start_dir
            if archive.comment or os.pread(self._stream.fileno(), 4, self._size() - 22) != _END:
                self._refuse("", "bytes after its end")
        for info in infos:
            name = self._name(info)
            if name in self._members:
                self._refuse(name, "a duplicate member")
            self._members[name] = info
        self._layout(directory)
        if not infos or self._name(infos[0]) != MANIFEST or infos[0].compress_type != STORED:
            self._refuse("", f"no stored {MANIFEST} as its first member, so it is not an archive of this collection")
        raw = os.pread(self._stream.fileno(), infos[0].file_size, self._starts[MANIFEST])
        if len(raw) != infos[0].file_size or zlib.crc32(raw) != infos[0].CRC:
            self._refuse(MANIFEST, "damage (its CRC differs)")
        self.manifest = json.loads(raw.decode("ascii"))
        wrong = _archive_manifest.wrong_with(self.manifest)
        if wrong:
            self._refuse(*wrong)
        self._agree()

    def _layout(self, directory: int) -> None:
        """Members lie one after another, without gap or overlap, and each local header says what the directory says."""
        expected = 0
        for name, info in sorted(self._members.items(), key=lambda item: item[1].header_offset):
            if info.header_offset != expected:
                self._refuse(name, "a member that overlaps another, or a gap before it")
            raw = _raw_name(info)
            head = os.pread(self._stream.fileno(), LOCAL.size + len(raw), info.header_offset)
            sign, _version, flags, method, _time, _date, crc, packed, size, names, extra = LOCAL.unpack_from(head)
            if sign != b"PK\3\4" or (flags, method, crc) != (info.flag_bits, info.compress_type, info.CRC) \
                    or names != len(raw) or head[LOCAL.size:] != raw:
                self._refuse(name, "a local header that differs from the directory")
            if (packed, size) not in ((info.compress_size, info.file_size), (0xFFFFFFFF, 0xFFFFFFFF)):
                self._refuse(name, "sizes that differ between its two headers")
            self._starts[name] = info.header_offset + LOCAL.size + names + extra
            expected = self._starts[name] + info.compress_size
        if expected != directory:
            self._refuse("", "a directory that does not follow its members")

    def _agree(self) -> None:
        """Manifest and members name the same things, of the same kind and size."""
        left, self._members = self._members, {}
        del left[MANIFEST]
        for entry in self.entries:
            path = entry["path"]
            name = path + ("/" if entry["type"] == "dir" else "")
            if name not in left:
                self._refuse(path, "an entry of the manifest without its member")
            info = self._members[path] = left.pop(name)
            self._starts[path] = self._starts[name]
            if stat.S_IFMT(info.external_attr >> 16) not in (0, _TYPE_BITS[entry["type"]]):
                self._refuse(path, "a member of another type than the manifest says")
            if info.file_size != entry["size"]:
                self._refuse(path, f"a member of {info.file_size} bytes where the manifest says {entry['size']}")
        if left:
            self._refuse(min(left), "a member that the manifest does not list")

    def _name(self, info: zipfile.ZipInfo) -> str:
        raw = _raw_name(info)
        name = raw.decode("utf-8", "surrogateescape")
        if info.flag_bits & ~UTF8 or info.compress_type not in (STORED, DEFLATED):
            self._refuse(name, "encryption or a method that the format does not use")
        if (info.compress_type == STORED and info.file_size != info.compress_size) \
                or info.file_size > info.compress_size * _MOST_RATIO:
            self._refuse(name, "a size that its compressed bytes cannot give")
        if name != MANIFEST:
            wrong = _archive_paths.wrong_with(name[:-1] if name.endswith("/") else name)
            if wrong:
                self._refuse(name, wrong)
        return name

    def _size(self) -> int:
        return os.fstat(self._stream.fileno()).st_size

    def _refuse(self, member: str, found: str) -> t.NoReturn:
        where = f" in {_archive_paths.printable(member)}" if member else ""
        raise IntegrityError(f"archive {self.path}", "a whole backup", found + where,
                             "Use another archive, or fetch this one again from where it was copied to")

    @contextlib.contextmanager
    def _damage(self) -> t.Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            self._refuse("", " ".join(f"damage: {error}".split()))
        except OSError as error:
            if error.errno != errno.EINVAL:  # older Pythons seek to where a damaged directory tells them to
                raise
            self._refuse("", "damage: an offset outside of the file")


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")


def _batches(entries: list[dict[str, t.Any]]) -> t.Iterator[list[dict[str, t.Any]]]:
    batch: list[dict[str, t.Any]] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry["size"]
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _scratch(archive: str, size: int) -> str:
    """Where a copy of a database has room: where temporary files go, or else beside the archive."""
    usual = tempfile.gettempdir()
    return usual if shutil.disk_usage(usual).free > 2 * size else os.path.dirname(os.path.abspath(archive))
