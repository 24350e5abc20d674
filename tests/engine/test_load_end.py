"""How a load ends: by its time, by a stop from outside, by a total that several share."""

from collections import Counter

import pytest

from engine.fake_run import START, Run, load_of
from engine.fake_transport import MS, SECOND, Answer
from engine.load_parts import Budget
from perfcore.engine.transport import Exchange
from perfcore.metrics.samples import INTERRUPTED

# -- the planned end --------------------------------------------------------------------------------------------


def test_nothing_is_started_at_or_after_the_end() -> None:
    run = Run([load_of(parallel_users=3, duration="1s")])
    # Each iteration takes 10 ms: due at 0, 10, … 990; the one of 1000 is not started.
    assert run.dues() == list(range(0, 1000, 10))
    assert len(run.rows) == 300
    assert max(row.issued_ns for row in run.rows) == START + 990 * MS
    assert run.loads[0].reached_end


def test_what_is_under_way_at_the_end_is_drained() -> None:
    run = Run([load_of(parallel_users=2, duration="1s")], answer=lambda _: Answer(after_ns=700 * MS))
    assert run.dues() == [0, 700]
    assert [row.flags for row in run.rows] == [0] * 4
    assert run.clock.now_ns == START + 1400 * MS
    assert run.transport.cuts == []


def test_what_outlasts_graceful_stop_is_cut_and_recorded_as_interrupted() -> None:
    def answer(exchange: Exchange) -> Answer:
        exchange.received_bytes = 77
        return Answer(after_ns=100 * MS if exchange.iteration == 1 else 3600 * SECOND)

    run = Run([load_of(parallel_users=2, duration="1s", graceful_stop="500ms")], answer=answer)
    whole, cut = run.rows[:2], run.rows[2:]
    assert [(row.flags, row.status) for row in whole] == [(0, 200)] * 2
    assert [(row.flags, row.status, row.error) for row in cut] == [(INTERRUPTED, 0, 0)] * 2
    assert [(row.due_ns - START) // MS for row in cut] == [100, 100]
    assert [(row.done_ns - START) // MS for row in cut] == [1500, 1500]
    assert len(run.transport.cuts) == 2
    assert run.clock.now_ns == START + 1500 * MS
    assert run.failures == []


def test_a_cut_row_holds_nothing_of_the_request_before_it() -> None:
    def answer(exchange: Exchange) -> Answer:
        if exchange.iteration == 1:
            return Answer(received_bytes=1000, attempts=2)
        return Answer(after_ns=3600 * SECOND)

    run = Run([load_of(duration="1s", graceful_stop="1s")], answer=answer)
    assert (run.rows[0].received_bytes, run.rows[0].attempts) == (1000, 2)
    assert (run.rows[1].received_bytes, run.rows[1].attempts) == (0, 1)


def test_thinking_users_end_with_the_time() -> None:
    run = Run([load_of(parallel_users=2, duration="1s", think_time="10s")])
    assert len(run.rows) == 2
    assert run.clock.now_ns == START + SECOND
    assert run.loads[0].reached_end


def test_users_whose_ramp_up_lies_beyond_the_end_never_begin() -> None:
    run = Run([load_of(parallel_users=4, duration="1s", ramp_up="2s")])
    assert {row.user for row in run.rows} == {1, 2}


def test_iterations_may_end_before_the_duration_does() -> None:
    run = Run([load_of(iterations=3, duration="1h")])
    assert len(run.rows) == 3
    assert run.clock.now_ns == START + 30 * MS
    assert not run.loads[0].reached_end


def test_what_has_ended_when_the_grace_is_over_counts_as_what_it_was() -> None:
    # The loop is held up over the end and the grace; meanwhile the answers have come.
    run = Run(
        [load_of(parallel_users=40, duration="1s", graceful_stop="1ms")],
        answer=lambda exchange: Answer(after_ns=990 * MS if exchange.iteration == 1 else 15 * MS),
        start_takes_ns=MS,
        most_at_once=10,
    )
    ended = [row for row in run.rows if not row.flags & INTERRUPTED]
    cut = [row for row in run.rows if row.flags & INTERRUPTED]
    assert len({(row.user, row.iteration) for row in run.rows}) == len(run.rows)
    assert len(ended) + len(cut) == len(run.transport.started)
    assert {row.user for row in cut} == {exchange.user for exchange in run.transport.cuts}


# -- a stop from outside ------------------------------------------------------------------------------------------


def test_a_stop_lets_what_is_under_way_finish() -> None:
    run = Run(
        [load_of(parallel_users=2, iterations=100)],
        answer=lambda _: Answer(after_ns=300 * MS),
        stop_at_ns=START + 700 * MS,
    )
    assert run.dues() == [0, 300, 600]
    assert [row.flags for row in run.rows] == [0] * 6
    assert run.clock.now_ns == START + 900 * MS
    assert not run.loads[0].reached_end
    assert run.loads[0].was_stopped


def test_a_stop_ends_thinking_users_and_those_to_come_within_one_look() -> None:
    run = Run(
        [load_of(parallel_users=3, iterations=100, think_time="10s", ramp_up="1m")],
        stop_at_ns=START + 200 * MS,
    )
    assert [(row.user, row.iteration) for row in run.rows] == [(1, 1)]
    assert run.clock.now_ns <= START + 250 * MS


def test_a_stop_is_followed_by_a_cut_after_graceful_stop() -> None:
    run = Run(
        [load_of(iterations=2, graceful_stop="2s")],
        answer=lambda _: Answer(after_ns=3600 * SECOND),
        stop_at_ns=START + SECOND,
    )
    (row,) = run.rows
    assert row.flags == INTERRUPTED
    assert 3000 <= (row.done_ns - START) // MS <= 3050


def test_a_drain_that_reaches_the_planned_end_does_not_make_a_stopped_test_reach_it() -> None:
    run = Run(
        [load_of(duration="1s")],
        answer=lambda _: Answer(after_ns=1500 * MS),
        stop_at_ns=START + 500 * MS,
    )
    assert len(run.rows) == 1
    assert not run.loads[0].reached_end


# -- total_iterations ---------------------------------------------------------------------------------------------


def test_a_total_is_shared_by_whoever_is_free() -> None:
    # User 1 answers in 10 ms, user 2 in 40 ms: of 10 iterations the fast one makes 8.
    run = Run(
        [load_of(parallel_users=2, total_iterations=10, budget=Budget(10))],
        answer=lambda exchange: Answer(after_ns=(10 if exchange.user == 1 else 40) * MS),
    )
    assert Counter(row.user for row in run.rows) == {1: 8, 2: 2}


@pytest.mark.parametrize("total", [1, 2, 9, 10, 11, 101])
def test_a_total_is_used_up_exactly_over_loops_that_share_it(total: int) -> None:
    budget = Budget(total)
    runs = [
        Run([load_of(parallel_users=10, total_iterations=total, budget=budget, rank=rank, of=2)])
        for rank in (0, 1)
    ]
    assert sum(len(run.rows) for run in runs) == total


def test_a_user_that_the_end_stops_takes_nothing_from_the_total() -> None:
    budget = Budget(1000)
    run = Run([load_of(total_iterations=1000, budget=budget, duration="100ms")])
    assert len(run.rows) == 10
    assert budget.left == 990


def test_nobody_waits_for_a_total_that_is_spent() -> None:
    # Two answer and think for an hour when the third, the last of the total, is under way.
    budget = Budget(3)
    run = Run([load_of(parallel_users=5, total_iterations=3, budget=budget, think_time="1h", ramp_up="5s")])
    assert len(run.rows) == 3
    assert run.clock.now_ns <= START + 2100 * MS
    assert not run.loads[0].reached_end


def test_a_total_that_another_worker_spends_ends_those_who_wait_here() -> None:
    budget = Budget(100)
    load = load_of(parallel_users=2, total_iterations=100, budget=budget, think_time="1h")

    def answer(_exchange: Exchange) -> Answer:
        budget.left = 0
        return Answer()

    run = Run([load], answer=answer)
    assert run.clock.now_ns <= START + 100 * MS
