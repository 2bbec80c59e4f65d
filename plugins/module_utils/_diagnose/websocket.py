# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A WebSocket client (RFC 6455) for text messages to a program on this host; nothing that it says is trusted or unbounded."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import socket
import struct
import time

#: Bytes of a message, and of the answer to the handshake, at most.
MOST, _HEAD = 8 * 1024**2, 8192
#: Seconds for the other side to agree to the end.
_GOODBYE = 4.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LENGTH = re.compile(rb"^Content-Length: *(\d{1,9})\r?$", re.MULTILINE | re.IGNORECASE)
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Broken(Exception):
    """The other side said something else than WebSocket messages, or too much, or nothing in time, or went away."""


class Line:
    """A connection to a port of this host. :raises Broken: when there is none.

    :param timeout: seconds for connecting and for all that is read until :meth:`receive` gives other ones.
    """

    def __init__(self, port: int, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self._held = b""
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        except OSError as error:
            raise Broken(f"no connection to port {port}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the connection at once."""
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """Send a request of HTTP; the head of the answer. What follows it is held."""
        self._write(request)
        while b"\r\n\r\n" not in self._held:
            if len(self._held) > _HEAD:
                raise Broken("the head of its answer does not end")
            self._read_some()
        head, _end, self._held = self._held.partition(b"\r\n\r\n")
        return head

    def body(self, head: bytes) -> bytes:
        """What comes after the head of an answer."""
        match = _LENGTH.search(head)
        if not match or int(match.group(1)) > MOST:
            raise Broken("it does not tell how long its answer is, or it is too long")
        return self._exactly(int(match.group(1)))

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._read_some()
        found, self._held = self._held[:size], self._held[size:]
        return found

    def _read_some(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Broken("it does not answer in time")
        self._socket.settimeout(left)
        try:
            some = self._socket.recv(65536)
        except socket.timeout as error:
            raise Broken("it does not answer in time") from error
        except OSError as error:
            raise Broken(f"the connection ended: {error.strerror}") from error
        if not some:
            raise Broken("it ended the connection")
        self._held += some

    def _write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Broken(f"the connection ended: {error.strerror or error}") from error


class WebSocket(Line):
    """A WebSocket. :raises Broken: when the other side does not speak it.

    :param path: of the address, such as ``/5f1d…``.
    """

    def __init__(self, port: int, path: str, timeout: float) -> None:
        super().__init__(port, timeout)
        try:
            self._shake_hands(port, path)
        except BaseException:
            super().close()
            raise

    def _shake_hands(self, port: int, path: str) -> None:
        key = base64.b64encode(os.urandom(16))
        head = self.ask(
            b"GET " + path.encode("ascii") + b" HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (port, key)
        )
        wanted = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        if not head.startswith(b"HTTP/1.1 101") or wanted not in head:
            raise Broken("it does not speak WebSocket")

    def close(self) -> None:
        """End it as RFC 6455 asks (section 7.1.1): both sides say so, then the server closes the connection. Never raises.

        Node can crash when a connection of its inspector ends otherwise while it still sends (v20.20: SIGSEGV in 24 of 416).
        """
        try:
            with contextlib.suppress(Broken):
                self.send("", _CLOSE)
                self._deadline = time.monotonic() + _GOODBYE
                while True:  # until the other side ends the connection; it may be in the midst of a message
                    self._held = b""
                    self._read_some()
        finally:
            super().close()

    def send(self, text: str, opcode: int = _TEXT) -> None:
        """Send one message, masked as clients must."""
        data, mask = text.encode("utf-8"), os.urandom(4)
        size = len(data)
        length = (
            bytes([0x80 | size])
            if size < 126
            else b"\xfe" + struct.pack(">H", size)
            if size < 1 << 16
            else b"\xff" + struct.pack(">Q", size)
        )
        self._write(bytes([0x80 | opcode]) + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def receive(self, timeout: float) -> str:
        """The next text message. :raises Broken: when none comes within so many seconds."""
        self._deadline = time.monotonic() + timeout
        message = b""
        while True:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
            if second & 0x80 or size + len(message) > MOST:
                raise Broken(f"it sends a message of more than {MOST} bytes, or a masked one")
            data, opcode = self._exactly(size), first & 0x0F
            if opcode == _CLOSE:
                raise Broken("it ended the connection")
            if opcode == _PING:
                self.send(data.decode("latin-1"), _PONG)
            elif opcode != _PONG:
                message += data
                if first & 0x80:
                    return message.decode("utf-8", "replace")
