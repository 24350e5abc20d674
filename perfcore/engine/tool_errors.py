"""What the calibration says of each test's own rate, for its part of the result and for validity."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfcore._version import __version__
from perfcore.engine.plan import CasePlan
from perfcore.engine.run_document import RunNotes
from perfcore.metrics.calibration import Calibration, fingerprint, tool_error
from perfcore.metrics.metrics_collector import TestFigures
from perfcore.metrics.test_document import rate_attained
from perfcore.report.calibration_file import stored_calibration
from perfcore.suite.test_suite import TestSuite


@dataclass(frozen=True, slots=True)
class _Load:
    """What a test asked of each worker that it was dealt to."""

    rate: float
    workers: int

    @property
    def of_a_worker(self) -> float:
        return self.rate / self.workers


def note_tool_errors(
    suite: TestSuite,
    plans: Sequence[CasePlan],
    figures: Sequence[TestFigures],
    notes: RunNotes,
    environment: Mapping[str, Any],
) -> None:
    """Put into the notes what this machine's calibration says of each test, or why it says nothing."""
    stored = stored_calibration(fingerprint(environment, __version__))
    if stored.calibration is None:
        if stored.reason is not None:
            notes.calibration = {"calibrated": None, "used": False, "reason": stored.reason}
        return
    notes.calibration = {"calibrated": stored.calibration.calibrated, "used": True, "reason": None}
    _note_each(plans, figures, notes, stored.calibration, in_parallel=suite.mode == "parallel")


def _note_each(
    plans: Sequence[CasePlan],
    figures: Sequence[TestFigures],
    notes: RunNotes,
    calibration: Calibration,
    *,
    in_parallel: bool,
) -> None:
    """Of each test that began; tests that run at the same time share the workers, so it is the rate of all then."""
    loads = {}
    for at, plan in enumerate(plans):
        if notes.tests[at].began:
            rate = rate_attained(figures[at], notes.tests[at].reached_end)
            loads[at] = _Load(rate, max(1, sum(users > 0 for users in plan.worker_users)))
    together = math.fsum(load.of_a_worker for load in loads.values())
    for at, load in loads.items():
        per_worker = together if in_parallel and load.rate else load.of_a_worker
        notes.tests[at].tool_error = known = tool_error(calibration, plans[at].engine, per_worker)
        if known is not None and known.safe_rate_per_worker:
            needed = math.ceil(load.workers * per_worker / known.safe_rate_per_worker)
            # A worker has a user at least.
            if load.workers < needed <= plans[at].case.most_users:
                notes.tests[at].workers_for_a_safe_rate = needed
