"""Ratios and intervals against published quantiles, numerical integration, and coverage counted over drawn samples."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pairs import Estimate, geometric_mean, in_turn, paired_ratio, student_probability, student_t


# Printed tables of Student's t, two-sided 95 % and 99 %.
@pytest.mark.parametrize(
    ("freedom", "at_95", "at_99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (9, 2.262, 3.250),
        (10, 2.228, 3.169),
        (29, 2.045, 2.756),
        (120, 1.980, 2.617),
    ],
)
def test_the_quantiles_are_those_of_the_printed_tables(freedom: int, at_95: float, at_99: float) -> None:
    assert student_t(0.95, freedom) == pytest.approx(at_95, abs=5.1e-4)
    assert student_t(0.99, freedom) == pytest.approx(at_99, abs=5.1e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 12, 31])
@pytest.mark.parametrize("t", [0.1, 0.7, 2.0, 5.5])
def test_the_probability_is_the_integral_of_the_density(freedom: int, t: float) -> None:
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    steps = 4000
    width = t / steps
    heights = [scale * (1 + (at * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for at in range(steps + 1)]
    trapezoids = sum((left + right) / 2 * width for left, right in pairwise(heights))
    assert student_probability(t, freedom) == pytest.approx(2 * trapezoids, abs=1e-6)


def test_the_interval_of_two_values_is_the_one_computed_by_hand() -> None:
    # Logarithms 0 and 1: mean 0.5, standard error 0.5, t of one degree of freedom 12.706.
    estimate = geometric_mean([1.0, math.e])
    assert estimate.mean == pytest.approx(math.exp(0.5))
    assert estimate.low is not None
    assert estimate.high is not None
    assert math.log(estimate.low) == pytest.approx(0.5 - 12.706 * 0.5, abs=1e-3)
    assert math.log(estimate.high) == pytest.approx(0.5 + 12.706 * 0.5, abs=1e-3)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    draw = random.Random(1)
    rounds, held = 2000, 0
    for _ in range(rounds):
        estimate = Estimate.of_logarithms([draw.gauss(0.2, 0.3) for _ in range(10)])
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= math.exp(0.2) <= estimate.high
    # 0.95 ± four standard deviations of a share of 2,000.
    assert held / rounds == pytest.approx(0.95, abs=0.02)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert geometric_mean([3.0]) == Estimate(pytest.approx(3.0), None, None, 1)
    with pytest.raises(ValueError, match="no values"):
        geometric_mean([])


@given(
    st.dictionaries(st.integers(0, 30), st.floats(0.1, 100), min_size=2),
    st.floats(0.1, 10),
)
def test_what_changes_both_of_a_pair_changes_no_ratio(costs: dict[int, float], factor: float) -> None:
    ratio = paired_ratio({block: cost * factor for block, cost in costs.items()}, costs)
    assert ratio is not None
    assert (ratio.mean, ratio.low, ratio.high) == pytest.approx((factor,) * 3, rel=1e-6)


def test_a_ratio_takes_only_blocks_that_both_ran_in() -> None:
    ratio = paired_ratio({0: 2.0, 1: 2.0, 5: 900.0}, {0: 1.0, 1: 1.0, 3: 7.0})
    assert ratio is not None
    assert (ratio.mean, ratio.count) == (pytest.approx(2.0), 2)
    assert paired_ratio({0: 1.0}, {1: 1.0}) is None


def test_pairs_run_forwards_and_backwards_by_turns() -> None:
    assert [entrant for _, entrant in in_turn("AB", "", 4, 0)] == list("ABBAABBA")
    assert [entrant for _, entrant in in_turn("ABC", "", 2, 0)] == list("ABCCBA")


@pytest.mark.parametrize(("pairs", "other_runs"), [(10, 2), (10, 3), (2, 1), (2, 5), (7, 7)])
def test_others_run_so_often_each_in_a_block_of_its_own(pairs: int, other_runs: int) -> None:
    runs = list(in_turn("AB", "xy", pairs, other_runs))
    for entrant, count in (
        ("A", pairs),
        ("B", pairs),
        ("x", min(pairs, other_runs)),
        ("y", min(pairs, other_runs)),
    ):
        blocks = [block for block, name in runs if name == entrant]
        assert len(blocks) == len(set(blocks)) == count
