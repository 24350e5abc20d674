"""Requests that are tried again: when, after which pause, and what all tries of one come to.

It is done here and not by a transport, so that it is the same for every transport: a try that fails as the suite says
is neither judged nor recorded; what it cost is added to the try that is the last.
"""

import heapq
import random

from perfcore.engine.transport import Exchange, RetryPolicy
from perfcore.metrics.samples import CONNECTED, RESENT, RETRIED

# Doubling has to end somewhere.
LONGEST_BACKOFF_S = 60.0


def wants_retry(exchange: Exchange, policy: RetryPolicy, accepted: bytes) -> bool:
    """Whether this outcome is one to try again after; `accepted[status]` says which statuses are a success."""
    earlier = exchange.earlier
    if earlier is not None and earlier.tries > policy.retries:
        return False
    if exchange.error:
        return exchange.error in policy.error_codes
    return exchange.status in policy.statuses and not accepted[exchange.status]


def backoff_ns(policy: RetryPolicy, retry: int, draw: random.Random) -> int:
    """The pause before the n-th retry, from 1: doubling, and between half and one and a half times that.

    Jittered, so that users who failed together do not come back together.
    """
    nominal_s = min(policy.backoff_s * 2.0 ** min(retry - 1, 64), LONGEST_BACKOFF_S)
    return round(nominal_s * draw.uniform(0.5, 1.5) * 1e9)


class EarlierTries:
    """What the tries of a request before the one under way came to."""

    __slots__ = (
        "_own",
        "attempts",
        "connections",
        "first_issued_ns",
        "flags",
        "received_bytes",
        "sent_bytes",
        "tries",
    )

    def __init__(self, first_issued_ns: int) -> None:
        self.first_issued_ns = first_issued_ns
        self.tries = 1  # with the one under way
        self._own = (0, 0, 0, 0)
        self.attempts = self.connections = self.received_bytes = self.sent_bytes = self.flags = 0

    def add(self, exchange: Exchange) -> None:
        """The try that the exchange holds has ended, and another one is about to start."""
        self.tries += 1
        self.attempts += exchange.attempts
        self.connections += exchange.connections
        self.received_bytes += exchange.received_bytes
        self.sent_bytes += exchange.sent_bytes
        self.flags |= exchange.flags & (CONNECTED | RESENT) | RETRIED

    def settle(self, exchange: Exchange) -> None:
        """Complete the figures of the last try, which the exchange holds, to those of the whole request."""
        self._own = (exchange.attempts, exchange.connections, exchange.sent_bytes, exchange.flags)
        exchange.attempts += self.attempts
        exchange.connections += self.connections
        exchange.received_bytes += self.received_bytes
        exchange.sent_bytes += self.sent_bytes
        exchange.flags |= self.flags
        exchange.earlier_us = max(0, exchange.issued_ns - self.first_issued_ns) // 1000

    def restore(self, exchange: Exchange) -> None:
        """Give the exchange its own figures back: a transport says only once what stays the same."""
        exchange.attempts, exchange.connections, exchange.sent_bytes, exchange.flags = self._own
        exchange.earlier, exchange.earlier_us = None, 0


class BackingOff:
    """Requests that wait for their next try, by when it is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Exchange]] = []
        self._order = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def hold(self, exchange: Exchange, policy: RetryPolicy, draw: random.Random) -> None:
        """Take in a request whose try has just failed."""
        earlier: EarlierTries | None = exchange.earlier
        if earlier is None:
            earlier = exchange.earlier = EarlierTries(first_issued_ns(exchange))
        self.put(exchange, exchange.done_ns + backoff_ns(policy, earlier.tries, draw))

    def put(self, exchange: Exchange, due_ns: int) -> None:
        """Let a request wait until this instant."""
        self._order += 1
        heapq.heappush(self._heap, (due_ns, self._order, exchange))

    @property
    def next_ns(self) -> int:
        """When the next try is due; only while there is one."""
        return self._heap[0][0]

    def pop(self) -> Exchange:
        return heapq.heappop(self._heap)[2]

    def forget(self, load: object) -> list[Exchange]:
        """Drop those of one test; returns them. Each still holds the figures of its last try."""
        dropped = [entry[2] for entry in self._heap if entry[2].load is load]
        if dropped:
            self._heap = [entry for entry in self._heap if entry[2].load is not load]
            heapq.heapify(self._heap)
        return dropped


def first_issued_ns(exchange: Exchange) -> int:
    """When the try that the exchange holds began: a redirect is issued later than the try."""
    return exchange.issued_ns - exchange.earlier_us * 1000
