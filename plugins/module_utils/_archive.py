# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The archive format, and its writer.

A plain zip. The first member, ``MANIFEST.json``, is stored; room for it is kept free while the other members are
written, so that every file is read once and what the manifest says of it is what was read.
"""
from __future__ import annotations

import contextlib
import functools
import grp
import hashlib
import json
import os
import pwd
import stat
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _archive_paths, _files, _sqlite
from ansible_collections.mobius.ops.plugins.module_utils._archive_manifest import SCHEMA
from ansible_collections.mobius.ops.plugins.module_utils._archive_paths import MANIFEST
from ansible_collections.mobius.ops.plugins.module_utils._archive_scan import Plan, Source, note
from ansible_collections.mobius.ops.plugins.module_utils._archive_zip import Member, ZipWriter
from ansible_collections.mobius.ops.plugins.module_utils._errors import IntegrityError

#: A file that moves is read again so many times, after a pause (seconds).
RETRIES = 3
PAUSE = 0.2
#: Changes within one tick of the file system's clock leave the same time: a file rests this long before it is read.
SETTLE_NS = 20_000_000
#: Content that deflating does not make smaller.
PACKED = frozenset((
    "7z", "aac", "avi", "avif", "br", "bz2", "docx", "flac", "gif", "gz", "heic", "jpeg", "jpg", "lz4", "m4a",
    "m4v", "mkv", "mov", "mp3", "mp4", "mpeg", "mpg", "ogg", "opus", "pdf", "png", "pptx", "tgz", "webm",
    "webp", "woff", "woff2", "xlsx", "xz", "zip", "zst"))


class _Unreadable(Exception):
    """A source cannot be read; distinct from an archive that cannot be written."""


class Writer:
    """Writes a plan's sources, one after another, and keeps account of what could not be taken."""

    def __init__(self, stream: t.BinaryIO, spool: str, level: int, allow_changed: bool) -> None:
        self._zip = ZipWriter(stream)
        self._spool = spool
        self._level = level
        self._allow_changed = allow_changed
        self.entries: list[dict[str, t.Any]] = []
        self.problems: list[dict[str, str]] = []

    def write(self, plan: Plan, facts: dict[str, t.Any]) -> dict[str, t.Any]:
        """Write the whole archive.

        :param facts: ``name``, ``env``, ``created`` and ``release`` of the manifest.
        :returns: the manifest. What could not be taken as one piece is in ``problems``.
        """
        self.problems = list(plan.problems)
        manifest = {"schema": SCHEMA, **facts, "components": plan.components, "empty": plan.empty,
                    "skipped": plan.skipped}
        if _archive_paths.posix_only(source.name for source in plan.sources):
            manifest["posix_names"] = True
        room = self._reserve(manifest, plan)
        for source in plan.sources:
            {"file": self._file, "dir": self._folder, "symlink": self._link}[source.type](source)
        manifest.update(problems=len(self.problems), entries=self.entries)
        content = _encode(manifest)
        room.replace(content + b" " * (room.size - len(content)))
        self._zip.close()
        return manifest

    def _reserve(self, manifest: dict[str, t.Any], plan: Plan) -> Member:
        widest = {"sha256": "0" * 64, "size": 10 ** 19, "mtime_ns": -10 ** 20, "changed": True}
        entries = [{**_entry(source), **widest, "target": source.target}
                   for top in plan.sources for source in [top] + top.companions]
        longest = len(_encode({**manifest, "problems": 10 ** 9, "entries": entries}))
        member = self._zip.start(MANIFEST, stat.S_IFREG | 0o600, time.time(), longest, 0)
        for begin in range(0, longest, _files.CHUNK):
            member.write(b" " * min(_files.CHUNK, longest - begin))
        self._zip.keep(member)
        return member

    def _problem(self, source: Source, reason: str) -> None:
        self.problems.append(note(source.name, reason))

    def _folder(self, source: Source) -> None:
        self._add(source, source.name + "/", b"", {})

    def _link(self, source: Source) -> None:
        content = source.target.encode("utf-8", "surrogateescape")
        facts = {"target": source.target, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self._add(source, source.name, content, facts)

    def _add(self, source: Source, name: str, content: bytes, facts: dict[str, t.Any]) -> None:
        member = self._zip.start(name, source.status.st_mode, source.status.st_mtime, len(content), 0)
        member.write(content)
        self._zip.keep(member)
        self.entries.append({**_entry(source), **facts})

    def _file(self, source: Source) -> None:
        if source.sqlite:
            self._database(source)
        else:
            self._plain(source)

    def _database(self, source: Source) -> None:
        copy = os.path.join(self._spool, "database")
        os.makedirs(self._spool, 0o700, exist_ok=True)
        try:
            _sqlite.copy(source.path, copy)
        except IntegrityError as error:
            # In a folder of uploads anybody may leave a broken file with SQLite's header: it is kept as the file it is.
            doubtful = source.component == "database" or bool(source.companions)
            if doubtful:
                self._problem(source, error.found)
            source.sqlite = False
            for part in [source] + source.companions if self._allow_changed or not doubtful else []:
                self._plain(part, mark=doubtful)
            return
        try:
            with open(copy, "rb") as stream:
                status = os.fstat(stream.fileno())
                member = self._start(source, status)
                facts = _pump(stream.fileno(), status.st_size, member)
            self._zip.keep(member)
            self.entries.append({**_entry(source), **facts})
        finally:
            os.unlink(copy)

    def _plain(self, source: Source, mark: bool = False) -> None:
        """Take a file in one piece, in several tries; *mark* says that it is known to be doubtful."""
        for last in (False,) * RETRIES + (True,):
            member, facts, reason = self._read(source)
            if member and (not reason or (last and self._allow_changed)):
                self._zip.keep(member)
                self.entries.append({**_entry(source), **facts, **({"changed": True} if reason or mark else {})})
                break
            if member:
                member.discard()
            if not last:
                time.sleep(PAUSE)
        if reason:
            self._problem(source, reason)

    def _read(self, source: Source) -> tuple[Member | None, dict[str, t.Any], str]:
        """One reading: the member, what was read, and why that is not one state of the file ("" when it is one)."""
        member = None
        try:
            with _opened(source) as descriptor:
                before = _settled(descriptor)
                member = self._start(source, before)
                facts = _pump(descriptor, before.st_size, member)
                after = os.fstat(descriptor)
        except _Unreadable as error:
            if member:
                member.discard()
            return None, {}, f"it cannot be read: {error}"
        facts["mtime_ns"] = before.st_mtime_ns
        if facts["size"] < before.st_size or after.st_size < before.st_size:
            return member, facts, "it became shorter while it was read"
        if not source.append_only and (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return member, facts, "it changed while it was read"
        return member, facts, ""

    def _start(self, source: Source, status: os.stat_result) -> Member:
        suffix = source.name.rpartition(".")[2].lower()
        level = 0 if suffix in PACKED or not status.st_size else self._level
        return self._zip.start(source.name, source.status.st_mode, status.st_mtime, status.st_size, level)


def _encode(manifest: dict[str, t.Any]) -> bytes:
    """One line of general facts, then one line an entry: a person can read it with ``unzip -p``."""
    head = json.dumps({key: value for key, value in manifest.items() if key != "entries"})
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in manifest["entries"])
    return (head[:-1] + ', "entries": [\n' + lines + "\n]}\n").encode("ascii")


def _entry(source: Source) -> dict[str, t.Any]:
    status = source.status
    entry = {"path": source.name, "type": source.type, "size": 0, "mode": f"{stat.S_IMODE(status.st_mode):04o}",
             "uid": status.st_uid, "gid": status.st_gid, "owner": _owner(status.st_uid), "group": _group(status.st_gid),
             "mtime_ns": status.st_mtime_ns}
    return {**entry, "sqlite": True} if source.sqlite else entry


@functools.cache
def _owner(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return ""


@functools.cache
def _group(gid: int) -> str:
    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return ""


@contextlib.contextmanager
def _opened(source: Source) -> t.Iterator[int]:
    folder, name = os.path.split(source.relative)
    try:
        with _archive_paths.folder_beneath(source.base, folder) as parent:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        raise _Unreadable(error.strerror) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _settled(descriptor: int) -> os.stat_result:
    for _attempt in range(RETRIES):
        status = os.fstat(descriptor)
        if not 0 <= time.time_ns() - status.st_mtime_ns < SETTLE_NS:
            break
        time.sleep(SETTLE_NS / 1e9)
    return status


def _pump(descriptor: int, size: int, member: Member) -> dict[str, t.Any]:
    """Move at most *size* bytes from a descriptor into a member; their number and SHA-256."""
    digest, taken = hashlib.sha256(), 0
    while taken < size:
        try:
            chunk = os.read(descriptor, min(_files.CHUNK, size - taken))
        except OSError as error:
            raise _Unreadable(error.strerror) from error
        if not chunk:
            break
        digest.update(chunk)
        member.write(chunk)
        taken += len(chunk)
    return {"size": taken, "sha256": digest.hexdigest()}
