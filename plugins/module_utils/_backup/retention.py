# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which archives stay, which go, and how they go.

An archive counts only when it is verified. What is not verified is neither counted nor removed: a person looks at it.
Archives of different components are counted apart: one of the logs alone does not take the place of one of everything.
So are safety backups: what a restore replaced does not take the place of what it restored.
An archive that is dated in the future is neither counted nor removed, because nobody knows which day it is of.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import typing as t

from .._core import clock, fs, immutable, locks
from .._core.errors import InputError, OpsError, StateError
from .._target import history, progress
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from . import catalog, purposes, signature
from .archive.reader import Archive
from .backup_types import BackupFacts

#: A period's name -> how the one that a moment lies in is called. Weeks are those of ISO 8601.
_PERIODS: dict[str, t.Callable[[datetime.datetime], str]] = {
    "daily": lambda moment: moment.strftime("%Y-%m-%d"),
    "weekly": lambda moment: "{}-W{:02}".format(*moment.isocalendar()[:2]),
    "monthly": lambda moment: moment.strftime("%Y-%m"),
}


#: Why an archive stays that no rule counts.
FUTURE = "dated in the future"


@dataclasses.dataclass(frozen=True)
class Keep:
    """How many archives each rule keeps."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    def require(self) -> None:
        """:raises InputError: when a number is wrong, or all are 0."""
        for name, number in dataclasses.asdict(self).items():
            if number < 0:
                raise InputError(f"keep_{name}", "0 or more archives", str(number), "Correct it")
        if not any(dataclasses.astuple(self)):
            raise InputError(
                "retention",
                "a number above 0 in one of keep_last, keep_daily, keep_weekly and keep_monthly",
                "0 in all of them, which would give up every archive",
                "Say how many are to stay",
            )


@dataclasses.dataclass(frozen=True)
class Request:
    """What to prune, and by which rules."""

    env: str
    dest: str
    keep: Keep
    #: ``all``: every archive is read before it counts. ``newest``: only until one is verified.
    verify: str = "all"
    policy: signature.Policy | None = None


class Brief(t.TypedDict):
    """An archive in the result; ``size`` in bytes."""

    archive: str
    created: str
    size: int | None


class Kept(Brief):
    """An archive that stays, and the rules that keep it."""

    reasons: list[str]


class Unsound(Brief):
    """An archive that is not verified, and why."""

    status: str
    reason: str


@dataclasses.dataclass
class Plan:
    """What stays and why, and what goes."""

    kept: list[Kept]
    #: Some of those that stay: they are dated in the future.
    future: list[str]
    removed: list[Brief]
    unsound: list[Unsound]
    #: Files that belong to no archive any more.
    swept: list[str]
    #: Files that would go and cannot, because of an attribute: the path, the reason, and the command that releases it.
    held: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def freed(self) -> int:
        """Bytes of all that goes."""
        files = self.swept + [name for facts in self.removed for name in catalog.files_of(facts["archive"])]
        return sum(map(_size, files))


def reasons(backups: t.Iterable[catalog.Backup], keep: Keep) -> dict[str, list[str]]:
    """Archive -> the rules that keep it: the newest *last*, and the newest of each of the last days, weeks and months
    (in UTC) that have one. Archives that no rule keeps are not in it.
    """
    newest_first = sorted(backups, key=lambda backup: backup.stamp, reverse=True)
    found: dict[str, list[str]] = {backup.archive: ["last"] for backup in newest_first[: keep.last]}
    for rule, period in _PERIODS.items():
        firsts: dict[str, str] = {}
        for backup in newest_first:
            firsts.setdefault(period(clock.from_stamp(backup.stamp)), backup.archive)
        for name, archive in list(firsts.items())[: getattr(keep, rule)]:
            found.setdefault(archive, []).append(f"{rule} {name}")
    return found


def plan(layout: Layout, request: Request, meter: progress.Meter | None = None) -> Plan:
    """What would go.

    :raises StateError: when there are archives and none of them is verified: then each may be the last hope.
    """
    request.keep.require()
    described = _examined(layout, request, meter)
    sound = [facts for facts in described if facts["status"] == "verified"]
    unsound = [facts for facts in described if facts["status"] != "verified"]
    if unsound and not sound:
        raise StateError(
            f"backups of {request.env} in {request.dest}",
            "at least one verified archive before any is removed",
            f"none among {len(unsound)} (the newest: {unsound[0]['reason'].rstrip('.')})",
            "Nothing was removed. Make a backup with mobius.ops.backup, then look at the others",
        )
    why: dict[str, list[str]] = {}
    for group in _groups(sound):
        if group[0]["future"]:  # nobody knows which day it is of
            why.update({facts["archive"]: [FUTURE] for facts in group})
            continue
        why.update(reasons([catalog.Backup(facts["archive"], facts["env"], _stamp(facts)) for facts in group], request.keep))
        why.setdefault(group[0]["archive"], []).append("newest verified")
    for archive, reason in (*_named(layout, sound), *_shrunk(sound, why)):
        why.setdefault(archive, []).append(reason)
    return _possible(
        Plan(
            kept=[{**_brief(facts), "reasons": why[facts["archive"]]} for facts in sound if facts["archive"] in why],
            future=[facts["archive"] for facts in sound if facts["future"]],
            removed=[_brief(facts) for facts in sound if facts["archive"] not in why],
            unsound=[{**_brief(facts), "status": facts["status"], "reason": facts["reason"]} for facts in unsound],
            swept=_leftovers(request, sound),
        )
    )


def _possible(planned: Plan) -> Plan:
    """The same without what cannot be removed, because it or its folder is immutable or append-only."""
    held: dict[str, immutable.Held] = {}

    def can_go(*paths: str) -> bool:
        found = {one.path: one for one in map(immutable.around, paths) if one}
        held.update(found)
        return not found

    removed = [facts for facts in planned.removed if can_go(*catalog.files_of(facts["archive"]))]
    swept = [path for path in planned.swept if can_go(path)]
    told = [{"path": one.path, "reason": f"it is {one.kind}", "release": one.release} for one in held.values()]
    return dataclasses.replace(planned, removed=removed, swept=swept, held=told)


def apply(layout: Layout, request: Request, planned: Plan) -> None:
    """Remove what the plan says, the oldest first; one that the system refuses to remove stops no other.

    :raises StateError: when there is such a one.
    """
    gone: list[str] = []
    refused: list[OSError] = []
    freed = planned.freed
    try:
        for facts in reversed(planned.removed):
            with _noted(refused):
                catalog.remove(facts["archive"])
                gone.append(os.path.basename(facts["archive"]))
        for path in planned.swept:
            with _noted(refused), contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        fs.fsync_dir(request.dest)
    finally:
        if gone:
            history.record(layout, "backups_pruned", env=request.env, removed=gone, freed=freed, kept=len(planned.kept))
    if refused:
        raise StateError(
            f"backups of {request.env} in {request.dest}",
            "all files that are to go to be removed",
            f"{len(refused)} that cannot be, the first {refused[0].filename} ({refused[0].strerror})",
            "The others were removed. Find out what keeps these: lsattr, mount and dmesg",
        )


@contextlib.contextmanager
def _noted(refused: list[OSError]) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        refused.append(error)


@contextlib.contextmanager
def alone(folder: str) -> t.Iterator[None]:
    """Hold a backup folder, so that no two prune it at once. :raises StateError: when another one does."""
    if not os.path.isdir(folder):
        catalog.find(folder)  # says so
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not locks.taken(descriptor):
            raise StateError(f"backup folder {folder}", "nobody else who removes archives", "one who does", "Wait until it has ended")
        yield
    finally:
        os.close(descriptor)


def _examined(layout: Layout, request: Request, meter: progress.Meter | None) -> list[BackupFacts]:
    """Facts of every archive, newest first; none is ``verified`` that was not looked at as the request asks for."""
    backups, past = catalog.find(request.dest, request.env, layout), purposes.Past(layout)
    if request.verify == "all":
        return catalog.describe(backups, "checksum", request.policy, meter, past)
    described = catalog.describe(backups, "none", request.policy, meter, past)
    read = set()
    for index, facts in enumerate(described):
        if facts["reason"] == catalog.NOT_CHECKED:
            group = _group(facts)
            if group not in read:
                [facts] = catalog.describe([backups[index]], "checksum", request.policy, meter, past)
            described[index] = {**facts, "status": "verified"} if group in read else facts
            if described[index]["status"] == "verified":
                read.add(group)
    return described


def _groups(sound: list[BackupFacts]) -> list[list[BackupFacts]]:
    """Archives that count together, newest first."""
    found: dict[tuple[object, ...], list[BackupFacts]] = {}
    for facts in sound:
        found.setdefault(_group(facts), []).append(facts)
    return list(found.values())


def _group(facts: BackupFacts) -> tuple[object, ...]:
    """The key of the archives that count together: the same components, safety backups and those from the future apart."""
    return facts["purpose"] == purposes.SAFETY, facts["future"], *facts["components"]


def _named(layout: Layout, sound: list[BackupFacts]) -> t.Iterator[tuple[str, str]]:
    """Archives that records name, which stay whatever the rules say, each with the reason."""
    store = ReleaseStore(layout)
    live = store.live()
    for words, record in (("live release", store.get(live) if live else None), ("rollback target", store.target())):
        named = os.path.basename(record.get("backup") or "") if record else ""
        for facts in sound:
            if record and os.path.basename(facts["archive"]) == named:
                yield facts["archive"], f"named by the {words} {record['id']}"


def _shrunk(sound: list[BackupFacts], why: t.Container[str]) -> t.Iterator[tuple[str, str]]:
    """Archives from before a component shrank, as long as one that says so stays, each with the reason."""
    archives = {os.path.basename(facts["archive"]): facts["archive"] for facts in sound}
    found = {(name, component) for facts in sound if facts["archive"] in why for component, name in facts["shrunk"].items()}
    for name, component in sorted(found):
        if name in archives:
            yield archives[name], f"the last before {component} shrank"


def _leftovers(request: Request, sound: list[BackupFacts]) -> list[str]:
    """Sidecars and signatures whose archive is gone, and archives kept aside for which there is a newer verified one."""
    found = []
    for name in sorted(os.listdir(request.dest)):
        for suffix in (*catalog.BESIDE, catalog.INCOMPLETE):
            backup = catalog.parse(name[: -len(suffix)]) if name.endswith(suffix) else None
            if backup and backup.env == request.env and not os.path.isdir(os.path.join(request.dest, name)):
                path = os.path.join(request.dest, name)
                old = _replaced(path, backup.stamp, sound) if suffix == catalog.INCOMPLETE else _orphaned(request.dest, backup.archive)
                found += [path] if old else []
                break
    return found


def _replaced(path: str, stamp: str, sound: list[BackupFacts]) -> bool:
    """Whether a newer archive holds what an archive that was kept aside was to hold; of one that cannot be read, anything."""
    wanted: set[str] = set()
    with contextlib.suppress(OpsError), Archive(path) as archive:
        wanted = set(archive.manifest["components"])
    return any(not facts["future"] and _stamp(facts) > stamp and wanted <= set(facts["components"]) for facts in sound)


def _orphaned(folder: str, archive: str) -> bool:
    """Whether there is no such archive, and nobody is about to give one that name.

    In this order: who publishes has a partial file, and after it an archive.
    """
    return not os.path.lexists(os.path.join(folder, f".{archive}.partial")) and not os.path.lexists(os.path.join(folder, archive))


def _size(path: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_size
    return 0


def _stamp(facts: BackupFacts) -> str:
    return clock.stamp(clock.parse(facts["created"]))


def _brief(facts: BackupFacts) -> Brief:
    return {"archive": facts["archive"], "created": facts["created"], "size": facts["size"]}
