# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which release served when, and which incident covers a time: from the records of the host."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import os
import typing as t

from .._core import clock
from .._core.errors import IntegrityError
from .._target import history, records
from .._target.layout import Layout
from .totals import SLOT

#: Seconds before an incident was opened that belong to it, and after it when no end is known.
_BEFORE, _AFTER = 900, 3600
#: Incidents that are looked at, the newest.
_MOST = 200


@dataclasses.dataclass(frozen=True)
class Incident:
    """A record of an incident, and the time that it covers."""

    id: str
    begin: float
    end: float


class Past:
    """What the records tell of the time that a log covers; empty when there are none."""

    def __init__(self, layout: Layout) -> None:
        switches = [(seconds(event["when"]), str(event.get("release") or "")) for event in history.of_kinds(layout, ("active",))]
        self._switches = sorted(switches)
        self._times = [at for at, _release in self._switches]
        self.incidents = list(_incidents(layout))

    def release(self, at: float | None) -> str:
        """The release that served then; empty when it is not known."""
        number = bisect.bisect_right(self._times, at) if at is not None else 0
        return self._switches[number - 1][1] if number else ""

    @property
    def last_deploy(self) -> float | None:
        """When another release was put into service, for the last time."""
        return self._times[-1] if self._times else None

    def incident(self, spans: list[tuple[float, float]]) -> str:
        """The newest incident that covers one of some spans of time; empty when none does."""
        return next((one.id for one in self.incidents for begin, end in spans if begin < one.end and end > one.begin), "")


def spans(slots: dict[str, int]) -> list[tuple[float, float]]:
    """The times of slots, by day a number with a bit for each."""
    found = []
    for day, bits in slots.items():
        begin = seconds(f"{day}T00:00:00Z") if day else 0.0
        found += [(begin + number * SLOT, begin + (number + 1) * SLOT) for number in range(bits.bit_length()) if day and bits >> number & 1]
    return found


def seconds(when: t.Any) -> float:
    """Seconds since 1970 of a time in a record; 0 for what is none."""
    with contextlib.suppress(TypeError, ValueError):
        return clock.parse(when).timestamp()
    return 0.0


def _incidents(layout: Layout) -> t.Iterator[Incident]:
    names = os.listdir(layout.incidents) if os.path.isdir(layout.incidents) else []
    for name in sorted((name for name in names if name.endswith(".json")), reverse=True)[:_MOST]:
        with contextlib.suppress(IntegrityError):
            record = records.read(layout.path("incidents", name), records.INCIDENT) or {}
            opened = seconds(record.get("opened"))
            ended = next((seconds(record[field]) for field in ("closed", "resolved", "ended") if record.get(field)), 0.0)
            if opened:
                yield Incident(name[: -len(".json")], opened - _BEFORE, ended or opened + _AFTER)
