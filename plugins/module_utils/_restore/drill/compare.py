# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore put on the disk, held against the archive's manifest: each file is read again, each database opened."""

from __future__ import annotations

import base64
import contextlib
import grp
import hashlib
import os
import pwd
import stat
import tempfile
import time
import typing as t

from ..._backup.archive import database_copies
from ..._backup.archive import paths as archive_paths
from ..._core import as_user, fs, sqlite, sqlite_check, threads, walk, wording
from ..._core.accounts import Account
from ..._core.errors import IntegrityError
from ..._core.kinds import Entry
from ..._target import progress
from .drill_types import Compared, Database, Difference, Tables

#: Set-uid and set-gid bits are not restored.
_MODE_BITS = 0o1777
_TYPES = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK}
#: Differences that are told; more are counted.
SHOWN = 20


def compare(entries: t.Sequence[Entry], folder: str, meter: progress.Meter) -> Compared:
    """Hold what is below a folder against the entries of a manifest.

    :returns: how many ``files, links, folders`` and ``bytes`` were compared.
    :raises IntegrityError: when anything differs, is missing or is there too much; its ``facts`` have ``differences``.
    """
    paths = {archive_paths.to_disk(entry["path"]): entry for entry in entries}

    def work(item: tuple[str, Entry]) -> list[Difference]:
        share = progress.Share(meter, item[1]["size"])
        found = _differences(os.path.join(folder, item[0]), item[1], share)
        share.end(files=int(item[1]["type"] != "dir"))
        return [{"path": wording.printable(item[1]["path"]), "what": what} for what in found]

    differences = [one for some in threads.in_threads(work, list(paths.items())) for one in some]
    surplus = sorted(_below(folder) - set(paths))
    differences += [{"path": wording.printable(archive_paths.to_text(path)), "what": "it is not in the archive"} for path in surplus]
    differences += _wrong_links(paths, folder)
    if differences:
        first, more = differences[0], len(differences) - 1
        raise IntegrityError(
            "the restored files",
            "what the archive's manifest says",
            f"{first['path']}: {first['what']}" + (f", and {more} more" if more else ""),
            "Look at the disk (dmesg, smartctl), and drill again with another scratch folder",
            {"differences": differences[:SHOWN]},
        )
    kinds = [entry["type"] for entry in entries]
    return {
        "files": kinds.count("file"),
        "links": kinds.count("symlink"),
        "folders": kinds.count("dir"),
        "bytes": sum(entry["size"] for entry in entries if entry["type"] == "file"),
    }


def _below(folder: str) -> set[str]:
    return {f"{found.relative}/{name}".lstrip("/") for found in walk.walk(folder) for name, _status in found.entries}


def _differences(path: str, entry: Entry, meter: progress.Meter) -> list[str]:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return ["it is missing"]
    if not _TYPES[entry["type"]](status.st_mode):
        return [f"it is no {entry['type']}"]
    content = _content(path, entry, status.st_size, meter)
    found = [content] if content else []
    mode = stat.S_IMODE(status.st_mode) & _MODE_BITS
    if entry["type"] != "symlink" and mode != int(entry["mode"], 8) & _MODE_BITS:
        found.append(f"mode {mode:04o} instead of {entry['mode']}")
    if abs(status.st_mtime_ns - entry["mtime_ns"]) >= 10**9:
        found.append(f"time {status.st_mtime_ns} ns instead of {entry['mtime_ns']}")
    return found + _owner(status, entry) + _attributes(path, entry)


def _content(path: str, entry: Entry, size: int, meter: progress.Meter) -> str:
    if entry["type"] == "symlink":
        target = archive_paths.to_text(os.readlink(path))
        return "" if target == entry["target"] else f"it leads to {wording.printable(target)}"
    if entry["type"] == "dir":
        return ""
    if size != entry["size"]:
        return f"{size} bytes instead of {entry['size']}"
    digest = _hash_of_the_disk(path, meter)
    return "" if digest == entry["sha256"] else f"SHA-256 {digest} instead of {entry['sha256']}"


def _hash_of_the_disk(path: str, meter: progress.Meter) -> str:
    """The SHA-256 of a file as the disk has it, and not the memory that it was just written from."""
    digest = hashlib.sha256()
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for chunk in iter(lambda: stream.read(fs.CHUNK), b""):
            digest.update(chunk)
            meter.add(len(chunk))
    return digest.hexdigest()


def _owner(status: os.stat_result, entry: Entry) -> list[str]:
    """Only root can restore owners; names count where this host knows them, else numbers."""
    if os.geteuid():
        return []
    found = []
    for what, number, wanted, name, lookup in (
        ("owner", status.st_uid, entry["uid"], entry.get("owner"), lambda name: pwd.getpwnam(name).pw_uid),
        ("group", status.st_gid, entry["gid"], entry.get("group"), lambda name: grp.getgrnam(name).gr_gid),
    ):
        with contextlib.suppress(KeyError):
            wanted = lookup(name) if name else wanted
        if number != wanted:
            found.append(f"{what} {number} instead of {wanted}")
    return found


def _attributes(path: str, entry: Entry) -> list[str]:
    found = []
    for name, value in (entry.get("xattrs") or {}).items():
        try:
            same = os.getxattr(path, name, follow_symlinks=False) == base64.b64decode(value)
        except OSError:
            same = False
        if not same:
            found.append(f"another value of the extended attribute {name}, or none")
    return found


def _wrong_links(paths: dict[str, Entry], folder: str) -> list[Difference]:
    """Files that were one file with several names have to be so again."""
    groups: dict[int, set[tuple[int, int]]] = {}
    found: list[Difference] = []
    for path, entry in paths.items():
        if entry["type"] == "file" and entry.get("hardlink"):
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(os.path.join(folder, path))
                seen = groups.setdefault(entry["hardlink"], set())
                seen.add((status.st_dev, status.st_ino))
                if len(seen) > 1:
                    found.append({"path": wording.printable(entry["path"]), "what": "it is no hard link of its group"})
    return found


def databases(folder: str, account: Account, deadline: float, meter: progress.Meter, files: t.Container[str] = ()) -> list[Database]:
    """Open every SQLite database below a folder, known by its content: ``path, tables, rows, counts`` of each.

    :param files: paths that are no databases of the application, although they begin like one: they may be anybody's, and are not opened.
    :param account: with whose rights they are opened.
    :param deadline: when to give up, as ``time.monotonic`` counts.
    :raises IntegrityError: when one is not sound. :raises StateError: when it takes too long.
    """
    found: list[Database] = []
    with database_copies.Databases(account, [tempfile.gettempdir(), folder, "/tmp", "/var/tmp"]) as opened:
        for path, size in sorted(each for each in _databases_below(folder) if each[0] not in files):
            shown = wording.printable(archive_paths.to_text(path))
            found.append({"path": shown, **_examine(opened, folder, path, shown, deadline)})
            meter.add(size, 1)
    return found


def _databases_below(folder: str) -> t.Iterator[tuple[str, int]]:
    for found in walk.walk(folder):
        for name, status in found.entries:
            if stat.S_ISREG(status.st_mode) and sqlite.is_database(name, found.descriptor):
                yield f"{found.relative}/{name}".lstrip("/"), status.st_size


def _examine(opened: database_copies.Databases, folder: str, path: str, shown: str, deadline: float) -> Tables:
    left = deadline - time.monotonic()
    try:
        said = opened.ask(folder, path, sqlite_check.examine, shown, left, seconds=max(0.0, left) + 1)
        counts = {str(name): None if count is None else int(count) for name, count in said.items()}
    except as_user.TooSlow as error:
        raise sqlite_check.too_slow(shown) from error
    except (as_user.Failed, AttributeError, TypeError, ValueError) as error:
        raise sqlite_check.unreadable(shown, str(error)) from error
    return {"tables": len(counts), "rows": sum(count or 0 for count in counts.values()), "counts": counts}
