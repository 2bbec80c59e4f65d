# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the last runs of maintenance found, in ``state/maintenance.json``: for trends, and to tell what is new."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import typing as t

from .._core import clock, fs
from .._core.errors import IntegrityError
from .._target import records
from .._target.layout import Layout

#: Runs of which a figure is kept, things that a step has seen, and days of samples of disks.
RUNS, SEEN, DAYS = 60, 500, 400

Points = list[list[t.Any]]


class _Point(t.TypedDict):
    when: str
    value: float


@dataclasses.dataclass(frozen=True)
class Kept:
    """The last run of a step, and its figures of the runs before."""

    when: str
    status: str
    seen: tuple[str, ...] = ()
    #: Name -> pairs of a time and a number, oldest first.
    figures: dict[str, Points] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Used:
    """How full a file system was on a day."""

    day: str
    mount: str
    used: int
    size: int


@dataclasses.dataclass(frozen=True)
class Past:
    """All of it."""

    #: Cadence -> time of its last run.
    runs: dict[str, str] = dataclasses.field(default_factory=dict)
    steps: dict[str, Kept] = dataclasses.field(default_factory=dict)
    samples: tuple[Used, ...] = ()

    def seen(self, step: str) -> tuple[str, ...]:
        """What the last run of a step has seen."""
        return self.steps[step].seen if step in self.steps else ()

    def with_step(self, name: str, status: str, seen: t.Iterable[str], figures: t.Mapping[str, float]) -> Past:
        """The same after a run of a step."""
        before, when = self.steps.get(name, Kept("", "")), clock.iso()
        points = {key: before.figures.get(key, []) for key in {*before.figures, *figures}}
        points.update({key: [*points[key], [when, value]][-RUNS:] for key, value in figures.items()})
        kept = Kept(when, status, tuple(dict.fromkeys(seen))[:SEEN], points)
        return dataclasses.replace(self, steps={**self.steps, name: kept})

    def with_samples(self, taken: t.Sequence[Used]) -> Past:
        """The same with more samples: of a day and a mount the last one counts."""
        every = {(one.day, one.mount): one for one in (*self.samples, *taken)}
        oldest = clock.iso(clock.now() - datetime.timedelta(days=DAYS))[:10]
        kept = sorted((one for one in every.values() if one.day >= oldest), key=lambda one: (one.day, one.mount))
        return dataclasses.replace(self, samples=tuple(kept))


def path(layout: Layout) -> str:
    """The file."""
    return layout.path("state", "maintenance.json")


def load(layout: Layout) -> tuple[Past, str]:
    """What is kept, and a note when the file was damaged: it is moved aside then, and trends begin anew."""
    try:
        record = records.read(path(layout), records.MAINTENANCE)
    except IntegrityError as error:
        with contextlib.suppress(OSError):
            os.replace(path(layout), path(layout) + ".damaged")
        return Past(), f"{error} It was moved to {path(layout)}.damaged, and trends begin with this run."
    if record is None:
        return Past(), ""
    steps = {name: Kept(one["when"], one["status"], tuple(one["seen"]), _points(one["figures"])) for name, one in record["steps"].items()}
    samples = tuple(Used(one["day"], one["mount"], one["used"], one["size"]) for one in record["samples"])
    return Past(record["runs"], steps, samples), ""


def _points(figures: dict[str, list[_Point]]) -> dict[str, Points]:
    return {name: [[point["when"], point["value"]] for point in points] for name, points in figures.items()}


def save(layout: Layout, past: Past) -> None:
    """Keep it, for root only: it names what is wrong."""
    steps = {
        name: {
            "when": one.when,
            "status": one.status,
            "seen": list(one.seen),
            "figures": {key: [{"when": when, "value": value} for when, value in points] for key, points in one.figures.items()},
        }
        for name, one in past.steps.items()
    }
    samples = [dataclasses.asdict(one) for one in past.samples]
    fs.write_json(path(layout), {"runs": past.runs, "steps": steps, "samples": samples}, 0o600)
