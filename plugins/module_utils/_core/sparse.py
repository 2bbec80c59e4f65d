# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sparse files: how much of a file is on the disk, and how zeros are written without taking room there."""

from __future__ import annotations

import os
import typing as t

from . import fs
from .kinds import Entry

#: Bytes that are a hole where they are all zeros, at a multiple of this number.
PAGE = 4096
_ZEROS = bytes(PAGE)
#: Bytes of a hole that take one byte at most when they are deflated: at level 1; at others less than a fifth of it.
SHRINKS = 200


def allocated(status: os.stat_result) -> int:
    """Bytes that a file holds on the disk, at most its size."""
    return min(status.st_size, status.st_blocks * 512)


def is_sparse(status: os.stat_result) -> bool:
    """Whether a file has a hole. One of less than a page has none, although file systems keep small files without a block."""
    return status.st_size > PAGE and allocated(status) < status.st_size


def packed_size(status: os.stat_result) -> int:
    """Bytes that a file needs in an archive at most: a hole is always deflated."""
    here = allocated(status) if is_sparse(status) else status.st_size
    return here + (status.st_size - here) // SHRINKS


def needed(entry: Entry) -> int:
    """Bytes that a restored file needs on the disk, by its entry in a manifest."""
    return entry.get("data", entry["size"])


def data_in(content: bytes | memoryview, offset: int) -> int:
    """Bytes of the pages that are not all zeros, in a part of a file that begins at an offset."""
    return sum(len(data) for _skip, data in _runs(memoryview(content), offset))


def write(descriptor: int, content: bytes | memoryview) -> int:
    """Write what comes next in a new file, and leave out pages of zeros. The caller sets the size in the end, for it may end in a hole.

    :returns: how many bytes were written.
    """
    written = 0
    for skip, data in _runs(memoryview(content), os.lseek(descriptor, 0, os.SEEK_CUR)):
        os.lseek(descriptor, skip, os.SEEK_CUR)
        written += len(data)
        fs.write_all(descriptor, data)
    return written


def _runs(rest: memoryview, offset: int) -> t.Iterator[tuple[int, memoryview]]:
    """How many bytes of zeros come, and the data after them; again and again."""
    while rest:
        skip = _run(rest, offset, zeros=True)
        data = rest[skip : skip + _run(rest[skip:], offset + skip, zeros=False)]
        yield skip, data
        rest, offset = rest[skip + len(data) :], offset + skip + len(data)


def _run(content: memoryview, offset: int, zeros: bool) -> int:
    """How many bytes from the beginning are pages of zeros, or are not."""
    begin = 0
    while begin < len(content):
        end = min(len(content), begin + PAGE - (offset + begin) % PAGE)
        if (bytes(content[begin:end]) == _ZEROS[: end - begin]) is not zeros:
            break
        begin = end
    return begin
