"""What a worker's loop costs: how busy it was, its longest pass, the longest pause for garbage.

CPU time is what tells: waiting awake for an arrival is taken off, and waiting asleep takes none.
"""

import gc
import time
from typing import Any

from perfcore.metrics.run_memory import (
    BEHIND_NS,
    BUSY_NS,
    LONGEST_GC_NS,
    LONGEST_PASS_NS,
    WALL_NS,
    WORST_BUSY_PPM,
    RunMemory,
)

_WINDOW_NS = 1_000_000_000


class GarbagePauses:
    """How long the interpreter stood for its garbage collector, at the longest, while this is entered."""

    def __init__(self) -> None:
        self.longest_ns = 0
        self._began_ns = 0

    def __enter__(self) -> None:
        gc.callbacks.append(self._note)

    def __exit__(self, *_error: object) -> None:
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, _info: dict[str, Any]) -> None:
        if phase == "start":
            self._began_ns = time.monotonic_ns()
        else:
            self.longest_ns = max(self.longest_ns, time.monotonic_ns() - self._began_ns)


class LoopWatch:
    """Of one phase on one worker, kept in its words of the run's memory."""

    def __init__(self, memory: RunMemory, worker: int, now_ns: int) -> None:
        self._memory = memory
        self._worker = worker
        self._window_ns = now_ns
        self._cpu_ns = time.process_time_ns()
        self._spun_ns = 0
        self._behind_ns = 0
        self.garbage = GarbagePauses()

    def look(self, now_ns: int, *, spun_ns: int, longest_pass_ns: int, behind_ns: int) -> None:
        """With every housekeeping; `behind_ns` is how late the next arrival is by now, the others are totals."""
        self._behind_ns = max(self._behind_ns, behind_ns)
        if now_ns - self._window_ns < _WINDOW_NS:
            return
        self._close_window(now_ns, spun_ns)
        self._set_longest(longest_pass_ns)

    def end(self, now_ns: int, *, spun_ns: int, longest_pass_ns: int) -> None:
        """The last part of a second counts for the whole, and not as a second of its own."""
        self._add(now_ns, spun_ns)
        self._set_longest(longest_pass_ns)

    def _set_longest(self, longest_pass_ns: int) -> None:
        for which, value in ((LONGEST_PASS_NS, longest_pass_ns), (LONGEST_GC_NS, self.garbage.longest_ns)):
            largest = max(value, self._memory.worker_word(self._worker, which))
            self._memory.set_worker_word(self._worker, which, largest)

    def _close_window(self, now_ns: int, spun_ns: int) -> None:
        busy_ns, wall_ns = self._add(now_ns, spun_ns)
        worst = max(busy_ns * 1_000_000 // wall_ns, self._memory.worker_word(self._worker, WORST_BUSY_PPM))
        self._memory.set_worker_word(self._worker, WORST_BUSY_PPM, worst)
        self._memory.set_worker_word(self._worker, BEHIND_NS, self._behind_ns)
        self._behind_ns = 0

    def _add(self, now_ns: int, spun_ns: int) -> tuple[int, int]:
        cpu_ns = time.process_time_ns()
        busy_ns = max(0, cpu_ns - self._cpu_ns - (spun_ns - self._spun_ns))
        wall_ns = max(1, now_ns - self._window_ns)
        for which, value in ((BUSY_NS, busy_ns), (WALL_NS, wall_ns)):
            self._memory.set_worker_word(
                self._worker, which, self._memory.worker_word(self._worker, which) + value
            )
        self._window_ns, self._cpu_ns, self._spun_ns = now_ns, cpu_ns, spun_ns
        return busy_ns, wall_ns
