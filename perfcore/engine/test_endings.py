"""Which tests of a phase are through while others go on, as progress tells it. Nothing else depends on it."""

from perfcore.engine.load_loop import HAND_OVER_NS
from perfcore.engine.plan import RunPlan
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.run_memory import IN_FLIGHT, USERS, RunMemory

# Nobody is busy any more: so much later the workers have handed over the last rows, and these were drained.
SETTLED_AFTER_NS = 2 * HAND_OVER_NS


class TestEndings:
    """Of all tests of a run; `is_over` is to be asked several times a second."""

    __test__ = False

    def __init__(self, plan: RunPlan, collector: MetricsCollector, memory: RunMemory) -> None:
        self._plan = plan
        self._collector = collector
        self._memory = memory
        self._idle_since_ns: dict[int, int] = {}

    def is_over(self, index: int, now_ns: int) -> bool:
        """Whether nobody is busy with this test, and nothing of it is to come."""
        plan, figures = self._plan.cases[index], self._collector.tests[index]
        if self._memory.total_gauge(index, USERS) or self._memory.total_gauge(index, IN_FLIGHT):
            self._idle_since_ns.pop(index, None)
            return False
        if not plan.case.is_open and plan.requests is not None and figures.all_requests >= plan.requests:
            return True
        if figures.planned_end_ns is None or now_ns <= figures.planned_end_ns:
            return False
        return now_ns >= self._idle_since_ns.setdefault(index, now_ns) + SETTLED_AFTER_NS
