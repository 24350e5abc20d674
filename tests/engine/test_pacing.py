import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.engine.pacing import dealt, pacer_for, ramp_up_s
from perfcore.suite.test_case import TestCase


def case(**keys: object) -> TestCase:
    return TestCase(name="t", endpoint="http://127.0.0.1/", **keys)


def test_dealing_gives_everything_away_exactly_once() -> None:
    for total in range(60):
        for workers in range(1, 20):
            hands = [list(dealt(total, rank, workers)) for rank in range(workers)]
            assert sorted(number for hand in hands for number in hand) == list(range(total))
            assert max(map(len, hands)) - min(map(len, hands)) <= 1


@given(
    users=st.integers(1, 3000),
    workers=st.integers(1, 130),
    ramp_up=st.one_of(st.none(), st.floats(0, 3600)),
)
def test_adding_workers_does_not_change_who_starts_when(
    users: int, workers: int, ramp_up: float | None
) -> None:
    pacer = pacer_for(case(parallel_users=users, ramp_up=ramp_up))
    alone = list(pacer.starts(0, 1))
    together = [start for rank in range(workers) for start in pacer.starts(rank, workers)]
    assert sorted(together) == alone
    assert [user for _, user in alone] == list(range(1, users + 1))
    assert alone == sorted(alone)


@pytest.mark.parametrize(
    ("users", "ramp_up", "offsets_ms"),
    [
        (1, "10s", [0]),
        (4, "10s", [0, 2500, 5000, 7500]),
        (3, 0, [0, 0, 0]),
        (3, None, [0, 0.5, 1.0]),
        (7, "7ms", [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_users_start_evenly(users: int, ramp_up: object, offsets_ms: list[float]) -> None:
    pacer = pacer_for(case(parallel_users=users, ramp_up=ramp_up))
    assert [offset / 1e6 for offset, _ in pacer.starts(0, 1)] == offsets_ms


def test_without_ramp_up_two_thousand_start_a_second() -> None:
    assert ramp_up_s(case(parallel_users=10_000)) == 5.0
    assert ramp_up_s(case(parallel_users=10_000, ramp_up=0)) == 0.0


DUE, DONE = 1_000_000_000, 1_250_000_000


@pytest.mark.parametrize(
    ("keys", "next_due_ns"),
    [
        ({}, DONE),
        ({"think_time": "100ms"}, 1_350_000_000),
        ({"think_time": 0}, DONE),
        ({"think_time": {"min": "7ms", "max": "7ms"}}, 1_257_000_000),
        ({"pacing": "1s"}, 2_000_000_000),
        ({"pacing": "250ms"}, DONE),
        ({"pacing": "100ms"}, DONE),
        ({"pacing": "1s", "think_time": "100ms"}, 2_000_000_000),
        ({"pacing": "300ms", "think_time": "100ms"}, 1_350_000_000),
    ],
)
def test_the_next_iteration_is_due(keys: dict[str, object], next_due_ns: int) -> None:
    assert pacer_for(case(**keys)).next_due_ns(DUE, DONE, random.Random(1)) == next_due_ns


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers())
def test_a_uniform_pause_stays_within_its_bounds(one_us: int, other_us: int, seed: int) -> None:
    low, high = sorted((one_us, other_us))
    pacer = pacer_for(case(think_time={"min": low / 1e6, "max": high / 1e6}))
    pause_ns = pacer.next_due_ns(DUE, DONE, random.Random(seed)) - DONE
    assert low * 1000 <= pause_ns <= high * 1000


def test_pauses_repeat_with_the_seed() -> None:
    pacer = pacer_for(case(think_time={"mean": "1s", "distribution": "exponential"}))
    once, again, other = (random.Random(seed) for seed in (5, 5, 6))
    first = [pacer.next_due_ns(DUE, DONE, once) for _ in range(5)]
    assert first == [pacer.next_due_ns(DUE, DONE, again) for _ in range(5)]
    assert first != [pacer.next_due_ns(DUE, DONE, other) for _ in range(5)]
