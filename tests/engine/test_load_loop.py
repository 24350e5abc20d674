"""When each iteration is due and sent: think time, pacing, ramp-up, tests that run together, fairness."""

from collections import Counter

import pytest

from engine.fake_run import START, Run, load_of
from engine.fake_transport import MS, SECOND, Answer
from perfcore.metrics.samples import INTERRUPTED


@pytest.mark.parametrize(("users", "iterations"), [(1, 1), (1, 7), (5, 3), (64, 1), (65, 2), (300, 4)])
def test_every_user_makes_exactly_its_iterations(users: int, iterations: int) -> None:
    run = Run([load_of(parallel_users=users, iterations=iterations)])
    assert Counter(row.user for row in run.rows) == dict.fromkeys(range(1, users + 1), iterations)
    assert {(row.user, row.iteration) for row in run.rows} == {
        (user, iteration) for user in range(1, users + 1) for iteration in range(1, iterations + 1)
    }
    assert [str(request) for _, user, request in run.transport.started if user == users] == [
        f"{users}/{iteration}" for iteration in range(1, iterations + 1)
    ]


def test_the_next_iteration_is_due_when_the_user_is_free() -> None:
    run = Run([load_of(iterations=4)], answer=lambda exchange: Answer(after_ns=exchange.iteration * MS))
    assert run.dues() == [0, 1, 3, 6]
    assert [row.due_ns for row in run.rows[1:]] == [row.done_ns for row in run.rows[:-1]]
    assert all(row.due_ns == row.issued_ns for row in run.rows)


def test_waiting_for_the_loop_counts_as_lag_not_as_service() -> None:
    # Ten users due at once, and the loop needs 2 ms to start one: the last is sent 18 ms late.
    run = Run([load_of(parallel_users=10)], answer=lambda _: Answer(after_ns=50 * MS), start_takes_ns=2 * MS)
    by_user = sorted(run.rows, key=lambda row: row.user)
    assert [row.due_ns for row in by_user] == [START] * 10
    assert [(row.issued_ns - row.due_ns) // MS for row in by_user] == [2 * place for place in range(10)]
    assert [row.done_ns - row.issued_ns for row in by_user] == [50 * MS] * 10


def test_the_longest_pass_is_time_of_the_loop_and_not_of_waiting() -> None:
    # Five users begin in one go, at 2 ms each; afterwards one at a time.
    run = Run([load_of(parallel_users=5, iterations=3, think_time="30ms")], start_takes_ns=2 * MS)
    assert run.loop.longest_pass_ns == 10 * MS
    assert run.loop.spun_ns == 0
    assert Run([load_of(iterations=3, think_time="1h")]).loop.longest_pass_ns == 0


def test_fixed_think_time_lies_between_done_and_due() -> None:
    run = Run([load_of(iterations=4, think_time="30ms")])
    assert run.dues() == [0, 40, 80, 120]


def test_uniform_think_time_draws_within_its_bounds() -> None:
    run = Run([load_of(iterations=400, think_time={"min": "100ms", "max": "300ms"})])
    pauses = [after.due_ns - row.done_ns for row, after in zip(run.rows, run.rows[1:], strict=False)]
    assert len(pauses) == 399
    assert 100 * MS <= min(pauses) < 120 * MS
    assert 280 * MS < max(pauses) <= 300 * MS
    assert sum(pauses) / 399 == pytest.approx(200 * MS, rel=0.05)


def test_exponential_think_time_has_its_mean_and_its_tail() -> None:
    run = Run([load_of(iterations=2000, think_time={"mean": "100ms", "distribution": "exponential"})])
    pauses = [after.due_ns - row.done_ns for row, after in zip(run.rows, run.rows[1:], strict=False)]
    assert sum(pauses) / len(pauses) == pytest.approx(100 * MS, rel=0.1)
    # Beyond the mean lie 1/e of an exponential distribution.
    assert sum(pause > 100 * MS for pause in pauses) / len(pauses) == pytest.approx(0.368, abs=0.05)


def test_pacing_is_counted_from_start_to_start() -> None:
    run = Run([load_of(iterations=4, pacing="100ms")])
    assert run.dues() == [0, 100, 200, 300]


def test_an_iteration_longer_than_the_pacing_is_followed_at_once() -> None:
    durations = {1: 250, 2: 10, 3: 10, 4: 10}
    run = Run(
        [load_of(iterations=4, pacing="100ms")],
        answer=lambda exchange: Answer(after_ns=durations[exchange.iteration] * MS),
    )
    # 0 + 250 done; due at 250, then again 100 later: what was missed is not made up for.
    assert run.dues() == [0, 250, 350, 450]


def test_of_think_time_and_pacing_the_longer_counts() -> None:
    run = Run([load_of(iterations=3, pacing="100ms", think_time="30ms")])
    assert run.dues() == [0, 100, 200]
    run = Run([load_of(iterations=3, pacing="20ms", think_time="30ms")])
    assert run.dues() == [0, 40, 80]


def test_nobody_thinks_after_the_last_iteration() -> None:
    run = Run([load_of(iterations=2, think_time="1h")])
    assert run.dues() == [0, 3_600_010]
    assert run.clock.now_ns == START + 3_600_020 * MS


def test_the_start_may_be_said_after_the_load_was_made() -> None:
    load = load_of(parallel_users=2, duration="1s", ramp_up="1s")
    load.begin_at(START + SECOND, START + 2 * SECOND)
    run = Run([load], answer=lambda _: Answer(after_ns=600 * MS))
    assert [run.dues(1), run.dues(2)] == [[1000, 1600], [1500]]
    assert load.max_users == 2


def test_users_begin_evenly_over_the_ramp_up() -> None:
    run = Run([load_of(parallel_users=5, ramp_up="1s")])
    assert [run.dues(user) for user in range(1, 6)] == [[0], [200], [400], [600], [800]]


def test_the_workers_share_one_ramp_up() -> None:
    runs = [Run([load_of(parallel_users=5, ramp_up="1s", rank=rank, of=2)]) for rank in (0, 1)]
    assert [(row.user, (row.due_ns - START) // MS) for row in runs[0].rows] == [(1, 0), (3, 400), (5, 800)]
    assert [(row.user, (row.due_ns - START) // MS) for row in runs[1].rows] == [(2, 200), (4, 600)]


def test_by_default_at_most_two_thousand_begin_in_a_second() -> None:
    case_load = load_of(parallel_users=4000, ramp_up=None)
    run = Run([case_load])
    begun = sorted(row.due_ns - START for row in run.rows)
    assert len(begun) == 4000
    assert begun[:3] == [0, 500_000, 1_000_000]
    assert begun[1999] < SECOND <= begun[2000]


# -- several tests at once ----------------------------------------------------------------------------------------


def test_tests_that_run_together_keep_their_own_ends() -> None:
    run = Run(
        [
            load_of(0, parallel_users=2, duration="1s"),
            load_of(1, iterations=5, think_time="90ms"),
            load_of(2, duration="300ms"),
        ]
    )
    assert run.dues(1, 0) == list(range(0, 1000, 10))
    assert run.dues(1, 1) == [0, 100, 200, 300, 400]
    assert run.dues(1, 2) == list(range(0, 300, 10))
    assert [load.reached_end for load in run.loads] == [True, False, True]
    assert [load.max_in_flight for load in run.loads] == [2, 1, 1]
    assert run.clock.now_ns == START + SECOND


def test_a_cut_touches_only_its_own_test() -> None:
    run = Run(
        [load_of(0, duration="100ms", graceful_stop="100ms"), load_of(1, iterations=2)],
        answer=lambda _: Answer(after_ns=400 * MS),
    )
    assert [(row.case, row.flags) for row in run.rows] == [(0, INTERRUPTED), (1, 0), (1, 0)]
    assert run.rows[0].done_ns == START + 200 * MS


# -- ending, and fairness -----------------------------------------------------------------------------------------


def test_the_loop_ends_with_its_last_completion() -> None:
    run = Run([load_of(parallel_users=3, iterations=2)])
    assert run.clock.now_ns == START + 20 * MS


def test_a_loop_without_users_ends_at_once() -> None:
    run = Run([load_of(parallel_users=1, rank=1, of=2)])
    assert run.rows == []
    assert run.clock.now_ns == START


def test_a_loop_with_nothing_to_do_for_a_while_does_not_spin() -> None:
    run = Run([load_of(iterations=2, think_time="10s")])
    # A look each 50 ms: 200 in ten seconds.
    assert run.transport.polls < 250


def test_the_loop_looks_up_every_50_ms_and_hands_over_twice_a_second() -> None:
    run = Run([load_of(duration="3s")], answer=lambda _: Answer(after_ns=MS))
    gaps = [after - before for before, after in zip(run.looks, run.looks[1:], strict=False)]
    assert max(gaps) <= 51 * MS
    assert 6 <= run.recorder.hand_overs <= 9


def test_many_users_due_at_one_instant_do_not_starve_completions() -> None:
    # 10,000 users at once, each start costs 0.1 ms, each answer is there after 1 ms.
    run = Run([load_of(parallel_users=10_000)], answer=lambda _: Answer(after_ns=MS), start_takes_ns=MS // 10)
    assert len(run.rows) == 10_000
    longest = longest_streak(run.transport.log, "start")
    assert longest <= 64
    assert max(row.done_ns - row.issued_ns for row in run.rows) <= 65 * MS // 10 + MS


def test_thinking_users_due_at_one_instant_do_not_starve_completions() -> None:
    run = Run(
        [load_of(parallel_users=1000, iterations=2, pacing="1s")],
        answer=lambda _: Answer(after_ns=MS),
        start_takes_ns=MS // 10,
    )
    assert len(run.rows) == 2000
    assert longest_streak(run.transport.log, "start") <= 64


def test_completions_do_not_starve_users_that_are_due() -> None:
    # 100 busy users answered a few at a time; one that thinks is still started when it is due.
    thinker = load_of(1, iterations=5, think_time="50ms")
    run = Run(
        [load_of(0, parallel_users=100, duration="300ms"), thinker],
        answer=lambda _: Answer(after_ns=MS),
        start_takes_ns=10_000,
        most_at_once=16,
    )
    lags = [row.issued_ns - row.due_ns for row in run.rows if row.case == 1]
    assert len(lags) == 5
    assert max(lags) < 5 * MS


def longest_streak(log: list[str], what: str) -> int:
    longest = streak = 0
    for entry in log:
        streak = streak + 1 if entry == what else 0
        longest = max(longest, streak)
    return longest
