"""Stopping when a percentile is known well enough, against queues whose true percentiles are known."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.metrics.confidence import Confidence, confidence
from perfcore.metrics.histogram import Distribution, bucket_index
from perfcore.metrics.precision import Precision, look_times_s, precision_level
from perfcore.metrics.timeline import Timeline
from perfcore.suite.measured_time import FIRST_LOOK_S

from .test_confidence import SERVICE_NS, queues, true_quantile_ns

P50 = Fraction(1, 2)


@given(st.floats(0.1, 10**7))
def test_looks_are_a_quarter_further_apart_each_time_and_lie_before_the_end(span_s):
    looks = look_times_s(span_s)
    assert looks[:1] == ([FIRST_LOOK_S] if span_s > FIRST_LOOK_S else [])
    assert all(later / earlier == pytest.approx(1.25) for earlier, later in pairwise(looks))
    if looks:
        assert looks[-1] < span_s <= looks[-1] * 1.25 * (1 + 1e-9)


def test_an_hour_has_thirty_two_looks():
    assert len(look_times_s(3600)) == math.ceil(math.log(1200, 1.25)) == 32
    assert look_times_s(3) == look_times_s(0) == []


@pytest.mark.parametrize(("looks", "level"), [(0, 0.95), (1, 0.95), (2, 0.975), (10, 0.995), (32, 0.9984375)])
def test_all_looks_together_miss_in_one_of_twenty_at_most(looks, level):
    assert precision_level(looks) == pytest.approx(level)


def interval(low_ns, high_ns, times_longer=None):
    return Confidence(low_ns, high_ns, "good", 100.0, times_longer)


def test_precision_is_how_far_the_interval_reaches_to_the_further_side():
    assert Precision.of(interval(90.0, 105.0), 100.0) == Precision(0.1, None)
    assert Precision.of(interval(99.0, 105.0), 100.0) == Precision(0.05, None)
    assert Precision.of(interval(100.0, 100.0), 100.0) == Precision(0.0, None)


def test_without_an_interval_it_is_how_much_longer_it_takes_to_one():
    assert Precision.of(interval(None, None, 2.5), 100.0) == Precision(None, 2.5)
    assert Precision.of(interval(90.0, 110.0), 0.0) == Precision(None, None)


@pytest.mark.parametrize(
    ("known", "left_s"),
    [
        (Precision(0.1, None), 30.0),  # half as wide after four times the time
        (Precision(0.05, None), 0.0),
        (Precision(0.01, None), 0.0),
        (Precision(None, 3.0), 20.0),
        (Precision(None, 0.5), 0.0),
        (Precision(None, math.inf), None),
        (Precision(None, None), None),
    ],
)
def test_the_time_left_is_that_in_which_the_interval_shrinks(known, left_s):
    assert known.left_s(0.05, 10.0) == (None if left_s is None else pytest.approx(left_s))


# -- stopping -----------------------------------------------------------------------------------------------------


def told_interval(response_ns, at_ns, quantile, wanted, level, looks_s):
    """Of a run that ends at the first look at which the quantile is known to `wanted`, else at the last one."""
    distribution, timeline, known, begin = Distribution(), Timeline(), None, 0
    for look_s in looks_s:
        end = int(np.searchsorted(at_ns, look_s * 1e9))
        for block in np.array_split(np.arange(begin, end), 1 + (end - begin) // 4096):
            durations, instants = response_ns[block], at_ns[block]
            distribution.add(durations)
            timeline.add(instants, np.zeros(block.size, bool))
            timeline.add_durations(instants, durations, bucket_index(durations))
        begin = end
        known = confidence(distribution, timeline, quantile, level=level)
        found = Precision.of(known, distribution.quantile_ns(quantile))
        if found.share is not None and found.share <= wanted:
            return known, True
    return known, False


def stopped_runs(load, requests, quantile, wanted, level_of):
    """The share of told intervals that hold the truth, and the share of runs that ended early."""
    truth_ns, held, told, early = true_quantile_ns(load, quantile), 0, 0, 0
    looks_s = look_times_s(0.95 * requests * SERVICE_NS / load / 1e9)
    for response_ns, at_ns in zip(*queues(load, requests), strict=True):
        known, is_early = told_interval(
            response_ns.astype(np.int64), at_ns.astype(np.int64), quantile, wanted, level_of(looks_s), looks_s
        )
        early += is_early
        if known.low_ns is not None:
            told += 1
            held += known.low_ns <= truth_ns <= known.high_ns
    return held / told, early / 100


@pytest.mark.parametrize(("load", "requests", "wanted"), [(0.5, 15_000, 0.08), (0.8, 30_000, 0.15)])
def test_a_run_that_stops_when_it_knows_enough_does_know_it(load, requests, wanted):
    """Found: 100 % and 99 % of the intervals hold the truth, and 90 % and 91 % where each look is taken at 95 %."""
    held, early = stopped_runs(load, requests, P50, wanted, lambda looks_s: precision_level(len(looks_s)))
    naive, naive_early = stopped_runs(load, requests, P50, wanted, lambda _: 0.95)
    assert held >= 0.95
    assert early >= 0.6
    assert naive < 0.95
    assert held - naive >= 0.05
    assert naive_early >= early
