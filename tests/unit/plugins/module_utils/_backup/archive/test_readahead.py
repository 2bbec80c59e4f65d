# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pool does for the thread that writes an archive."""

from __future__ import annotations

import contextlib
import time

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup.archive import deflate, readahead
from ansible_collections.mobius.ops.plugins.module_utils._backup.archive.previous import Previous


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_every_block_is_added_in_order_before_the_end(count):
    """However slow that is: a sum that is read too early would be one of less."""
    blocks, added = [bytes([number]) for number in range(count)], []

    def add(block):
        time.sleep(0.01)
        added.append(block)

    with contextlib.closing(readahead.ReadAhead(Previous(), deflate.Deflater(5))) as ahead:
        assert list(ahead.added(blocks, add)) == blocks and added == blocks


def test_what_fails_while_a_block_is_added_ends_the_reading():
    with contextlib.closing(readahead.ReadAhead(Previous(), deflate.Deflater(5))) as ahead, pytest.raises(ZeroDivisionError):
        list(ahead.added([b"a"], lambda block: 1 // (len(block) - 1)))
