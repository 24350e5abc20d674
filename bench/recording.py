"""What it costs to record a request: the worker's row, the supervisor's draining and ranking, histogram and merge.

    python -m bench.recording [--rows 4000000]

CPU nanoseconds a row. Rows are drained from the ring as in a run, whole rings at a time, so that they come from memory
and not from the cache; what fills the ring is not counted. Ranking is what a result asks of the figures at the end:
every percentile with its bounds, of every distribution. Every column is counted, whatever is in it. Two kinds of rows:
`plain` ones, which a run at full rate consists of, are judged; `mixed` ones have failures, new connections, phases,
checks, retries and two tests in one block, more of each than a run has that somebody would trust.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import machine
from perfcore.metrics import outcomes
from perfcore.metrics.histogram import Distribution
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.samples import (
    BLOCK_ROWS,
    BLOCKS,
    CONNECTED,
    FULL,
    RETRIED,
    ROW_BYTES,
    SAMPLE,
    SampleReader,
    SampleRing,
    SampleWriter,
    pack_plain_row,
    packed_delay,
    plain_rest,
)
from perfcore.metrics.test_document import TestFacts, test_document

TO_REACH_NS = 150
ROUNDS = 7
_STATE, _COUNT = 0, 2  # words of a block's header, as in samples.py
_TESTS = 2
_START_NS = 1_000_000_000


@dataclass(slots=True)
class _Row:
    """A plain successful request, as the transport leaves it on an exchange."""

    due_ns: int = 1_000_000_000
    issued_ns: int = 1_000_004_000
    done_ns: int = 1_000_300_000
    delay: int = packed_delay(5, 1)
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


def cpu_ns(work: Callable[[], object], rows: int) -> float:
    """CPU nanoseconds a row of a work on so many."""
    before = time.process_time_ns()
    work()
    return (time.process_time_ns() - before) / rows


def median_cpu_ns(work: Callable[[], object], rows: int) -> float:
    """Of several rounds."""
    return statistics.median(cpu_ns(work, rows) for _ in range(ROUNDS))


def measure_write(rows: int) -> float:
    """A row by SampleWriter.write, as every request but a plain one is written."""
    ring = SampleRing(4)
    writer = SampleWriter(ring, lambda _rows: None)
    reader = SampleReader(ring)
    batch = [_Row()] * 32

    def work() -> None:
        for at in range(rows // 32):
            writer.write(batch)
            if at % 64 == 0:
                reader.drain(lambda _rows: None)

    return median_cpu_ns(work, rows)


def measure_plain_write(rows: int) -> float:
    """A row by pack_plain_row, as a plain request on the wire is written."""
    memory = bytearray(BLOCK_ROWS * ROW_BYTES)
    rest = plain_rest(user=7, case=0, step=0, sent_bytes=90)

    def work() -> None:
        for at in range(rows):
            offset = at % BLOCK_ROWS * ROW_BYTES
            pack_plain_row(
                memory, offset, 1_000_000_000, 1_000_004_000, 1_000_300_000, 0, 180, 280, 200, rest, at
            )

    return median_cpu_ns(work, rows)


def plain_rows(random: np.random.Generator, issued_after_ns: int) -> np.ndarray:
    """One block of a run at full rate: lognormal service times, a little lag, connections reused."""
    rows = np.zeros(BLOCK_ROWS, SAMPLE)
    issued = issued_after_ns + np.cumsum(random.integers(5_000, 20_000, BLOCK_ROWS))
    service = (random.lognormal(-8.0, 0.5, BLOCK_ROWS) * 1e9).astype(np.int64)
    rows["issued_ns"] = issued
    rows["due_ns"] = issued - random.integers(2_000, 9_000, BLOCK_ROWS)
    rows["done_ns"] = issued + service
    rows["ttfb_us"] = service // 1000 * 9 // 10
    rows["delay_us"] = service // 10_000
    # Of 80,000 a second 2,000 are looked at.
    rows["delay_weight"] = np.where(np.arange(BLOCK_ROWS) // 16 % 40 == 0, 40, 0)
    rows["received_bytes"], rows["sent_bytes"] = 180, 90
    rows["status"], rows["attempts"] = 200, 1
    rows["user"] = random.integers(0, 50, BLOCK_ROWS)
    return rows


def mixed_rows(random: np.random.Generator, issued_after_ns: int) -> np.ndarray:
    """With all that a row can say: 5 % failures, 5 % new connections, 1 % retried, two tests in turn."""
    rows = plain_rows(random, issued_after_ns)
    rows["case"] = random.integers(0, _TESTS, BLOCK_ROWS)
    fate = random.random(BLOCK_ROWS)
    broken = fate < 0.03
    rows["error"][broken], rows["failed_checks"][broken] = outcomes.CODE["expectation:status"], 1
    rows["status"][broken] = 503
    timed_out = (fate >= 0.03) & (fate < 0.05)
    rows["error"][timed_out], rows["status"][timed_out] = outcomes.CODE["timeout"], 0
    connected = random.random(BLOCK_ROWS) < 0.05
    rows["flags"][connected], rows["connections"][connected] = CONNECTED, 1
    for phase in ("dns_us", "connect_us", "tls_us"):
        rows[phase][connected] = random.integers(20, 400, np.count_nonzero(connected))
    retried = random.random(BLOCK_ROWS) < 0.01
    rows["flags"][retried] |= RETRIED
    rows["attempts"][retried], rows["earlier_us"][retried] = 2, 3
    return rows


def measure_drain(kind: Callable[[np.random.Generator, int], np.ndarray], rows: int) -> tuple[float, float]:
    """CPU nanoseconds a row of draining, and of ranking once at the end."""
    ring, collector = SampleRing(), MetricsCollector(_TESTS)
    reader = SampleReader(ring)
    for figures in collector.tests:
        figures.begin(_START_NS, None)
    random = np.random.default_rng(1)
    kinds = [kind(random, _START_NS) for _ in range(8)]
    spent, drained = 0, 0
    while drained < rows:
        _fill(ring, kinds, drained)
        before = time.process_time_ns()
        drained += reader.drain(collector.fold)
        spent += time.process_time_ns() - before
    before = time.process_time_ns()
    for figures in collector.tests:
        test_document(figures, TestFacts("bench", "GET /", 50, {}, "wire", True, 50))
    return spent / drained, (time.process_time_ns() - before) / drained


def _fill(ring: SampleRing, kinds: list[np.ndarray], already: int) -> None:
    """Every block, as if a worker at 80,000 requests a second had written it after `already` rows."""
    for block in range(BLOCKS):
        rows = ring.rows[block]
        rows[:] = kinds[block % len(kinds)]
        later_ns = (already // BLOCK_ROWS + block) * BLOCK_ROWS * 12_500
        for column in ("due_ns", "issued_ns", "done_ns"):
            rows[column] += later_ns
        ring.headers[block, _COUNT] = BLOCK_ROWS
        ring.headers[block, _STATE] = FULL


def measure_floor() -> float:
    """One numpy bincount of a block's response times: the least that counting it can cost."""
    block = plain_rows(np.random.default_rng(1), _START_NS)
    return median_cpu_ns(lambda: np.bincount((block["done_ns"] - block["due_ns"]) >> 10), BLOCK_ROWS)


def measure_histogram() -> float:
    """One value into one histogram."""
    values = (np.random.default_rng(1).lognormal(-8.0, 0.5, BLOCK_ROWS) * 1e9).astype(np.int64)
    distribution = Distribution()

    def work() -> None:
        for _ in range(50):
            distribution.add(values)

    return median_cpu_ns(work, 50 * BLOCK_ROWS)


def measure_merge() -> float:
    """All figures of a test into those of another, CPU microseconds."""
    collector, other = MetricsCollector(1), MetricsCollector(1)
    for each in (collector, other):
        each.tests[0].begin(_START_NS, None)
        each.fold(plain_rows(np.random.default_rng(1), _START_NS))
    return median_cpu_ns(lambda: collector.merge(other), 1) / 1000


def figures_of(rows: int) -> Iterator[tuple[str, str, float, str]]:
    """Key, words, value and unit, in the order in which they are told."""
    few = min(rows, 400_000)
    yield "write_ns", "worker, a row by SampleWriter.write", measure_write(few), "ns"
    yield "plain_write_ns", "worker, a plain row on the wire", measure_plain_write(few), "ns"
    yield "floor_ns", "one bincount of a row (the floor)", measure_floor(), "ns"
    for key, words, kind in (
        ("plain", "plain rows", plain_rows),
        ("mixed", "mixed rows", mixed_rows),
    ):
        drain, ranking = measure_drain(kind, rows)
        yield f"drain_{key}_ns", f"supervisor, draining, {words}", drain, "ns"
        yield f"ranking_{key}_ns", f"supervisor, ranking at the end, {words}", ranking, "ns"
    yield "histogram_ns", "one value into one histogram", measure_histogram(), "ns"
    yield "merge_us", "a test's figures added to another's", measure_merge(), "µs"


def _draw(figure: Any, figures: dict[str, float]) -> None:
    axes = figure.subplots()
    shown = {key: value for key, value in figures.items() if key.endswith("_ns")}
    axes.barh(list(shown), list(shown.values()))
    axes.axvline(TO_REACH_NS, color="C3", linestyle="--", label=f"to reach: {TO_REACH_NS} ns a sample")
    axes.invert_yaxis()
    axes.set_xlabel("CPU nanoseconds a row")
    axes.legend()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.recording", allow_abbrev=False)
    parser.add_argument(
        "--rows", type=int, default=4_000_000, help="to drain of each kind (default: 4000000)"
    )
    parser.add_argument("--quick", action="store_true", help="half a million rows")
    options = parser.parse_args(arguments)
    rows = 500_000 if options.quick else options.rows
    figures: dict[str, float] = {}
    for key, words, value, unit in figures_of(rows):
        figures[key] = value
        print(f"{words:45} {value:8.2f} {unit}", flush=True)
    total = figures["drain_plain_ns"] + figures["ranking_plain_ns"]
    verdict = "reached" if total <= TO_REACH_NS else "NOT reached"
    words = f"draining and ranking {rows:,} plain samples, all columns"
    told = f"{verdict}: {words} = {total:.0f} ns of CPU a sample, to reach ≤ {TO_REACH_NS} ns"
    print(told)
    path = machine.keep("recording", {"rows": rows, "figures": figures, "told": told})
    print(f"kept: {path} {machine.plot('recording', lambda figure: _draw(figure, figures)) or ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
