# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The archive format, and its writer.

A plain zip. The first member, ``MANIFEST.json``, is stored; room for it is kept free while the other members are
written, so that every file is read once and what the manifest says of it is what was read.

One thread writes; ``_backup.archive.readahead`` has a pool that reads and deflates for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
import time
import typing as t

from ..._core import fs, sparse, threads, wording
from ..._core.errors import StateError
from ..._core.kinds import Entry
from ..._target.progress import Meter, Share
from . import database_copies, deflate, file_reader, paths
from . import manifest as archive_manifest
from .file_reader import Content, Unreadable
from .groups import Group, gather
from .manifest import SCHEMA, Head, Manifest
from .paths import MANIFEST
from .plan import Plan, Source, is_draft, note
from .previous import Previous
from .readahead import Ahead, ReadAhead
from .stores import Stores
from .streams import Streams
from .zip_writer import STORED, Member, ZipWriter

#: Room in the manifest for files that get larger, and so have longer numbers, while they are backed up.
_GROWTH = 16 * 1024


class Writer:
    """Writes a plan's sources, one after another, and keeps account of what could not be taken.

    :param databases: copies databases that may be in use.
    :param previous: the archive to copy unchanged members from.
    """

    def __init__(
        self, stream: t.BinaryIO, databases: database_copies.PerOwner, deflater: deflate.Deflater, previous: Previous, meter: Meter
    ) -> None:
        self._zip = ZipWriter(stream)
        self._databases = databases
        self._stores = Stores(self, databases)
        self._previous = previous
        self._meter = meter
        self._share, self._sharing = Share(meter, 0), False
        self._ahead = ReadAhead(previous, deflater)
        self._streams = Streams(self._zip, self._ahead, deflater, self._count, self._member)
        #: By the number of a file with several names: what was taken of it, and the member that holds that.
        self._linked: dict[int, tuple[Content, Member]] = {}
        self.entries: list[Entry] = []
        self.problems: list[dict[str, str]] = []
        #: What is no problem, and its owner should know.
        self.warnings: list[str] = []
        #: Members that were copied from the previous archive.
        self.copied: set[str] = set()
        #: Whether the archive lacks something that it should have.
        self.incomplete = False

    def write(self, plan: Plan, facts: Head, allow_changed: bool) -> None:
        """Write the whole archive. What could not be taken as one piece is in ``problems``.

        :param facts: what the manifest says of the whole.
        :param allow_changed: whether it is complete although something could not be taken as one piece.
        """
        self.problems = list(plan.problems)
        manifest: Manifest = {
            "schema": SCHEMA,
            **facts,
            "components": plan.components,
            "empty": plan.empty,
            "skipped": plan.skipped,
            "entries": self.entries,
        }
        if paths.posix_only(source.name for source in plan.sources):
            manifest["posix_names"] = True
        for base in {source.base for source in plan.sources if source.sqlite}:
            self._databases.of(base)  # before there are threads
        self._meter.phase("write", plan.size, plan.files)
        room = self._reserve(manifest, plan)
        try:
            with threads.brisk():
                for each, ahead in self._ahead.read(gather(plan.sources)):
                    if isinstance(each, Group):
                        self._stores.take(each)
                    else:
                        self.take(each, ahead)
        finally:
            self._ahead.close()
        if self.problems and not allow_changed:
            self.incomplete = manifest["incomplete"] = True
        manifest["problems"], manifest["reused"] = len(self.problems), len(self.copied)
        content = archive_manifest.encode(manifest)
        if len(content) > room.size:
            raise StateError("the backup's manifest", f"{room.size} bytes", f"{len(content)}, so many files grew meanwhile", "Try again")
        self._zip.replace(room, content + b" " * (room.size - len(content)))
        self._zip.close()

    def _reserve(self, manifest: Manifest, plan: Plan) -> Member:
        entries = []
        for source in plan.sources:
            made = archive_manifest.entry(source, source.status)
            if source.type == "file":
                status = source.status
                made["size"], made["sha256"], made["packed_sha256"] = status.st_size, "0" * 64, "0" * 64
                made["inode"], made["ctime_ns"] = status.st_ino, status.st_ctime_ns
                if source.sqlite:
                    made["journal_mode"], made["as_is"] = "wal", True
                if sparse.is_sparse(status):
                    made["data"] = status.st_size
            elif source.type == "symlink":
                made["target"], made["size"], made["sha256"] = source.target, len(source.target), "0" * 64
            entries.append(made)
        full: Manifest = {**manifest, "problems": 10**9, "reused": 10**9, "incomplete": True, "entries": entries}
        longest = len(archive_manifest.encode(full)) + _GROWTH + len(entries)
        member = Member(MANIFEST, stat.S_IFREG | 0o600, time.time(), longest, STORED)
        self._zip.begin(member)
        for begin in range(0, longest, fs.CHUNK):
            self._zip.extend(member, b" " * min(fs.CHUNK, longest - begin))
        member.size = longest
        self._zip.keep(member)
        return member

    def take(self, source: Source, ahead: Ahead = None, tries: int = file_reader.RETRIES + 1, doubtful: bool = False) -> bool:
        """Take one file, folder or link; whether it is one state of it.

        :param ahead: what the pool found.
        :param tries: how often a file that moves is read.
        :param doubtful: it is known that it is not sound.
        """
        if source.type == "file":
            with self.shared([source]):
                return self._plain(source, ahead, tries, doubtful)
        content = source.target.encode("utf-8", "surrogateescape")
        member = self._member(source, source.status, len(content), STORED)
        member.crc, member.size = deflate.crc32(content), len(content)
        self._zip.add(member, [content])
        entry = archive_manifest.entry(source, source.status)
        if source.type == "symlink":
            entry["target"], entry["size"], entry["sha256"] = source.target, len(content), hashlib.sha256(content).hexdigest()
        self.entries.append(entry)
        self._meter.add(files=int(source.type == "symlink"))
        return True

    @contextlib.contextmanager
    def shared(self, sources: t.Sequence[Source]) -> t.Iterator[None]:
        """While the block runs, what is read counts as these files' part of the work, however often that is; within such a block too."""
        if self._sharing:
            yield
            return
        files = [source for source in sources if source.type == "file"]
        self._share, self._sharing = Share(self._meter, sum(source.status.st_size for source in files)), True
        try:
            yield
        finally:
            self._sharing = False
        self._share.end(len(files))

    def problem(self, source: Source, reason: str) -> None:
        """Note that a file could not be taken as one state of it."""
        self.problems.append(note(source.name, reason))

    def warn(self, source: Source, remark: str) -> None:
        """Note something of a file that was taken."""
        self.warnings.append(f"{wording.printable(source.name)} {remark}")

    def mark(self) -> t.Callable[[], None]:
        """What forgets all that is taken from now on."""
        zipped, counts, copied, linked = self._zip.mark(), [len(some) for some in self._notes()], set(self.copied), dict(self._linked)

        def back() -> None:
            self._zip.back(zipped)
            for some, count in zip(self._notes(), counts):
                del some[count:]
            self.copied, self._linked = copied, linked

        return back

    def _count(self, size: int) -> None:
        self._share.add(size)

    def _notes(self) -> list[list[t.Any]]:
        return [self.entries, self.problems, self.warnings]

    def _plain(self, source: Source, ahead: Ahead, tries: int, doubtful: bool) -> bool:
        try:
            content = self._same_file(source)
            further = content is not None
            content = content or self._read(source, ahead, tries)
        except Unreadable as error:
            if isinstance(error.__cause__, FileNotFoundError) and is_draft(source):
                return True
            self.problem(source, f"it cannot be read: {error}")
            return False
        self.enter(source, content, doubtful=bool(content.reason) or doubtful)
        if content.remark and not further:
            self.warn(source, content.remark)
        if content.reason and not further:
            self.problem(source, content.reason)
        return not content.reason

    def _read(self, source: Source, ahead: Ahead, tries: int) -> Content:
        """A file's content, by now a member. :raises Unreadable: when it cannot be read."""
        if isinstance(ahead, Unreadable):
            raise ahead
        content = ahead or self.copied_before(source) or self._streams.read(source, tries)
        if ahead:
            self._add(source, content)
        return content

    def _same_file(self, source: Source) -> Content | None:
        """What was taken of a file under another name, once more: so all its names have one content, whoever writes to it.

        :returns: ``None`` when it is the first name, or by now that of another file.
        :raises Unreadable: when it cannot be opened.
        """
        if source.hardlink not in self._linked:
            return None
        content, first = self._linked[source.hardlink]
        with file_reader.Folders() as folders, folders.opened(source) as descriptor:
            status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (content.status.st_dev, content.status.st_ino):
            source.hardlink = 0
            return None
        member = self._member(source, content.status, content.size, content.method)
        member.crc, member.size = content.crc, content.size
        self._zip.begin(member)
        for chunk in self._zip.stored(first):
            self._zip.extend(member, chunk)
            self._share.add(len(chunk))
        self._zip.keep(member)
        return content

    def enter(self, source: Source, content: Content, doubtful: bool = False) -> Entry:
        """Enter a member into the manifest."""
        entry = archive_manifest.entry(source, content.status)
        entry["size"], entry["sha256"], entry["packed_sha256"] = content.size, content.sha256, content.packed_sha256
        if content.data is not None and sparse.is_sparse(content.status):
            entry["data"] = content.data
        if doubtful:
            entry["changed"] = True
        elif content.rested:
            entry["inode"], entry["ctime_ns"] = content.status.st_ino, content.status.st_ctime_ns
        if content.copied:
            self.copied.add(source.name)
        if source.hardlink:
            first = self._linked.setdefault(source.hardlink, (dataclasses.replace(content, chunks=[]), self._zip.last))[0]
            if (first.sha256, first.size) != (content.sha256, content.size):
                del entry["hardlink"]  # a database that was copied for each of its names
        self.entries.append(entry)
        return entry

    def _member(self, source: Source, status: os.stat_result, size: int, method: int) -> Member:
        name = source.name + ("/" if source.type == "dir" else "")
        return Member(name, source.status.st_mode, status.st_mtime, size, method)

    def _add(self, source: Source, content: Content) -> None:
        member = self._member(source, content.status, content.size, content.method)
        member.crc, member.size = content.crc, content.size
        self._zip.add(member, content.chunks)

    def copied_before(self, source: Source) -> Content | None:
        """A member of the archive before, copied without a look at it; ``None`` when there is none to be had."""
        entry = self._previous.find(source)
        if not entry:
            return None
        content = self._previous.content(source, entry)
        member = self._member(source, source.status, content.size, content.method)
        descriptor, begin, member.packed = self._previous.place(entry)
        member.crc, member.size = content.crc, content.size
        try:
            self._zip.copy(member, descriptor, begin, self._count)
        except EOFError:
            self._zip.discard(member)
            self._previous.leave(source.name)
            return None
        return content

    def stored(self, source: Source, descriptor: int) -> Content:
        """Write an open file that nothing changes as a source's content."""
        return self._streams.stored(source, descriptor)
