"""One test on a worker: all that is decided once, when the loop is put together, so that it costs nothing in it."""

import random
from collections.abc import Iterator
from typing import Protocol

from perfcore.engine.cycle import Budget, Cycle
from perfcore.engine.open_load import NEVER_NS, Arrivals
from perfcore.engine.pacing import Pacer
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.samples import SampleWriter
from perfcore.suite.expectation import Expectation
from perfcore.suite.quick_judgement import quick_judge

_UNBOUNDED = 1 << 62


class RequestSource(Protocol):
    """What a user sends next: a Scenario, or a fake."""

    constant: Request | None

    def request_for(self, exchange: Exchange) -> Request:
        """The request of the user's current iteration."""


class CaseLoad:
    """One test on this worker: its users, how they are paced, how its answers are judged.

    `iterations` bounds each user, `budget` all of them together; None is without bound. `end_ns` is the planned
    end, from which on nothing is started. Both instants may be given later, by `begin_at`. `retries` says that some
    of its requests are tried again when they fail, `is_throttled` that the loop has a throttle. `arrivals` are those
    of an open model, in which no user begins by itself.
    """

    def __init__(
        self,
        index: int,
        *,
        source: RequestSource,
        pacer: Pacer,
        expectation: Expectation,
        starts: Iterator[tuple[int, int]],
        iterations: int | None,
        budget: Budget | None,
        graceful_stop_ns: int,
        draw: random.Random,
        arrivals: Arrivals | None = None,
        is_throttled: bool = False,
        retries: bool = False,
        start_ns: int = 0,
        end_ns: int | None = None,
    ) -> None:
        self.index = index
        self.source = source
        self.pacer = pacer
        self.expectation = expectation
        self.constant = source.constant
        self.iterations = _UNBOUNDED if iterations is None else iterations
        self.budget = budget
        self.arrivals = arrivals
        self.end_ns = NEVER_NS if end_ns is None else end_ns
        self.draw = draw
        self.retries = retries
        self.immediate = not is_throttled and bool(getattr(pacer, "immediate", False))
        self._graceful_stop_ns = graceful_stop_ns
        self._starts = starts
        self._start_ns = start_ns
        self.cut_ns = NEVER_NS
        self.stopping = False
        self.cycle: Cycle | None = None  # what a transport may do of itself; the loop's decision
        self.users = 0  # begun and not ended
        self.in_flight = 0
        self.exchanges: list[Exchange] = []  # of every user that has begun
        # Of every user, a hundred bytes: only where they may come back.
        self._by_user: dict[int, Exchange] | None = {} if getattr(pacer, "users_return", False) else None
        self.max_in_flight = 0
        self.max_users = 0
        self.reached_end = False  # users were stopped by the planned end, not by running out of iterations
        self.was_stopped = False  # users were stopped before it, from outside
        self.next_start = self._advance()
        if arrivals is not None:
            arrivals.begin_at(start_ns)
        # A status alone is looked up in a table; only other expectations need a call for each answer.
        self.accepted = bytes(expectation.status.accepts(status) for status in range(1000))
        self.judges_more = bool(
            expectation.needs_body or expectation.needs_headers or expectation.max_time_s is not None
        )
        self.is_right = quick_judge(expectation)

    def plain_cycle(self, recorder: SampleWriter) -> Cycle | None:
        """What a transport may do of itself: read plain answers; go on where nothing happens between two requests."""
        if self.retries:
            return None
        return Cycle(
            recorder,
            source=self.source,
            accepted=self.accepted,
            iterations=self.iterations if self.immediate else 0,
            budget=self.budget,
            end_ns=self.end_ns,
            judge=self.is_right if self.judges_more else None,
            needs_headers=self.expectation.needs_headers,
        )

    def begin_at(self, start_ns: int, end_ns: int | None) -> None:
        """Say when the load begins and is to end; before any user has begun."""
        if self.next_start is not None:
            self.next_start = (start_ns + self.next_start[0] - self._start_ns, self.next_start[1])
        if self.arrivals is not None:
            self.arrivals.begin_at(start_ns)
        self._start_ns = start_ns
        self.end_ns = NEVER_NS if end_ns is None else end_ns

    def _advance(self) -> tuple[int, int] | None:
        following = next(self._starts, None)
        return None if following is None else (self._start_ns + following[0], following[1])

    @property
    def next_arrival_ns(self) -> int:
        """When the next arrival is due, or was; never without any."""
        return NEVER_NS if self.arrivals is None else self.arrivals.next_ns

    @property
    def is_started(self) -> bool:
        """Whether nobody is to begin any more, and nothing to arrive."""
        return self.next_start is None and (self.arrivals is None or self.arrivals.next_ns == NEVER_NS)

    def begin_next_user(self) -> tuple[int, int] | None:
        """The (due instant, number) of the next user to begin or, negative, to end; moves on to the one after."""
        current = self.next_start
        self.next_start = self._advance()
        return current

    def stop(self, now_ns: int) -> None:
        """Start nothing more; what is under way may finish within graceful_stop."""
        if not self.stopping:
            self.stopping = True
            if self.cycle is not None:
                self.cycle.end_ns = 0
            if self.users or not self.is_started:
                if now_ns == self.end_ns:
                    self.reached_end = True
                else:
                    self.was_stopped = True
            self.next_start = None
            if self.arrivals is not None:
                self.arrivals.end()
            self.cut_ns = now_ns + self._graceful_stop_ns

    def user(self, number: int) -> Exchange:
        """The user of this number; a new one where there was none yet, or none comes back."""
        exchange = None if self._by_user is None else self._by_user.get(number)
        if exchange is None:
            exchange = Exchange(number, self.index, self)
            self.exchanges.append(exchange)
            if self._by_user is not None:
                self._by_user[number] = exchange
        return exchange

    def another_user(self) -> Exchange | None:
        """One more user for an arrival; None when there are as many as there may be."""
        assert self.arrivals is not None
        if len(self.exchanges) >= self.arrivals.most_users:
            return None
        return self.user(self.arrivals.user_number(len(self.exchanges)))

    def add_user(self) -> None:
        """One more is busy or, in a closed model, there."""
        self.users += 1
        if self.users > self.max_users:
            self.max_users = self.users

    def end_user(self, due_ns: int) -> None:
        """A user is through: its iterations are done, or its next one would be due after the end."""
        self.users -= 1
        if due_ns >= self.end_ns and not self.stopping:
            self.reached_end = True
