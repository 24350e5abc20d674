import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from engine.fake_transport import MS, SECOND, Answer, FakeClock, FakeRecorder, FakeTransport, Row
from perfcore.engine.cycle import Budget as IterationBudget
from perfcore.engine.load_loop import CaseLoad, LoadLoop
from perfcore.engine.pacing import pacer_for
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import INTERRUPTED
from perfcore.suite.expectation import Expectation
from perfcore.suite.test_case import TestCase

START = 7 * SECOND


class OneRequest:
    def __init__(self) -> None:
        self.constant: Request | None = None

    def request_for(self, exchange: Exchange) -> Request:
        return f"{exchange.user}/{exchange.iteration}"  # type: ignore[return-value]


class Budget:
    def __init__(self, total: int) -> None:
        self.left = total

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def is_spent(self) -> bool:
        return self.left <= 0


def load_of(
    index: int = 0,
    *,
    rank: int = 0,
    of: int = 1,
    budget: IterationBudget | None = None,
    seed: int = 1,
    **keys: object,
) -> CaseLoad:
    """The load of a worker as worker.py puts it together, for a test with these keys of the suite file."""
    case = TestCase(name="t", endpoint="http://127.0.0.1/", **{"ramp_up": 0, **keys})
    pacer = pacer_for(case)
    return CaseLoad(
        index,
        source=OneRequest(),
        pacer=pacer,
        expectation=case.expect,
        starts=pacer.starts(rank, of),
        iterations=None if case.total_iterations is not None else case.effective_iterations,
        budget=budget,
        start_ns=START,
        end_ns=None if case.duration_s is None else START + round(case.duration_s * 1e9),
        graceful_stop_ns=round(case.graceful_stop_s * 1e9),
        draw=random.Random(seed),
    )


@dataclass
class Run:
    """One run of the loop and all that it left behind."""

    loads: list[CaseLoad]
    answer: Callable[[Exchange], Answer] = lambda _exchange: Answer()
    start_takes_ns: int = 0
    most_at_once: int = 1 << 30
    stop_at_ns: int | None = None
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    failures: list[tuple[int, str]] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transport = FakeTransport(
            self.clock, self.answer, start_takes_ns=self.start_takes_ns, most_at_once=self.most_at_once
        )
        self.recorder = FakeRecorder()
        LoadLoop(
            self.loads,
            self.transport,
            self.recorder,
            clock=self.clock,
            on_failure=lambda exchange, text: self.failures.append((exchange.user, text)),
            on_housekeeping=self._keep_house,
        ).run()
        assert not self.transport.in_flight
        for load in self.loads:
            assert (load.users, load.in_flight) == (0, 0)

    def _keep_house(self, now_ns: int) -> bool:
        self.looks.append(now_ns)
        return self.stop_at_ns is not None and now_ns >= self.stop_at_ns

    @property
    def rows(self) -> list[Row]:
        return self.recorder.rows

    def dues(self, user: int = 1, case: int = 0) -> list[int]:
        """Due instants of a user, in ms from the start."""
        return [(row.due_ns - START) // MS for row in self.rows if row.user == user and row.case == case]


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


def test_the_loop_looks_up_every_50_ms_and_hands_over_every_100() -> None:
    run = Run([load_of(duration="1s")], answer=lambda _: Answer(after_ns=MS))
    gaps = [after - before for before, after in zip(run.looks, run.looks[1:], strict=False)]
    assert max(gaps) <= 51 * MS
    assert 9 <= run.recorder.hand_overs <= 13


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


# -- judging ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["2xx", 200, [200, 404], "2xx-3xx", "5xx"])
def test_the_status_table_agrees_with_the_expectation(status: object) -> None:
    expectation = Expectation(status=status)
    codes = list(range(100, 600))
    run = Run(
        [load_of(parallel_users=len(codes), expect={"status": status})],
        answer=lambda exchange: Answer(status=codes[exchange.user - 1]),
    )
    judged = {row.status: row.error for row in run.rows}
    assert judged == {
        code: CODE["expectation:status"] if expectation.first_broken(code, {}, b"", 0.0) else 0
        for code in codes
    }
    assert len(run.failures) == sum(error != 0 for error in judged.values())


def test_a_status_is_judged_the_same_with_and_without_further_expectations() -> None:
    def errors(**expect: object) -> list[int]:
        run = Run(
            [load_of(parallel_users=900, expect=expect)],
            answer=lambda exchange: Answer(status=exchange.user + 99),
        )
        return [row.error for row in sorted(run.rows, key=lambda row: row.user)]

    assert errors() == errors(max_time="1h")


@pytest.mark.parametrize(
    ("expect", "answer", "kind"),
    [
        ({"body_contains": "ok"}, Answer(body=b"all ok"), ""),
        ({"body_contains": "ok"}, Answer(body=b"no"), "expectation:body"),
        ({"header": {"X-A": "1"}}, Answer(headers={"x-a": "21"}), ""),
        ({"header": {"X-A": "1"}}, Answer(headers={}), "expectation:header"),
        ({"json": {"$.a": 1}}, Answer(body=b'{"a": 1}'), ""),
        ({"json": {"$.a": 1}}, Answer(body=b'{"a": 2}'), "expectation:json"),
        ({"body_contains": "ok"}, Answer(body=b"no", status=500), "expectation:status"),
        ({"max_time": "20ms"}, Answer(after_ns=20 * MS), ""),
        ({"max_time": "20ms"}, Answer(after_ns=21 * MS), "expectation:max_time"),
        ({"body_contains": "ok"}, Answer(error=CODE["reset"], status=0), "reset"),
    ],
)
def test_an_answer_is_judged_by_what_was_asked(expect: dict[str, object], answer: Answer, kind: str) -> None:
    run = Run([load_of(expect=expect)], answer=lambda _: answer)
    assert run.rows[0].error == CODE[kind]
    assert len(run.failures) == bool(kind)


def test_max_time_is_measured_from_the_due_instant() -> None:
    # Service takes 10 ms of each, but the fifth user waits 8 ms for the loop.
    run = Run(
        [load_of(parallel_users=5, expect={"max_time": "15ms"})],
        start_takes_ns=2 * MS,
    )
    assert {row.user for row in run.rows if row.error} == {4, 5}


def test_a_failure_lets_the_user_go_on() -> None:
    run = Run([load_of(iterations=3)], answer=lambda _: Answer(error=CODE["refused"], status=0))
    assert [row.error for row in run.rows] == [CODE["refused"]] * 3


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
