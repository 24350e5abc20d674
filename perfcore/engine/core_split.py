"""Which cores are the workers' and which the embedded target's, where there are enough for both.

Linux likes to wake who receives over loopback on the core of who sent, though another core is idle. Then worker and
target wait for each other, and that is in every figure. On two idle cores, one worker at 600/s and answers held for
2 ms: p99 3.50 ms left to the kernel and 2.32 ms apart, schedule lag p99 0.18 and 0.07 ms, waiting for a core 4.8 and
0.1 % of the time. A server that is not perfcore's own stays where its owner has put it.
"""

import os
from contextlib import suppress
from typing import NamedTuple


class CoreSplit(NamedTuple):
    """Numbers of cores; never empty."""

    workers: frozenset[int]
    target: frozenset[int]


def split_cores(workers: int) -> CoreSplit | None:
    """One core for the target, which is one thread, and all others for the workers; None where they need them all."""
    *others, last = sorted(os.sched_getaffinity(0))
    return CoreSplit(frozenset(others), frozenset({last})) if len(others) >= workers else None


def keep_to(cores: frozenset[int], pid: int = 0) -> None:
    """Have a process (0: this one) run on these cores alone; nothing happens where that is not allowed."""
    with suppress(OSError):
        os.sched_setaffinity(pid, cores)
