# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes between a probe of a smoke suite and its HTTP session: forms to send, bodies to keep, and a picture to upload."""
from __future__ import annotations

import hashlib
import json
import struct
import typing as t
import zlib

from ansible_collections.mobius.ops.plugins.module_utils import _probe


class Exchange:
    """Stands between a probe and its HTTP session: sends a form, and keeps the body that the probe judges.

    :param content: the body to send instead of the check's.
    :param sink: gets the whole body when there is one, however long.
    """

    def __init__(self, http: t.Any, content: bytes | None = None, sink: t.Any = None) -> None:
        self.http, self.content, self.sink = http, content, sink
        self.body = b""

    def request(self, method: str, url: str, **options: t.Any) -> t.Any:
        """As of a session."""
        if self.content is not None:
            options["data"] = self.content
        answer = self.http.request(method, url, **options)
        chunks = answer.iter_content

        def kept(size: int) -> t.Iterator[bytes]:
            for chunk in chunks(size):
                if self.sink:
                    self.sink.write(chunk)
                    chunk = chunk[:max(0, _probe.BODY_LIMIT - 1 - len(self.body))]
                self.body += chunk
                yield chunk

        answer.iter_content = kept
        return answer

    def document(self) -> t.Any:
        """The body as JSON; ``None`` when it is none."""
        try:
            return json.loads(self.body.decode("utf-8", "replace"))
        except ValueError:
            return None


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
