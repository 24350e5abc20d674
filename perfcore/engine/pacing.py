"""When requests are due: arithmetic without a clock.

A pacer says at which offsets from the start of the load its users begin, and when a user who is through with an
iteration is due for the next one. Every worker computes the same schedule of the whole test and takes its deal
of it (`range(rank, total, of)`), so adding workers changes neither the load nor loses a remainder.
"""

import random
from collections.abc import Callable, Iterator
from typing import Protocol

from perfcore.suite.test_case import TestCase, ThinkTime

# Without ramp_up, no more users than this begin per second: ten thousand connections in one instant would
# measure the server's accept queue.
DEFAULT_STARTS_PER_S = 2000


class Pacer(Protocol):
    def starts(self, rank: int, of: int) -> Iterator[tuple[int, int]]:
        """(offset in ns from the start of the load, user number from 1), ascending, of this worker's users."""

    def next_due_ns(self, iteration_due_ns: int, done_ns: int, draw: random.Random) -> int:
        """When a user's next iteration is due whose last one was due and done at these instants."""


def dealt(total: int, rank: int, of: int) -> range:
    """Which of `total` things worker number `rank` of `of` gets."""
    return range(rank, total, of)


def ramp_up_s(case: TestCase) -> float:
    """The time over which the users of a closed model begin."""
    return case.parallel_users / DEFAULT_STARTS_PER_S if case.ramp_up_s is None else case.ramp_up_s


class ClosedPacer:
    """A fixed number of users, each of whom waits for its answer before it goes on."""

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

    def next_due_ns(self, iteration_due_ns: int, done_ns: int, draw: random.Random) -> int:
        return max(done_ns + self._think_ns(draw), iteration_due_ns + self._pacing_ns)


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


def _closed(case: TestCase) -> Pacer:
    return ClosedPacer(case)


# Load model → what makes its pacer; the open model becomes a row here.
PACERS: dict[str, Callable[[TestCase], Pacer]] = {"closed": _closed}


def load_model(case: TestCase) -> str:
    """The row of PACERS that a test asks for."""
    return "closed"


def pacer_for(case: TestCase) -> Pacer:
    return PACERS[load_model(case)](case)
