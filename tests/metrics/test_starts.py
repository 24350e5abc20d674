"""Marks of starts and the gaps between them, against a plain list of the same instants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics.starts import SLOTS, Starts, stall_share

MS, SECOND = 1_000_000, 1_000_000_000
FINEST_NS = 1 << 18
# How far marks reach before they are put together: 68.7 s.
REACH_NS = SLOTS * FINEST_NS


def marked(*blocks):
    starts = Starts()
    for block in blocks:
        if len(block):
            starts.mark(np.asarray(block, np.int64))
    return starts


def gaps_longer(instants, longer_than_ns):
    return [int(gap) for gap in np.diff(np.sort(instants)) if gap > longer_than_ns]


def random_starts(seed, count, span_ns):
    """Some dense, some with holes of any length."""
    numbers = np.random.default_rng(seed)
    instants = numbers.integers(0, span_ns, count)
    for _ in range(3):
        hole = numbers.integers(0, span_ns)
        length = int(span_ns * numbers.random() ** 4)
        instants = instants[(instants < hole) | (instants > hole + length)]
    return instants if instants.size else np.array([0])


SPANS = st.sampled_from([SECOND, 60 * SECOND, 70 * SECOND, 200 * SECOND, 4000 * SECOND])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(2, 2000),
    SPANS,
    st.floats(0, 0.3),
    st.floats(0, 0.5),
    st.floats(0.5, 1),
)
def test_stalled_time_is_that_of_plain_gaps_within_two_slots(seed, count, span_ns, longer, begin, end):
    instants = random_starts(seed, count, span_ns)
    starts = marked(*np.array_split(np.random.default_rng(seed).permutation(instants), 4))
    slot_ns = starts.slot_ns
    from_ns, until_ns, longer_ns = int(begin * span_ns), int(end * span_ns), longer * span_ns
    within = instants[
        (instants >= from_ns // slot_ns * slot_ns) & (instants < -(-until_ns // slot_ns) * slot_ns)
    ]
    found = starts.stalled_ns(from_ns, until_ns, longer_ns)
    assert found <= sum(gaps_longer(within, longer_ns))
    assert found >= sum(gap - 2 * slot_ns for gap in gaps_longer(within, longer_ns + 2 * slot_ns))


def test_slots_are_a_quarter_millisecond_and_twice_as_long_each_time_a_test_outlasts_them():
    for last_ns, slots in ((0, 1), (REACH_NS - 1, 1), (REACH_NS, 2), (3 * REACH_NS, 4), (3600 * SECOND, 64)):
        assert marked([0], [last_ns]).slot_ns == slots * FINEST_NS


def test_what_started_before_the_start_counts_as_at_it():
    assert np.array_equal(marked([-5 * SECOND, 3]).words, marked([0, 3]).words)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(SPANS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_parts_of_any_resolution_and_in_any_order_add_to_the_same_bits(seed, spans, random):
    instants = [random_starts(seed + at, 500, span_ns) for at, span_ns in enumerate(spans)]
    whole = marked(*instants)
    parts = [marked(one) for one in instants]
    before = [part.words.copy() for part in parts]
    random.shuffle(instants)
    assert np.array_equal(marked(*instants).words, whole.words)
    order = list(range(len(parts)))
    random.shuffle(order)
    total = Starts()
    for at in order:
        total.merge(parts[at])
    assert np.array_equal(total.words, whole.words)
    assert all(np.array_equal(part.words, words) for part, words in zip(parts, before, strict=True))


def test_marks_may_lie_in_memory_of_its_callers():
    words = np.zeros(marked([0]).words.size, np.int64)
    Starts(words).mark(np.array([0, 5 * SECOND]))
    assert Starts(words).stalled_ns(0, 9 * SECOND, SECOND) == pytest.approx(5 * SECOND, abs=2 * FINEST_NS)


def test_only_time_between_two_starts_is_stalled():
    starts = marked([2 * SECOND, 4 * SECOND])
    assert starts.stalled_ns(0, 60 * SECOND, SECOND) == pytest.approx(2 * SECOND, abs=2 * FINEST_NS)
    assert starts.stalled_ns(3 * SECOND, 60 * SECOND, SECOND) == 0
    assert starts.stalled_ns(0, 3 * SECOND, SECOND) == 0
    assert Starts().stalled_ns(0, SECOND, 0) == 0


# -- the share ----------------------------------------------------------------------------------------------------


def closed_model(users, service_ns, span_ns, *, stall_ns=0, every_ns=1 << 62, think_ns=None, seed=1):
    """Starts of users who go on with the answer; the server stands still at the end of each period."""
    numbers = np.random.default_rng(seed)
    free = [0] * users
    instants = []
    while (now_ns := min(free)) < span_ns:
        user = free.index(now_ns)
        instants.append(now_ns)
        done_ns = now_ns + int(numbers.exponential(service_ns))
        into = done_ns % every_ns
        if into >= every_ns - stall_ns:
            done_ns += every_ns - into
        free[user] = done_ns + (int(numbers.exponential(think_ns)) if think_ns else 0)
    return np.array(instants)


def share_of(instants, users, span_ns):
    return stall_share(marked(instants), from_ns=0, until_ns=span_ns, started=len(instants), users=users)


def test_two_users_hide_a_server_that_stalls_a_second_in_ten():
    instants = closed_model(2, 5 * MS, 61 * SECOND, stall_ns=SECOND, every_ns=10 * SECOND)
    assert share_of(instants, 2, 61 * SECOND) == pytest.approx(6 / 61, abs=0.002)


def test_a_single_user_hides_what_takes_longer_than_five_iterations_as_well():
    instants = closed_model(1, 20 * MS, 61 * SECOND, stall_ns=SECOND, every_ns=10 * SECOND)
    # Of service times that are exponential, (1 + 5) * exp(-5) of the time lies in those of more than five means.
    assert share_of(instants, 1, 61 * SECOND) == pytest.approx(6 / 61 + 0.04, abs=0.02)


@pytest.mark.parametrize("users", [2, 10, 50])
def test_a_server_that_never_stalls_hides_nothing(users):
    for seed in range(3):
        instants = closed_model(users, 20 * MS, 20 * SECOND, seed=seed)
        assert share_of(instants, users, 20 * SECOND) < 0.01


def test_fifty_users_who_start_independently_hide_nothing():
    """Gaps longer than five usual ones fill a seventh of the time; an iteration of theirs is fifty of them."""
    numbers = np.random.default_rng(1)
    instants = np.cumsum(numbers.exponential(2 * MS, 30_000)).astype(np.int64)
    span_ns = int(instants[-1])
    assert share_of(instants, 50, span_ns) == 0
    median_ns = 2 * MS * np.log(2)
    assert marked(instants).stalled_ns(0, span_ns, 5 * median_ns) / span_ns == pytest.approx(1 / 7, abs=0.03)


def test_users_who_think_hide_less_of_a_stall_than_they_think():
    instants = closed_model(5, 5 * MS, 60 * SECOND, stall_ns=SECOND, every_ns=10 * SECOND, think_ns=SECOND)
    assert share_of(instants, 5, 60 * SECOND) < 0.01


def test_the_share_is_that_of_the_measured_time():
    instants = np.concatenate(
        [np.arange(0, 10 * SECOND, SECOND), np.arange(10 * SECOND, 20 * SECOND, 10 * MS)]
    )
    starts = marked(instants)
    assert stall_share(starts, from_ns=10 * SECOND, until_ns=20 * SECOND, started=1000, users=1) == 0
    slow = stall_share(starts, from_ns=0, until_ns=20 * SECOND, started=1010, users=1)
    assert slow == pytest.approx(0.5, abs=0.001)


def test_of_nothing_measured_there_is_no_share():
    assert stall_share(Starts(), from_ns=0, until_ns=SECOND, started=0, users=5) is None
    assert stall_share(marked([0]), from_ns=SECOND, until_ns=SECOND, started=1, users=1) is None
