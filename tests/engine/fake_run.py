"""A run of the real loop over a FakeTransport, and all that it left behind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.fake_transport import MS, SECOND, Answer, FakeClock, FakeRecorder, FakeTransport, Row
from engine.load_parts import Budget, case_load
from perfcore.engine.case_load import CaseLoad
from perfcore.engine.load_loop import LoadLoop
from perfcore.engine.transport import Exchange, Request

START = 7 * SECOND


class NumberedRequests:
    """In place of each request a text that says whose it is and which."""

    def __init__(self) -> None:
        self.constant: Request | None = None

    def request_for(self, exchange: Exchange) -> Request:
        return f"{exchange.user}/{exchange.iteration}"  # type: ignore[return-value]


def load_of(
    index: int = 0,
    *,
    rank: int = 0,
    of: int = 1,
    budget: Budget | None = None,
    seed: int = 1,
    **keys: Any,
) -> CaseLoad:
    """For a test with these keys of the suite file, from START."""
    return case_load(index, NumberedRequests(), START, rank=rank, of=of, budget=budget, seed=seed, **keys)


@dataclass
class Run:
    """One run of the loop and all that it left behind."""

    loads: list[CaseLoad]
    answer: Callable[[Exchange], Answer] = lambda _exchange: Answer()
    start_takes_ns: int = 0
    poll_takes_ns: int = 0
    most_at_once: int = 1 << 30
    stop_at_ns: int | None = None
    spins: bool = False  # time stands still for whoever does not wait, unless polls take some
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    failures: list[tuple[int, str]] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transport = FakeTransport(
            self.clock,
            self.answer,
            start_takes_ns=self.start_takes_ns,
            poll_takes_ns=self.poll_takes_ns,
            most_at_once=self.most_at_once,
        )
        self.recorder = FakeRecorder()
        self.loop = LoadLoop(
            self.loads,
            self.transport,
            self.recorder,
            clock=self.clock,
            cpu_clock=self.clock,
            on_failure=lambda exchange, text: self.failures.append((exchange.user, text)),
            on_housekeeping=self._keep_house,
            spins=self.spins,
        )
        self.loop.run()
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
