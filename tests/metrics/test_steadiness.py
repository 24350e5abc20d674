"""Where a warm-up ends and whether figures drift, against series whose course is known."""

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics.steadiness import (
    FEWEST_POINTS,
    Drift,
    Seconds,
    drift,
    filled,
    mser5,
    warmup_seconds,
)

SEEDS = range(40)


def noise(numbers, count, correlation=0.0):
    """Standard normal values, each like the one before it (an AR(1) process in its steady state)."""
    fresh = numbers.standard_normal(count)
    values = np.empty(count)
    values[0] = fresh[0]
    for at in range(1, count):
        values[at] = correlation * values[at - 1] + math.sqrt(1 - correlation**2) * fresh[at]
    return values


def seconds_of(seed, count, *, tau_s=1.0, height=0.0, spread=0.1, correlation=0.0):
    """A server that is `height` times slower at first and comes near its level with the time constant `tau_s`."""
    numbers = np.random.default_rng(seed)
    level = 1 + height * np.exp(-(np.arange(count) + 0.5) / tau_s)
    rate, p50, p99 = (np.exp(spread * share * noise(numbers, count, correlation)) for share in (1, 1, 2))
    return Seconds(1.0, np.round(500 / level * rate), 10 * level * p50, 30 * level * p99)


def wander(seed, count, correlation, spread=0.05, change=0.0):
    """Values around a level that changes by this share of it."""
    line = 10 * (1 + change * (np.arange(count) / (count - 1) - 0.5))
    return line * np.exp(spread * noise(np.random.default_rng(seed), count, correlation))


# -- the cut ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau_s", "count"), [(10, 120), (20, 300)])
def test_most_cuts_lie_between_two_and_a_half_and_four_time_constants(tau_s, count):
    cuts = [warmup_seconds(seconds_of(seed, count, tau_s=tau_s, height=1)) / tau_s for seed in SEEDS]
    within = sum(2.5 <= cut <= 4 for cut in cuts) / len(cuts)
    assert within >= 0.55, "found: 60 % and 65 %"
    assert 2.5 <= median(cuts) <= 4
    assert min(cuts) >= 2
    # Of three figures the largest cut counts, and some noise makes one late; what is left is at least the half.
    assert max(cuts) <= count / 2 / tau_s + 1


@pytest.mark.parametrize("count", [30, 60, 120, 300])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_noise_alone_is_seldom_cut(count, correlation):
    cuts = [warmup_seconds(seconds_of(seed, count, correlation=correlation)) for seed in range(100)]
    assert sum(cut > 0 for cut in cuts) <= 8


def test_equal_values_are_never_cut_for_their_rounding():
    """A percentile of a time line is a bucket's middle, and mostly the same one."""
    values = np.random.default_rng(1).lognormal(0, 3, 100)
    for count in (20, 33, 60, 77, 300):
        for value in values:
            assert mser5(np.full(count, value)) == mser5(np.full(count, math.log(value))) == 0


def test_a_first_second_that_was_slow_is_left_out_and_little_else():
    cuts = []
    for seed in SEEDS:
        seconds = seconds_of(seed, 60, spread=0.02)
        seconds.p99_ms[0] *= 20
        cuts.append(warmup_seconds(seconds))
    assert min(cuts) == median(cuts) == 5


@pytest.mark.parametrize("spread", [0.01, 0.05, 0.1])
def test_a_start_that_is_much_slower_is_left_out_of_a_short_run_too(spread):
    """So few batches follow that Student's t alone calls four in ten of them chance, of the noisy ones six."""
    cuts = [
        warmup_seconds(seconds_of(seed, 21, tau_s=1, height=19, spread=spread, correlation=0.5))
        for seed in range(100)
    ]
    assert min(cuts) >= 5


def test_the_cut_is_the_one_that_the_formula_gives_where_there_is_a_warm_up():
    """White's statistic of batch means, by plain sums: the least over all cuts of at most half."""
    for seed in SEEDS:
        values = np.log(seconds_of(seed, 103, tau_s=8, height=2).p50_ms)
        means = [sum(values[at : at + 5]) / 5 for at in range(0, 100, 5)]

        def error(at, means=means):
            rest = means[at:]
            return sum((mean - sum(rest) / len(rest)) ** 2 for mean in rest) / len(rest) ** 2

        assert mser5(values) == 5 * min(range(11), key=error)


def test_at_most_half_is_cut_and_of_fewer_than_twenty_values_nothing():
    for count in (20, 24, 25, 60, 99):
        cut = mser5(np.concatenate([np.full(count - 5, 9.0), np.full(5, 1.0)]))
        assert cut % 5 == 0
        assert cut <= count / 2
    rising = np.arange(100.0)
    assert mser5(rising) == 50
    assert all(mser5(rising[:count]) == 0 for count in range(20))


def test_each_figure_is_looked_at_and_the_largest_cut_counts():
    flat, numbers = np.full(60, 10.0), np.random.default_rng(3)
    flat = flat * np.exp(0.01 * numbers.standard_normal(60))
    late, early = flat.copy(), flat.copy()
    late[:20] *= 3
    early[:10] *= 3
    assert warmup_seconds(Seconds(1.0, flat, early, late)) == 20
    assert warmup_seconds(Seconds(1.0, flat, late, early)) == 20
    assert warmup_seconds(Seconds(1.0, late, flat, early)) == 20
    assert warmup_seconds(Seconds(1.0, flat, flat, flat)) == 0


def test_seconds_without_a_sample_do_not_break_the_cut():
    seconds = seconds_of(1, 120, tau_s=10, height=3, spread=0.02)
    whole = warmup_seconds(seconds)
    for at in (0, 7, 60, 119):
        seconds.p50_ms[at] = seconds.p99_ms[at] = np.nan
    assert abs(warmup_seconds(seconds) - whole) <= 10
    nothing = np.full(60, np.nan)
    assert warmup_seconds(Seconds(1.0, np.zeros(60), nothing, nothing)) == 0
    assert warmup_seconds(Seconds(1.0, *(np.zeros(0) for _ in range(3)))) == 0


@settings(deadline=None)
@given(st.lists(st.one_of(st.just(math.nan), st.floats(-1e6, 1e6)), min_size=1, max_size=40))
def test_a_gap_takes_the_value_before_it_or_else_the_first(values):
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return
    expected, last = [], known[0]
    for value in values:
        last = last if math.isnan(value) else value
        expected.append(last)
    assert filled(np.array(values)).tolist() == expected


# -- the drift ----------------------------------------------------------------------------------------------------


def share_told(count, correlation, **course):
    found = [drift(wander(seed, count, correlation, **course)) for seed in range(100)]
    return sum(one.is_told for one in found) / len(found)


@pytest.mark.parametrize("count", [30, 60, 120, 300])
def test_a_change_of_a_tenth_is_found(count):
    assert share_told(count, 0.0, spread=0.03, change=0.1) >= 0.95
    assert share_told(count, 0.5, spread=0.02, change=-0.1) >= 0.85
    found = drift(wander(1, count, 0.0, spread=0.01, change=0.1))
    assert found.change == pytest.approx(0.1, abs=0.02)
    assert found.low < found.change < found.high


@pytest.mark.parametrize(
    ("count", "correlation"),
    [(count, correlation) for count in (30, 60, 120, 300) for correlation in (0, 0.5)]
    + [(60, 0.7), (120, 0.8), (300, 0.8)],
)
def test_steady_noise_is_told_to_drift_in_a_tenth_of_runs_at_most(count, correlation):
    assert share_told(count, correlation) <= 0.1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(FEWEST_POINTS, 60), st.floats(-0.5, 0.5))
def test_the_slope_is_the_median_of_those_of_all_pairs(seed, count, change):
    values = wander(seed, count, 0.3, change=change)
    slopes = [(values[b] - values[a]) / (b - a) for a in range(count) for b in range(a + 1, count)]
    found = drift(values)
    assert found.change == pytest.approx(median(slopes) * (count - 1) / median(values), abs=1e-9)
    assert found.low <= found.change <= found.high


def test_the_interval_of_independent_values_is_sens():
    """Of ten values: Kendall's variance is 125, and 1.96 · √125 = 21.9 of the 45 slopes lie within."""
    values = np.array([10.0, 10.4, 9.9, 10.6, 10.1, 10.9, 10.3, 11.2, 10.4, 11.3])
    slopes = sorted((values[b] - values[a]) / (b - a) for a in range(10) for b in range(a + 1, 10))
    found = drift(values)
    scale = 9 / median(values)
    assert found.low == pytest.approx(slopes[11] * scale)
    assert found.high == pytest.approx(slopes[34] * scale)


@pytest.mark.parametrize("tau_s", [3, 8, 20])
def test_a_warm_up_that_was_left_in_is_found(tau_s):
    for seed in SEEDS:
        found = drift(seconds_of(seed, 60, tau_s=tau_s, height=2, spread=0.02).p50_ms)
        assert found.is_told
        assert found.high < 0


def test_values_of_few_buckets_are_judged_as_others_are():
    """Percentiles of a time line come in steps of 3 %."""
    steady = [np.round(wander(seed, 120, 0.0) / 0.3) * 0.3 for seed in SEEDS]
    rising = [np.round(wander(seed, 120, 0.0, change=0.1) / 0.3) * 0.3 for seed in SEEDS]
    assert sum(drift(values).is_told for values in steady) <= 2
    assert sum(drift(values).is_told for values in rising) >= 34


def test_a_single_outlier_does_not_move_the_drift():
    values = wander(5, 60, 0.0)
    before = drift(values).change
    values[50] *= 1000
    assert drift(values).change == pytest.approx(before, abs=0.01)


def test_many_points_are_averaged_first_and_tell_the_same():
    few, many = (drift(wander(2, count, 0.0, spread=0.01, change=0.2)) for count in (100, 3000))
    assert few.change == pytest.approx(0.2, abs=0.02)
    assert many.change == pytest.approx(0.2, abs=0.02)


def test_of_few_points_none_or_nothing_but_zeroes_no_drift_is_told():
    assert drift(np.arange(FEWEST_POINTS - 1.0) + 1) is None
    assert drift(np.concatenate([np.full(50, np.nan), np.arange(9.0) + 1])) is None
    assert drift(np.zeros(60)) is None
    assert drift(np.full(60, 4.0)) == Drift(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("found", "is_told"),
    [
        (Drift(0.1234, 0.05, 0.2), True),
        (Drift(-0.2, -0.3, -0.1), True),
        (Drift(0.05, 0.04, 0.06), False),
        (Drift(-0.5, -1.0, 0.1), False),
        (Drift(0.5, 0.0, 1.0), False),
    ],
)
def test_a_drift_is_told_that_is_large_and_sure(found, is_told):
    assert found.is_told == is_told


def test_seconds_may_be_looked_at_from_one_on():
    seconds = seconds_of(1, 10)
    rest = seconds.since(4)
    assert rest.length_s == 1.0
    for whole, part in zip(
        (seconds.requests, seconds.p50_ms, seconds.p99_ms),
        (rest.requests, rest.p50_ms, rest.p99_ms),
        strict=True,
    ):
        assert part.tolist() == whole[4:].tolist()
