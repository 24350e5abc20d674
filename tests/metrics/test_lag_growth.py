"""Whether some worker is later each second than the second before."""

import pytest

from perfcore.metrics.lag_growth import LagGrowth
from perfcore.metrics.run_memory import BEHIND_NS, RunMemory

MS = 1_000_000


def longest_s(*seconds):
    """Of seconds in which each worker was so many milliseconds late."""
    memory = RunMemory(workers=len(seconds[0]), tests=1)
    growth = LagGrowth(len(seconds[0]))
    for late_ms in seconds:
        for worker, ms in enumerate(late_ms):
            memory.set_worker_word(worker, BEHIND_NS, int(ms * MS))
        growth.note(memory)
    return growth.longest_s


@pytest.mark.parametrize(
    ("late_ms", "expected"),
    [
        ([], 0),
        ([0, 0, 0, 0], 0),
        ([5, 10, 20, 40, 80, 160], 6),
        ([0.1, 0.2, 0.3, 0.5, 0.9], 0),  # what any timer is late
        ([0.5, 1.5, 2.5], 2),
        ([5, 10, 3, 4, 5, 6], 3),
        ([9, 8, 7, 6], 1),
        ([5, 6, 6, 7, 8], 4),  # looked at twice in one of the worker's seconds
        ([50, 60, 50, 60, 50, 60], 2),
    ],
)
def test_growth_is_counted_in_seconds_on_end(late_ms, expected):
    assert longest_s(*([ms] for ms in late_ms) if late_ms else ([0],)) == expected


def test_the_worker_that_grows_longest_is_told_and_workers_do_not_add_up():
    assert longest_s([5, 0, 1], [6, 0, 9], [1, 8, 20], [1, 7, 30], [2, 9, 2]) == 3
