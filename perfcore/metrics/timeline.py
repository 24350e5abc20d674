"""Figures over the time of a test, in a fixed number of slices.

When a test runs longer than the slices reach, neighbours are added together and every slice is twice as long:
the memory stays, the resolution halves. Slice lengths are a power of two times the shortest, so timelines of
different resolution still add exactly.

A slice holds a coarse histogram (32 sub-buckets an octave, 3.1 % wide), whose index is the fine one's shifted.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.histogram import BUCKETS, OCTAVES, bucket_bounds_s
from perfcore.metrics.steadiness import Seconds

SLICES = 512
SHORTEST_SLICE_NS = 100_000_000
SUB_BUCKETS = 32
COARSE_SHIFT = 5
COARSE_BUCKETS = OCTAVES * SUB_BUCKETS

_COARSENED_AT_ONCE = 4
# Words of one slice before its histogram.
_REQUESTS, _FAILURES, _MAX_NS, _USERS = range(4)
_SLICE_HEADER = 4
_SLICE_WORDS = _SLICE_HEADER + COARSE_BUCKETS
_HEADER = 8
_LEVEL, _NOTED_NS = range(2)  # how often neighbours were added; when users were told of last
WORDS = _HEADER + SLICES * _SLICE_WORDS

Integers = NDArray[np.int64]


class Timeline:
    """Slices since the test's start, over `words`: an int64 array of WORDS zeroes that may be shared memory."""

    def __init__(self, words: Integers | None = None) -> None:
        self.words: Integers = np.zeros(WORDS, np.int64) if words is None else words
        self._head = self.words[:_HEADER]
        self._slices = self.words[_HEADER:].reshape(SLICES, _SLICE_WORDS)

    @property
    def slice_ns(self) -> int:
        return SHORTEST_SLICE_NS << int(self._head[_LEVEL])

    def add(self, since_start_ns: Integers, failed: NDArray[np.bool_]) -> None:
        """Count requests that ended at these instants, and which of them failed."""
        slices = self._slice_of(since_start_ns)
        first = int(slices.min())
        counts = np.bincount(slices - first)
        reached = slice(first, first + counts.size)
        self._slices[reached, _REQUESTS] += counts
        if failed.any():
            self._slices[reached, _FAILURES] += np.bincount(slices[failed] - first, minlength=counts.size)

    def add_durations(self, since_start_ns: Integers, durations_ns: Integers, fine_index: Integers) -> None:
        """Count durations (with their bucket_index) in the slices in which they ended."""
        slices = self._slice_of(since_start_ns)
        coarse = np.clip(fine_index, 0, BUCKETS - 1) >> COARSE_SHIFT
        first = int(slices[0])
        if (slices == first).all():
            # The usual case: a block's rows lie in one slice, a plain count over few buckets.
            low = int(coarse.min())
            counts = np.bincount(coarse - low)
            at = _SLICE_HEADER + low
            self._slices[first, at : at + counts.size] += counts
            self._slices[first, _MAX_NS] = max(int(self._slices[first, _MAX_NS]), int(durations_ns.max()))
            return
        flat, counts = np.unique(slices * _SLICE_WORDS + _SLICE_HEADER + coarse, return_counts=True)
        self.words[_HEADER:][flat] += counts
        np.maximum.at(self._slices[:, _MAX_NS], slices, durations_ns)

    def note_users(self, since_start_ns: int, users: int) -> None:
        """Say how many virtual users there are now; a slice keeps the most it was told.

        Slices since the last time this was said, of which nobody told anything, had as many.
        """
        noted_ns = int(self._head[_NOTED_NS])
        self._head[_NOTED_NS] = since_start_ns
        if not users:
            return
        at = int(self._slice_of(np.array([since_start_ns], np.int64))[0])
        untold = self._slices[min(noted_ns // self.slice_ns, at) : at + 1, _USERS]
        untold[untold == 0] = users
        self._slices[at, _USERS] = max(int(self._slices[at, _USERS]), users)

    def fill_users(self, most: int) -> None:
        """At the end: a slice in which requests ended had users, as many as its neighbour, or `most` without any."""
        users = self._slices[:, _USERS]
        told = np.flatnonzero(users)
        for at in np.flatnonzero((self._slices[:, _REQUESTS] > 0) & (users == 0)):
            if told.size:
                users[at] = users[told[max(int(np.searchsorted(told, at)) - 1, 0)]]
            else:
                users[at] = most

    def _slice_of(self, since_start_ns: Integers) -> Integers:
        last = int(since_start_ns.max())
        while last >= SLICES * self.slice_ns:
            self.coarsen()
        return np.maximum(since_start_ns // self.slice_ns, 0)

    def coarsen(self) -> None:
        """Make every slice twice as long."""
        # A few at a time: megabytes taken for this and given back stay with the process.
        for at in range(0, SLICES // 2, _COARSENED_AT_ONCE):
            pairs = self._slices[2 * at : 2 * (at + _COARSENED_AT_ONCE)]
            even, odd = pairs[0::2].copy(), pairs[1::2]
            largest = np.maximum(even[:, (_MAX_NS, _USERS)], odd[:, (_MAX_NS, _USERS)])
            even += odd
            even[:, (_MAX_NS, _USERS)] = largest
            self._slices[at : at + _COARSENED_AT_ONCE] = even
        self._slices[SLICES // 2 :] = 0
        self._head[_LEVEL] += 1

    def merge(self, other: "Timeline") -> None:
        """Add another timeline of the same test; the coarser resolution of the two remains."""
        if other._head[_LEVEL] > self._head[_LEVEL]:
            while other._head[_LEVEL] > self._head[_LEVEL]:
                self.coarsen()
        elif other._head[_LEVEL] < self._head[_LEVEL]:
            other = Timeline(other.words.copy())
            while other._head[_LEVEL] < self._head[_LEVEL]:
                other.coarsen()
        gauges = (_MAX_NS, _USERS)
        self._head[_NOTED_NS] = max(self._head[_NOTED_NS], other._head[_NOTED_NS])
        largest = np.maximum(self._slices[:, gauges], other._slices[:, gauges])
        self._slices += other._slices
        self._slices[:, gauges] = largest

    def used_slices(self) -> int:
        """Slices up to the last one that holds anything."""
        filled = np.flatnonzero((self._slices[:, _REQUESTS] > 0) | (self._slices[:, _USERS] > 0))
        return int(filled[-1]) + 1 if filled.size else 0

    def column(self, name: str) -> list[int]:
        """`requests`, `failures` or `users` of each used slice."""
        word = {"requests": _REQUESTS, "failures": _FAILURES, "users": _USERS}[name]
        return [int(value) for value in self._slices[: self.used_slices(), word]]

    def max_ms(self) -> list[float | None]:
        used = self._slices[: self.used_slices()]
        counts = used[:, _SLICE_HEADER:].sum(axis=1)
        return [
            round(int(value) / 1e6, 6) if count else None
            for value, count in zip(used[:, _MAX_NS], counts, strict=True)
        ]

    def quantile_ms(self, percent: int) -> list[float | None]:
        """The nearest-rank percentile of each used slice, within 1.6 %; None where a slice has no sample."""
        return [
            _coarse_quantile_ms(self._slices[at, _SLICE_HEADER:], int(self._slices[at, _MAX_NS]), percent)
            for at in range(self.used_slices())
        ]

    def parts(self, most: int, from_ns: int = 0) -> int:
        """Into how many parts of equal time the used slices are cut: as many as there are, `most` at most.

        Those that begin before `from_ns`, since the start, are left out.
        """
        used = self.used_slices() - self._first_from(from_ns)
        return used // -(-used // most) if used > 0 else 0

    def _first_from(self, from_ns: int) -> int:
        return int(-(-from_ns // self.slice_ns))

    def exceedances(self, quantile: Fraction, most: int, from_ns: int = 0) -> tuple[Integers, Integers]:
        """By equal parts of the time: samples, and those beyond the quantile of all; both of shape (parts,).

        Beyond the edge of a bucket that lies nearest to it, at most 3.1 % of its value away where samples lie dense.
        """
        parts = self.parts(most, from_ns)
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        slices = self._slices[self._first_from(from_ns) : self.used_slices(), _SLICE_HEADER:]
        begins = np.arange(parts) * (len(slices) // parts)
        counts = np.add.reduceat(slices, begins, axis=0)
        below = np.cumsum(counts.sum(axis=0))
        edge = int(np.abs(below - float(quantile) * below[-1]).argmin())
        if below[edge] == below[-1] and edge:
            # Nothing lies beyond it: the highest edge that has something.
            edge = max(int(np.searchsorted(below, below[-1])) - 1, 0)
        samples: Integers = counts.sum(axis=1)
        return samples, samples - counts[:, : edge + 1].sum(axis=1)

    def seconds(self, span_ns: int) -> Seconds:
        """The whole seconds of the first `span_ns`, of slices put together; longer ones where slices are longer."""
        each = max(1, round(1e9 / self.slice_ns))
        count = min(int(span_ns // (each * self.slice_ns)), SLICES // each)
        slices = self._slices[: count * each]
        requests = slices[:, _REQUESTS].reshape(count, each).sum(axis=1)
        histograms = slices[:, _SLICE_HEADER:].reshape(count, each, COARSE_BUCKETS).sum(axis=1)
        highest = slices[:, _MAX_NS].reshape(count, each).max(axis=1, initial=0)
        p50, p99 = (
            np.array(
                [
                    np.nan if (value := _coarse_quantile_ms(*second, percent)) is None else value
                    for second in zip(histograms, highest.tolist(), strict=True)
                ],
                np.float64,
            )
            for percent in (50, 99)
        )
        return Seconds(each * self.slice_ns / 1e9, requests.astype(np.float64), p50, p99)

    def recent(self, since_start_ns: int, span_ns: int) -> "RecentFigures":
        """Figures over the slices of the last `span_ns` before an instant, for a progress line."""
        last = max(0, since_start_ns // self.slice_ns)
        first = max(0, last - max(1, span_ns // self.slice_ns))
        window = self._slices[first : last + 1]
        length_s = max(since_start_ns - first * self.slice_ns, 1) / 1e9
        histogram = window[:, _SLICE_HEADER:].sum(axis=0)
        highest = int(window[:, _MAX_NS].max()) if len(window) else 0
        return RecentFigures(
            rate=float(window[:, _REQUESTS].sum()) / length_s,
            p50_ms=_coarse_quantile_ms(histogram, highest, 50),
            p99_ms=_coarse_quantile_ms(histogram, highest, 99),
        )


class RecentFigures:
    """Completed requests per second, and response times in milliseconds."""

    __slots__ = ("p50_ms", "p99_ms", "rate")

    def __init__(self, rate: float, p50_ms: float | None, p99_ms: float | None) -> None:
        self.rate = rate
        self.p50_ms = p50_ms
        self.p99_ms = p99_ms


def _coarse_quantile_ms(histogram: Integers, max_ns: int, percent: int) -> float | None:
    cumulative = np.cumsum(histogram)
    count = int(cumulative[-1])
    if not count:
        return None
    rank = -(-percent * count // 100)
    coarse = int(np.searchsorted(cumulative, rank))
    low = bucket_bounds_s(coarse << COARSE_SHIFT)[0]
    high = bucket_bounds_s(((coarse + 1) << COARSE_SHIFT) - 1)[1]
    return round(min((low + high) / 2 * 1e3, max_ns / 1e6), 6)
