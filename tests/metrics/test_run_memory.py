"""The memory that workers and supervisor share."""

import os
import time

import numpy as np

from perfcore.metrics.run_memory import (
    ARRIVALS,
    BEHIND_NS,
    BUSY_NS,
    DROPPED,
    FOLDED_BLOCKS,
    IN_FLIGHT,
    LONGEST_GC_NS,
    LONGEST_PASS_NS,
    MAX_IN_FLIGHT,
    MAX_USERS,
    USERS,
    WALL_NS,
    WORST_BUSY_PPM,
    RunMemory,
)
from perfcore.metrics.samples import SampleReader, SampleWriter

from .rows import rows_of, samples_of


def test_every_gauge_and_word_has_a_place_of_its_own():
    memory = RunMemory(workers=3, tests=2)
    expected = {}
    for worker in range(3):
        for which in (FOLDED_BLOCKS,):
            expected[worker, which] = 1000 * (worker + 1) + which
            memory.set_worker_word(worker, which, expected[worker, which])
        for test in range(2):
            for which in (USERS, IN_FLIGHT, MAX_IN_FLIGHT, MAX_USERS):
                expected[worker, test, which] = 100 * worker + 10 * test + which
                memory.set_gauge(worker, test, which, expected[worker, test, which])
    memory.request_stop()
    for place, value in expected.items():
        read = memory.worker_word if len(place) == 2 else memory.gauge
        assert read(*place) == value
    assert memory.total_gauge(1, MAX_IN_FLIGHT) == 12 + 112 + 212


def test_a_stop_is_seen_once_it_was_asked_for():
    memory = RunMemory(workers=1, tests=1)
    assert not memory.stop_requested
    memory.request_stop()
    assert memory.stop_requested


def test_what_a_worker_writes_is_seen_by_the_supervisor():
    memory = RunMemory(workers=2, tests=1)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            memory.set_gauge(1, 0, USERS, 7)
            SampleWriter(memory.rings[1], lambda rows: None).write(samples_of([1, 2, 3]))
            memory.accumulators[1].fold(rows_of(5))
            memory.request_stop()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert memory.gauge(1, 0, USERS) == 7
    assert memory.stop_requested
    assert memory.accumulators[1].tests[0].counter("requests") == 5
    assert memory.accumulators[0].tests[0].counter("requests") == 0
    seen = []
    SampleReader(memory.rings[1]).salvage(lambda rows: seen.extend(rows["user"].tolist()))
    assert seen == [1, 2, 3]


def test_memory_that_nobody_used_is_all_zero():
    memory = RunMemory(workers=1, tests=2)
    assert not np.any(memory.accumulators[0].words)


def test_the_first_stop_is_the_one_that_counts():
    memory = RunMemory(workers=1, tests=1)
    assert memory.stop_ns is None
    before = time.monotonic_ns()
    memory.request_stop()
    first = memory.stop_ns
    assert before <= first <= time.monotonic_ns()
    memory.request_stop()
    assert memory.stop_ns == first


def test_the_largest_gauge_is_that_of_one_worker():
    memory = RunMemory(workers=3, tests=1)
    for worker, value in enumerate((4, 9, 2)):
        memory.set_gauge(worker, 0, MAX_IN_FLIGHT, value)
    assert memory.largest_gauge(0, MAX_IN_FLIGHT) == 9


def test_the_end_of_a_test_is_its_own():
    memory = RunMemory(workers=2, tests=3)
    assert [memory.test_end_ns(test) for test in range(3)] == [None] * 3
    memory.end_test(1, 123_456_789_012_345)
    assert [memory.test_end_ns(test) for test in range(3)] == [None, 123_456_789_012_345, None]
    assert not memory.stop_requested
    assert memory.rate_words[0] == 0
    assert all(memory.worker_word(worker, which) == 0 for worker in range(2) for which in range(8))


def test_words_of_a_worker_and_the_ends_of_tests_do_not_overlap():
    memory = RunMemory(workers=2, tests=3)
    words = (FOLDED_BLOCKS, BUSY_NS, WALL_NS, WORST_BUSY_PPM, LONGEST_PASS_NS, LONGEST_GC_NS, BEHIND_NS)
    for test in range(3):
        memory.end_test(test, 7000 + test)
    for worker in range(2):
        for which in words:
            memory.set_worker_word(worker, which, 100 * worker + which + 1)
        for test in range(3):
            for which in (USERS, IN_FLIGHT, MAX_IN_FLIGHT, MAX_USERS, ARRIVALS, DROPPED):
                memory.set_gauge(worker, test, which, 1000 * worker + 10 * test + which)
    assert [memory.test_end_ns(test) for test in range(3)] == [7000, 7001, 7002]
    for worker in range(2):
        assert [memory.worker_word(worker, which) for which in words] == [
            100 * worker + which + 1 for which in words
        ]
        for test in range(3):
            assert memory.gauge(worker, test, DROPPED) == 1000 * worker + 10 * test + DROPPED
