"""All memory that the processes of a run share, made before the fork: rings, accumulators and gauges.

Anonymous mappings: nothing stands in /dev/shm, and pages that nobody writes cost nothing - an accumulator is
megabytes of address space and none of memory until a worker finds its ring full.
"""

import mmap
import time

import numpy as np

from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.samples import SampleRing

# Gauges of one worker for one test, written by the worker, read by the supervisor.
USERS, IN_FLIGHT, MAX_IN_FLIGHT, MAX_USERS, ARRIVALS, DROPPED, WARMUP_DROPPED = range(7)
_GAUGES = 7
# Words of one worker before its gauges: blocks that it has counted itself, and how its loop did (see loop_watch).
FOLDED_BLOCKS, BUSY_NS, WALL_NS, WORST_BUSY_PPM, LONGEST_PASS_NS, LONGEST_GC_NS, BEHIND_NS = range(7)
_WORKER_HEADER = 8
# Words of the run, before those of the tests and the workers.
STOP, NEXT_SLOT = range(2)
_RUN_HEADER = 4


class RunMemory:
    """`rings[worker]`, `accumulators[worker]`, and words by method; sized for a number of workers and tests."""

    def __init__(self, workers: int, tests: int) -> None:
        self._words_per_worker = _WORKER_HEADER + tests * _GAUGES
        self._first_worker = _RUN_HEADER + tests
        self._memory = mmap.mmap(-1, (self._first_worker + workers * self._words_per_worker) * 8)
        self._words = memoryview(self._memory).cast("q")
        self.rings = [SampleRing() for _ in range(workers)]
        accumulator_words = MetricsCollector.words_needed(tests)
        self._accumulator_memory = [mmap.mmap(-1, accumulator_words * 8) for _ in range(workers)]
        self.accumulators = [
            MetricsCollector(tests, np.frombuffer(memory, np.int64)) for memory in self._accumulator_memory
        ]

    @property
    def rate_words(self) -> memoryview:
        """One word for the instants of a rate that all workers share."""
        return self._words[NEXT_SLOT : NEXT_SLOT + 1]

    @property
    def stop_requested(self) -> bool:
        """Set by the supervisor: start nothing more, finish what is under way."""
        return self._words[STOP] != 0

    @property
    def stop_ns(self) -> int | None:
        """When a stop was asked for first (CLOCK_MONOTONIC); None when it was not."""
        return self._words[STOP] or None

    def request_stop(self) -> None:
        if not self._words[STOP]:
            self._words[STOP] = time.monotonic_ns()

    def test_end_ns(self, test: int) -> int | None:
        """When a test is to end before its time (CLOCK_MONOTONIC); None while it is not."""
        return self._words[_RUN_HEADER + test] or None

    def end_test(self, test: int, at_ns: int) -> None:
        self._words[_RUN_HEADER + test] = at_ns

    def gauge(self, worker: int, test: int, which: int) -> int:
        return int(self._words[self._gauge_at(worker, test) + which])

    def set_gauge(self, worker: int, test: int, which: int, value: int) -> None:
        self._words[self._gauge_at(worker, test) + which] = value

    def total_gauge(self, test: int, which: int) -> int:
        """A gauge summed over the workers."""
        return sum(self.gauge(worker, test, which) for worker in range(len(self.rings)))

    def largest_gauge(self, test: int, which: int) -> int:
        """The largest of a gauge over the workers."""
        return max(self.gauge(worker, test, which) for worker in range(len(self.rings)))

    def worker_word(self, worker: int, which: int) -> int:
        return int(self._words[self._worker_at(worker) + which])

    def set_worker_word(self, worker: int, which: int, value: int) -> None:
        self._words[self._worker_at(worker) + which] = value

    def _worker_at(self, worker: int) -> int:
        return self._first_worker + worker * self._words_per_worker

    def _gauge_at(self, worker: int, test: int) -> int:
        return self._worker_at(worker) + _WORKER_HEADER + test * _GAUGES
