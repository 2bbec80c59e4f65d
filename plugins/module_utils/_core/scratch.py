# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Temporary folders that the next run removes when a kill left them behind.

A folder is in use as long as a process holds a lock on it: the one that made it, or a program that it started there. The kernel releases
the lock when the last of them ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import typing as t

from . import interrupt, locks, walk

#: What the names of these folders begin with. Earlier versions had other names, and no lock that would tell that one is in use.
PREFIXES = ("mobius-ops-build-", "mobius-ops-deps-", ".mobius-ops-work-")
#: The end of the name of a file that ``_core.fs.atomic_file`` has not finished.
_UNFINISHED = ".tmp"


class Scratch(t.NamedTuple):
    """A temporary folder, and the descriptor that holds its lock; programs that inherit it keep the folder in use."""

    path: str
    lock: int


@contextlib.contextmanager
def scratch(prefix: str, parent: str | None = None) -> t.Iterator[Scratch]:
    """A temporary folder that exists while the block runs.

    :param prefix: one of ``PREFIXES``.
    :param parent: the folder to make it in; the one for temporary files by default.
    """
    made: list[tuple[str, int]] = []
    try:
        with interrupt.undivided():
            made.append(_create(prefix, parent))
        yield Scratch(*made[0])
    finally:
        for path, lock in made:
            walk.remove(path)
            os.close(lock)


def _create(prefix: str, parent: str | None) -> tuple[str, int]:
    while True:
        path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another run swept it at once
            continue
        locks.take(lock)
        if os.fstat(lock).st_nlink and os.path.isdir(path):
            return path, lock
        os.close(lock)  # another run swept it before it was locked


def sweep(parent: str | None = None) -> list[str]:
    """Remove the temporary folders of this user that nothing uses any more; their paths."""
    parent = parent or tempfile.gettempdir()
    return [
        path
        for name in sorted(os.listdir(parent))
        if name.startswith(PREFIXES)
        for path in [os.path.join(parent, name)]
        if _is_own(path) and _remove_unused(path)
    ]


def _is_own(path: str) -> bool:
    with contextlib.suppress(OSError):
        status = os.lstat(path)
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return False


def _remove_unused(path: str) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        free = locks.taken(lock)
        if free:
            walk.remove(path)
        return free
    finally:
        os.close(lock)


def sweep_store(store: str) -> list[str]:
    """Remove what killed runs left in a store of artifacts: unfinished archives and installations; their paths.

    Both are made under the lock file of what they become, so one whose lock is held is still in use.
    """
    found = []
    for folder in (store, os.path.join(store, "deps")):
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            lock, path = _lock_name(name), os.path.join(folder, name)
            if lock and _remove_when_free(path, os.path.join(folder, lock)):
                found.append(path)
    return found


def _lock_name(name: str) -> str:
    """The lock file of an unfinished archive (``.NAME.tar.gz.RANDOM.tmp``) or installation (``.installing-KEY``); empty for other names."""
    if name.startswith(".installing-"):
        return f".{name[len('.installing-') :]}.lock"
    before, archive, _random = name.rpartition(".tar.gz.")
    return f"{before}.lock" if archive and name.startswith(".") and name.endswith(_UNFINISHED) else ""


def _remove_when_free(path: str, lock_file: str) -> bool:
    with contextlib.suppress(OSError), open(lock_file, "a", encoding="ascii") as lock:
        if not locks.taken(lock):
            return False
        if os.path.isdir(path) and not os.path.islink(path):
            walk.remove(path)
        else:
            os.unlink(path)
        return True
    return False
