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
    """Numbers of cores, never none of them; None: wherever the kernel puts a process."""

    workers: frozenset[int] | None
    target: frozenset[int] | None


def split_cores(workers: int) -> CoreSplit:
    """One core for the target, which is one thread, all others for the workers; no split where they need them all."""
    *others, last = sorted(os.sched_getaffinity(0))
    if len(others) < workers:
        return CoreSplit(None, None)
    return CoreSplit(frozenset(others), frozenset({last}))


def keep_to(cores: frozenset[int] | None, pid: int = 0) -> None:
    """Have a process (0: this one) run on these cores alone; nothing happens for None, or where it is not allowed."""
    if cores is not None:
        with suppress(OSError):
            os.sched_setaffinity(pid, cores)
