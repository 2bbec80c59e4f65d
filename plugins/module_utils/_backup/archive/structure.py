# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The structure of an archive: its members and its manifest, checked against each other without reading content."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import struct
import typing as t
import zipfile
import zlib

from ..._core import wording
from ..._core.errors import IntegrityError
from . import manifest, paths, zip_writer
from .manifest import Manifest
from .paths import MANIFEST
from .zip_writer import DEFLATED, LOCAL, STORED, UTF8

#: No deflated stream grows by more than this.
_MOST_RATIO = 1032
_TYPE_BITS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}
_END = b"PK\5\6"
#: What damaged bytes make of the parsers that read them.
_PARSER_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    ValueError,
    NotImplementedError,
    EOFError,
    OverflowError,
    RuntimeError,
    MemoryError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
)


class Structure:
    """What an open archive holds, by its headers and its manifest.

    :raises IntegrityError: when anything about them is wrong.
    """

    manifest: Manifest

    def __init__(self, path: str, stream: t.BinaryIO) -> None:
        self.path = path
        #: By the path of an entry: the record of its member, and where the member's bytes begin.
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.starts: dict[str, int] = {}
        self._stream = stream
        with self.damage():
            self._open()

    def refuse(self, member: str, found: str) -> t.NoReturn:
        """:raises IntegrityError: saying what is wrong, and with which member."""
        where = f" in {wording.printable(member)}" if member else ""
        raise IntegrityError(
            f"archive {self.path}",
            "a whole backup",
            found + where,
            "Use another archive, or fetch this one again from where it was copied to",
        )

    @contextlib.contextmanager
    def damage(self) -> t.Iterator[None]:
        """Turn what damage makes of a parser into one sentence."""
        try:
            yield
        except _PARSER_ERRORS as error:
            self.refuse("", " ".join(f"damage: {error}".split()))
        except OSError as error:
            if error.errno != errno.EINVAL:  # older Pythons seek to where a damaged directory tells them to
                raise
            self.refuse("", "damage: an offset outside of the file")

    def _open(self) -> None:
        with zipfile.ZipFile(self._stream) as archive:
            infos, directory = archive.infolist(), archive.start_dir
            if archive.comment or os.pread(self._stream.fileno(), 4, self._size() - 22) != _END:
                self.refuse("", "bytes after its end")
        for info in infos:
            name = self._name(info)
            if name in self.members:
                self.refuse(name, "a duplicate member")
            self.members[name] = info
        self._layout(directory)
        self._end_of(directory)
        if not infos or self._name(infos[0]) != MANIFEST or infos[0].compress_type != STORED:
            self.refuse("", f"no stored {MANIFEST} as its first member, so it is not an archive of this collection")
        raw = os.pread(self._stream.fileno(), infos[0].file_size, self.starts[MANIFEST])
        if len(raw) != infos[0].file_size or zlib.crc32(raw) != infos[0].CRC:
            self.refuse(MANIFEST, "damage (its CRC differs)")
        found = json.loads(raw.decode("ascii"))
        wrong = manifest.wrong_with(found)
        if wrong:
            self.refuse(*wrong)
        self.manifest = found
        self._agree()

    def _layout(self, directory: int) -> None:
        """Members lie one after another, without gap or overlap, and each local header says what the directory says."""
        expected = 0
        for name, info in sorted(self.members.items(), key=lambda item: item[1].header_offset):
            if info.header_offset != expected:
                self.refuse(name, "a member that overlaps another, or a gap before it")
            raw = _raw_name(info)
            head = os.pread(self._stream.fileno(), LOCAL.size + len(raw), info.header_offset)
            sign, _version, flags, method, _time, _date, crc, packed, size, names, extra = LOCAL.unpack_from(head)
            if (
                sign != b"PK\3\4"
                or (flags, method, crc) != (info.flag_bits, info.compress_type, info.CRC)
                or names != len(raw)
                or head[LOCAL.size :] != raw
            ):
                self.refuse(name, "a local header that differs from the directory")
            if (packed, size) not in ((info.compress_size, info.file_size), (0xFFFFFFFF, 0xFFFFFFFF)):
                self.refuse(name, "sizes that differ between its two headers")
            self.starts[name] = info.header_offset + LOCAL.size + names + extra
            expected = self.starts[name] + info.compress_size
        if expected != directory:
            self.refuse("", "a directory that does not follow its members")

    def _end_of(self, directory: int) -> None:
        """The directory's records follow one another up to the end, which counts them rightly: others read by these."""
        content = os.pread(self._stream.fileno(), self._size() - directory, directory)
        length = zip_writer.directory_length(content)
        if content[length:] != zip_writer.end_records(len(self.members), directory, length):
            self.refuse("", "an end that does not fit its directory")

    def _agree(self) -> None:
        """Manifest and members name the same things, of the same kind and size."""
        left, self.members = self.members, {}
        del left[MANIFEST]
        for entry in self.manifest["entries"]:
            path = entry["path"]
            name = path + ("/" if entry["type"] == "dir" else "")
            if name not in left:
                self.refuse(path, "an entry of the manifest without its member")
            info = self.members[path] = left.pop(name)
            self.starts[path] = self.starts[name]
            if stat.S_IFMT(info.external_attr >> 16) not in (0, _TYPE_BITS[entry["type"]]):
                self.refuse(path, "a member of another type than the manifest says")
            if info.file_size != entry["size"]:
                self.refuse(path, f"a member of {info.file_size} bytes where the manifest says {entry['size']}")
        if left:
            self.refuse(min(left), "a member that the manifest does not list")

    def _name(self, info: zipfile.ZipInfo) -> str:
        raw = _raw_name(info)
        name = raw.decode("utf-8", "surrogateescape")
        if info.flag_bits & ~UTF8 or info.compress_type not in (STORED, DEFLATED):
            self.refuse(name, "encryption or a method that the format does not use")
        if (info.compress_type == STORED and info.file_size != info.compress_size) or info.file_size > info.compress_size * _MOST_RATIO:
            self.refuse(name, "a size that its compressed bytes cannot give")
        if name != MANIFEST:
            wrong = paths.wrong_with(name[:-1] if name.endswith("/") else name)
            if wrong:
                self.refuse(name, wrong)
        return name

    def _size(self) -> int:
        return os.fstat(self._stream.fileno()).st_size


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    if info.orig_filename.isascii():
        return info.orig_filename.encode("ascii")
    return info.orig_filename.encode("utf-8" if info.flag_bits & UTF8 else "cp437")
