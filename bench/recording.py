"""What it costs to record a request: the worker's row, and the supervisor's draining of it.

    python -m bench.recording [--rows 2000000]

CPU nanoseconds a row, median of several rounds, as a ratio to the floor measured in the same run: for writing
a bare struct.pack_into of the same fields, for draining one numpy bincount of the same rows.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.samples import BLOCK_ROWS, SAMPLE, SampleReader, SampleRing, SampleWriter

ROUNDS = 7


@dataclass(slots=True)
class _Row:
    """A plain successful request, as the transport leaves it on an exchange."""

    due_ns: int = 1_000_000_000
    issued_ns: int = 1_000_004_000
    done_ns: int = 1_000_300_000
    received_bytes: int = 180
    sent_bytes: int = 90
    failed_checks: int = 0
    dns_us: int = 0
    connect_us: int = 0
    tls_us: int = 0
    ttfb_us: int = 280
    user: int = 7
    case: int = 0
    step: int = 0
    status: int = 200
    attempts: int = 1
    error: int = 0
    flags: int = 0
    connections: int = 0
    earlier_us: int = 0


def cpu_ns_a_row(work: Callable[[], int]) -> float:
    """Median over the rounds; `work` returns how many rows it did."""
    figures = []
    for _ in range(ROUNDS):
        before = time.process_time_ns()
        rows = work()
        figures.append((time.process_time_ns() - before) / rows)
    return statistics.median(figures)


def measure_write(rows: int) -> float:
    ring = SampleRing(4)
    writer = SampleWriter(ring, lambda _rows: None)
    reader = SampleReader(ring)
    batch = [_Row()] * 32

    def work() -> int:
        for at in range(rows // 32):
            writer.write(batch)
            if at % 64 == 0:
                reader.drain(lambda _rows: None)
        return rows

    return cpu_ns_a_row(work)


def realistic_rows() -> np.ndarray:
    """One block of a run at full rate: lognormal service times, a little lag, connections reused."""
    random = np.random.default_rng(1)
    rows = np.zeros(BLOCK_ROWS, SAMPLE)
    issued = 1_000_000_000 + np.cumsum(random.integers(5_000, 20_000, BLOCK_ROWS))
    service = (random.lognormal(-8.0, 0.5, BLOCK_ROWS) * 1e9).astype(np.int64)
    rows["issued_ns"] = issued
    rows["due_ns"] = issued - random.integers(2_000, 9_000, BLOCK_ROWS)
    rows["done_ns"] = issued + service
    rows["ttfb_us"] = service // 1000 * 9 // 10
    rows["received_bytes"], rows["sent_bytes"] = 180, 90
    rows["status"], rows["attempts"] = 200, 1
    return rows


def measure_fold(rows: int) -> tuple[float, float]:
    block = realistic_rows()
    collector = MetricsCollector(1)
    collector.tests[0].begin(1_000_000_000, None)
    rounds = max(1, rows // BLOCK_ROWS)

    def fold() -> int:
        for _ in range(rounds):
            collector.fold(block)
        return rounds * BLOCK_ROWS

    def floor() -> int:
        for _ in range(rounds):
            np.bincount((block["done_ns"] - block["due_ns"]) >> 10)
        return rounds * BLOCK_ROWS

    return cpu_ns_a_row(fold), cpu_ns_a_row(floor)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=400_000)
    options = parser.parse_args(arguments)
    write = measure_write(options.rows)
    fold, floor = measure_fold(options.rows)
    print(f"worker, one row into the ring:           {write:6.0f} ns")
    print(
        f"supervisor, one row into all figures:    {fold:6.0f} ns  ({fold / floor:.1f} × one bincount of it)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
