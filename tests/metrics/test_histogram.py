"""The distribution, against the raw values."""

import itertools
import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics.histogram import (
    BUCKETS,
    LARGEST_KEPT,
    SUB_BUCKETS,
    WORDS,
    Distribution,
    bucket_bounds_s,
    bucket_index,
)
from perfcore.metrics.statistics import quantile_fraction

BUCKET_WIDTH = 1 / 1024
LOWEST_NS = 1e9 / 2**20
HIGHEST_NS = 2**12 * 10**9
PERCENTILES = [0, 0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100]


def distribution_of(values):
    distribution = Distribution()
    distribution.add(np.asarray(values, np.int64))
    return distribution


def mixed_values(seed, count):
    """Durations from nothing to hours, with ties."""
    rng = np.random.default_rng(seed)
    pools = [
        rng.integers(0, 2_000, count),
        rng.lognormal(14, 1.5, count).astype(np.int64),
        rng.integers(3 * 10**12, 9 * 10**12, count),
        rng.choice([0, 1, 953, 954, 1_000_000, 4_096 * 10**9], count),
    ]
    return np.choose(rng.choice(4, count, p=[0.2, 0.5, 0.2, 0.1]), pools)


def value_at_percentile(values, percentile):
    ordered = sorted(int(value) for value in values)
    return ordered[max(1, math.ceil(Fraction(str(percentile)) / 100 * len(ordered))) - 1]


def assert_close(got, true, largest):
    """Within a bucket's width; below and above the buckets only the side is known."""
    if true < LOWEST_NS:
        assert min(0, true) <= got < LOWEST_NS
    elif true < HIGHEST_NS:
        assert abs(got - true) <= BUCKET_WIDTH * true
    else:
        assert HIGHEST_NS <= got <= largest


RNG = np.random.default_rng(20)
SHAPES = {
    "lognormal": RNG.lognormal(15, 1, 100_003),
    "bimodal": np.concatenate([RNG.normal(2e6, 1e5, 70_001), RNG.normal(9e8, 1e7, 30_011)]),
    "constant": np.full(5_003, 1_234_567),
    "below a microsecond": RNG.integers(0, 900, 5_003),
    "around a microsecond": RNG.integers(900, 1_100, 5_003),
    "above an hour": RNG.integers(2 * 10**12, 9 * 10**12, 5_003),
    "ties": RNG.choice([10_000, 10_001, 5_000_000], 5_003),
    "no sample": [],
    "one sample": [77_777_777],
    "two samples": [1_000, 77_777_777],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_are_those_of_the_raw_values_within_a_bucket(shape):
    values = np.asarray(SHAPES[shape]).astype(np.int64)
    distribution = distribution_of(values)
    for percentile in PERCENTILES:
        got = distribution.quantile_ns(quantile_fraction(percentile))
        if not values.size:
            assert got is None
            continue
        true = int(np.quantile(values, percentile / 100, method="inverted_cdf"))
        assert true == value_at_percentile(values, percentile)
        assert_close(got, true, int(values.max()))


@pytest.mark.parametrize("count", [1, 2, 999, 1000, 1001, 3000])
def test_the_largest_thousand_are_exact(count):
    values = np.random.default_rng(count).lognormal(15, 2, count).astype(np.int64)
    distribution = distribution_of(values)
    ordered = sorted(values.tolist())
    for rank in range(max(1, count - LARGEST_KEPT + 1), count + 1):
        assert distribution.value_at_rank_ns(rank) == ordered[rank - 1]


def test_the_percentile_99_9_of_ten_thousand_has_rank_9990():
    distribution = distribution_of(np.arange(1, 10_001) * 1_000_000)
    assert distribution.quantile_ns(quantile_fraction(99.9)) == 9_990 * 1_000_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-10, 9 * 10**12), min_size=1, max_size=60), st.sampled_from(PERCENTILES))
def test_a_quantile_of_few_values_is_exact(values, percentile):
    true = value_at_percentile(values, percentile)
    got = distribution_of(values).quantile_ns(quantile_fraction(percentile))
    assert got == true if true > 0 else got == min(values)


def test_an_empty_distribution_says_nothing():
    empty = Distribution()
    assert empty.count == empty.sum_ns == 0
    assert empty.min_ns is empty.max_ns is empty.mean_ns is empty.stddev_ns is None
    assert empty.quantile_ns(Fraction(1, 2)) is None
    assert empty.sparse() == ([], [])
    empty.add(np.array([], np.int64))
    assert not empty.words.any()


@settings(deadline=None)
@given(st.integers(954, HIGHEST_NS - 1))
def test_a_duration_lies_in_its_bucket_and_buckets_are_narrow(duration_ns):
    index = int(bucket_index(np.array([duration_ns]))[0])
    low, high = (bound * 1e9 for bound in bucket_bounds_s(index))
    assert low <= duration_ns * (1 + 1e-15)
    assert duration_ns * (1 - 1e-15) <= high
    assert (high - low) / low <= 0.000977
    assert abs((low + high) / 2 - duration_ns) <= 0.00049 * duration_ns


def test_buckets_join_without_a_gap():
    bounds = [bucket_bounds_s(index) for index in range(BUCKETS)]
    assert bounds[0][0] == 2**-20
    assert bounds[-1][1] == 2**12
    assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))


@pytest.mark.parametrize(("duration_ns", "below"), [(0, True), (953, True), (-5, True), (HIGHEST_NS, False)])
def test_durations_out_of_range_are_counted_on_their_side(duration_ns, below):
    index = int(bucket_index(np.array([duration_ns]))[0])
    assert index < 0 if below else index >= BUCKETS
    distribution = distribution_of([duration_ns] * 3 + [1_000_000] * 3)
    assert distribution.count == 6
    assert distribution.sparse()[1] == [3]
    first_is_out = distribution.value_at_rank_ns(1) == duration_ns
    assert first_is_out == below
    assert distribution.min_ns == min(duration_ns, 1_000_000)
    assert distribution.max_ns == max(duration_ns, 1_000_000)


def test_mean_deviation_and_extremes_are_exact_beyond_a_million_samples():
    rng = np.random.default_rng(3)
    values = (rng.lognormal(15, 1, 1_200_000)).astype(np.int64)
    distribution = Distribution()
    for block in np.array_split(values, 293):
        distribution.add(block)
    whole = values.tolist()
    assert distribution.count == len(whole)
    assert distribution.sum_ns == sum(whole)
    assert distribution.mean_ns == sum(whole) / len(whole)
    assert (distribution.min_ns, distribution.max_ns) == (min(whole), max(whole))
    microseconds = [(value + 500) // 1000 for value in whole]
    variance = Fraction(
        len(whole) * sum(value * value for value in microseconds) - sum(microseconds) ** 2, len(whole) ** 2
    )
    assert distribution.stddev_ns == pytest.approx(math.sqrt(variance) * 1000, rel=1e-15)
    mean = math.fsum(whole) / len(whole)
    true = math.sqrt(math.fsum((value - mean) ** 2 for value in whole) / len(whole))
    assert abs(distribution.stddev_ns - true) <= 500


def test_a_small_deviation_of_large_values_does_not_drown():
    values = 4_000 * 10**9 + 1000 * np.random.default_rng(5).integers(-2, 3, 200_000)
    distribution = Distribution()
    for block in np.array_split(values, 50):
        distribution.add(block)
    true = float(np.std(values.astype(np.longdouble)))
    assert 1_000 < true < 2_000
    assert distribution.stddev_ns == pytest.approx(true, rel=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4_294_967), min_size=1, max_size=50))
def test_the_deviation_is_that_of_whole_microseconds(milliseconds):
    got = distribution_of([1_000_000 * value for value in milliseconds]).stddev_ns
    assert got == pytest.approx(statistics.pstdev(milliseconds) * 1e6, rel=1e-12)


def test_hours_by_the_million_do_not_overflow_the_squares():
    count, hour_us = 2_000_000, 3_600_000_000
    block = distribution_of(np.repeat([hour_us * 1000, 0], count // 2))
    total = Distribution()
    for _ in range(1000):
        total.merge(block)
    assert total.count == 2 * 10**9
    assert total.stddev_ns == pytest.approx(hour_us * 1000 / 2, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 6_000), st.integers(1, 6), st.randoms(use_true_random=False))
def test_any_partition_in_any_order_adds_to_the_same_words(seed, count, parts, random):
    values = mixed_values(seed, count)
    whole = distribution_of(values)
    owner = np.random.default_rng(seed).integers(0, parts, count)
    pieces = [distribution_of(values[owner == part]) for part in range(parts)]
    random.shuffle(pieces)
    total = Distribution(np.zeros(WORDS, np.int64))
    for piece in pieces:
        total.merge(piece)
    assert np.array_equal(total.words, whole.words)
    by_block = Distribution()
    for start in range(0, count, 700):
        by_block.add(values[start : start + 700])
    assert np.array_equal(by_block.words, whole.words)


def test_merging_leaves_the_other_as_it_was_and_may_read_only():
    one, other = distribution_of([1_000_000]), distribution_of([2_000_000])
    before = other.words.copy()
    other.words.flags.writeable = False
    one.merge(Distribution(other.words))
    empty = np.zeros(WORDS, np.int64)
    empty.flags.writeable = False
    one.merge(Distribution(empty))
    assert np.array_equal(other.words, before)
    assert (one.count, one.sum_ns) == (2, 3_000_000)


def test_quantiles_are_within_a_bucket_after_merging_too():
    slow, fast = SHAPES["bimodal"].astype(np.int64), SHAPES["lognormal"].astype(np.int64)
    total = distribution_of(slow)
    total.merge(distribution_of(fast))
    values = np.concatenate([slow, fast])
    for percentile in PERCENTILES:
        got = total.quantile_ns(quantile_fraction(percentile))
        assert_close(got, value_at_percentile(values, percentile), int(values.max()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 5_000), st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.9, 0.999, 1.0]))
def test_without_a_part_the_rest_remains(seed, count, share):
    values = mixed_values(seed, count)
    taken = np.random.default_rng(seed + 1).random(count) < share
    whole = distribution_of(values)
    before = whole.words.copy()
    rest = whole.without(distribution_of(values[taken]))
    left = values[~taken]
    expected = distribution_of(left)
    assert np.array_equal(whole.words, before)
    assert np.array_equal(rest.buckets, expected.buckets)
    assert (rest.count, rest.sum_ns, rest.stddev_ns) == (expected.count, expected.sum_ns, expected.stddev_ns)
    known = rest.words[-LARGEST_KEPT:]
    known = known[known > 0].tolist()
    assert known == sorted(left.tolist())[len(left) - len(known) :]
    if not len(left):
        assert not rest.words.any()
        return
    for percentile in PERCENTILES:
        got = rest.quantile_ns(quantile_fraction(percentile))
        assert_close(got, value_at_percentile(left, percentile), int(values.max()))
    assert_close(rest.min_ns, int(left.min()), int(values.max()))
    assert_close(rest.max_ns, int(left.max()), int(values.max()))


def test_what_remains_can_be_merged_with_what_was_taken():
    values = mixed_values(9, 3_000)
    part = distribution_of(values[:1_000])
    again = distribution_of(values).without(part)
    again.merge(part)
    assert again.count == 3_000
    assert np.array_equal(again.buckets, distribution_of(values).buckets)
    emptied = part.without(part)
    emptied.merge(part)
    assert np.array_equal(emptied.words, part.words)


def test_sparse_lists_the_filled_buckets():
    index, count = distribution_of([1_000_000, 1_000_000, 2_000_000]).sparse()
    assert count == [2, 1]
    assert index[1] - index[0] == SUB_BUCKETS
    low, high = bucket_bounds_s(index[0])
    assert low <= 0.001 < high
