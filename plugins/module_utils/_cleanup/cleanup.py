# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clean-ups: what one would take, taking it into quarantine, putting it back, and removing what has been there long enough.

A clean-up can be killed at any moment. What it was going to move is in its record before the first rename, so the next run finds each
file either where it was or in quarantine, and takes those out of the record that did not move.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import fnmatch
import os
import time
import typing as t

from .._backup.archive import paths as archive_paths
from .._core import clock, locks
from .._core.errors import OpsError, StateError
from .._target import history, progress, restore_journal
from .._target.layout import Layout
from . import held, journal, moves, plan, scan
from .journal import Entry, Run
from .plan import Left, Request, Worker

#: Files that are moved at a time.
_BATCH = 50


@dataclasses.dataclass
class Done:
    """What came of it, or would."""

    #: Name of the run; empty when nothing moved.
    run: str = ""
    files: list[Entry] = dataclasses.field(default_factory=list)
    left: Left = dataclasses.field(default_factory=Left)
    purged: list[Entry] = dataclasses.field(default_factory=list)
    #: In quarantine, and why it was not removed although it has expired.
    stay: Left = dataclasses.field(default_factory=Left)
    #: Entries that a killed run left in its record, and whose files did not move or went back.
    mended: int = 0
    quarantine: list[Run] = dataclasses.field(default_factory=list)
    archives: dict[str, str] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def _alone(layout: Layout, dry: bool) -> t.Iterator[None]:
    """While the block runs there is no other clean-up. :raises StateError: when there is one."""
    with contextlib.ExitStack() as stack:
        if not dry:
            try:
                stack.enter_context(locks.locked(layout.path("state", "cleanup.lock"), 0))
            except BlockingIOError:
                raise StateError(f"root {layout.root}", "no other clean-up", "one that runs", "Wait until it has ended") from None
        yield


@contextlib.contextmanager
def _shared(layout: Layout, moving: bool) -> t.Iterator[None]:
    """While the block runs no restore runs; when files are *moving*, no backup either, for it would miss them.

    :raises StateError: when one runs, or a restore was interrupted.
    """
    with restore_journal.locked(layout, fcntl.LOCK_EX if moving else fcntl.LOCK_SH):
        restore_journal.refuse_interrupted(layout)
        yield


def clean(layout: Layout, request: Request, dry: bool, meter: progress.Meter) -> Done:
    """Remove what has expired in quarantine, and move old files there; only look when it is a dry run."""
    plan.require_known_state(layout, request.rules)
    done = Done()
    with _alone(layout, dry):
        with contextlib.ExitStack() as stack:
            with _shared(layout, False):
                backups = plan.backups(layout, request, meter)
                done.archives = {component: os.path.basename(path) for component, path in backups.newest.items()}
                ask = stack.enter_context(plan.worker(layout, request))
                _purge(layout, request, ask, backups, done, dry)
                planned = plan.Plan(layout, request, ask, backups)
                planned.make(meter)
            done.left = planned.left
            if dry:
                done.files = [_entry(candidate, "") for candidate in planned.files]
            elif planned.files:
                try:
                    with _shared(layout, True):
                        _quarantine(layout, request, ask, planned, done, meter)
                except OpsError:
                    _note(layout, request, done, dry, "cleaned")  # what has gone and moved until then
                    raise
        _note(layout, request, done, dry, "cleaned")
    return done


def purge(layout: Layout, request: Request, dry: bool, meter: progress.Meter) -> Done:
    """Remove what has expired in quarantine."""
    done = Done()
    with _alone(layout, dry), _shared(layout, False):
        if journal.load(layout):
            backups = held.Backups(layout, request.source, request.rules.components(), meter)
            with plan.worker(layout, request) as ask:
                _purge(layout, request, ask, backups, done, dry)
        _note(layout, request, done, dry, "quarantine_purged")
    return done


def restore(layout: Layout, request: Request, dry: bool) -> Done:
    """Put files back that are asked for. :raises StateError: when there are none, or one of them cannot be put back."""
    done = Done()
    with _alone(layout, dry), _shared(layout, not dry):
        ask = Worker(layout, request.limit)
        with ask.helper:
            runs = _mended(layout, ask, journal.load(layout), done, dry)
            for run in runs:
                meant = [entry for entry in run.entries if _is_wanted(entry, run, request.wanted)]
                said = ["restored"] * len(meant) if dry else _asked(ask, moves.back, run, meant, ask.folders)
                back = dict.fromkeys(entry for entry, word in zip(meant, said) if word == "restored")
                done.files += back
                for entry, word in zip(meant, said):
                    if word != "restored":
                        done.left.add(word, entry.size)
                if back and not dry:
                    journal.save(layout, run.but(entry for entry in run.entries if entry not in back))
        if not done.files and not done.left.counts:
            raise StateError(
                "quarantine",
                "files of " + ", ".join(request.wanted),
                "none",
                "Look what is there: mobius_cleanup_state=planned shows the runs",
            )
        _note(layout, request, done, dry, "quarantine_restored")
    return done


def _is_wanted(entry: Entry, run: Run, wanted: tuple[str, ...]) -> bool:
    return any(
        each in (run.run, entry.shown) or run.run.startswith(each + "-") or fnmatch.fnmatchcase(entry.shown, each) for each in wanted
    )


def _quarantine(layout: Layout, request: Request, ask: Worker, planned: plan.Plan, done: Done, meter: progress.Meter) -> None:
    """Move what is planned. Every record is durable before the first file moves."""
    name, places = journal.name(), plan.places(layout, request)
    work: list[tuple[Run, list[plan.Candidate]]] = []
    for place in dict.fromkeys(places[candidate.row[scan.COMPONENT]] for candidate in planned.files):
        journal.make_quarantine(place, ask.account)
        chosen = [candidate for candidate in planned.files if places[candidate.row[scan.COMPONENT]] == place]
        own = f"{name}-{len(work) + 1}" if work else name
        entries = [_entry(candidate, f"{own}-{number}") for number, candidate in enumerate(chosen, 1)]
        run = Run(own, clock.iso(), place, tuple(entries))
        journal.save(layout, run)
        work.append((run, chosen))
    meter.phase("moving into quarantine", planned.size, len(planned.files))
    deadline = time.monotonic() + request.limit
    for run, chosen in work:
        try:
            kept = _moved(ask, run, chosen, done, deadline, meter)
        except OpsError:  # a store that cannot be read any more, say
            with contextlib.suppress(OpsError):
                _mended(layout, ask, journal.load(layout), done, False)
            raise
        journal.save(layout, run.but(kept))
        done.run = name if kept else done.run


def _moved(ask: Worker, run: Run, chosen: list[plan.Candidate], done: Done, until: float, meter: progress.Meter) -> list[Entry]:
    """Move the files of a run; those that are in quarantine then."""
    kept: list[Entry] = []
    for start in range(0, len(chosen), _BATCH):
        batch = run.entries[start : start + _BATCH]
        if time.monotonic() > until:
            for entry in run.entries[start:]:
                done.left.add("out_of_time", entry.size)
            break
        rows = [candidate.row for candidate in chosen[start : start + _BATCH]]
        said = ask(moves.away, run.files, os.getpid(), rows, [entry.name for entry in batch])
        for entry, words in zip(batch, said):
            if words[0] == "moved":
                done.files.append(entry)
                kept.append(entry)
            elif words[0] == "swapped":
                kept.append(dataclasses.replace(entry, size=words[1], mtime_ns=words[2], sha256=""))
                done.left.add("changed", entry.size)
            else:
                done.left.add(words[0], entry.size)
        meter.add(sum(entry.size for entry in batch), files=len(batch))
    return kept


def _entry(candidate: plan.Candidate, name: str) -> Entry:
    row = candidate.row
    return Entry(
        name, row[scan.COMPONENT], candidate.path, row[scan.KIND], row[scan.SIZE], row[scan.MTIME], candidate.sha256, candidate.archive
    )


def _mended(layout: Layout, ask: Worker, runs: list[Run], done: Done, dry: bool) -> list[Run]:
    """The runs with what is really in quarantine; their records too, unless it is a dry run."""
    found = []
    for run in runs:
        if not os.path.isdir(run.quarantine):
            raise StateError(
                f"quarantine {run.quarantine} of the run {run.run}",
                "a folder",
                "none",
                f"Mount it, or move {journal.folder(layout)}/{run.run}.json away when its files are given up",
            )
        entries = []
        for entry, words in zip(run.entries, _asked(ask, moves.present, run, run.entries, ask.folders, dry)):
            if words[0] == "there":
                entries.append(entry)
            elif words[0] == "other":
                entries.append(dataclasses.replace(entry, size=words[1], mtime_ns=words[2], sha256=""))
        done.mended += len(run.entries) - len(entries)
        if tuple(entries) != run.entries and not dry:
            journal.save(layout, run.but(entries))
        found.append(run.but(entries))
    return [run for run in found if run.entries]


def _purge(layout: Layout, request: Request, ask: Worker, backups: held.Backups, done: Done, dry: bool) -> None:
    for run in _mended(layout, ask, journal.load(layout), done, dry):
        gone: dict[Entry, None] = {}
        if run.expired(request.expiry_days):
            meant = []
            for entry in run.entries:
                if entry.sha256 and backups.holds(entry.component, entry.path, entry.sha256, entry.archive):
                    meant.append(entry)
                else:
                    done.stay.add("not_in_backup", entry.size)
            said = _asked(ask, moves.gone, run, meant, [entry.kind for entry in meant], dry)
            gone = dict.fromkeys(entry for entry, word in zip(meant, said) if word == "purged")
            for entry, word in zip(meant, said):
                if word != "purged":
                    done.stay.add(word, entry.size)
        done.purged += gone
        left = run.but(entry for entry in run.entries if entry not in gone)
        if gone and not dry:
            journal.save(layout, left)


def _asked(ask: Worker, function: t.Callable[..., t.Any], run: Run, entries: t.Sequence[Entry], *words: t.Any) -> list[t.Any]:
    """What a function of ``moves`` says of each entry."""
    places = [
        [entry.component, archive_paths.to_disk(entry.path), entry.name, entry.size, entry.mtime_ns, entry.sha256] for entry in entries
    ]
    return list(ask(function, run.files, os.getpid(), places, *words)) if places else []


def _note(layout: Layout, request: Request, done: Done, dry: bool, what: str) -> None:
    done.quarantine = journal.load(layout)
    if dry or not (done.files or done.purged or done.mended):
        return
    history.record(
        layout,
        what,
        request.why,
        run=done.run,
        files=len(done.files),
        bytes=size_of(done.files),
        purged=len(done.purged),
        purged_bytes=size_of(done.purged),
        mended=done.mended,
    )


def size_of(entries: t.Iterable[Entry]) -> int:
    """Bytes of files."""
    return sum(entry.size for entry in entries)
