# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes between a probe of a smoke suite and its HTTP session: forms to send, bodies to keep, and a picture to upload."""

from __future__ import annotations

import hashlib
import math
import struct
import typing as t
import zlib

from .._core import documents
from .._target.record_types import Check
from . import probe
from .http import body as http_body
from .http import connection as http_connection


class Exchange(http_connection.Client):
    """Stands between a probe and its client: sends a form, and keeps the body that the probe judges.

    :param client: what sends; it is used and not closed.
    :param content: the body to send instead of the check's.
    :param whole: gets the whole body when there is one, however long.
    """

    def __init__(self, client: http_connection.Client, content: bytes | None = None, whole: t.Any = None) -> None:
        super().__init__(client.workers)
        self.client, self.content, self.whole = client, content, whole
        self.limit = math.inf if whole else client.limit
        self.body = b""
        self.sink = self._take

    def guard(self, seconds: float) -> t.Any:
        """As of the client."""
        return self.client.guard(seconds)

    def send(self, check: Check, method: str, url: str, headers: dict[str, str], body: bytes) -> t.Any:
        """As of the client, with what is to be sent."""
        return self.client.send(check, method, url, headers, body if self.content is None else self.content)

    def _take(self, piece: bytes) -> None:
        if self.whole:
            self.whole.write(piece)
        self.body += piece[: max(0, http_body.BODY_LIMIT - len(self.body))]

    def text(self, check: Check) -> str:
        """The beginning of the body, for people."""
        return probe.quoted(self.body.decode("utf-8", "replace"), check["secrets"])

    def document(self) -> t.Any:
        """The body as JSON; ``None`` when it is none."""
        return documents.answer(self.body.decode("utf-8", "replace"))


class Digest:
    """A sink that knows the SHA-256 of what it got."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take more."""
        self.sha.update(chunk)
        self.size += len(chunk)


class Limited:
    """A sink that writes into a file, up to a limit."""

    def __init__(self, stream: t.BinaryIO, limit: int) -> None:
        self.stream, self.limit, self.size = stream, limit, 0

    def write(self, chunk: bytes) -> None:
        """Take more. :raises ValueError: over the limit."""
        self.size += len(chunk)
        if self.size > self.limit:
            raise ValueError(f"more than {self.limit} bytes")
        self.stream.write(chunk)


def png(side: int = 64) -> bytes:
    """A small picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(part for column in range(side) for part in (4 * column % 256, 4 * row % 256, 128)) for row in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
