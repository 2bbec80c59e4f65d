# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The archive before: members of files that have not changed are copied from it as they are; reading the new one back checks them."""

from __future__ import annotations

import typing as t

from ..._core.errors import IntegrityError
from ..._core.kinds import Entry
from .file_reader import Content
from .manifest import Manifest
from .plan import Source
from .reader import Archive


class Previous:
    """An earlier archive to copy from; without one, nothing is ever found."""

    def __init__(self, archive: Archive | None = None, manifests: t.Mapping[str, Manifest] | None = None) -> None:
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

    def find(self, source: Source) -> Entry | None:
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

    def place(self, entry: Entry) -> tuple[int, int, int]:
        """Where a member's bytes are: a descriptor, the first of them, and how many."""
        return self._archive.place(entry)

    def content(self, source: Source, entry: Entry) -> Content:
        """A member as content of the archive that is made now."""
        method, crc = self._archive.method_and_crc(entry)
        return Content(
            source.status, entry["size"], entry["sha256"], crc, method, entry["packed_sha256"], copied=True, data=entry.get("data")
        )

    def leave(self, path: str) -> None:
        """Copy a member no more, which cannot be read or is damaged; note that."""
        del self._entries[path]
        self.damaged.append(path)

    def has_whole(self, path: str) -> bool:
        """Whether a member's bytes are still those that were written."""
        try:
            for _piece in self._archive.stored(self._entries[path]):
                pass
        except (IntegrityError, OSError):  # damaged, or on a disk that does not give it
            return False
        return True
