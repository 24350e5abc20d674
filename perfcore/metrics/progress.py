"""What a run looks like while it runs: plain values that the supervisor makes and a progress view draws."""

from dataclasses import dataclass
from typing import Literal

TestState = Literal["waiting", "running", "draining", "done"]


@dataclass(frozen=True, slots=True)
class UntilProgress:
    """How well the percentile is known at which a test stops; shares of its value."""

    percentile: float
    wanted: float
    precision: float | None = None  # None until it could be said
    left_s: float | None = None  # by what is known now; None until it could be said


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
    until: UntilProgress | None = None

    @property
    def share_done(self) -> float:
        """How far the test is, 0 to 1: by requests or by time, whichever is further along."""
        if self.state == "done":
            return 1.0
        shares = [0.0]
        if self.planned_requests:
            shares.append(self.requests / self.planned_requests)
        if self.planned_s:
            shares.append(self.elapsed_s / self.planned_s)
        return min(max(shares), 1.0)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The whole run now, `elapsed_s` since the first test began."""

    elapsed_s: float
    tests: tuple[TestProgress, ...]
    aborted_by: str | None = None  # why it is being ended before its time; not for a signal
