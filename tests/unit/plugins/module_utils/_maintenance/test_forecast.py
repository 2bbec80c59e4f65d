"""Forecasts on seeded series whose truth is known, and what is said when there is none."""

from __future__ import annotations

import random
import statistics

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._maintenance import forecast as forecasts
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.forecast import Sample, forecast

SERIES, DAYS, AHEAD = 200, 60, 60


def series(kind, seed):
    """Two months of a disk that grows by skewed steps, and its mean growth a day."""
    chance = random.Random(f"{kind} {seed}")
    growth, used = chance.uniform(0.3, 1.5), chance.uniform(20, 40)
    at, samples = chance.randrange(10, DAYS - 10), []
    for day in range(DAYS):
        used += growth * chance.lognormvariate(-0.32, 0.8)
        used += {"clean-up": -min(used - 5, 15 * growth), "step": 20 * growth}.get(kind, 0) if day == at else 0
        more = 30 * growth if kind == "spike" and at <= day < at + 4 else 0
        samples.append(Sample(day, used + more + chance.gauss(0, 0.2 * growth)))
    return samples, growth


@pytest.mark.parametrize("kind", ["plain", "spike", "clean-up", "step"])
def test_the_median_error_is_a_fifth_at_most_and_the_interval_holds_the_truth(kind, capsys):
    errors, inside, uncertain = [], 0, 0
    for seed in range(SERIES):
        samples, growth = series(kind, seed)
        found = forecast(samples, growth * AHEAD)
        errors.append(abs(found.days - AHEAD) / AHEAD * 100)
        inside += found.soonest <= AHEAD and (found.latest is None or found.latest >= AHEAD)
        uncertain += found.kind == "uncertain"
    errors.sort()
    with capsys.disabled():
        print(
            f"\n{kind}: error {statistics.median(errors):.0f} % in the median, {errors[SERIES * 9 // 10]:.0f} % at the 90th percentile; "
            f"{inside} of {SERIES} in the interval, {uncertain} uncertain"
        )
    assert statistics.median(errors) <= 20 and errors[SERIES * 9 // 10] <= 40
    assert inside >= 0.85 * SERIES and uncertain <= 0.1 * SERIES


def line(steps, first=100.0):
    samples = [Sample(0, first)]
    for step in steps:
        samples.append(Sample(samples[-1].day + 1, samples[-1].used + step))
    return samples


@pytest.mark.parametrize("samples", [[], line([1.0] * 5), [Sample(0, 1), Sample(30, 2)]])
def test_too_few_samples_make_no_forecast(samples):
    found = forecast(samples, 100)
    assert (found.kind, found.days, found.likely) == ("too_few", None, None)


def test_the_same_step_each_day():
    found = forecast(line([2.0] * 20), 100)
    assert (found.kind, found.days, found.soonest, found.latest, found.trimmed) == ("fills", 50, 50, 50, 0)


@pytest.mark.parametrize("steps", [[0.0] * 20, [-1.0] * 20, [0.001] * 20])
def test_what_does_not_grow_is_steady(steps):
    found = forecast(line(steps), 100)
    assert (found.kind, found.days) == ("steady", None)


def test_weekly_clean_ups_make_it_uncertain_because_the_two_opinions_differ_twofold():
    found = forecast(line([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -5.0] * 8), 20)
    assert found.kind == "uncertain" and found.days == pytest.approx(20) and found.trimmed == 8
    assert found.second < found.rate / 2


def test_growth_that_accelerates_is_uncertain_and_planned_by_the_sooner_day():
    found = forecast(line([1.08**day for day in range(60)]), 500)
    assert found.kind == "uncertain" and found.likely < found.days / 2


def test_missing_days_count():
    samples = [Sample(day * 7, 100.0 + 7 * day) for day in range(8)]
    found = forecast(samples, 10)
    assert found.days == pytest.approx(10) and forecasts.holt(samples) == pytest.approx(1)
