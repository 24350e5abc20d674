"""Schedules of the open model: exact counts, exact instants, and the distribution that they promise."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.engine.arrivals import RateCurve, RateSpan, constant_arrivals, poisson_arrivals

SECOND = 10**9


def steady(rate: float, duration_s: float) -> RateCurve:
    return RateCurve([RateSpan(duration_s, rate, rate)])


def ramps(*stages: tuple[float, float]) -> RateCurve:
    """(duration, rate at its end), from 0."""
    rates = [0.0, *(rate for _, rate in stages)]
    return RateCurve(
        [
            RateSpan(duration_s, before, after)
            for (duration_s, after), before in zip(stages, rates, strict=False)
        ]
    )


curves = st.lists(st.tuples(st.floats(0.01, 20), st.floats(0, 300)), min_size=1, max_size=6).map(
    lambda stages: ramps(*stages)
)


def test_a_constant_rate_is_due_at_equal_distances() -> None:
    assert list(constant_arrivals(steady(4, 2))) == [number * SECOND // 4 for number in range(8)]
    assert list(constant_arrivals(steady(0.1, 25))) == [0, 10 * SECOND, 20 * SECOND]
    assert steady(50_000, 3600).total == 180_000_000
    assert steady(50_000, 3600).instant_ns(179_999_999) == 3600 * SECOND - 20_000


@given(
    st.fractions(Fraction(1, 10), 2000, max_denominator=60),
    st.fractions(Fraction(1, 10), 100, max_denominator=1000),
)
@settings(max_examples=60, deadline=None)
def test_there_are_exactly_rate_times_duration_rounded_up(rate: Fraction, duration_s: Fraction) -> None:
    curve = steady(float(rate), float(duration_s))
    expected = math.ceil(rate * duration_s)
    # Where the product is a hair above a whole number, floating point cannot know.
    if (
        rate * duration_s - math.floor(rate * duration_s) > Fraction(1, 10**5)
        or expected == rate * duration_s
    ):
        assert curve.total == expected
    for blocks in (constant_arrivals(curve), poisson_arrivals(curve, "s")):
        instants = list(blocks)
        assert len(instants) == curve.total
        assert instants == sorted(instants)
        assert 0 <= instants[0] <= instants[-1] <= round(float(duration_s) * 1e9)


@given(curves, st.integers(1, 130), st.booleans())
@settings(max_examples=25, deadline=None)
def test_workers_are_dealt_every_arrival_once(curve: RateCurve, workers: int, poisson: bool) -> None:
    def hand(rank: int = 0, of: int = 1) -> list[int]:
        return list(
            poisson_arrivals(curve, "seed", rank, of) if poisson else constant_arrivals(curve, rank, of)
        )

    hands = [hand(rank, workers) for rank in range(workers)]
    assert sorted(instant for one in hands for instant in one) == hand()
    assert max(map(len, hands)) - min(map(len, hands)) <= 1
    assert all(one == sorted(one) for one in hands)


def test_seven_workers_send_ten_a_second_together() -> None:
    curve = steady(10, 3)
    hands = [list(constant_arrivals(curve, rank, 7)) for rank in range(7)]
    together = sorted(instant for hand in hands for instant in hand)
    assert together == [number * SECOND // 10 for number in range(30)]


@given(curves)
@settings(max_examples=100, deadline=None)
def test_as_many_have_arrived_as_the_area_below_the_rate(curve: RateCurve) -> None:
    instants_s = np.array(list(constant_arrivals(curve))) / 1e9
    for number in np.unique(np.linspace(0, len(instants_s) - 1, 4).astype(int)) if len(instants_s) else ():
        # Middles are exact on straight lines, if the corners are among the points.
        points = np.union1d(np.linspace(0, instants_s[number], 20), _corners(curve, instants_s[number]))
        middles = (points[1:] + points[:-1]) / 2
        area = sum(
            curve.rate_at(middle) * length for middle, length in zip(middles, np.diff(points), strict=True)
        )
        # An instant is rounded to a nanosecond; where the rate is nearly 0, that is nothing.
        assert area == pytest.approx(number, abs=1e-4)


def _corners(curve: RateCurve, until_s: float) -> list[float]:
    return [at for at in curve.begins_s if at <= until_s]


def test_a_rate_that_falls_to_nothing_ends_there() -> None:
    curve = ramps((10, 100), (10, 0), (5, 0), (1, 2))
    instants_s = np.array(list(constant_arrivals(curve))) / 1e9
    assert curve.total == 1001
    assert not ((instants_s > 20) & (instants_s < 25)).any()
    assert instants_s[-1] == pytest.approx(25, abs=1e-6)
    assert curve.rate_at(10) == 100
    assert curve.rate_at(22) == 0
    assert curve.rate_at(-1) == curve.rate_at(27) == 0


def test_poisson_repeats_with_the_seed_and_only_with_it() -> None:
    curve = steady(1000, 10)
    assert list(poisson_arrivals(curve, "7:0")) == list(poisson_arrivals(curve, "7:0"))
    assert list(poisson_arrivals(curve, "7:0")) != list(poisson_arrivals(curve, "8:0"))


def anderson_darling(values: np.ndarray, mean: float) -> float:
    """A² of an exponential distribution of known mean (Stephens 1974); above 3.857 in one of a hundred."""
    probability = np.sort(-np.expm1(-values / mean))
    count = len(probability)
    weights = 2 * np.arange(1, count + 1) - 1
    logs = np.log(probability) + np.log1p(-probability[::-1])
    return float(-count - (weights * logs).sum() / count)


@pytest.mark.parametrize("seed", range(5))
def test_gaps_of_poisson_arrivals_are_exponential(seed: int) -> None:
    gaps = np.diff(list(poisson_arrivals(steady(500, 40), f"{seed}")))
    assert anderson_darling(gaps.astype(float), SECOND / 500) < 3.857
    assert anderson_darling(gaps.astype(float) * 1.05, SECOND / 500) > 3.857, "the test can fail"


def test_counts_of_seconds_are_those_of_a_poisson_process() -> None:
    counts = np.histogram(
        list(poisson_arrivals(steady(400, 1000), "s")), bins=1000, range=(0, 1000 * SECOND)
    )[0]
    assert abs(counts - 400).max() < 5 * 20  # of a thousand
    assert counts.var() == pytest.approx(400, rel=4 * math.sqrt(2 / 1000))


def test_poisson_arrivals_follow_a_ramp() -> None:
    curve = ramps((100, 200))
    instants = np.array(list(poisson_arrivals(curve, "s")))
    # A quarter of the area lies below half of the ramp.
    first_half = int((instants < 50 * SECOND).sum())
    assert first_half == pytest.approx(2500, abs=4 * math.sqrt(10_000 * 0.25 * 0.75))


def test_a_schedule_of_any_length_begins_at_once() -> None:
    day = steady(50_000, 86_400)
    for arrivals in (constant_arrivals(day), poisson_arrivals(day, "s")):
        first = list(itertools.islice(arrivals, 50_000))
        assert first[-1] == pytest.approx(SECOND, rel=0.03)
