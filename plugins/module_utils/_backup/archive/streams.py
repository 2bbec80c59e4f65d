# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes a large file into an archive, block by block, as it is read."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import time
import typing as t

from ..._core import sparse, torn_json
from . import deflate, file_reader
from .file_reader import Content, Unreadable
from .plan import Source
from .readahead import ReadAhead
from .zip_writer import DEFLATED, STORED, Member, ZipWriter

#: Bytes at least, where there are so many, that are the end of a JSON store.
_ENDS = 64


@dataclasses.dataclass(frozen=True)
class Streams:
    """Where blocks go: through a deflater, where that shrinks them, into a zip file.

    :param count: called with the bytes of each block.
    :param member: makes a member of a source, its state, a size and a method.
    """

    zip: ZipWriter
    ahead: ReadAhead
    deflater: deflate.Deflater
    count: t.Callable[[int], None]
    member: t.Callable[[Source, os.stat_result, int, int], Member]

    def read(self, source: Source, tries: int) -> Content:
        """Read a large file, in several tries where it moves. :raises Unreadable: when it cannot be read."""
        for left in range(tries)[::-1]:
            try:
                with file_reader.Folders() as folders, folders.opened(source) as descriptor:
                    before, rested = file_reader.settled(functools.partial(os.fstat, descriptor), source.append_only)
                    member, content, ends = self._write(source, descriptor, before)
                    content.rested = rested
                    file_reader.judge(source, content, descriptor, ends)
            except Unreadable:
                if not left:
                    raise
                time.sleep(file_reader.PAUSE)
                continue
            if not content.reason or not left:
                self.zip.keep(member)
                break
            self.zip.discard(member)
            time.sleep(file_reader.PAUSE)
        return content

    def stored(self, source: Source, descriptor: int) -> Content:
        """Write an open file that nothing changes as a source's content."""
        member, content, _ends = self._write(source, descriptor, os.fstat(descriptor))
        self.zip.keep(member)
        return content

    def _write(self, source: Source, descriptor: int, status: os.stat_result) -> tuple[Member, Content, tuple[bytes, bytes]]:
        """Write a member block by block; it is neither kept nor discarded yet.

        :returns: with it the ends of a JSON store: its beginning, which is all of it up to ``PARSED`` bytes, and its last block.
        """
        holey = sparse.is_sparse(status)
        deflates = holey or (
            file_reader.compressible(source) and self.deflater.shrinks(lambda at, size: os.pread(descriptor, size, at), status.st_size)
        )
        member = self.member(source, status, status.st_size, DEFLATED if deflates else STORED)
        self.zip.begin(member)
        digest, packed_digest = hashlib.sha256(), hashlib.sha256()
        store, head, tail, data_bytes = file_reader.is_json_store(source), bytearray(), b"", 0

        def add(block: bytes) -> None:
            nonlocal data_bytes
            digest.update(block)
            data_bytes += sparse.data_in(block, member.size) if holey else 0
            member.crc, member.size = deflate.crc32(block, member.crc), member.size + len(block)

        def content() -> t.Iterator[bytes]:
            nonlocal tail
            for block in self.ahead.added(file_reader.blocks(descriptor, status.st_size), add):
                if store:
                    head.extend(block if len(head) < torn_json.PARSED else b"")
                    tail = tail[-_ENDS:] + block
                self.count(len(block))
                yield block

        try:
            for data in self.ahead.deflated(content()) if deflates else content():
                if deflates:
                    packed_digest.update(data)
                self.zip.extend(member, data)
        except Unreadable:
            self.zip.discard(member)
            raise
        sha256 = digest.hexdigest()
        packed = packed_digest.hexdigest() if deflates else sha256
        return (
            member,
            Content(status, member.size, sha256, member.crc, member.method, packed, data=data_bytes if holey else None),
            (bytes(head), tail),
        )
