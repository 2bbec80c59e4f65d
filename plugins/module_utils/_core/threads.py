# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work that several threads do at once: hashing, inflating and writing release the interpreter's lock."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import functools
import os
import sys
import typing as t

from .kinds import Entry

#: Seconds after which a thread that computes lets another one have a turn.
_TURN = 0.0005
#: glibc's number for the most memory pools (malloc.h), and how many.
_ARENA_MAX, _ARENAS = -8, 2
#: What one thread takes at a time of many files: so many, or so many bytes.
_BATCH, _BATCH_BYTES = 64, 4 * 1024 * 1024

T = t.TypeVar("T")
R = t.TypeVar("R")


def in_threads(work: t.Callable[[T], R], items: t.Sequence[T]) -> list[R]:
    """``work`` of every item, several at once (hashing and inflating release the interpreter's lock), in order.

    The first error is raised; work that has not begun by then is dropped.
    """
    share_memory()
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1))
    try:
        with brisk():
            return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)


def begin(work: t.Callable[[], R]) -> concurrent.futures.Future[R]:
    """Have *work* done in a thread meanwhile; its result is the future's."""
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)


@functools.cache
def share_memory() -> None:
    """Let threads share memory: glibc gives each a pool of its own, and what one has freed is of no use to the others."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


@contextlib.contextmanager
def brisk() -> t.Iterator[None]:
    """Let threads take turns often: one that computes would keep one that waits for it 5 ms after each short read."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def batches(entries: t.Iterable[Entry]) -> t.Iterator[list[Entry]]:
    """Files, as a manifest has them, in their order and so many together that a thread is worth its while.

    :param entries: each has its ``size`` in bytes.
    """
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry["size"]
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
