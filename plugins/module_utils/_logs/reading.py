# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what is new in all logs, with several processes where that is wanted, and merge what each has counted."""

from __future__ import annotations

import dataclasses
import typing as t

from . import files, formats, marks, stream, totals, workers
from .files import Found, Passed
from .formats import Form
from .journal import Journal
from .marks import Mark, State
from .scan import Scanner
from .totals import Totals

#: Bytes of new logs from which on details are of a sample, unless it was said.
SAMPLE_FROM = 256 * 1024**2
#: How much longer a packed log is, as a guess; bytes of a part for a process of its own.
_PACKED, _PART = 10, 16 * 1024**2


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What to read, and how.

    :param moment: seconds since 1970; lines of before are left out, and what earlier runs left is not used.
    :param detail: ``exact``, ``sampled`` or ``auto``.
    :param most: bytes of one run.
    """

    patterns: list[str]
    units: list[str]
    moment: float
    slow_ms: float
    detail: str
    processes: int
    most: int
    #: Returns a text without secrets.
    hide: t.Callable[[str], str] = str


@dataclasses.dataclass(frozen=True)
class Job:
    """A part of a file that one process reads."""

    file: Found
    form: Form
    start: int
    #: Where to end; ``None`` at the file's end, wherever that is by then.
    end: int | None
    sampled: bool
    limit: int
    #: The hash of what a packed file has to have before the start; it is known only once it was unpacked.
    tail: str


@dataclasses.dataclass(frozen=True)
class Told:
    """What is to say about a file that was read."""

    path: str
    source: str
    form: str
    bytes: int
    long_lines: int
    trouble: str


@dataclasses.dataclass
class Done:
    """What came of jobs."""

    totals: Totals = dataclasses.field(default_factory=dict)
    marks: list[Mark] = dataclasses.field(default_factory=list)
    told: list[Told] = dataclasses.field(default_factory=list)
    passed: list[Passed] = dataclasses.field(default_factory=list)

    def merge(self, other: Done) -> None:
        """Add another process's."""
        totals.merge(self.totals, other.totals)
        self.marks += other.marks
        self.told += other.told
        self.passed += other.passed


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a run has read: the new state, and what is to say about it."""

    state: State
    done: Done
    sampled: bool


def read(wanted: Wanted, state: State) -> Reading:
    """Read what is new since *state*, and add it to that. :raises InputError: when a pattern cannot be used."""
    found, passed = files.find(wanted.patterns)
    done = Done(passed=passed)
    places: list[tuple[Found, Mark | None]] = []
    for file in found:
        if wanted.moment and file.changed < wanted.moment:
            continue
        known = marks.unchanged(state.marks, file)
        if known:
            done.marks.append(known)
        else:
            places += [(file, mark) for mark in _begin(file, state.marks, done)]
    size = sum((file.size * _PACKED if file.packed else file.size) - (mark.offset if mark else 0) for file, mark in places)
    sampled = wanted.detail == "sampled" or (wanted.detail == "auto" and size > SAMPLE_FROM)
    for part in workers.each(lambda job: work(job, wanted), list(_jobs(places, wanted, sampled, done)), wanted.processes):
        done.merge(part)
    cursors = dict(state.cursors)
    for unit in wanted.units:
        _journal(unit, wanted, cursors, done)
    result = State(_farthest(done.marks), cursors, {}, wanted.slow_ms)
    totals.merge(result.totals, state.totals)
    totals.merge(result.totals, done.totals)
    return Reading(result, done, sampled)


def _begin(file: Found, known: list[Mark], done: Done) -> t.Iterator[Mark | None]:
    """The mark to go on from in a file, ``None`` for its beginning; nothing when it cannot be opened."""
    try:
        with stream.Reader(files.opened(file), file.packed, stream.HEAD) as reader:
            head = reader.beginning(stream.HEAD)
        candidates = marks.matching(known, file, head)
        if not file.packed:
            candidates = [mark for mark in candidates if _holds(file, mark)]
        yield next(iter(candidates), None)
    except OSError as error:
        done.passed.append(Passed(file.path, error.strerror or str(error)))


def _holds(file: Found, mark: Mark) -> bool:
    """Whether a file still has before a mark what it had there."""
    with stream.Reader(files.opened(file), file.packed, 0) as reader:
        return reader.seek(mark.offset) and stream.fingerprint(reader.tail) == mark.tail


def _jobs(places: list[tuple[Found, Mark | None]], wanted: Wanted, sampled: bool, done: Done) -> t.Iterator[Job]:
    left = wanted.most
    for file, mark in places:
        start = mark.offset if mark else 0
        if left <= 0:
            done.passed.append(Passed(file.path, "left for the next run: max_mb is reached"))
            continue
        try:
            with stream.Reader(files.opened(file), file.packed, formats.SNIFF) as reader:
                form = formats.sniff(reader.beginning(formats.SNIFF))
            edges = [start]
            if wanted.processes > 1 and not file.packed and file.size - start > 2 * _PART and file.size - start <= left:
                edges += _edges(file, start, wanted.processes)
        except OSError as error:
            done.passed.append(Passed(file.path, error.strerror or str(error)))
            continue
        for begin, end in zip(edges, [*edges[1:], None]):
            yield Job(file, form, begin, end, sampled, left, mark.tail if mark and file.packed else "")
        left -= file.size - start if not file.packed else file.size * _PACKED


def _edges(file: Found, start: int, parts: int) -> list[int]:
    """Where parts of a file begin, beside the first: the beginning of lines."""
    found = []
    step = (file.size - start) // parts
    for number in range(1, parts):
        with stream.Reader(files.opened(file), False, stream.CHUNK) as reader:
            place = start + step * number
            reader.seek(place)
            cut = reader.beginning(stream.CHUNK).find(b"\n") + 1
            found += [place + cut] if cut else []
    return found


def work(job: Job, wanted: Wanted) -> Done:
    """Read a part of a file, and count."""
    if job.tail and not _unpacks_to(job):
        job = dataclasses.replace(job, start=0)
    done = Done()
    days: dict[str, totals.Day] = {}
    limit = job.limit if job.end is None else job.end - job.start
    scanner = Scanner(job.form, days, wanted.slow_ms, job.sampled, wanted.moment, job.file.changed, wanted.hide)
    try:
        with stream.Reader(files.opened(job.file), job.file.packed, limit) as reader:
            reader.seek(job.start)
            for block in reader.blocks():
                scanner.block(block)
            if job.file.rotated and job.end is None and reader.unfinished and not reader.more:
                scanner.block(reader.finish() + b"\n")
            if job.end is None:
                done.marks.append(marks.mark(job.file, reader))
            why = reader.trouble
            done.told.append(Told(job.file.path, job.file.source, job.form.name, reader.offset - job.start, reader.long_lines, why))
            if reader.more and job.end is None:
                done.passed.append(Passed(job.file.path, "the rest is left for the next run: max_mb is reached"))
    except OSError as error:
        done.passed.append(Passed(job.file.path, error.strerror or str(error)))
    scanner.finish()
    done.totals[job.file.source] = days
    return done


def _unpacks_to(job: Job) -> bool:
    try:
        with stream.Reader(files.opened(job.file), True, 0) as reader:
            return reader.seek(job.start) and stream.fingerprint(reader.tail) == job.tail
    except OSError:
        return False


def _farthest(found: list[Mark]) -> list[Mark]:
    """One mark a file."""
    best: dict[tuple[int, int], Mark] = {}
    for one in sorted(found, key=lambda one: one.offset):
        best[one.device, one.inode] = one
    return list(best.values())


def _journal(unit: str, wanted: Wanted, cursors: dict[str, str], done: Done) -> None:
    journal = Journal(unit, "" if wanted.moment else cursors.get(unit, ""), wanted.moment, wanted.most)
    scanner = None
    days = done.totals.setdefault(f"journal {unit}", {})
    for block in journal.blocks():
        scanner = scanner or Scanner(formats.sniff(block), days, wanted.slow_ms, False, hide=wanted.hide)
        scanner.block(block)
    if scanner:
        scanner.finish()
    if journal.cursor:
        cursors[unit] = journal.cursor
    if journal.trouble:
        done.passed.append(Passed(f"journal {unit}", journal.trouble))
    form = scanner.form.name if scanner else "text"
    done.told.append(Told(f"journal {unit}", f"journal {unit}", form, journal.read, journal.left_out, ""))
