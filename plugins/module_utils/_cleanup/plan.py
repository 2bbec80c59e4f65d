# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides which files a clean-up takes: old, named by no store, held by a verified backup, and within the quota; the oldest first.

A dry run and a run make their plan by the same code, so they agree on every byte as long as nothing changes in between.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import typing as t

from .._backup import external_state
from .._backup.archive import paths as archive_paths
from .._core import accounts, as_user, mounts
from .._core.errors import InputError, StateError
from .._target import progress, shared_folders
from .._target.layout import QUARANTINE, Layout
from . import held, scan
from .rules import Rules

#: Names handed over at a time, and files and bytes hashed at a time.
_PAGE, _HASHED, _HASHED_BYTES = 5_000, 64, 256 * 1024**2
#: Bytes a second that hashing has at least.
_SPEED = 5_000_000
#: Bytes that SQLite may write: its index beside a database that keeps a write-ahead log.
WRITTEN = 64 * 1024**2


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for."""

    rules: Rules
    source: held.Source
    #: The folder of the quarantine, for components on its mount.
    quarantine: str
    #: Bytes and files that a run moves at most.
    max_bytes: int = 10 * 1024**3
    max_files: int = 10_000
    #: Days that a file stays in quarantine.
    expiry_days: float = 7.0
    #: Seconds that a run may take for its files.
    limit: float = 900.0
    #: What is to be restored: components and paths, patterns of such, or names of runs.
    wanted: tuple[str, ...] = ()
    why: str = ""

    def check(self, layout: Layout) -> None:
        """:raises InputError: when something is wrong."""
        self.rules.check()
        for name in ("max_bytes", "max_files", "expiry_days"):
            if getattr(self, name) < 0:
                raise InputError(name, "a number from 0", f"{getattr(self, name):g}", "Correct it")
        places = [os.path.abspath(self.quarantine), os.path.realpath(self.quarantine)]
        own = (layout.shared, layout.releases, layout.backups, layout.state)
        inside = [
            each for each in own for base in (each, os.path.realpath(each)) if any(f"{place}/".startswith(f"{base}/") for place in places)
        ]
        if not os.path.isabs(self.quarantine) or inside:
            raise InputError(
                f"quarantine {self.quarantine}",
                "an absolute path outside of the application's folders",
                f"one in {inside[0]}" if inside else "another one",
                "Name another folder (mobius_cleanup_quarantine)",
            )


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A file that is to go."""

    row: scan.Row
    sha256: str
    #: Name of the backup that holds it.
    archive: str

    @property
    def path(self) -> str:
        """Its path below the component's folder, as text that is the same in every locale."""
        return archive_paths.to_text(self.row[scan.PATH])


class Left:
    """Why old files stay: how many, and their bytes."""

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])

    def add(self, reason: str, size: int, files: int = 1) -> None:
        """Count files."""
        self.counts[reason][0] += files
        self.counts[reason][1] += size

    def facts(self) -> dict[str, dict[str, int]]:
        """As a result has them."""
        return {reason: {"files": files, "bytes": size} for reason, (files, size) in sorted(self.counts.items())}


class Worker:
    """The process that has the rights of the service's user, and what it asks and is told. :raises StateError: when it fails."""

    def __init__(self, layout: Layout, limit: float) -> None:
        self.folders = {component: layout.component(component) for component in ("uploads", "generated", "logs", "database")}
        self.account = _account(self.folders)
        self.helper, self.limit = as_user.Helper(self.account), limit

    def __call__(self, function: t.Callable[..., t.Any], *words: t.Any, seconds: float | None = None) -> t.Any:
        try:
            return self.helper.call(function, *words, seconds=seconds or self.limit, written=WRITTEN)
        except as_user.Failed as error:
            raise StateError(
                "the process with the rights of the service's user",
                "an answer",
                str(error),
                "Run it again: what has moved is in a record, and can be restored",
            ) from error


def _account(folders: dict[str, str]) -> accounts.Account:
    """Whose folders these are. :raises StateError: when they are not all of one user."""
    owners = {path: accounts.owner_of(path) for path in folders.values() if os.path.lexists(path)}
    one = next(iter(owners.values()), accounts.own())
    others = [path for path, owner in owners.items() if owner != one]
    if others:
        raise StateError(
            f"folder {others[0]}",
            f"the owner of {next(iter(owners))} (user {one.uid})",
            f"user {owners[others[0]].uid}",
            "Correct its owner: mobius.ops.setup does",
        )
    return one


@contextlib.contextmanager
def worker(layout: Layout, request: Request) -> t.Iterator[Worker]:
    """While the block runs, there is such a process; it has read the stores, and begun to look."""
    made = Worker(layout, request.limit)
    entries = shared_folders.load(layout)
    common = {name for entry in entries for path in (entry["folder"], *entry["create"]) for name in path.split("/") if name}
    rules = dataclasses.replace(request.rules, common_folders=sorted({*request.rules.common_folders, *common}))
    with made.helper:
        made(scan.begin, rules.packed(), made.folders, scan.now(), request.limit)
        yield made


class Plan:
    """The files that go, and why others stay."""

    def __init__(self, layout: Layout, request: Request, ask: Worker, backups: held.Backups) -> None:
        self._layout, self._request, self._ask, self._backups = layout, request, ask, backups
        self.left = Left()
        self.files: list[Candidate] = []

    @property
    def size(self) -> int:
        """Bytes of the files that go."""
        return sum(candidate.row[scan.SIZE] for candidate in self.files)

    def make(self, meter: progress.Meter) -> None:
        """Look at the files, and choose. :raises StateError: when the stores cannot be read, or it takes too long."""
        meter.phase("looking at files")
        rows = self._choose(self._held(meter))
        meter.phase("comparing with the backup", sum(row[scan.SIZE] for row in rows), len(rows))
        self._compare(rows, meter)

    def _held(self, meter: progress.Meter) -> list[scan.Row]:
        """Old files that a backup holds by path and size, oldest first."""
        rows = []
        while True:
            page = self._ask(scan.page, _PAGE)
            for row in page:
                meter.add(0, files=1)
                reason = self._reason(row)
                if reason:
                    self.left.add(reason, row[scan.SIZE])
                else:
                    rows.append(row)
            if len(page) < _PAGE:
                break
        for reason, (files, size) in self._ask(scan.left).items():
            self.left.add(reason, size, files)
        return sorted(rows, key=lambda row: (row[scan.CLOCK], row[scan.COMPONENT], row[scan.PATH]))

    def _reason(self, row: scan.Row) -> str:
        member = self._member(row)
        if member is None:
            return "not_in_backup"
        return "" if member.size == row[scan.SIZE] else "differs_from_backup"

    def _member(self, row: scan.Row) -> held.Member | None:
        return self._backups.member(row[scan.COMPONENT], archive_paths.to_text(row[scan.PATH]))

    def _choose(self, rows: list[scan.Row]) -> list[scan.Row]:
        """What is within the quota. A file that is too large lets smaller ones pass."""
        chosen: list[scan.Row] = []
        size = 0
        for row in rows:
            if len(chosen) < self._request.max_files and size + row[scan.SIZE] <= self._request.max_bytes:
                chosen.append(row)
                size += row[scan.SIZE]
            else:
                self.left.add("over_quota", row[scan.SIZE])
        return chosen

    def _compare(self, rows: list[scan.Row], meter: progress.Meter) -> None:
        """Take the files whose content is what the backup holds."""
        for batch in _batches(rows):
            size = sum(row[scan.SIZE] for row in batch)
            digests = self._ask(scan.digests, batch, seconds=60 + size / _SPEED)
            for row, digest in zip(batch, digests):
                member = self._member(row)
                if not digest:
                    self.left.add("changed", row[scan.SIZE])
                elif member is None or digest != member.sha256:
                    self.left.add("differs_from_backup", row[scan.SIZE])
                else:
                    self.files.append(Candidate(row, digest, member.archive))
            meter.add(size, files=len(batch))


def _batches(rows: list[scan.Row]) -> t.Iterator[list[scan.Row]]:
    batch: list[scan.Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= _HASHED or sum(each[scan.SIZE] for each in batch) >= _HASHED_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def places(layout: Layout, request: Request) -> dict[str, str]:
    """Component -> the folder of its quarantine: one of its own where it is on another mount, for a rename works only within one."""
    known = mounts.points()
    common = mounts.point_of(request.quarantine, known)
    folders = {component: layout.component(component) for component in request.rules.components()}
    return {
        component: request.quarantine if mounts.point_of(path, known) == common else os.path.join(path, QUARANTINE)
        for component, path in folders.items()
    }


def require_known_state(layout: Layout, rules: Rules) -> None:
    """:raises StateError: when files may be named in a database that is somewhere else, which nothing here reads."""
    if rules.needs_stores() and external_state.load(layout).get("dump"):
        raise StateError(
            "clean-up of more than logs",
            "the state of the service in its component database",
            "that it is kept elsewhere (mobius_external_state), and may name files",
            "Clean up logs only (mobius_cleanup_kinds)",
        )


def backups(layout: Layout, request: Request, meter: progress.Meter) -> held.Backups:
    """What verified backups hold. :raises StateError: when there is none."""
    components = request.rules.components()
    found = held.Backups(layout, request.source, components, meter)
    found.require(components)
    return found
