"""`limits.max_rate`: one sequence of instants for the requests of all tests and workers together.

The next free instant is one word of shared memory. A worker that takes one moves it on, under a record lock of the
kernel, which goes with the process that holds it, however that ends. A user waits for its instant, which becomes its
due time: what the limit holds back is no slowness of the server.
"""

import fcntl
import os

# An instant is given out at most so long before. Long enough for a loop to start it in time; short, since an instant
# is lost with a user that ends, or a worker that dies, before it.
HORIZON_NS = 10_000_000


class SharedSlots:
    """Instants `interval` apart; made before the fork. `words[0]` is the next free one (CLOCK_MONOTONIC ns)."""

    def __init__(self, rate_per_s: float, words: "memoryview[int] | list[int]") -> None:
        self._interval_ns = max(1, round(1e9 / rate_per_s))
        self._words = words
        self._fd = os.memfd_create("perfcore-rate", os.MFD_CLOEXEC)

    def take(self, now_ns: int) -> tuple[int, bool]:
        """The first free instant from now on, and whether it is the caller's: not while it is too far off."""
        if self._words[0] > now_ns + HORIZON_NS:
            return self._words[0], False
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            slot_ns = max(self._words[0], now_ns)
            is_near = slot_ns <= now_ns + HORIZON_NS
            if is_near:
                self._words[0] = slot_ns + self._interval_ns
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        return slot_ns, is_near

    def nearest_ask_ns(self, free_ns: int) -> int:
        """When an instant that is free now, but too far off, can be had."""
        return free_ns - HORIZON_NS

    def close(self) -> None:
        os.close(self._fd)
