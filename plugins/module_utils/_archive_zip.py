# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes zip files: stored and deflated members, zip64, nothing that ``unzip`` does not read.

Python's own writer cannot take a member back or fill one in afterwards; a backup needs both.
"""
from __future__ import annotations

import datetime
import os
import struct
import typing as t
import zlib

STORED, DEFLATED = 0, 8
UTF8 = 0x800
LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_BIG, _MANY = 0xFFFFFFFF, 0xFFFF
#: Members that may be larger than this get zip64 sizes; deflating may make a member a little larger than it was.
_ZIP64_FROM = 0x7FFFFFFF
_BUFFER = 1024 * 1024


def dos_time(seconds: float) -> tuple[int, int]:
    """Date and time of a zip header, in UTC, held between 1980 and 2107; the manifest has the true time."""
    first = datetime.datetime(1980, 1, 1, tzinfo=datetime.timezone.utc)
    last = datetime.datetime(2107, 12, 31, 23, 59, 58, tzinfo=datetime.timezone.utc)
    held = min(max(seconds, first.timestamp()), last.timestamp())
    when = datetime.datetime.fromtimestamp(held, datetime.timezone.utc)
    return (when.year - 1980) << 9 | when.month << 5 | when.day, when.hour << 11 | when.minute << 5 | when.second // 2


def encode_name(name: str) -> tuple[bytes, int]:
    """A member name's bytes and its flag. Bytes that are not UTF-8 (surrogates in *name*) stay as they are on disk."""
    try:
        return name.encode("utf-8"), 0 if name.isascii() else UTF8
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape"), 0


class Member:
    """One member while it is written: ``write`` its content, then ``finish`` it or ``discard`` it."""

    def __init__(self, stream: t.BinaryIO, name: str, mode: int, mtime: float, size: int, level: int) -> None:
        self._stream = stream
        self._packer = zlib.compressobj(level, zlib.DEFLATED, -15) if level else None
        self._pending: list[bytes] = []
        self._begun = False
        self.name, self.flags = encode_name(name)
        self.mode = mode
        self.date, self.time = dos_time(mtime)
        self.zip64 = size > _ZIP64_FROM
        self.offset = stream.tell()
        self.crc = self.size = self.packed = 0

    @property
    def method(self) -> int:
        return DEFLATED if self._packer else STORED

    def write(self, chunk: bytes) -> None:
        """Add to the content."""
        self.crc = zlib.crc32(chunk, self.crc)
        self.size += len(chunk)
        self._put(self._packer.compress(chunk) if self._packer else chunk)

    def finish(self) -> None:
        """End the content. A small member is written in one piece, the header of a large one is filled in now."""
        if self._packer:
            self._put(self._packer.flush())
        if max(self.size, self.packed) > _BIG and not self.zip64:
            raise ValueError("a member grew beyond what its header can say")
        begun = self._begun
        self._spill()
        if begun:
            self._rewrite()

    def discard(self) -> None:
        """Forget the member: the file ends where it began."""
        self._pending.clear()
        self._stream.seek(self.offset)
        self._stream.truncate()

    def replace(self, content: bytes) -> None:
        """Put other content of the same size into a finished, stored member."""
        if len(content) != self.size or self.method != STORED:
            raise ValueError("only a stored member's content can be replaced, by as many bytes")
        self.crc = zlib.crc32(content)
        self._rewrite(content)

    def central(self) -> bytes:
        """The member's record of the central directory."""
        extra = b""
        size, packed, offset = self.size, self.packed, self.offset
        if max(size, packed) > _BIG or self.zip64:
            extra, size, packed = struct.pack("<QQ", size, packed), _BIG, _BIG
        if offset >= _BIG:
            extra, offset = extra + struct.pack("<Q", offset), _BIG
        if extra:
            extra = struct.pack("<HH", 1, len(extra)) + extra
        attributes = (self.mode & 0xFFFF) << 16 | (0x10 if self.name.endswith(b"/") else 0)
        return _CENTRAL.pack(
            b"PK\1\2", 45, 3, self._version(), 0, self.flags, self.method, self.time, self.date, self.crc, packed, size,
            len(self.name), len(extra), 0, 0, 0, attributes, offset) + self.name + extra

    def _rewrite(self, content: bytes = b"") -> None:
        self._stream.seek(self.offset)
        self._stream.write(self._header() + content)
        self._stream.seek(0, os.SEEK_END)

    def _version(self) -> int:
        return 45 if self.zip64 or self.offset >= _BIG else 20

    def _header(self) -> bytes:
        extra = struct.pack("<HHQQ", 1, 16, self.size, self.packed) if self.zip64 else b""
        size, packed = (_BIG, _BIG) if self.zip64 else (self.size, self.packed)
        return LOCAL.pack(b"PK\3\4", 45 if self.zip64 else 20, self.flags, self.method, self.time, self.date, self.crc,
                          packed, size, len(self.name), len(extra)) + self.name + extra

    def _put(self, data: bytes) -> None:
        self.packed += len(data)
        self._pending.append(data)
        if self.packed > _BUFFER:
            self._spill()

    def _spill(self) -> None:
        if not self._begun:
            self._begun = True
            self._stream.write(self._header())
        self._stream.writelines(self._pending)
        self._pending.clear()


class ZipWriter:
    """Appends members to an empty, seekable stream. One member at a time: finish or discard it, then the next."""

    def __init__(self, stream: t.BinaryIO) -> None:
        self._stream = stream
        self._members: list[Member] = []

    def start(self, name: str, mode: int, mtime: float, size: int, level: int) -> Member:
        """Begin a member.

        :param mode: ``st_mode`` with its file type.
        :param mtime: seconds since 1970.
        :param size: how large the content may become at most.
        :param level: 1 to 9 deflates, 0 stores.
        """
        return Member(self._stream, name, mode, mtime, size, level)

    def keep(self, member: Member) -> None:
        """Finish a member and list it."""
        member.finish()
        self._members.append(member)

    def close(self) -> None:
        """Write the central directory."""
        start = self._stream.seek(0, os.SEEK_END)
        for member in self._members:
            self._stream.write(member.central())
        end = self._stream.tell()
        count, length = len(self._members), end - start
        if count >= _MANY or max(start, length) >= _BIG:
            self._stream.write(_END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start))
            self._stream.write(_LOCATOR.pack(b"PK\6\7", 0, end, 1))
        self._stream.write(_END.pack(b"PK\5\6", 0, 0, min(count, _MANY), min(count, _MANY), min(length, _BIG),
                                     min(start, _BIG), 0))
        self._stream.flush()
