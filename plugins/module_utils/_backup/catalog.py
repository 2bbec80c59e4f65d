# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The backups in a folder: their names, what they are for, what state they are in, and which is the newest."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import typing as t

from .._core import checksums, clock, fs, threads, wording
from .._core.errors import IntegrityError, OpsError, StateError
from .._target import progress
from .._target.layout import Layout
from . import ordering, purposes, shrinkage, signature
from .archive.reader import Archive
from .backup_types import BackupFacts, NamedBackup, Verdict

#: What the names of the files beside an archive end with; they get their names before it, and lose them after it.
BESIDE = (signature.SUFFIX, checksums.SUFFIX)
#: An archive that some file could not be taken into is kept under a name with this end, for a person to look at.
INCOMPLETE = ".incomplete"
#: How much :func:`describe` reads.
LEVELS = ("none", "checksum", "deep")
#: The reason of an archive that looks right from outside and was not read.
NOT_CHECKED = "not checked"
#: The reason of an archive from which no state of the service comes back.
NO_STATE = (
    "it holds no state of the service: no file in database, uploads and generated, and no dump. Name its folders in "
    "mobius_shared_folders, its dump and restore commands in mobius_external_state, or say that it has none with mobius_stateless"
)
STATUSES = ("verified", "unverified", "corrupt")


@dataclasses.dataclass(frozen=True)
class Backup:
    """An archive by its name."""

    archive: str
    env: str
    stamp: str
    #: Whether the name says that it is a safety backup. Those made before names said so have an ordinary one.
    safety: bool = False

    @property
    def created(self) -> str:
        """ISO 8601 of the stamp."""
        return clock.iso(clock.from_stamp(self.stamp))


def file_name(env: str, stamp: str, safety: bool = False) -> str:
    """``dhash_<env>_<stamp>.zip``, and ``dhash_<env>_<stamp>_safety.zip`` for a safety backup."""
    return f"dhash_{env}_{stamp}{'_safety' if safety else ''}.zip"


def parse(path: str) -> Backup | None:
    """What an archive's name says; ``None`` when it is not the name of one."""
    match = ordering.NAME.fullmatch(os.path.basename(path))
    if not match:
        return None
    try:
        clock.from_stamp(match.group(2))
    except ValueError:
        return None
    return Backup(path, match.group(1), match.group(2), bool(match.group(3)))


def find(folder: str, env: str | None = None, layout: Layout | None = None) -> list[Backup]:
    """The archives in a folder, newest first.

    :param layout: its history tells the order of archives that were made while a clock was wrong.
    :raises StateError: when there is no such folder.
    """
    if not os.path.isdir(folder):
        raise StateError(f"backup folder {folder}", "a folder", "none", "Run the playbook mobius.ops.setup, or correct the path")
    found = [parse(os.path.join(folder, name)) for name in os.listdir(folder)]
    chosen = [backup for backup in found if backup and (env is None or backup.env == env)]
    return ordering.newest_first(chosen, layout)


def telling_of(backups: t.Iterable[Backup], components: t.Collection[str] = (), past: purposes.Past | None = None) -> t.Iterator[Backup]:
    """Those archives that hold all these components, or found that the host has no folder for one.

    So a backup of the logs alone does not stand for the others. A damaged archive is not passed over: who asks is to
    learn of it.

    :param past: with it, safety backups are left out: they hold the data that a restore replaced, which is often the bad
        data. It gives the purpose of archives whose manifest has none.
    """
    for backup in backups:
        manifest = None
        with contextlib.suppress(OpsError, OSError), Archive(backup.archive) as archive:
            manifest = archive.manifest
        if past and purposes.of(backup.archive, backup.safety, manifest, past)[0] == purposes.SAFETY:
            continue
        if manifest is None or {*manifest["components"], *manifest.get("empty", [])}.issuperset(components):
            yield backup


def files_of(archive: str) -> list[str]:
    """An archive and what lies beside it, in the order in which they go."""
    return [path for path in (archive, *(archive + suffix for suffix in BESIDE)) if os.path.lexists(path)]


def remove(archive: str) -> None:
    """Remove an archive before what lies beside it: a sidecar without an archive is nothing, an archive without its
    sidecar would be one that was never verified.
    """
    for path in files_of(archive):
        os.unlink(path)
        fs.fsync_dir(os.path.dirname(archive))


def describe(
    backups: t.Sequence[Backup],
    verify: str = "none",
    policy: signature.Policy | None = None,
    meter: progress.Meter | None = None,
    past: purposes.Past | None = None,
) -> list[BackupFacts]:
    """Facts and status of each backup, several at once.

    :param policy: whose signature an archive must have to be verified; nobody's by default.
    :param past: gives the purpose of archives whose manifest has none.
    """
    meter = meter or progress.Meter()
    meter.phase("verify", sum(map(_size, backups)), len(backups))

    def work(backup: Backup) -> BackupFacts:
        share = progress.Share(meter, _size(backup))
        facts = _describe(backup, verify, policy, share, past)
        share.end()
        return facts

    return threads.in_threads(work, backups)


def _size(backup: Backup) -> int:
    try:
        return os.stat(backup.archive).st_size
    except OSError:
        return 0


def _describe(
    backup: Backup, verify: str, policy: signature.Policy | None, meter: progress.Meter, past: purposes.Past | None
) -> BackupFacts:
    manifest = None
    facts: NamedBackup = {
        "archive": backup.archive,
        "env": backup.env,
        "created": backup.created,
        "size": None,
        "components": [],
        "release": None,
        "problems": 0,
        "shrunk": {},
        "future": ordering.is_ahead(backup.stamp),
    }
    try:
        facts["size"] = os.stat(backup.archive).st_size
        with Archive(backup.archive, hashing=verify != "none", meter=meter if verify == "checksum" else None) as archive:
            manifest = archive.manifest
            facts["components"], facts["release"] = manifest["components"], manifest.get("release")
            facts["problems"], facts["shrunk"] = manifest.get("problems", 0), manifest.get("shrunk", {})
            _require_env(backup, manifest["env"])
            status, reason = _status(archive, verify, policy, meter)
    except StateError:
        raise  # what is lacking is on this host, and not in the archive
    except OpsError as error:
        status, reason = "corrupt", str(error)
    except OSError as error:
        status, reason = "unverified", f"it cannot be read: {error.strerror}"
    purpose, why = purposes.of(backup.archive, backup.safety, manifest, past)
    return {**facts, "purpose": purpose, "why": why, "status": status, "reason": reason}


def _require_env(backup: Backup, env: str) -> None:
    if env != backup.env:
        raise IntegrityError(
            f"archive {backup.archive}",
            "the env of its manifest in its name",
            f"{backup.env} instead of {env}",
            "Rename it and its sidecar to what they were",
        )


def _status(archive: Archive, verify: str, policy: signature.Policy | None, meter: progress.Meter) -> tuple[str, str]:
    lacks, malformed = _lacks(archive.path, policy), checksums.read(archive.path) == ""
    if verify == "deep":
        archive.verify(meter=meter)  # before the sidecar, which could only tell that something differs, and not what
    if verify != "none" and not malformed:  # then nothing is known of the archive
        check_sidecar(archive, True, policy)
    if lacks:
        whole = "; every member agrees with the manifest" if verify == "deep" else ""
        return "unverified", "no " + " and no ".join(lacks) + whole
    if archive.manifest.get("no_state"):
        return "unverified", NO_STATE
    return ("unverified", NOT_CHECKED) if verify == "none" else ("verified", "")


def _lacks(path: str, policy: signature.Policy | None) -> list[str]:
    """What an archive needs beside it to be verified, and has not."""
    malformed = f"line of sha256sum for it in {os.path.basename(path)}{checksums.SUFFIX}"
    lacks = {None: ["sidecar"], "": [malformed]}.get(checksums.read(path), [])
    return lacks + (["signature"] if policy and not os.path.lexists(path + signature.SUFFIX) else [])


def check_sidecar(archive: Archive, allow_missing: bool, policy: signature.Policy | None = None) -> tuple[str, str]:
    """The archive's digest, and ``verified`` or (without a sidecar or signature, when that is allowed) ``unverified``.

    :param policy: whose signature it must have as well; nobody's by default.
    :raises IntegrityError: when the sidecar or the signature does not fit or is not in a known form, or is missing and must not be.
    """
    said = checksums.read(archive.path)
    if said is None and not allow_missing:
        raise IntegrityError(
            f"archive {archive.path}",
            f"its checksum in {os.path.basename(archive.path)}.sha256",
            "no such file",
            "Fetch the sidecar, or accept the archive without one: allow_unverified",
        )
    if said == "":
        raise IntegrityError(
            f"archive {archive.path}",
            f"a line of sha256sum for it in {os.path.basename(archive.path)}.sha256",
            "another text",
            "Fetch the sidecar again, or move it away and accept the archive: allow_unverified",
        )
    digest = archive.sha256()
    if said and said != digest:
        raise IntegrityError(
            f"archive {archive.path}", f"SHA-256 {said}", digest, "Use another archive, or fetch this one again from where it was copied to"
        )
    signed = policy is None or signature.check(policy, archive.path, digest)
    if not signed and not allow_missing:
        raise IntegrityError(
            f"archive {archive.path}",
            f"its signature in {os.path.basename(archive.path)}{signature.SUFFIX}",
            "no such file",
            "Fetch the signature, or accept the archive without one: allow_unverified",
        )
    return digest, "verified" if said and signed else "unverified"


def verdict(described: t.Sequence[BackupFacts], max_age: float = 0) -> Verdict:
    """Whether backups that were read are such that one could go back to them: ``well``, and the ``message``.

    The age is that of the component whose newest verified archive is the oldest: a backup of the logs alone does not
    make the others younger. Safety backups do not count: they hold what a restore replaced. Nor do archives that are dated in the
    future: nothing tells how old they are. The newest archive of a component must not have shrunk (``_backup.shrinkage``).

    :param described: what :func:`describe` told, newest first.
    :param max_age: how many hours old the newest verified archive of each component may be; any when 0.
    """
    by_status = {status: [facts for facts in described if facts["status"] == status] for status in STATUSES}
    verified, corrupt = by_status["verified"], by_status["corrupt"]
    usable = [facts for facts in verified if facts["purpose"] != purposes.SAFETY]
    sound = [facts for facts in usable if not facts["future"]]
    said = [f"{len(corrupt)} of {len(described)} archives corrupt, the newest of them: {corrupt[0]['reason']}"] if corrupt else []
    future = [facts["archive"] for facts in described if facts["future"]]
    if future:
        said.append(f"{future[0]}{f' and {len(future) - 1} more' if future[1:] else ''}: dated in the future. {ordering.ADVICE}.")
    if not sound:
        found = (
            "no archive that is not dated in the future is verified"
            if usable
            else "only safety backups are verified"
            if verified
            else "no archive is verified"
        )
        said.append(found + ("" if described else ", there is none at all") + ". Make one: mobius.ops.backup.")
        return {"well": False, "message": " ".join(said), "newest_verified": None, "age": None}
    told, age, old = _newest(sound, max_age)
    counts = ", ".join(f"{len(found)} {status}" for status, found in by_status.items() if found)
    if len(usable) < len(verified):
        counts = counts.replace(" verified", f" verified ({len(verified) - len(usable)} safety)", 1)
    said.append(f"{counts}; {told}")
    lost = _shrunk(sound)
    said += lost
    return {"well": not corrupt and not old and not lost, "message": " ".join(said), "newest_verified": sound[0]["archive"], "age": age}


def _shrunk(sound: list[BackupFacts]) -> list[str]:
    """The components that shrank before the newest archive of them was made, each in a sentence."""
    last: dict[str, BackupFacts] = {}
    for facts in sound:
        for component in (*facts["components"], *facts["shrunk"]):
            last.setdefault(component, facts)
    return [
        f"{facts['archive']}: {component} shrank to less than a tenth of what {facts['shrunk'][component]} holds. "
        f"{shrinkage.todo(component)}."
        for component, facts in last.items()
        if component in facts["shrunk"]
    ]


def _newest(sound: list[BackupFacts], max_age: float) -> tuple[str, float, bool]:
    """Of archives that count, newest first: which is the newest, in words; the age that is judged; and whether that is too old."""
    newest: dict[str, BackupFacts] = {}
    for facts in sound:
        for component in facts["components"]:
            newest.setdefault(component, facts)
    oldest = min([sound[0], *newest.values()], key=lambda facts: facts["created"])
    now = clock.now()
    age = _age(oldest, now)
    old = 0 < max_age * 3600 < age
    told = f"the newest verified archive is {sound[0]['archive']}, {wording.duration(_age(sound[0], now))} old"
    if oldest is not sound[0]:
        behind = ", ".join(component for component, facts in newest.items() if facts is oldest)
        told += f", of {behind} it is {oldest['archive']}, {wording.duration(age)} old"
    return told + (f", and {max_age:g} h are allowed. Make one: mobius.ops.backup." if old else "."), age, old


def _age(facts: BackupFacts, now: datetime.datetime) -> float:
    return max(0.0, (now - clock.parse(facts["created"])).total_seconds())
