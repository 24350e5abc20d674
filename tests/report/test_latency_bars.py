import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.metrics import histogram as metrics_histogram
from perfcore.report.latency_bars import (
    MOST_BARS,
    SCHEME,
    bar,
    cell_bound_s,
    common_bounds,
    merged,
    round_bounds,
    sparkline,
)

from .documents import cell_index, histogram, times

durations_s = st.floats(min_value=2e-6, max_value=4000)


@pytest.mark.parametrize(
    ("index", "seconds"),
    [(0, 2**-20), (1024, 2**-19), (20 << 10, 1.0), ((20 << 10) + 512, 1.5), ((21 << 10) + 256, 2.5)],
)
def test_a_cell_starts_where_the_scheme_says(index, seconds):
    assert cell_bound_s(index) == seconds


@given(durations_s)
def test_a_time_lies_in_its_cell_and_a_cell_is_a_thousandth_wide(seconds):
    index = cell_index(seconds)
    assert cell_bound_s(index) <= seconds < cell_bound_s(index + 1) <= cell_bound_s(index) * (1 + 1 / 1024)


@given(st.lists(durations_s, min_size=1, max_size=60))
def test_no_request_is_lost_or_counted_twice_in_the_bars(seconds):
    bars = merged(histogram([second * 1000 for second in seconds]))
    assert sum(entry.requests for entry in bars) == len(seconds)
    assert 1 <= len(bars) <= MOST_BARS
    for lower, upper in pairwise(bars):
        assert lower.high_s == upper.low_s


@given(st.lists(durations_s, min_size=1, max_size=60))
def test_a_request_counts_in_the_bar_that_it_belongs_to_but_for_a_cells_width(seconds):
    for entry in merged(histogram([second * 1000 for second in seconds])):
        surely = sum(entry.low_s * 1.001 <= second < entry.high_s * 0.999 for second in seconds)
        perhaps = sum(entry.low_s * 0.999 <= second <= entry.high_s * 1.001 for second in seconds)
        assert surely <= entry.requests <= perhaps


@given(durations_s, st.floats(min_value=1.0001, max_value=1e8))
def test_bounds_ascend_and_hold_the_whole_range(low, ratio):
    bounds = round_bounds(low, low * ratio)
    assert bounds == sorted(set(bounds))
    assert bounds[0] <= low or math.isclose(bounds[0], low)
    assert bounds[-1] >= low * ratio or math.isclose(bounds[-1], low * ratio)
    assert 2 <= len(bounds) <= MOST_BARS + 1


def test_a_bound_is_the_number_that_it_is_called():
    assert round_bounds(0.95, 0.95 * 1.03125)[0] == 0.95


def test_bounds_are_round_numbers():
    assert round_bounds(0.045, 0.89) == pytest.approx([0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0])
    assert round_bounds(0.101, 0.138) == pytest.approx([0.1 + 0.005 * n for n in range(9)])


def test_the_bars_of_known_times_hold_known_counts():
    bars = merged(histogram([12, 14, 16, 100, 101, 950]))
    assert sum(entry.requests for entry in bars if entry.high_s <= 0.0201) == 3
    assert sum(entry.requests for entry in bars if 0.05 <= entry.low_s < 0.2) == 2
    assert bars[-1].requests == 1


def test_without_samples_or_with_an_unknown_scheme_there_are_no_bars():
    assert merged(None) == []
    assert merged(histogram([])) == []
    assert merged(histogram([5.0]) | {"scheme": "something-newer"}) == []
    assert common_bounds([None, histogram([])]) == []


def test_common_bounds_hold_every_histogram():
    bounds = common_bounds([histogram([3.0]), histogram([900.0])], most=24)
    assert bounds[0] <= 0.003
    assert bounds[-1] >= 0.9


def test_a_single_request_among_millions_can_be_seen():
    assert bar(1, 10_000_000, 30) == "▏"
    assert bar(0, 10, 30) == ""
    assert bar(10, 10, 30) == "█" * 30
    assert sparkline([0, 1, 10_000_000]) == " ▁█"
    assert sparkline([]) == ""


def test_a_run_of_a_hundred_thousand_requests_keeps_its_count():
    assert sum(entry.requests for entry in merged(histogram(times(100_000)))) == 100_000


def test_cells_and_scheme_are_those_that_the_metrics_write():
    assert SCHEME == metrics_histogram.SCHEME
    for index in (0, 1, 1023, 1024, 20_000, metrics_histogram.BUCKETS - 1):
        assert (cell_bound_s(index), cell_bound_s(index + 1)) == metrics_histogram.bucket_bounds_s(index)
