"""What a run looks like while it runs: plain values that the supervisor makes and a progress view draws."""

from dataclasses import dataclass
from typing import Literal

TestState = Literal["waiting", "running", "draining", "done"]


@dataclass(frozen=True, slots=True)
class TestProgress:
    """One test now. Exactly one of `planned_requests` and `planned_s` may be None: what the bar measures against."""

    __test__ = False

    key: str
    name: str
    state: TestState
    elapsed_s: float
    planned_s: float | None
    planned_requests: int | None
    requests: int
    failed: int
    rate: float  # completed requests per second over the last seconds
    p50_ms: float | None  # response time over the last seconds
    p99_ms: float | None
    users: int  # virtual users that have started and not ended


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The whole run now, `elapsed_s` since the first test began."""

    elapsed_s: float
    tests: tuple[TestProgress, ...]
