# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Extracts an archive's entries into an empty, private folder."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import threading
import typing as t

from ..._core import commands, file_metadata, foreign, fs, sparse, sqlite, threads, walk, wording
from ..._core.errors import IntegrityError, StateError
from ..._core.kinds import Entry
from ..._target.progress import Meter
from . import paths
from .reader import Archive, Buffer, Window

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Lost(t.TypedDict):
    """An attribute that the file system cannot hold: how many files lack it, the first of them, and why."""

    name: str
    files: int
    first: str
    reason: str


def extract(
    archive: Archive, entries: list[Entry], folder: str, meter: Meter | None = None, unread: t.Container[str] = ()
) -> dict[str, Lost]:
    """Write *entries* of an archive that was verified a moment ago, and make them durable.

    Each is checked again while it is read, by its size and its CRC.

    Owners (as root), modes, times, links and extended attributes are those of the manifest, but for set-uid and
    set-gid bits of files.

    :param entries: folders before what is in them.
    :param unread: members that were left out when the archive was verified: they are checked now, as :meth:`Archive.verify` does.
    :raises IntegrityError: when one is not what was backed up; what was written by then is to be removed.
    :returns: attributes that the file system cannot hold: how many files lack each, the first of them, and why.
    """
    stage = _Stage(archive, folder, meter or Meter(), unread)
    stage.fill(entries)
    stage.sync()
    return stage.lost


def read_once(entries: list[Entry]) -> frozenset[str]:
    """Members that :func:`extract` reads whole, which checks them: files but for databases, which SQLite looks at, and further names."""
    files, _links = _without_links([entry for entry in entries if entry["type"] == "file"])
    return frozenset(entry["path"] for entry in files if not entry.get("sqlite"))


class _Stage:
    def __init__(self, archive: Archive, folder: str, meter: Meter, unread: t.Container[str]) -> None:
        self._archive, self._folder, self._meter, self._unread = archive, folder, meter, unread
        self._lock = threading.Lock()
        self.lost: dict[str, Lost] = {}

    def fill(self, entries: list[Entry]) -> None:
        """Write entries, folders before what is in them; each file is checked again while it is read."""
        files, links = _without_links([entry for entry in entries if entry["type"] == "file"])
        names = {entry["path"] for entry in entries}
        with contextlib.ExitStack() as stack:
            held = walk.Held(self._folder, stack)
            for entry in entries:
                if entry["type"] != "file":
                    folder, _slash, name = paths.to_disk(entry["path"]).rpartition("/")
                    self._folder_or_link(entry, held.enter(folder), name)
        # Several at once: inflating and hashing take all cores.
        by_folder = sorted(files, key=lambda one: one["path"].rpartition("/")[0])  # a thread opens each folder once
        threads.in_threads(self._write_batch, list(threads.batches(by_folder)))
        for entry in files:
            if entry.get("journal_mode") == "wal" and names.isdisjoint(entry["path"] + suffix for suffix in sqlite.COMPANIONS):
                self._to_wal(entry)
        for entry, first in links:
            self._hard_link(entry, first)
        # What is written into a folder changes its time, and one that its owner cannot enter
        # comes after what is in it.
        folders: tuple[list[Entry], list[Entry]] = [], []
        for entry in entries:
            if entry["type"] == "dir":
                folders[int(entry["mode"], 8) & 0o500 != 0o500].append(entry)
        with contextlib.ExitStack() as stack:
            held = walk.Held(self._folder, stack)
            for entry in folders[False] + folders[True][::-1]:
                self._dress(entry, held.enter(paths.to_disk(entry["path"])))

    def sync(self) -> None:
        """Make all of it durable; at once, for that takes a second where a file at a time takes minutes."""
        done = None
        with contextlib.suppress(StateError):  # no such program
            done = commands.capture(["sync", "--file-system", self._folder])
        if done and done.returncode and "option" not in done.stderr:
            raise StateError(f"the file system of {self._folder}", "to keep what is written", commands.cause(done), "Look at the disk")
        if not done or done.returncode:
            self._sync_each()

    def _sync_each(self) -> None:
        for folder in walk.walk(self._folder):
            for name, status in folder.entries:
                if stat.S_ISREG(status.st_mode):
                    with contextlib.suppress(PermissionError):
                        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.descriptor)
                        try:
                            os.fsync(descriptor)
                        finally:
                            os.close(descriptor)
            os.fsync(folder.descriptor)

    @contextlib.contextmanager
    def _parent(self, entry: Entry) -> t.Iterator[tuple[int, str]]:
        folder, _slash, name = paths.to_disk(entry["path"]).rpartition("/")
        with foreign.folder(self._folder, folder) as parent:
            yield parent, name

    @staticmethod
    def _folder_or_link(entry: Entry, parent: int, name: str) -> None:
        if entry["type"] == "dir":
            os.mkdir(name, 0o700, dir_fd=parent)
        else:
            os.symlink(paths.to_disk(entry["target"]), name, dir_fd=parent)
            file_metadata.own_link(entry, name, parent)

    def _write_batch(self, batch: list[Entry]) -> None:
        window = self._archive.window()
        for folder, entries in itertools.groupby(batch, lambda entry: entry["path"].rpartition("/")[0]):
            with foreign.folder(self._folder, paths.to_disk(folder)) as parent:
                for entry in entries:
                    self._write(entry, parent, window)

    def _write(self, entry: Entry, parent: int, window: Window) -> None:
        name = paths.to_disk(entry["path"]).rpartition("/")[2]
        descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            left = entry.get("data")
            for chunk in self._archive.read(entry, window, again=entry["path"] not in self._unread):
                if left is None:
                    fs.write_all(descriptor, chunk)
                else:
                    left = self._write_sparse(entry, descriptor, chunk, left)
                self._meter.add(len(chunk))
            if left is not None:  # it may end in a hole
                os.ftruncate(descriptor, entry["size"])
            self._dress(entry, descriptor)
        finally:
            os.close(descriptor)
        self._meter.add(files=1)

    def _write_sparse(self, entry: Entry, descriptor: int, chunk: Buffer, left: int) -> int:
        """How many bytes of data may still come: room was asked for no more than the manifest tells."""
        left -= sparse.write(descriptor, chunk)
        if left < 0:
            raise IntegrityError(
                f"archive {self._archive.path}",
                f"{entry['data']} bytes of data and holes else, as its manifest says",
                f"more in {wording.printable(entry['path'])}",
                "Use another archive",
            )
        return left

    def _to_wal(self, entry: Entry) -> None:
        """Put a database back into the journal mode that its application had chosen; a single file as before."""
        with self._parent(entry) as (parent, name):
            os.chmod(name, 0o600, dir_fd=parent)
            descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                sqlite.mark_wal(descriptor)
                self._dress(entry, descriptor)
            except ValueError as error:
                raise IntegrityError(
                    f"archive {self._archive.path}",
                    "a database that SQLite can read",
                    f"{error} in {wording.printable(entry['path'])}",
                    "Use another archive",
                ) from error
            finally:
                os.close(descriptor)

    def _hard_link(self, entry: Entry, first: Entry) -> None:
        with self._parent(first) as (source, old), self._parent(entry) as (target, new):
            os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        self._meter.add(entry["size"], 1)

    def _dress(self, entry: Entry, descriptor: int) -> None:
        for name, reason in file_metadata.dress(entry, descriptor, fresh=True).items():
            with self._lock:
                note = self.lost.setdefault(name, {"name": name, "files": 0, "first": wording.printable(entry["path"]), "reason": reason})
                note["files"] += 1


def _without_links(files: list[Entry]) -> tuple[list[Entry], list[tuple[Entry, Entry]]]:
    """The files to write, and further names of some of them, each with the first name of the same file."""
    firsts: dict[int, Entry] = {}
    links = []
    for entry in files:
        first = firsts.setdefault(entry["hardlink"], entry) if "hardlink" in entry else entry
        if first is not entry:
            links.append((entry, first))
    further = {entry["path"] for entry, _first in links}
    return [entry for entry in files if entry["path"] not in further], links
