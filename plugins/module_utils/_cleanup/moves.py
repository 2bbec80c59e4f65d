# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Moves files into quarantine and back, and removes them there, with the rights of the service's user (``_core.as_user``).

Every move is one rename between two folders that are open: a kill leaves the file at one of both places, whole, with its owner, mode and
times. Each call holds a lock on the quarantine's folder, and does nothing when the process that asked for it has ended meanwhile. So who
looks there next sees what stays.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import signal
import stat
import typing as t

from .._core import foreign, fs, locks
from .._core.errors import StateError
from . import scan

#: component, path, name in quarantine, size, time of modification (ns), SHA-256 or an empty text.
Place = list[t.Any]
COMPONENT, PATH, NAME, SIZE, MTIME, SHA256 = range(6)
_NOREPLACE = 1
_BUSY = (errno.EAGAIN, errno.EBUSY, errno.ETXTBSY)
#: None with a C library of before 2018.
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


@contextlib.contextmanager
def _opened(path: str, parent: int) -> t.Iterator[int]:
    """The quarantine's folder, locked. :raises StateError: when the process that asked has ended."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)  # another program wants a file that is held by a lease
    with foreign.folder(path) as quarantine:
        locks.take(quarantine)
        if parent not in (os.getppid(), os.getpid()):
            raise StateError("clean-up", "the process that began it", "that it has ended", "Run it again")
        yield quarantine


def away(path: str, parent: int, rows: list[scan.Row], names: list[str]) -> list[list[t.Any]]:
    """Move files of ``scan`` into quarantine; what became of each: ``["moved"]``, or ``[reason]`` why it stays.

    A file that took the place of another in the moment of the move, and whose name is taken again, is ``["swapped", size, mtime]``: it
    is in quarantine.

    :param parent: id of the process that asks.
    """
    session = scan.current()
    touched: set[tuple[str, str]] = set()
    with _opened(path, parent) as quarantine:
        said: list[list[t.Any]] = []
        for row, name in zip(rows, names):
            above, own = os.path.split(row[scan.PATH])
            try:
                with foreign.folder(session.folders[row[scan.COMPONENT]], above) as folder:
                    said.append(_away(session, row, own, folder, name, quarantine))
                    if said[-1][0] == "moved":
                        touched.add((row[scan.COMPONENT], above))
            except OSError as error:
                said.append([reason_of(error)])
        _settle(quarantine, session.folders, touched)
    return said


def _away(session: scan.Session, row: scan.Row, own: str, folder: int, name: str, quarantine: int) -> list[t.Any]:
    descriptor = foreign.plain(own, scan.NOATIME, folder)
    try:
        if not scan.same(row, os.fstat(descriptor)):
            return ["changed"]
        _hold(descriptor)
        reason = session.named_now(row[scan.KIND], row[scan.PATH])
        if reason:
            return [reason]
        rename(own, folder, name, quarantine)
        return _checked(descriptor, own, folder, name, quarantine)
    finally:
        os.close(descriptor)


def _hold(descriptor: int) -> None:
    """Take a lease: no process has the file open, and one that opens it now waits until it is closed here (fcntl(2)).

    :raises BlockingIOError: when a process has it open.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        if error.errno in _BUSY:
            raise


def _checked(descriptor: int, own: str, folder: int, name: str, quarantine: int) -> list[t.Any]:
    """Whether the file that was moved is the one that was looked at; another one goes back."""
    moved, meant = os.stat(name, dir_fd=quarantine, follow_symlinks=False), os.fstat(descriptor)
    if (moved.st_dev, moved.st_ino) == (meant.st_dev, meant.st_ino) and meant.st_nlink == 1:
        return ["moved"]
    try:
        rename(name, quarantine, own, folder)
        return ["changed"]
    except OSError:
        return ["swapped", moved.st_size, moved.st_mtime_ns]


def rename(source: str, source_folder: int, target: str, target_folder: int) -> None:
    """Rename without replacing anything (renameat2(2)). :raises OSError: FileExistsError when the name is taken."""
    if _renameat2:
        if not _renameat2(source_folder, os.fsencode(source), target_folder, os.fsencode(target), _NOREPLACE):
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), source)
    # A file system or C library without it: a second name, and then the first one goes. `present` ends it after a kill.
    os.link(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder, follow_symlinks=False)
    os.unlink(source, dir_fd=source_folder)


def reason_of(error: OSError) -> str:
    """Why a file stays, for an error of the system."""
    if isinstance(error, FileNotFoundError):
        return "gone"
    if isinstance(error, foreign.NotRegularError) or error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "changed"
    if error.errno in _BUSY:
        return "in_use"
    return {errno.EXDEV: "other_filesystem", errno.EEXIST: "taken"}.get(error.errno or 0, "denied")


def present(path: str, parent: int, places: list[Place], folders: dict[str, str], dry: bool) -> list[list[t.Any]]:
    """What is in quarantine of what a record names: ``["there"]``, ``["gone"]``, or ``["other", size, mtime]`` for another file.

    Another file was exchanged for the one that was meant by somebody else, in the moment of a move that was killed: it goes back where it
    was, and only stays when its name is taken again.

    :param dry: change nothing.
    """
    said: list[list[t.Any]] = []
    with _opened(path, parent) as quarantine:
        for place in places:
            try:
                status = os.stat(place[NAME], dir_fd=quarantine, follow_symlinks=False)
                said.append(_present(place, status, quarantine, {} if dry else folders))
            except OSError:
                said.append(["gone"])
    return said


def _present(place: Place, status: os.stat_result, quarantine: int, folders: dict[str, str]) -> list[t.Any]:
    if stat.S_ISREG(status.st_mode) and (status.st_size, status.st_mtime_ns) == (place[SIZE], place[MTIME]) and status.st_nlink == 1:
        return ["there"]
    if not folders:
        return ["gone"]
    above, own = os.path.split(place[PATH])
    with contextlib.suppress(OSError), foreign.folder(folders[place[COMPONENT]], above) as folder:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(own, dir_fd=folder, follow_symlinks=False), status):  # a rename in two steps was killed
                os.unlink(place[NAME], dir_fd=quarantine)
                return ["gone"]
        rename(place[NAME], quarantine, own, folder)
        return ["gone"]
    return ["other", status.st_size, status.st_mtime_ns]


def back(path: str, parent: int, places: list[Place], folders: dict[str, str]) -> list[str]:
    """Move files back where they were; ``restored``, or the reason why one stays in quarantine."""
    said: list[str] = []
    touched: set[tuple[str, str]] = set()
    with _opened(path, parent) as quarantine:
        for place in places:
            above, own = os.path.split(place[PATH])
            try:
                wrong = _wrong(place, quarantine)
                if not wrong:
                    with foreign.folder(folders[place[COMPONENT]], above) as folder:
                        rename(place[NAME], quarantine, own, folder)
                    touched.add((place[COMPONENT], above))
                said.append(wrong or "restored")
            except FileNotFoundError:
                said.append("no_folder")
            except OSError as error:
                said.append(reason_of(error))
        _settle(quarantine, folders, touched)
    return said


def _settle(quarantine: int, folders: dict[str, str], touched: set[tuple[str, str]]) -> None:
    """Make the names in folders durable."""
    os.fsync(quarantine)
    for component, above in touched:
        with contextlib.suppress(OSError), foreign.folder(folders[component], above) as folder:
            os.fsync(folder)


def _wrong(place: Place, quarantine: int) -> str:
    """Why a file in quarantine is not the one that was put there; empty when it is."""
    try:
        descriptor = foreign.plain(place[NAME], scan.NOATIME, quarantine)
    except FileNotFoundError:
        return "gone"
    try:
        status = os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns, status.st_nlink) != (place[SIZE], place[MTIME], 1):
            return "changed"
        digest = hashlib.sha256()
        for block in fs.blocks(descriptor, place[SIZE]):
            digest.update(block)
        return "changed" if place[SHA256] not in ("", digest.hexdigest()) else ""
    finally:
        os.close(descriptor)


def gone(path: str, parent: int, places: list[Place], kinds: list[str], dry: bool) -> list[str]:
    """Remove files in quarantine; ``purged``, or the reason why one stays. What a store names again stays.

    :param dry: remove none.
    """
    said, session = [], scan.current()
    with _opened(path, parent) as quarantine:
        for place, kind in zip(places, kinds):
            try:
                status = os.stat(place[NAME], dir_fd=quarantine, follow_symlinks=False)
                if (status.st_size, status.st_mtime_ns, status.st_nlink) != (place[SIZE], place[MTIME], 1):
                    said.append("changed")
                    continue
                reason = session.named_now(kind, place[PATH])
                if not reason and not dry:
                    os.unlink(place[NAME], dir_fd=quarantine)
                said.append(reason or "purged")
            except OSError as error:
                said.append(reason_of(error))
        os.fsync(quarantine)
    return said
