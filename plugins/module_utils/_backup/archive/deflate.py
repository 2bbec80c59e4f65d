# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deflates blocks, each on its own, so that all cores can work on one file; by ISA-L where Python has it."""

from __future__ import annotations

import typing as t
import zlib

try:
    from isal import isal_zlib
except ImportError:
    isal_zlib = None  # type: ignore[assignment]

#: Bytes that are deflated at once.
BLOCK = 1024 * 1024
#: How far back a deflate stream may refer (RFC 1951, section 2).
WINDOW = 32 * 1024
#: A stream that was flushed after each block ends with an empty, final block.
END = b"\x03\x00"
#: ISA-L is taken up to this level: what is asked for above is size, and zlib gives that.
_ISAL_UP_TO = 6
#: Its level 3 takes twice the time for a tenth of a percent.
_ISAL_LEVEL = 2
#: Content that shrinks by less than this is stored: it is read back faster.
_WORTH = 0.98
#: What is tried of large content: so many pieces of so many bytes.
_PIECES, _PIECE = 4, 8 * 1024


class Deflater:
    """How to deflate.

    :param level: 1, the fastest, to 9, the smallest; 0 stores everything.
    :param isal: whether ISA-L may be used; it is where it is installed.
    """

    def __init__(self, level: int, isal: bool = True) -> None:
        self.level = level
        self._isal = isal and isal_zlib is not None and 0 < level <= _ISAL_UP_TO

    @property
    def library(self) -> str:
        """The library that does the work: ``zlib`` or ``isal``."""
        return "isal" if self._isal else "zlib"

    def whole(self, content: bytes, certain: bool = False) -> bytes | None:
        """A complete stream of *content*, or ``None`` when that is hardly smaller.

        :param certain: its beginning does not tell whether it is.
        """
        if not self.level or (
            not certain and len(content) > 4 * _PIECES * _PIECE and not self.shrinks(lambda at, size: content[at : at + size], len(content))
        ):
            return None
        packer = self._packer(b"")
        packed = packer.compress(content) + packer.flush()
        return packed if len(packed) < _WORTH * len(content) else None

    def block(self, content: bytes, before: bytes) -> bytes:
        """A part of a stream. It ends at a byte, so that parts can be joined; :data:`END` comes after the last.

        :param before: the content before it, of which the last 32 KiB may be referred to.
        """
        packer = self._packer(before[-WINDOW:])
        return packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)

    def shrinks(self, read: t.Callable[[int, int], bytes], size: int) -> bool:
        """Whether deflating pays, by a quick try on a few pieces of the content, none of them its head.

        :param read: gives so many bytes from an offset.
        :param size: of the whole content.
        """
        sample = b"".join(read(size * (2 * number + 1) // (2 * _PIECES), _PIECE) for number in range(_PIECES)) if self.level else b""
        return bool(sample) and len((isal_zlib if self._isal else zlib).compress(sample, 1)) < _WORTH * len(sample)

    def _packer(self, dictionary: bytes) -> t.Any:
        if self._isal and dictionary:
            return isal_zlib.compressobj(level=_ISAL_LEVEL, method=zlib.DEFLATED, wbits=-15, zdict=dictionary)
        if self._isal:
            return isal_zlib.compressobj(level=_ISAL_LEVEL, method=zlib.DEFLATED, wbits=-15)
        if dictionary:
            return zlib.compressobj(self.level, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, dictionary)
        return zlib.compressobj(self.level, zlib.DEFLATED, -15)


def crc32(content: bytes | memoryview, before: int = 0) -> int:
    """The CRC-32 that zip files use."""
    return (isal_zlib or zlib).crc32(content, before)
