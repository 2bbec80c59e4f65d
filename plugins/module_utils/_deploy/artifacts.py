# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Artifacts: a gzipped tar file of one release, with a manifest inside and its SHA-256 beside it.

Built once, deployed everywhere: ``MANIFEST.json`` is the first member and lists every file with its SHA-256, and the
sidecar is checked on the target before anything is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import time
import typing as t

from .._core import documents, fs, tarball
from .._core.errors import InputError, IntegrityError
from .._target import records, shapes
from .deploy_types import Contained, Manifest

MANIFEST = "MANIFEST.json"
SCHEMA = 1
#: Bytes of a manifest: some 50,000 files.
MANIFEST_LIMIT = 8 * 1024**2
_SHAPE = {
    "schema": int,
    "version": shapes.text,
    "digest": shapes.text,
    "source": records.MAYBE,
    "committed?": records.MAYBE,
    "files": {str: dict},
}
#: Never a part of a release: secrets, version control, and what is installed from the lock file.
EXCLUDED = frozenset({".git", "node_modules", ".env", MANIFEST, ".release.json", ".dependencies.json"})
#: Files that only make version control keep an empty folder.
PLACEHOLDERS = (".gitkeep", ".keep", ".gitignore")
#: A secret in an npm configuration; ``${NAME}`` is none.
_TOKEN = re.compile(r"^[^#;\n]*_(?:auth|authToken|password)\s*=\s*(?!\$\{)\S", re.MULTILINE)


def walk(root: str, without: t.Iterable[str] = ()) -> t.Iterator[tuple[str, str]]:
    """``(relative path, path)`` of every file and symlink below a folder that belongs to a release, sorted.

    :param without: further paths that are left out, such as folders that all releases share.
    """
    excluded = EXCLUDED.union(without)
    for folder, names, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        prefix = "" if inside == "." else inside + "/"
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        names[:] = sorted(name for name in names if name not in links and not _left_out(prefix + name, excluded))
        for name in sorted(files + links):
            if not _left_out(prefix + name, excluded):
                yield prefix + name, os.path.join(folder, name)


def _left_out(path: str, excluded: frozenset[str]) -> bool:
    return path in excluded or os.path.basename(path) in ("node_modules", ".git")


def hidden(root: str, shared: list[str]) -> list[str]:
    """Files of a source in folders that all releases share: what is in those of the host is seen in their place.

    :param shared: paths in the release.
    """
    found = []
    for folder in shared:
        for place, names, files in os.walk(os.path.join(root, folder)):
            names[:] = sorted(name for name in names if name not in ("node_modules", ".git"))
            found += [os.path.relpath(os.path.join(place, name), root) for name in sorted(files) if name not in PLACEHOLDERS]
    return found


def describe(path: str) -> Contained:
    """The manifest's entry of a file or symlink."""
    if os.path.islink(path):
        return {"type": "symlink", "target": os.readlink(path)}
    mode = 0o755 if os.stat(path).st_mode & 0o100 else 0o644
    return {"type": "file", "sha256": fs.sha256_file(path), "size": os.path.getsize(path), "mode": f"{mode:04o}"}


def source_digest(root: str, without: t.Iterable[str] = ()) -> str:
    """SHA-256 over every source file's path, kind, content and executable bit.

    :param without: paths that do not count: shared folders, and folders that every build recreates.
    """
    digest = hashlib.sha256()
    for name, path in walk(root, without):
        digest.update(json.dumps([name, describe(path)], sort_keys=True).encode("utf-8"))
    return digest.hexdigest()


def read_sidecar(path: str) -> str:
    """The SHA-256 that ``<path>.sha256`` tells.

    :raises InputError: when the file or its sidecar is missing.
    :raises IntegrityError: when the sidecar is not one.
    """
    for needed in (path, path + ".sha256"):
        if not os.path.isfile(needed):
            raise InputError(
                f"artifact {path}",
                "the file and its .sha256 beside it",
                f"no {needed}",
                "Correct mobius_release_source, or write the checksum with: sha256sum FILE > FILE.sha256",
            )
    with open(path + ".sha256", encoding="utf-8", errors="replace") as stream:
        word = (stream.read().split() or [""])[0].lower()
    if len(word) != 64 or any(letter not in "0123456789abcdef" for letter in word):
        raise IntegrityError(f"checksum file {path}.sha256", "a SHA-256 in hexadecimal", repr(word[:70]), "Write it again")
    return word


def stored(path: str) -> bool:
    """Whether an artifact and its checksum are there."""
    return os.path.isfile(path) and os.path.isfile(path + ".sha256")


def verify_file(path: str, sha256: str, remedy: str = "Build or copy the artifact again; do not deploy it") -> None:
    """:raises IntegrityError: when the file's content is not what its checksum says."""
    found = fs.sha256_file(path)
    if found != sha256:
        raise IntegrityError(f"artifact {path}", f"SHA-256 {sha256}", found, remedy)


def read_manifest(path: str) -> Manifest | None:
    """The manifest of an artifact, or ``None`` when the tar file has none (a bare source archive).

    :raises IntegrityError: when the file is no gzipped tar file or its manifest is broken.
    """
    manifest = first_json(path, MANIFEST)
    if manifest is not None and (not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA):
        raise IntegrityError(f"artifact {path}", f"a manifest of schema {SCHEMA}", "another one", "Use a newer mobius.ops")
    wrong = "" if manifest is None else shapes.fault(manifest, _SHAPE)
    if wrong:
        raise IntegrityError(f"artifact {path}", f"a whole {MANIFEST}", wrong, "Build the artifact again; do not deploy it")
    return t.cast(t.Optional[Manifest], manifest)


def first_json(path: str, name: str) -> t.Any:
    """What the first member of a tar file tells, or ``None`` when it has another name.

    :raises IntegrityError: when the file is no gzipped tar file or that member no JSON.
    """
    content = tarball.first(path, name, MANIFEST_LIMIT)
    try:
        return None if content is None else documents.parse(content)
    except ValueError as error:
        raise IntegrityError(f"artifact {path}", f"JSON in {name}", str(error), "Build or copy the artifact again") from error


def unpack_some(path: str, folder: str, names: t.Collection[str]) -> None:
    """Unpack only the files at an artifact's top that have one of these names."""
    with tarball.readable(path), open(path, "rb") as stream:
        for archive, member in tarball.members(path, stream):
            if member.name in names and member.isreg():
                with open(os.path.join(folder, member.name), "wb") as target:
                    os.fchmod(target.fileno(), 0o600 if tarball.is_private(member) else 0o644)
                    shutil.copyfileobj(t.cast(t.IO[bytes], archive.extractfile(member)), target)


def unpack(path: str, folder: str) -> None:
    """Unpack a tar file into an empty folder (``_core.tarball.unpack``)."""
    tarball.unpack(path, folder)


def pack(path: str, first: str, about: t.Mapping[str, object], members: dict[str, str]) -> None:
    """Write a gzipped tar file and its checksum: what it is, as JSON in its first member, then files or whole folders.

    Each name of a file that has several is a file of its own, for ``unpack`` takes no hard links. Others may not read a tar file with an
    .npmrc that has a token or a password, nor that .npmrc where it is unpacked.

    :param members: where each of them lies, by its name in the archive.
    """
    private = {name for name, where in members.items() if _has_token(name, where)}
    content = json.dumps(about, indent=1, sort_keys=True).encode("utf-8")
    head = tarfile.TarInfo(first)
    head.size, head.mtime = len(content), int(time.time())
    with (
        fs.atomic_file(path, 0o600 if private else 0o644) as stream,
        tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.PAX_FORMAT) as archive,
    ):
        archive.addfile(head, io.BytesIO(content))

        def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
            archive.inodes.clear()  # type: ignore[attr-defined]
            return _plain(member, member.name in private)

        for name, where in members.items():
            archive.add(where, name, filter=plain)
    fs.write_text(path + ".sha256", f"{fs.sha256_file(path)}  {os.path.basename(path)}\n")


def _has_token(name: str, path: str) -> bool:
    """Whether a file is an npm configuration with a secret of its own in it, and not only the name of a variable that has one."""
    if os.path.basename(name) != ".npmrc" or not os.path.isfile(path):
        return False
    with open(path, encoding="utf-8", errors="replace") as stream:
        return bool(_TOKEN.search(stream.read(fs.CHUNK)))


def _plain(member: tarfile.TarInfo, private: bool) -> tarfile.TarInfo:
    """No owners, and the build's time: web servers tell files of one size apart by their time."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = int(time.time())
    member.mode = 0o600 if private else 0o755 if member.mode & 0o100 else 0o644
    return member


def require_safe(path: str) -> None:
    """:raises IntegrityError: when a tar file is damaged, or has a member that ``unpack`` refuses."""
    with open(path, "rb") as stream:
        tarball.require_safe(path, stream)


def _astray(names: dict[str, str]) -> tuple[str, str] | None:
    """The first link that no host would unpack, and why."""
    seen = tarball.Names()
    for name, path in names.items():
        if os.path.islink(path):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
            wrong = seen.fault(member)
            if wrong:
                return name, wrong
    return seen.astray()


def require_links(names: dict[str, str], what: str) -> None:
    """Refuse, before anything is packed, links that no host would unpack.

    :param names: where each file and symlink lies, by its name in the release.
    :raises InputError: for one that leads out of the release, or through another one.
    """
    name, reason = _astray(names) or ("", "")
    if reason:
        raise InputError(
            what, "links within it only, and to real folders", f"{name}, {reason}", "Put what it leads to there, or leave the link out"
        )


def compare(folder: str, manifest: Manifest) -> None:
    """:raises IntegrityError: when an unpacked folder is not, file by file, what the manifest lists."""
    found = {name: describe(path) for name, path in walk(folder)}
    for name in sorted(set(found) | set(manifest["files"])):
        if found.get(name) != manifest["files"].get(name):
            raise IntegrityError(
                f"artifact file {name}",
                f"{manifest['files'].get(name) or 'no such file'}",
                f"{found.get(name) or 'no such file'}",
                "Build the artifact again; do not deploy it",
            )
