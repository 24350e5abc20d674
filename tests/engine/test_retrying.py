"""Tries, backoff and what they add up to: the loop with a transport that fails as told."""

import random
from itertools import pairwise

import pytest

from engine.fake_transport import MS, SECOND, Answer, FakeClock, FakeRecorder, FakeTransport
from engine.http_harness import settings
from perfcore.engine.case_load import CaseLoad
from perfcore.engine.load_loop import LoadLoop
from perfcore.engine.pacing import pacer_for
from perfcore.engine.rate_limit import SharedSlots
from perfcore.engine.retrying import LONGEST_BACKOFF_S, backoff_ns
from perfcore.engine.throttle import Throttle
from perfcore.engine.transport import Request, RetryPolicy
from perfcore.metrics.outcomes import CODE, ERROR_KINDS
from perfcore.metrics.samples import CONNECTED, RESENT, RETRIED
from perfcore.suite.test_case import TestCase

START = 5 * SECOND
TIMEOUT, REFUSED, RESET = CODE["timeout"], CODE["refused"], CODE["reset"]


def policy(retries=3, errors=(TIMEOUT, REFUSED), statuses=(502, 503), backoff_s=0.1):
    return RetryPolicy(retries, frozenset(errors), frozenset(statuses), backoff_s)


class Constant:
    def __init__(self, retry):
        self.constant = Request(settings(retry=retry), "http://127.0.0.1/", [], None)

    def request_for(self, exchange):
        return self.constant


def slots(interval_ns):
    return SharedSlots(SECOND / interval_ns, [0])


class Run:
    def __init__(self, answers, retry=None, *, rate_limit=None, stop_at_ns=None, **keys):
        """`answers` are those of each user in turn, the last one again and again."""
        case = TestCase(name="t", endpoint="http://127.0.0.1/", **{"ramp_up": 0, **keys})
        pacer = pacer_for(case)
        asked = {}

        def answer(exchange):
            asked[exchange.user] = asked.get(exchange.user, 0) + 1
            return answers[min(asked[exchange.user], len(answers)) - 1]

        self.clock = FakeClock(START)
        self.transport, self.recorder = FakeTransport(self.clock, answer), FakeRecorder()
        self.failures = []
        self.load = CaseLoad(
            0,
            source=Constant(retry),
            pacer=pacer,
            expectation=case.expect,
            starts=pacer.starts(0, 1),
            iterations=case.effective_iterations,
            budget=None,
            start_ns=START,
            end_ns=None if case.duration_s is None else START + round(case.duration_s * 1e9),
            graceful_stop_ns=round(case.graceful_stop_s * 1e9),
            draw=random.Random(1),
            is_throttled=rate_limit is not None,
            retries=retry is not None,
        )
        LoadLoop(
            [self.load],
            self.transport,
            self.recorder,
            clock=self.clock,
            on_failure=lambda exchange, _text: self.failures.append(ERROR_KINDS[exchange.error]),
            on_housekeeping=lambda now_ns: stop_at_ns is not None and now_ns >= stop_at_ns,
            throttle=None if rate_limit is None else Throttle(rate_limit),
        ).run()
        assert (self.load.users, self.load.in_flight) == (0, 0)

    @property
    def rows(self):
        return self.recorder.rows


def test_a_request_that_fails_and_then_succeeds_is_one_success_of_several_attempts():
    bad = Answer(status=503, received_bytes=30, connections=1, flags=CONNECTED)
    run = Run([bad, bad, Answer(received_bytes=100)], policy())
    (row,) = run.rows
    assert (row.status, row.error, row.attempts) == (200, 0, 3)
    assert (row.received_bytes, row.connections) == (160, 2)
    assert row.flags == RETRIED | CONNECTED
    assert run.failures == []


def test_response_time_runs_from_the_first_due_instant_and_service_time_from_the_last_issue():
    run = Run([Answer(status=502, after_ns=40 * MS), Answer(after_ns=7 * MS)], policy())
    (row,) = run.rows
    assert row.due_ns == START
    assert row.done_ns - row.issued_ns == 7 * MS
    assert (row.issued_ns - row.due_ns) // 1000 == row.earlier_us  # the lag of the first attempt: none
    assert 90 * MS <= row.issued_ns - START <= 190 * MS  # 40 ms, and 100 ms ± half of backoff


def test_when_the_retries_are_used_up_the_last_outcome_counts_once():
    run = Run([Answer(error=REFUSED, status=0, attempts=0)], policy(retries=2))
    (row,) = run.rows
    assert (row.error, row.attempts, len(run.transport.started)) == (REFUSED, 0, 3)
    assert run.failures == ["refused"]


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (Answer(status=0, error=RESET), 1),
        (Answer(status=500), 1),
        (Answer(status=404), 1),
        (Answer(status=0, error=TIMEOUT), 4),
        (Answer(status=502), 4),
    ],
)
def test_only_what_the_suite_names_is_tried_again(answer, tries):
    run = Run([answer], policy())
    assert len(run.transport.started) == tries
    assert len(run.rows) == 1


def test_a_status_that_is_expected_is_no_failure_to_retry():
    run = Run([Answer(status=503)], policy(), expect={"status": 503})
    assert len(run.transport.started) == 1
    assert run.rows[0].error == 0


def test_the_pause_doubles_and_is_jittered_by_half():
    run = Run([Answer(status=502, after_ns=0)], policy(retries=4, backoff_s=0.1))
    starts = [at for at, _, _ in run.transport.started]
    pauses = [(after - before) / 1e9 for before, after in pairwise(starts)]
    for retry, pause in enumerate(pauses):
        assert 0.05 * 2**retry <= pause <= 0.151 * 2**retry


def test_backoff_is_bounded_and_zero_stays_zero():
    draw = random.Random(3)
    longest = [backoff_ns(policy(backoff_s=1.0), 100, draw) for _ in range(200)]
    assert max(longest) <= LONGEST_BACKOFF_S * 1.5e9
    assert len(set(longest)) > 100
    assert backoff_ns(policy(backoff_s=0.0), 7, draw) == 0


def test_the_next_request_of_a_user_starts_without_the_tries_of_the_one_before():
    run = Run([Answer(status=502), Answer(flags=RESENT, attempts=2), Answer()], policy(), iterations=3)
    assert [row.attempts for row in run.rows] == [3, 1, 1]
    assert [bool(row.earlier_us) for row in run.rows] == [True, False, False]
    assert run.rows[0].flags == RETRIED | RESENT
    # Each request may be tried again as often as the first.
    again = Run([Answer(status=502)], policy(retries=1), iterations=3)
    assert [row.attempts for row in again.rows] == [2, 2, 2]


def test_tries_do_not_add_up_from_one_request_to_the_next():
    good, bad = Answer(), Answer(status=502)
    run = Run([bad, good, good, bad, bad, good, good, bad, good], policy(), iterations=5)
    assert [row.attempts for row in run.rows] == [2, 1, 3, 1, 2]
    assert [bool(row.flags & RETRIED) for row in run.rows] == [True, False, True, False, True]


def test_users_go_on_while_another_backs_off():
    run = Run([Answer(status=502), Answer()], policy(backoff_s=5.0), parallel_users=3, iterations=2)
    assert len(run.rows) == 6
    assert run.load.max_in_flight == 3


def test_at_the_end_the_last_outcome_of_a_request_in_its_backoff_stands():
    run = Run(
        [Answer(status=502, after_ns=10 * MS)],
        policy(backoff_s=50.0),
        parallel_users=2,
        duration="1s",
        graceful_stop="20s",
    )
    assert [(row.status, row.attempts, row.flags) for row in run.rows] == [(502, 1, 0)] * 2
    assert {row.done_ns - row.due_ns for row in run.rows} == {10 * MS}
    assert run.failures == ["expectation:status"] * 2
    assert run.clock.now_ns - START <= SECOND + MS


def test_after_the_end_nothing_is_tried_again():
    run = Run([Answer(status=502, after_ns=600 * MS)], policy(retries=50, backoff_s=0.0), duration="1s")
    assert [(row.attempts, row.flags) for row in run.rows] == [(2, RETRIED)]
    assert run.rows[0].done_ns - START == 1200 * MS


def test_a_stop_ends_a_long_backoff_at_once():
    run = Run(
        [Answer(error=REFUSED, status=0, attempts=0)],
        policy(backoff_s=60.0),
        stop_at_ns=START + SECOND,
        iterations=5,
    )
    assert [(row.error, row.flags) for row in run.rows] == [(REFUSED, 0)]
    assert run.clock.now_ns - START <= 1100 * MS


def test_a_rate_limit_moves_the_due_times():
    run = Run([Answer(after_ns=MS)], parallel_users=5, iterations=2, rate_limit=slots(100 * MS))
    dues = sorted(row.due_ns for row in run.rows)
    assert dues == [START + at * 100 * MS for at in range(10)]
    assert all(row.issued_ns - row.due_ns <= MS for row in run.rows)


def test_a_rate_that_is_not_reached_holds_nobody_back():
    run = Run([Answer(after_ns=100 * MS)], parallel_users=2, iterations=3, rate_limit=slots(MS))
    assert sorted(row.due_ns - START for row in run.rows)[-1] <= 203 * MS


def test_a_rate_limit_holds_tries_back_as_well():
    run = Run(
        [Answer(status=503, after_ns=MS)],
        policy(retries=3, backoff_s=0.0),
        parallel_users=2,
        rate_limit=slots(100 * MS),
    )
    starts = [at - START for at, _, _ in run.transport.started]
    assert starts == [at * 100 * MS for at in range(8)]
    assert [row.attempts for row in run.rows] == [4, 4]


def test_users_that_end_in_line_take_no_instants_with_them():
    limit = slots(100 * MS)
    first = Run([Answer(after_ns=MS)], parallel_users=300, duration="1s", rate_limit=limit)
    assert len(first.rows) == 10
    # But for one that was near at the end.
    assert limit.take(START + SECOND)[0] <= START + SECOND + 100 * MS


def test_a_stop_ends_those_who_stand_in_line():
    run = Run(
        [Answer(after_ns=MS)],
        parallel_users=9,
        iterations=100,
        rate_limit=slots(SECOND),
        stop_at_ns=START + SECOND + 500 * MS,
    )
    assert len(run.rows) == 2
    assert run.clock.now_ns - START < 2 * SECOND


def test_a_try_that_stands_in_line_ends_with_its_outcome():
    run = Run(
        [Answer(status=503, after_ns=MS)],
        policy(backoff_s=0.0),
        parallel_users=3,
        duration="1s",
        rate_limit=slots(600 * MS),
    )
    assert sorted(row.attempts for row in run.rows) in ([1, 1], [2])
    assert run.failures == ["expectation:status"] * len(run.rows)
    assert run.load.in_flight == 0
