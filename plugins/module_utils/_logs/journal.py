# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of systemd as lines of text: what a unit printed, each line with its time before it."""

from __future__ import annotations

import os
import signal
import typing as t

from .._core import clock, commands, processes

PROGRAM = "journalctl"
#: Bytes that are read at a time, and of an entry at most; a longer one is left out.
CHUNK, ENTRY = 1024 * 1024, 4 * 1024 * 1024
#: Seconds that the program has to end after its last output.
TIMEOUT = 10
_OWN_TIME = (b'{"', b"[20", b"20")


class Journal:
    """The lines of a unit.

    :param unit: such as ``mobius.service``, or a pattern of several.
    :param cursor: where an earlier reading ended; everything from *moment* on when it is empty.
    :param moment: seconds since 1970.
    :param limit: bytes to read at most.
    """

    def __init__(self, unit: str, cursor: str, moment: float, limit: int) -> None:
        self.unit, self.cursor, self.moment, self.limit = unit, cursor, moment, limit
        #: Why the journal could not be read; empty when it could.
        self.trouble = ""
        self.entries = self.left_out = self.read = 0

    def command(self) -> list[str]:
        """The program and its arguments."""
        begin = [f"--after-cursor={self.cursor}"] if self.cursor else [f"--since=@{int(self.moment)}"] if self.moment else []
        return [PROGRAM, f"--unit={self.unit}", *begin, "--output=export", "--output-fields=MESSAGE", "--no-pager", "--quiet"]

    def blocks(self) -> t.Iterator[bytes]:
        """Lines of text, the oldest first."""
        source, sink = os.pipe()
        with os.fdopen(source, "rb", buffering=0) as stream:
            try:
                with os.fdopen(sink, "wb", buffering=0) as output:
                    process = commands.start(self.command(), "/", {**os.environ, "LC_ALL": "C"}, output)
            except OSError as error:
                self.trouble = f"{PROGRAM}: {error.strerror}"
                return
            try:
                yield from self.lines(iter(lambda: stream.read(CHUNK), b""))
            finally:
                if self.read >= self.limit:
                    process.send_signal(signal.SIGTERM)
                status = process.wait(TIMEOUT)
        if status and self.read < self.limit:
            self.trouble = self.trouble or f"{PROGRAM} ended with {processes.exit_text(status)}"

    def lines(self, pieces: t.Iterable[bytes]) -> t.Iterator[bytes]:
        """The lines of what the program printed, in the form of its export."""
        rest = b""
        for piece in pieces:
            self.read += len(piece)
            found, rest = self._entries(rest + piece)
            if found:
                yield b"".join(found)
            if len(rest) > ENTRY:
                self.left_out += 1
                rest = b"\n" + rest[-1:]
            if self.read >= self.limit:
                return
        if rest.strip() and b"=" not in rest:
            self.trouble = rest.decode("utf-8", "replace").strip().splitlines()[-1]

    def _entries(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The lines of whole entries, and the rest."""
        found: list[bytes] = []
        begun = at = 0
        fields: dict[bytes, bytes] = {}
        while True:
            end = data.find(b"\n", at)
            if end < 0:
                return found, data[begun:]
            name, equals, value = data[at:end].partition(b"=")
            if not name:
                found += self._line(fields)
                fields, begun = {}, end + 1
            elif not equals and name == b"MESSAGE":  # a text with line ends or control characters: its size comes first
                size = int.from_bytes(data[end + 1 : end + 9], "little")
                if len(data) < end + 10 + size:
                    return found, data[begun:]
                value, end = data[end + 9 : end + 9 + size], end + 9 + size
            fields[name] = value
            at = end + 1

    def _line(self, fields: dict[bytes, bytes]) -> list[bytes]:
        """An entry as a line with its time, unless what was printed begins with one."""
        self.cursor = fields.get(b"__CURSOR", b"").decode("ascii", "replace") or self.cursor
        message = fields.get(b"MESSAGE")
        if message is None:
            return []
        self.entries += 1
        text = b" | ".join(message.splitlines())
        when = fields.get(b"__REALTIME_TIMESTAMP", b"")
        if when.isdigit() and len(when) < 18 and not text.startswith(_OWN_TIME):
            text = clock.from_epoch(int(when) / 1_000_000).encode() + b" " + text
        return [text + b"\n"]
