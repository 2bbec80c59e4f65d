# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a backup: written under a temporary name, read back, and only then given its name."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
import typing as t

from .._core import checksums, clock, fs, immutable, scratch
from .._core.errors import InputError, IntegrityError, OpsError, StateError
from .._target import history
from .._target.layout import Layout
from .._target.progress import Meter
from . import catalog, drafts, external_state, ordering, purposes, shrinkage, signature
from .archive import database_copies, deflate
from .archive import listing as archive_listing
from .archive import plan as archive_plan
from .archive.manifest import Head, Manifest
from .archive.previous import Previous
from .archive.reader import Archive
from .archive.writer import Writer
from .backup_types import Contents, Made, Shrunk

#: So many archives are looked at for one to copy unchanged members from.
_LOOK_BACK = 10


@dataclasses.dataclass
class Request:
    """What to back up, and where to."""

    env: str
    components: list[str]
    dest: str
    level: int = 5
    #: Days after which every file is read again, although it looks unchanged; 0 reads all of them every time.
    full_every: int = 7
    #: Files and folders that are read every time, by their paths in the archive.
    never_reuse: tuple[str, ...] = ()
    allow_changed: bool = False
    #: Whether what is there now is what later backups are compared with, however little it is.
    allow_shrunk: bool = False
    #: Whether ISA-L may deflate, where it is installed.
    isal: bool = True
    #: Private key that signs the archive; no signature without one.
    sign_key: str | None = None
    #: One of :data:`_backup.purposes.PURPOSES`. It goes into the manifest, and that of a safety backup into the name too.
    purpose: str = purposes.ORDINARY
    #: Goes into the manifest and the history.
    why: str = ""
    #: Whether the service's external state is dumped; not when its dump is among the files already.
    dump: bool = True


def plan(layout: Layout, request: Request) -> archive_plan.Plan:
    """What a backup would take. :raises OpsError: when it could not be made as it was asked for."""
    if request.sign_key:
        signature.require_key(request.sign_key)
    found = archive_listing.scan(layout, request.components)
    if not os.path.isdir(request.dest):
        raise StateError(f"backup folder {request.dest}", "a folder", "none", "Create it, or correct dest")
    inside = os.path.realpath(request.dest) + os.sep
    for component in found.components:
        if inside.startswith(os.path.realpath(layout.component(component)) + os.sep):
            raise InputError(
                f"backup folder {request.dest}",
                "a folder outside of what is backed up",
                f"one inside of component {component}",
                "Choose another dest",
            )
    held = immutable.of(os.path.realpath(request.dest))
    if held:
        raise StateError(f"backup folder {request.dest}", "a folder in which files get names", f"the attribute {held.kind}", held.todo)
    fs.require_space(request.dest, found.room, "the archive")
    for source in found.sources:
        source.reread = any(source.name == path or source.name.startswith(path + "/") for path in request.never_reuse)
    return found


def live_release(layout: Layout) -> str | None:
    """The id of the release that serves, by the ``current`` link."""
    try:
        return os.path.basename(os.readlink(layout.current)) or None
    except OSError:
        return None


def create(layout: Layout, request: Request, meter: Meter | None = None) -> Made:
    """Make a verified backup and enter it into the history.

    :raises IntegrityError: when some file could not be taken as one piece (the archive is kept aside then), or what
        was written is not what was read.
    :raises OpsError: when the service's external state could not be dumped.
    """
    started = time.monotonic()
    safety = request.purpose == purposes.SAFETY
    with external_state.dumped(layout, request.components if request.dump else [], safety) as problems:
        result = _create(layout, request, meter or Meter(), problems)
    result["elapsed"] = round(time.monotonic() - started, 3)
    history.record(
        layout,
        "backup",
        request.why,
        env=request.env,
        archive=result["archive"],
        sha256=result["sha256"],
        size=result["size"],
        elapsed=result["elapsed"],
        components=result["components"],
        release=result["release"],
        reused=result["reused"],
        purpose=result["purpose"],
    )
    return result


def _create(layout: Layout, request: Request, meter: Meter, problems: list[dict[str, str]]) -> Made:
    meter.phase("look")
    found = plan(layout, request)
    lacks = external_state.lacks_state(layout, request.components, (source.component for source in found.sources if source.type != "dir"))
    stuck = drafts.sweep(request.dest)
    places = [request.dest, layout.root, tempfile.gettempdir()]
    for place in places:
        scratch.sweep(place)
    safety = request.purpose == purposes.SAFETY
    needed = max((source.status.st_size for source in found.sources if source.sqlite), default=0)
    archives = catalog.find(request.dest, request.env, layout)
    with (
        drafts.drafted(request.dest, request.env, safety) as draft,
        _previous(request, draft.stamp, archives) as previous,
        contextlib.closing(database_copies.PerOwner(places, needed)) as databases,
    ):
        lost = shrunk(request, found, archives, previous.manifests)
        facts = _facts(layout, request, draft, previous, lost)
        if lacks:
            facts["no_state"] = True
        found, writer, digest = _Making(layout, request, draft, previous, databases, meter).write(found, facts, problems)
        if writer.incomplete:
            draft.keep_aside()
            raise _incomplete(layout, draft.aside, writer.problems, found.skipped)
        draft.publish(digest, signature.sign(request.sign_key, draft.final, digest) if request.sign_key else None)
    status, missing = ("unverified", catalog.NO_STATE) if lacks else ("verified", "")
    warnings = [*stuck, *writer.warnings, *_warnings(request, lost, archives, previous)]
    return {
        "sha256": digest,
        "status": status,
        "missing": missing,
        "full": facts["full"],
        "release": facts["release"],
        "shrunk": lost,
        "warnings": warnings,
        **_told(request, draft, found, writer),
    }


def _facts(layout: Layout, request: Request, draft: drafts.Draft, previous: Previous, lost: list[Shrunk]) -> Head:
    """What the manifest says of the whole."""
    created = clock.iso(clock.from_stamp(draft.stamp))
    facts: Head = {
        "name": draft.name,
        "env": request.env,
        "created": created,
        "full": previous.full or created,
        "level": request.level,
        "release": live_release(layout),
        "purpose": request.purpose,
        "why": request.why,
    }
    shrunken = {one["component"]: os.path.basename(one["before"]) for one in lost}
    if shrunken:
        facts["shrunk"] = shrunken
    return facts


def _told(request: Request, draft: drafts.Draft, found: archive_plan.Plan, writer: Writer) -> Contents:
    """What the result says of the archive and what is in it."""
    return {
        "archive": draft.final,
        "signature": draft.final + signature.SUFFIX if request.sign_key else None,
        "size": os.stat(draft.final).st_size,
        "entries": len(writer.entries),
        "reused": len(writer.copied),
        "components": found.components,
        "empty": found.empty,
        "purpose": request.purpose,
        "problems": writer.problems,
        "left_out": found.skipped,
    }


@dataclasses.dataclass(frozen=True)
class _Making:
    """What it takes to write an archive and read it back."""

    layout: Layout
    request: Request
    draft: drafts.Draft
    previous: Previous
    databases: database_copies.PerOwner
    meter: Meter

    def write(self, found: archive_plan.Plan, facts: Head, problems: list[dict[str, str]]) -> tuple[archive_plan.Plan, Writer, str]:
        """Write an archive, again when a member that was copied into it proves damaged, which is rare.

        :param facts: what the manifest says of the whole.
        :param problems: known before.
        :returns: what was taken, who wrote it, and the archive's digest.
        :raises IntegrityError: when what was written is not what is read back.
        """
        while True:
            found.problems += problems
            writer = Writer(
                self.draft.stream, self.databases, deflate.Deflater(self.request.level, self.request.isal), self.previous, self.meter
            )
            writer.write(found, facts, self.request.allow_changed)
            self.draft.sync()
            with Archive(self.draft.partial, hashing=True) as archive:
                damaged = archive.verify(writer.copied, self.meter)
                digest = archive.sha256()
            if not damaged:
                return found, writer, digest
            for path, error in damaged.items():
                if self.previous.has_whole(path):  # so writing or reading it has damaged it
                    raise error
                self.previous.leave(path)
            self.draft.empty()
            found = plan(self.layout, self.request)  # files may have changed meanwhile


def _warnings(request: Request, lost: list[Shrunk], archives: list[catalog.Backup], previous: Previous) -> t.Iterator[str]:
    """What its owner should know of earlier archives."""
    for one in lost:
        yield shrinkage.sentence(one) + "."
    for backup in archives:
        if ordering.is_ahead(backup.stamp):
            yield f"{backup.archive} is dated in the future. {ordering.ADVICE}."
    for path in sorted(previous.damaged):
        yield f"{path} in an earlier archive is damaged, so it was read anew: verify the archives of {request.dest}"


def shrunk(
    request: Request, found: archive_plan.Plan, archives: list[catalog.Backup], manifests: t.Mapping[str, Manifest] | None = None
) -> list[Shrunk]:
    """The components that hold much less than the last archives did. What a restore replaces may be little, which can be why.

    :param manifests: those of archives that are open: they are not read again.
    """
    if request.allow_shrunk or request.purpose == purposes.SAFETY:
        return []
    files = [(source.component, source.status.st_size) for source in found.sources if source.type != "dir"]
    return shrinkage.compare(shrinkage.before(archives, request.components, manifests), files)


@contextlib.contextmanager
def _previous(request: Request, stamp: str, archives: list[catalog.Backup]) -> t.Iterator[Previous]:
    """The newest archive that holds what is backed up now, unless everything is due to be read again."""
    for backup in archives[:_LOOK_BACK] if request.full_every else []:
        if not os.path.exists(backup.archive + checksums.SUFFIX):
            continue
        try:
            archive = Archive(backup.archive)
        except OpsError:
            continue
        with archive:
            manifest = archive.manifest
            if manifest.get("level") == request.level and set(request.components) <= {*manifest["components"], *manifest.get("empty", [])}:
                usable = _fresh(manifest.get("full"), stamp, request.full_every) and _trusted(archive, request.sign_key)
                yield Previous(archive if usable else None, {backup.archive: manifest})
                return
    yield Previous()


def _trusted(archive: Archive, sign_key: str | None) -> bool:
    """A signature must not be given to what somebody else put into the archive before."""
    return not sign_key or signature.made_by(sign_key, archive.path, archive.sha256())


def _fresh(full: t.Any, stamp: str, days: int) -> bool:
    """Whether the last reading of everything is so many days old at most, and not in the future."""
    try:
        age = clock.from_stamp(stamp) - clock.parse(full)
    except (TypeError, ValueError):
        return False
    return 0 <= age.total_seconds() < days * 86400


def _incomplete(layout: Layout, aside: str, problems: list[dict[str, str]], skipped: list[dict[str, str]]) -> IntegrityError:
    first = problems[0]
    return IntegrityError(
        f"backup of {layout.root}",
        "every file to be read as one state of it",
        f"{len(problems)} that could not, the first {first['path']} ({first['reason']})",
        f"Try again when it is at rest, or accept it as it is: allow_changed. What could be taken was kept aside in {aside}",
        {"status": "incomplete", "aside": aside, "problems": problems, "left_out": skipped},
    )
