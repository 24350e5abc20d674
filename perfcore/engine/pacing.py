"""When requests are due: arithmetic without a clock.

A pacer says at which offsets from the start of the load its users begin, and when a user who is through with an
iteration is due for the next one. Every worker computes the same schedule of the whole test and takes its deal
of it (`range(rank, total, of)`), so adding workers changes neither the load nor loses a remainder.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from perfcore.engine.arrivals import RateCurve, RateSpan, constant_arrivals, poisson_arrivals
from perfcore.suite.stages import Stage
from perfcore.suite.test_case import TestCase, ThinkTime

# Without ramp_up, no more users than this begin per second: ten thousand connections in one instant would
# measure the server's accept queue.
DEFAULT_STARTS_PER_S = 2000


class Pacer(Protocol):
    def starts(self, rank: int, of: int) -> Iterator[tuple[int, int]]:
        """(offset in ns from the start of the load, user number from 1), ascending, of this worker's users.

        A negative number: the user of that number, who began before, is to end when its iteration has.
        """

    def arrivals(self, rank: int, of: int, seed: str) -> Iterator[int] | None:
        """Offsets in ns, ascending, at which this worker starts an iteration whoever is free; None: users do."""

    def next_due_ns(self, iteration_due_ns: int, done_ns: int, draw: random.Random) -> int:
        """When a user's next iteration is due whose last one was due and done at these instants."""


def dealt(total: int, rank: int, of: int) -> range:
    """Which of `total` things worker number `rank` of `of` gets."""
    return range(rank, total, of)


def ramp_up_s(case: TestCase) -> float:
    """The time over which the users of a closed model begin."""
    return case.parallel_users / DEFAULT_STARTS_PER_S if case.ramp_up_s is None else case.ramp_up_s


class ClosedPacer:
    """A number of users, each of whom waits for its answer before it goes on."""

    def __init__(self, case: TestCase) -> None:
        self._users = case.parallel_users
        self._ramp_up_ns = round(ramp_up_s(case) * 1e9)
        self._pacing_ns = round(case.pacing_s * 1e9)
        self._think_ns = think_time_ns(case.think_time)
        # Neither pause nor pacing: a user is due again at the instant at which it is free.
        self.immediate = case.think_time.kind == "none" and not self._pacing_ns

    def starts(self, rank: int, of: int) -> Iterator[tuple[int, int]]:
        for at in dealt(self._users, rank, of):
            yield at * self._ramp_up_ns // self._users, at + 1

    def arrivals(self, rank: int, of: int, seed: str) -> None:
        return None

    def next_due_ns(self, iteration_due_ns: int, done_ns: int, draw: random.Random) -> int:
        return max(done_ns + self._think_ns(draw), iteration_due_ns + self._pacing_ns)


class StagedPacer(ClosedPacer):
    """A number of users that goes straight to each stage's.

    User n is there while the line is above n − 1: of a rise from 0 the first begins at once, of a fall to 0 it ends
    last, and a rise over the same time as a ramp_up starts users at the same instants.
    """

    users_return = True

    def __init__(self, case: TestCase) -> None:
        super().__init__(case)
        assert case.stages is not None
        self._stages = case.stages.stages

    def starts(self, rank: int, of: int) -> Iterator[tuple[int, int]]:
        begin_ns, before = 0, 0
        for stage in self._stages:
            length_ns, after = round(stage.duration_s * 1e9), round(stage.value)
            for at in dealt(after, rank, of):
                if at >= before:
                    yield begin_ns + length_ns * (at - before) // (after - before), at + 1
            for at in reversed(dealt(before, rank, of)):
                if at >= after:
                    yield begin_ns + length_ns * (before - at) // (before - after), -(at + 1)
            begin_ns, before = begin_ns + length_ns, after


class OpenPacer:
    """Iterations that start by the clock, however long the ones before them take."""

    immediate = False

    def __init__(self, case: TestCase) -> None:
        self.curve = rate_curve(case)
        self._is_poisson = case.arrival == "poisson"

    def starts(self, rank: int, of: int) -> Iterator[tuple[int, int]]:
        return iter(())

    def arrivals(self, rank: int, of: int, seed: str) -> Iterator[int]:
        if self._is_poisson:
            return poisson_arrivals(self.curve, seed, rank, of)
        return constant_arrivals(self.curve, rank, of)

    def next_due_ns(self, iteration_due_ns: int, done_ns: int, draw: random.Random) -> int:
        raise AssertionError("nobody waits in an open model")


def rate_curve(case: TestCase) -> RateCurve:
    """Of an open model: its rate over time."""
    if case.stages is None:
        assert case.rate_per_s is not None
        assert case.duration_s is not None
        return RateCurve([RateSpan(case.duration_s, case.rate_per_s, case.rate_per_s)])
    return RateCurve(list(_rate_spans(case.stages.stages)))


def _rate_spans(stages: Sequence[Stage]) -> Iterator[RateSpan]:
    before = 0.0
    for stage in stages:
        yield RateSpan(stage.duration_s, before, stage.value)
        before = stage.value


def think_time_ns(think_time: ThinkTime) -> Callable[[random.Random], int]:
    """A pause in nanoseconds for each draw, as the suite describes it."""
    if think_time.kind == "none":
        return lambda _draw: 0
    if think_time.kind == "fixed":
        fixed = round(think_time.mean_s * 1e9)
        return lambda _draw: fixed
    if think_time.kind == "uniform":
        low, high = round(think_time.min_s * 1e9), round(think_time.max_s * 1e9)
        return lambda draw: draw.randint(low, high)
    rate = 1 / think_time.mean_s
    return lambda draw: round(draw.expovariate(rate) * 1e9)


# Load model → what makes its pacer.
PACERS: dict[str, Callable[[TestCase], Pacer]] = {
    "closed": lambda case: ClosedPacer(case) if case.stages is None else StagedPacer(case),
    "open": OpenPacer,
}


def load_model(case: TestCase) -> str:
    """The row of PACERS that a test asks for."""
    return "open" if case.is_open else "closed"


def pacer_for(case: TestCase) -> Pacer:
    return PACERS[load_model(case)](case)
