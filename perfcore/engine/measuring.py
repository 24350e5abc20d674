"""Which time of a test counts, where that is found out as it goes: `warmup: auto`, and `until`.

The supervisor hands over rows and ticks; both are looked at here and nowhere else.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from perfcore.engine.plan import RunPlan
from perfcore.metrics.confidence import confidence
from perfcore.metrics.measured_document import UntilFacts
from perfcore.metrics.metrics_collector import MetricsCollector, TestFigures
from perfcore.metrics.precision import Precision, look_times_s, precision_level
from perfcore.metrics.progress import UntilProgress
from perfcore.metrics.run_memory import ARRIVALS, DROPPED, RunMemory
from perfcore.metrics.samples import Rows
from perfcore.metrics.statistics import quantile_fraction
from perfcore.metrics.warmup import WarmupSegments
from perfcore.suite.measured_time import FIRST_LOOK_AUTO_S, FIRST_LOOK_S


@dataclass(slots=True)
class UntilState:
    """How near a test is to the precision that it is to stop at; times since its measured time began."""

    looks_s: list[float]
    done_looks: int = 0
    precision: float | None = None
    """Of the last look: how far the interval reaches to the further side, as a share of the value."""
    left_s: float | None = None
    """How much longer it may take, by the last look."""
    reached_after_s: float | None = None


class Measuring:
    """Of all tests of a run."""

    def __init__(self, plan: RunPlan, collector: MetricsCollector, memory: RunMemory) -> None:
        self._plan = plan
        self._collector = collector
        self._memory = memory
        self._segments: dict[int, WarmupSegments] = {}
        self.until: dict[int, UntilState] = {}

    def begin(self, index: int) -> None:
        """The test's load starts; its figures know when."""
        case, figures = self._plan.cases[index].case, self._collector.tests[index]
        if case.warmup == "auto":
            self._segments[index] = WarmupSegments(figures)
        if case.until is not None:
            assert figures.planned_end_ns is not None
            span_s = (figures.planned_end_ns - figures.measured_from_ns) / 1e9
            # Before a warm-up could be found a look would be at nothing else.
            first_s = FIRST_LOOK_AUTO_S if index in self._segments else FIRST_LOOK_S
            self.until[index] = UntilState(look_times_s(span_s, first_s))

    def fold(self, rows: Rows) -> None:
        """Rows that the collector has counted."""
        for index, segments in self._segments.items():
            own = rows[rows["case"] == index]
            if own.size:
                segments.fold(own)

    def tick(self, phase: tuple[int, ...], now_ns: int) -> None:
        """Note arrivals, look where a look is due, and end what is known well enough."""
        for index in phase:
            if index in self._segments:
                arrivals, dropped = (self._memory.total_gauge(index, which) for which in (ARRIVALS, DROPPED))
                self._segments[index].note_arrivals(now_ns, arrivals, dropped)
            state = self.until.get(index)
            if state is not None and state.reached_after_s is None:
                self._look(index, state, now_ns)

    def _look(self, index: int, state: UntilState, now_ns: int) -> None:
        figures = self._collector.tests[index]
        elapsed_s = (now_ns - figures.measured_from_ns) / 1e9
        if state.done_looks >= len(state.looks_s) or elapsed_s < state.looks_s[state.done_looks]:
            return
        while state.done_looks < len(state.looks_s) and state.looks_s[state.done_looks] <= elapsed_s:
            state.done_looks += 1  # a supervisor that was held up looks once for all that it missed
        found = self._precision(index, now_ns)
        state.precision = None if found is None else found.share
        until = self._plan.cases[index].case.until
        assert until is not None
        state.left_s = None if found is None else found.left_s(until.precision, elapsed_s)
        if state.precision is not None and state.precision <= until.precision:
            state.reached_after_s = elapsed_s
            state.left_s = 0.0
            self._end(index, now_ns)

    def _precision(self, index: int, now_ns: int) -> Precision | None:
        until = self._plan.cases[index].case.until
        assert until is not None
        figures = self.measured(index, now_ns)[0]
        quantile = quantile_fraction(until.metric)
        known = confidence(
            figures.distributions["response"],
            figures.timeline,
            quantile,
            figures.measured_from_ns - figures.start_ns,
            level=precision_level(len(self.until[index].looks_s)),
        )
        value = figures.distributions["response"].quantile_ns(quantile)
        return None if known is None or value is None else Precision.of(known, value)

    def _end(self, index: int, now_ns: int) -> None:
        self._memory.end_test(index, now_ns)
        for collector in (self._collector, *self._memory.accumulators):
            collector.tests[index].end_by(now_ns)

    def measured(self, index: int, now_ns: int) -> tuple[TestFigures, int, int]:
        """The figures that count by now, and arrivals and dropped ones that were before them."""
        whole, segments = self._collector.tests[index], self._segments.get(index)
        if segments is None:
            return whole, 0, 0
        end_ns = min(now_ns, whole.planned_end_ns or now_ns, max(whole.last_done_ns or 0, whole.start_ns))
        seconds = whole.timeline.seconds(max(0, end_ns - whole.start_ns))
        return segments.measured(segments.first_measured(seconds))

    def until_facts(self, index: int) -> UntilFacts | None:
        """How it went with `until`; None for a test without."""
        until, state = self._plan.cases[index].case.until, self.until.get(index)
        if until is None or state is None:
            return None
        looks = len(state.looks_s)
        level = precision_level(looks)
        return UntilFacts(until.metric, until.precision, level, looks, state.reached_after_s)

    def until_progress(self, index: int, now_ns: int) -> UntilProgress | None:
        """How near it is now, by the last look; None for a test without `until`, or before it begins."""
        until, state = self._plan.cases[index].case.until, self.until.get(index)
        if until is None or state is None:
            return None
        left_s = state.left_s
        if left_s is not None and state.done_looks:
            elapsed_s = (now_ns - self._collector.tests[index].measured_from_ns) / 1e9
            left_s = max(0.0, left_s - (elapsed_s - state.looks_s[state.done_looks - 1]))
        return UntilProgress(until.metric, until.precision, state.precision, left_s)

    def uncut(self, counted_by_worker: MetricsCollector) -> Iterator[str]:
        """What is to be said of requests that a worker has counted, which does not know of a warm-up that is found."""
        for plan, figures in zip(self._plan.cases, counted_by_worker.tests, strict=True):
            requests = figures.counter("requests")
            if plan.case.warmup == "auto" and requests:
                yield (
                    f"{plan.case.key}: {requests:,} requests were counted while the supervisor stood, and are in the "
                    "figures though some of them may have been warm-up"
                )

    def settle(self, index: int) -> tuple[int, int]:
        """The test is over: its figures become those that count. Returns arrivals and dropped ones before them."""
        measured, arrivals, dropped = self.measured(index, time.monotonic_ns())
        whole = self._collector.tests[index]
        if measured is not whole:
            whole.words[:] = measured.words
            del self._segments[index]
        return arrivals, dropped
