"""Jobs in several processes."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._logs import workers


@pytest.mark.parametrize("copies", [1, 2, 3, 9])
def test_each_job_is_done_once(copies):
    found = list(workers.each(lambda job: (job * 2, os.getpid()), list(range(7)), copies))
    assert sorted(number for number, _pid in found) == [0, 2, 4, 6, 8, 10, 12] and len({pid for _number, pid in found}) == min(copies, 7)


def test_results_that_fill_a_pipe_arrive():
    assert [len(found) for found in workers.each(lambda job: b"x" * 500_000, [1, 2, 3, 4], 4)] == [500_000] * 4


def test_a_process_that_is_killed_is_told():
    me = os.getpid()
    with pytest.raises(StateError, match="a process that reads logs: expected its results, found SIGKILL"):
        list(workers.each(lambda job: os.getpid() == me or os.kill(os.getpid(), 9), [1, 2], 2))
