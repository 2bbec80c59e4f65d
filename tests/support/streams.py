# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clients of the sample application's streams: server-sent events and a WebSocket."""

from __future__ import annotations

import re
import socket

from support.waiting import HANG

KINDS = ("events", "websocket")
_ASKED = {
    "events": "GET /api/events HTTP/1.1\r\nAccept: text/event-stream\r\n",
    "websocket": "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
}
#: The first event, in a chunk of its own, and the first message.
_FIRST = {"events": re.compile(rb"data: ([\w.-]+)\n\n"), "websocket": re.compile(rb"\r\n\r\n\x81.([\w.-]+)\Z", re.DOTALL)}


class Stream:
    """A stream that is open; :attr:`release` is what the instance that serves it says of itself."""

    def __init__(self, port: int, kind: str, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), HANG)
        self._socket.sendall(f"{_ASKED[kind]}Host: 127.0.0.1:{port}\r\nX-Mobius-API-Key: {key}\r\n\r\n".encode())
        told, first = b"", None
        while not first:
            told += self._read() or self._fail(f"the stream ended at its beginning: {told[:200]!r}")
            first = _FIRST[kind].search(told)
        self.release = first[1].decode()

    @staticmethod
    def _fail(why: str) -> bytes:
        raise AssertionError(why)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionResetError:
            return b""

    def wait_for_end(self) -> None:
        """Until it is closed from the other side. :raises TimeoutError: when it is not."""
        while self._read():
            pass
        self._socket.close()

    def is_open(self) -> bool:
        """Whether nobody has closed it so far."""
        self._socket.setblocking(False)
        try:
            return bool(self._socket.recv(1))
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self._socket.settimeout(HANG)
