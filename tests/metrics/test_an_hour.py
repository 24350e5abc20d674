"""An hour of figures, on a clock that is only counted: what the supervisor holds does not grow with it."""

import tracemalloc

import numpy as np
import psutil

from metrics.rows import START_NS, random_rows
from perfcore.metrics.environment import EnvironmentSampler
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.samples import BLOCK_ROWS

MINUTE_NS = 60 * 10**9
# What numpy and the interpreter keep back of what they freed; an hour of one float a second would be more.
SLACK_BYTES = 50_000


def test_an_hour_of_figures_takes_no_more_memory_than_its_first_minutes(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval=None: 12.5)
    collector, sampler = MetricsCollector(2), EnvironmentSampler({})
    for index in range(2):
        collector.tests[index].begin(START_NS, START_NS + 60 * MINUTE_NS)
    rows = random_rows(1, BLOCK_ROWS, tests=2, span_ns=MINUTE_NS)
    counted = {}

    def minute(number):
        for name in ("due_ns", "issued_ns", "done_ns"):
            rows[name] += MINUTE_NS if number else 0
        collector.fold(rows)
        for second in range(60):
            sampler.sample()
            for index in range(2):
                since_ns = number * MINUTE_NS + second * 10**9
                collector.tests[index].timeline.note_users(since_ns, 7)
                collector.tests[index].timeline.recent(since_ns, 3 * 10**9)

    tracemalloc.start()
    try:
        for number in range(60):
            minute(number)
            counted[number] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # By the fourth minute a timeline has halved its resolution for the first times.
    assert max(counted.values()) - counted[3] < SLACK_BYTES
    interrupted = sum(test.counter("interrupted") for test in collector.tests)
    assert sum(test.counter("requests") for test in collector.tests) + interrupted == 60 * BLOCK_ROWS
    assert np.concatenate([test.timeline.column("users") for test in collector.tests]).max() == 7
    assert sampler.document()["cpu_percent"] == {"avg": 12.5, "max": 12.5}
