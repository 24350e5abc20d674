"""Whether the workers of a run measured the same: the p99 of each, from some of its rows."""

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.histogram import BUCKETS, bucket_bounds_s, bucket_index
from perfcore.metrics.samples import Rows
from perfcore.metrics.timeline import COARSE_BUCKETS, COARSE_SHIFT

# Of a large block so many rows are looked at: each 16th of a full one.
_LOOKED_AT = 256
# A p99 of fewer has no ten samples beyond it.
_FEWEST = 1000


class WorkerSpread:
    """Response times by worker and test, in buckets 3.1 % wide."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int], NDArray[np.int64]] = {}

    def fold(self, worker: int, rows: Rows) -> None:
        """Count a part of a worker's rows."""
        some = rows[:: max(1, rows.size // _LOOKED_AT)]
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
