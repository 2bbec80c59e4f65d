# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pool of threads that works for the one that writes an archive.

Small files are read, hashed and deflated by the pool, some way ahead of the writing thread. A large file is read by that
thread, and the pool deflates its blocks.
"""

from __future__ import annotations

import collections
import concurrent.futures
import os
import typing as t

from ..._core import threads
from . import deflate, file_reader
from .file_reader import Content, Unreadable
from .groups import Group
from .plan import Source
from .previous import Previous

#: Small files are read in batches of so many, or so many bytes; so many batches ahead of the writing thread.
_BATCH_FILES, _BATCH_BYTES, _AHEAD = 32, 1024 * 1024, 16
#: So many blocks of a large file may wait until they are hashed.
_ADDED = 3
#: What the pool found of a file: content, an error, or nothing when it did not look or could not tell.
Ahead = t.Union[Content, Unreadable, None]


class ReadAhead:
    """The pool, with as many threads as there are cores."""

    def __init__(self, previous: Previous, deflater: deflate.Deflater) -> None:
        self._previous = previous
        self._deflater = deflater
        self._cores = os.cpu_count() or 1
        threads.share_memory()
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=self._cores)
        self._adder = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    def close(self) -> None:
        """Drop what has not begun, and wait for the rest."""
        self._adder.shutdown(cancel_futures=True)
        self._pool.shutdown(cancel_futures=True)

    def read(self, sources: list[Source | Group]) -> t.Iterator[tuple[Source | Group, Ahead]]:
        """Every source or group in its order, and what the pool found in the small ones meanwhile."""
        waiting: collections.deque[tuple[list[t.Any], t.Any]] = collections.deque()
        for batch, small in self._batches(sources):
            waiting.append((batch, self._pool.submit(self._prepare, batch) if small else None))
            while len(waiting) > _AHEAD:
                yield from _results(*waiting.popleft())
        while waiting:
            yield from _results(*waiting.popleft())

    def deflated(self, blocks: t.Iterable[bytes]) -> t.Iterator[bytes]:
        """One deflate stream of all blocks, several of which are packed at once."""
        waiting: collections.deque[concurrent.futures.Future[bytes]] = collections.deque()
        before = b""
        for block in blocks:
            waiting.append(self._pool.submit(self._deflater.block, block, before))
            before = block
            if len(waiting) > 2 * self._cores:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()
        yield deflate.END

    def added(self, blocks: t.Iterable[bytes], add: t.Callable[[bytes], None]) -> t.Iterator[bytes]:
        """All blocks, each of which is added to a sum meanwhile, one after another; to all of them when the last was taken."""
        waiting: collections.deque[concurrent.futures.Future[None]] = collections.deque()
        for block in blocks:
            waiting.append(self._adder.submit(add, block))
            yield block
            if len(waiting) > _ADDED:
                waiting.popleft().result()
        for future in waiting:
            future.result()

    def _prepare(self, batch: list[Source]) -> list[Ahead]:
        found: list[Ahead] = []
        with file_reader.Folders() as folders:
            for source in batch:
                try:
                    found.append(file_reader.read_small(folders, source, self._deflater))
                except Unreadable as error:
                    found.append(error)
        return found

    def _batches(self, sources: list[Source | Group]) -> t.Iterator[tuple[list[t.Any], bool]]:
        """Small files that follow one another and are to be read, which is true of them; and everything else one by one."""
        batch: list[t.Any] = []
        size = 0
        for source in sources:
            small = self._is_small(source)
            if batch and (not small or len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES):
                yield batch, True
                batch, size = [], 0
            if small:
                batch.append(source)
                size += t.cast(Source, source).status.st_size
            else:
                yield [source], False
        if batch:
            yield batch, True

    def _is_small(self, source: Source | Group) -> bool:
        return (
            isinstance(source, Source)
            and source.type == "file"
            and not source.further
            and source.status.st_size <= file_reader.SMALL
            and not self._previous.find(source)
        )


def _results(batch: list[t.Any], ahead: concurrent.futures.Future[list[Ahead]] | None) -> t.Iterator[tuple[Source | Group, Ahead]]:
    return zip(batch, ahead.result() if ahead else [None] * len(batch))
