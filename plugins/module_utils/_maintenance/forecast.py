# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a disk is full, from one sample a day: the trimmed median of daily steps, Holt's method as a second opinion, and an interval."""

from __future__ import annotations

import dataclasses
import math
import statistics
import typing as t

#: Samples and days that a forecast needs at least.
LEAST_SAMPLES, LEAST_DAYS = 7, 6
#: Steps further from the median step than so many median deviations are clean-ups, spikes or one large upload, and are left out.
TRIM = 5
#: Makes a median deviation comparable to a standard deviation.
_SCALE = 1.4826
#: Holt's weights of the newest level and of the newest trend.
_LEVEL, _TREND = 0.3, 0.05
#: The two opinions differ too much from this factor on.
TWOFOLD = 2.0
#: Standard errors to each side of the rate: in nine of ten seeded series of tests the true day lies between them.
_WIDTH = 2.6
#: Days from which on nobody plans.
HORIZON = 3650


class Sample(t.NamedTuple):
    """What was used on a day."""

    day: int
    used: float


class ForecastFacts(t.TypedDict):
    """A forecast as JSON has it; the fields are those of :class:`Forecast`."""

    kind: str
    samples: int
    rate: float
    slowest: float
    fastest: float
    second: float
    days: float | None
    soonest: float | None
    latest: float | None
    trimmed: int


class DiskFacts(t.TypedDict):
    """A file system with its forecast, as the page draws it; sizes in bytes, of each sample the day and the bytes."""

    mount: str
    used: int
    size: int
    samples: list[list[float]]
    forecast: ForecastFacts
    told: str


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What comes of some samples. Days are counted from the newest sample."""

    #: ``too_few``, ``steady`` (it is not full within ten years), ``fills`` or ``uncertain``.
    kind: str
    samples: int
    #: Bytes a day by the trimmed median, with the ends of its interval, and by Holt's method.
    rate: float = 0.0
    slowest: float = 0.0
    fastest: float = 0.0
    second: float = 0.0
    #: Days until nothing is free, and the ends of the interval; ``None`` for never.
    days: float | None = None
    soonest: float | None = None
    latest: float | None = None
    #: Steps that were left out.
    trimmed: int = 0

    @property
    def likely(self) -> float | None:
        """The days to plan by: when the two opinions differ, the sooner one."""
        if self.kind != "uncertain":
            return self.days
        sooner = [self.days, None if self.second <= 0 or self.days is None else self.days * self.rate / self.second]
        return min((days for days in sooner if days is not None), default=None)


def forecast(samples: t.Sequence[Sample], room: float) -> Forecast:
    """When the room is used up.

    :param samples: one for a day at most, oldest first; days may be missing.
    :param room: bytes that are free now.
    """
    if len(samples) < LEAST_SAMPLES or samples[-1].day - samples[0].day < LEAST_DAYS:
        return Forecast("too_few", len(samples))
    steps = [(later.used - sooner.used) / (later.day - sooner.day) for sooner, later in zip(samples, samples[1:])]
    kept = trimmed(steps)
    rate = statistics.fmean(kept)
    spread = statistics.stdev(kept) / math.sqrt(len(kept)) * _WIDTH if len(kept) > 1 else 0.0
    second = holt(samples)
    found = Forecast(
        "fills",
        len(samples),
        rate,
        rate - spread,
        rate + spread,
        second,
        _days(room, rate),
        _days(room, rate + spread),
        _days(room, rate - spread),
        len(steps) - len(kept),
    )
    if _differ(rate, second, room):
        return dataclasses.replace(found, kind="uncertain")
    return found if found.days is not None else dataclasses.replace(found, kind="steady")


def trimmed(steps: list[float]) -> list[float]:
    """The steps near their median. The mean of these is what is called the trimmed median here: growth is skewed, and the plain median of
    skewed steps is too low.
    """
    middle = statistics.median(steps)
    reach = TRIM * _SCALE * statistics.median(abs(step - middle) for step in steps)
    return [step for step in steps if abs(step - middle) <= reach + 1e-9 * abs(middle)]


def holt(samples: t.Sequence[Sample]) -> float:
    """The trend by Holt's double exponential smoothing; each day counts, and a missing one is on the line between its neighbours."""
    level, trend = samples[0].used, (samples[-1].used - samples[0].used) / (samples[-1].day - samples[0].day)
    for sooner, later in zip(samples, samples[1:]):
        gap = later.day - sooner.day
        for number in range(1, gap + 1):
            used = sooner.used + (later.used - sooner.used) * number / gap
            before, level = level, _LEVEL * used + (1 - _LEVEL) * (level + trend)
            trend = _TREND * (level - before) + (1 - _TREND) * trend
    return trend


def _days(room: float, rate: float) -> float | None:
    days = room / rate if rate > 0 else math.inf
    return days if days <= HORIZON else None


def _differ(rate: float, second: float, room: float) -> bool:
    """Whether two opinions differ twofold. That matters only when one of them says that the disk is full within the horizon."""
    days, other = _days(room, rate), _days(room, second)
    if days is None or other is None:
        return (days is None) != (other is None)
    return max(days, other) >= TWOFOLD * min(days, other)
