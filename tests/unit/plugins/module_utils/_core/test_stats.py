# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statistics, held against figures worked out in another way."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.mobius.ops.plugins.module_utils._core import stats
from ansible_collections.mobius.ops.plugins.module_utils._observe import health


@pytest.mark.parametrize(
    "successes, trials, chance, expected",
    [
        (0, 10, 0.5, 1.0),
        (10, 10, 0.5, 0.5**10),
        (1, 10, 0.05, 1 - 0.95**10),
        (3, 3, 0.1, 0.001),
        (5, 30, 0.05, 0.015635),
    ],
)
def test_the_tail_of_the_binomial(successes, trials, chance, expected):
    assert stats.binomial_tail(successes, trials, chance) == pytest.approx(expected, rel=1e-4)


def test_the_rank_test_agrees_with_all_permutations():
    """Of small sets the exact probability is counted; the normal approximation is near it."""
    reference, values = [1.0, 2.0, 3.5, 4.0, 6.0, 7.0], [3.0, 5.0, 8.0, 9.0, 10.0, 11.0]
    everything = reference + values

    def above(ours):
        return sum(ours[i] > theirs for i in range(6) for theirs in set(everything) - set(ours))

    found = above(values)
    groups = list(itertools.combinations(everything, 6))
    exact = sum(above(group) >= found for group in groups) / len(groups)
    assert stats.larger(values, sorted(reference)) == pytest.approx(exact, abs=0.01)


def test_equal_sets_say_nothing_and_shifted_ones_much():
    draw = random.Random(1)
    before = sorted(draw.gauss(100, 10) for _number in range(150))
    assert stats.larger(before, before) == pytest.approx(0.5)
    assert stats.larger([value + 30 for value in before], before) < 1e-9
    assert stats.larger([value - 30 for value in before], before) > 0.999
    assert stats.larger([], before) == stats.larger(before, []) == 1.0


@given(st.lists(st.floats(0.02, 1e5), min_size=1, max_size=200), st.sampled_from([1, 50, 95, 99, 100]))
def test_percentiles_of_a_histogram_are_within_five_percent(values, percent):
    histogram = stats.Histogram()
    for value in values:
        histogram.add(value)
    true = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
    assert stats.Histogram(histogram.to_json()).percentile(percent) == pytest.approx(true, rel=0.05, abs=0.06)
    assert len(histogram.counts) < 400
    assert health.percentile(values, percent) == true


def test_the_median_and_nothing():
    assert stats.median([3, 1, 2]) == 2 and stats.median([4, 1, 2, 3]) == 2.5
    assert stats.Histogram().percentile(50) is None
    with pytest.raises(ValueError, match="no median of no numbers"):
        stats.median([])
