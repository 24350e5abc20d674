"""Intervals of percentiles against simulated queues whose true percentiles are known in closed form."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.metrics import confidence as module
from perfcore.metrics.confidence import MOST_PARTS, confidence, variance_inflation
from perfcore.metrics.histogram import Distribution, bucket_index
from perfcore.metrics.timeline import Timeline

SERVICE_NS = 1_000_000.0
P50, P90, P99 = Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)
RUNS = 100


def queues(load: float, requests: int, runs: int = RUNS, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Response times of M/M/1 queues and when they arrived, in ns, shape (runs, requests); Lindley's recursion."""
    numbers = np.random.default_rng(seed)
    service = numbers.exponential(SERVICE_NS, (requests, runs))
    gaps = numbers.exponential(SERVICE_NS / load, (requests, runs))
    response = np.empty((requests, runs))
    # A queue in its steady state: the first finds what any other finds.
    waiting = np.where(numbers.random(runs) < load, numbers.exponential(SERVICE_NS / (1 - load), runs), 0.0)
    for at in range(requests):
        response[at] = waiting + service[at]
        if at + 1 < requests:
            waiting = np.maximum(0.0, response[at] - gaps[at + 1])
    return response.T, np.cumsum(gaps, axis=0).T


def true_quantile_ns(load: float, quantile: Fraction) -> float:
    """Response times of an M/M/1 queue are exponential with rate μ(1 − ρ)."""
    return -math.log(1 - float(quantile)) * SERVICE_NS / (1 - load)


def recorded(response_ns: np.ndarray, at_ns: np.ndarray) -> tuple[Distribution, Timeline]:
    durations, instants = response_ns.astype(np.int64), at_ns.astype(np.int64)
    distribution, timeline = Distribution(), Timeline()
    distribution.add(durations)
    for begin in range(0, len(durations), 4096):
        part = slice(begin, begin + 4096)
        timeline.add(instants[part], np.zeros(len(instants[part]), bool))
        timeline.add_durations(instants[part], durations[part], bucket_index(durations[part]))
    return distribution, timeline


def covered(load: float, requests: int, quantile: Fraction) -> tuple[float, int]:
    """The share of intervals that hold the true value, and how many there were."""
    truth, hits, told = true_quantile_ns(load, quantile), 0, 0
    for response_ns, at_ns in zip(*queues(load, requests), strict=True):
        distribution, timeline = recorded(response_ns, at_ns)
        known = confidence(distribution, timeline, quantile)
        assert known is not None
        if known.low_ns is not None:
            told += 1
            hits += known.low_ns <= truth <= known.high_ns
    return hits / told, told


@pytest.mark.parametrize(
    ("load", "requests", "quantile"),
    [(0.5, 20_000, P50), (0.5, 20_000, P99), (0.8, 30_000, P50), (0.8, 100_000, P99)],
)
def test_the_interval_of_a_percentile_holds_the_truth_as_often_as_it_says(load, requests, quantile):
    share, told = covered(load, requests, quantile)
    assert told > RUNS * 0.8
    assert 0.88 <= share <= 0.99


def test_without_regard_to_time_it_would_not(monkeypatch):
    monkeypatch.setattr(module, "variance_inflation", lambda *_: 1.0)
    share, _ = covered(0.8, 30_000, P50)
    assert share < 0.5


def test_independent_samples_are_not_inflated_and_the_interval_shrinks_with_their_number():
    numbers = np.random.default_rng(5)
    widths = []
    for count in (10_000, 160_000):
        durations = numbers.lognormal(16, 0.5, count)
        distribution, timeline = recorded(durations, np.sort(numbers.uniform(0, 60e9, count)))
        known = confidence(distribution, timeline, P90)
        assert known.quality == "good"
        assert 300 < known.effective / (count / 10_000) <= 1000
        widths.append((known.high_ns - known.low_ns) / known.low_ns)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4)


def test_too_few_samples_are_told_with_how_much_longer_it_takes():
    distribution, timeline = recorded(np.full(500, 1e6) + np.arange(500) * 1e4, np.arange(500) * 1e7)
    known = confidence(distribution, timeline, P99)
    assert (known.quality, known.low_ns, known.high_ns) == ("too_few", None, None)
    assert known.times_longer == pytest.approx(10 / 5, rel=0.01)
    assert confidence(Distribution(), Timeline(), P99) is None


def test_a_server_that_was_slow_once_makes_the_tail_less_certain():
    """All of the slowest in one second of sixty: they are one event, not six hundred."""
    count = 60_000
    instants, durations = np.arange(count) * 1e6, np.full(count, 1e6) + np.arange(count) % 97 * 1e3
    durations[30_000:30_900] = 50e6 + np.arange(900) * 1e4
    known = confidence(*recorded(durations, instants), P99)
    assert known.quality == "poor"
    assert known.effective < 2
    assert known.times_longer > 5


def test_equal_durations_have_an_interval_of_their_own_bucket():
    known = confidence(*recorded(np.full(10_000, 2e6), np.arange(10_000) * 1e6), P50)
    assert known.low_ns == known.high_ns == pytest.approx(2e6)


def test_a_higher_level_has_a_longer_interval_by_students_factor():
    (response_ns,), (at_ns,) = queues(0.5, 20_000, 1)
    low, high = (confidence(*recorded(response_ns, at_ns), P50, level=level) for level in (0.95, 0.999))
    assert (low.effective, low.quality) == (high.effective, high.quality)
    # Exponential response times: near the median as many ranks are as long everywhere.
    factor = (high.high_ns - high.low_ns) / (low.high_ns - low.low_ns)
    assert factor == pytest.approx(3.6594 / 2.0452, rel=0.05)


def test_what_ended_before_the_measured_time_does_not_vary_it():
    """Ten seconds of a slow start would make any interval long; the samples are of those after it."""
    (response_ns,), (at_ns,) = queues(0.5, 15_000, 1)
    distribution, alone = recorded(response_ns, at_ns)
    at_ns = at_ns + 10_000_000_000
    slow_ns = np.full(500, 50 * SERVICE_NS)
    both = recorded(np.concatenate([slow_ns, response_ns]), np.concatenate([np.arange(500) * 2e7, at_ns]))[1]
    expected = confidence(distribution, alone, P90)
    assert confidence(distribution, both, P90, 10_000_000_000) == expected
    assert confidence(distribution, both, P90).effective < expected.effective / 3


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1)), min_size=5, max_size=MOST_PARTS),
)
def test_inflation_is_that_of_the_formula(parts):
    samples = np.array([count for count, _ in parts])
    beyond = np.array([round(count * share) for count, share in parts])
    total, over = Fraction(int(samples.sum())), Fraction(int(beyond.sum()))
    filled = int((samples > 0).sum())
    inflation = variance_inflation(samples, beyond)
    if filled < 5 or not 0 < over < total:
        assert inflation == 1
        return
    p = over / total
    squares = sum((int(k) - p * int(n)) ** 2 for n, k in zip(samples, beyond, strict=True))
    expected = Fraction(filled, filled - 1) * squares / total**2 * total / (p * (1 - p))
    assert inflation == pytest.approx(max(1.0, float(expected)))
