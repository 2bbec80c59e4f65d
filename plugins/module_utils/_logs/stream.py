# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a log in blocks of whole lines, in bounded memory, whatever is in it: lines without end, broken gzip, a file that shrinks."""

from __future__ import annotations

import hashlib
import os
import typing as t
import zlib

CHUNK = 1024 * 1024
#: Bytes that are kept of a line that is longer than a chunk.
KEPT = 8192
#: Bytes of a log's beginning, and before the place where reading ended, by whose hashes it is known again.
HEAD = TAIL = 1024


#: Packed bytes that are unpacked at a time: so much is lost before a broken place.
_RAW = 16384


class Unpacker:
    """What gzip has packed, however many members the file has.

    :param file: what is packed, without a buffer.
    """

    def __init__(self, file: t.BinaryIO) -> None:
        self._file = file
        self._member: t.Any = None
        self._packed, self._first = b"", True

    def read(self, size: int) -> bytes:
        """The next bytes, so many at most; none at the end.

        :raises zlib.error: at a broken place.
        :raises EOFError: when the end is missing.
        """
        while True:
            self._packed = self._packed or self._file.read(_RAW)
            if self._member is None:
                self._packed = self._packed if self._first else self._packed.lstrip(b"\0")  # of a tape, or a disk that was lost
                if not self._packed:
                    return b""
                self._member, self._first = zlib.decompressobj(31), False
            if not self._packed:
                raise EOFError("its end is missing")
            found = t.cast(bytes, self._member.decompress(self._packed, size))
            self._packed = self._member.unconsumed_tail
            if self._member.eof:
                self._packed, self._member = self._member.unused_data, None
            if found:
                return found


class Reader:
    """The blocks of an open log, from an offset on.

    :param descriptor: of a regular file; it is closed at the end.
    :param packed: whether it is gzip.
    :param limit: bytes to read at most, unpacked.
    """

    def __init__(self, descriptor: int, packed: bool, limit: int) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._from: t.Any = Unpacker(t.cast(t.BinaryIO, self._file)) if packed else self._file
        self._packed, self._limit = packed, limit
        #: What is wrong with the file, in words; empty when nothing is.
        self.trouble = ""
        self.long_lines = 0
        #: Bytes at the end without a line end.
        self.unfinished = b""
        #: Whether the limit ended the reading.
        self.more = False
        self.offset = 0
        self.head = b""
        #: The last bytes before the offset.
        self.tail = b""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def _read(self, size: int = CHUNK) -> bytes:
        try:
            return t.cast(bytes, self._from.read(size))
        except (EOFError, zlib.error) as error:
            self.trouble = f"broken gzip ({error})"
        except OSError as error:
            self.trouble = error.strerror or str(error)
        return b""

    def seek(self, offset: int) -> bool:
        """Go on behind the first *offset* bytes; whether there are so many."""
        if not self._packed:
            if os.fstat(self._file.fileno()).st_size < offset:
                return False
            self.head = self._read(min(HEAD, offset))
            self._file.seek(max(0, offset - TAIL))
            self.tail = self._read(min(TAIL, offset))
            self._file.seek(offset)
        else:
            while self.offset < offset:
                piece = self._read(min(CHUNK, offset - self.offset))
                if not piece:
                    return False
                self._note(piece)
        self.offset = offset
        return True

    def beginning(self, size: int) -> bytes:
        """The next bytes, so many at most."""
        found = b""
        while len(found) < size:
            piece = self._read(size - len(found))
            if not piece:
                break
            found += piece
        return found

    def finish(self) -> bytes:
        """The last line of a file to which nothing is added any more."""
        self._note(self.unfinished)
        return self.unfinished

    def _note(self, piece: bytes) -> None:
        if len(self.head) < HEAD:
            self.head = (self.head + piece[:HEAD])[:HEAD]
        self.tail = (self.tail + piece[-TAIL:])[-TAIL:]
        self.offset += len(piece)

    def blocks(self) -> t.Iterator[bytes]:
        """All that follows, as whole lines; a last one without its end stays in ``unfinished``."""
        rest = kept = b""  # the beginning of a line; what is kept of one that is too long
        read = 0
        while read < self._limit:
            piece = self._read(min(CHUNK, self._limit - read))
            if not piece:
                break
            read += len(piece)
            if kept:
                cut = piece.find(b"\n") + 1
                self._note(piece[:cut] or piece)
                if not cut:
                    continue
                yield kept + b"\n"
                kept, piece = b"", piece[cut:]
            data = rest + piece if rest else piece
            cut = data.rfind(b"\n") + 1
            if cut:
                self._note(data[:cut])
                yield data[:cut]
                rest = data[cut:]
            elif len(data) < CHUNK:
                rest = data
            else:
                self._note(data)
                self.long_lines += 1
                kept, rest = data[:KEPT], b""
        else:
            self.more = True
        if kept:
            yield kept + b"\n"
        self.unfinished = rest[:KEPT]


def fingerprint(data: bytes) -> str:
    """What stands for some bytes of a log."""
    return hashlib.sha256(data).hexdigest()[:32]
