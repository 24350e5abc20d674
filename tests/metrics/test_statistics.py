"""Ranks, against fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics.statistics import (
    all_percentiles,
    enough_exceedances,
    nearest_rank,
    percentile_key,
    quantile_fraction,
    student_quantile,
)


@pytest.mark.parametrize(
    ("percentile", "count", "rank"),
    [
        (50, 1, 1),
        (50, 2, 1),
        (50, 3, 2),
        (99, 100, 99),
        (99, 101, 100),
        (99.9, 10_000, 9_990),  # 0.999 · 10,000 is more than 9,990 in floats
        (99.9, 1_000, 999),
        (90, 10, 9),
        (0, 7, 1),
        (100, 7, 7),
        (99.99, 10**12, 999_900_000_000),
    ],
)
def test_a_percentile_has_this_rank(percentile, count, rank):
    assert nearest_rank(count, quantile_fraction(percentile)) == rank


@settings(deadline=None)
@given(st.integers(1, 10**12), st.integers(0, 100_000))
def test_the_rank_is_the_ceiling_of_the_exact_product(count, thousandths):
    percentile = thousandths / 1000
    exact = Fraction(thousandths, 100_000)
    assert quantile_fraction(percentile) == exact
    assert nearest_rank(count, quantile_fraction(percentile)) == max(1, math.ceil(exact * count))


@settings(deadline=None)
@given(st.integers(1, 10**7), st.integers(0, 100_000))
def test_exceedances_are_enough_from_exactly_ten_on(count, thousandths):
    exact = Fraction(thousandths, 100_000)
    assert enough_exceedances(count, exact) == (count * (1 - exact) >= 10)


@pytest.mark.parametrize(
    ("percentile", "least"), [(50, 20), (90, 100), (99, 1_000), (99.9, 10_000), (99.99, 100_000)]
)
def test_ten_samples_lie_beyond_a_percentile_from_this_count_on(percentile, least):
    quantile = quantile_fraction(percentile)
    assert enough_exceedances(least, quantile)
    assert not enough_exceedances(least - 1, quantile)


def test_nothing_lies_beyond_the_hundredth_percentile():
    assert not enough_exceedances(10**9, quantile_fraction(100))


@pytest.mark.parametrize(
    ("percentile", "key"),
    [(50.0, "p50"), (99, "p99"), (99.9, "p99_9"), (99.99, "p99_99"), (100.0, "p100"), (0.5, "p0_5")],
)
def test_a_percentile_is_named_as_written(percentile, key):
    assert percentile_key(percentile) == key


def test_percentiles_asked_for_join_the_usual_ones_in_order_and_once():
    assert all_percentiles([99, 75, 99.99]) == [50, 75, 90, 95, 99, 99.9, 99.99]


# From R: qt(1 - outside / 2, degrees), for the rows 0.05, 0.01 and 0.001.
STUDENT = {
    1: (12.70620474, 63.65674116, 636.6192488),
    2: (4.30265273, 9.92484320, 31.59905458),
    3: (3.18244631, 5.84090931, 12.92397864),
    4: (2.77644511, 4.60409487, 8.61030158),
    5: (2.57058184, 4.03214298, 6.86882663),
    10: (2.22813885, 3.16927267, 4.58689386),
    29: (2.04522964, 2.75638590, 3.65940502),
    100: (1.98397152, 2.62589052, 3.39049131),
}


@pytest.mark.parametrize("degrees", STUDENT)
def test_students_quantiles_are_those_of_the_table(degrees):
    for outside, expected in zip((0.05, 0.01, 0.001), STUDENT[degrees], strict=True):
        tolerance = 1e-8 if degrees < 3 else 1e-3
        assert student_quantile(outside, degrees) == pytest.approx(expected, rel=tolerance)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.0005, 0.5), st.integers(3, 60))
def test_so_much_of_students_distribution_lies_outside_of_the_quantile(outside, degrees):
    def beyond(quantile):
        at = np.linspace(0, quantile, 20_001)
        log_scale = (
            math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
        )
        density = np.exp(log_scale - (degrees + 1) / 2 * np.log1p(at * at / degrees))
        return 1 - 2 * float(((density[1:] + density[:-1]) / 2 * np.diff(at)).sum())

    found = student_quantile(outside, degrees)
    assert beyond(found * 1.001) <= outside <= beyond(found * 0.999)
