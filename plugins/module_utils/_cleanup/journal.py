# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What clean-ups have put into quarantine: one record a run, ``state/cleanup/<run>.json``.

A record is durable before the first of its files moves, and names all that are going to. So a file in quarantine is in a record whenever
its run is killed; what a record names that is not in quarantine did not move, or went back, and is taken out by the next run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import typing as t

from .._backup.archive import paths as archive_paths
from .._core import clock, foreign, fs
from .._core.accounts import Account
from .._core.errors import IntegrityError, StateError
from .._target import records
from .._target.layout import Layout

#: The folder in quarantine that belongs to the service's user.
FILES = "files"
_SUFFIX = ".json"


class _Kept(t.TypedDict):
    name: str
    component: str
    path: str
    kind: str
    size: int
    mtime_ns: int
    sha256: str
    archive: str


class Cleaned(t.TypedDict):
    """The record of a clean-up; ``size`` of its entries in bytes."""

    run: str
    when: str
    quarantine: str
    entries: list[_Kept]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file in quarantine."""

    #: Its name there.
    name: str
    component: str
    #: Its path below the component's folder, as text that is the same in every locale.
    path: str
    kind: str
    size: int
    mtime_ns: int
    #: Empty when it was not the file that was meant.
    sha256: str
    #: Name of the backup that holds it.
    archive: str

    @property
    def shown(self) -> str:
        """Component and path."""
        return f"{self.component}/{self.path}"


@dataclasses.dataclass(frozen=True)
class Run:
    """A clean-up and its files."""

    run: str
    when: str
    #: The folder of the quarantine.
    quarantine: str
    entries: tuple[Entry, ...]

    @property
    def files(self) -> str:
        """Where its files are."""
        return os.path.join(self.quarantine, FILES)

    def expired(self, days: float) -> bool:
        """Whether it is so many days old."""
        return (clock.now() - clock.parse(self.when)).total_seconds() >= days * 86400

    def but(self, entries: t.Iterable[Entry]) -> Run:
        """The same with other files."""
        return dataclasses.replace(self, entries=tuple(entries))


def folder(layout: Layout) -> str:
    """Where the records are."""
    return layout.path("state", "cleanup")


def name() -> str:
    """A name for a run."""
    return f"{clock.stamp()}-{secrets.token_hex(3)}"


def load(layout: Layout) -> list[Run]:
    """All runs that have something in quarantine, oldest first. :raises IntegrityError: when a record is damaged."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for each in sorted(name[: -len(_SUFFIX)] for name in os.listdir(folder(layout)) if name.endswith(_SUFFIX)):
            value: Cleaned | None = records.read(os.path.join(folder(layout), each + _SUFFIX), records.CLEANED)
            if value:
                _check(os.path.join(folder(layout), each + _SUFFIX), value)
                found.append(Run(value["run"], value["when"], value["quarantine"], tuple(map(_entry, value["entries"]))))
    return found


def _entry(kept: _Kept) -> Entry:
    return Entry(
        kept["name"], kept["component"], kept["path"], kept["kind"], kept["size"], kept["mtime_ns"], kept["sha256"], kept["archive"]
    )


def _check(path: str, value: Cleaned) -> None:
    """:raises IntegrityError: when a name leads out of its folder."""
    wrong = [
        entry["path"]
        for entry in value["entries"]
        if "/" in entry["name"] or entry["name"] in ("", ".", "..") or archive_paths.wrong_with(f"{entry['component']}/{entry['path']}")
    ]
    if wrong or not os.path.isabs(value["quarantine"]) or "/" in value["run"]:
        raise IntegrityError(path, records.CLEANED.what, "a path that is none of a clean-up's", records.CLEANED.todo)


def save(layout: Layout, run: Run) -> None:
    """Write a record durably, or remove that of a run which has no more files."""
    path = os.path.join(folder(layout), run.run + _SUFFIX)
    if run.entries:
        os.makedirs(folder(layout), mode=0o700, exist_ok=True)
        fs.write_json(path, dataclasses.asdict(run), 0o600)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        fs.fsync_dir(folder(layout))


def make_quarantine(path: str, account: Account) -> None:
    """Make the folder of a quarantine: this process's own, and in it one of the service's user.

    :raises StateError: when something else is in its place, or another user could exchange it.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o711)
    try:
        with foreign.folder(path) as outer:
            if not foreign.trusted(outer):
                raise StateError(
                    f"quarantine {path}",
                    "a folder that only this user can write to",
                    "another owner or mode",
                    "Correct it, or name another folder (mobius_cleanup_quarantine)",
                )
            foreign.settle(outer, os.geteuid(), os.getegid(), 0o711)
            with contextlib.suppress(FileExistsError):
                os.mkdir(FILES, 0o700, dir_fd=outer)
            inner = os.open(FILES, foreign.FOLDER, dir_fd=outer)
            try:
                foreign.settle(inner, account.uid, account.gid, 0o700)
            finally:
                os.close(inner)
            os.fsync(outer)
    except OSError as error:
        raise StateError(
            f"quarantine {path}",
            "a folder",
            str(error.strerror),
            "Move away what is there, or name another folder (mobius_cleanup_quarantine)",
        ) from error
