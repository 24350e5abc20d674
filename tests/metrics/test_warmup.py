"""What is left out as warm-up is left out of everything: against figures that were never given it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics.metrics_collector import DISTRIBUTIONS, TestFigures
from perfcore.metrics.samples import INTERRUPTED
from perfcore.metrics.steadiness import Seconds
from perfcore.metrics.warmup import MOST, WarmupSegments

from .rows import START_NS, random_rows, rows_of

SECOND = 1_000_000_000
COUNTERS = [
    "requests",
    "failed_requests",
    "attempts",
    "retried",
    "resent",
    "connections",
    "received_bytes",
    "sent_bytes",
    "censored",
]
SPANS_S = st.sampled_from([1, 20, 31, 32, 33, 100, 1000])


def begun(planned_end_ns=None, warmup_ns=0):
    figures = TestFigures()
    figures.begin(START_NS, planned_end_ns, warmup_ns)
    return figures


def fed(figures, rows, blocks):
    """The rows in so many blocks, some of them empty or of one row."""
    for block in np.array_split(rows, blocks):
        if block.size:
            figures.fold(block)
    return figures


def in_any_order(rows, seed):
    return rows[np.random.default_rng(seed).permutation(rows.size)]


def assert_measured(found, rows, from_ns, planned_end_ns):
    """The figures are those of the rows due from there on; completions those of the time from there on."""
    after, before = rows[rows["due_ns"] >= from_ns], rows[rows["due_ns"] < from_ns]
    expected = TestFigures()
    expected.begin(START_NS, planned_end_ns)
    if after.size:
        expected.fold(after)
    assert {name: found.counter(name) for name in COUNTERS} == {
        name: expected.counter(name) for name in COUNTERS
    }
    for name in DISTRIBUTIONS:
        assert np.array_equal(found.distributions[name].words, expected.distributions[name].words), name
    for name in ("status_counts", "error_counts", "failed_check_counts"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert np.array_equal(found.slowest.words, expected.slowest.words)
    assert np.array_equal(found.client_delay.words, expected.client_delay.words)
    assert found.shortest_censored_ns == expected.shortest_censored_ns
    left_out = before[before["flags"] & INTERRUPTED == 0]
    assert found.counter("warmup_requests") == left_out.size
    assert found.counter("warmup_failed") == np.count_nonzero(left_out["error"])
    assert found.counter("warmup_attempts") == left_out["attempts"].sum()
    ended = rows[(rows["flags"] & INTERRUPTED == 0) & (rows["done_ns"] > from_ns)]
    assert found.last_done_ns == (ended["done_ns"].max() if ended.size else None)
    carried = np.minimum(left_out["done_ns"] - left_out["issued_ns"], left_out["done_ns"] - from_ns)
    assert found.counter("busy_ns") == expected.counter("busy_ns") + carried[carried > 0].sum()
    if planned_end_ns is not None:
        ended = ended[ended["done_ns"] <= planned_end_ns]
    assert found.counter("completed_in_plan") == ended.size
    assert found.counter("succeeded_in_plan") == np.count_nonzero(ended["error"] == 0)


def assert_whole_time(found, rows):
    """The time line and the starts are of the whole test."""
    whole = begun()
    whole.fold(rows)
    assert found.timeline.column("requests") == whole.timeline.column("requests")
    assert found.timeline.column("failures") == whole.timeline.column("failures")
    assert np.array_equal(found.timeline.words, whole.timeline.words)
    assert np.array_equal(found.starts.words, whole.starts.words)


# -- fixed --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 600),
    SPANS_S,
    st.floats(0, 1.1),
    st.sampled_from([None, 0.5, 0.9, 2.0]),
    st.integers(1, 5),
)
def test_figures_after_a_fixed_warm_up_are_those_of_what_was_due_after_it(
    seed, count, span_s, cut, planned, blocks
):
    span_ns = span_s * SECOND
    rows = random_rows(seed, count, span_ns=span_ns)
    warmup_ns = max(1, int(cut * span_ns))
    planned_end_ns = None if planned is None else START_NS + max(warmup_ns, int(planned * span_ns))
    found = fed(begun(planned_end_ns, warmup_ns), in_any_order(rows, seed), blocks)
    assert_measured(found, rows, START_NS + warmup_ns, planned_end_ns)
    assert_whole_time(found, rows)


@pytest.mark.parametrize(
    ("due_s", "done_s", "counts"),
    [
        (0, 1, False),  # all of it before
        (0, 2, False),  # ended in the instant in which the warm-up did
        (1, 3, True),  # due in the warm-up, done in the measured time
        (2, 3, True),
        (3, 8, True),  # in the instant of the planned end
        (1, 9, False),
        (3, 9, False),  # drained
    ],
)
def test_what_ended_in_the_measured_time_counts_there_whenever_it_was_due(due_s, done_s, counts):
    figures = begun(START_NS + 8 * SECOND, 2 * SECOND)
    figures.fold(rows_of(1, start_ns=START_NS + due_s * SECOND, service_ns=(done_s - due_s) * SECOND))
    assert figures.counter("completed_in_plan") == figures.counter("succeeded_in_plan") == counts
    assert figures.counter("requests") == (due_s >= 2)
    assert figures.counter("warmup_requests") == (due_s < 2)


def test_time_under_way_counts_from_the_end_of_the_warm_up_on():
    figures = begun(None, 2 * SECOND)
    figures.fold(rows_of(1, service_ns=SECOND))
    assert figures.counter("busy_ns") == 0
    figures.fold(rows_of(1, start_ns=START_NS + SECOND, service_ns=4 * SECOND))
    assert figures.counter("busy_ns") == 3 * SECOND
    figures.fold(rows_of(1, start_ns=START_NS + SECOND, lag_ns=3 * SECOND, service_ns=SECOND))
    assert figures.counter("busy_ns") == 4 * SECOND


def test_all_requests_are_those_of_the_warm_up_and_of_the_measured_time():
    figures = fed(begun(None, SECOND), random_rows(3, 500, interrupted=0), 4)
    assert figures.all_requests == 500
    assert 0 < figures.all_failed < 500
    without = fed(begun(), random_rows(3, 500, interrupted=0), 4)
    assert (figures.all_requests, figures.all_failed) == (without.all_requests, without.all_failed)


def test_parts_of_several_workers_add_to_the_same():
    rows = random_rows(8, 900, span_ns=40 * SECOND)
    alone = fed(begun(START_NS + 30 * SECOND, 7 * SECOND), rows, 3)
    total = TestFigures()
    for worker in (2, 0, 1):
        total.merge(fed(begun(START_NS + 30 * SECOND, 7 * SECOND), rows[worker::3], 2))
    assert np.array_equal(total.words, alone.words)


# -- found at the end ---------------------------------------------------------------------------------------------


def segmented(rows, planned_end_ns, blocks):
    whole = begun(planned_end_ns)
    segments = WarmupSegments(whole)
    fed(whole, rows, blocks)
    return fed(segments, rows, blocks), whole


def segment_ns_of(rows):
    """A second, or twice, four times … as long, so that MOST of them reach over all instants."""
    last_ns = int(rows["done_ns"].max()) - START_NS
    length_ns = SECOND
    while last_ns >= MOST * length_ns:
        length_ns *= 2
    return length_ns


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 600),
    SPANS_S,
    st.integers(0, MOST),
    st.sampled_from([None, 0.5, 0.9, 2.0]),
    st.integers(1, 5),
)
def test_figures_from_any_segment_on_are_those_of_what_was_due_from_there_on(
    seed, count, span_s, first, planned, blocks
):
    # Without interrupted ones, whose ends may lie beyond those of all others.
    rows = random_rows(seed, count, span_ns=span_s * SECOND, interrupted=0)
    planned_end_ns = None if planned is None else START_NS + int(planned * span_s * SECOND)
    segments, whole = segmented(in_any_order(rows, seed), planned_end_ns, blocks)
    length_ns = segment_ns_of(rows)
    before = whole.words.copy()
    found, arrivals, dropped = segments.measured(first)
    from_ns = START_NS + first * length_ns
    assert (found.start_ns, found.measured_from_ns) == (START_NS, from_ns)
    assert (found.planned_end_ns, arrivals, dropped) == (planned_end_ns, 0, 0)
    assert_measured(found, rows, from_ns, planned_end_ns)
    assert_whole_time(found, rows)
    assert np.array_equal(whole.words, before)


def test_long_requests_count_their_time_on_both_sides_of_any_cut():
    """Some of them are longer than a segment, or than all of them together."""
    rows = rows_of(400, every_ns=SECOND // 8)
    rows["done_ns"] += np.random.default_rng(2).integers(0, 70 * SECOND, 400)
    segments, _ = segmented(rows, None, 7)
    for first in range(0, MOST, 3):
        found, _, _ = segments.measured(first)
        assert_measured(found, rows, START_NS + first * 4 * SECOND, None)


def test_interrupted_requests_are_left_out_with_the_segment_in_which_they_were_due():
    cut = rows_of(40, every_ns=SECOND // 4, flags=INTERRUPTED, status=0, service_ns=90 * SECOND)
    segments, _ = segmented(np.concatenate([rows_of(10, every_ns=SECOND), cut]), None, 3)
    found, _, _ = segments.measured(3)
    assert found.counter("interrupted") == 28
    assert (found.counter("requests"), found.counter("warmup_requests")) == (7, 3)


def test_arrivals_are_those_noted_by_the_end_of_the_warm_up():
    segments = WarmupSegments(begun())
    for second in range(20):
        segments.note_arrivals(START_NS + second * SECOND + SECOND // 2, 100 * (second + 1), 3 * second)
    assert segments.measured(0)[1:] == (0, 0)
    assert segments.measured(5)[1:] == (500, 12)
    segments.note_arrivals(START_NS + 100 * SECOND, 9000, 99)  # four seconds each by now
    assert segments.measured(1)[1:] == (400, 9)
    assert segments.measured(5)[1:] == (2000, 57)
    assert segments.measured(26)[1:] == (9000, 99)


def warming(count, length_s=1.0, slow=20):
    """Three times slower for so many entries, then exactly steady."""
    p50 = np.full(count, 10.0)
    p50[:slow] = 30.0
    return Seconds(length_s, np.full(count, 100.0), p50, p50)


@pytest.mark.parametrize(
    ("seconds", "last_s", "first"),
    [
        (warming(60), 60, 10),  # of 2 s each
        (warming(30, slow=5), 30, 5),
        (warming(60, slow=29), 60, 15),
        (warming(60, slow=29), 100, 7),  # of 4 s each, and never in the second half of what is known
        (warming(33, slow=15), 33, 8),  # 15 s are in the eighth segment of 2 s
        (warming(60, length_s=1.6, slow=10), 96, 4),  # 16 s, of 4 s each
        (warming(60, slow=0), 60, 0),
        (warming(4, slow=2), 4, 0),
    ],
)
def test_the_first_measured_segment_is_the_first_after_the_warm_up(seconds, last_s, first):
    segments = WarmupSegments(begun())
    segments.fold(rows_of(1, start_ns=START_NS + last_s * SECOND - 2 * 10**6))
    assert segments.first_measured(seconds) == first


def test_a_load_that_is_ended_early_counts_what_completed_until_then():
    whole = begun(START_NS + 100 * SECOND)
    segments = WarmupSegments(whole)
    rows = rows_of(10, every_ns=SECOND)
    fed(segments, rows, 2)
    whole.end_by(START_NS + 12 * SECOND)
    later = rows_of(4, start_ns=START_NS + 10 * SECOND, every_ns=SECOND)  # the last two end after it
    fed(segments, later, 2)
    assert segments.measured(3)[0].counter("completed_in_plan") == 9


def test_segments_take_little_memory_before_and_after_they_are_put_together():
    """Of 8 MB each a few pages are touched: a test with 32 of them would otherwise take a quarter of a gigabyte."""
    segments = WarmupSegments(begun())
    before_kb = resident_kb()
    for second in range(40):
        segments.fold(random_rows(second, 500, span_ns=SECOND, interrupted=0))
        segments.fold(rows_of(500, start_ns=START_NS + second * SECOND))
    assert resident_kb() - before_kb < 40_000


def resident_kb():
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
