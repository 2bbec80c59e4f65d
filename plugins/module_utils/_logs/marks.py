# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far each file of a log was read, and what was counted: the next run reads only what is new.

A file is known again by device and inode, or by the hash of its beginning when it was copied, renamed or packed, and in each case by the
hash of the bytes before the place where reading ended. One that was truncated, or replaced, fails that and is read from its beginning.
"""

from __future__ import annotations

import dataclasses
import json
import os

from .._core import fs
from .._core.errors import IntegrityError
from .._target import records
from .._target.layout import Layout
from . import stream, totals
from .files import Found
from .totals import Totals

#: The shape of the file; another number is another shape, and the logs are then read anew.
VERSION = 1
#: Bytes of a beginning from which on it tells one file from others.
_TELLING = 64
#: Bytes that the file may have; the oldest days are dropped before it gets longer.
LIMIT = records.LOGS.limit


@dataclasses.dataclass(frozen=True)
class Mark:
    """Where reading of a file ended, in bytes that were unpacked, with hashes of its beginning and of what is before that place."""

    device: int
    inode: int
    offset: int
    head_size: int
    head: str
    tail: str
    #: Bytes and time of change of the file itself, by which one is known to which nothing was added.
    size: int
    changed: float


@dataclasses.dataclass
class State:
    """What the runs before have left."""

    marks: list[Mark] = dataclasses.field(default_factory=list)
    #: Identifier of a unit of systemd -> the journal's cursor.
    cursors: dict[str, str] = dataclasses.field(default_factory=dict)
    totals: Totals = dataclasses.field(default_factory=dict)
    slow_ms: float = 0


def mark(file: Found, reader: stream.Reader) -> Mark:
    """Where a reader is in a file."""
    return Mark(
        file.device,
        file.inode,
        reader.offset,
        len(reader.head),
        stream.fingerprint(reader.head),
        stream.fingerprint(reader.tail),
        -1 if reader.more else file.size,
        file.changed,
    )


def unchanged(marks: list[Mark], file: Found) -> Mark | None:
    """The mark of a file that has not changed since."""
    return next(
        (one for one in marks if (one.device, one.inode, one.size, one.changed) == (file.device, file.inode, file.size, file.changed)), None
    )


def matching(marks: list[Mark], file: Found, head: bytes) -> list[Mark]:
    """The marks that may have been left in a file, the likeliest first: its own, then those of files with the same beginning.

    :param head: the file's first bytes, unpacked.
    """

    def own(one: Mark) -> bool:
        return (one.device, one.inode) == (file.device, file.inode)

    def same(one: Mark) -> bool:
        return (
            (own(one) or one.head_size >= _TELLING) and one.head_size <= len(head) and stream.fingerprint(head[: one.head_size]) == one.head
        )

    return sorted(filter(same, marks), key=lambda one: (not own(one), -one.offset))


def path(layout: Layout) -> str:
    """Where it is kept."""
    return layout.path("state", "logs.json")


def load(layout: Layout, slow_ms: float) -> tuple[State, str]:
    """What was left, and why it is not used; an empty text when it is."""
    try:
        value = records.read(path(layout), records.LOGS)
    except IntegrityError as error:
        return State(), str(error)
    if value is None:
        return State(), ""
    if value["version"] != VERSION or value["slow_ms"] != slow_ms:
        return State(), "The logs are read from their beginning: slow_ms is another one than before, or the collection is."
    try:
        return State([Mark(**one) for one in value["marks"]], value["cursors"], totals.from_json(value["totals"]), slow_ms), ""
    except (KeyError, TypeError, ValueError):
        return State(), f"{path(layout)} is damaged, so the logs are read from their beginning."


def save(layout: Layout, state: State, oldest: str) -> None:
    """Leave it for the next run.

    :param oldest: days of before are dropped.
    """
    for source in list(state.totals):
        state.totals[source] = {day: found for day, found in state.totals[source].items() if day >= oldest or day == totals.NO_DAY}
    while True:
        text = (
            json.dumps(
                {
                    "version": VERSION,
                    "slow_ms": state.slow_ms,
                    "marks": [dataclasses.asdict(one) for one in state.marks],
                    "cursors": state.cursors,
                },
                separators=(",", ":"),
            )[:-1]
            + f',"totals":{totals.dumped(state.totals)}}}'
        )
        days = sorted({day for found in state.totals.values() for day in found if day})
        if len(text) <= LIMIT or not days:
            break
        for found in state.totals.values():
            found.pop(days[0], None)
    os.makedirs(os.path.dirname(path(layout)), exist_ok=True)
    fs.write_text(path(layout), text + "\n", 0o600)
