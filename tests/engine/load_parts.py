"""The load of one test as worker.py puts it together, and the budget that its users share."""

import random

from perfcore.engine.case_load import CaseLoad, RequestSource
from perfcore.engine.cycle import Budget as IterationBudget
from perfcore.engine.open_load import Arrivals
from perfcore.engine.pacing import dealt, pacer_for
from perfcore.suite.test_case import TestCase


class Budget:
    """`total_iterations` of one process."""

    def __init__(self, total: int) -> None:
        self.left = total

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def is_spent(self) -> bool:
        return self.left <= 0


def case_load(
    index: int,
    source: RequestSource,
    start_ns: int,
    *,
    rank: int = 0,
    of: int = 1,
    budget: IterationBudget | None = None,
    seed: int = 1,
    graceful_stop_s: float | None = None,
    **keys: object,
) -> CaseLoad:
    """For a test with these keys of the suite file, in the worker with this rank of so many.

    `graceful_stop_s` goes before the key and may be zero, which a suite may not say.
    """
    if not (keys.get("rate") or keys.get("stages")):
        keys = {"ramp_up": 0, **keys}
    case = TestCase(name="t", endpoint="http://127.0.0.1/", **keys)
    pacer = pacer_for(case)
    offsets = pacer.arrivals(rank, of, f"{seed}")
    grace_s = case.graceful_stop_s if graceful_stop_s is None else graceful_stop_s
    return CaseLoad(
        index,
        source=source,
        pacer=pacer,
        expectation=case.expect,
        starts=pacer.starts(rank, of),
        iterations=None if case.total_iterations is not None else case.effective_iterations,
        budget=budget,
        start_ns=start_ns,
        end_ns=None if case.load_duration_s is None else start_ns + round(case.load_duration_s * 1e9),
        arrivals=None if offsets is None else Arrivals(offsets, dealt(case.most_users, rank, of)),
        graceful_stop_ns=round(grace_s * 1e9),
        draw=random.Random(seed),
    )
