"""Figures over time, against plain counting."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics.histogram import bucket_index
from perfcore.metrics.timeline import SHORTEST_SLICE_NS, SLICES, Timeline

SECOND = 1_000_000_000
COARSE_WIDTH = 1 / 32


def feed(timeline, instants, durations=None, failed=None):
    instants = np.asarray(instants, np.int64)
    durations = np.full(instants.size, 1_000_000) if durations is None else np.asarray(durations, np.int64)
    failed = np.zeros(instants.size, np.bool_) if failed is None else failed
    timeline.add(instants, failed)
    timeline.add_durations(instants, durations, bucket_index(durations))
    return timeline


def expected_slice_ns(last_ns):
    slice_ns = SHORTEST_SLICE_NS
    while last_ns >= SLICES * slice_ns:
        slice_ns *= 2
    return slice_ns


def random_events(seed, count, span_ns):
    rng = np.random.default_rng(seed)
    instants = rng.integers(0, span_ns, count)
    durations = rng.lognormal(15, 1, count).astype(np.int64)
    return instants, durations, rng.random(count) < 0.1


def test_an_empty_timeline_has_no_slices():
    timeline = Timeline()
    assert timeline.used_slices() == 0
    assert timeline.column("requests") == timeline.quantile_ms(50) == timeline.max_ms() == []


def test_slices_reach_to_the_last_that_holds_anything():
    timeline = feed(Timeline(), [0, 250_000_000])
    assert timeline.column("requests") == [1, 0, 1]
    assert timeline.quantile_ms(50)[1] is timeline.max_ms()[1] is None
    timeline.note_users(450_000_000, 5)
    assert timeline.used_slices() == 5
    assert timeline.column("users") == [5] * 5


def test_a_slice_keeps_the_most_users_it_was_told():
    timeline = Timeline()
    for users in (3, 8, 5):
        timeline.note_users(10, users)
    assert timeline.column("users") == [8]


def test_what_ended_before_the_start_counts_in_the_first_slice():
    assert feed(Timeline(), [-5, 5]).column("requests") == [2]


@pytest.mark.parametrize(
    ("last_ns", "slice_s"),
    [
        (51_199_999_999, 0.1),
        (51_200_000_000, 0.2),
        (102_400_000_000, 0.4),
        (3600 * SECOND, 12.8),
        (30 * 24 * 3600 * SECOND, 6553.6),
    ],
)
def test_the_resolution_halves_where_the_memory_ends(last_ns, slice_s):
    timeline = feed(Timeline(), [0, last_ns])
    assert timeline.slice_ns == round(slice_s * SECOND)
    assert timeline.used_slices() == last_ns // timeline.slice_ns + 1 <= SLICES
    assert sum(timeline.column("requests")) == 2


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3_000),
    st.sampled_from([SECOND // 100, 40 * SECOND, 300 * SECOND, 7200 * SECOND]),
)
def test_columns_are_those_of_plain_counting(seed, count, span_ns):
    instants, durations, failed = random_events(seed, count, span_ns)
    timeline = Timeline()
    for block in np.array_split(np.arange(count), 5):
        if block.size:
            feed(timeline, instants[block], durations[block], failed[block])
    slice_ns = expected_slice_ns(int(instants.max()))
    assert timeline.slice_ns == slice_ns
    slices = (instants // slice_ns).tolist()
    used = max(slices) + 1
    requests, failures = Counter(slices), Counter((instants[failed] // slice_ns).tolist())
    assert timeline.column("requests") == [requests[at] for at in range(used)]
    assert timeline.column("failures") == [failures[at] for at in range(used)]
    by_slice = defaultdict(list)
    for at, duration in zip(slices, durations.tolist(), strict=True):
        by_slice[at].append(duration)
    assert timeline.max_ms() == [max(by_slice[at]) / 1e6 if by_slice[at] else None for at in range(used)]
    for percent in (50, 99):
        for at, got in enumerate(timeline.quantile_ms(percent)):
            ordered = sorted(by_slice[at])
            if not ordered:
                assert got is None
                continue
            true = ordered[-(-percent * len(ordered) // 100) - 1] / 1e6
            assert abs(got - true) <= (COARSE_WIDTH / 2 + 1e-3) * true


def test_a_quantile_of_a_thousand_is_the_nearest_rank():
    durations = np.arange(1, 1001) * 1_000_000
    timeline = feed(Timeline(), np.zeros(1000, np.int64), durations)
    for percent in (1, 50, 90, 99):
        (got,) = timeline.quantile_ms(percent)
        assert abs(got - percent * 10) <= 0.016 * percent * 10
    assert timeline.max_ms() == [1000.0]


def test_durations_beyond_the_buckets_are_counted_at_the_edge():
    timeline = feed(Timeline(), [0, 0, 0], [0, 100, 3 * 3600 * SECOND])
    assert timeline.quantile_ms(50)[0] < 0.001
    assert timeline.quantile_ms(99)[0] > 3_600_000
    assert timeline.max_ms() == [3 * 3_600_000]


def test_coarsening_keeps_every_sum():
    timeline = feed(Timeline(), *random_events(4, 2_000, 51 * SECOND))
    timeline.note_users(SECOND, 7)
    sums = [sum(timeline.column(name)) for name in ("requests", "failures")]
    for _ in range(8):
        slice_ns, used = timeline.slice_ns, timeline.used_slices()
        timeline.coarsen()
        assert timeline.slice_ns == 2 * slice_ns
        assert timeline.used_slices() == -(-used // 2)
        assert [sum(timeline.column(name)) for name in ("requests", "failures")] == sums
        assert max(timeline.column("users")) == 7


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from([SECOND, 60 * SECOND, 900 * SECOND]), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_timelines_of_any_resolution_add_to_the_one_fed_everything(seed, spans, random):
    events = [random_events(seed + at, 500, span) for at, span in enumerate(spans)]
    whole = Timeline()
    parts = []
    for part_events in events:
        feed(whole, *part_events)
        parts.append(feed(Timeline(), *part_events))
    for timeline in (whole, parts[0]):
        timeline.note_users(5 * SECOND, 9)
    random.shuffle(parts)
    before = [part.words.copy() for part in parts]
    total = Timeline()
    for part in parts:
        total.merge(part)
    assert np.array_equal(total.words, whole.words)
    assert all(np.array_equal(part.words, words) for part, words in zip(parts, before, strict=True))


def test_recent_figures_are_those_of_the_last_seconds():
    timeline = feed(Timeline(), np.arange(0, 5 * SECOND, SECOND // 100), np.full(500, 50_000_000))
    feed(timeline, np.arange(5 * SECOND, 10 * SECOND, SECOND // 1000), np.full(5000, 2_000_000))
    recent = timeline.recent(10 * SECOND - 1, 3 * SECOND)
    assert recent.rate == pytest.approx(1000, rel=0.01)
    assert recent.p50_ms == pytest.approx(2, rel=0.016)
    assert recent.p99_ms == pytest.approx(2, rel=0.016)
    over_all = timeline.recent(10 * SECOND, 10 * SECOND)
    assert over_all.rate == pytest.approx(550, rel=0.01)
    assert over_all.p99_ms == pytest.approx(50, rel=0.016)


def test_nothing_lately_is_a_rate_of_zero():
    timeline = feed(Timeline(), np.arange(0, 51 * SECOND, SECOND // 10))
    for now_ns in (55 * SECOND, 500 * SECOND):
        recent = timeline.recent(now_ns, 3 * SECOND)
        assert (recent.rate, recent.p50_ms, recent.p99_ms) == (0.0, None, None)


def test_recent_figures_before_anything_happened_are_empty():
    recent = Timeline().recent(0, 3 * SECOND)
    assert (recent.rate, recent.p50_ms, recent.p99_ms) == (0.0, None, None)


def test_users_are_told_of_every_slice_since_they_were_told_of_last():
    timeline = Timeline()
    for ms, users in ((130, 4), (350, 6), (1020, 5)):
        timeline.note_users(ms * 1_000_000, users)
    assert timeline.column("users") == [4, 4, 6, 6, 5, 5, 5, 5, 5, 5, 5]


def test_a_time_without_users_stays_without():
    timeline = Timeline()
    for ms, users in ((50, 1), (150, 0), (250, 0), (350, 0), (450, 0), (550, 2)):
        timeline.note_users(ms * 1_000_000, users)
    assert timeline.column("users") == [1, 0, 0, 0, 2, 2]
    timeline.note_users(3600 * SECOND, 0)
    assert timeline.slice_ns == SHORTEST_SLICE_NS, "nobody's absence costs no resolution"


def test_a_slice_in_which_requests_ended_had_users():
    timeline = feed(Timeline(), [0, 150_000_000, 250_000_000, 950_000_000])
    timeline.fill_users(7)
    assert [timeline.column("users")[at] for at in (0, 1, 2, 9)] == [7] * 4
    timeline = feed(Timeline(), [0, 450_000_000])
    timeline.note_users(150_000_000, 3)
    timeline.fill_users(9)
    assert timeline.column("users") == [3, 3, 0, 0, 3]


# -- whole seconds ------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 2000),
    st.sampled_from([SECOND // 2, 5 * SECOND, 40 * SECOND, 60 * SECOND, 300 * SECOND, 7200 * SECOND]),
    st.floats(0, 1.2),
)
def test_seconds_are_those_of_plain_counting(seed, count, span_ns, share):
    instants, durations, failed = random_events(seed, count, span_ns)
    timeline = feed(Timeline(), instants, durations, failed)
    slice_ns = expected_slice_ns(int(instants.max()))
    # As near to a second as slices of a tenth, two tenths … come; then one slice each.
    length_ns = max(1, round(SECOND / slice_ns)) * slice_ns
    seconds = timeline.seconds(int(share * span_ns))
    assert seconds.length_s == length_ns / SECOND
    whole = min(int(share * span_ns) // length_ns, SLICES * slice_ns // length_ns)
    counts = Counter((instants // length_ns).tolist())
    assert seconds.requests.tolist() == [counts[at] for at in range(whole)]
    for percent, found in ((50, seconds.p50_ms), (99, seconds.p99_ms)):
        assert len(found) == whole
        for at in range(whole):
            ordered = np.sort(durations[instants // length_ns == at])
            if not ordered.size:
                assert np.isnan(found[at])
                continue
            true = ordered[-(-percent * ordered.size // 100) - 1] / 1e6
            assert abs(found[at] - true) <= (COARSE_WIDTH / 2 + 1e-3) * true


def test_a_second_that_is_not_over_is_none():
    timeline = feed(Timeline(), [0, 1_500_000_000, 2_500_000_000])
    assert timeline.seconds(999_999_999).requests.tolist() == []
    assert timeline.seconds(2_999_999_999).requests.tolist() == [1, 1]
    assert timeline.seconds(5 * SECOND).requests.tolist() == [1, 1, 1, 0, 0]
    assert Timeline().seconds(0).requests.size == 0
