# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The body of an answer, read in bounded time and memory, whatever is sent."""

from __future__ import annotations

import codecs
import typing as t
import zlib

from .faults import Fault

#: Bytes of a body that are kept and judged.
BODY_LIMIT = 256 * 1024
#: Bytes, sent or unpacked, after which an answer is no answer to a check any more.
ANSWER_LIMIT = 8 * 1024 * 1024
CHUNK = 16 * 1024
#: Encodings that a body is judged in; others are slow to decode, or no encodings of text.
CHARSETS = ("utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-16-le", "utf-16-be")


class Body(t.NamedTuple):
    """The beginning of a body, whether that is all of it, and the charset that the answer told."""

    data: bytes
    whole: bool
    charset: str

    def text(self, strict: bool = False) -> str:
        """As text. A charset that was told is held to; without one it is UTF-8, wrong bytes replaced unless *strict*.

        :raises Fault: when it is not in its charset.
        """
        name = self.charset or "utf-8"
        try:
            known = codecs.lookup(name).name
        except (LookupError, ValueError):
            known = ""
        if known not in CHARSETS:
            raise Fault("body", f"the charset '{name[:40]}' of the body is not known")
        decoder = codecs.getincrementaldecoder(known)("strict" if strict or self.charset else "replace")
        try:
            return decoder.decode(self.data, final=self.whole)
        except UnicodeError as error:
            raise Fault("body", f"the body is not {known}, its charset") from error


class _Unpacked:
    """Unpacks a content encoding in small pieces; what is packed may be a thousand times larger."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.zlib: t.Any = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding in ("gzip", "x-gzip") else None
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Fault("body", f"the body has the content encoding '{encoding[:40]}', which was not asked for")

    def pieces(self, data: bytes) -> t.Iterator[bytes]:
        """What some bytes unpack to."""
        if self.encoding in ("", "identity"):
            yield data
            return
        if not self.zlib:  # with zlib's header, as the standard says, or without
            self.zlib = zlib.decompressobj(zlib.MAX_WBITS if data[0] & 15 == 8 else -zlib.MAX_WBITS)
        try:
            while data and not self.zlib.eof:
                yield self.zlib.decompress(data, CHUNK)
                data = self.zlib.unconsumed_tail
        except zlib.error as error:
            raise Fault("body", f"the body is not {self.encoding}, its content encoding: {error}") from error

    def rest(self) -> bytes:
        """What was held back. :raises Fault: when the packed body is cut."""
        left = self.zlib.flush() if self.zlib else b""
        if self.zlib and not self.zlib.eof:
            raise Fault("body", f"the body ends before its {self.encoding} does")
        return left


def read(answer: t.Any, guard: t.Any, limit: float = ANSWER_LIMIT, sink: t.Callable[[bytes], t.Any] | None = None) -> Body:
    """The body's beginning; all of it is taken from the connection.

    :param answer: a response of requests, whose body was not read yet.
    :param guard: the time for it (``_observe.http.connection.Guard``).
    :param limit: bytes after which it is too large.
    :param sink: takes all of it, unpacked, piece by piece.
    :raises Fault: when it is too large, or not packed as it says.
    :raises TimeoutError: when it does not come in time, byte by byte or at all.
    """
    unpacked = _Unpacked(answer.headers.get("Content-Encoding", "").strip().lower())
    body, sent, size = bytearray(), 0, 0
    while True:
        data = answer.raw.read(CHUNK, decode_content=False)
        if guard.over():
            raise TimeoutError("the body did not come in time")
        sent += len(data)
        for piece in unpacked.pieces(data) if data else [unpacked.rest()] if sent else []:
            size += len(piece)
            if sink:
                sink(piece)
            body += piece[: BODY_LIMIT - len(body)]
            if max(size, sent) > limit:
                raise Fault("too_large", f"the body is larger than {limit / 1024**2:.0f} MB")
        if not data:
            break
    if getattr(answer.raw, "length_remaining", None):
        raise Fault("closed", "the connection was closed before the answer was whole")
    return Body(bytes(body), size <= BODY_LIMIT, _charset(answer.headers.get("Content-Type", "")))


def _charset(content_type: str) -> str:
    """The charset that a Content-Type tells, or nothing."""
    for part in content_type.split(";")[1:]:
        name, _equals, value = part.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower()
    return ""
