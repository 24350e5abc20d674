"""An hour of figures, on a clock that is only counted: what the supervisor holds does not grow with it."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

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


def test_blocks_of_any_number_of_rows_leave_no_megabytes_with_numpy():
    """In a process of its own, by its resident pages: what numpy keeps of freed arrays nobody else counts."""
    program = """
import random
from metrics.rows import START_NS, random_rows
from perfcore.metrics.metrics_collector import MetricsCollector

def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

collector, lengths = MetricsCollector(1), random.Random(1)
collector.tests[0].begin(START_NS, None)
rows = random_rows(1, 1024, tests=1)
rows["error"] = 0
for length in range(200):  # every page of the figures that these rows reach
    collector.fold(rows)
before = resident_bytes()
for _ in range(2000):
    collector.fold(rows[: lengths.randrange(1, 1024)])
print(resident_bytes() - before)
"""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=root)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 1_500_000
