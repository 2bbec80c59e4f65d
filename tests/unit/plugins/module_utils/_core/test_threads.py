"""Work for several threads."""
from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import threads


@pytest.mark.parametrize("sizes, lengths", [
    ([], []), ([1], [1]), ([0] * 64, [64]), ([0] * 65, [64, 1]), ([4 * 1024 * 1024, 1, 1], [1, 2]), ([2 * 1024 * 1024] * 3, [2, 1]),
])
def test_batches_are_of_so_many_files_or_bytes_and_nothing_is_left_out(sizes, lengths):
    entries = [{"path": str(number), "size": size} for number, size in enumerate(sizes)]
    found = list(threads.batches(entries))
    assert [len(batch) for batch in found] == lengths and [entry for batch in found for entry in batch] == entries


def test_results_come_in_order_and_the_first_error_ends_it():
    assert threads.in_threads(lambda number: number * 2, range(50)) == list(range(0, 100, 2))
    with pytest.raises(ZeroDivisionError):
        threads.in_threads(lambda number: 1 // number, [1, 0, 1])
    assert threads.begin(lambda: 7).result() == 7
