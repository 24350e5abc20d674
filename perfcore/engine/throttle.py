"""A worker's users that `limits.max_rate` holds back, and the instants that it gives them.

They stand in line in the order in which they came, whatever their test. Only the first in line asks for an instant, and
only for one that is near: an instant that was given far ahead would be lost with a user that ends before it, and with
a worker that dies.
"""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from perfcore.engine.transport import Exchange

_NEVER_NS = 1 << 62


class RateLimit(Protocol):
    """Instants that all users of all tests and workers share."""

    def take(self, now_ns: int) -> tuple[int, bool]:
        """The first free instant from now on, and whether it is the caller's; else it is too far off to be given."""

    def nearest_ask_ns(self, free_ns: int) -> int:
        """When to ask again for an instant that was too far off."""


class Throttle:
    """The line, and who has been given an instant and waits for it."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._line: deque[Exchange] = deque()
        self._granted: set[Exchange] = set()
        self._ask_ns = 0

    def __bool__(self) -> bool:
        return bool(self._line)

    @property
    def next_ns(self) -> int:
        """When to call `grants` again; only while somebody stands in line."""
        return self._ask_ns if self._line else _NEVER_NS

    def holds(self, exchange: Exchange) -> bool:
        """Put it into the line, unless it comes with the instant that it was given; that is then used up."""
        if exchange in self._granted:
            self._granted.remove(exchange)
            return False
        self._line.append(exchange)
        return True

    def take_back(self, exchange: Exchange) -> None:
        """It does not use the instant that it was given, if any."""
        self._granted.discard(exchange)

    def grants(self, now_ns: int) -> Iterator[tuple[Exchange, int]]:
        """Those first in line for whom there is an instant now or soon, with it."""
        if now_ns < self._ask_ns:
            return
        while self._line:
            slot_ns, is_given = self._limit.take(now_ns)
            if not is_given:
                self._ask_ns = self._limit.nearest_ask_ns(slot_ns)
                return
            exchange = self._line.popleft()
            self._granted.add(exchange)
            yield exchange, slot_ns
        self._ask_ns = 0

    def drop_idle(self, load: object) -> int:
        """Take a test's users out of the line who wait for their next request; returns how many."""
        return len(self._drop(load, under_way=False))

    def drop_tries(self, load: object) -> list[Exchange]:
        """Take a test's requests out of the line that wait for their next try; returns them."""
        return self._drop(load, under_way=True)

    def _drop(self, load: object, *, under_way: bool) -> list[Exchange]:
        dropped = [one for one in self._line if one.load is load and one.under_way is under_way]
        if dropped:
            gone = set(dropped)
            self._line = deque(one for one in self._line if one not in gone)
        self._granted = {
            one for one in self._granted if one.load is not load or one.under_way is not under_way
        }
        return dropped
