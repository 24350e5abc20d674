"""A clock that stands still and a transport without a network, to drive the real loop of a worker without waiting.

Time passes only in `FakeTransport.poll` (up to what the loop is willing to wait) and where a test says that work
takes time. What comes out is therefore exact to the nanosecond.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from perfcore.engine.transport import Exchange, Request

MS = 1_000_000
SECOND = 1_000_000_000
# A loop that comes back this often is not going to end.
MOST_POLLS = 200_000


class FakeClock:
    """Nanoseconds, moved by whoever holds it."""

    def __init__(self, now_ns: int = 0) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Answer:
    """How an exchange is going to end: after how long, and with what."""

    after_ns: int = 10 * MS
    status: int = 200
    error: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    attempts: int = 1
    connections: int = 0
    received_bytes: int = 0
    flags: int = 0


class FakeTransport:
    """Answers each exchange as `answer(exchange)` says; `start_takes_ns` is what a start costs the loop, and so on."""

    name = "fake"

    def __init__(
        self,
        clock: FakeClock,
        answer: Callable[[Exchange], Answer] = lambda _exchange: Answer(),
        *,
        start_takes_ns: int = 0,
        poll_takes_ns: int = 0,
        most_at_once: int = 1 << 30,
    ) -> None:
        self._clock = clock
        self._answer = answer
        self._start_takes_ns = start_takes_ns
        self._poll_takes_ns = poll_takes_ns
        self._most_at_once = most_at_once
        self._ends: list[tuple[int, int, Exchange, Answer]] = []
        self._under_way: set[Exchange] = set()
        self._number = 0
        self._last: dict[Exchange, Answer] = {}
        self.polls = 0
        self.started: list[tuple[int, int, Request]] = []  # (instant, user, request)
        self.cuts: list[Exchange] = []
        self.log: list[str] = []  # "start" and "done", in the order in which they happened

    @property
    def in_flight(self) -> int:
        return len(self._ends)

    def start(self, exchange: Exchange, request: Request) -> None:
        assert exchange not in self._under_way, "started while under way"
        self._under_way.add(exchange)
        exchange.issued_ns = self._clock()
        self._clock.now_ns += self._start_takes_ns
        answer = self._answer(exchange)
        self._number += 1
        heapq.heappush(self._ends, (exchange.issued_ns + answer.after_ns, self._number, exchange, answer))
        self.started.append((exchange.issued_ns, exchange.user, request))
        self.log.append("start")

    def poll(self, timeout_s: float) -> list[Exchange]:
        self.polls += 1
        assert self.polls < MOST_POLLS, "the loop does not end"
        assert timeout_s >= 0
        clock = self._clock
        until_ns = clock.now_ns + round(timeout_s * 1e9)
        if self._ends:
            until_ns = min(until_ns, self._ends[0][0])
        clock.now_ns = max(clock.now_ns, until_ns) + self._poll_takes_ns
        ended = []
        while self._ends and self._ends[0][0] <= clock.now_ns and len(ended) < self._most_at_once:
            _, _, exchange, answer = heapq.heappop(self._ends)
            self._under_way.remove(exchange)
            exchange.done_ns = clock.now_ns
            exchange.status, exchange.error = answer.status, answer.error
            exchange.headers, exchange.body = answer.headers, answer.body
            exchange.received_bytes = answer.received_bytes
            if self._last.get(exchange) is not answer:
                # As HttpClient does: what stays the same is said once.
                self._last[exchange] = answer
                exchange.attempts, exchange.connections = answer.attempts, answer.connections
                exchange.flags = answer.flags
            ended.append(exchange)
            self.log.append("done")
        return ended

    def cut(self, exchange: Exchange) -> None:
        self._under_way.remove(exchange)
        self.cuts.append(exchange)
        self._ends = [entry for entry in self._ends if entry[2] is not exchange]
        heapq.heapify(self._ends)

    def hand_back(self, exchange: Exchange) -> None:
        """It never goes on by itself."""

    def location(self, exchange: Exchange) -> str | None:
        return exchange.headers.get("location")

    def close(self) -> None:
        self._ends.clear()


@dataclass(frozen=True)
class Row:
    """What the recorder was given of one exchange, as it was at that moment."""

    case: int
    user: int
    iteration: int
    due_ns: int
    issued_ns: int
    done_ns: int
    status: int
    error: int
    flags: int
    attempts: int
    received_bytes: int
    connections: int
    earlier_us: int


class FakeRecorder:
    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.hand_overs = 0

    def write(self, samples: Iterable[Exchange]) -> None:
        self.rows += [Row(**{name: getattr(one, name) for name in Row.__annotations__}) for one in samples]

    def hand_over(self) -> None:
        self.hand_overs += 1
