"""The distribution of a duration: a fixed log-linear histogram with exact figures beside it.

1,024 sub-buckets an octave from 2⁻²⁰ s (0.95 µs) to 2¹² s (over an hour): bucket width ≤ 0.098 %, so a bucket's
midpoint is at most 0.049 % off. The index comes straight from the bits of the float64: exponent and the upper
ten bits of the mantissa. Count, sum, sum of squares, minimum, maximum and the largest 1,000 values are exact.

All of it is integers in one flat array of fixed layout, so distributions add exactly and in any order, and a
distribution can stand in memory shared between processes. Pages that no sample reached cost nothing: memory
is spent by the octave.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.statistics import nearest_rank

SCHEME = "log-linear-1024"
SUB_BUCKETS = 1024
OCTAVES = 32
BUCKETS = OCTAVES * SUB_BUCKETS
LOWEST_S = 2.0**-20
LARGEST_KEPT = 1000
_BASE_INDEX = (1023 - 20) << 10
_MANTISSA_SHIFT = 42

# Words before the buckets.
_COUNT, _SUM_NS, _SUM_US, _SQUARES_HIGH, _SQUARES_LOW, _UNDER, _OVER, _MIN_NS, _MAX_NS = range(9)
_ADDITIVE = _OVER + 1
_HEADER = 16
_LOW_WORD = 0xFFFF_FFFF
# In the deviation, durations longer than this (71 minutes) count as this: up to here `_sum_of_squares` is exact.
_LONGEST_SQUARED_US = 0xFFFF_FFFF
WORDS = _HEADER + BUCKETS + LARGEST_KEPT

Integers = NDArray[np.int64]


def bucket_index(durations_ns: Integers) -> Integers:
    """The bucket of each duration; below 0 and from BUCKETS on it is out of range. Zero and less are below."""
    seconds = durations_ns * 1e-9
    index: Integers = seconds.view(np.int64) >> _MANTISSA_SHIFT  # signed, so that less than zero stays below
    index -= _BASE_INDEX
    return index


def bucket_bounds_s(index: int) -> tuple[float, float]:
    """The half-open interval of a bucket, in seconds."""
    octave, sub = divmod(index, SUB_BUCKETS)
    low = LOWEST_S * 2.0**octave
    return low * (1 + sub / SUB_BUCKETS), low * (1 + (sub + 1) / SUB_BUCKETS)


class Distribution:
    """Durations in nanoseconds, over `words`: an int64 array of WORDS entries that may be shared memory.

    All zeroes is the empty distribution. The sum holds up to 292 years of durations.
    """

    def __init__(self, words: Integers | None = None) -> None:
        self.words: Integers = np.zeros(WORDS, np.int64) if words is None else words
        self._head = self.words[:_HEADER]
        self.buckets = self.words[_HEADER : _HEADER + BUCKETS]
        self._largest = self.words[_HEADER + BUCKETS :]

    def add(self, durations_ns: Integers, index: Integers | None = None) -> None:
        """Count the durations. `index` is their bucket_index where the caller has it already."""
        if not durations_ns.size:
            return
        if index is None:
            index = bucket_index(durations_ns)
        lowest_ns, highest_ns = int(durations_ns.min()), int(durations_ns.max())
        low, high = bucket_index(np.array((lowest_ns, highest_ns), np.int64)).tolist()
        if low < 0 or high >= BUCKETS:
            self._head[_UNDER] += np.count_nonzero(index < 0)
            self._head[_OVER] += np.count_nonzero(index >= BUCKETS)
            index = index[(index >= 0) & (index < BUCKETS)]
            low, high = (int(index.min()), int(index.max())) if index.size else (0, 0)
        if index.size:
            counts = np.bincount(index - low, minlength=high - low + 1)
            self.buckets[low : high + 1] += counts
        self._add_exact(durations_ns, lowest_ns, highest_ns)

    def _add_exact(self, durations_ns: Integers, lowest: int, highest: int) -> None:
        head = self._head
        self._widen(lowest, highest)
        head[_COUNT] += durations_ns.size
        head[_SUM_NS] += int(durations_ns.sum())
        microseconds = (durations_ns + 500) // 1000
        longest_us = (max(highest, -lowest) + 500) // 1000
        if longest_us > _LONGEST_SQUARED_US:
            longest_us = _LONGEST_SQUARED_US
            microseconds = np.minimum(microseconds, longest_us)
        head[_SUM_US] += int(microseconds.sum())
        self._set_squares(self._squares_us + _sum_of_squares(microseconds, longest_us))
        if highest > self._largest[0]:
            self._keep_largest(durations_ns)

    def _widen(self, lowest_ns: int, highest_ns: int) -> None:
        """Let the extremes include these; to be called before they are counted."""
        head = self._head
        head[_MIN_NS] = min(int(head[_MIN_NS]), lowest_ns) if self.count else lowest_ns
        head[_MAX_NS] = max(int(head[_MAX_NS]), highest_ns) if self.count else highest_ns

    @property
    def _squares_us(self) -> int:
        return (int(self._head[_SQUARES_HIGH]) << 32) + int(self._head[_SQUARES_LOW])

    def _set_squares(self, squares_us: int) -> None:
        # The low word never exceeds 32 bits, so the words do not tell in which parts the sum was made.
        self._head[_SQUARES_HIGH] = squares_us >> 32
        self._head[_SQUARES_LOW] = squares_us & _LOW_WORD

    def _keep_largest(self, durations_ns: Integers) -> None:
        candidates = durations_ns[durations_ns > self._largest[0]]
        merged = np.concatenate([self._largest, candidates])
        merged.sort()
        self._largest[:] = merged[-LARGEST_KEPT:]

    def merge(self, other: "Distribution") -> None:
        """Add another one's samples; exact, and the same in any order."""
        if not other.count:
            return
        self._widen(int(other._head[_MIN_NS]), int(other._head[_MAX_NS]))
        squares_us = self._squares_us + other._squares_us
        self._head[:_ADDITIVE] += other._head[:_ADDITIVE]
        self._set_squares(squares_us)
        self.buckets += other.buckets
        self._keep_largest(other._largest)

    def without(self, part: "Distribution") -> "Distribution":
        """What remains when `part`, a subset of these samples, is taken out.

        Exact but for the extremes: the minimum is that of the lowest bucket left, and of the largest values only
        those remain that are known to belong to the rest.
        """
        if part.count == self.count:
            return Distribution()
        rest = Distribution(self.words.copy())
        rest._head[:_ADDITIVE] -= part._head[:_ADDITIVE]
        rest._set_squares(self._squares_us - part._squares_us)
        rest.buckets -= part.buckets
        rest._take_from_largest(part._largest)
        rest._narrow()
        return rest

    def _take_from_largest(self, taken: Integers) -> None:
        values, counts = np.unique(self._largest, return_counts=True)
        taken_values, taken_counts = np.unique(taken, return_counts=True)
        positions = np.searchsorted(values, taken_values)
        known = (positions < values.size) & (values[np.minimum(positions, values.size - 1)] == taken_values)
        counts[positions[known]] -= np.minimum(counts[positions[known]], taken_counts[known])
        left = np.repeat(values, counts)
        self._largest[:] = 0
        if left.size:
            self._largest[-left.size :] = left

    def _narrow(self) -> None:
        """Bring the extremes to the samples that are left, as far as they are known."""
        head = self._head
        filled = np.flatnonzero(self.buckets)
        if not head[_UNDER]:
            lowest_s = bucket_bounds_s(int(filled[0]) if filled.size else BUCKETS)[0]
            head[_MIN_NS] = max(int(head[_MIN_NS]), math.ceil(lowest_s * 1e9))
        if self._largest[-1] > 0:
            head[_MAX_NS] = self._largest[-1]
        elif not head[_OVER]:
            highest_s = bucket_bounds_s(int(filled[-1]))[1] if filled.size else LOWEST_S
            head[_MAX_NS] = min(int(head[_MAX_NS]), math.ceil(highest_s * 1e9) - 1)

    @property
    def count(self) -> int:
        return int(self._head[_COUNT])

    @property
    def sum_ns(self) -> int:
        return int(self._head[_SUM_NS])

    @property
    def min_ns(self) -> int | None:
        return int(self._head[_MIN_NS]) if self.count else None

    @property
    def max_ns(self) -> int | None:
        return int(self._head[_MAX_NS]) if self.count else None

    @property
    def mean_ns(self) -> float | None:
        return self.sum_ns / self.count if self.count else None

    @property
    def stddev_ns(self) -> float | None:
        """Standard deviation (divided by n) of the samples rounded to microseconds; None without any sample."""
        if not self.count:
            return None
        # In integers up to the division: a small deviation of large values does not drown in their squares.
        numerator = self.count * self._squares_us - int(self._head[_SUM_US]) ** 2
        return math.sqrt(Fraction(numerator, self.count**2)) * 1000

    def quantile_ns(self, quantile: Fraction) -> float | None:
        """The nearest-rank quantile: exact among the largest 1,000 values, else its bucket's midpoint.

        None without any sample.
        """
        count = self.count
        if not count:
            return None
        return self.value_at_rank_ns(nearest_rank(count, quantile))

    def value_at_rank_ns(self, rank: int) -> float:
        """The value at a 1-based rank from below, within half a bucket of it."""
        count = self.count
        from_above = count - rank
        if from_above < LARGEST_KEPT and self._largest[LARGEST_KEPT - 1 - from_above] > 0:
            return float(self._largest[LARGEST_KEPT - 1 - from_above])
        low, high = int(self._head[_MIN_NS]), int(self._head[_MAX_NS])
        if rank <= int(self._head[_UNDER]):
            return float(low)
        cumulative = np.cumsum(self.buckets)
        index = int(np.searchsorted(cumulative, rank - int(self._head[_UNDER])))
        if index >= BUCKETS:
            return float(high)
        bounds = bucket_bounds_s(index)
        return min(max((bounds[0] + bounds[1]) / 2 * 1e9, float(low)), float(high))

    def sparse(self) -> tuple[list[int], list[int]]:
        """The buckets that hold something: their indices and their counts."""
        filled = np.flatnonzero(self.buckets)
        return filled.tolist(), self.buckets[filled].tolist()


def _sum_of_squares(values: Integers, largest: int) -> int:
    """Exact for values below 2³²; none is further from zero than `largest`."""
    if largest * largest * values.size < 2**63:
        return int(np.dot(values, values))
    high, low = values >> 16, values & 0xFFFF
    return (int(np.dot(high, high)) << 32) + (int(np.dot(high, low)) << 17) + int(np.dot(low, low))
