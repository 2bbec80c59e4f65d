# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files with holes: what is written, and what it tells of a file."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import sparse

CONTENT = b"".join([b"\0" * 5000, b"x", b"\0" * 20_000, b"yy" * 3000, b"\0" * 9000])
#: The pages of it that are not all zeros: the second, and those of the letters y.
DATA = 3 * sparse.PAGE


@pytest.mark.parametrize("sizes", [(1,), (4095, 1, 4097), (10_000, 3, 8192), (100_000,)])
def test_pieces_of_any_size_make_the_same_file(tmp_path, sizes):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        begin, turn, written = 0, 0, 0
        while begin < len(CONTENT):
            size = sizes[turn % len(sizes)]
            written += sparse.write(descriptor, memoryview(CONTENT)[begin : begin + size])
            begin, turn = begin + size, turn + 1
        os.ftruncate(descriptor, len(CONTENT))
        assert os.pread(descriptor, len(CONTENT) + 1, 0) == CONTENT
        assert written <= DATA == sparse.data_in(CONTENT, 0)
    finally:
        os.close(descriptor)


def test_data_in_parts_of_a_file_is_that_of_the_whole():
    size = 3 * sparse.PAGE
    parts = [sparse.data_in(CONTENT[begin : begin + size], begin) for begin in range(0, len(CONTENT), size)]
    assert sum(parts) == DATA and sparse.data_in(b"", 0) == sparse.data_in(bytes(10), 0) == 0


def test_what_is_sparse(tmp_path):
    """A small file that a file system keeps without a block has no hole."""
    whole, holey, small = tmp_path / "whole", tmp_path / "holey", tmp_path / "small"
    whole.write_bytes(b"x" * 10_000)
    small.write_bytes(b"x")
    holey.touch()
    os.truncate(holey, 10**9)
    if holey.stat().st_blocks:
        pytest.skip("the file system of the test has no holes")
    assert [sparse.is_sparse(path.stat()) for path in (whole, holey, small)] == [False, True, False]
    assert sparse.packed_size(whole.stat()) == 10_000 and sparse.packed_size(holey.stat()) == 10**9 // sparse.SHRINKS
