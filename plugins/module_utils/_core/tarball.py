# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tar files from outside: read in bounded memory, and unpacked only when every member is harmless."""

from __future__ import annotations

import contextlib
import gzip
import os
import tarfile
import typing as t
import zlib

from . import fs, wording
from .errors import IntegrityError

#: Members that a tar file may have, and bytes of all their names, those of their folders and targets included. MOBIUS has 2,000 files,
#: and its packed dependencies 40,000.
MEMBERS, NAMES = 250_000, 64 * 1024**2
#: Characters of a path and steps in it.
PATH, STEPS = 1024, 64
#: Bytes of a header that extends others, and of all those that are for the whole archive.
HEADER = 64 * 1024
_EXTENDING = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
#: The last second that a member's time is kept of: an absurd one breaks what sets it.
_LATEST = 2**33


class _Member(tarfile.TarInfo):
    """A member whose headers cannot make the parser read without end, or into memory what does not fit."""

    def _proc_member(self, archive: t.Any) -> tarfile.TarInfo:  # pylint: disable=arguments-renamed
        """Called for each header before anything is done about it."""
        if self.size < 0:
            raise tarfile.ReadError("a member of a negative size")
        if self.type in _EXTENDING:
            archive.extending = getattr(archive, "extending", 0) + self.size if self.type == tarfile.XGLTYPE else self.size
            if archive.extending > HEADER:
                raise tarfile.ReadError(f"a header of more than {HEADER // 1024} kB")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse member")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _apply_pax_info(self, pax_headers: dict[str, str], encoding: str, errors: str) -> None:
        if any(name.startswith("GNU.sparse") for name in pax_headers):
            raise tarfile.ReadError("a sparse member")
        super()._apply_pax_info(pax_headers, encoding, errors)  # type: ignore[misc]
        if self.size < 0:
            raise tarfile.ReadError("a member of a negative size")

    def _no_sparse(self, *_words: t.Any) -> t.NoReturn:
        raise tarfile.ReadError("a sparse member")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _no_sparse


def members(path: str, stream: t.BinaryIO) -> t.Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The archive and each member of it, one after the other; none is kept. To be used in a block that is :func:`readable`."""
    stream.seek(0)
    with tarfile.open(fileobj=stream, mode="r:gz", tarinfo=_Member) as archive:
        while True:
            member = archive.next()
            if member is None:
                return
            yield archive, member
            archive.members.clear()  # type: ignore[attr-defined]


@contextlib.contextmanager
def readable(path: str) -> t.Iterator[None]:
    """Turn what damage makes of the parsers into one sentence."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, MemoryError, gzip.BadGzipFile, zlib.error) as error:
        found = str(error) or type(error).__name__
        raise IntegrityError(f"artifact {path}", "a whole gzipped tar file", found, "Build or copy the artifact again") from error


class Names:
    """The paths of an archive's members, as far as they have been seen."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._targets: dict[str, str] = {}
        self._count = self._size = 0

    def fault(self, member: tarfile.TarInfo) -> str:
        """Why an archive with one more member must not be unpacked; empty when it may be."""
        inside = os.path.normpath(member.name)
        self._count += 1
        kind = "a folder" if member.isdir() else "a symlink" if member.issym() else "a file" if member.isreg() else ""
        if self._count > MEMBERS:
            return f"more than {MEMBERS} members"
        if not kind:
            return "neither a file, a folder nor a symlink"
        wrong = _path_fault(member.name, inside, kind) or (_target_fault(member, inside) if kind == "a symlink" else "")
        if wrong or inside == ".":
            return wrong
        for at in [at for at, sign in enumerate(inside) if sign == "/"]:
            parent = self._note(inside[:at], "a folder")
            if parent != "a folder":
                return f"a path below {parent}"
        before = self._note(inside, kind, new=True)
        if before and (before != kind or kind != "a folder"):
            return "there twice" if before == kind else f"a path below a symlink, or there twice, as {before} and as {kind}"
        if kind == "a symlink":
            self._targets[inside] = os.path.join(os.path.dirname(inside), member.linkname)
            self._size += len(member.linkname)
        return "" if self._size <= NAMES else "names that are too long in all"

    def _note(self, path: str, kind: str, new: bool = False) -> str:
        """What a path is by now; with *new* what it was before."""
        before = self._kinds.get(path, "")
        if not before:
            self._kinds[path] = kind
            self._size += len(path)
        return before if new else before or kind

    def astray(self) -> tuple[str, str] | None:
        """A symlink, with why it must not be unpacked, once all members have been seen."""
        for inside, target in self._targets.items():
            if self._passes(target):
                return inside, f"a symlink to {os.path.relpath(target, os.path.dirname(inside) or '.')}, through another symlink"
        return None

    def _passes(self, path: str) -> bool:
        """Whether a path leads through a symlink, where it may end anywhere."""
        at: list[str] = []
        for part in path.split("/")[:-1]:
            at = at[:-1] if part == ".." else [*at, part] if part not in ("", ".") else at
            if "/".join(at) in self._targets:
                return True
        return False


def _path_fault(name: str, inside: str, kind: str) -> str:
    """What is wrong with a member's path alone."""
    if os.path.isabs(name) or inside == ".." or inside.startswith("../"):
        return "a path outside of the release"
    if not name or (inside == "." and kind != "a folder"):
        return "no name"
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        return "a control character in its name"
    if len(name) > PATH or name.count("/") > STEPS or max(len(os.fsencode(part)) for part in name.split("/")) > 255:
        return "a name that is too long"
    return ""


def _target_fault(member: tarfile.TarInfo, inside: str) -> str:
    target = os.path.normpath(os.path.join(os.path.dirname(inside), member.linkname))
    if os.path.isabs(member.linkname) or target == ".." or target.startswith("../"):
        return f"a symlink to {member.linkname}, outside of the release"
    if not member.linkname or len(member.linkname) > PATH or any(ord(sign) < 32 for sign in member.linkname):
        return "a symlink to no path"
    return ""


def require_safe(path: str, stream: t.BinaryIO) -> int:
    """The bytes of all files.

    :raises IntegrityError: for members outside the folder, links that lead out, members below links or files, names that cannot be, and
        devices.
    """
    names, size = Names(), 0
    with readable(path):
        for _archive, member in members(path, stream):
            _refuse(path, member.name, names.fault(member))
            size += member.size
    _refuse(path, *(names.astray() or ("", "")))
    return size


def _refuse(path: str, name: str, wrong: str) -> None:
    if wrong:
        raise IntegrityError(f"artifact {path}", "members inside the release only", f"{name[:200]}: {wrong}", "Do not deploy it")


def unpack(path: str, folder: str) -> None:
    """Unpack a tar file into an empty folder; nothing is written when a member is unsafe.

    :raises IntegrityError: as of :func:`require_safe`, or when the file is damaged.
    :raises StateError: when there is no room for it.
    """
    with readable(path), open(path, "rb") as stream:
        fs.require_space(folder, require_safe(path, stream), "the files of the archive")
        for archive, member in members(path, stream):
            member.name = os.path.normpath(member.name)  # as it was looked at, and not a/../b or b/.
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
            member.mode = 0o600 if is_private(member) else 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.mtime = member.mtime if 0 <= member.mtime < _LATEST else 0
            if hasattr(tarfile, "data_filter"):
                archive.extract(member, folder, filter="fully_trusted")
            else:
                archive.extract(member, folder)


def is_private(member: tarfile.TarInfo) -> bool:
    """Whether a member is an npm configuration that was packed for its owner only: it has a token or a password."""
    return os.path.basename(member.name) == ".npmrc" and not member.mode & 0o077


def first(path: str, name: str, limit: int) -> bytes | None:
    """The content of the first member, or ``None`` when it has another name. :raises IntegrityError: when it is too large, or damaged."""
    with readable(path), open(path, "rb") as stream:
        for archive, member in members(path, stream):
            if member.name != name or not member.isreg():
                return None
            if member.size > limit:
                raise IntegrityError(
                    f"artifact {path}",
                    f"a {name} of {wording.human_size(limit)} at most",
                    "a larger one",
                    "Build the artifact again; do not deploy it",
                )
            return t.cast(t.IO[bytes], archive.extractfile(member)).read()
    return None
