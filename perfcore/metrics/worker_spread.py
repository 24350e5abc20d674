"""Whether the workers of a run measured the same: the p99 of each, from some of its rows."""

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.histogram import BUCKETS, bucket_bounds_s, bucket_index
from perfcore.metrics.outcomes import NONE
from perfcore.metrics.samples import INTERRUPTED, Rows
from perfcore.metrics.timeline import COARSE_BUCKETS, COARSE_SHIFT

# Of a large block so many rows are looked at, a sixteenth of a full one: at random, as tests and users take turns.
_LOOKED_AT = 256
# A p99 of fewer has no ten samples beyond it.
_FEWEST = 1000


class WorkerSpread:
    """Response times of successful requests by worker and test, in buckets 3.1 % wide."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._random = np.random.default_rng(1)

    def fold(self, worker: int, rows: Rows) -> None:
        """Count a part of a worker's rows."""
        some = rows
        if rows.size > _LOOKED_AT:
            some = rows[self._random.integers(0, rows.size, _LOOKED_AT)]
        some = some[(some["error"] == NONE) & (some["flags"] & INTERRUPTED == 0)]
        for case in np.unique(some["case"]):
            own = some[some["case"] == case]
            index = bucket_index(own["done_ns"] - own["due_ns"])
            coarse = np.clip(index, 0, BUCKETS - 1) >> COARSE_SHIFT
            counts = self._counts.setdefault((worker, int(case)), np.zeros(COARSE_BUCKETS, np.int64))
            np.add.at(counts, coarse, 1)

    def p99_ms(self, case: int) -> tuple[float, ...]:
        """Of each worker of the test that has enough samples to say."""
        return tuple(
            _p99_ms(counts)
            for (_, of), counts in sorted(self._counts.items())
            if of == case and counts.sum() >= _FEWEST
        )


def _p99_ms(counts: NDArray[np.int64]) -> float:
    cumulative = np.cumsum(counts)
    coarse = int(np.searchsorted(cumulative, -(-99 * int(cumulative[-1]) // 100)))
    low, high = (
        bucket_bounds_s(coarse << COARSE_SHIFT)[0],
        bucket_bounds_s(((coarse + 1) << COARSE_SHIFT) - 1)[1],
    )
    return (low + high) / 2 * 1e3
