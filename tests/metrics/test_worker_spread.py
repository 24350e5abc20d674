"""The p99 of each worker from some of its rows."""

import numpy as np
import pytest

from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import INTERRUPTED
from perfcore.metrics.worker_spread import WorkerSpread

from .rows import rows_of

MS = 1_000_000


def times(seed, count, median_ms=10.0):
    return (np.random.default_rng(seed).lognormal(np.log(median_ms), 0.5, count) * MS).astype(np.int64)


def p99_ms(service_ns):
    return sorted(service_ns)[-(-99 * len(service_ns) // 100) - 1] / MS


def fed(spread, worker, service_ns, block=256, **columns):
    for begin in range(0, len(service_ns), block):
        part = service_ns[begin : begin + block]
        spread.fold(worker, rows_of(len(part), service_ns=part, **columns))


def test_of_small_blocks_every_row_counts_and_the_p99_is_within_a_bucket():
    spread, expected = WorkerSpread(), []
    for worker, median_ms in enumerate((10.0, 30.0, 0.4)):
        service_ns = times(worker, 5000, median_ms)
        fed(spread, worker, service_ns)
        expected.append(p99_ms(service_ns))
    assert spread.p99_ms(0) == pytest.approx(expected, rel=0.016)


def test_of_full_blocks_a_part_is_looked_at_and_says_nearly_the_same():
    spread, service_ns = WorkerSpread(), times(1, 200_000)
    fed(spread, 0, service_ns, block=4096)
    assert spread.p99_ms(0) == pytest.approx((p99_ms(service_ns),), rel=0.1)


@pytest.mark.parametrize("turns", [2, 4, 16])
def test_tests_that_take_turns_are_all_looked_at(turns):
    spread = WorkerSpread()
    for _ in range(40 * turns):
        spread.fold(0, rows_of(4096, service_ns=5 * MS, case=np.arange(4096) % turns))
    for case in range(turns):
        assert spread.p99_ms(case) == pytest.approx((5.0,), rel=0.016)


def test_a_worker_with_too_few_samples_says_nothing():
    spread = WorkerSpread()
    fed(spread, 0, times(1, 1000))
    fed(spread, 1, times(1, 999))
    fed(spread, 2, times(1, 1000), case=1)
    assert len(spread.p99_ms(0)) == len(spread.p99_ms(1)) == 1
    assert spread.p99_ms(2) == ()


def test_only_what_succeeded_counts():
    spread = WorkerSpread()
    fed(spread, 0, np.full(1000, 10 * MS))
    fed(spread, 0, np.full(3000, 10_000), error=CODE["refused"], status=0)
    fed(spread, 0, np.full(3000, 9000 * MS), flags=INTERRUPTED)
    assert spread.p99_ms(0) == pytest.approx((10.0,), rel=0.016)


def test_a_time_out_of_the_buckets_counts_at_their_edge():
    spread = WorkerSpread()
    fed(spread, 0, np.full(1000, 3 * 3_600_000 * MS))
    assert spread.p99_ms(0)[0] > 3_600_000
