"""How long answers lay in the kernel before they were read, and response times without it.

Where answers are many only some of them are looked at, and each counts for as many as its weight says.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.histogram import BUCKETS, bucket_bounds_s, bucket_index
from perfcore.metrics.samples import DELAY_DISCARDED, Rows
from perfcore.metrics.statistics import nearest_rank

_LOOKED_AT, _DISCARDED, _MAX_NS = range(3)
_HEADER = 8
WORDS = _HEADER + 2 * BUCKETS

Integers = NDArray[np.int64]


class ClientDelay:
    """Two distributions of the same answers, over `words`: an int64 array of WORDS zeroes, maybe in shared memory."""

    def __init__(self, words: Integers | None = None) -> None:
        self.words: Integers = np.zeros(WORDS, np.int64) if words is None else words
        self._head = self.words[:_HEADER]
        self._delays = self.words[_HEADER : _HEADER + BUCKETS]
        self._corrected = self.words[_HEADER + BUCKETS :]

    def add(self, rows: Rows, response_ns: Integers) -> None:
        """Count answers (dtype SAMPLE) with their response times."""
        weights = np.ascontiguousarray(rows["delay_weight"])
        if not weights.any():
            return
        looked_at = np.flatnonzero(weights)
        delays_us = rows["delay_us"][looked_at]
        possible = delays_us != DELAY_DISCARDED
        self._head[_DISCARDED] += delays_us.size - np.count_nonzero(possible)
        if not possible.any():
            return
        looked_at, delays_us = looked_at[possible], delays_us[possible]
        delays_ns = np.multiply(delays_us, 1000, dtype=np.int64)
        self._head[_LOOKED_AT] += looked_at.size
        self._head[_MAX_NS] = max(int(self._head[_MAX_NS]), int(delays_ns.max()))
        weights = weights[looked_at]
        for buckets, values in (
            (self._delays, delays_ns),
            (self._corrected, np.maximum(response_ns[looked_at] - delays_ns, 0)),
        ):
            index = np.clip(bucket_index(values), 0, BUCKETS - 1)
            low = int(index.min())
            # Sums of weights, far below 2⁵³, are exact in floats.
            counts = np.bincount(index - low, weights)
            buckets[low : low + counts.size] += counts.astype(np.int64)

    def merge(self, other: "ClientDelay") -> None:
        """Add another one's answers."""
        longest_ns = max(int(self._head[_MAX_NS]), int(other._head[_MAX_NS]))
        self.words += other.words
        self._head[_MAX_NS] = longest_ns

    @property
    def looked_at(self) -> int:
        """Answers whose delay is known."""
        return int(self._head[_LOOKED_AT])

    @property
    def discarded(self) -> int:
        """Answers whose stamp could not be right."""
        return int(self._head[_DISCARDED])

    @property
    def max_ns(self) -> int | None:
        return int(self._head[_MAX_NS]) if self.looked_at else None

    def quantile_ns(self, quantile: Fraction) -> float | None:
        """Of the delay, within 0.05 %; one below a microsecond is 0. None where none is known."""
        return _quantile_ns(self._delays, quantile)

    def corrected_ns(self, quantile: Fraction) -> float | None:
        """Of response time less delay."""
        return _quantile_ns(self._corrected, quantile)


def _quantile_ns(buckets: Integers, quantile: Fraction) -> float | None:
    cumulative = np.cumsum(buckets)
    count = int(cumulative[-1])
    if not count:
        return None
    index = int(np.searchsorted(cumulative, nearest_rank(count, quantile)))
    return math.fsum(bucket_bounds_s(index)) / 2 * 1e9 if index else 0.0
