# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a backup: written under a temporary name, read back, and only then given its name."""
from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
import shutil
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import (
    _archive_scan,
    _backups,
    _checksums,
    _clock,
    _files,
    _history,
)
from ansible_collections.mobius.ops.plugins.module_utils._archive import Writer
from ansible_collections.mobius.ops.plugins.module_utils._archive_reader import Archive
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, IntegrityError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout

#: What a writer keeps beside its archive; "partial" is created first, held locked, and goes last.
_DRAFT = re.compile(r"\.(dhash_.+\.zip)\.(partial|spool|sidecar)")
#: Seconds in which a free name must turn up; a name is taken for one second at most.
_NAME_PATIENCE = 60.0


@dataclasses.dataclass
class Request:
    """What to back up, and where to."""

    env: str
    components: list[str]
    dest: str
    level: int = 6
    allow_changed: bool = False
    #: Goes into the history.
    why: str = ""


def plan(layout: Layout, request: Request) -> _archive_scan.Plan:
    """What a backup would take. :raises OpsError: when it could not be made as it was asked for."""
    found = _archive_scan.scan(layout, request.components)
    if not os.path.isdir(request.dest):
        raise StateError(f"backup folder {request.dest}", "a folder", "none", "Create it, or correct dest")
    inside = os.path.realpath(request.dest) + os.sep
    for component in found.components:
        if inside.startswith(os.path.realpath(layout.component(component)) + os.sep):
            raise InputError(f"backup folder {request.dest}", "a folder outside of what is backed up",
                             f"one inside of component {component}", "Choose another dest")
    _files.require_space(request.dest, found.room, "the archive")
    return found


def live_release(layout: Layout) -> str | None:
    """The id of the release that serves, by the ``current`` link."""
    try:
        return os.path.basename(os.readlink(layout.current)) or None
    except OSError:
        return None


def create(layout: Layout, request: Request) -> dict[str, t.Any]:
    """Make a verified backup and enter it into the history.

    :raises IntegrityError: when some file could not be taken as one piece, or what was written is not what was read.
    """
    started = time.monotonic()
    found = plan(layout, request)
    sweep(request.dest)
    with _draft(request.dest, request.env) as draft:
        facts = {"name": draft.name, "env": request.env, "created": _clock.iso(_clock.from_stamp(draft.stamp)),
                 "release": live_release(layout)}
        writer = Writer(draft.stream, draft.beside("spool"), request.level, request.allow_changed)
        writer.write(found, facts)
        if writer.problems and not request.allow_changed:
            raise _incomplete(layout, writer.problems, found.skipped)
        draft.sync()
        with Archive(draft.partial) as archive:
            archive.verify()
            digest = archive.sha256()
        draft.publish(digest)
    result = {
        "archive": draft.final, "sha256": digest, "size": os.stat(draft.final).st_size, "entries": len(writer.entries),
        "components": found.components, "empty": found.empty, "status": "verified", "release": facts["release"],
        "problems": writer.problems, "skipped": found.skipped, "elapsed": round(time.monotonic() - started, 3),
    }
    _history.record(layout, "backup", request.why, env=request.env,
                    **{key: result[key] for key in ("archive", "sha256", "size", "elapsed", "components", "release")})
    return result


def sweep(folder: str) -> None:
    """Remove what killed writers left. The lock of a living writer's partial file tells the two apart."""
    drafts = {match.group(1) for match in map(_DRAFT.fullmatch, os.listdir(folder)) if match}
    for name in drafts:
        draft = _Draft(folder, name)
        try:
            descriptor = os.open(draft.partial, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            draft.clean()
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if draft.holds(descriptor):
                draft.clean()
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


class _Draft:
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
        return self.name[-len("YYYYMMDD_HHMMSS.zip"):-len(".zip")]

    def beside(self, kind: str) -> str:
        """A hidden path of this draft."""
        return os.path.join(self.folder, f".{self.name}.{kind}")

    def reserve(self) -> bool:
        """Create and lock the partial file; false when the name is in use, by an archive or by another writer."""
        try:
            descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the creation and the lock a sweep may have taken the file for debris and removed it.
            mine = self.holds(descriptor)
        except BlockingIOError:
            mine = False
        # Another writer publishes by renaming: whoever could create the partial file sees its archive.
        if mine and not os.path.lexists(self.final) and not os.path.lexists(self.final + _checksums.SUFFIX):
            os.fchmod(descriptor, 0o600)
            self.stream = os.fdopen(descriptor, "wb", _files.CHUNK)
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

    def sync(self) -> None:
        """Make what was written durable."""
        self.stream.flush()
        os.fsync(self.stream.fileno())

    def publish(self, digest: str) -> None:
        """Give the archive its name, and before that the sidecar: an archive without one was never offered."""
        sidecar = self.beside("sidecar")
        with open(os.open(sidecar, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as stream:
            stream.write(_checksums.line(self.final, digest))
            stream.flush()
            os.fsync(stream.fileno())
        shutil.rmtree(self.beside("spool"), ignore_errors=True)
        os.rename(sidecar, self.final + _checksums.SUFFIX)
        os.rename(self.partial, self.final)
        _files.fsync_dir(self.folder)

    def clean(self) -> None:
        """Remove all that is left of an archive that was not published."""
        shutil.rmtree(self.beside("spool"), ignore_errors=True)
        if not os.path.lexists(self.final) and os.path.lexists(self.partial):
            _unlink(self.final + _checksums.SUFFIX)
        _unlink(self.beside("sidecar"))
        _unlink(self.partial)


@contextlib.contextmanager
def _draft(folder: str, env: str) -> t.Iterator[_Draft]:
    deadline = time.monotonic() + _NAME_PATIENCE
    while True:
        draft = _Draft(folder, _backups.file_name(env, _clock.stamp()))
        if draft.reserve():
            break
        if time.monotonic() > deadline:
            raise StateError(f"backup folder {folder}", "a free name for an archive", f"{draft.name} taken",
                             "Look for other backups that run")
        time.sleep(0.05)
    try:
        yield draft
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StateError(f"the file system of {folder}", "room for the archive", "none left while it was written",
                             "Free some space or name a folder on another disk") from error
        raise
    finally:
        draft.clean()
        with contextlib.suppress(OSError):  # closing flushes what a full disk did not take
            draft.stream.close()


def _incomplete(layout: Layout, problems: list[dict[str, str]], skipped: list[dict[str, str]]) -> IntegrityError:
    first = problems[0]
    error = IntegrityError(f"backup of {layout.root}", "every file to be read as one state of it",
                           f"{len(problems)} that could not, the first {first['path']} ({first['reason']})",
                           "Try again when it is at rest, or accept it as it is: allow_changed")
    error.facts = {"problems": problems, "skipped": skipped}
    return error


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
