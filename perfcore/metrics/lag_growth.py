"""Whether a generator falls further and further behind its schedule: how late it is, second by second."""

from perfcore.metrics.run_memory import BEHIND_NS, RunMemory

# Less is what any timer is late.
_TOLD_NS = 1_000_000


class LagGrowth:
    """Of one phase. `longest_s`: the longest time for which some worker was later each second than the one before."""

    def __init__(self, workers: int) -> None:
        self._behind_ns = [0] * workers
        self._growing_s = [0] * workers
        self.longest_s = 0

    def note(self, memory: RunMemory) -> None:
        """To be called once a second."""
        for worker, before_ns in enumerate(self._behind_ns):
            behind_ns = memory.worker_word(worker, BEHIND_NS)
            if behind_ns == before_ns:
                continue  # its second is not over: it measures them a little longer than this is called
            grows = behind_ns > before_ns and behind_ns > _TOLD_NS
            self._growing_s[worker] = self._growing_s[worker] + 1 if grows else 0
            self._behind_ns[worker] = behind_ns
        self.longest_s = max(self.longest_s, *self._growing_s)
