"""When a test started anything at all: what a closed model cannot see is the time in which it started nothing.

A user who waits for a stalled server sends nothing meanwhile, so one slow answer stands for all those that would have
been slow. That much is hidden only when the stall outlasts what a user takes for an iteration anyway. So the share is
that of the time in gaps between starts longer than five such times; with one user this is five gaps between starts.
(Five gaps between the starts of all users would be passed by chance: where starts come independently, in a seventh of
the time.)

A mark in a slot of a quarter millisecond says that something started in it. When a test runs longer than the slots
reach, neighbours are put together. Marks of several workers are put together by a plain or, in any order.
"""

import numpy as np
from numpy.typing import NDArray

SLOTS = 1 << 18
_SHORTEST_SLOT_BITS = 18  # 2^18 ns: 0.26 ms, and 69 s in all
STALL_CYCLES = 5
_HEADER = 8
_LEVEL = 0
WORDS = _HEADER + SLOTS // 8

Integers = NDArray[np.int64]


class Starts:
    """Over `words`: an int64 array of WORDS zeroes that may be shared memory. Times are nanoseconds since the start."""

    def __init__(self, words: Integers | None = None) -> None:
        self.words: Integers = np.zeros(WORDS, np.int64) if words is None else words
        self._head = self.words[:_HEADER]
        self._marks: NDArray[np.uint8] = self.words[_HEADER:].view(np.uint8)

    @property
    def slot_ns(self) -> int:
        return 1 << (_SHORTEST_SLOT_BITS + int(self._head[_LEVEL]))

    def mark(self, since_start_ns: Integers) -> None:
        """Something started at these instants."""
        last = int(since_start_ns.max())
        while last >= SLOTS * self.slot_ns:
            self._coarsen()
        slots = np.maximum(since_start_ns, 0) >> (_SHORTEST_SLOT_BITS + int(self._head[_LEVEL]))
        self._marks[slots] = 1

    def _coarsen(self) -> None:
        half = SLOTS // 2
        self._marks[:half] = self._marks[0::2] | self._marks[1::2]
        self._marks[half:] = 0
        self._head[_LEVEL] += 1

    def merge(self, other: "Starts") -> None:
        """Take in the marks of another part of the test; the coarser resolution of the two remains."""
        while other._head[_LEVEL] > self._head[_LEVEL]:
            self._coarsen()
        if other._head[_LEVEL] < self._head[_LEVEL]:
            other = Starts(other.words.copy())
            while other._head[_LEVEL] < self._head[_LEVEL]:
                other._coarsen()
        self._marks |= other._marks

    def stalled_ns(self, from_ns: int, until_ns: int, longer_than_ns: float) -> int:
        """The time in gaps between two starts that are longer, from the first start after `from_ns` to `until_ns`.

        A gap is known to a slot at either end, and counted as long as it is known to be.
        """
        slot_ns = self.slot_ns
        marked = np.flatnonzero(self._marks[from_ns // slot_ns : -(-until_ns // slot_ns)])
        empty_ns = (np.diff(marked) - 1) * slot_ns
        return int(empty_ns[empty_ns > longer_than_ns].sum())


def stall_share(starts: Starts, *, from_ns: int, until_ns: int, started: int, users: float) -> float | None:
    """The part of the time in which users who had to wait started nothing, 0 to 1; None where nothing was measured."""
    span_ns = until_ns - from_ns
    if started <= 0 or span_ns <= 0:
        return None
    cycle_ns = users * span_ns / started  # what a user takes from one start to the next, by Little's law
    return starts.stalled_ns(from_ns, until_ns, STALL_CYCLES * cycle_ns) / span_ns
