"""How long answers lay in the kernel before they were read, and response times without it.

Where answers are many only some of them are looked at, and each counts for as many as its weight says. What is told
beside a reported percentile has to be of the same requests, so what was looked at only says by which factor delays
shorten that percentile (`ClientDelay.corrected_ns`).
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
WORDS = _HEADER + 3 * BUCKETS

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class ClientDelay:
    """Distributions over `words`: an int64 array of WORDS zeroes, maybe in shared memory.

    Of delays, over the answers that were looked at; of response times with and without them, over these answers and
    the requests that were given up.
    """

    def __init__(self, words: Integers | None = None) -> None:
        self.words: Integers = np.zeros(WORDS, np.int64) if words is None else words
        self._head = self.words[:_HEADER]
        self._delays, self._responses, self._corrected = self.words[_HEADER:].reshape(3, BUCKETS)

    def add(self, rows: Rows, response_ns: Integers, given_up: Mask | None = None) -> None:
        """Count requests of the headline (dtype SAMPLE) with their response times; `given_up` says which timed out.

        Those had no answer that could have waited: their time is the same with and without client delay, and each
        counts once, as each of them is known.
        """
        if given_up is not None and given_up.any():
            times_ns = response_ns[given_up]
            self._count_times(times_ns, times_ns, np.ones(times_ns.size, np.int64))
            rows, response_ns = rows[~given_up], response_ns[~given_up]
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
        weights, response_ns = weights[looked_at], response_ns[looked_at]
        _count(self._delays, delays_ns, weights)
        self._count_times(response_ns, np.maximum(response_ns - delays_ns, 0), weights)

    def _count_times(self, response_ns: Integers, corrected_ns: Integers, weights: Integers) -> None:
        _count(self._responses, response_ns, weights)
        _count(self._corrected, corrected_ns, weights)

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

    def corrected_ns(self, quantile: Fraction, reported_ns: float | None) -> float | None:
        """The quantile of response time less delay, beside the reported one of response time, which it never exceeds.

        The reported one is of every request of the headline; delays are known of a sample of them. The sample's own
        quantile may lie to either side of the reported one by chance, so it is not set beside it. It is the ratio
        estimator of survey sampling for quantiles with a known auxiliary variable (Rao, Kovar and Mantel, Biometrika
        77, 1990): the reported quantile times the sample's corrected quantile over its uncorrected one. By what the
        sample is off, both are off alike, and it cancels. It is the exact one, within 0.1 %, where every answer was
        looked at. A difference in place of the ratio would be below zero where delays are most of the time.

        None where no answer was looked at, or nothing is reported.
        """
        if reported_ns is None or not self.looked_at:
            return None
        uncorrected_ns = _quantile_ns(self._responses, quantile)
        corrected_ns = _quantile_ns(self._corrected, quantile)
        if not uncorrected_ns or corrected_ns is None:
            return reported_ns  # of less than a microsecond nothing can be taken
        return reported_ns * (corrected_ns / uncorrected_ns)


def _count(buckets: Integers, values_ns: Integers, weights: Integers) -> None:
    index = np.clip(bucket_index(values_ns), 0, BUCKETS - 1)
    low = int(index.min())
    # Sums of weights, far below 2⁵³, are exact in floats.
    counts = np.bincount(index - low, weights)
    buckets[low : low + counts.size] += counts.astype(np.int64)


def _quantile_ns(buckets: Integers, quantile: Fraction) -> float | None:
    cumulative = np.cumsum(buckets)
    count = int(cumulative[-1])
    if not count:
        return None
    index = int(np.searchsorted(cumulative, nearest_rank(count, quantile)))
    return math.fsum(bucket_bounds_s(index)) / 2 * 1e9 if index else 0.0
