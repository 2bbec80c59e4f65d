# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The archive before: members of files that have not changed are copied from it as they are, each checked anew."""
from __future__ import annotations

import typing as t

from ..._core.errors import IntegrityError
from .file_reader import Content
from .plan import Source
from .reader import Archive, Buffer, Window


class Previous:
    """An earlier archive to copy from; without one, nothing is ever found."""

    def __init__(self, archive: Archive | None = None, manifests: t.Mapping[str, dict[str, t.Any]] | None = None) -> None:
        self._archive: t.Any = archive  # entries, and so all that is asked of it, are there only with one
        self._entries = {entry["path"]: entry for entry in archive.entries} if archive else {}
        #: Path of each archive that was opened to find this one -> its manifest.
        self.manifests = manifests or {}
        #: Members whose bytes in the earlier archive are damaged.
        self.damaged: list[str] = []

    @property
    def full(self) -> str | None:
        """When everything in it was last read from the files, ISO 8601."""
        return self._archive.manifest.get("full") if self._archive else None

    def find(self, source: Source) -> dict[str, t.Any] | None:
        """The entry of a file that is still the same by size, times and inode."""
        entry = self._entries.get(source.name)
        status = source.status
        if source.reread or not entry or entry["type"] != "file" or "packed_sha256" not in entry:
            return None
        if (entry.get("inode"), entry.get("ctime_ns"), entry["mtime_ns"]) != (status.st_ino, status.st_ctime_ns, status.st_mtime_ns):
            return None
        if (bool(entry.get("sqlite")), bool(entry.get("as_is"))) != (source.sqlite,) * 2 or entry["size"] != status.st_size:
            return None  # of a database only one that was at rest, whose member has the file's own bytes
        return entry

    def window(self) -> Window | None:
        """What a thread that copies one small member after another reads through."""
        return self._archive.window() if self._archive else None

    def stored(self, entry: dict[str, t.Any], window: Window | None = None) -> t.Iterator[Buffer]:
        """The bytes of a member as the archive holds them. When the last was given they proved right, or an error comes.

        :raises IntegrityError: when they are damaged; the member is noted.
        """
        try:
            yield from self._archive.stored(entry, window)
        except (IntegrityError, OSError) as error:  # damaged, or on a disk that does not give it
            self.damaged.append(entry["path"])
            raise IntegrityError(entry["path"], "its bytes in an earlier archive", str(error), "Verify the archives") from error

    def content(self, source: Source, entry: dict[str, t.Any], chunks: list[Buffer]) -> Content:
        """A member as content of the archive that is made now."""
        method, crc = self._archive.method_and_crc(entry)
        return Content(source.status, entry["size"], entry["sha256"], crc, method, entry["packed_sha256"], chunks, copied=True,
                       data=entry.get("data"))

    def copy(self, source: Source, window: Window | None) -> Content | None:
        """A small member, whole; ``None`` when there is none to be had."""
        entry = self.find(source)
        if not entry:
            return None
        try:
            return self.content(source, entry, list(self.stored(entry, window)))
        except IntegrityError:
            return None
