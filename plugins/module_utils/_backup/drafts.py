# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An archive that has not got its name yet: hidden and locked while it is written, durable before it is published."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
import typing as t

from .._core import checksums, clock, fs, immutable, locks
from .._core.errors import StateError
from . import catalog
from . import signature as backup_signature

#: What a writer keeps beside its archive; "partial" is created first, held locked, and goes last.
_NAMES = re.compile(r"\.(dhash_.+\.zip)\.(partial|spool|sidecar|signature)")
#: Seconds in which a free name must turn up; a name is taken for one second at most.
NAME_PATIENCE = 60.0


def sweep(folder: str) -> list[str]:
    """Remove what killed writers left. The lock of a living writer's partial file tells the two apart.

    :returns: a sentence for each that cannot be removed.
    """
    drafts = {match.group(1) for match in map(_NAMES.fullmatch, os.listdir(folder)) if match}
    stuck = []
    for name in sorted(drafts):
        try:
            _sweep(Draft(folder, name))
        except PermissionError as error:
            held = immutable.of(str(error.filename))
            if not held:
                raise
            stuck.append(f"{held.path} of a backup that was killed could not be removed: it is {held.kind}. {held.todo}.")
    return stuck


def _sweep(draft: Draft) -> None:
    try:
        descriptor = os.open(draft.partial, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        draft.clean()
        return
    try:
        if locks.taken(descriptor) and draft.holds(descriptor):
            draft.clean()
    finally:
        os.close(descriptor)


class Draft:
    """An archive that has not got its name yet."""

    stream: t.BinaryIO

    def __init__(self, folder: str, name: str) -> None:
        self.folder = folder
        self.name = name
        self.final = os.path.join(folder, name)
        self.partial = self.beside("partial")

    @property
    def stamp(self) -> str:
        """The time in the name."""
        made = catalog.parse(self.name)
        return made.stamp if made else ""

    def beside(self, kind: str) -> str:
        """A hidden path of this draft."""
        return os.path.join(self.folder, f".{self.name}.{kind}")

    def reserve(self) -> bool:
        """Create and lock the partial file; false when the name is in use, by an archive or by another writer."""
        try:
            descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        # Between the creation and the lock a sweep may have taken the file for debris and removed it.
        mine = locks.taken(descriptor) and self.holds(descriptor)
        # Another writer publishes by renaming: whoever could create the partial file sees its archive.
        if mine and not any(os.path.lexists(self.final + suffix) for suffix in ("", *catalog.BESIDE)):
            os.fchmod(descriptor, 0o600)
            self.stream = os.fdopen(descriptor, "wb", fs.CHUNK)
            return True
        if mine:
            _unlink(self.partial)
        os.close(descriptor)
        return False

    def holds(self, descriptor: int) -> bool:
        """Whether the partial file is still the one that was opened."""
        try:
            return os.stat(self.partial).st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            return False

    @property
    def aside(self) -> str:
        """Its name when it is incomplete."""
        return self.final + catalog.INCOMPLETE

    def sync(self) -> None:
        """Make what was written durable, and forget it, so that it is read back from the disk."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        os.posix_fadvise(self.stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def empty(self) -> None:
        """Begin anew."""
        self.stream.seek(0)
        self.stream.truncate()

    def keep_aside(self) -> None:
        """Keep an incomplete archive, the newest one only, under a name that is never offered for a restore."""
        mine = catalog.parse(self.name)
        for name in os.listdir(self.folder):
            other = catalog.parse(name[: -len(catalog.INCOMPLETE)]) if name.endswith(catalog.INCOMPLETE) else None
            if mine and other and (other.env, other.safety) == (mine.env, mine.safety):
                with contextlib.suppress(PermissionError):  # immutable: pruning names it
                    _unlink(os.path.join(self.folder, name))
        os.rename(self.partial, self.aside)
        fs.fsync_dir(self.folder)

    def publish(self, digest: str, signature: bytes | None = None) -> None:
        """Give the archive its name, and before that signature and sidecar: an archive without them was never offered."""
        if signature:
            self._put("signature", signature)
        self._put("sidecar", checksums.line(self.final, digest))
        shutil.rmtree(self.beside("spool"), ignore_errors=True)
        if signature:
            os.rename(self.beside("signature"), self.final + backup_signature.SUFFIX)
        os.rename(self.beside("sidecar"), self.final + checksums.SUFFIX)
        os.rename(self.partial, self.final)
        fs.fsync_dir(self.folder)

    def _put(self, kind: str, content: bytes) -> None:
        with open(os.open(self.beside(kind), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    def clean(self) -> None:
        """Remove all that is left of an archive that was not published."""
        shutil.rmtree(self.beside("spool"), ignore_errors=True)
        if not os.path.lexists(self.final) and os.path.lexists(self.partial):
            for suffix in catalog.BESIDE:
                _unlink(self.final + suffix)
        for kind in ("signature", "sidecar"):
            _unlink(self.beside(kind))
        _unlink(self.partial)


@contextlib.contextmanager
def drafted(folder: str, env: str, safety: bool = False) -> t.Iterator[Draft]:
    """A new draft, which leaves nothing when it is not published.

    :param safety: whether its name is to say that it is a safety backup.
    :raises StateError: when every name is taken for a minute, or the disk is full.
    """
    deadline = time.monotonic() + NAME_PATIENCE
    while True:
        draft = Draft(folder, catalog.file_name(env, clock.stamp(), safety))
        if draft.reserve():
            break
        if time.monotonic() > deadline:
            raise StateError(
                f"backup folder {folder}", "a free name for an archive", f"{draft.name} taken", "Look for other backups that run"
            )
        time.sleep(0.05)
    try:
        yield draft
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StateError(
                f"the file system of {folder}",
                "room for the archive",
                "none left while it was written",
                "Free some space or name a folder on another disk",
            ) from error
        raise
    finally:
        draft.clean()
        with contextlib.suppress(OSError):  # closing flushes what a full disk did not take
            draft.stream.close()


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
