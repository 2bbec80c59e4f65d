# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Locks on files (flock(2)): the kernel releases one when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import time
import typing as t

from . import foreign


def take(file: int | t.IO[t.Any]) -> None:
    """Lock an open file or folder, as soon as nobody else has it. The lock lasts until it is closed, also by those that inherited it."""
    fcntl.flock(file, fcntl.LOCK_EX)


def taken(file: int | t.IO[t.Any], kind: int = fcntl.LOCK_EX) -> bool:
    """Whether the lock of an open file or folder could be had at once; then it is held as by :func:`take`.

    :param kind: ``fcntl.LOCK_SH`` for one that several may have at the same time.
    """
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(path: str, patience: float | None = None, pause: float = 0.02) -> t.Iterator[int]:
    """While the block runs no other process is in a block of the same lock file; another one waits.

    The block gets the descriptor. A program that inherits it holds the lock too, until it ends.

    :param patience: seconds to wait; as long as it takes by default.
    :param pause: seconds between two tries.
    :raises BlockingIOError: when another process still has it then.
    """
    deadline = math.inf if patience is None else time.monotonic() + patience
    with open(path, "a", encoding="ascii", opener=foreign.regular) as lock:
        while not taken(lock):
            if time.monotonic() > deadline:
                raise BlockingIOError(f"{path} is locked")
            time.sleep(pause)
        yield lock.fileno()


def is_locked(path: str) -> bool:
    """Whether a process is in a block of :func:`locked` at this moment. Nothing is written for it, and there may be no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not taken(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
