"""The open model and the stages of both, on a clock that stands still: who starts when, whatever the server does."""

from collections import Counter

import pytest

from engine.fake_run import START, Run, load_of
from engine.fake_transport import MS, SECOND, Answer
from perfcore.engine.open_load import Arrivals
from perfcore.metrics.samples import INTERRUPTED


def open_load(**keys):
    return load_of(**{"rate": "100/s", "duration": "1s", "arrival": "constant", **keys})


def due_ms(run):
    return sorted((row.due_ns - START) / MS for row in run.rows)


def test_iterations_start_by_the_clock_however_slow_the_server_is() -> None:
    for after_ns in (1 * MS, 10 * MS, 700 * MS, 5 * SECOND):
        run = Run([open_load()], answer=lambda _, after_ns=after_ns: Answer(after_ns=after_ns))
        assert due_ms(run) == [10 * number for number in range(100)]
        assert all(row.issued_ns == row.due_ns for row in run.rows)
        assert all(row.done_ns - row.issued_ns == after_ns for row in run.rows)
        assert run.loads[0].arrivals.dropped == 0


def test_an_arrival_that_finds_nobody_free_is_dropped_and_counted() -> None:
    # Two users who are busy for 100 ms each, and an arrival every 10 ms: two of ten are started.
    run = Run([open_load(max_users=2)], answer=lambda _: Answer(after_ns=99 * MS))
    arrivals = run.loads[0].arrivals
    assert due_ms(run) == [at for begin in range(0, 1000, 100) for at in (begin, begin + 10)]
    assert (arrivals.taken, arrivals.dropped, len(run.rows)) == (100, 80, 20)
    assert run.loads[0].max_users == 2


def test_arrivals_of_the_warm_up_are_started_and_neither_counted_nor_dropped() -> None:
    load = open_load(max_users=2)
    load.arrivals.counted_from_ns = START + 500 * MS
    run = Run([load], answer=lambda _: Answer(after_ns=99 * MS))
    assert due_ms(run) == [at for begin in range(0, 1000, 100) for at in (begin, begin + 10)]
    assert (load.arrivals.taken, load.arrivals.dropped) == (50, 40)


def test_an_arrival_counts_from_the_very_instant_on() -> None:
    arrivals = Arrivals(iter([0, 5, 10, 15]), range(3))
    arrivals.begin_at(1000)
    arrivals.counted_from_ns = 1010
    for due_ns, taken, dropped in ((1000, 0, 0), (1005, 0, 0), (1010, 1, 1), (1015, 2, 2)):
        assert arrivals.take() == due_ns
        arrivals.drop(due_ns)
        assert (arrivals.taken, arrivals.dropped) == (taken, dropped)


def test_the_last_millisecond_before_an_arrival_is_spun_through_and_known_as_such() -> None:
    # A poll takes 4 us; of each of 99 gaps the last millisecond is waited for awake.
    run = Run([open_load()], answer=lambda _: Answer(after_ns=3 * MS), poll_takes_ns=4000, spins=True)
    lags = [row.issued_ns - row.due_ns for row in run.rows]
    assert len(lags) == 100
    assert max(lags) <= 8000
    assert run.loop.spun_ns == pytest.approx(99 * MS, rel=0.05)
    asleep = Run([open_load()], answer=lambda _: Answer(after_ns=3 * MS), poll_takes_ns=4000)
    assert asleep.loop.spun_ns == 0
    assert asleep.transport.polls < run.transport.polls / 20


def test_work_while_awake_is_not_waiting() -> None:
    # An arrival every millisecond: it is always awake, and a start takes 0.6 of it.
    keys = {"rate": "1000/s", "duration": "200ms"}
    run = Run([open_load(**keys)], start_takes_ns=600_000, poll_takes_ns=4000, spins=True)
    assert run.loop.spun_ns == pytest.approx(200 * 0.4 * MS, rel=0.1)


def test_what_was_due_before_the_end_is_started_by_a_loop_that_was_held_up_across_it() -> None:
    # A start takes 30 ms once, and nine more arrivals are due meanwhile, before the end of the load.
    load = open_load(rate="100/s", duration="100ms")
    run = Run([load], start_takes_ns=30 * MS)
    assert due_ms(run) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert load.arrivals.taken == 10


def test_a_loop_that_cannot_keep_up_ends_without_all_that_was_due() -> None:
    load = open_load(rate="10000/s", duration="1s", max_users=20_000)
    run = Run([load], start_takes_ns=10 * MS)
    assert 64 <= len(run.rows) < 2_000


def test_the_most_recently_freed_user_goes_first() -> None:
    run = Run([open_load()], answer=lambda _: Answer(after_ns=15 * MS))
    users = Counter(row.user for row in run.rows)
    assert set(users) == {1, 2}, "two are busy at the same time, a third never is needed"


def test_users_of_several_workers_are_different_ones() -> None:
    runs = [
        Run([open_load(rank=rank, of=3, max_users=4)], answer=lambda _: Answer(after_ns=SECOND))
        for rank in range(3)
    ]
    users = [{row.user for row in run.rows} for run in runs]
    assert users == [{1, 4}, {2}, {3}]
    together = sorted(due for run in runs for due in due_ms(run))
    assert together == [0, 10, 20, 30]
    assert sum(run.loads[0].arrivals.taken for run in runs) == 100


def test_time_that_the_loop_took_is_lag_and_stands_in_the_response() -> None:
    # A start takes 15 ms where one is due every 10: the last of a hundred is half a second late.
    run = Run([open_load()], answer=lambda _: Answer(after_ns=1 * MS), start_takes_ns=15 * MS)
    lags = sorted(row.issued_ns - row.due_ns for row in run.rows)
    assert lags[0] == 0
    assert lags[-1] > 300 * MS
    assert all(row.done_ns - row.due_ns >= row.issued_ns - row.due_ns + 1 * MS for row in run.rows)


def test_nothing_starts_after_the_end_and_what_is_under_way_may_finish() -> None:
    run = Run([open_load(graceful_stop="2s")], answer=lambda _: Answer(after_ns=1500 * MS))
    assert len(run.rows) == 100
    assert max(row.done_ns for row in run.rows) == START + 990 * MS + 1500 * MS
    assert run.loads[0].reached_end
    run = Run([open_load(graceful_stop="1s")], answer=lambda _: Answer(after_ns=1500 * MS))
    cut = [row for row in run.rows if row.flags & INTERRUPTED]
    assert {row.done_ns for row in cut} == {START + 2 * SECOND}
    assert {row.due_ns for row in cut} == {START + due * MS for due in range(510, 1000, 10)}
    assert len(run.rows) == 100


def test_a_stop_ends_the_schedule() -> None:
    run = Run([open_load(duration="10s")], stop_at_ns=START + 500 * MS)
    assert len(run.rows) == pytest.approx(50, abs=6)
    assert run.loads[0].was_stopped


def test_a_failed_arrival_frees_its_user() -> None:
    run = Run([open_load(max_users=1)], answer=lambda _: Answer(after_ns=5 * MS, status=500))
    assert len(run.rows) == 100
    assert run.loads[0].arrivals.dropped == 0


def test_models_run_beside_each_other() -> None:
    run = Run(
        [
            open_load(),
            load_of(1, parallel_users=2, iterations=5, think_time="50ms"),
            load_of(2, rate="10/s", duration="1s", arrival="constant"),
        ],
        answer=lambda _: Answer(after_ns=5 * MS),
    )
    assert Counter(row.case for row in run.rows) == {0: 100, 1: 10, 2: 10}


def users_over_time(run, until_ms, every_ms=10):
    """How many users were in the middle of an iteration or of its think time, by instants in ms."""
    by_user: dict[int, list] = {}
    for row in run.rows:
        by_user.setdefault(row.user, []).append(((row.due_ns - START) / MS, (row.done_ns - START) / MS))
    return {
        at: sum(any(begin <= at < end for begin, end in spans) for spans in by_user.values())
        for at in range(0, until_ms, every_ms)
    }


def test_stages_of_users_go_straight_to_each_value() -> None:
    stages = [
        {"duration": "1s", "users": 10},
        {"duration": "500ms", "users": 10},
        {"duration": "1s", "users": 0},
    ]
    run = Run([load_of(stages=stages)], answer=lambda _: Answer(after_ns=1 * MS))
    users = users_over_time(run, 2600)
    assert [users[at] for at in (0, 150, 450, 950, 1200, 1490)] == [1, 2, 5, 10, 10, 10]
    assert [users[at] for at in (1550, 1650, 2050, 2450, 2510)] == [10, 9, 5, 1, 0]
    assert run.loads[0].reached_end


def test_stages_of_users_rise_as_a_ramp_up_does() -> None:
    staged = Run([load_of(stages=[{"duration": "1s", "users": 7}])])
    ramped = Run([load_of(parallel_users=7, ramp_up="1s", duration="1s")])
    first = [
        min(row.due_ns for row in run.rows if row.user == user)
        for run in (staged, ramped)
        for user in range(1, 8)
    ]
    assert first[:7] == first[7:]


def test_a_user_who_ended_comes_back_with_the_next_rise() -> None:
    stages = [{"duration": "100ms", "users": 2}, {"duration": "100ms", "users": 1}] * 3
    run = Run([load_of(stages=stages)], answer=lambda _: Answer(after_ns=1 * MS))
    seconds_user = [(row.due_ns - START) // MS for row in run.rows if row.user == 2]
    assert set(range(50, 199)) <= set(seconds_user)
    assert {row.user for row in run.rows} == {1, 2}


def test_a_user_whose_end_comes_in_mid_iteration_finishes_it() -> None:
    stages = [{"duration": "10ms", "users": 2}, {"duration": "100ms", "users": 0}]
    run = Run([load_of(stages=stages, graceful_stop="1s")], answer=lambda _: Answer(after_ns=400 * MS))
    assert len(run.rows) == 2
    assert not any(row.flags & INTERRUPTED for row in run.rows)


def test_a_user_who_thinks_when_its_end_comes_is_gone_at_once() -> None:
    stages = [
        {"duration": "10ms", "users": 1},
        {"duration": "10ms", "users": 0},
        {"duration": "1s", "users": 0},
    ]
    run = Run([load_of(stages=stages, think_time="700ms")], answer=lambda _: Answer(after_ns=1 * MS))
    assert len(run.rows) == 1
    back = [*stages[:2], {"duration": "100ms", "users": 1}, {"duration": "2s", "users": 1}]
    run = Run([load_of(stages=back, think_time="700ms")], answer=lambda _: Answer(after_ns=1 * MS))
    assert run.dues() == [0, 701, 1402, 2103], "it comes back in the middle of its pause, and goes on with it"
