# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Few, plain statistics over samples: how likely a count of failures is, whether one set of numbers is larger, percentiles of a stream."""

from __future__ import annotations

import bisect
import functools
import math

#: Width of a bucket of :class:`Histogram`: two neighbours differ by this factor, and no percentile is further off.
STEP = 1.05
_LOG_STEP = math.log(STEP)


@functools.lru_cache(maxsize=4096)
def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """The probability of at least so many successes in independent trials (exact binomial test, one-sided)."""
    if successes <= 0:
        return 1.0
    return min(
        1.0,
        math.fsum(math.comb(trials, count) * chance**count * (1 - chance) ** (trials - count) for count in range(successes, trials + 1)),
    )


def larger(values: list[float], reference: list[float]) -> float:
    """How likely it is that *values* are as large as they are though they are no larger than *reference*.

    The one-sided Mann-Whitney test in its normal approximation, good from about 20 numbers on each side. Ties count a half; the variance is
    not reduced for them, so many ties make it more careful.

    :param reference: sorted numbers.
    """
    ours, theirs = len(values), len(reference)
    if not ours or not theirs:
        return 1.0
    above = sum(bisect.bisect_left(reference, value) + bisect.bisect_right(reference, value) for value in values) / 2
    spread = math.sqrt(ours * theirs * (ours + theirs + 1) / 12)
    return 0.5 * math.erfc((above - ours * theirs / 2) / spread / math.sqrt(2))


def median(values: list[float]) -> float:
    """The middle number. :raises ValueError: of none."""
    if not values:
        raise ValueError("no median of no numbers")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class Histogram:
    """Percentiles of any number of values in a few hundred counters, each within 5 % of the true one."""

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        #: Bucket -> count; JSON has texts for keys.
        self.counts: dict[int, int] = {int(bucket): count for bucket, count in (counts or {}).items()}

    @staticmethod
    def bucket(value: float) -> int:
        """The bucket of a value (of 0.01 or more; less counts as that)."""
        return round(math.log(max(value, 0.01)) / _LOG_STEP)

    def add(self, value: float, count: int = 1) -> None:
        """Count a value so many times."""
        self.put(self.bucket(value), count)

    def put(self, bucket: int, count: int) -> None:
        """Count values of a bucket."""
        self.counts[bucket] = self.counts.get(bucket, 0) + count

    def merge(self, other: Histogram) -> None:
        """Count all that another histogram has counted."""
        for bucket, count in other.counts.items():
            self.put(bucket, count)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts.values())

    def percentile(self, percent: float) -> float | None:
        """The nearest-rank percentile; ``None`` of no values."""
        rank = math.ceil(sum(self.counts.values()) * percent / 100)
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return round(STEP**bucket, 1)
        return None

    def to_json(self) -> dict[str, int]:
        """What the constructor takes."""
        return {str(bucket): count for bucket, count in self.counts.items()}
