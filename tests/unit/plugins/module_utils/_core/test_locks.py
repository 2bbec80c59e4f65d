# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Locks that end with their holder."""

from __future__ import annotations

import fcntl

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import locks


def test_a_lock_that_another_has_is_waited_for_so_long(tmp_path):
    path = str(tmp_path / "lock")
    with locks.locked(path), pytest.raises(BlockingIOError), locks.locked(path, 0.05):
        pass
    with locks.locked(path, 0.05) as descriptor:
        assert descriptor > 2


def test_a_lock_is_taken_at_once_or_not_at_all(tmp_path):
    with open(tmp_path / "lock", "w") as first, open(tmp_path / "lock") as second, open(tmp_path / "lock") as third:
        assert locks.taken(first.fileno(), fcntl.LOCK_SH) and locks.taken(second, fcntl.LOCK_SH) and not locks.taken(third)
    with open(tmp_path / "lock") as first, open(tmp_path / "lock") as second:
        assert locks.taken(first) and not locks.taken(second, fcntl.LOCK_SH)
