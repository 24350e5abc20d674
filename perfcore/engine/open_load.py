"""The open model on a worker: arrivals that are due by the clock, and users who are free to take them."""

from collections.abc import Iterator

from perfcore.engine.transport import Exchange

NEVER_NS = 1 << 62


class Arrivals:
    """A worker's part of a schedule, and its users, of whom the most recently freed goes first.

    `offsets` are ascending nanoseconds from the start of the load, `numbers` those of the users, of whom at most
    `most_users` are busy at the same time. `next_ns` is when the next arrival is due; `taken` counts those that were
    due from `counted_from_ns` on, `dropped` those of them that found nobody free; `warmup_dropped` found nobody before.
    """

    def __init__(self, offsets: Iterator[int], numbers: range) -> None:
        self._offsets = offsets
        self._numbers = numbers
        self._start_ns = 0
        self.most_users = len(numbers)
        self.free: list[Exchange] = []
        self.counted_from_ns = 0
        self.taken = 0
        self.dropped = 0
        self.warmup_dropped = 0
        self._following: int | None = None  # the offset after the next one, where it was looked up beforehand
        self.next_ns = NEVER_NS
        self._advance()
        self.look_ahead()

    def begin_at(self, start_ns: int) -> None:
        """Say when the load begins; before the first arrival was taken."""
        if self.next_ns != NEVER_NS:
            self.next_ns += start_ns - self._start_ns
        self._start_ns = start_ns

    def user_number(self, at: int) -> int:
        """Of the user that begins as the `at`-th, from 0."""
        return self._numbers[at] + 1

    def take(self) -> int:
        """When the arrival was due whose turn it is; the one after it is then the next."""
        due_ns = self.next_ns
        if due_ns >= self.counted_from_ns:
            self.taken += 1
        self._advance()
        return due_ns

    def drop(self, due_ns: int) -> None:
        """The arrival that was taken at this instant found nobody free."""
        if due_ns >= self.counted_from_ns:
            self.dropped += 1
        else:
            self.warmup_dropped += 1

    def look_ahead(self) -> None:
        """Find out when the arrival after the next one is due: 2 µs that are better spent when nobody waits."""
        if self._following is None:
            self._following = next(self._offsets, None)

    def end(self) -> None:
        """Nothing arrives any more."""
        self.next_ns = NEVER_NS

    def _advance(self) -> None:
        offset_ns, self._following = self._following, None
        if offset_ns is None:
            offset_ns = next(self._offsets, None)
        self.next_ns = NEVER_NS if offset_ns is None else self._start_ns + offset_ns
