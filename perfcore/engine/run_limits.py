"""Limits that end a run while it runs: `limits.max_duration` and `limits.abort_on_error_rate`.

Instants and counts in, a decision out. Both are looked at with every tick of the supervisor, so a run ends up to a
tenth of a second later than the limit says.

The time runs from the instant at which the first test starts. The error rate is that of all tests together that run
at the same time, over the last ten seconds, and begins anew with each test of a sequence.
"""

from collections import deque

from perfcore.suite.limits import Limits
from perfcore.units import format_duration

WINDOW_NS = 10_000_000_000
LEAST_REQUESTS = 100
# So that 7 failures of 100 are 7 %, whatever 0.07 × 100 is in binary.
_ROUNDING = 1e-9


class LimitWatch:
    """Watches one run; without limits it never says that one is broken."""

    def __init__(self, limits: Limits | None) -> None:
        self._duration_s = None if limits is None else limits.max_duration_s
        self._error_rate = None if limits is None else limits.abort_on_error_rate
        self._counts: deque[tuple[int, int, int]] = deque()  # instant, requests and failures until then
        self._start_ns: int | None = None

    @property
    def watches_errors(self) -> bool:
        return self._error_rate is not None

    @property
    def end_ns(self) -> int | None:
        """When the run has to end; None when there is no such limit, or no test has started."""
        if self._duration_s is None or self._start_ns is None:
            return None
        return self._start_ns + round(self._duration_s * 1e9)

    @property
    def end_reason(self) -> str:
        return f"ended by limits.max_duration ({format_duration(self._duration_s or 0.0)})"

    def begin(self, start_ns: int) -> None:
        """Tests start together, with nothing counted yet."""
        if self._start_ns is None:
            self._start_ns = start_ns
        self._counts = deque([(start_ns, 0, 0)])

    def too_many_failures(self, now_ns: int, requests: int, failed: int) -> str | None:
        """Why the run has to end, from what the running tests have counted until now; None when it may go on."""
        if self._error_rate is None or not self._counts:
            return None
        self._counts.append((now_ns, requests, failed))
        while len(self._counts) > 1 and self._counts[1][0] <= now_ns - WINDOW_NS:
            self._counts.popleft()
        _, requests_before, failed_before = self._counts[0]
        requests, failed = requests - requests_before, failed - failed_before
        if requests < LEAST_REQUESTS or failed < (self._error_rate - _ROUNDING) * requests:
            return None
        return (
            f"aborted: {100 * failed / requests:.1f} % of the last {requests:,} requests failed "
            f"(limits.abort_on_error_rate: {self._error_rate * 100:.10g} %)"
        )
