# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes zip files: stored and deflated members, zip64, nothing that ``unzip`` does not read.

Python's own writer cannot take a member back or fill one in afterwards; a backup needs both.
"""

from __future__ import annotations

import calendar
import contextlib
import os
import struct
import time
import typing as t

from . import deflate

STORED, DEFLATED = 0, 8
UTF8 = 0x800
LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
#: What a header can say.
_FIRST_TIME, _LAST_TIME = calendar.timegm((1980, 1, 1, 0, 0, 0)), calendar.timegm((2107, 12, 31, 23, 59, 58))
_BIG, _MANY = 0xFFFFFFFF, 0xFFFF
#: Members that may be larger than this get zip64 sizes; deflating may make a member a little larger than it was.
_ZIP64_FROM = 0x7FFFFFFF
#: From so many bytes on the kernel copies from one file to another; of fewer, reading and writing costs less than its call.
_BY_KERNEL = 64 * 1024
#: Bytes that it copies at once.
_PIECE = 8 * 1024 * 1024


def dos_time(seconds: float) -> tuple[int, int]:
    """Date and time of a zip header, in UTC, held between 1980 and 2107; the manifest has the true time."""
    year, month, day, hour, minute, second = time.gmtime(min(max(seconds, _FIRST_TIME), _LAST_TIME))[:6]
    return (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2


def encode_name(name: str) -> tuple[bytes, int]:
    """A member name's bytes and its flag. Bytes that are not UTF-8 (surrogates in *name*) stay as they are on disk."""
    try:
        return name.encode("utf-8"), 0 if name.isascii() else UTF8
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape"), 0


def end_records(count: int, start: int, length: int) -> bytes:
    """What follows a directory of so many members and bytes."""
    more = b""
    if count >= _MANY or max(start, length) >= _BIG:
        more = _END64.pack(b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start) + _LOCATOR.pack(b"PK\6\7", 0, start + length, 1)
    return more + _END.pack(b"PK\5\6", 0, 0, min(count, _MANY), min(count, _MANY), min(length, _BIG), min(start, _BIG), 0)


def directory_length(content: bytes) -> int:
    """How many bytes of *content* are records of a directory, by what each says of its own length."""
    at = 0
    while content[at : at + 4] == b"PK\1\2" and len(content) - at >= _CENTRAL.size:
        at += _CENTRAL.size + sum(struct.unpack_from("<3H", content, at + 28))
    return at


class Member:
    """What a zip file says of one member.

    :param mode: ``st_mode`` with its file type.
    :param mtime: seconds since 1970.
    :param size: how large the content may become at most.
    """

    def __init__(self, name: str, mode: int, mtime: float, size: int, method: int) -> None:
        self.name, self.flags = encode_name(name)
        self.mode = mode
        self.date, self.time = dos_time(mtime)
        self.zip64 = size > _ZIP64_FROM
        self.method = method
        self.offset = self.crc = self.size = self.packed = 0

    def header(self) -> bytes:
        """The local header, which stands before the content."""
        extra = struct.pack("<HHQQ", 1, 16, self.size, self.packed) if self.zip64 else b""
        size, packed = (_BIG, _BIG) if self.zip64 else (self.size, self.packed)
        return (
            LOCAL.pack(
                b"PK\3\4",
                45 if self.zip64 else 20,
                self.flags,
                self.method,
                self.time,
                self.date,
                self.crc,
                packed,
                size,
                len(self.name),
                len(extra),
            )
            + self.name
            + extra
        )

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
        version = 45 if self.zip64 or self.offset >= _BIG else 20
        return (
            _CENTRAL.pack(
                b"PK\1\2",
                45,
                3,
                version,
                0,
                self.flags,
                self.method,
                self.time,
                self.date,
                self.crc,
                packed,
                size,
                len(self.name),
                len(extra),
                0,
                0,
                0,
                attributes,
                offset,
            )
            + self.name
            + extra
        )


class ZipWriter:
    """Appends members to an empty, seekable stream.

    A member whose content is at hand is one ``add``. A large one is begun, extended, and then kept or discarded; the
    caller fills in its ``crc`` and ``size``.
    """

    def __init__(self, stream: t.BinaryIO) -> None:
        self._stream = stream
        self._end = 0
        self._members: list[Member] = []

    def add(self, member: Member, chunks: t.Iterable[bytes | memoryview]) -> None:
        """Write a member whose ``crc`` and ``size`` are known."""
        content = b"".join(chunks)
        member.packed, member.offset = len(content), self._end
        self._append(member.header())
        self._append(content)
        self._members.append(member)

    def copy(self, member: Member, descriptor: int, begin: int, count: t.Callable[[int], None]) -> None:
        """Write a member, whose ``crc``, ``size`` and ``packed`` are known, by bytes of another file. They are not looked at.

        :param begin: where in that file they begin.
        :param count: called with the number of bytes of each piece.
        :raises EOFError: when that file cannot be read there; the member is to be discarded then.
        """
        member.offset = self._end
        self._append(member.header())
        end = begin + member.packed
        if member.packed >= _BY_KERNEL:
            self._stream.flush()
            with contextlib.suppress(OSError):  # not from this file to that one: then by reading, which tells what is wrong
                while begin < end:
                    copied = os.copy_file_range(descriptor, self._stream.fileno(), min(_PIECE, end - begin), begin, self._end)
                    if not copied:
                        break
                    begin, self._end = begin + copied, self._end + copied
                    count(copied)
            self._stream.seek(self._end)
        while begin < end:
            try:
                piece = os.pread(descriptor, min(deflate.BLOCK, end - begin), begin)
            except OSError as error:
                raise EOFError(error.strerror) from error
            if not piece:
                raise EOFError("it ends there")
            self._append(piece)
            begin += len(piece)
            count(len(piece))
        self._members.append(member)

    def begin(self, member: Member) -> None:
        """Begin a member: room for its header."""
        member.offset, member.packed = self._end, 0
        self._append(member.header())

    def extend(self, member: Member, data: bytes | memoryview) -> None:
        """Append to what the file holds of the member that was begun."""
        member.packed += len(data)
        self._append(data)

    def keep(self, member: Member) -> None:
        """End the member that was begun: its header is filled in."""
        if max(member.size, member.packed) > _BIG and not member.zip64:
            raise ValueError("a member grew beyond what its header can say")
        self._rewrite(member)
        self._members.append(member)

    @property
    def last(self) -> Member:
        """The member that was kept last."""
        return self._members[-1]

    def stored(self, member: Member) -> t.Iterator[bytes]:
        """What the file holds of a member that was kept, in pieces; others may be written meanwhile."""
        begin = member.offset + len(member.header())
        for at in range(begin, begin + member.packed, deflate.BLOCK):
            self._stream.flush()
            yield os.pread(self._stream.fileno(), min(deflate.BLOCK, begin + member.packed - at), at)

    def discard(self, member: Member) -> None:
        """Forget the member that was begun: the file ends where it began."""
        self._end = self._stream.seek(member.offset)
        self._stream.truncate()

    def mark(self) -> tuple[int, int]:
        """The place where the next member begins, for :meth:`back`."""
        return self._end, len(self._members)

    def back(self, mark: tuple[int, int]) -> None:
        """Forget all members that came after a mark."""
        self._end = self._stream.seek(mark[0])
        self._stream.truncate()
        del self._members[mark[1] :]

    def replace(self, member: Member, content: bytes) -> None:
        """Put other content of the same size into a stored member that was kept."""
        if len(content) != member.size or member.method != STORED:
            raise ValueError("only a stored member's content can be replaced, by as many bytes")
        member.crc = deflate.crc32(content)
        self._rewrite(member, content)

    def close(self) -> None:
        """Write the central directory."""
        start = self._stream.seek(0, os.SEEK_END)
        self._stream.writelines(member.central() for member in self._members)
        self._stream.write(end_records(len(self._members), start, self._stream.tell() - start))
        self._stream.flush()

    def _append(self, data: bytes | memoryview) -> None:
        self._stream.write(data)
        self._end += len(data)

    def _rewrite(self, member: Member, content: bytes = b"") -> None:
        self._stream.seek(member.offset)
        self._stream.write(member.header() + content)
        self._stream.seek(0, os.SEEK_END)
